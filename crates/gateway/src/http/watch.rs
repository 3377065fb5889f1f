//! Watches one connection, so that slow or silent clients cannot hold places: the head of a request must arrive in
//! time, and an idle connection is closed, sooner when there is little room. hyper's own time-out is not used: it
//! takes an idle connection for a slow head, and does not see a client that sends nothing at all.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a connection may idle between requests. Longer than load balancers do (60 s), so that they close first.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// How long after its beginning a connection may be without a request when we stop.
const FIRST_MAX: Duration = Duration::from_millis(500);

/// What a connection is doing, as seen from the bytes and requests that pass.
#[derive(Debug)]
pub(super) struct Watch {
    header_timeout: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    phase: Phase,
    since: Instant,
    requests: usize,
    http2: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// At least one request is in work.
    Busy,
    /// Accepted; no request yet.
    Fresh,
    /// Bytes came after an idle time.
    Head,
    /// Nothing came since the last answer.
    Idle,
}

impl Watch {
    pub(super) fn new(header_timeout: Duration) -> Arc<Self> {
        let seen = Seen { phase: Phase::Fresh, since: Instant::now(), requests: 0, http2: false };
        Arc::new(Self { header_timeout, seen: Mutex::new(seen) })
    }

    /// A request's head is complete; it is in work until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Working {
        let mut seen = self.seen();
        seen.phase = Phase::Busy;
        seen.requests += 1;
        seen.http2 |= version == Version::HTTP_2;
        Working(Arc::clone(self))
    }

    /// Waits until a connection that was just made has a request, or has had time for one: closing it sooner would cut
    /// off a request on its way. Does not wait on any other connection.
    pub(super) async fn first_request(&self) {
        while self.awaits_first() {
            tokio::time::sleep(CHECK_MIN).await;
        }
    }

    fn awaits_first(&self) -> bool {
        let seen = self.seen();
        seen.phase == Phase::Fresh && seen.since.elapsed() < FIRST_MAX
    }

    /// Whether the connection has used up its patience.
    pub(super) fn is_overdue(&self, crowded: bool) -> bool {
        let seen = self.seen();
        let slow = self.header_timeout;
        // Seen with a delay of one check: a little earlier keeps the promised time.
        let slow_head = slow * (CHECKS - 1) / CHECKS;
        let idle = if crowded { slow_head } else { IDLE_MAX };
        let patience = match seen.phase {
            Phase::Busy => return false,
            Phase::Fresh => slow,
            Phase::Head if !seen.http2 => slow_head,
            Phase::Head | Phase::Idle => idle,
        };
        seen.since.elapsed() >= patience
    }

    /// When to look next.
    pub(super) fn next_check(&self) -> Instant {
        let seen = self.seen();
        match seen.phase {
            Phase::Fresh => seen.since + self.header_timeout,
            Phase::Busy | Phase::Head | Phase::Idle => Instant::now() + (self.header_timeout / CHECKS).max(CHECK_MIN),
        }
    }

    fn bytes_came(&self) {
        let mut seen = self.seen();
        // Frames of HTTP/2 that are no requests (acknowledgements) do not count as life.
        if seen.phase == Phase::Idle && !seen.http2 {
            seen.phase = Phase::Head;
            seen.since = Instant::now();
        }
    }

    fn end(&self) {
        let mut seen = self.seen();
        seen.requests = seen.requests.saturating_sub(1);
        if seen.requests == 0 {
            seen.phase = Phase::Idle;
            seen.since = Instant::now();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at a connection during one header time-out.
const CHECKS: u32 = 5;

/// A very short time-out must not keep the processor busy with looking.
const CHECK_MIN: Duration = Duration::from_millis(10);

/// A request in work.
#[derive(Debug)]
pub(super) struct Working(Arc<Watch>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A connection that tells its watch when bytes come.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) watch: Arc<Watch>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.bytes_came();
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_overdue_after_the_header_timeout() {
        let watch = Watch::new(TIMEOUT);
        watch.bytes_came(); // half a head does not buy time
        advance(Duration::from_millis(9_999)).await;
        assert!(!watch.is_overdue(false));
        advance(Duration::from_millis(1)).await;
        assert!(watch.is_overdue(false));
        assert_eq!(watch.next_check(), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_new_connection_is_waited_for_and_not_for_long() {
        let (began, watch) = (Instant::now(), Watch::new(TIMEOUT));
        watch.first_request().await;
        assert!((FIRST_MAX..FIRST_MAX * 2).contains(&began.elapsed()));
        let (began, watch) = (Instant::now(), Watch::new(TIMEOUT));
        let _working = watch.begin(Version::HTTP_11);
        watch.first_request().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_work_is_never_overdue_and_idling_is_after_75_s() {
        let watch = Watch::new(TIMEOUT);
        let working = watch.begin(Version::HTTP_11);
        advance(Duration::from_hours(1)).await;
        assert!(!watch.is_overdue(true));
        drop(working);
        advance(Duration::from_secs(74)).await;
        assert!(!watch.is_overdue(false));
        assert!(watch.is_overdue(true), "room is made when there is little");
        advance(Duration::from_secs(1)).await;
        assert!(watch.is_overdue(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_on_a_used_connection_is_overdue_in_time() {
        let watch = Watch::new(TIMEOUT);
        drop(watch.begin(Version::HTTP_11));
        advance(Duration::from_mins(1)).await;
        watch.bytes_came();
        advance(Duration::from_secs(7)).await;
        watch.bytes_came(); // a byte now and then does not help
        assert!(!watch.is_overdue(false));
        advance(Duration::from_secs(1)).await;
        assert!(watch.is_overdue(false), "8 s and one check of 2 s make 10 s");
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgements_of_http2_are_no_head() {
        let watch = Watch::new(TIMEOUT);
        let (one, two) = (watch.begin(Version::HTTP_2), watch.begin(Version::HTTP_2));
        drop(one);
        assert!(!watch.is_overdue(false));
        drop(two);
        watch.bytes_came();
        advance(Duration::from_secs(20)).await;
        assert!(!watch.is_overdue(false));
    }
}
