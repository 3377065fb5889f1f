//! `/admin/v1/providers`: how providers are doing by country, and keeping one from new attempts for a while.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use sms_core::ProviderName;
use sms_core::options::Span;
use sms_engine::{Code as Verdict, Measured, Problem as Fault, ProviderStatus, Refusal};

use super::Ops;
use crate::surface::json;
use crate::surface::problem::Problem;

/// `GET /admin/v1/providers`.
pub(super) async fn list(State(ops): State<Arc<Ops>>, request: Request) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    let providers: Vec<Value> = ops.0.front.engine.providers().iter().map(|status| ops.shown(status)).collect();
    Ok(json(StatusCode::OK, &json!({ "providers": providers })))
}

/// `GET /admin/v1/providers/{name}`.
pub(super) async fn show(
    State(ops): State<Arc<Ops>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    ops.one(&ProviderName::new(name))
}

/// `POST /admin/v1/providers/{name}/disable`: `{"for":"15m"}`, or until it is enabled.
pub(super) async fn disable(
    State(ops): State<Arc<Ops>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let wish = ops.wish(request).await?;
    let (name, period) = (ProviderName::new(name), period(wish)?);
    if !ops.0.front.engine.disable(&name, period) {
        return Err(Problem::not_found());
    }
    ops.one(&name)
}

/// `POST /admin/v1/providers/{name}/enable`.
pub(super) async fn enable(
    State(ops): State<Arc<Ops>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    ops.permit(&request.into_parts().0)?;
    let name = ProviderName::new(name);
    if !ops.0.front.engine.enable(&name) {
        return Err(Problem::not_found());
    }
    ops.one(&name)
}

impl Ops {
    fn one(&self, name: &ProviderName) -> Result<Response, Problem> {
        let status = self.0.front.engine.providers().into_iter().find(|status| status.name == *name);
        status.map(|status| json(StatusCode::OK, &self.shown(&status))).ok_or_else(Problem::not_found)
    }

    fn shown(&self, status: &ProviderStatus) -> Value {
        let plan = self.0.front.engine.plan();
        let kind = plan.providers.get(&status.name).map(|provider| provider.instance.descriptor().kind);
        let until = status.disabled_for.map(|left| self.0.front.now().plus(left).to_string());
        let countries: Vec<Value> = status.countries.iter().map(country).collect();
        let mut shown = json!({
            "name": status.name.as_str(),
            "kind": kind,
            "state": if kind.is_some() { status.state() } else { "not_configured" },
            "circuit": status.circuit,
            "disabled": status.disabled,
            "disabled_until": until,
            "in_flight": status.in_flight,
            "limit": status.limit,
            "concurrency": status.concurrency,
            "countries": countries,
        });
        add_measured(&mut shown, status.measured());
        shown
    }
}

fn country(status: &sms_engine::CountryStatus) -> Value {
    let mut shown = json!({
        "country": status.country.as_str(),
        "circuit": status.circuit,
        "reason": status.reason,
        "in_flight": status.in_flight,
        "limit": status.limit,
    });
    add_measured(&mut shown, status.measured);
    shown
}

/// Rates are told only where there is something to tell them from.
fn add_measured(shown: &mut Value, measured: Measured) {
    let known = measured.receipts >= 1.0;
    let rate = known.then(|| rounded(measured.delivery_rate, 10_000.0));
    let latency = measured.latency.map(|latency| rounded(latency.as_secs_f64(), 1_000_000.0));
    let facts = json!({
        "delivery_rate": rate,
        "receipts": rounded(measured.receipts, 10.0),
        "latency_seconds": latency,
        "answers": measured.answers,
    });
    if let (Some(shown), Value::Object(facts)) = (shown.as_object_mut(), facts) {
        shown.extend(facts);
    }
}

fn rounded(value: f64, to: f64) -> f64 {
    (value * to).round() / to
}

fn period(wish: Value) -> Result<Option<Duration>, Problem> {
    let Value::Object(mut wish) = wish else { return Err(wrong("The body is no object.")) };
    let period = wish.remove("for");
    unknown(&wish)?;
    match period {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match text.parse::<Span>().map(Span::as_duration) {
            Ok(period) if !period.is_zero() && period <= PERIOD_MAX => Ok(Some(period)),
            Ok(_) | Err(_) => Err(wrong("`for` is no duration between 1ms and 30d.")),
        },
        Some(Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(wrong("`for` is no text.")),
    }
}

fn unknown(wish: &Map<String, Value>) -> Result<(), Problem> {
    if wish.is_empty() { Ok(()) } else { Err(wrong("Only `for` is known.")) }
}

fn wrong(detail: &str) -> Problem {
    let fix = "Send {\"for\":\"15m\"}, or nothing to disable it until it is enabled.";
    Problem::from(Refusal::from(Fault::new(Verdict::InvalidRequest, "for", detail.to_owned(), fix)))
}

/// Longest time a provider can be disabled for; without `for` there is no end.
const PERIOD_MAX: Duration = Duration::from_hours(30 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_duration_or_open() {
        assert_eq!(period(json!({"for": "15m"})).unwrap(), Some(Duration::from_mins(15)));
        for open in [json!({}), json!({"for": null})] {
            assert_eq!(period(open).unwrap(), None);
        }
        for bad in [
            json!([]),
            json!("15m"),
            json!({"for": 15}),
            json!({"for": "0s"}),
            json!({"for": "31d"}),
            json!({"for": "soon"}),
            json!({"for": "1m", "why": "x"}),
        ] {
            assert_eq!(period(bad.clone()).unwrap_err().code().status(), StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        }
    }

    #[test]
    fn rates_without_receipts_are_not_told() {
        let mut shown = json!({});
        add_measured(&mut shown, Measured::default());
        assert_eq!(shown["delivery_rate"], Value::Null);
        add_measured(&mut shown, Measured { delivery_rate: 1.0 / 3.0, receipts: 9.04, ..Measured::default() });
        assert_eq!((&shown["delivery_rate"], &shown["receipts"]), (&json!(0.3333), &json!(9.0)));
    }
}
