//! Mitto's REST SMS API as an upstream: validates as `shared/reference/providers.md` §1.1 says, hands out
//! ids, and reports deliveries to the `callback` of each message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Behaviour, Call, Called, Dialect, Reply, Request, Upstream, Verdict};

/// A running stand-in; dropping it ends it.
pub struct Mitto {
    script: Arc<Mutex<Script>>,
    upstream: Upstream,
}

#[derive(Default)]
struct Script {
    behaviours: HashMap<String, Behaviour>,
    key: Option<String>,
    latency: Duration,
    receipts: Option<ReceiptPlan>,
    receipts_for: HashMap<String, Option<ReceiptPlan>>,
}

/// One request to `/sms.json` or `/sms`, whatever was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MittoSend {
    /// When it had been read.
    pub at: Instant,
    /// What happened to it.
    pub behaviour: Behaviour,
    /// The id it was or would have been given.
    pub id: String,
    /// Digits.
    pub to: String,
    /// Sender.
    pub from: String,
    /// The text.
    pub text: String,
    /// `GSM` or `Unicode`.
    pub kind: String,
    /// Our message id.
    pub reference: String,
    /// Minutes.
    pub validity: Option<u64>,
    /// Where receipts go.
    pub callback: Option<String>,
}

/// The receipts of messages that carry a `callback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptPlan {
    /// Status words in their order, e.g. `["Sent", "Delivered"]`.
    pub statuses: Vec<String>,
    /// Pause before the first and between them.
    pub after: Duration,
    /// How they travel.
    pub form: ReceiptForm,
    /// Also for messages that were read but not answered.
    pub unanswered: bool,
}

/// How receipts travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptForm {
    /// POST, `application/x-www-form-urlencoded`.
    Form,
    /// POST, `application/json`.
    Json,
    /// GET, everything in the query.
    Query,
}

impl ReceiptPlan {
    /// One `Delivered` by JSON after `after`.
    pub fn delivered(after: Duration) -> Self {
        Self { statuses: vec!["Delivered".to_owned()], after, form: ReceiptForm::Json, unanswered: false }
    }
}

impl Mitto {
    /// Accepts every message with any key; sends no receipts.
    pub fn start() -> Self {
        let script = Arc::new(Mutex::default());
        let upstream = Upstream::start(MittoDialect { script: Arc::clone(&script) });
        Self { script, upstream }
    }

    /// What goes into `base_url`.
    pub fn base_url(&self) -> String {
        self.upstream.url()
    }

    /// Refuses every other key from now on.
    pub fn require_key(&self, key: &str) {
        self.script().key = Some(key.to_owned());
    }

    /// What happens to every message from now on; in effect when this returns.
    pub fn behave(&self, behaviour: Behaviour) {
        self.upstream.behave(behaviour);
    }

    /// What happens to messages to `number`, before anything else.
    pub fn behave_for(&self, number: &str, behaviour: Behaviour) {
        self.script().behaviours.insert(digits(number), behaviour);
    }

    /// How long answers take from now on.
    pub fn answer_after(&self, latency: Duration) {
        self.script().latency = latency;
    }

    /// The receipts of every message from now on.
    pub fn receipts(&self, plan: Option<ReceiptPlan>) {
        self.script().receipts = plan;
    }

    /// The receipts of messages to `number`, before anything else.
    pub fn receipts_for(&self, number: &str, plan: Option<ReceiptPlan>) {
        self.script().receipts_for.insert(digits(number), plan);
    }

    /// Every send that was read, oldest first; the last two hundred thousand.
    pub fn sends(&self) -> Vec<MittoSend> {
        self.upstream.requests().iter().filter_map(|request| MittoSend::of(request)).collect()
    }

    /// [`Mitto::sends`] to one number.
    pub fn sends_to(&self, number: &str) -> Vec<MittoSend> {
        let number = digits(number);
        self.sends().into_iter().filter(|send| send.to == number).collect()
    }

    /// Waits (in real time) until `count` sends were read; `false` when they were not within `limit`.
    pub async fn wait_for_sends(&self, count: usize, limit: Duration) -> bool {
        let steps = limit.as_millis() / STEP.as_millis();
        for _ in 0..=steps {
            if self.sends().len() >= count {
                return true;
            }
            tokio::time::sleep(STEP).await;
        }
        false
    }

    /// Ids reported as used.
    pub fn conversions(&self) -> Vec<String> {
        let reported = |request: &Arc<Request>| {
            let body = (request.path() == "/sms/converted").then(|| request.json())??;
            body.get("messageId")?.as_str().map(str::to_owned)
        };
        self.upstream.requests().iter().filter_map(reported).collect()
    }

    /// The receipts handed in so far, with the gateway's answers.
    pub fn called(&self) -> Vec<Called> {
        self.upstream.called()
    }

    /// Requests of any kind read so far.
    pub fn wire_requests(&self) -> usize {
        self.upstream.wire_requests()
    }

    /// Forgets sends, conversions and receipts; scripts stay.
    pub fn forget(&self) {
        self.upstream.forget();
    }

