//! What a running gateway measured of its providers, as `/admin/v1/providers` tells it.

use std::collections::BTreeMap;

use serde::Deserialize;
use sms_core::{Country, ProviderName};
use sms_engine::{Measured, Measures};

use crate::cli::connection::{Connection, Question};
use crate::cli::failure::{Exit, Failure};

/// Measurements by provider and country.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<(ProviderName, Country), Measured>);

impl Measures for Told {
    fn of(&self, provider: &ProviderName, country: Country) -> Measured {
        self.0.get(&(provider.clone(), country)).copied().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Page {
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    name: String,
    countries: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    country: Country,
    delivery_rate: Option<f64>,
    #[serde(flatten)]
    measured: Rest,
}

#[derive(Deserialize)]
struct Rest {
    receipts: f64,
    latency_seconds: Option<f64>,
    answers: u32,
}

/// Asks the gateway's ops listener.
pub(super) async fn ask(ops: &Connection) -> Result<Told, Failure> {
    let answer = ops.ask(Question { path: &["admin", "v1", "providers"], ..Question::default() }).await?;
    read(&answer.text)
        .ok_or_else(|| Failure::new(Exit::Failed, "the gateway's answer cannot be read: another version?"))
}

fn read(text: &str) -> Option<Told> {
    let page: Page = serde_json::from_str(text).ok()?;
    let lines = page.providers.into_iter().flat_map(|provider| {
        let name = ProviderName::new(provider.name);
        provider.countries.into_iter().map(move |line| ((name.clone(), line.country), measured(&line)))
    });
    Some(Told(lines.collect()))
}

fn measured(line: &Line) -> Measured {
    let Rest { receipts, latency_seconds, answers } = line.measured;
    let latency = latency_seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
    Measured { delivery_rate: line.delivery_rate.unwrap_or_default(), receipts, latency, answers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_tells_is_found_by_provider_and_country() {
        let told = read(
            r#"{"providers":[{"name":"a","state":"healthy","countries":[
                {"country":"CH","circuit":"closed","delivery_rate":0.5,"receipts":8.0,"latency_seconds":0.25,"answers":9},
                {"country":"DE","circuit":"open","delivery_rate":null,"receipts":0.0,"latency_seconds":null,"answers":0}
            ]}]}"#,
        )
        .unwrap();
        let of =
            |provider: &str, country: &str| told.of(&ProviderName::new(provider), Country::parse(country).unwrap());
        let ch = of("a", "CH");
        assert_eq!((ch.delivery_rate, ch.receipts, ch.answers), (0.5, 8.0, 9));
        assert_eq!(ch.latency, Some(std::time::Duration::from_millis(250)));
        assert_eq!((of("a", "DE"), of("b", "CH")), (Measured::default(), Measured::default()));
    }

    #[test]
    fn any_other_answer_is_refused() {
        for text in ["", "{}", "[]", "<html>", r#"{"providers":[{"name":"a"}]}"#] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
