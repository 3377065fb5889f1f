//! One suite for every store: what the engine relies on, in small checks on a fresh store each.
//!
//! `store_suite!(make)` makes a test of each check; [`run`] runs them all. Knows no store.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]

pub mod admission;
pub mod dispatch;
pub mod history;
pub mod lanes;
pub mod parts;
pub mod receipts;
pub mod telling;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use sms_core::store::{
    Admit, Attempted, Change, Charge, Charging, Details, Idempotency, LaneWant, Leased, NewMessage, Notice, NoticeWant,
    Outcome, Receipted, ReceivedReceipt, Record, Reroute, RouteTrace, Settle, Settled, Then, Verdict, Waiting,
};
use sms_core::{
    Body, Channel, Class, Clock, DeliveryState, Encoding, LimitId, MessageId, Msisdn, ProviderName, Receipt, Sender,
    Status, Store, TenantId, UnixMs, Window,
};

/// Wall time that moves only when told.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts on 2025-11-24.
    pub fn start() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_764_000_000_000)))
    }

    /// Moves on.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        UnixMs::new(self.0.load(Ordering::SeqCst))
    }
}

/// A store under test with its clock, and short words for what the engine does.
#[derive(Clone, Debug)]
pub struct Stand {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    made: Arc<AtomicU64>,
}

/// A lane, and the provider that takes most messages here.
pub const MITTO: &str = "mitto";

/// Another provider.
pub const BACKUP: &str = "backup";

/// The tenant of most messages here.
pub const ACME: &str = "acme";

/// The text of every message here: what must not be found in clear in any file.
pub const CANARY: &str = "Kanarienvogel 483920 is your code";

impl Stand {
    /// Puts a store under test.
    pub fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Self {
        Self { store, clock, made: Arc::default() }
    }

