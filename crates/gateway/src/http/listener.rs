//! One listener: accepts connections, serves HTTP/1.1 and HTTP/2 on them, and ends them politely.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::envelope::Peer;
use super::gate::{Entered, Gate};
use super::watch::{Watch, Watched};

/// Largest head of a request; a larger one is answered 431.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// Pause after the kernel had no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds that a reload may change.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Open connections.
    pub(crate) gate: Arc<Gate>,
    header_timeout_ms: AtomicU64,
}

impl Bounds {
    pub(crate) fn new(connections_max: usize, header_timeout: Duration) -> Arc<Self> {
        let bounds = Self { gate: Gate::new(connections_max), header_timeout_ms: AtomicU64::default() };
        bounds.set_header_timeout(header_timeout);
        Arc::new(bounds)
    }

    /// Takes effect for connections to come.
    pub(crate) fn set_header_timeout(&self, timeout: Duration) {
        self.header_timeout_ms.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms.load(Ordering::Relaxed))
    }
}

/// A bound socket with what it serves.
pub(crate) struct Listener {
    tcp: TcpListener,
    hall: Hall,
}

/// Where connections go.
struct Hall {
    builder: Builder<TokioExecutor>,
    router: Router,
    bounds: Arc<Bounds>,
    /// Stop accepting, finish what is in work.
    stop: CancellationToken,
    /// Every connection.
    connections: TaskTracker,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

impl Listener {
    pub(crate) fn new(
        tcp: TcpListener,
        router: Router,
        bounds: Arc<Bounds>,
        stop: CancellationToken,
        connections: TaskTracker,
    ) -> Self {
        Self { tcp, hall: Hall { builder: builder(), router, bounds, stop, connections } }
    }

    /// Accepts until told to stop.
    pub(crate) async fn run(self) {
        let Self { tcp, hall } = self;
        loop {
            let place = tokio::select! {
                place = hall.bounds.gate.enter() => place,
                () = hall.stop.cancelled() => return hall.last(tcp),
            };
            let accepted = tokio::select! {
                accepted = tcp.accept() => accepted,
                () = hall.stop.cancelled() => {
                    drop(place);
                    return hall.last(tcp);
                }
            };
            match accepted {
                Ok((stream, peer)) => hall.begin(stream, peer, place),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(error.kind = "accept", "connections cannot be accepted right now: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Hall {
    /// Takes in whom the kernel has connected already, and closes: a load balancer repeats elsewhere what was refused, not
    /// what was cut off.
    fn last(&self, tcp: TcpListener) {
        let Ok(tcp) = tcp.into_std() else { return };
        while let Some(place) = self.bounds.gate.try_enter() {
            match tcp.accept() {
                Ok((stream, peer)) => {
                    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    if let Ok(stream) = stream {
                        self.begin(stream, peer, place);
                    }
                }
                Err(error) if is_the_clients(&error) => {}
                Err(_) => return, // nobody is there
            }
        }
    }

    fn begin(&self, stream: TcpStream, peer: SocketAddr, place: Entered) {
        drop(stream.set_nodelay(true)); // answers are small: at worst they wait a little
        let connection = Connection {
            builder: self.builder.clone(),
            router: self.router.clone(),
            watch: Watch::new(self.bounds.header_timeout()),
            gate: Arc::clone(&self.bounds.gate),
            stop: self.stop.clone(),
        };
        self.connections.spawn(async move {
            connection.serve(stream, peer).await;
            drop(place); // the connection is closed
        });
    }
}

struct Connection {
    builder: Builder<TokioExecutor>,
    router: Router,
    watch: Arc<Watch>,
    gate: Arc<Gate>,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let Self { builder, router, watch, gate, stop } = self;
        let peer = Peer(peer.ip().to_canonical());
        let service = service_fn({
            let watch = Arc::clone(&watch);
            move |mut request: hyper::Request<Incoming>| {
                let working = watch.begin(request.version());
                request.extensions_mut().insert(peer);
                let answer = router.clone().call(Request::from(request.map(Body::new)));
                async move {
                    let answer = answer.await;
                    drop(working); // the answer is ready to be written
                    answer
                }
            }
        });
        let io = TokioIo::new(Watched { stream, watch: Arc::clone(&watch) });
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut leaving = false;
        let mut leave = pin!(async {
            stop.cancelled().await;
            watch.first_request().await;
        });
        loop {
            tokio::select! {
                // What went wrong on a connection is its client's business: closed early, no HTTP, too slow.
                _ = connection.as_mut() => return,
                () = leave.as_mut(), if !leaving => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(watch.next_check()) => {
                    if watch.is_overdue(gate.is_crowded()) {
                        return;
                    }
                }
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None) // the watch does that
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}

/// The connection was gone before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
