//! The options of one Mitto account. The keys all providers share (`kind`, `timeout`, `throughput`,
//! `concurrency`, `tenants`) are the gateway's and never arrive here.

use serde::Deserialize;
use sms_core::options::{BaseUrl, Fault, Options, What};
use sms_core::{Capabilities, Channel, Encoding, ReceiptMode, Secret};
use sms_rest::{HeaderValue, Url};

/// `[providers.NAME]` of `kind = "mitto"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The account's key; Mitto also checks the caller's address against its own list.
    pub api_key: Secret,
    /// The account's host; regional ones are `https://rest-fra.mittoapi.net` and the like.
    #[serde(default = "base_url_default")]
    pub base_url: BaseUrl,
    /// Signs the receipt URLs. Without it (or without `server.public_url`) no receipts are asked for.
    #[serde(default)]
    pub callback_secret: Option<Secret>,
    /// Report used codes to Mitto (`/sms/converted`); Mitto must have enabled it for the account.
    #[serde(default)]
    pub conversion: bool,
    /// Permit `http://` to another machine.
    #[serde(default)]
    pub insecure: bool,
    /// Ask Mitto to check messages without delivering them.
    #[serde(default)]
    pub test: bool,
}

/// What a provider needs of a [`Config`], checked.
pub(crate) struct Checked {
    pub(crate) callback_secret: Option<Secret>,
    pub(crate) conversion: bool,
    pub(crate) converted_url: Url,
    pub(crate) key: HeaderValue,
    pub(crate) send_url: Url,
    pub(crate) test: bool,
}

impl Config {
    /// Parses and checks; reports every fault.
    pub(crate) fn read(options: &Options) -> Result<Checked, Vec<Fault>> {
        let config: Self = options.parse()?;
        let mut faults = Vec::new();
        let mut note = |key: &str, what: What| faults.push(options.fault(key, what));

        let base_url = config.base_url.checked(config.insecure);
        let url = |path: &str| base_url.as_ref().ok().and_then(|base| Url::parse(&format!("{base}{path}")).ok());
        let (send_url, converted_url) = (url("/sms.json"), url("/sms/converted"));
        match &base_url {
            Err(what) => note("base_url", what.clone()),
            Ok(_) if send_url.is_none() => note("base_url", What::Invalid("expected a URL with a host".to_owned())),
            Ok(_) => {}
        }

        let key = HeaderValue::from_str(config.api_key.expose()).ok().filter(|key| !key.is_empty());
        if key.is_none() {
            note("api_key", What::Invalid("expected a key of printable ASCII characters".to_owned()));
        }
        if config.callback_secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            note("callback_secret", What::Invalid("expected a secret that is not empty".to_owned()));
        }

        match (key, send_url, converted_url) {
            (Some(mut key), Some(send_url), Some(converted_url)) if faults.is_empty() => {
                key.set_sensitive(true);
                let Self { callback_secret, conversion, test, .. } = config;
                Ok(Checked { callback_secret, conversion, converted_url, key, send_url, test })
            }
            (_, _, _) => Err(faults),
        }
    }
}

/// What the REST API can do. Mitto publishes no rate limit, drops no repeats, and splits long texts
/// itself; ten parts are our own bound.
pub(crate) const CAPABILITIES: Capabilities = Capabilities {
    alphanumeric_sender: true,
    body_units_max: 1530,
    channels: &[Channel::Sms],
    encodings: &[Encoding::Gsm7, Encoding::Ucs2],
    idempotent: false,
    receipts: ReceiptMode::Callback,
    test_numbers: false,
    validity_period: true,
};

fn base_url_default() -> BaseUrl {
    #[expect(clippy::expect_used, reason = "a constant that the test below parses")]
    "https://rest.mittoapi.net".parse().expect("a constant URL")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: serde_json::Value) -> Result<Checked, Vec<String>> {
        let told = |fault: Fault| format!("{}: {:?}", fault.path, fault.what);
        Config::read(&Options::from_json(json)).map_err(|faults| faults.into_iter().map(told).collect())
    }

    #[test]
    fn a_key_is_all_it_needs() {
        let checked = read(json!({ "api_key": "k" })).ok().unwrap();
        assert_eq!(checked.send_url.as_str(), "https://rest.mittoapi.net/sms.json");
        assert_eq!(checked.converted_url.as_str(), "https://rest.mittoapi.net/sms/converted");
        assert!(!checked.conversion && !checked.test && checked.callback_secret.is_none());
    }

    #[test]
    fn a_base_url_may_have_a_path() {
        let checked = read(json!({ "api_key": "k", "base_url": "https://proxy.example/mitto/" })).ok().unwrap();
        assert_eq!(checked.send_url.as_str(), "https://proxy.example/mitto/sms.json");
    }

    #[test]
    fn every_fault_is_told_without_the_key() {
        let bad = json!({ "api_key": "k\ney", "base_url": "http://sms.example.com", "callback_secret": "" });
        let faults = read(bad).err().unwrap();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("InsecureUrl")), "{faults:?}");
        assert!(!faults.concat().contains("ney"), "{faults:?}");
    }

    #[test]
    fn clear_text_needs_the_operators_word() {
        let url = "http://sms.example.com";
        assert!(read(json!({ "api_key": "k", "base_url": url })).is_err());
        assert!(read(json!({ "api_key": "k", "base_url": url, "insecure": true })).is_ok());
        assert!(read(json!({ "api_key": "k", "base_url": "http://127.0.0.1:9" })).is_ok());
    }

    #[test]
    fn unknown_and_missing_keys_are_faults() {
        assert!(read(json!({ "api_key": "k", "apikey": "k" })).is_err());
        assert!(read(json!({})).is_err());
    }
}
