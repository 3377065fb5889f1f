//! The phone number library traces the numbers it reads; none of that may reach a log, whatever the filter.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use sms_core::{Country, Msisdn};

struct Capture(Mutex<Vec<String>>);

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

static CAPTURE: Capture = Capture(Mutex::new(Vec::new()));

#[test]
fn no_number_reaches_the_log_at_trace_level() {
    log::set_logger(&CAPTURE).unwrap();
    log::set_max_level(LevelFilter::Trace);
    log::debug!("heard");
    let mut accepted = Vec::new();
    for text in ["+41791234567", "0791234567", "+41 12 345", "anna", "+52 1 55 1234 5678", "+15555551212", "112"] {
        for country in [None, Country::parse("CH"), Some(Country::UNKNOWN)] {
            accepted.push(Msisdn::parse(text, country).is_ok());
        }
    }
    assert!(accepted.contains(&true) && accepted.contains(&false));
    assert_eq!(*CAPTURE.0.lock().unwrap(), ["heard"]);
    assert!(log::STATIC_MAX_LEVEL <= LevelFilter::Debug);
}
