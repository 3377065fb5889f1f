//! The list of metrics: the source of `/metrics` help texts, of the README's table and of the checks
//! that dashboards and alerts name only what exists.

/// What a metric measures with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket; upper bounds in the unit of the name.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name with unit.
    pub name: &'static str,
    /// What it measures with.
    pub kind: MetricKind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells; what is normal; what to do first.
    pub help: &'static str,
}

/// Request and webhook durations.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upstream durations.
const UPSTREAM_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0];
/// Delivery to a handset.
const HANDSET_SECONDS: &[f64] = &[0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0];
/// Store durations.
const STORE_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    help: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Histogram(bounds), labels, help }
}

/// Every metric of the product, in alphabetical order.
pub const METRICS: &[Metric] = &[
    counter(
        "gateway_auth_failures_total",
        &["reason"],
        "Requests without a valid key. A burst is a scan or a rotated key.",
    ),
    gauge("gateway_build_info", &["version", "commit", "rustc"], "Always 1; tells the build."),
    counter(
        "gateway_callbacks_refused_total",
        &["provider", "reason"],
        "Callbacks with a wrong token, or a body that is unreadable, too large or too slow. Not zero: someone forges, or the callback URL is stale.",
    ),
    gauge("gateway_config_last_reload_success_timestamp_seconds", &[], "When the running configuration was loaded."),
    gauge(
        "gateway_config_last_reload_successful",
        &[],
        "0 after a refused reload: the previous configuration runs on; see the log.",
    ),
    counter("gateway_http_requests_total", &["listener", "route", "status"], "Answers by route and status class."),
    gauge("gateway_inbox_messages", &[], "Messages in the mock inbox; 0 without a mock provider."),
    counter(
        "gateway_limits_shadowed_total",
        &["tenant", "limit"],
        "Requests that a limit in shadow mode would have refused.",
    ),
    counter("gateway_messages_accepted_total", &["tenant", "country"], "Messages durably accepted."),
    counter(
        "gateway_messages_blocked_total",
        &["tenant", "country", "reason"],
        "Requests refused by a limit, a country rule or the guard.",
    ),
    counter(
        "gateway_messages_final_total",
        &["provider", "country", "status"],
        "Messages by final status; unknown may later count once more as delivered.",
    ),
    gauge(
        "gateway_messages_in_flight",
        &["stage"],
        "Messages without an accepted attempt: queued has had none, sending is on its way or waits for the next.",
    ),
    gauge(
        "gateway_oldest_queued_age_seconds",
        &[],
        "Age of the oldest message that waits for its first attempt. Normal: under a second. Page above 30: providers are down or too slow.",
    ),
    counter(
        "gateway_outcomes_total",
        &["tenant", "country", "outcome"],
        "What callers told about codes: used, expired, wrong.",
    ),
    counter("gateway_panics_total", &[], "Caught panics. Not zero is a bug: report it."),
    gauge("gateway_provider_attempts_in_flight", &["provider"], "Attempts that run with a provider."),
    counter(
        "gateway_provider_attempts_total",
        &["provider", "outcome", "kind"],
        "Attempts by outcome; kind is none when accepted.",
    ),
    gauge(
        "gateway_provider_circuit_state",
        &["provider", "state"],
        "1 for the breaker's present state. Open for minutes: check the provider's status and the account.",
    ),
    gauge(
        "gateway_provider_concurrency_limit",
        &["provider"],
        "Attempts that may run at a time as things stand. Below the configured concurrency: the provider is slow or fails.",
    ),
    gauge(
        "gateway_provider_country_circuit_open",
        &["provider", "country"],
        "1 while a provider is not used for a country, or others are preferred: faults, slowness, nothing delivered. See /admin/v1/providers.",
    ),
    gauge(
        "gateway_provider_disabled",
        &["provider"],
        "1 while an operator keeps a provider from new attempts. Forgotten? Enable it at /admin/v1/providers.",
    ),
    counter(
        "gateway_provider_failovers_total",
        &["from", "to"],
        "Messages handed on to another provider after a failure.",
    ),
    histogram(
        "gateway_provider_request_duration_seconds",
        &["provider"],
        UPSTREAM_SECONDS,
        "Time from writing a request to a provider's answer or failure.",
    ),
    counter("gateway_rate_limited_total", &["tenant", "limit"], "Requests refused by each limit."),
    counter("gateway_receipts_total", &["provider", "status"], "Delivery receipts by what they say."),
    counter(
        "gateway_receipts_unmatched_total",
        &["provider"],
        "Receipts for messages not known yet. Normal: a few, matched later. Many: another system shares the account.",
    ),
    counter(
        "gateway_segments_total",
        &["provider", "encoding"],
        "Message parts accepted by providers: what is billed.",
    ),
    histogram(
        "gateway_send_duration_seconds",
        &["outcome"],
        SECONDS,
        "Time to accept or refuse a request, without waiting for a provider. Normal p99: under 10 ms.",
    ),
    counter(
        "gateway_send_requests_total",
        &["tenant", "outcome"],
        "Authenticated send requests: accepted, rejected (the caller's mistake or a limit), error (ours).",
    ),
    gauge(
        "gateway_store_nodes",
        &[],
        "Gateways that live on this store, this one included. Normal: as many as you run. Fewer: look at the missing one's log; its work goes on with the others.",
    ),
    histogram(
        "gateway_store_operation_duration_seconds",
        &["operation"],
        STORE_SECONDS,
        "Store operations, from queueing to durable. Growing: the disk is slow.",
    ),
    histogram(
        "gateway_time_to_handset_seconds",
        &["provider"],
        HANDSET_SECONDS,
        "Time from acceptance to the receipt that confirms delivery.",
    ),
    counter(
        "gateway_webhook_deliveries_total",
        &["outcome"],
        "Status webhooks: delivered, retried, given_up, or shelved because the endpoint is disabled.",
    ),
    histogram("gateway_webhook_duration_seconds", &["outcome"], SECONDS, "Time of one webhook delivery."),
    gauge(
        "gateway_webhook_endpoint_disabled",
        &["tenant"],
        "1 while a tenant's webhook is not called. Page: it failed for days or answered 410; ask the tenant, then enable it.",
    ),
    counter(
        "gateway_webhook_failures_total",
        &["reason"],
        "Webhook calls that were not taken, by reason. Many of reason address: somebody probes the network.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_sorted_prefixed_and_carry_their_unit() {
        assert!(METRICS.is_sorted_by(|a, b| a.name < b.name));
        for metric in METRICS {
            assert!(metric.name.starts_with("gateway_"), "{}", metric.name);
            assert_eq!(metric.kind == MetricKind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if let MetricKind::Histogram(bounds) = metric.kind {
                assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
                assert!(bounds.is_sorted());
            }
        }
    }
}
