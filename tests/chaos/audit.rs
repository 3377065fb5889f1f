//! What callers were told, what the gateway says afterwards and what the upstream read, held against each other.
//! Counts and never judges: marks are the rows' business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use e2e::{Caller, Gateway, Mitto, eventually};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::load::Sent;

/// Questions at the same time.
const ASKERS: usize = 32;

/// When each message was read by an upstream, oldest first, by its id.
pub(crate) type Wire = BTreeMap<String, Vec<Instant>>;

/// Every send that these upstreams read.
pub(crate) fn wire(upstreams: &[&Mitto]) -> Wire {
    let mut wire = Wire::new();
    for send in upstreams.iter().flat_map(|upstream| upstream.sends()) {
        wire.entry(send.reference).or_default().push(send.at);
    }
    for times in wire.values_mut() {
        times.sort_unstable();
    }
    wire
}

/// What became of accepted messages.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) accepted: usize,
    /// Accepted, but neither with a provider nor in a status that says why not.
    pub(crate) lost: Vec<String>,
    /// Sent more than once.
    pub(crate) doubled: usize,
    /// Sent more than once although no attempt of theirs was cut off.
    pub(crate) doubled_without_reason: usize,
    /// Most copies of an otp, and of a transactional message.
    pub(crate) copies_max: [usize; 2],
    /// Had an attempt in flight when the process died.
    pub(crate) interrupted: usize,
    /// Messages by status.
    pub(crate) statuses: BTreeMap<String, usize>,
}

impl Audit {
    /// Asks the gateway about every accepted message.
    pub(crate) async fn of(caller: &Caller, sent: &[Sent], wire: &Wire) -> Self {
        let mut audit = Self::default();
        for message in messages(caller, sent).await {
            audit.add(&message, wire);
        }
        audit
    }

    /// Adds up what several runs found.
    pub(crate) fn merge(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.lost.extend(other.lost);
        self.doubled += other.doubled;
        self.doubled_without_reason += other.doubled_without_reason;
        self.interrupted += other.interrupted;
        for (mine, theirs) in self.copies_max.iter_mut().zip(other.copies_max) {
            *mine = (*mine).max(theirs);
        }
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
    }

    fn add(&mut self, message: &Value, wire: &Wire) {
        self.accepted += 1;
        let (id, status) = (text(message, "id"), text(message, "status"));
        let copies = wire.get(id).map_or(0, Vec::len);
        let attempts = message.get("attempts").and_then(Value::as_array).map_or([].as_slice(), Vec::as_slice);
        let cut_off = attempts.iter().any(|attempt| text(attempt, "provider_code") == "interrupted");
        let unknowns = attempts.iter().filter(|attempt| text(attempt, "outcome") == "unknown").count();
        let kept = match status {
            "sent" | "delivered" => copies > 0,
            "unknown" => unknowns > 0,
            _ => false,
        };
        if !kept {
            self.lost.push(format!("{id} {status} with {copies} copies"));
        }
        self.interrupted += usize::from(cut_off);
        self.doubled += usize::from(copies > 1);
        self.doubled_without_reason += usize::from(copies > 1 && !cut_off);
        let class = usize::from(text(message, "class") == "transactional");
        if let Some(max) = self.copies_max.get_mut(class) {
            *max = (*max).max(copies);
        }
        *self.statuses.entry(status.to_owned()).or_default() += 1;
    }
}

/// What the gateway says about every accepted message; one that it does not know is a message without a status.
pub(crate) async fn messages(caller: &Caller, sent: &[Sent]) -> Vec<Value> {
    let ids: Arc<Vec<String>> = Arc::new(sent.iter().filter_map(|sent| sent.id.clone()).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut askers = JoinSet::new();
    for _ in 0..ASKERS {
        let (ids, next, caller) = (Arc::clone(&ids), Arc::clone(&next), caller.clone());
        askers.spawn(async move {
            let mut told = Vec::new();
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = caller.get(&format!("/v1/messages/{id}")).await;
                let unknown = || serde_json::json!({ "id": id, "status": format!("answered {}", answer.status) });
                told.push(if answer.status == 200 { answer.json() } else { unknown() });
            }
            told
        });
    }
    askers.join_all().await.into_iter().flatten().collect()
}

/// A field of text; nothing where there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Waits until no message waits for anything.
pub(crate) async fn quiet(gateway: &Gateway, limit: Duration) {
    eventually("nothing is queued or sending", limit, async || (waiting(gateway).await == 0.0).then_some(())).await;
}

/// Messages that are queued or being sent.
pub(crate) async fn waiting(gateway: &Gateway) -> f64 {
    let metrics = gateway.metrics().await;
    let count = |stage| metrics.sum("gateway_messages_in_flight", &[("stage", stage)]).expect("a gauge");
    count("queued") + count("sending")
}
