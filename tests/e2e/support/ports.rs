//! Ports for gateways whose address must be known before they start (receipt URLs name it) and kept across restarts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel takes ports of outgoing connections: none of those can take a port of ours
/// while its gateway restarts.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// Test processes that run side by side begin this far apart.
const STRIDE: u32 = 64;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on and that this process does not hand out again.
pub fn free_port() -> u16 {
    let begin = u16::try_from(std::process::id().wrapping_mul(STRIDE) % u32::from(COUNT)).expect("less than COUNT");
    let candidates = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(usize::from(COUNT));
    candidates
        .map(|nth| FIRST + (begin + nth % COUNT) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

/// [`free_port`] as an address.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}
