//! How providers are doing, for operators: what the breakers, limits and measurements say at one moment.

use std::time::Duration;

use sms_core::{Country, ProviderName};

use crate::measure::Measured;

/// One provider.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderStatus {
    /// Its name.
    pub name: ProviderName,
    /// The running configuration has it; else messages of an earlier one may still wait for it.
    pub configured: bool,
    /// An operator disabled it.
    pub disabled: bool,
    /// For how long it stays disabled; `None`: until it is enabled.
    pub disabled_for: Option<Duration>,
    /// `closed`, `half_open` or `open`.
    pub circuit: &'static str,
    /// It asked for a pause.
    pub paused: bool,
    /// Attempts that run.
    pub in_flight: usize,
    /// Attempts that may run at a time, as things stand.
    pub limit: usize,
    /// Attempts that may run at a time, as configured.
    pub concurrency: usize,
    /// By destination, in alphabetical order.
    pub countries: Vec<CountryStatus>,
}

/// One provider in one country.
#[derive(Clone, Debug, PartialEq)]
pub struct CountryStatus {
    /// The destination.
    pub country: Country,
    /// `closed`, `half_open` or `open`.
    pub circuit: &'static str,
    /// Why it is not closed: `faults` (no attempt is made), `receipts` or `slow` (others are preferred).
    pub reason: Option<&'static str>,
    /// Attempts that run.
    pub in_flight: usize,
    /// Attempts that may run at a time.
    pub limit: usize,
    /// Delivery rate and latency.
    pub measured: Measured,
}

impl ProviderStatus {
    /// One word: `disabled`, `open`, `half_open`, `degraded` (some country is not served well), `paused`, `healthy`.
    pub fn state(&self) -> &'static str {
        if self.disabled {
            "disabled"
        } else if self.circuit != "closed" {
            self.circuit
        } else if self.countries.iter().any(|country| country.circuit != "closed") {
            "degraded"
        } else if self.paused {
            "paused"
        } else {
            "healthy"
        }
    }

    /// All countries together.
    pub fn measured(&self) -> Measured {
        let receipts: f64 = self.countries.iter().map(|c| c.measured.receipts).sum();
        let delivered: f64 = self.countries.iter().map(|c| c.measured.receipts * c.measured.delivery_rate).sum();
        let answers: u32 = self.countries.iter().fold(0, |sum, c| sum.saturating_add(c.measured.answers));
        let seconds: f64 = self
            .countries
            .iter()
            .filter_map(|c| Some(c.measured.latency?.as_secs_f64() * f64::from(c.measured.answers)))
            .sum();
        Measured {
            delivery_rate: if receipts > 0.0 { delivered / receipts } else { 0.0 },
            receipts,
            latency: (answers > 0).then(|| Duration::from_secs_f64(seconds / f64::from(answers))),
            answers,
        }
    }
}
