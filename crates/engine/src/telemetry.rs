//! Every metric of the pipeline: declared once with unit, labels and what to do about it, and the only
//! place that emits them. Label values come from closed sets: enums, configured names, and the first
//! [`COUNTRIES_MAX`] countries seen; nothing a caller sends becomes a label.

mod table;

pub use table::{METRICS, Metric, MetricKind};

use std::borrow::Borrow as _;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use sms_core::store::{Attempted, Change, Counts, Outcome};
use sms_core::{Country, DeliveryState, Encoding, Kind, LimitId, ProviderName, Status, TenantId, UnixMs};

use crate::dispatch::Circuit;
use crate::notify::Reason;
use crate::receipt::CallbackFault;
use crate::status::ProviderStatus;
use crate::{Code, Plan};

/// Countries that get a label value of their own; later ones count as `other`.
pub const COUNTRIES_MAX: usize = 64;

/// Tenants that get a label value of their own, in order of name; the rest counts as `other`.
pub const TENANTS_MAX: usize = 200;

/// Label value of what is beyond a cap.
const OTHER: &str = "other";

/// Why a message was refused after its number was read: the contract's `reason` label.
const BLOCK_REASONS: [&str; 6] = ["limit", "country", "guard", "opt_out", "budget", "test_number"];

/// Emits metrics through the process's recorder.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    tenants: RwLock<BTreeSet<TenantId>>,
    countries: Mutex<BTreeSet<Country>>,
}

type Label = metrics::SharedString;

#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
#[expect(clippy::unused_self, reason = "the recorder is global today; whoever emits needs this value all the same")]
impl Telemetry {
    /// Creates every series of a closed set at zero, so that a rate over it is right from the first event.
    pub(crate) fn register(&self, plan: &Plan) {
        let tenants: BTreeSet<TenantId> = plan.tenants.keys().take(TENANTS_MAX).cloned().collect();
        *self.tenants.write().unwrap_or_else(PoisonError::into_inner) = tenants;
        for tenant in plan.tenants.keys() {
            for outcome in ["accepted", "rejected", "error"] {
                metrics::counter!("gateway_send_requests_total", "tenant" => self.tenant(tenant), "outcome" => outcome)
                    .increment(0);
            }
            for limit in &plan.limits {
                metrics::counter!("gateway_rate_limited_total", "tenant" => self.tenant(tenant), "limit" => limit.id.shared())
                    .increment(0);
            }
            // Countries join as they are seen; `other` stands for all of them until then.
            metrics::counter!("gateway_messages_accepted_total", "tenant" => self.tenant(tenant), "country" => OTHER)
                .increment(0);
            for reason in BLOCK_REASONS {
                metrics::counter!("gateway_messages_blocked_total",
                    "tenant" => self.tenant(tenant), "country" => OTHER, "reason" => reason)
                .increment(0);
            }
        }
        register_durations();
        for provider in plan.providers.keys() {
            register_provider(provider);
            for other in plan.providers.keys().filter(|other| *other != provider) {
                metrics::counter!("gateway_provider_failovers_total", "from" => provider.shared(), "to" => other.shared())
                    .increment(0);
            }
        }
        for telling in Telling::ALL {
            metrics::counter!("gateway_webhook_deliveries_total", "outcome" => telling.as_str()).increment(0);
        }
        for reason in Reason::ALL {
            metrics::counter!("gateway_webhook_failures_total", "reason" => reason.as_str()).increment(0);
        }
        metrics::counter!("gateway_panics_total").increment(0);
        self.counts(&Counts::default());
    }

    pub(crate) fn submitted(&self, tenant: &TenantId, outcome: SubmitOutcome, took: Duration) {
        let outcome = outcome.as_str();
        metrics::counter!("gateway_send_requests_total", "tenant" => self.tenant(tenant), "outcome" => outcome)
            .increment(1);
        metrics::histogram!("gateway_send_duration_seconds", "outcome" => outcome).record(took.as_secs_f64());
    }

    pub(crate) fn accepted(&self, tenant: &TenantId, country: Country) {
        metrics::counter!("gateway_messages_accepted_total", "tenant" => self.tenant(tenant), "country" => self.country(country))
            .increment(1);
    }

    pub(crate) fn blocked(&self, tenant: &TenantId, country: Country, code: Code) {
        let reason = block_reason(code);
        metrics::counter!("gateway_messages_blocked_total",
            "tenant" => self.tenant(tenant), "country" => self.country(country), "reason" => reason)
        .increment(1);
    }

    pub(crate) fn rate_limited(&self, tenant: &TenantId, limit: &LimitId) {
        metrics::counter!("gateway_rate_limited_total", "tenant" => self.tenant(tenant), "limit" => limit.shared())
            .increment(1);
    }

