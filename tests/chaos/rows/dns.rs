//! Guarantee 19: names stop resolving. The real binary in a mount namespace of its own, where `/etc/resolv.conf` names a
//! resolver of this test; the upstream's name exists nowhere else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Behaviour, Builder, Gateway, Mitto};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use crate::audit::{Audit, quiet, wire};
use crate::figures::{ms, quantile};
use crate::load::{Load, Pace, Sent, otp, send};
use crate::plan::Scale;
use crate::table::{Outcome, note};

const NAME: &str = "upstream.chaos.test";

/// Loopback, but nobody's resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 53);

/// What the resolver does.
#[derive(Clone, Copy)]
enum Mode {
    Answer = 0,
    BlackHole = 1,
    ServFail = 2,
}

struct Resolver {
    mode: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Resolver {
    async fn start() -> std::io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::from((RESOLVER, 53))).await?;
        let (mode, asked) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicUsize::new(0)));
        let (ours, count) = (Arc::clone(&mode), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::Relaxed);
                let query = buffer.get(..length).unwrap_or_default();
                if let Some(answer) = answer(query, ours.load(Ordering::Relaxed)) {
                    drop(socket.send_to(&answer, from).await); // whoever asked may be gone
                }
            }
        });
        Ok(Self { mode, asked, task })
    }

    fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// 127.0.0.1 for one second to questions for an address, nothing to others.
fn answer(query: &[u8], mode: u8) -> Option<Vec<u8>> {
    let (id, question) = (query.get(..2)?, query.get(12..)?);
    let end = question.iter().position(|byte| *byte == 0)? + 5;
    let question = question.get(..end)?;
    let wants_a = question.get(end - 4..end - 2)? == [0, 1];
    let (code, count) = match mode {
        0 => (0, u8::from(wants_a)),
        1 => return None,
        _ => (2, 0),
    };
    let mut reply = [id, &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    if count == 1 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}

pub(crate) async fn dead(scale: Scale) -> Outcome {
    let resolver = match Resolver::start().await {
        Ok(resolver) => resolver,
        Err(error) => return Outcome::left_out(format!("no resolver on port 53 (needs root): {error}")),
    };
    let outage = Duration::from_secs(scale.of(300, 6));
    let (mut told, mut met, mut messages) = (Vec::new(), true, 0);
    for (name, mode) in [("black hole", Mode::BlackHole), ("SERVFAIL", Mode::ServFail)] {
        let (line, ok, count) = one(&resolver, (name, mode), outage).await;
        note(&format!("  {line}"));
        (met, messages) = (met && ok, messages + count);
        told.push(line);
    }
    Outcome::new(format!("{messages} messages, {outage:?} each"), told.join("; "), met)
}

fn builder(upstream: &Mitto, resolv_conf: &str) -> Builder {
    let port = upstream.base_url().rsplit(':').next().unwrap_or_default().to_owned();
    let enter = format!("mount --bind {resolv_conf} /etc/resolv.conf && exec \"$@\"");
    let builder = Gateway::builder().log("error").under(&["unshare", "-m", "sh", "-c", &enter, "sh"]);
    let builder = builder.toml(&format!(
        "[providers.mitto]\nkind = \"mitto\"\nbase_url = \"http://{NAME}:{port}\"\ninsecure = true\napi_key = {{ env = \"E2E_MITTO_KEY\" }}\n"
    ));
    builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"")
}

async fn one(resolver: &Resolver, (name, mode): (&str, Mode), outage: Duration) -> (String, bool, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let conf = dir.path().join("resolv.conf");
    std::fs::write(&conf, format!("nameserver {RESOLVER}\noptions timeout:2 attempts:2\n")).expect("a file");
    let upstream = Mitto::start();
    resolver.set(Mode::Answer);
    let gateway = builder(&upstream, conf.to_str().expect("a path in UTF-8")).start().await;
    let acme = gateway.acme();
    let before = Load::run(acme.clone(), Pace::otp(100).from(1_000_000), Duration::from_secs(3)).await;
    quiet(&gateway, Duration::from_secs(20)).await;

    resolver.set(mode);
    let load = Load::start(acme.clone(), Pace::otp(100));
    sleep(outage / 3).await;
    let asked = resolver.asked.load(Ordering::Relaxed);
    // Every connection breaks: new ones need an address while nobody tells one.
    upstream.behave(Behaviour::RefuseConnect);
    upstream.behave(Behaviour::Accept);
    sleep(outage * 2 / 3).await;
    let during = load.stop().await;
    let asked = resolver.asked.load(Ordering::Relaxed) - asked;
    resolver.set(Mode::Answer);
    let back = recovered(&gateway, &upstream).await;
    quiet(&gateway, Duration::from_secs(330)).await;
    let audit = Audit::of(&acme, &during, &wire(&[&upstream])).await;
    let took = |sent: &[Sent]| sent.iter().map(|sent| sent.took).collect::<Vec<_>>();
    let (calm, dead) = (quantile(&took(&before), 0.99), quantile(&took(&during), 0.99));
    let line = format!(
        "{name}: {} of {} sent after every connection broke once ({asked} questions in vain), accept p99 {} against {}, sending again {back:.1?} after the names were back",
        audit.accepted - audit.lost.len(),
        during.len(),
        ms(dead),
        ms(calm)
    );
    let stalled = dead > calm * 3 + Duration::from_millis(20);
    let met = audit.lost.is_empty() && audit.accepted == during.len() && !stalled && back <= Duration::from_secs(10);
    (line, met, during.len())
}

/// How long until a new message is with the upstream.
async fn recovered(gateway: &Gateway, upstream: &Mitto) -> Duration {
    let began = Instant::now();
    for n in 2_000_000.. {
        let sent = send(&gateway.acme(), n, &otp(n)).await;
        sleep(Duration::from_millis(200)).await;
        let here = |id: &String| upstream.sends().iter().rev().take(2_000).any(|send| send.reference == *id);
        if sent.id.as_ref().is_some_and(here) || began.elapsed() > Duration::from_mins(1) {
            break;
        }
    }
    began.elapsed()
}
