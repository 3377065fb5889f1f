//! Callers that go on sending while the gateway dies and comes back, and remember what they were told.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::{Answer, Caller, swiss};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Callers at the same time.
const CALLERS: u32 = 12;

/// Pause before a caller asks again after no answer.
const AGAIN: Duration = Duration::from_millis(20);

/// What a caller does about an answer that does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Says `class = "otp"` and gives up.
    Otp,
    /// The same, with an `Idempotency-Key`: asks until there is an answer.
    OtpKeyed,
    /// Says `class = "transactional"` and gives up.
    Transactional,
}

/// One message of one caller, to a number of its own.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) kind: Kind,
    pub(crate) to: String,
    pub(crate) body: Value,
    /// The answer of 202; `None` when there was none, so that nobody knows.
    pub(crate) answer: Option<Answer>,
    /// Requests it took.
    pub(crate) requests: u32,
}

impl Sent {
    /// The id it was accepted under.
    pub(crate) fn id(&self) -> Option<String> {
        self.answer.as_ref().map(Answer::message_id)
    }

    pub(crate) fn key(&self) -> String {
        format!("key-of-{}", self.to)
    }
}

/// Running callers.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

struct Shared {
    caller: Caller,
    next: AtomicU32,
    sent: Mutex<Vec<Sent>>,
    stop: AtomicBool,
}

impl Load {
    /// Sends this many messages a second, if the gateway answers fast enough.
    pub(crate) fn start(caller: Caller, per_second: u32) -> Self {
        let shared = Shared { caller, next: AtomicU32::new(1), sent: Mutex::default(), stop: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let pause = Duration::from_secs(1) * CALLERS / per_second;
        let callers = (0..CALLERS).map(|_| tokio::spawn(send_on(Arc::clone(&shared), pause))).collect();
        Self { shared, callers }
    }

    /// Ends when every caller has finished its last message.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller that was content");
        }
        std::mem::take(&mut *self.shared.sent.lock().expect("no caller panicked"))
    }
}

async fn send_on(shared: Arc<Shared>, pause: Duration) {
    let mut beat = interval(pause);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.stop.load(Ordering::Relaxed) {
        beat.tick().await;
        let sent = send(&shared.caller, shared.next.fetch_add(1, Ordering::Relaxed)).await;
        shared.sent.lock().expect("no caller panicked").push(sent);
    }
}

async fn send(caller: &Caller, n: u32) -> Sent {
    let (kind, class) = match n % 4 {
        0 => (Kind::Transactional, "transactional"),
        1 => (Kind::OtpKeyed, "otp"),
        _ => (Kind::Otp, "otp"),
    };
    let to = swiss(n);
    let body = json!({ "to": to, "text": format!("Your code is {:06}", n * 7 % 1_000_000), "class": class });
    let mut sent = Sent { kind, to, body, answer: None, requests: 0 };
    while sent.answer.is_none() {
        sent.requests += 1;
        match post(caller, &sent).await {
            Ok(answer) => sent.answer = Some(answer.expect(202)),
            Err(_) if kind == Kind::OtpKeyed => sleep(AGAIN).await,
            Err(_) => break,
        }
    }
    sent
}

/// The request once more, byte for byte.
pub(crate) async fn post(caller: &Caller, sent: &Sent) -> Result<Answer, reqwest::Error> {
    let mut request = caller.request(Method::POST, "/v1/messages").json(&sent.body);
    if sent.kind == Kind::OtpKeyed {
        request = request.header("idempotency-key", sent.key());
    }
    Answer::to(request).await
}
