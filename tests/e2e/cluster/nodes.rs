//! Gateways on one `PostgreSQL`, and callers that take one after the other as a load balancer does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use e2e::{Answer, Builder, Caller, Gateway, Mitto, MittoSend, eventually, key_of, swiss};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Callers at the same time.
const CALLERS: u32 = 12;

/// A gateway for `upstream` on the database at `url`.
pub(crate) fn node(upstream: &Mitto, url: &str) -> Builder {
    let builder = Gateway::builder().postgres(url).server("drain = \"10s\"");
    let builder = builder.mitto_with("mitto", upstream, "concurrency = 96\ntimeout = \"3s\"");
    builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"")
}

/// So many of them.
pub(crate) async fn start(count: usize, builder: &Builder) -> Vec<Gateway> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(builder.clone().start().await);
    }
    nodes
}

/// What a load balancer does with what comes in.
#[derive(Debug)]
pub(crate) struct Balancer {
    nodes: Vec<Caller>,
    turn: AtomicU32,
}

impl Balancer {
    /// Over these nodes, a new connection for each request, as `deploy/cluster/haproxy.cfg` has it.
    pub(crate) fn over(nodes: &[Gateway]) -> Arc<Self> {
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(15));
        let http = http.build().expect("a client");
        let nodes = nodes.iter().map(|node| Caller::new(http.clone(), &node.url(), &key_of("acme"))).collect();
        Arc::new(Self { nodes, turn: AtomicU32::new(0) })
    }

    /// Asks the next node, and further ones where a connection is refused; `None` where there was no complete answer.
    pub(crate) async fn send(&self, key: Option<&str>, body: &Value) -> Option<Answer> {
        for _ in 0..=self.nodes.len() {
            let turn = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).expect("a counter");
            let node = self.nodes.get(turn % self.nodes.len()).expect("below the length");
            let request = node.request(Method::POST, "/v1/messages").json(body);
            let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
            match Answer::to(request).await {
                Err(error) if error.is_connect() => {}
                Err(error) => {
                    eprintln!("no answer: {error:?}");
                    return None;
                }
                Ok(answer) => return Some(answer),
            }
        }
        None
    }
}

/// One message of one caller, to a number of its own.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) n: u32,
    /// Statuses of all answers; 0 for one that did not come.
    pub(crate) statuses: Vec<u16>,
    /// Once it was accepted.
    pub(crate) id: Option<String>,
    /// When it was, as the caller saw it.
    pub(crate) at: Instant,
}

/// Running callers.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Vec<Sent>>,
}

/// What callers do about an answer that is no acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Repeat with the same `Idempotency-Key` until accepted.
    Insist,
    /// Nothing.
    Once,
}

impl Load {
    /// Sends this many messages a second, if the gateways answer fast enough; every fourth is transactional.
    pub(crate) fn start(balancer: &Arc<Balancer>, per_second: u32, manners: Manners) -> Self {
        Self::from(balancer, 1, per_second, manners)
    }

    /// The same with numbers of its own: no two loads may overlap.
    pub(crate) fn from(balancer: &Arc<Balancer>, first: u32, per_second: u32, manners: Manners) -> Self {
        let (stop, next, mut callers) = (Arc::default(), Arc::new(AtomicU32::new(first)), JoinSet::new());
        for _ in 0..CALLERS {
            let (stop, next, balancer): (Arc<AtomicBool>, _, _) =
                (Arc::clone(&stop), Arc::clone(&next), Arc::clone(balancer));
            callers.spawn(async move {
                let (mut sent, mut beat) = (Vec::new(), interval(Duration::from_secs(1) * CALLERS / per_second));
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    beat.tick().await;
                    sent.push(send(&balancer, next.fetch_add(1, Ordering::Relaxed), manners).await);
                }
                sent
            });
        }
        Self { stop, callers }
    }

    /// Ends when every caller is content with its last message.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.join_all().await.into_iter().flatten().collect()
    }
}

/// Every fourth message is transactional.
pub(crate) fn body(n: u32) -> Value {
    let class = if is_otp(n) { "otp" } else { "transactional" };
    json!({ "to": swiss(n), "text": format!("Your code is {:06}", n * 7 % 1_000_000), "class": class })
}

pub(crate) fn is_otp(n: u32) -> bool {
    !n.is_multiple_of(4)
}

async fn send(balancer: &Balancer, n: u32, manners: Manners) -> Sent {
    let (body, key) = (body(n), format!("key-{n}"));
    let key = (manners == Manners::Insist).then_some(key.as_str());
    let mut sent = Sent { n, statuses: Vec::new(), id: None, at: Instant::now() };
    loop {
        let answer = balancer.send(key, &body).await;
        sent.statuses.push(answer.as_ref().map_or(0, |answer| answer.status));
        if let Some(refused) = answer.as_ref().filter(|answer| answer.status >= 500) {
            eprintln!("{} {}", refused.status, refused.text());
        }
        if let Some(answer) = answer.filter(|answer| matches!(answer.status, 200 | 202)) {
            sent.id = Some(answer.message_id());
            sent.at = Instant::now();
        }
        if sent.id.is_some() || manners == Manners::Once {
            return sent;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What became of messages that were accepted.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) accepted: usize,
    pub(crate) twice: usize,
    pub(crate) unknown: usize,
}

/// Every accepted message is known, is with the upstream or `unknown`, and was sent no more often than its class may be.
pub(crate) async fn judge(node: &Gateway, upstream: &Mitto, sent: &[Sent], within: Duration) -> Judged {
    let (acme, mut judged) = (node.acme(), Judged::default());
    let end = Instant::now() + within;
    for one in sent {
        let Some(id) = &one.id else { continue };
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let message = eventually(&format!("message {id} is out of our hands"), left, async || {
            let answer = acme.get(&format!("/v1/messages/{id}")).await;
            assert_ne!(answer.status, 404, "lost: {id}");
            let message = (answer.status == 200).then(|| answer.json())?;
            ["sent", "delivered", "unknown"].contains(&message["status"].as_str()?).then_some(message)
        })
        .await;
        one_outcome_each(&message);
        judged.accepted += 1;
        judged.unknown += usize::from(message["status"] == "unknown");
    }
    let wire = copies(&upstream.sends());
    for one in sent {
        let Some(id) = &one.id else { continue };
        let copies = wire.get(id).copied().unwrap_or_default();
        let max = if is_otp(one.n) { 2 } else { 1 };
        assert!(copies <= max, "{copies} copies of {id}");
        judged.twice += usize::from(copies == 2);
    }
    judged
}

/// No attempt was settled twice.
fn one_outcome_each(message: &Value) {
    let ended = message["events"].as_array().expect("events").iter().filter(|event| event["kind"] == "attempt_ended");
    let number =
        |event: &Value| event["detail"].as_str().and_then(|detail| detail.split(' ').nth(1).map(str::to_owned));
    let numbers: Vec<_> = ended.map(|event| number(event).expect("`attempt N …`")).collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "an attempt ended twice: {message}");
}

fn copies(sends: &[MittoSend]) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for send in sends {
        *copies.entry(send.reference.clone()).or_default() += 1;
    }
    copies
}
