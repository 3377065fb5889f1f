//! Holds what callers were told, what the gateway says afterwards and what the upstream saw against each other.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{Caller, MittoSend};
use serde_json::Value;
use tokio::time::Instant;

use super::load::{Kind, Sent};

/// How far from a kill a request that it interrupted may have been read: before it, while the upstream takes its time and
/// the outcome is committed on a busy disk; after it, because what the gateway wrote still lay in the socket.
pub(crate) const IN_FLIGHT: Duration = Duration::from_millis(500);

/// Everything there is to know about one run.
pub(crate) struct Run<'a> {
    pub(crate) sent: &'a [Sent],
    /// Of all upstreams, in the order in which they were read.
    pub(crate) wire: &'a [MittoSend],
    pub(crate) kills: &'a [Instant],
    /// Attempts that a gateway may have in flight.
    pub(crate) in_flight_max: usize,
}

/// Figures, for people.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    accepted: usize,
    unanswered: usize,
    second_copies: usize,
    most_second_copies_of_a_kill: usize,
    farthest_from_a_kill: Duration,
    unknown: usize,
    never_on_the_wire: usize,
    retried_with_their_key: usize,
}

impl Run<'_> {
    /// Panics where an invariant is broken.
    pub(crate) async fn judge(&self, caller: &Caller) -> Figures {
        let copies = self.copies();
        let mut figures = Figures::default();
        self.nothing_is_doubled();
        for sent in self.sent {
            let Some(id) = sent.id() else {
                figures.unanswered += 1;
                continue;
            };
            figures.accepted += 1;
            figures.retried_with_their_key += usize::from(sent.requests > 1);
            let copies = copies.get(id.as_str()).map_or([].as_slice(), Vec::as_slice);
            let message = caller.message(&id).await;
            assert_eq!(message.get("to").and_then(Value::as_str), Some(sent.to.as_str()), "{message}");
            judge_one(sent, copies, &message);
            figures.unknown += usize::from(status(&message) == "unknown");
            figures.never_on_the_wire += usize::from(copies.is_empty());
        }
        self.judge_second_copies(caller, &copies, &mut figures).await;
        figures
    }

    fn copies(&self) -> BTreeMap<&str, Vec<&MittoSend>> {
        let mut copies = BTreeMap::<_, Vec<_>>::new();
        for send in self.wire {
            copies.entry(send.reference.as_str()).or_default().push(send);
        }
        copies
    }

    /// Every number was written to by one caller in one request: two ids for it are one message accepted twice.
    fn nothing_is_doubled(&self) {
        let known: BTreeMap<&str, &Sent> = self.sent.iter().map(|sent| (sent.to.as_str(), sent)).collect();
        let mut ids = BTreeMap::new();
        for send in self.wire {
            let to = format!("+{}", send.to);
            let sent = known.get(to.as_str()).unwrap_or_else(|| panic!("nobody sent to {to}"));
            let id = ids.entry(to).or_insert(&send.reference);
            assert_eq!(*id, &send.reference, "one request, two messages");
            let answered = sent.id();
            assert!(answered.as_ref().is_none_or(|id| *id == send.reference), "{answered:?}, but {}", send.reference);
            assert_eq!(sent.body.get("text").and_then(Value::as_str), Some(send.text.as_str()));
        }
    }

    /// Only what was in flight at a kill may have a second copy, and that is never more than may be in flight.
    async fn judge_second_copies(
        &self,
        caller: &Caller,
        copies: &BTreeMap<&str, Vec<&MittoSend>>,
        figures: &mut Figures,
    ) {
        let mut by_kill = vec![0; self.kills.len()];
        for (id, copies) in copies {
            let [first, _second] = copies.as_slice() else { continue };
            let distances = self.kills.iter().map(|kill| (*kill - first.at).max(first.at - *kill));
            let (kill, distance) = distances.enumerate().min_by_key(|(_, distance)| *distance).expect("a kill");
            let message = caller.message(id).await;
            assert!(distance <= IN_FLIGHT, "a second copy although the next kill was {distance:?} away: {message}");
            let told = message.pointer("/attempts/0/provider_code").and_then(Value::as_str);
            assert_eq!(told, Some("interrupted"), "a second copy without a reason: {message}");
            by_kill.get_mut(kill).map(|count| *count += 1).expect("a place for every kill");
            figures.farthest_from_a_kill = figures.farthest_from_a_kill.max(distance);
            figures.second_copies += 1;
        }
        let most = by_kill.into_iter().max().unwrap_or_default();
        assert!(most <= self.in_flight_max, "{most} second copies after one kill");
        figures.most_second_copies_of_a_kill = most;
    }
}

/// One message against what it may have cost.
fn judge_one(sent: &Sent, copies: &[&MittoSend], message: &Value) {
    let (attempts, unknowns) = (attempts(message), unknowns(message));
    let max = if sent.kind == Kind::Transactional { 1 } else { 2 };
    assert!(copies.len() <= max, "{:?} has {} copies: {message}", sent.kind, copies.len());
    assert!(copies.len() <= attempts, "a wire request without an intent: {message}");
    match status(message) {
        "sent" | "delivered" => assert!(!copies.is_empty(), "sent by nobody's account: {message}"),
        "unknown" => assert_eq!(unknowns, max, "unknown before its copies are used up: {message}"),
        other => panic!("lost: {other}: {message}"),
    }
}

pub(crate) fn status(message: &Value) -> &str {
    message.get("status").and_then(Value::as_str).expect("a status")
}

fn attempts(message: &Value) -> usize {
    message.get("attempts").and_then(Value::as_array).expect("attempts").len()
}

fn unknowns(message: &Value) -> usize {
    let attempts = message.get("attempts").and_then(Value::as_array).expect("attempts");
    attempts.iter().filter(|attempt| attempt.get("outcome").and_then(Value::as_str) == Some("unknown")).count()
}
