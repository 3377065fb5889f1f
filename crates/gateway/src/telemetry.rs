//! The process's metrics recorder, and the only place where the gateway itself emits. What the pipeline counts is in
//! [`sms_engine::telemetry`], which also declares every name. Label values: configured names, routes as written in the
//! code, and closed sets; never anything a caller sent.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::StatusCode;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use sms_core::UnixMs;
use sms_engine::telemetry::{METRICS, MetricKind};

/// How often histograms are folded together; else they grow until the next scrape.
pub(crate) const UPKEEP: Duration = Duration::from_secs(5);

/// Reads what was counted.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// The recorder belongs to the process: `metrics` takes one only, and a second server in a test shares it.
static RECORDER: OnceLock<Result<Metrics, String>> = OnceLock::new();

impl Metrics {
    /// Installs the recorder and describes every metric; later calls return the same one.
    ///
    /// # Errors
    /// Another recorder is installed.
    pub fn install() -> Result<Self, String> {
        RECORDER.get_or_init(|| install().map(Self).map_err(|error| error.to_string())).clone()
    }

    /// The exposition.
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }

    /// Folds histograms together.
    pub(crate) fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let MetricKind::Histogram(bounds) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
        }
    }
    let handle = builder.install_recorder()?;
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    register();
    Ok(handle)
}

/// Why a request had no valid key: the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthFailure {
    /// No key.
    Missing,
    /// A wrong token of Auth0's passwordless gateway.
    Token,
    /// One more failure of an address that is paused.
    Throttled,
    /// A key nobody has.
    Unknown,
}

impl AuthFailure {
    const ALL: [Self; 4] = [Self::Missing, Self::Token, Self::Throttled, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Token => "token",
            Self::Throttled => "throttled",
            Self::Unknown => "unknown",
        }
    }
}

/// Series that must be there before the first event.
#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
fn register() {
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("GATEWAY_COMMIT").unwrap_or("unknown");
    let rustc = env!("CARGO_PKG_RUST_VERSION");
    metrics::gauge!("gateway_build_info", "version" => version, "commit" => commit, "rustc" => rustc).set(1.0);
    for reason in AuthFailure::ALL {
        metrics::counter!("gateway_auth_failures_total", "reason" => reason.as_str()).increment(0);
    }
    metrics::gauge!("gateway_inbox_messages").set(0.0);
}

#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
pub(crate) fn auth_failed(reason: AuthFailure) {
    metrics::counter!("gateway_auth_failures_total", "reason" => reason.as_str()).increment(1);
}

/// A request was answered; `route` is the pattern of the code, never the path of the request.
#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
pub(crate) fn answered(listener: &'static str, route: &str, status: StatusCode) {
    let class = match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("gateway_http_requests_total", "listener" => listener, "route" => route.to_owned(), "status" => class)
        .increment(1);
}

#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
pub(crate) fn panicked() {
    metrics::counter!("gateway_panics_total").increment(1);
}

#[expect(
    clippy::disallowed_macros,
    clippy::cast_precision_loss,
    reason = "this is the one module that emits; gauges are floats"
)]
pub(crate) fn inbox(messages: usize) {
    metrics::gauge!("gateway_inbox_messages").set(messages as f64);
}

/// A configuration is running since `at`.
#[expect(
    clippy::disallowed_macros,
    clippy::cast_precision_loss,
    reason = "this is the one module that emits; gauges are floats"
)]
pub(crate) fn reloaded(at: UnixMs) {
    metrics::gauge!("gateway_config_last_reload_successful").set(1.0);
    metrics::gauge!("gateway_config_last_reload_success_timestamp_seconds").set(at.get() as f64 / 1_000.0);
}

#[expect(clippy::disallowed_macros, reason = "this is the one module that emits")]
pub(crate) fn reload_failed() {
    metrics::gauge!("gateway_config_last_reload_successful").set(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_gives_the_same_recorder() {
        let (one, two) = (Metrics::install().unwrap(), Metrics::install().unwrap());
        answered("public", "/v1/messages", StatusCode::ACCEPTED);
        let line = "gateway_http_requests_total{listener=\"public\",route=\"/v1/messages\",status=\"2xx\"}";
        assert!(one.render().contains(line), "{}", one.render());
        assert!(two.render().contains(line));
        assert!(one.render().contains("gateway_auth_failures_total{reason=\"missing\"} 0"));
    }
}
