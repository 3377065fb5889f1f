//! Callers that keep a pace whatever the gateway does, and remember what they were told. Never repeats a request.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::{Answer, Caller, swiss};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Requests at the same time, at most.
const CALLERS: u32 = 96;

/// What to send and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages a second; 0 is as fast as there are answers.
    pub(crate) per_second: u32,
    /// Number of the first message; no two loads of a gateway may overlap.
    pub(crate) first: u32,
    /// Makes the body of a message from its number.
    pub(crate) body: fn(u32) -> Value,
    /// Each request has an `Idempotency-Key`.
    pub(crate) keyed: bool,
}

impl Pace {
    /// Three of four are `otp`, one `transactional`.
    pub(crate) fn mixed(per_second: u32) -> Self {
        Self { per_second, first: 1, body: mixed, keyed: false }
    }

    /// Only `otp`.
    pub(crate) fn otp(per_second: u32) -> Self {
        Self { per_second, first: 1, body: otp, keyed: false }
    }

    /// Begins at another number.
    pub(crate) fn from(mut self, first: u32) -> Self {
        self.first = first;
        self
    }

    /// Gives each request a key of its own.
    pub(crate) fn keyed(mut self) -> Self {
        self.keyed = true;
        self
    }

    /// Sends other messages.
    pub(crate) fn of(mut self, body: fn(u32) -> Value) -> Self {
        self.body = body;
        self
    }
}

pub(crate) fn otp(n: u32) -> Value {
    json!({ "to": swiss(n), "text": format!("Your code is {:06}", n % 1_000_000) })
}

fn mixed(n: u32) -> Value {
    let class = if n.is_multiple_of(4) { "transactional" } else { "otp" };
    json!({ "to": swiss(n), "text": format!("Your code is {:06}", n % 1_000_000), "class": class })
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// The number of the message, hence its recipient.
    pub(crate) n: u32,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// `None` when no complete answer came, so that nobody knows.
    pub(crate) status: Option<u16>,
    /// Whether a refusal said when to come again.
    pub(crate) retry_after: bool,
    /// Of an accepted message.
    pub(crate) id: Option<String>,
}

impl Sent {
    pub(crate) fn accepted(&self) -> bool {
        self.id.is_some()
    }
}

/// Running callers.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    caller: Caller,
    pace: Pace,
    count: u32,
    start: Instant,
    next: AtomicU32,
    sent: Mutex<Vec<Sent>>,
    stop: AtomicBool,
}

impl Load {
    pub(crate) fn start(caller: Caller, pace: Pace) -> Self {
        Self::limited(caller, pace, u32::MAX)
    }

    fn limited(caller: Caller, pace: Pace, count: u32) -> Self {
        let shared = Shared {
            caller,
            pace,
            count,
            start: Instant::now(),
            next: AtomicU32::new(0),
            sent: Mutex::default(),
            stop: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let callers = (0..CALLERS).map(|_| tokio::spawn(send_on(Arc::clone(&shared)))).collect();
        Self { shared, callers }
    }

    /// Ends when every caller has its last answer.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller that was content");
        }
        std::mem::take(&mut *self.shared.sent.lock().expect("no caller panicked"))
    }

    /// Keeps the pace for so long.
    pub(crate) async fn run(caller: Caller, pace: Pace, time: Duration) -> Vec<Sent> {
        let load = Self::start(caller, pace);
        tokio::time::sleep(time).await;
        load.stop().await
    }

    /// Sends exactly so many.
    pub(crate) async fn exactly(caller: Caller, pace: Pace, count: u32) -> Vec<Sent> {
        let load = Self::limited(caller, pace, count);
        for caller in load.callers {
            caller.await.expect("a caller that was content");
        }
        std::mem::take(&mut *load.shared.sent.lock().expect("no caller panicked"))
    }
}

async fn send_on(shared: Arc<Shared>) {
    let Pace { per_second, first, body, keyed } = shared.pace;
    while !shared.stop.load(Ordering::Relaxed) {
        let nth = shared.next.fetch_add(1, Ordering::Relaxed);
        if nth >= shared.count {
            return;
        }
        if per_second > 0 {
            sleep_until(shared.start + Duration::from_secs(1) * nth / per_second).await;
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        let n = first + nth;
        let sent =
            if keyed { send_keyed(&shared.caller, n, &body(n)).await } else { send(&shared.caller, n, &body(n)).await };
        let unanswered = sent.status.is_none();
        shared.sent.lock().expect("no caller panicked").push(sent);
        if unanswered && per_second == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await; // nobody there: no busy loop
        }
    }
}

/// One message.
pub(crate) async fn send(caller: &Caller, n: u32, body: &Value) -> Sent {
    let began = Instant::now();
    let answer = caller.try_send(body).await.ok();
    seen(n, began, answer.as_ref())
}

async fn send_keyed(caller: &Caller, n: u32, body: &Value) -> Sent {
    let began = Instant::now();
    let request = caller.request(Method::POST, "/v1/messages").json(body).header("idempotency-key", key(n));
    let answer = Answer::to(request).await.ok();
    seen(n, began, answer.as_ref())
}

fn seen(n: u32, began: Instant, answer: Option<&Answer>) -> Sent {
    let took = began.elapsed();
    let id = answer.filter(|answer| matches!(answer.status, 200 | 202)).map(Answer::message_id);
    let retry_after = answer.is_some_and(|answer| !answer.header("retry-after").is_empty());
    Sent { n, began, took, status: answer.map(|answer| answer.status), retry_after, id }
}

/// The key of the `n`th message, as long as a UUID.
pub(crate) fn key(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}
