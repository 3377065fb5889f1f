//! Calls that an upstream makes on its own: receipts. To loopback only.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::http::read_until;

/// A call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How long from now.
    pub after: Duration,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// `http://127.0.0.1:PORT/…`
    pub url: String,
    /// Of the body; none is sent without it.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: String,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Where to.
    pub url: String,
    /// The answer's status; `None` when there was none.
    pub status: Option<u16>,
}

pub(super) struct Callbacks {
    made: Mutex<Vec<Called>>,
    permits: Semaphore,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self { made: Mutex::default(), permits: Semaphore::new(CALLS_AT_ONCE) }
    }
}

impl Callbacks {
    pub(super) fn made(&self) -> Vec<Called> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn forget(&self) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, called: Called) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() < CALLS_NOTED_MAX {
            made.push(called);
        }
    }
}

pub(super) async fn make(call: Call, callbacks: &Callbacks) {
    sleep(call.after).await;
    let Ok(_permit) = callbacks.permits.acquire().await else { return };
    let status = timeout(ANSWER_WITHIN, post(&call)).await.ok().and_then(Result::ok).flatten();
    callbacks.note(Called { url: call.url, status });
}

async fn post(call: &Call) -> io::Result<Option<u16>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let rest = call.url.strip_prefix("http://").ok_or_else(invalid)?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let at: SocketAddr = host.replace("localhost", "127.0.0.1").parse().map_err(|_| invalid())?;
    if !at.ip().is_loopback() {
        return Err(invalid());
    }
    let content = call
        .content_type
        .map_or(String::new(), |kind| format!("content-type: {kind}\r\ncontent-length: {}\r\n", call.body.len()));
    let request =
        format!("{} /{path} HTTP/1.1\r\nhost: {host}\r\n{content}connection: close\r\n\r\n{}", call.method, call.body);
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(request.as_bytes()).await?;
    let head = read_until(&mut stream, &mut Vec::new(), b"\r\n").await?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&head).split(' ').nth(1).and_then(|status| status.parse().ok()))
}

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const CALLS_AT_ONCE: usize = 64;
const CALLS_NOTED_MAX: usize = 100_000;