    /// Another stand over the same messages: after the store was opened again.
    #[must_use]
    pub fn reopened(&self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self.clone() }
    }

    /// Now.
    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn pass(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }

    /// A new message of [`ACME`] to number 0, five minutes to live, that waits for [`MITTO`].
    pub fn admit(&self) -> Admit {
        let (made, now) = (self.made.fetch_add(1, Ordering::SeqCst), self.now());
        let mut entropy = [0; 10];
        entropy[2..].copy_from_slice(&made.to_be_bytes());
        let message = NewMessage {
            id: MessageId::new(now, entropy),
            tenant: TenantId::new(ACME),
            created: now,
            expires: now.plus(Duration::from_mins(5)),
            to: number(0),
            body: Body::new(CANARY.to_owned()),
            details: details(),
        };
        let (answer, lane) = (Arc::from(b"{}".as_slice()), ProviderName::new(MITTO));
        Admit { message, idempotency: None, answer, charges: Vec::new(), lane, begin: false }
    }

    /// Decides one request.
    pub async fn decide(&self, admit: Admit) -> Verdict {
        let mut verdicts = self.store.admit(vec![admit]).await.unwrap();
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }

    /// Accepts a request.
    pub async fn accept(&self, admit: Admit) -> MessageId {
        let id = admit.message.id;
        let verdict = self.decide(admit).await;
        assert_eq!(verdict, Verdict::Leased { shadowed: Vec::new() });
        id
    }

    /// Accepts a message whose first attempt, with [`MITTO`], is open.
    pub async fn begin(&self) -> MessageId {
        self.accept(Admit { begin: true, ..self.admit() }).await
    }

    /// Accepts a message and hands it over.
    pub async fn send(&self, upstream_id: &str) -> MessageId {
        let id = self.begin().await;
        self.settle(id, 1, Outcome::Accepted, sent(upstream_id)).await;
        id
    }

    /// Settles an attempt with [`MITTO`] that must be open.
    pub async fn settle(&self, id: MessageId, attempt: u16, outcome: Outcome, then: Then) -> (Change, bool) {
        match self.try_settle((id, attempt), MITTO, outcome, then).await {
            Settled::Done { change, go } => (change, go),
            Settled::Fenced => panic!("attempt {attempt} of {id} is not open"),
        }
    }

    /// Settles an attempt with `provider`.
    pub async fn try_settle(
        &self,
        (id, attempt): (MessageId, u16),
        provider: &str,
        outcome: Outcome,
        then: Then,
    ) -> Settled {
        let (provider, started) = (ProviderName::new(provider), self.now());
        let attempted = Attempted { attempt, provider, outcome, kind: None, code: None, started, took_ms: 7 };
        let settle = Settle { id, attempt, at: self.now(), attempted, then };
        self.store.settle(vec![settle]).await.unwrap().remove(0)
    }

    /// A receipt of [`MITTO`].
    pub async fn receipt(&self, message: Option<MessageId>, upstream_id: &str, state: DeliveryState) -> Receipted {
        self.receipt_of(MITTO, message, upstream_id, state).await
    }

    /// A receipt of `provider`.
    pub async fn receipt_of(
        &self,
        provider: &str,
        message: Option<MessageId>,
        upstream_id: &str,
        state: DeliveryState,
    ) -> Receipted {
        let receipt = Receipt {
            message,
            upstream_id: upstream_id.to_owned(),
            state,
            provider_code: Some("0".to_owned()),
            at: Some(UnixMs::new(1_764_000_000_001)),
            part: None,
        };
        let received = ReceivedReceipt { provider: ProviderName::new(provider), receipt, at: self.now() };
        self.store.receipts(vec![received]).await.unwrap().remove(0)
    }

    /// Claims from one lane.
    pub async fn claim(&self, lane: &str, max: usize) -> Vec<Leased> {
        self.store.claim(&[LaneWant::new(ProviderName::new(lane), max)], self.now()).await.unwrap()
    }

    /// Looks at one lane.
    pub async fn stranded(&self, lane: &str, max: usize) -> Vec<Waiting> {
        self.store.stranded(&LaneWant::new(ProviderName::new(lane), max), self.now()).await.unwrap()
    }

    /// Has a message that was shown wait elsewhere.
    pub async fn reroute(&self, waiting: &Waiting, lane: &str, due: UnixMs) -> bool {
        let (lane, from) = (ProviderName::new(lane), waiting.lane.clone());
        let reroute = Reroute { id: waiting.id, attempt: waiting.attempt, from, lane, due, at: self.now() };
        self.store.reroute(vec![reroute]).await.unwrap().remove(0)
    }

    /// Up to `max` notices of [`ACME`] that are due.
    pub async fn notices(&self, max: usize) -> Vec<Notice> {
        self.notices_of(ACME, max).await
    }

    /// Up to `max` notices of a tenant that are due.
    pub async fn notices_of(&self, tenant: &str, max: usize) -> Vec<Notice> {
        let want = NoticeWant { tenant: TenantId::new(tenant), max };
        self.store.notices(&[want], self.now()).await.unwrap()
    }

    /// A message that must exist.
    pub async fn record(&self, id: MessageId) -> Record {
        self.store.get(None, id).await.unwrap().expect("the message exists")
    }

    /// Its status.
    pub async fn status(&self, id: MessageId) -> Status {
        self.record(id).await.status
    }
}

/// Number `n` of those reserved for fiction.
pub fn number(n: u16) -> Msisdn {
    Msisdn::parse(&format!("+447700900{n:03}"), None).unwrap()
}

/// A message's details without wish to be told of changes.
pub fn details() -> Details {
    Details {
        class: Class::Otp,
        channel: Channel::Sms,
        sender: Sender::parse("Acme").unwrap(),
        encoding: Encoding::Gsm7,
        units: CANARY.len(),
        segments: 1,
        client_id: Some("ios_app".to_owned()),
        language: Some("en".to_owned()),
        template: None,
        reference: Some("order 7".to_owned()),
        metadata: None,
        callback_url: None,
        notify: false,
        route: RouteTrace {
            rule: "default".to_owned(),
            candidates: vec![ProviderName::new(MITTO), ProviderName::new(BACKUP)],
            why: "the default route".to_owned(),
            copies_max: 2,
            unknown_wait: Duration::from_secs(8),
        },
    }
}

/// A limit of `max` in `secs` for a key.
pub fn charge(limit: &str, key: &str, max: u32, secs: u64) -> Charge {
    Charge {
        limit: LimitId::new(limit),
        key: key.to_owned(),
        windows: Arc::from([Window { max, period: Duration::from_secs(secs) }]),
        charging: Charging::Block,
    }
}

/// An idempotency key with the fingerprint of request `request`.
pub fn idempotency(key: &str, request: u8) -> Idempotency {
    Idempotency { key: key.to_owned(), fingerprint: [request; 32] }
}

/// The provider took it.
pub fn sent(upstream_id: &str) -> Then {
    Then::Sent { upstream_id: upstream_id.to_owned() }
}

