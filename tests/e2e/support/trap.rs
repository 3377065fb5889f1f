//! A port that counts who connects, at every address of this machine and over both protocols.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Takes connections, counts them and hangs up. Its thread ends with the process.
#[derive(Debug)]
pub struct Trap {
    /// The port.
    pub port: u16,
    caught: Arc<AtomicUsize>,
}

impl Trap {
    /// On a free port.
    pub fn set() -> Self {
        Self::on(0).expect("a free port")
    }

    /// On this port; `None` when somebody else has it, or we may not.
    pub fn on(port: u16) -> Option<Self> {
        let every = [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
        let listener = TcpListener::bind(every.as_slice()).ok()?;
        let (port, caught) = (listener.local_addr().expect("a bound socket").port(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&caught);
        let count = move || {
            for _ in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        };
        drop(std::thread::Builder::new().name("trap".to_owned()).spawn(count).expect("a thread"));
        Some(Self { port, caught })
    }

    /// Connections so far, with time for those on their way.
    pub async fn caught(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.caught.load(Ordering::SeqCst)
    }
}
