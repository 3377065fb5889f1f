//! A small honest provider over raw sockets, and the ways in which it can be spoilt.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sms_conformance::provider::{Harness, Report, Rig, Seen, Wire};
use sms_conformance::upstream::{Behaviour, Reply, Request, Upstream, Verdict};
use sms_core::{
    Attempt, CallbackError, CallbackRequest, Capabilities, Channel, DeliveryState, Descriptor, Encoding, Fate, Kind,
    MessageId, OutboundSms, ProviderName, Receipt, ReceiptMode, Secret, SendError, SmsProvider, Submission,
    callback_token, callback_token_matches,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// One defect each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    AsciiOnly,
    BodyUnbounded,
    BorrowedToken,
    CodeInLog,
    CredentialInDebug,
    CutsLongText,
    DeadlineIgnored,
    DetachedTask,
    DoubleSend,
    ForgedTaken,
    GarbageTaken,
    HangIsNotSent,
    KeyPerCall,
    KeyPerMessage,
    NumberInError,
    NumberIsContent,
    PanicsOnJunk,
    PauseLost,
    ProbeBlind,
    ProbeSends,
    RepeatsAfterReset,
    SenderReplaced,
    ServerErrorSilent,
    StateLost,
    StaysOnShutdown,
    TextInSource,
    ValidityLost,
    VoiceAsText,
    WrongEncoding,
    WrongRecipient,
    WrongUpstreamId,
}

impl Mutation {
    /// Each with the check that is there for it.
    pub(crate) const ALL: [(Self, &'static str); 31] = [
        (Self::AsciiOnly, "text_arrives_intact"),
        (Self::BodyUnbounded, "right_kind_and_fate"),
        (Self::BorrowedToken, "forged_receipt_is_refused"),
        (Self::CodeInLog, "nothing_personal_leaks"),
        (Self::CredentialInDebug, "nothing_personal_leaks"),
        (Self::CutsLongText, "long_text_is_never_cut"),
        (Self::DeadlineIgnored, "answers_by_deadline"),
        (Self::DetachedTask, "dropped_send_leaves_nothing"),
        (Self::DoubleSend, "one_send_one_wire_request"),
        (Self::ForgedTaken, "forged_receipt_is_refused"),
        (Self::GarbageTaken, "right_kind_and_fate"),
        (Self::HangIsNotSent, "right_kind_and_fate"),
        (Self::KeyPerCall, "same_attempt_same_key"),
        (Self::KeyPerMessage, "same_attempt_same_key"),
        (Self::NumberInError, "nothing_personal_leaks"),
        (Self::NumberIsContent, "right_kind_and_fate"),
        (Self::PanicsOnJunk, "junk_never_panics"),
        (Self::PauseLost, "pause_is_handed_on"),
        (Self::ProbeBlind, "probe_tells_accounts_apart"),
        (Self::ProbeSends, "probe_never_sends"),
        (Self::RepeatsAfterReset, "one_send_one_wire_request"),
        (Self::SenderReplaced, "sender_is_honoured_or_refused"),
        (Self::ServerErrorSilent, "right_kind_and_fate"),
        (Self::StateLost, "receipts_come_round"),
        (Self::StaysOnShutdown, "shuts_down_by_deadline"),
        (Self::TextInSource, "nothing_personal_leaks"),
        (Self::ValidityLost, "validity_is_handed_on"),
        (Self::VoiceAsText, "channel_is_honoured_or_refused"),
        (Self::WrongEncoding, "text_arrives_intact"),
        (Self::WrongRecipient, "recipient_arrives_intact"),
        (Self::WrongUpstreamId, "receipts_come_round"),
    ];
}

pub(crate) struct ToyHarness {
    pub(crate) mutation: Option<Mutation>,
}

const CREDENTIAL: &str = "toy-credential-canary";
const SECRET: &str = "toy-callback-secret";

#[async_trait]
impl Harness for ToyHarness {
    async fn rig(&self, behaviour: Behaviour) -> Rig {
        let upstream = Upstream::start(answer);
        upstream.behave(behaviour);
        let at = upstream.url().replace("http://", "");
        let toy = Toy {
            at,
            calls: AtomicUsize::new(0),
            descriptor: descriptor(),
            mutation: self.mutation,
            sent: Mutex::default(),
        };
        Rig { provider: Arc::new(toy), wire: Box::new(Side(upstream)), pushed: None }
    }

