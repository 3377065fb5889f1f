//! The configurations that a simulated gateway runs with, and the requests that are made of it. Must never depend on
//! anything but the seed and a number.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Charging, Idempotency};
use sms_core::{Body, Class, LimitId, ProviderName, Sender, SmsProvider, TenantId, Window};
use sms_engine::plan::{
    Choice, ClassTtl, Countries, Dimension, Language, Limit, Provider, Rule, Tenant, Webhook, When,
};
use sms_engine::{Acceptance, Plan, SendRequest, Templates};

use crate::luck::Luck;

/// Every provider that messages may go to.
pub(crate) const PROVIDERS: [&str; 3] = ["alpha", "bravo", "carol"];

/// A provider that no route names.
pub(crate) const STRANGER: &str = "mallory";

/// How many configurations there are.
pub(crate) const SHAPES: usize = 4;

/// Longest time one attempt may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// Most attempts at a time that any configuration allows.
pub(crate) const CONCURRENCY_MAX: usize = 6;

/// Tenants; the first is told of changes.
pub(crate) const TENANTS: [&str; 2] = ["acme", "globex"];

/// An application whose messages have only one provider and one copy.
const SOLO: &str = "solo";

/// Windows of the limit by tenant and recipient.
pub(crate) const PER_RECIPIENT: [Window; 2] = [window(2, 6), window(5, 30)];

/// Windows of the limit by tenant.
pub(crate) const PER_TENANT: [Window; 1] = [window(30, 5)];

const fn window(max: u32, secs: u64) -> Window {
    Window { max, period: Duration::from_secs(secs) }
}

/// One of the configurations.
pub(crate) fn plan(shape: usize, providers: &[Arc<dyn SmsProvider>]) -> Plan {
    let names = |names: &[&str]| names.iter().map(|name| ProviderName::new(*name)).collect::<Vec<_>>();
    let (configured, concurrency, choice): (&[&str], usize, Choice) = match shape {
        0 => (&PROVIDERS, 4, Choice::Use(names(&PROVIDERS))),
        1 => (&["alpha", "bravo"], CONCURRENCY_MAX, Choice::Use(names(&["bravo", "alpha"]))),
        2 => (&PROVIDERS, 2, Choice::Split(names(&PROVIDERS).into_iter().zip([60, 30, 10]).collect())),
        _ => (&["alpha", "carol"], 3, Choice::Use(names(&["carol", "alpha", "bravo"]))),
    };
    let listed = providers.iter().filter(|instance| {
        let name = instance.descriptor().name.as_str();
        name == STRANGER || configured.contains(&name)
    });
    let listed = listed.map(|instance| (instance.descriptor().name.clone(), Arc::new(provider(instance, concurrency))));
    let solo = When { client_id: vec![SOLO.to_owned()], ..When::default() };
    Plan {
        tenants: TENANTS.map(|name| (TenantId::new(name), Arc::new(tenant(name)))).into(),
        keys: HashMap::new(),
        providers: listed.collect(),
        rules: vec![
            rule("solo", solo, Choice::Use(names(&["bravo"])), (1, 2)),
            rule("default", When::default(), choice, (2, 8)),
        ],
        limits: vec![
            limit("per_recipient", &[Dimension::Tenant, Dimension::Recipient], &PER_RECIPIENT, Charging::Block),
            limit("per_tenant", &[Dimension::Tenant], &PER_TENANT, Charging::Block),
            limit("per_country", &[Dimension::Country], &[window(10, 10)], Charging::Shadow),
        ],
        countries: Countries::default(),
        #[expect(clippy::expect_used, reason = "no templates, no faults")]
        templates: Templates::compile(Vec::new()).expect("nothing to compile"),
        unsettled_max: 1_000_000,
        test_numbers_unlimited: false,
    }
}

fn provider(instance: &Arc<dyn SmsProvider>, concurrency: usize) -> Provider {
    // One of them is slow to take messages, so that they wait.
    let paced = instance.descriptor().name.as_str() == "bravo";
    Provider {
        instance: Arc::clone(instance),
        timeout: TIMEOUT,
        interval: paced.then_some(Duration::from_millis(40)),
        concurrency,
        tenants: None,
    }
}

