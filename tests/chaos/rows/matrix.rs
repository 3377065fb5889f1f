//! Guarantee 52: an upstream whose sockets misbehave, for every provider client. The client is called as dispatch calls it,
//! so that what it says of the message is seen bare, without the breaker and retries around it.

use std::sync::Arc;
use std::time::Duration;

use sms_conformance::provider::deps;
use sms_core::options::Options;
use sms_core::{
    Attempt, AttemptId, Body, Channel, Class, Fate, MessageId, Msisdn, OutboundSms, ProviderFactory as _, ProviderName,
    SendError, Sender, SmsProvider, Submission, UnixMs, text,
};
use sms_mitto::MittoFactory;
use sms_rest::{Client as Http, ClientOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::plan::Scale;
use crate::rows::outage::BlackHole;
use crate::table::{Outcome, note};

/// The deadline of an attempt; it must have ended a second later.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Attempts of one case at the same time.
const AT_ONCE_MAX: u32 = 10;

/// Two hundred milliseconds hold so much at 1 kB/s.
const TRICKLE: Flow = Flow { bytes: 100, pause: Duration::from_millis(100) };

/// A provider's client and its vendor's words. Add a line for each new provider.
struct Client {
    name: &'static str,
    build: fn(&str) -> Arc<dyn SmsProvider>,
    /// Body of the answer that takes a message.
    accept: &'static str,
    /// Status and body of the answer that refuses the number.
    refuse: (u16, &'static str),
}

const CLIENTS: &[Client] = &[Client {
    name: "mitto",
    build: mitto,
    accept: r#"{"id":"a1b2c3d4","timestamp":"2026-04-13T12:07:57.8625574Z","responseCode":0,"responseText":"SMS sent","textLength":26}"#,
    refuse: (200, r#"{"responseCode":8,"responseText":"Invalid receiver"}"#),
}];

fn mitto(url: &str) -> Arc<dyn SmsProvider> {
    let options = serde_json::json!({ "base_url": url, "api_key": "key-of-the-matrix" });
    let (deps, _) = deps(None);
    let factory = MittoFactory::new(Http::build(&ClientOptions::default()).expect("a client"));
    factory.build(&ProviderName::new("mitto"), Options::from_json(options), &deps).expect("a provider")
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Accepted,
    NotSent,
    Refused,
    Unknown,
}

impl Said {
    fn of(result: &Result<Submission, SendError>) -> Self {
        match result.as_ref().map_err(|error| error.fate) {
            Ok(_) => Self::Accepted,
            Err(Fate::NotSent) => Self::NotSent,
            Err(Fate::Refused) => Self::Refused,
            Err(Fate::Unknown) => Self::Unknown,
        }
    }
}

/// How fast bytes move.
#[derive(Clone, Copy)]
struct Flow {
    bytes: usize,
    pause: Duration,
}

const AT_ONCE: Flow = Flow { bytes: usize::MAX, pause: Duration::ZERO };

/// What stands in the answer.
#[derive(Clone, Copy)]
enum Words {
    Accept,
    /// Taken, with a head of this many bytes more.
    AcceptPadded(usize),
    /// Taken, with one byte of the body changed.
    Corrupt,
    Garbage,
    Nothing,
    Page,
    Refuse,
    Status(u16),
}

/// How it ends.
#[derive(Clone, Copy)]
enum End {
    HalfClose,
    Hang,
    Keep,
    Reset,
}

/// What the upstream does with a connection.
#[derive(Clone, Copy)]
struct Script {
    /// `None`: reads nothing.
    read: Option<Flow>,
    delay: Duration,
    words: Words,
    flow: Flow,
    /// Stops after this share of the answer, in percent.
    cut: usize,
    end: End,
}

const PLAIN: Script = Script {
    read: Some(AT_ONCE),
    delay: Duration::ZERO,
    words: Words::Accept,
    flow: AT_ONCE,
    cut: 100,
    end: End::Keep,
};

/// Where the upstream is.
#[derive(Clone, Copy)]
enum Place {
    BlackHole,
    Refused,
    There(Script),
}

type Case = (&'static str, Place, &'static [Said]);

fn cases() -> Vec<Case> {
    use Said::{Accepted, NotSent, Refused, Unknown};
    let there = Place::There;
    let ms = Duration::from_millis;
    let bytewise = Flow { bytes: 1, pause: Duration::ZERO };
    vec![
        ("connection refused", Place::Refused, &[NotSent]),
        ("connection black-holed", Place::BlackHole, &[NotSent]),
        ("latency 300 ms", there(Script { delay: ms(300), ..PLAIN }), &[Accepted]),
        ("latency beyond the deadline", there(Script { delay: ms(5_000), ..PLAIN }), &[Unknown]),
        // What was in the socket when it broke, nobody knows.
        (
            "RST before reading",
            there(Script { read: None, words: Words::Nothing, end: End::Reset, ..PLAIN }),
            &[NotSent, Unknown],
        ),
        ("reads nothing", there(Script { read: None, words: Words::Nothing, end: End::Hang, ..PLAIN }), &[Unknown]),
        ("RST after reading", there(Script { words: Words::Nothing, end: End::Reset, ..PLAIN }), &[Unknown]),
        ("half-close after reading", there(Script { words: Words::Nothing, end: End::HalfClose, ..PLAIN }), &[Unknown]),
        ("RST in the head", there(Script { cut: 20, end: End::Reset, ..PLAIN }), &[Unknown]),
        ("half-close in the head", there(Script { cut: 20, end: End::HalfClose, ..PLAIN }), &[Unknown]),
        ("RST in the body", there(Script { cut: 80, end: End::Reset, ..PLAIN }), &[Unknown]),
        ("half-close in the body", there(Script { cut: 80, end: End::HalfClose, ..PLAIN }), &[Unknown]),
        ("silence in the body", there(Script { cut: 80, end: End::Hang, ..PLAIN }), &[Unknown]),
        ("request read at 1 kB/s", there(Script { read: Some(TRICKLE), ..PLAIN }), &[Accepted]),
        ("answer at 1 kB/s", there(Script { flow: TRICKLE, ..PLAIN }), &[Accepted]),
        (
            "4 kB answer at 1 kB/s",
            there(Script { words: Words::AcceptPadded(4_000), flow: TRICKLE, ..PLAIN }),
            &[Unknown],
        ),
        ("answer byte by byte", there(Script { flow: bytewise, ..PLAIN }), &[Accepted]),
        ("refusal byte by byte", there(Script { words: Words::Refuse, flow: bytewise, ..PLAIN }), &[Refused]),
        ("503 byte by byte", there(Script { words: Words::Status(503), flow: bytewise, ..PLAIN }), &[Refused]),
        ("500", there(Script { words: Words::Status(500), ..PLAIN }), &[Unknown]),
        ("no HTTP", there(Script { words: Words::Garbage, end: End::HalfClose, ..PLAIN }), &[Unknown]),
        ("200 with a page", there(Script { words: Words::Page, ..PLAIN }), &[Unknown]),
        ("a corrupt byte in the answer", there(Script { words: Words::Corrupt, ..PLAIN }), &[Unknown]),
    ]
}

pub(crate) async fn matrix(scale: Scale) -> Outcome {
    let (each, mut wrong, mut hung, mut slowest, mut trials) = (scale.of(50, 5), Vec::new(), 0, Duration::ZERO, 0);
    // In threes, so that what waits for a deadline waits together, but not for a processor.
    let all: Vec<(&Client, Case)> =
        CLIENTS.iter().flat_map(|client| cases().into_iter().map(move |case| (client, case))).collect();
    for some in all.chunks(3) {
        let mut running = JoinSet::new();
        for (client, (name, place, expected)) in some.iter().copied() {
            running.spawn(async move { (client.name, name, expected, one_case(client, place, each).await) });
        }
        for (client, name, expected, seen) in running.join_all().await {
            for (class, took) in seen {
                trials += 1;
                slowest = slowest.max(took);
                hung += usize::from(took > TIMEOUT + Duration::from_secs(1));
                if !expected.contains(&class) {
                    wrong.push(format!("{client} {name}: {class:?} instead of {expected:?}"));
                }
            }
        }
    }
    let right = trials - wrong.len();
    wrong.dedup();
    for line in &wrong {
        note(&format!("  {line}"));
    }
    let result = format!(
        "{right} of {trials} in the right class, {hung} hung (slowest {slowest:.2?} of a deadline of {TIMEOUT:?}){}",
        wrong.first().map_or(String::new(), |first| format!("; first: {first}"))
    );
    let what = format!("{} clients × {} faults × {each}", CLIENTS.len(), cases().len());
    Outcome::new(what, result, wrong.is_empty() && hung == 0)
}

async fn one_case(client: &Client, place: Place, each: u32) -> Vec<(Said, Duration)> {
    let hole = BlackHole::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let here = format!("http://{}", listener.local_addr().expect("a bound socket"));
    let (url, serving) = match place {
        Place::BlackHole => (hole.url(), None),
        Place::Refused => {
            drop(listener);
            (here, None)
        }
        Place::There(script) => (here, Some(tokio::spawn(serve(listener, script, (client.accept, client.refuse))))),
    };
    let provider = (client.build)(&url);
    let mut seen = Vec::new();
    // Few at a time: what waits for a processor would seem slow.
    for first in (0..each).step_by(AT_ONCE_MAX as usize) {
        let some = first..each.min(first + AT_ONCE_MAX);
        let attempts: JoinSet<_> = some.map(|n| attempt(Arc::clone(&provider), n)).collect();
        seen.extend(attempts.join_all().await);
    }
    if let Some(serving) = serving {
        serving.abort();
    }
    seen
}

async fn attempt(provider: Arc<dyn SmsProvider>, n: u32) -> (Said, Duration) {
    let began = Instant::now();
    let sms = sms(n);
    let id = AttemptId { message: sms.id, number: 1 };
    let attempt = Attempt { id, deadline: began + TIMEOUT, valid_for: Duration::from_mins(5) };
    // Nobody else cuts it off: a hang is seen as one.
    let result = tokio::time::timeout(4 * TIMEOUT, provider.send(&sms, &attempt)).await;
    (result.map_or(Said::Unknown, |result| Said::of(&result)), began.elapsed())
}

fn sms(n: u32) -> OutboundSms {
    let words = "123456 is your code.";
    let mut entropy = [7; 10];
    entropy.iter_mut().zip(n.to_be_bytes()).for_each(|(byte, own)| *byte = own);
    OutboundSms {
        id: MessageId::new(UnixMs::new(1_764_000_000_000), entropy),
        to: Msisdn::parse("+41791234567", None).expect("a number"),
        sender: Sender::parse("Acme").expect("a sender"),
        body: Body::new(words.to_owned()),
        segmentation: text::segment(words),
        class: Class::Otp,
        channel: Channel::Sms,
    }
}

/// The vendor's words: what accepts, and what refuses.
type Vendor = (&'static str, (u16, &'static str));

async fn serve(listener: TcpListener, script: Script, vendor: Vendor) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => if let Ok((stream, _)) = taken {
                connections.spawn(async move { drop(play(stream, script, vendor).await) });
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn play(mut stream: TcpStream, script: Script, vendor: Vendor) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        if let Some(flow) = script.read {
            read_request(&mut stream, flow).await?;
        }
        sleep(script.delay).await;
        let answer = answer(script.words, vendor);
        let upto = answer.len() * script.cut / 100;
        for piece in answer.get(..upto).unwrap_or_default().chunks(script.flow.bytes.min(upto.max(1))) {
            stream.write_all(piece).await?;
            sleep(script.flow.pause).await;
        }
        match script.end {
            End::Keep => {}
            End::Reset => return stream.set_zero_linger(),
            End::HalfClose => {
                stream.shutdown().await?;
                std::future::pending::<()>().await;
            }
            End::Hang => std::future::pending::<()>().await,
        }
    }
}

/// One request, at the speed of `flow`.
async fn read_request(stream: &mut TcpStream, flow: Flow) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let mut piece = vec![0; flow.bytes.min(4_096)];
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend(piece.iter().take(length));
        sleep(flow.pause).await;
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let wanted = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if body.len() >= wanted.unwrap_or_default() {
            return Ok(());
        }
    }
}

fn answer(words: Words, (accept, (status, refuse)): Vendor) -> Vec<u8> {
    let http = |status: u16, head: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{head}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    match words {
        Words::Accept => http(200, "", accept),
        Words::AcceptPadded(bytes) => http(200, &format!("x-padding: {}\r\n", "x".repeat(bytes)), accept),
        Words::Corrupt => http(200, "", &accept.replacen('{', "\u{7f}", 1)),
        Words::Garbage => b"\x15\x03\x03\x00\x02\x02\x46 this is not the web\r\n\r\n".to_vec(),
        Words::Nothing => Vec::new(),
        Words::Page => http(200, "", "<html>the gateway timed out</html>"),
        Words::Refuse => http(status, "", refuse),
        Words::Status(status) => http(status, "", "{}"),
    }
}
