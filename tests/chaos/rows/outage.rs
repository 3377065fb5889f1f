//! Guarantees 14 and 16: a provider is gone or answers nothing but faults, while another one is well or none is.

use std::net::SocketAddr;
use std::time::Duration;

use e2e::{Behaviour, Gateway, Mitto, swiss};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use crate::audit::{Audit, Wire, quiet, wire};
use crate::figures::{ms, percent, quantile};
use crate::load::{Load, Pace, Sent};
use crate::plan::Scale;
use crate::table::{Outcome, note};

/// From the request to the upstream that read it first, for every message that got there.
pub(crate) fn latencies(sent: &[Sent], wire: &Wire) -> Vec<Duration> {
    let one = |sent: &Sent| {
        let read = wire.get(sent.id.as_ref()?)?.first()?;
        Some(read.saturating_duration_since(sent.began))
    };
    sent.iter().filter_map(one).collect()
}

/// Connections that are neither taken nor refused: a queue of one that is full.
pub(crate) struct BlackHole {
    at: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) async fn open() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let listener = socket.listen(1).expect("a listener");
        let at = listener.local_addr().expect("a bound socket");
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(at)).await {
            waiting.push(stream);
        }
        Self { at, _listener: listener, _waiting: waiting }
    }

    /// What goes into `base_url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }
}

/// Figures of one way to be down.
struct Down {
    told: String,
    met: bool,
}

pub(crate) async fn hard_down(scale: Scale) -> Outcome {
    let time = Duration::from_secs(scale.of(15, 4));
    let hole = BlackHole::open().await;
    let gone = Mitto::start();
    gone.behave(Behaviour::RefuseConnect);
    let (mut told, mut met, mut trials) = (Vec::new(), true, 0);
    for (name, url) in [("connection refused", gone.base_url()), ("connection black-holed", hole.url())] {
        let (down, messages) = one_down(name, &url, time).await;
        note(&format!("  {}", down.told));
        (met, trials) = (met && down.met, trials + messages);
        told.push(down.told);
    }
    Outcome::new(format!("{trials} messages, 2 ways to be down"), told.join("; "), met)
}

fn provider(name: &str, url: &str, lines: &str) -> String {
    format!(
        "[providers.{name}]\nkind = \"mitto\"\nbase_url = \"{url}\"\napi_key = {{ env = \"E2E_MITTO_KEY\" }}\n{lines}\n"
    )
}

/// The same traffic with a first provider that is well, then with one that is down.
async fn one_down(name: &str, url: &str, time: Duration) -> (Down, usize) {
    let (well, spare) = (Mitto::start(), Mitto::start());
    let builder = Gateway::builder().log("error");
    let builder = builder.toml(&provider("well", &well.base_url(), "")).toml(&provider("down", url, ""));
    let builder = builder.mitto("spare", &spare);
    let builder = builder.route("down", "use = [\"down\", \"spare\"]\nwhen = { client_id = \"down\" }");
    let gateway = builder.route("default", "use = [\"well\", \"spare\"]").start().await;
    let acme = gateway.acme();
    let before = Load::run(acme.clone(), Pace::otp(150), time / 2).await;
    let down = |n: u32| json!({ "to": swiss(n), "text": "Your code is 482913", "client_id": "down" });
    let during = Load::run(acme.clone(), Pace::otp(150).from(1_000_000).of(down), time).await;
    quiet(&gateway, Duration::from_mins(1)).await;
    let wire = wire(&[&well, &spare]);
    let audit = Audit::of(&acme, &during, &wire).await;
    let base = latencies(&before, &wire);
    let slowest = latencies(&during, &wire).into_iter().max().unwrap_or_default();
    // By the middle of the outage every breaker that opens has opened.
    let opened = during.iter().map(|sent| sent.began).min().unwrap_or_else(Instant::now) + time / 2;
    let late: Vec<Sent> = during.iter().filter(|sent| sent.began > opened).cloned().collect();
    let open = latencies(&late, &wire);
    let extra = quantile(&open, 0.5).saturating_sub(quantile(&base, 0.5));
    let ok = audit.accepted - audit.lost.len();
    let told = format!(
        "{name}: {} of {} through, slowest fail-over {}, with the breaker open median {} against {} (+{}), p99 {} against {}",
        percent(ok, during.len()),
        during.len(),
        ms(slowest),
        ms(quantile(&open, 0.5)),
        ms(quantile(&base, 0.5)),
        ms(extra),
        ms(quantile(&open, 0.99)),
        ms(quantile(&base, 0.99)),
    );
    let met = ok * 1_000 >= during.len() * 999
        && slowest <= Duration::from_millis(1_100)
        && extra <= Duration::from_millis(5);
    (Down { told, met }, during.len())
}

/// Lives just long enough for a second copy; what waits out the outage would otherwise be waited for.
fn short_lived(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913", "ttl_s": 35 })
}

pub(crate) async fn retries(scale: Scale) -> Outcome {
    let (rate, time) = (scale.of(200, 100), Duration::from_secs(scale.of(30, 4)));
    let (mut told, mut met, mut trials) = (Vec::new(), true, 0);
    let modes = [
        ("500", Behaviour::ServerError),
        ("silence", Behaviour::HangAfterRead),
        ("429", Behaviour::Throttle(Duration::from_secs(1))),
        ("429 that asks for no pause", Behaviour::Throttle(Duration::ZERO)),
    ];
    for (name, behaviour) in modes {
        let upstream = Mitto::start();
        upstream.behave(behaviour);
        let builder =
            Gateway::builder().log("error").mitto_with("mitto", &upstream, "timeout = \"1s\"\nconcurrency = 256");
        let gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
        let sent = Load::run(gateway.acme(), Pace::otp(rate).of(short_lived), time).await;
        let meanwhile = upstream.wire_requests();
        quiet(&gateway, Duration::from_mins(1)).await;
        let (offered, seen) = (sent.iter().filter(|sent| sent.accepted()).count(), upstream.wire_requests());
        let refused = sent.len() - offered;
        let ratio = crate::figures::ratio(seen, offered);
        let line = format!(
            "{name}: {seen} requests for {offered} messages ({ratio:.2}×; {meanwhile} while they came), {refused} refused"
        );
        note(&format!("  {line}"));
        (met, trials) = (met && ratio <= 1.2 && offered > 0, trials + offered);
        told.push(line);
    }
    Outcome::new(format!("{trials} messages, {rate}/s for {time:?} in 4 full outages"), told.join("; "), met)
}
