//! Looks names up and leaves out every address inside a private or special network. What is left is what is connected
//! to: a name that answers otherwise the next time is judged again the next time.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::is_public;

/// Why such an endpoint is not called.
pub(super) const REFUSED: &str = "the address is private or special";

/// Looks names up; tests bring their own.
#[async_trait]
pub(super) trait Lookup: Debug + Send + Sync + 'static {
    /// Every address of a name.
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct System;

#[async_trait]
impl Lookup for System {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.collect())
    }
}

/// Answers with public addresses only.
#[derive(Clone, Debug)]
pub(super) struct PublicOnly(pub(super) Arc<dyn Lookup>);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = Arc::clone(&self.0);
        Box::pin(async move { Ok(public(lookup.lookup(name.as_str()).await?)?) })
    }
}

fn public(found: Vec<SocketAddr>) -> io::Result<Addrs> {
    let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
    if public.is_empty() { Err(io::Error::other(REFUSED)) } else { Ok(Box::new(public.into_iter())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[&str]) -> Result<Vec<String>, String> {
        let found = list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        public(found.collect())
            .map(|kept| kept.map(|a| a.ip().to_string()).collect())
            .map_err(|error| error.to_string())
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
        let error = PublicOnly(Arc::new(System)).resolve(name).await.err().unwrap();
        assert_eq!(error.to_string(), REFUSED);
    }
}