    fn credential(&self) -> Option<String> {
        Some(CREDENTIAL.to_owned())
    }

    fn callback(&self, report: &Report) -> Option<CallbackRequest> {
        let status = match &report.state {
            DeliveryState::Unrecognised(word) => word,
            DeliveryState::Delivered | DeliveryState::Expired | DeliveryState::Pending | DeliveryState::Undelivered => {
                report.state.as_str()
            }
        };
        let body = json!({ "id": report.upstream_id, "status": status, "ref": report.message.to_string() });
        Some(CallbackRequest {
            method: "POST".to_owned(),
            token: callback_token(&Secret::new(SECRET), &report.message.to_string()),
            body: body.to_string().into_bytes(),
            ..CallbackRequest::default()
        })
    }
}

fn descriptor() -> Descriptor {
    let capabilities = Capabilities {
        alphanumeric_sender: true,
        body_units_max: 1000,
        channels: &[Channel::Sms],
        encodings: &[Encoding::Gsm7, Encoding::Ucs2],
        idempotent: true,
        receipts: ReceiptMode::Callback,
        test_numbers: false,
        validity_period: true,
    };
    Descriptor { kind: "toy", name: ProviderName::new("toy"), capabilities }
}

/// The upstream's dialect.
fn answer(request: &Request, verdict: Verdict) -> Reply {
    let body = request.json().unwrap_or_default();
    match verdict {
        Verdict::Accept => Reply::json(200, &json!({ "id": format!("up-{}", request.number) })),
        Verdict::BadCredentials => Reply::text(401, "no"),
        Verdict::RejectContent => Reply::json(422, &json!({ "fault": "content", "about": body })),
        Verdict::RejectNumber => Reply::json(422, &json!({ "fault": "number", "about": body })),
        Verdict::ServerError => Reply::text(500, "oops"),
        Verdict::Throttle(pause) => Reply::text(429, "slowly").with("retry-after", &pause.as_secs().to_string()),
    }
}

struct Side(Upstream);

impl Wire for Side {
    fn seen(&self) -> Vec<Seen> {
        let messages = self.0.requests().into_iter().filter(|request| request.path() == "/send");
        let seen = messages.filter_map(|request| {
            let body = request.json()?;
            let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            Some(Seen {
                to: text("to"),
                sender: text("from"),
                text: text("text"),
                encoding: serde_json::from_value(body["encoding"].clone()).ok(),
                valid_for: body["valid_s"].as_u64().map(Duration::from_secs),
                idempotency_key: request.header("idempotency-key").map(str::to_owned),
            })
        });
        seen.collect()
    }

    fn requests(&self) -> Option<usize> {
        Some(self.0.wire_requests())
    }

    fn open_connections(&self) -> Option<usize> {
        Some(self.0.open_connections())
    }
}

struct Toy {
    at: String,
    calls: AtomicUsize,
    descriptor: Descriptor,
    mutation: Option<Mutation>,
    sent: Mutex<Vec<MessageId>>,
}

impl Toy {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn body(&self, sms: &OutboundSms, attempt: &Attempt) -> Value {
        let mut text = sms.body.expose().to_owned();
        if self.is(Mutation::AsciiOnly) {
            text = text.replace(|c: char| !c.is_ascii(), "?");
        }
        if self.is(Mutation::CutsLongText) {
            text = text.chars().take(1000).collect();
        }
        let to = if self.is(Mutation::WrongRecipient) { "4915112345670".to_owned() } else { sms.to.expose_digits() };
        let from = if self.is(Mutation::SenderReplaced) { "InfoSMS" } else { sms.sender.as_str() };
        let encoding = if self.is(Mutation::WrongEncoding) { Encoding::Gsm7 } else { sms.segmentation.encoding };
        let valid_s = if self.is(Mutation::ValidityLost) { 172_800 } else { attempt.valid_for.as_secs() };
        json!({ "to": to, "from": from, "text": text, "encoding": encoding, "valid_s": valid_s })
    }