fn rule(id: &str, when: When, choice: Choice, (copies_max, wait_s): (u8, u64)) -> Rule {
    Rule {
        id: id.to_owned(),
        when,
        choice,
        prefer: sms_engine::plan::Prefer::None,
        template: None,
        sender: None,
        copies_max,
        unknown_wait: Duration::from_secs(wait_s),
        ttl: ClassTtl::default(),
    }
}

fn limit(id: &str, per: &[Dimension], windows: &[Window], charging: Charging) -> Limit {
    Limit { id: LimitId::new(id), per: per.to_vec(), windows: windows.into(), charging }
}

fn tenant(name: &str) -> Tenant {
    let webhook = Webhook {
        url: "https://tenant.example/sms".to_owned(),
        private: false,
        secrets: Vec::new(),
        disable_after: Duration::from_hours(100),
    };
    Tenant {
        id: TenantId::new(name),
        name: name.to_owned(),
        clients: None,
        senders: Sender::parse("Acme").into_iter().collect(),
        sender_by_country: BTreeMap::new(),
        languages: Language::parse("en").into_iter().collect(),
        template: None,
        default_country: None,
        webhook: (name == TENANTS[0]).then_some(webhook),
    }
}

/// One request; `changed` makes another one of it under the same key.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) tenant: TenantId,
    pub(crate) to: String,
    pub(crate) text: String,
    pub(crate) class: Class,
    pub(crate) ttl_s: u64,
    pub(crate) idempotency: Option<Idempotency>,
    /// The caller waits for a provider's verdict.
    pub(crate) waits: bool,
    number: u32,
    solo: bool,
}

impl Order {
    pub(crate) fn of(seed: u64, number: u32, changed: bool) -> Self {
        let mut luck = Luck::about(seed, "order", u64::from(number));
        let tenant = TenantId::new(luck.weighted(&[(40, TENANTS[0]), (60, TENANTS[1])]));
        // Few enough recipients to meet their limit now and then.
        let to = format!("+4179{:07}", 1_230_000 + luck.between(0..40));
        let class = luck.weighted(&[(65, Class::Otp), (35, Class::Transactional)]);
        let ttl_s = luck.weighted(&[(10, 3), (20, 20), (40, 45), (20, 60), (10, 90)]);
        let idempotency = luck.chance(45).then(|| {
            let mut fingerprint = [u8::from(changed); 32];
            fingerprint[..4].copy_from_slice(&number.to_be_bytes());
            Idempotency { key: format!("key-{number}"), fingerprint }
        });
        let text = format!("{:06} is your code{}", number, if changed { "!" } else { "." });
        let (waits, solo) = (luck.chance(20), luck.chance(15));
        Self { tenant, to, text, class, ttl_s, idempotency, waits, number, solo }
    }

    /// Which request it is.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn request(&self) -> SendRequest {
        let mut request = SendRequest::new(self.to.clone(), answer);
        request.text = Some(Body::new(self.text.clone()));
        request.class = self.class;
        request.ttl_s = Some(self.ttl_s);
        request.idempotency.clone_from(&self.idempotency);
        request.reference = Some(self.number.to_string());
        request.client_id = self.solo.then(|| SOLO.to_owned());
        request
    }
}

fn answer(acceptance: &Acceptance) -> Vec<u8> {
    format!("{{\"id\":\"{}\",\"status\":\"queued\",\"expires_at\":\"{}\"}}", acceptance.id, acceptance.expires)
        .into_bytes()
}

/// The tenant that a request is not of.
pub(crate) fn other_tenant(tenant: &TenantId) -> TenantId {
    TenantId::new(TENANTS[usize::from(tenant.as_str() == TENANTS[0])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_order_differs_in_what_it_says_only() {
        let one = (0..50).map(|number| Order::of(1, number, false)).find(|order| order.idempotency.is_some()).unwrap();
        let other = Order::of(1, one.number, true);
        let (key, others) = (one.idempotency.unwrap(), other.idempotency.unwrap());
        assert_eq!((key.key, one.to), (others.key, other.to));
        assert_ne!((key.fingerprint, one.text), (others.fingerprint, other.text));
    }
}
