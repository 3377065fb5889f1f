//! A small plan for the tests of the pure stages. Its providers never send.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::{
    Attempt, Body, CallbackError, CallbackRequest, Capabilities, Channel, Country, Descriptor, Encoding, Fate, Kind,
    OutboundSms, ProviderName, Receipt, ReceiptMode, SendError, Sender, SmsProvider, Submission, TenantId, UnixMs,
};
use tokio::time::Instant;

use crate::measure::Unmeasured;
use crate::plan::{Choice, ClassTtl, Countries, Language, Plan, Prefer, Provider, Rule, Tenant, When};
use crate::refusal::Refusal;
use crate::render::{TemplateSpec, Templates, render};
use crate::request::{Acceptance, SendRequest};
use crate::route::{Routed, candidates, select};

/// Has abilities and nothing else.
#[derive(Debug)]
struct Silent(Descriptor);

#[async_trait]
impl SmsProvider for Silent {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    async fn send(&self, _: &OutboundSms, _: &Attempt) -> Result<Submission, SendError> {
        Err(silent())
    }

    fn receipts(&self, _: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError> {
        Ok(Vec::new())
    }

    async fn converted(&self, _: &str) -> Result<(), SendError> {
        Err(silent())
    }

    async fn probe(&self) -> Result<(), SendError> {
        Err(silent())
    }

    async fn shutdown(&self, _: Instant) {}
}

fn silent() -> SendError {
    SendError::new(Kind::Unavailable, Fate::NotSent, "never sends")
}

/// An ordinary provider of text messages.
pub(crate) const ABLE: Capabilities = Capabilities {
    alphanumeric_sender: true,
    body_units_max: 1_600,
    channels: &[Channel::Sms],
    encodings: &[Encoding::Gsm7, Encoding::Ucs2],
    idempotent: false,
    receipts: ReceiptMode::Callback,
    test_numbers: false,
    validity_period: true,
};

pub(crate) fn provider(name: &str, capabilities: Capabilities) -> (ProviderName, Arc<Provider>) {
    let descriptor = Descriptor { kind: "silent", name: ProviderName::new(name), capabilities };
    let provider = Provider {
        instance: Arc::new(Silent(descriptor)),
        timeout: Duration::from_secs(3),
        interval: None,
        concurrency: 8,
        tenants: None,
    };
    (ProviderName::new(name), Arc::new(provider))
}

/// A provider that only `tenant` may use.
pub(crate) fn provider_of(tenant: &str, name: &str) -> (ProviderName, Arc<Provider>) {
    let (name, provider) = provider(name, ABLE);
    let mut provider = Arc::into_inner(provider).expect("just made");
    provider.tenants = Some(BTreeSet::from([TenantId::new(tenant)]));
    (name, Arc::new(provider))
}

pub(crate) fn tenant(id: &str) -> Tenant {
    Tenant {
        id: TenantId::new(id),
        name: "Acme Ltd.".to_owned(),
        clients: None,
        senders: vec![sender("Acme")],
        sender_by_country: BTreeMap::new(),
        languages: vec![language("en")],
        template: None,
        default_country: None,
        webhook: None,
    }
}

pub(crate) fn rule(id: &str, when: When, providers: &[&str]) -> Rule {
    let names = providers.iter().map(|name| ProviderName::new(*name)).collect();
    Rule {
        id: id.to_owned(),
        when,
        choice: Choice::Use(names),
        prefer: Prefer::None,
        template: None,
        sender: None,
        copies_max: 2,
        unknown_wait: Duration::from_secs(8),
        ttl: ClassTtl::default(),
    }
}

pub(crate) fn split(id: &str, when: When, weights: &[(&str, u32)]) -> Rule {
    let weights = weights.iter().map(|(name, weight)| (ProviderName::new(*name), *weight)).collect();
    Rule { choice: Choice::Split(weights), ..rule(id, when, &[]) }
}

/// A plan without limits in which tenant `acme` may do everything through `mitto`.
pub(crate) fn plan() -> Plan {
    let acme = tenant("acme");
    Plan {
        tenants: BTreeMap::from([(acme.id.clone(), Arc::new(acme))]),
        keys: std::collections::HashMap::new(),
        providers: BTreeMap::from([provider("mitto", ABLE)]),
        rules: vec![rule("default", When::default(), &["mitto"])],
        limits: Vec::new(),
        countries: Countries::default(),
        templates: templates(Vec::new()),
        unsettled_max: 1_000,
        test_numbers_unlimited: false,
    }
}

pub(crate) fn templates(specs: Vec<TemplateSpec>) -> Templates {
    Templates::compile(specs).expect("faultless templates")
}

/// `texts` as `[("en", "…"), …]`.
pub(crate) fn spec(name: &str, texts: &[(&str, &str)]) -> TemplateSpec {
    let texts = texts.iter().map(|(tag, text)| (language(tag), (*text).to_owned())).collect();
    TemplateSpec { name: name.to_owned(), texts, ..TemplateSpec::default() }
}

pub(crate) fn request(to: &str) -> SendRequest {
    SendRequest::new(to, no_answer)
}

pub(crate) fn text_to(to: &str, text: &str) -> SendRequest {
    SendRequest { text: Some(Body::new(text.to_owned())), ..request(to) }
}

fn no_answer(_: &Acceptance) -> Vec<u8> {
    Vec::new()
}

/// All stages for tenant `acme`, at noon.
pub(crate) fn run(request: SendRequest, plan: &Plan) -> Result<Routed, Refusal> {
    run_at(request, plan, noon(), 0)
}

pub(crate) fn run_at(request: SendRequest, plan: &Plan, now: UnixMs, dice: u32) -> Result<Routed, Refusal> {
    run_as("acme", request, plan, (now, dice))
}

pub(crate) fn run_as(
    tenant: &str,
    request: SendRequest,
    plan: &Plan,
    (now, dice): (UnixMs, u32),
) -> Result<Routed, Refusal> {
    let admitted = crate::admission::admit(request, &plan.tenants[tenant], plan, now)?;
    candidates(render(select(admitted, plan, now)?, plan)?, plan, dice, &Unmeasured)
}

pub(crate) fn noon() -> UnixMs {
    at("2026-11-24T12:00:00Z")
}

pub(crate) fn at(time: &str) -> UnixMs {
    UnixMs::new(time.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

pub(crate) fn language(tag: &str) -> Language {
    Language::parse(tag).unwrap()
}

pub(crate) fn country(code: &str) -> Country {
    Country::parse(code).unwrap()
}

pub(crate) fn countries(codes: &[&str]) -> Vec<Country> {
    codes.iter().map(|code| country(code)).collect()
}

pub(crate) fn sender(text: &str) -> Sender {
    Sender::parse(text).unwrap()
}

pub(crate) fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}