    fn key(&self, attempt: &Attempt) -> String {
        match self.mutation {
            Some(Mutation::KeyPerCall) => self.calls.fetch_add(1, Ordering::SeqCst).to_string(),
            Some(Mutation::KeyPerMessage) => attempt.id.message.to_string(),
            _ => attempt.id.to_string(),
        }
    }

    async fn offer(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Answer, SendError> {
        let request = request("/send", &self.key(attempt), &self.body(sms, attempt));
        let deadline = match self.mutation {
            Some(Mutation::DeadlineIgnored) => attempt.deadline + Duration::from_mins(1),
            _ => attempt.deadline,
        };
        let body_max = if self.is(Mutation::BodyUnbounded) { usize::MAX } else { 64 * 1024 };
        if self.is(Mutation::DetachedTask) {
            let at = self.at.clone();
            let task = tokio::spawn(async move { exchange(&at, &request, deadline, body_max).await });
            return task.await.unwrap();
        }
        let answer = exchange(&self.at, &request, deadline, body_max).await;
        let again = match &answer {
            Ok(_) => self.is(Mutation::DoubleSend),
            Err(error) => {
                self.is(Mutation::RepeatsAfterReset) && error.kind == Kind::Unavailable && error.fate == Fate::Unknown
            }
        };
        if again { exchange(&self.at, &request, deadline, body_max).await } else { answer }
    }

    fn read(&self, answer: &Answer) -> Result<Submission, SendError> {
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let fault = json.as_ref().and_then(|json| json["fault"].as_str().map(str::to_owned));
        let id = json.as_ref().and_then(|json| json["id"].as_str().map(str::to_owned));
        let refused = |kind| Err(SendError::new(kind, Fate::Refused, "refused"));
        match (answer.status, fault.as_deref()) {
            (200, _) => match id {
                Some(id) => Ok(submission(&id)),
                None if self.is(Mutation::GarbageTaken) => Ok(submission("")),
                None => Err(SendError::new(Kind::Protocol, Fate::Unknown, "unreadable")),
            },
            (401, _) => refused(Kind::Account),
            (422, Some("number")) if !self.is(Mutation::NumberIsContent) => refused(Kind::Recipient),
            (422, _) => refused(Kind::Content),
            (429, _) if self.is(Mutation::PauseLost) => refused(Kind::Throttled),
            (429, _) => refused(Kind::Throttled).map_err(|error| error.with_retry_after(answer.pause)),
            _ if self.is(Mutation::ServerErrorSilent) => Err(SendError::new(Kind::Unavailable, Fate::Unknown, "")),
            _ => Err(SendError::new(Kind::Unavailable, Fate::Unknown, "fault").answered()),
        }
    }

    /// Applies the mutations that concern what is shown.
    fn show(&self, sms: &OutboundSms, mut error: SendError) -> SendError {
        if self.is(Mutation::NumberInError) {
            error.detail = format!("could not send to {}", sms.to.expose());
        }
        if self.is(Mutation::TextInSource) {
            return error.with_source(std::io::Error::other(sms.body.expose().to_owned()));
        }
        if self.is(Mutation::HangIsNotSent) && error.kind == Kind::Deadline {
            error.fate = Fate::NotSent;
        }
        error
    }
}

fn submission(id: &str) -> Submission {
    Submission { upstream_id: id.to_owned(), parts: None }
}

#[async_trait]
impl SmsProvider for Toy {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn send(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Submission, SendError> {
        let impossible = sms.channel == Channel::Voice && !self.is(Mutation::VoiceAsText);
        let too_long = sms.segmentation.units > 1000 && !self.is(Mutation::CutsLongText);
        if impossible || too_long {
            return Err(SendError::new(Kind::Content, Fate::Refused, "not offered"));
        }
        if self.is(Mutation::CodeInLog) {
            tracing::trace!("sending {}", sms.body.expose());
        }
        self.sent.lock().unwrap().push(sms.id);
        let answer = self.offer(sms, attempt).await.map_err(|error| self.show(sms, error))?;
        self.read(&answer).map_err(|error| self.show(sms, error))
    }

    fn receipts(&self, callback: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError> {
        let secret = Secret::new(SECRET);
        let json: Option<Value> = serde_json::from_slice(&callback.body).ok();
        if self.is(Mutation::PanicsOnJunk) {
            assert!(json.is_some(), "a body that is not JSON");
        }
        let json = json.unwrap_or_default();
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let message = text("ref").and_then(MessageId::parse);
        let genuine = message.is_some_and(|id| callback_token_matches(&secret, &id.to_string(), &callback.token));
        let borrowed = |id: &MessageId| callback_token_matches(&secret, &id.to_string(), &callback.token);
        let borrowed = self.is(Mutation::BorrowedToken) && self.sent.lock().unwrap().iter().any(borrowed);
        if !genuine && !borrowed && !self.is(Mutation::ForgedTaken) {
            return Err(CallbackError::Forged);
        }
        let state = match text("status") {
            Some("delivered") => DeliveryState::Delivered,
            Some("expired") => DeliveryState::Expired,
            Some("pending") => DeliveryState::Pending,
            Some("undelivered") => DeliveryState::Undelivered,
            Some(_) if self.is(Mutation::StateLost) => return Err(CallbackError::Malformed("unknown state")),
            Some(other) => DeliveryState::Unrecognised(other.chars().take(32).collect()),
            None => return Err(CallbackError::Malformed("no status")),
        };
        let id = text("id").unwrap_or_default();
        let upstream_id = if self.is(Mutation::WrongUpstreamId) { id.to_uppercase() } else { id.to_owned() };
        Ok(vec![Receipt { message, upstream_id, state, provider_code: None, at: None, part: None }])
    }

    async fn converted(&self, _upstream_id: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn probe(&self) -> Result<(), SendError> {
        if self.is(Mutation::ProbeBlind) {
            return Ok(());
        }
        let path = if self.is(Mutation::ProbeSends) { "/send" } else { "/account" };
        let request = request(path, "probe", &json!({ "to": "1", "text": "probe" }));
        let answer = exchange(&self.at, &request, Instant::now() + Duration::from_secs(3), 1024).await?;
        self.read(&answer).map(drop)
    }

    async fn shutdown(&self, _deadline: Instant) {
        if self.is(Mutation::StaysOnShutdown) {
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Toy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credential = if self.is(Mutation::CredentialInDebug) { CREDENTIAL } else { "…" };
        write!(f, "Toy({credential})")
    }
}

fn request(path: &str, key: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nauthorization: Bearer {CREDENTIAL}\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

struct Answer {
    body: Vec<u8>,
    pause: Duration,
    status: u16,
}

/// One request on a connection of its own.
async fn exchange(at: &str, request: &str, deadline: Instant, body_max: usize) -> Result<Answer, SendError> {
    let error = |kind, fate| SendError::new(kind, fate, "exchange failed");
    let connecting = timeout_at(deadline, TcpStream::connect(at)).await;
    let connected = connecting.map_err(|_| error(Kind::Deadline, Fate::NotSent))?;
    let mut stream = connected.map_err(|_| error(Kind::Unavailable, Fate::NotSent))?;
    let talk = async {
        stream.write_all(request.as_bytes()).await.map_err(|_| error(Kind::Unavailable, Fate::Unknown))?;
        read_answer(&mut stream, body_max).await
    };
    timeout_at(deadline, talk).await.map_err(|_| error(Kind::Deadline, Fate::Unknown))?
}

async fn read_answer(stream: &mut TcpStream, body_max: usize) -> Result<Answer, SendError> {
    let broken = || SendError::new(Kind::Unavailable, Fate::Unknown, "broke off");
    let unreadable = || SendError::new(Kind::Protocol, Fate::Unknown, "unreadable");
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap()).into_owned();
            let header =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<usize>().ok());
            let length = header("content-length:").unwrap_or(usize::MAX);
            let have = bytes.len() - end - 4;
            if have >= length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(unreadable)?;
                let pause = Duration::from_secs(u64::try_from(header("retry-after:").unwrap_or(0)).unwrap());
                return Ok(Answer { body: bytes.split_off(end + 4), pause, status });
            }
            if have > body_max {
                return Err(unreadable());
            }
        }
        if stream.read_buf(&mut bytes).await.map_err(|_| broken())? == 0 {
            return Err(broken());
        }
    }
}
