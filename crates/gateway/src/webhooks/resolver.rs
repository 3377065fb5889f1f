//! Looks names up and leaves out every address inside a private or special network.

use std::io;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// Why such an endpoint is not called.
pub(super) const REFUSED: &str = "the address is private or special";

/// Answers with public addresses only.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(public(found)?)
        })
    }
}

fn public(found: impl Iterator<Item = SocketAddr>) -> io::Result<Addrs> {
    let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
    if public.is_empty() { Err(io::Error::other(REFUSED)) } else { Ok(Box::new(public.into_iter())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[&str]) -> Result<Vec<String>, String> {
        let found = list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        public(found).map(|kept| kept.map(|a| a.ip().to_string()).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_with_mixed_answers_keeps_the_public_ones() {
        assert_eq!(of(&["10.0.0.1", "93.184.216.34", "::1"]), Ok(vec!["93.184.216.34".to_owned()]));
        assert_eq!(of(&["10.0.0.1"]), Err(REFUSED.to_owned()));
        assert_eq!(of(&[]), Err(REFUSED.to_owned()));
    }

    #[tokio::test]
    async fn localhost_is_refused() {
        let name: Name = "localhost".parse().unwrap();
        let error = PublicOnly.resolve(name).await.err().unwrap();
        assert_eq!(error.to_string(), REFUSED);
    }
}