    pub(crate) fn shadowed(&self, tenant: &TenantId, limit: &LimitId) {
        metrics::counter!("gateway_limits_shadowed_total", "tenant" => self.tenant(tenant), "limit" => limit.shared())
            .increment(1);
    }

    pub(crate) fn attempted(&self, attempted: &Attempted) {
        let kind = attempted.kind.map_or("none", Kind::as_str);
        metrics::counter!("gateway_provider_attempts_total",
            "provider" => attempted.provider.shared(), "outcome" => attempted.outcome.as_str(), "kind" => kind)
        .increment(1);
        metrics::histogram!("gateway_provider_request_duration_seconds", "provider" => attempted.provider.shared())
            .record(f64::from(attempted.took_ms) / 1000.0);
    }

    pub(crate) fn segments(&self, provider: &ProviderName, encoding: Encoding, segments: u16) {
        metrics::counter!("gateway_segments_total", "provider" => provider.shared(), "encoding" => encoding.as_str())
            .increment(u64::from(segments));
    }

    pub(crate) fn failover(&self, from: &ProviderName, to: &ProviderName) {
        metrics::counter!("gateway_provider_failovers_total", "from" => from.shared(), "to" => to.shared())
            .increment(1);
    }

    /// Brings a provider's gauges up to date.
    pub(crate) fn lane(&self, status: &ProviderStatus) {
        let name = || status.name.shared();
        for state in Circuit::ALL {
            let value = flag(state.as_str() == status.circuit);
            metrics::gauge!("gateway_provider_circuit_state", "provider" => name(), "state" => state.as_str())
                .set(value);
        }
        metrics::gauge!("gateway_provider_disabled", "provider" => name()).set(flag(status.disabled));
        metrics::gauge!("gateway_provider_attempts_in_flight", "provider" => name()).set(count(status.in_flight));
        metrics::gauge!("gateway_provider_concurrency_limit", "provider" => name()).set(count(status.limit));
        for country in &status.countries {
            let open = flag(country.circuit != Circuit::Closed.as_str());
            metrics::gauge!("gateway_provider_country_circuit_open",
                "provider" => name(), "country" => self.country(country.country))
            .set(open);
        }
    }

    /// Counts a change only where it brought a final status.
    pub(crate) fn changed(&self, change: &Change, now: UnixMs) {
        if change.from == change.to || !change.to.is_final() {
            return;
        }
        let provider: Label = change.provider.as_ref().map_or_else(|| Label::from("none"), |p| p.shared().into());
        if change.to == Status::Delivered {
            metrics::histogram!("gateway_time_to_handset_seconds", "provider" => provider.clone())
                .record(now.since(change.created).as_secs_f64());
        }
        metrics::counter!("gateway_messages_final_total",
            "provider" => provider, "country" => self.country(change.country), "status" => change.to.as_str())
        .increment(1);
    }

    pub(crate) fn receipt(&self, provider: &ProviderName, state: &DeliveryState) {
        metrics::counter!("gateway_receipts_total", "provider" => provider.shared(), "status" => state.as_str())
            .increment(1);
    }

    pub(crate) fn receipt_unmatched(&self, provider: &ProviderName) {
        metrics::counter!("gateway_receipts_unmatched_total", "provider" => provider.shared()).increment(1);
    }

    pub(crate) fn callback_refused(&self, provider: &ProviderName, fault: CallbackFault) {
        metrics::counter!("gateway_callbacks_refused_total", "provider" => provider.shared(), "reason" => fault.as_str())
            .increment(1);
    }

    pub(crate) fn feedback(&self, tenant: &TenantId, country: Country, outcome: &'static str) {
        metrics::counter!("gateway_outcomes_total",
            "tenant" => self.tenant(tenant), "country" => self.country(country), "outcome" => outcome)
        .increment(1);
    }

    /// A webhook was called.
    pub(crate) fn told(&self, telling: Telling, took: Duration) {
        self.telling(telling);
        metrics::histogram!("gateway_webhook_duration_seconds", "outcome" => telling.as_str())
            .record(took.as_secs_f64());
    }

    pub(crate) fn telling(&self, telling: Telling) {
        metrics::counter!("gateway_webhook_deliveries_total", "outcome" => telling.as_str()).increment(1);
    }

    pub(crate) fn telling_failed(&self, reason: Reason) {
        metrics::counter!("gateway_webhook_failures_total", "reason" => reason.as_str()).increment(1);
    }

    pub(crate) fn endpoint_disabled(&self, tenant: &TenantId, disabled: bool) {
        metrics::gauge!("gateway_webhook_endpoint_disabled", "tenant" => self.tenant(tenant)).set(if disabled {
            1.0
        } else {
            0.0
        });
    }

