//! A load balancer for several gateways: connection by connection in turn, and on to the next one where a connection is
//! refused. It sees no requests, so it repeats none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::builder::key_of;
use crate::caller::Caller;
use crate::gateway::Gateway;

/// A running balancer; gone when dropped.
#[derive(Debug)]
pub struct Balancer {
    url: String,
    http: reqwest::Client,
    accepting: JoinHandle<()>,
}

impl Balancer {
    /// Over these nodes, whether they are up or not.
    pub async fn over(nodes: &[Gateway]) -> Self {
        let backends: Arc<Vec<String>> = Arc::new(nodes.iter().map(|node| node.listen().to_owned()).collect());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let turn = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(pass_on(caller, Arc::clone(&backends), Arc::clone(&turn)));
            }
        });
        // A connection for each request, so that each is balanced, and none idles while its gateway stops.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(ANSWER_WITHIN);
        Self { url, http: http.build().expect("a client"), accepting }
    }

    /// An application of tenant `acme` that calls through it.
    pub fn acme(&self) -> Caller {
        Caller::new(self.http.clone(), &self.url, &key_of("acme"))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass_on(mut caller: TcpStream, backends: Arc<Vec<String>>, turn: Arc<AtomicUsize>) {
    let first = turn.fetch_add(1, Ordering::Relaxed);
    for nth in 0..backends.len() {
        let Some(backend) = backends.get((first + nth) % backends.len()) else { return };
        if let Ok(mut gateway) = TcpStream::connect(backend).await {
            drop(copy_bidirectional(&mut caller, &mut gateway).await); // whoever broke it off, it is over
            return;
        }
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(30);
