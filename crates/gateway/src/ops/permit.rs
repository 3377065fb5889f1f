//! Who may use the operator's paths: whoever has the token; in `dev` without one, whoever sits at this machine. A web
//! page open in that machine's browser must not count as such (CVE-2026-22689 of a neighbour): so the name it used must
//! be this machine's, and what it changes must come from its own origin.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;

use super::Ops;
use crate::config::Mode;
use crate::http::Peer;
use crate::surface::bearer;
use crate::surface::problem::{Code, Problem};

impl Ops {
    /// Lets the operator in.
    ///
    /// # Errors
    /// `forbidden`, or `too_many_attempts` after wrong tokens.
    pub(super) fn permit(&self, parts: &Parts) -> Result<(), Problem> {
        let live = self.0.front.live.load();
        match (&live.ops_token, self.0.mode) {
            (Some(token), _) => self.0.front.operator(token, bearer(&parts.headers), &parts.extensions),
            (None, Mode::Dev) if is_local(parts) => Ok(()),
            (None, Mode::Dev) => Err(Problem::new(
                Code::Forbidden,
                "Without `server.ops_token` this path answers requests of this machine only.",
                "Ask through localhost, or set `server.ops_token`.",
            )),
            (None, Mode::Serve) => Err(Problem::new(
                Code::Forbidden,
                "This path needs the operator's token, and none is configured.",
                "Set `server.ops_token` and send it as `Authorization: Bearer TOKEN`.",
            )),
        }
    }
}

fn is_local(parts: &Parts) -> bool {
    // Without a connection there is no network (tests call the routes directly).
    let near = parts.extensions.get::<Peer>().is_none_or(|peer| peer.0.is_loopback());
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(HOST).or_else(|| parts.uri.authority().map(Authority::as_str));
    let own_origin = header(ORIGIN).is_none_or(|origin| {
        host.is_some_and(|host| {
            origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
        })
    });
    near && own_origin && host.is_none_or(is_this_machine)
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn local(peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri("/inbox/v1/messages");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(Peer(peer.parse().unwrap()));
        is_local(&parts)
    }

    #[test]
    fn this_machine_is_let_in() {
        for host in ["localhost:9090", "127.0.0.1:9090", "[::1]:9090", "LOCALHOST"] {
            assert!(local("127.0.0.1", &[("host", host)]), "{host}");
        }
        assert!(local("::1", &[("host", "localhost:9090"), ("origin", "http://localhost:9090")]));
    }

    #[test]
    fn other_machines_and_other_pages_are_not() {
        assert!(!local("192.0.2.1", &[("host", "localhost:9090")]));
        for host in ["evil.example", "127.0.0.1.evil.example:9090", "10.0.0.1", "localhost.evil.example"] {
            assert!(!local("127.0.0.1", &[("host", host)]), "{host}");
        }
        for origin in ["http://evil.example", "null", "http://localhost:8080"] {
            assert!(!local("127.0.0.1", &[("host", "localhost:9090"), ("origin", origin)]), "{origin}");
        }
    }
}