    pub(crate) fn store_operation(&self, operation: &'static str, took: Duration) {
        metrics::histogram!("gateway_store_operation_duration_seconds", "operation" => operation)
            .record(took.as_secs_f64());
    }

    pub(crate) fn panicked(&self) {
        metrics::counter!("gateway_panics_total").increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub(crate) fn nodes(&self, nodes: usize) {
        metrics::gauge!("gateway_store_nodes").set(nodes as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
    pub(crate) fn counts(&self, counts: &Counts) {
        metrics::gauge!("gateway_messages_in_flight", "stage" => "queued").set(counts.queued as f64);
        metrics::gauge!("gateway_messages_in_flight", "stage" => "sending").set(counts.sending as f64);
        metrics::gauge!("gateway_oldest_queued_age_seconds")
            .set(counts.oldest_queued.unwrap_or_default().as_secs_f64());
    }

    fn tenant(&self, tenant: &TenantId) -> Label {
        let known = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains::<str>(tenant.borrow()) { tenant.shared().into() } else { Label::from(OTHER) }
    }

    fn country(&self, country: Country) -> Label {
        let mut seen = self.countries.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&country) || (seen.len() < COUNTRIES_MAX && seen.insert(country)) {
            return country.as_str().to_owned().into();
        }
        Label::from(OTHER)
    }
}

#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
fn register_durations() {
    for outcome in [SubmitOutcome::Accepted, SubmitOutcome::Error, SubmitOutcome::Rejected] {
        drop(metrics::histogram!("gateway_send_duration_seconds", "outcome" => outcome.as_str()));
    }
    for operation in ["admit", "receipts", "settle"] {
        drop(metrics::histogram!("gateway_store_operation_duration_seconds", "operation" => operation));
    }
}

#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
fn register_provider(provider: &ProviderName) {
    let name = || provider.shared();
    drop(metrics::histogram!("gateway_provider_request_duration_seconds", "provider" => name()));
    for status in Status::ALL.into_iter().filter(|status| status.is_final()) {
        metrics::counter!("gateway_messages_final_total",
            "provider" => name(), "country" => OTHER, "status" => status.as_str())
        .increment(0);
    }
    let attempts = |outcome: Outcome, kind: &'static str| {
        metrics::counter!("gateway_provider_attempts_total",
            "provider" => name(), "outcome" => outcome.as_str(), "kind" => kind)
        .increment(0);
    };
    attempts(Outcome::Accepted, "none");
    for outcome in [Outcome::NotSent, Outcome::Refused, Outcome::Unknown] {
        for kind in Kind::ALL {
            attempts(outcome, kind.as_str());
        }
    }
    for status in DeliveryState::LABELS {
        metrics::counter!("gateway_receipts_total", "provider" => name(), "status" => status).increment(0);
    }
    metrics::counter!("gateway_receipts_unmatched_total", "provider" => name()).increment(0);
    for fault in CallbackFault::ALL {
        metrics::counter!("gateway_callbacks_refused_total", "provider" => name(), "reason" => fault.as_str())
            .increment(0);
    }
    for encoding in [Encoding::Gsm7, Encoding::Ucs2] {
        metrics::counter!("gateway_segments_total", "provider" => name(), "encoding" => encoding.as_str()).increment(0);
    }
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// How the telling of a change ended, as `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    Delivered,
    GivenUp,
    Retried,
    Shelved,
}

impl Telling {
    const ALL: [Self; 4] = [Self::Delivered, Self::GivenUp, Self::Retried, Self::Shelved];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
            Self::Retried => "retried",
            Self::Shelved => "shelved",
        }
    }
}

/// How a request ended, as `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubmitOutcome {
    Accepted,
    Error,
    Rejected,
}

impl SubmitOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Error => "error",
            Self::Rejected => "rejected",
        }
    }

    /// Our fault, or the caller's.
    pub(crate) fn of(code: Code) -> Self {
        if matches!(code, Code::Overloaded | Code::StoreUnavailable) { Self::Error } else { Self::Rejected }
    }
}

fn block_reason(code: Code) -> &'static str {
    let [limit, country, _guard, _opt_out, _budget, test_number] = BLOCK_REASONS;
    match code {
        Code::CountryNotAllowed => country,
        Code::TestNumber => test_number,
        Code::ChannelNotSupported
        | Code::DestinationRateLimited
        | Code::EndUserRateLimited
        | Code::ForbiddenClient
        | Code::IdempotencyKeyReuse
        | Code::InvalidRecipient
        | Code::InvalidRequest
        | Code::NoRoute
        | Code::NotFound
        | Code::Overloaded
        | Code::RecipientRateLimited
        | Code::SenderNotAllowed
        | Code::StoreUnavailable
        | Code::TenantRateLimited
        | Code::UnknownTemplate
        | Code::UnknownVariable => limit,
    }
}