    /// The sockets underneath.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MittoSend {
    /// `None` for requests that are no sends.
    pub fn of(request: &Request) -> Option<Self> {
        if !matches!(request.path(), "/sms" | "/sms.json") {
            return None;
        }
        let body = request.json()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            at: request.at,
            behaviour: request.behaviour,
            id: id(request),
            to: text("to"),
            from: text("from"),
            text: text("text"),
            kind: text("type"),
            reference: text("reference"),
            validity: body.get("validity").and_then(Value::as_u64),
            callback: body.get("callback").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// Mitto's words, with numbers and texts quoted wherever a careless vendor might.
#[derive(Default)]
pub struct MittoDialect {
    script: Arc<Mutex<Script>>,
}

impl MittoDialect {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_fits(&self, request: &Request) -> bool {
        let given = request.header("x-mitto-api-key").unwrap_or_default();
        self.script().key.as_deref().map_or(!given.is_empty(), |key| key == given)
    }
}

impl Dialect for MittoDialect {
    fn reply(&self, request: &Request, verdict: Verdict) -> Reply {
        let fault = |status, code: u8, text: String| {
            Reply::json(status, &json!({ "responseCode": code, "responseText": text }))
        };
        let send = MittoSend::of(request);
        let (to, text) = send.as_ref().map_or(("", ""), |send| (send.to.as_str(), send.text.as_str()));
        match verdict {
            Verdict::BadCredentials => {
                Reply::text(401, &format!("\"bad key {:?}\"", request.header("x-mitto-api-key")))
            }
            Verdict::RejectContent => fault(400, 4, format!("Message text is invalid: {text}")),
            Verdict::RejectNumber => fault(200, 8, format!("Invalid receiver: {to}")),
            Verdict::ServerError => fault(500, 1, format!("Internal error for {to}: {text}")),
            Verdict::Throttle(pause) => {
                Reply::text(429, &format!("\"slow down, {to}\"")).with("retry-after", &pause.as_secs().to_string())
            }
            Verdict::Accept if !self.key_fits(request) => Reply::text(401, "\"unknown key\""),
            Verdict::Accept => match (request.path(), send) {
                ("/sms/converted", _) => Reply::text(200, "\"OK\""),
                (_, None) => Reply::text(404, ""),
                (_, Some(send)) => accept(request, &send),
            },
        }
    }

    fn behaviour(&self, request: &Request) -> Option<Behaviour> {
        let to = MittoSend::of(request)?.to;
        self.script().behaviours.get(&to).copied()
    }

    fn latency(&self, _: &Request) -> Duration {
        self.script().latency
    }

    fn calls(&self, request: &Request, behaviour: Behaviour) -> Vec<Call> {
        let Some((send, callback)) = MittoSend::of(request).and_then(|send| Some((send.clone(), send.callback?)))
        else {
            return Vec::new();
        };
        let script = self.script();
        let plan = script.receipts_for.get(&send.to).unwrap_or(&script.receipts);
        let due =
            |plan: &ReceiptPlan| behaviour == Behaviour::Accept || (plan.unanswered && behaviour.verdict().is_none());
        let Some(plan) = plan.as_ref().filter(|plan| due(plan)) else { return Vec::new() };
        let call = |(nth, status): (u32, &String)| receipt(plan, &callback, &send, (plan.after * nth, status));
        (1..).zip(&plan.statuses).map(call).collect()
    }
}

/// What Mitto checks before it sends.
fn accept(request: &Request, send: &MittoSend) -> Reply {
    let fault = |code: u8, text: &str| Reply::json(400, &json!({ "responseCode": code, "responseText": text }));
    if send.to.is_empty() {
        return fault(7, "Empty receiver");
    }
    if send.to.bytes().any(|byte| !byte.is_ascii_digit()) {
        return fault(8, "Invalid receiver");
    }
    if send.text.is_empty() {
        return fault(3, "Empty message");
    }
    if send.from.is_empty() {
        return fault(5, "Empty sender");
    }
    let numeric = send.from.bytes().all(|byte| byte.is_ascii_digit());
    if !(3..=if numeric { 14 } else { 11 }).contains(&send.from.len()) {
        return fault(6, "Invalid sender");
    }
    Reply::json(
        200,
        &json!({
            "id": id(request), "timestamp": "2026-04-13T12:07:57.8625574Z", "to": send.to,
            "responseCode": 0, "responseText": "SMS sent", "textLength": send.text.chars().count(),
        }),
    )
}

fn receipt(plan: &ReceiptPlan, callback: &str, send: &MittoSend, (after, status): (Duration, &str)) -> Call {
    let fields = format!("messageId={}&status={status}&errorcode=0", send.id);
    let json = json!({ "messageId": send.id, "status": status, "errorcode": "0", "reference": send.reference });
    let (method, url, content_type, body) = match plan.form {
        ReceiptForm::Form => ("POST", callback.to_owned(), Some("application/x-www-form-urlencoded"), fields),
        ReceiptForm::Json => ("POST", callback.to_owned(), Some("application/json"), json.to_string()),
        ReceiptForm::Query => {
            let joint = if callback.contains('?') { '&' } else { '?' };
            ("GET", format!("{callback}{joint}{fields}"), None, String::new())
        }
    };
    Call { after, method, url, content_type, body }
}

/// 32 hex digits, different for every request of every upstream of a process's life.
fn id(request: &Request) -> String {
    let reference =
        request.json().and_then(|body| body.get("reference")?.as_str().map(str::to_owned)).unwrap_or_default();
    let hash = reference
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}{:016x}", request.number)
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

const STEP: Duration = Duration::from_millis(5);