/// It waits for `lane` until `due`.
pub fn later(lane: &str, due: UnixMs) -> Then {
    Then::Later { lane: ProviderName::new(lane), due }
}

/// The next attempt, with `provider`, begins at once.
pub fn again(provider: &str) -> Then {
    Then::Again { provider: ProviderName::new(provider) }
}

/// Names every check once, for [`run`] and for `store_suite!`.
#[macro_export]
#[doc(hidden)]
macro_rules! with_store_checks {
    ($callback:ident, $make:expr) => {
        $crate::$callback! { $make;
            admission: accepted_message_is_read_back, another_request_under_the_same_key_is_refused,
                idempotency_ends_after_a_day, idempotent_replay_is_byte_identical, keys_are_scoped_by_tenant,
                limits_exact_under_concurrency, limits_hold_in_any_window, refusals_charge_nothing,
                refused_requests_keep_no_key, replays_are_not_charged, shadow_limits_report_and_never_refuse,
                the_longest_wait_is_told, verdicts_see_earlier_entries;
            dispatch: again_opens_the_next_attempt, attempts_end_in_each_status, bodies_are_kept_for_further_attempts,
                history_tells_everything_in_order, messages_that_do_not_exist_are_fenced, settle_is_fenced_by_attempt,
                two_settles_of_one_batch_follow_each_other;
            parts: a_message_is_delivered_when_every_part_is, a_part_is_known_by_its_id_also_where_the_message_is,
                one_lost_part_loses_the_message_until_it_arrives, parts_may_come_before_the_answer,
                repeated_parts_crowd_out_no_other;
            telling: endpoints_are_remembered, given_up_notices_are_shelved_until_asked_for,
                notices_of_one_tenant_do_not_hide_anothers, one_message_is_told_again_as_it_stands,
                purged_messages_take_their_notices_along;
            receipts: a_receipt_ends_a_waiting_copy, a_receipt_forbids_the_next_attempt,
                a_receipt_for_an_untried_provider_is_parked, duplicate_and_reordered_receipts_are_harmless,
                late_delivery_wins_and_nothing_undoes_it, parked_receipts_are_forgotten_after_an_hour,
                parked_receipts_are_matched_by_upstream_id, receipts_before_the_answer_are_matched,
                receipts_of_other_providers_do_not_match, status_never_goes_back, unrecognised_receipts_are_written_down;
            lanes: cancel_before_any_attempt, claims_are_bounded_and_exclusive, claims_leave_countries_without_room,
                claims_let_tenants_take_turns, claims_take_the_youngest_code_that_is_due, counts_follow_messages, expired_is_never_sent, lanes_name_who_waits, leases_carry_everything,
                rerouted_messages_wait_elsewhere_without_an_intent, reroutes_are_fenced,
                stranded_messages_are_shown_and_stay, stranded_messages_are_shown_in_turn, sweep_ends_what_is_over, sweep_leaves_open_attempts_alone;
            history: blocked_requests_are_history_only, closed_stores_refuse, feedback_is_noted,
                notices_are_told_until_done, nobody_is_told_without_a_wish, pages_follow_each_other,
                pings_write, purge_forgets_in_bounded_steps, purge_keeps_unsettled_messages, search_takes_every_filter,
                tenants_cannot_see_each_other;
        }
    };
}

/// Makes a test of every check; `make` gives a fresh store for a clock.
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::with_store_checks! { store_tests, $make }
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! store_tests {
    ($make:expr; $($module:ident: $($name:ident),*;)*) => { $($(
        #[tokio::test]
        async fn $name() {
            let clock = $crate::store::ManualClock::start();
            let (store, _kept) = $make(::std::sync::Arc::clone(&clock));
            $crate::store::$module::$name($crate::store::Stand::new(store, clock)).await;
        }
    )*)* };
}

#[macro_export]
#[doc(hidden)]
macro_rules! run_store_checks {
    ($make:expr; $($module:ident: $($name:ident),*;)*) => { $($(
        let clock = ManualClock::start();
        $module::$name(Stand::new($make(Arc::clone(&clock)), clock)).await;
    )*)* };
}

/// Runs every check, each on a store of its own. A failed check panics.
pub async fn run(make: impl Fn(Arc<ManualClock>) -> Arc<dyn Store>) {
    crate::with_store_checks! { run_store_checks, make }
}
