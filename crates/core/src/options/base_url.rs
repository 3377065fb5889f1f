//! The base URL of an upstream: `https://`, or `http://` to this machine only.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};

use super::parse::What;
use super::span::FromText;

/// A checked base URL without a slash at its end, without credentials, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    clear_to_others: bool,
    text: String,
}

impl BaseUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Refuses `http://` to another machine unless the operator wrote `insecure = true`:
    /// credentials and codes would cross the network in clear.
    ///
    /// # Errors
    /// [`What::InsecureUrl`].
    pub fn checked(self, insecure: bool) -> Result<Self, What> {
        if self.clear_to_others && !insecure { Err(What::InsecureUrl) } else { Ok(self) }
    }
}

/// The text is no usable base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as \"https://api.example.com\", without credentials, query or fragment")]
pub struct NotAUrl;

impl FromStr for BaseUrl {
    type Err = NotAUrl;

    fn from_str(text: &str) -> Result<Self, NotAUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(NotAUrl)?;
        let clear = match scheme {
            "http" => true,
            "https" => false,
            _ => return Err(NotAUrl),
        };
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | '?' | '#' | '\\');
        if rest.contains(forbidden) {
            return Err(NotAUrl);
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let host = host_of(authority).ok_or(NotAUrl)?;
        let clear_to_others = clear && !is_loopback(host);
        Ok(Self { clear_to_others, text: text.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText::new("a URL such as \"https://api.example.com\""))
    }
}

/// The host of `host`, `host:port` or `[v6]:port`.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (fits && !host.is_empty()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_to_this_machine_are_fine() {
        for text in [
            "https://rest.mittoapi.net",
            "https://h:8443/base/",
            "http://127.0.0.1:9",
            "http://localhost",
            "http://[::1]:80/x",
        ] {
            assert!(text.parse::<BaseUrl>().unwrap().checked(false).is_ok(), "{text}");
        }
        assert_eq!("https://h/base//".parse::<BaseUrl>().unwrap().as_str(), "https://h/base");
    }

    #[test]
    fn http_to_another_machine_needs_a_word() {
        for text in [
            "http://rest.mittoapi.net",
            "http://10.0.0.1",
            "http://localhost.evil.example",
            "http://127.0.0.1.nip.io",
            "http://[2001:db8::1]",
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.clone().checked(false), Err(What::InsecureUrl), "{text}");
            assert!(url.checked(true).is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_base_url() {
        for text in [
            "",
            "rest.mittoapi.net",
            "ftp://h",
            "https://",
            "https://u:p@h",
            "https://h?x=1",
            "https://h#f",
            "https://h:port",
            "https://h:99999",
            "https://a b",
            "https://[::1",
            "https://h\\@evil",
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(NotAUrl), "{text}");
        }
    }
}
