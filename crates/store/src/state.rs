//! What may change about a message, and the pure functions that change it. Knows no store: what a change means for
//! rows, lanes and notices is decided from the state before and after.
//!
//! The status changes only through [`Status::after`].

use serde::Serialize as _;
use sms_core::store::{Attempted, Entry, INTERRUPTED, Outcome, ReceivedReceipt, Reroute, Settle, Then, What};
use sms_core::{Country, DeliveryState, Happening, Kind, MessageId, ProviderName, Status, TenantId, UnixMs};

/// Where a message stands, with the facts that decide what may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Number of its row.
    pub(crate) row: i64,
    pub(crate) id: MessageId,
    pub(crate) tenant: TenantId,
    pub(crate) country: Country,
    pub(crate) created: UnixMs,
    pub(crate) expires: UnixMs,
    /// Status changes are to be told.
    pub(crate) notify: bool,
    pub(crate) status: Status,
    pub(crate) updated: UnixMs,
    /// The last provider that took it, else the last tried.
    pub(crate) provider: Option<ProviderName>,
    pub(crate) upstream_id: Option<String>,
    /// Where it waits, or the provider of its last attempt.
    pub(crate) lane: ProviderName,
    pub(crate) wait: Wait,
    /// Number of the last attempt.
    pub(crate) attempt: u16,
    /// Attempts after which a provider holds or may hold it.
    pub(crate) copies: u16,
    /// Bytes of history in the store.
    pub(crate) log_len: usize,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For nothing: no attempt follows.
    Idle,
    /// For the outcome of an attempt whose intent is durable.
    Open,
    /// For its next attempt, in its lane.
    Until(UnixMs),
}

impl Wait {
    const OPEN: i64 = -1;

    /// As SQL stores keep it: null, -1, or the due time.
    pub(crate) fn column(self) -> Option<i64> {
        match self {
            Self::Idle => None,
            Self::Open => Some(Self::OPEN),
            Self::Until(due) => Some(due.get().max(0)),
        }
    }

    pub(crate) fn of_column(column: Option<i64>) -> Self {
        match column {
            None => Self::Idle,
            Some(Self::OPEN) => Self::Open,
            Some(due) => Self::Until(UnixMs::new(due)),
        }
    }
}

impl State {
    /// It waits for nothing but what the process that put it off remembers, and no provider may hold it.
    pub(crate) fn is_put_off(&self) -> bool {
        self.copies == 0 && matches!(self.wait, Wait::Until(due) if due >= self.expires)
    }
}

/// One message under change: its state before and after, and the new lines of its history.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) before: State,
    pub(crate) state: State,
    pub(crate) lines: Vec<u8>,
}

impl Turn {
    pub(crate) fn of(state: State) -> Self {
        Self { before: state.clone(), state, lines: Vec::new() }
    }

    /// The intent of the next attempt becomes durable.
    pub(crate) fn begin(&mut self, provider: ProviderName, at: UnixMs) {
        let state = &mut self.state;
        state.attempt = state.attempt.saturating_add(1);
        state.wait = Wait::Open;
        state.lane = provider.clone();
        state.provider = Some(provider.clone());
        let attempt = state.attempt;
        self.note(at, What::Intent { attempt, provider });
        self.happen(&Happening::AttemptStarted, at);
    }

    /// The open attempt ended. Says whether the next one is open.
    pub(crate) fn settle(&mut self, settle: &Settle) -> bool {
        self.end_attempt(&settle.attempted, settle.at);
        match &settle.then {
            Then::Again { provider } if self.state.status.may_attempt() => {
                self.begin(provider.clone(), settle.at);
                return true;
            }
            Then::Later { lane, due } if self.state.status.may_attempt() => self.wait(lane.clone(), *due, settle.at),
            Then::Again { .. } | Then::Later { .. } => {} // a receipt ended it meanwhile
            Then::End(status) => self.happen(&ending(*status), settle.at),
            Then::Sent { upstream_id } => {
                self.state.provider = Some(settle.attempted.provider.clone());
                if !upstream_id.is_empty() {
                    self.state.upstream_id = Some(upstream_id.clone());
                }
                self.happen(&Happening::Accepted, settle.at);
            }
        }
        false
    }

    /// Nobody works on the open attempt and nothing was sent: the message waits in its lane again.
    pub(crate) fn release(&mut self, at: UnixMs) {
        let (attempt, provider) = (self.state.attempt, self.state.lane.clone());
        let attempted =
            Attempted { attempt, provider, outcome: Outcome::NotSent, kind: None, code: None, started: at, took_ms: 0 };
        self.end_attempt(&attempted, at);
        if self.state.status.may_attempt() {
            self.wait(self.state.lane.clone(), at, at);
        }
    }

    /// It waits elsewhere, or until another time. No attempt bounds how often: the history does.
    pub(crate) fn reroute(&mut self, reroute: &Reroute) {
        let Reroute { lane, due, at, .. } = reroute;
        self.state.lane = lane.clone();
        self.state.wait = Wait::Until(*due);
        self.state.updated = self.state.updated.max(*at);
        if self.state.log_len + self.lines.len() < LOG_MAX {
            self.write(*at, What::Waiting { lane: lane.clone(), until: *due });
        }
    }

    /// The process died during the open attempt, after a receipt had ended the message: the attempt's answer is lost.
    pub(crate) fn interrupted(&mut self, at: UnixMs) {
        let attempted = Attempted {
            attempt: self.state.attempt,
            provider: self.state.lane.clone(),
            outcome: Outcome::Unknown,
            kind: Some(Kind::Unavailable),
            code: Some(INTERRUPTED.to_owned()),
            started: self.state.updated,
            took_ms: 0,
        };
        self.end_attempt(&attempted, at);
    }

    /// A receipt says something about it.
    pub(crate) fn receipt(&mut self, received: &ReceivedReceipt) {
        self.note(received.at, What::receipt(received, None));
        self.happen(&Happening::Receipt(received.receipt.state.clone()), received.at);
    }

    /// A receipt says something about one part of it, which makes `whole` of the message.
    pub(crate) fn part_receipt(&mut self, received: &ReceivedReceipt, part: u16, news: bool, whole: DeliveryState) {
        let what = What::receipt(received, Some(part));
        if news {
            // What is known of the parts is read from the history: a bound must not make it forget.
            self.write(received.at, what);
        } else {
            self.note(received.at, what);
        }
        self.happen(&Happening::Receipt(whole), received.at);
    }

    /// Its time to live passed while it waited.
    pub(crate) fn expire(&mut self, at: UnixMs) {
        self.note(at, What::Expired);
        let held = self.state.copies > 0;
        self.happen(if held { &Happening::OutcomeUnknown } else { &Happening::TtlPassed }, at);
    }

    /// The caller cancels it; changes nothing once an attempt began.
    pub(crate) fn cancel(&mut self, at: UnixMs) {
        if self.state.status == Status::Queued {
            self.note(at, What::Canceled);
            self.happen(&Happening::Canceled, at);
        }
    }

    /// Its row can no longer be read, so nobody can send it.
    pub(crate) fn give_up(&mut self, at: UnixMs) {
        let held = self.state.copies > 0 || self.state.wait == Wait::Open;
        self.happen(if held { &Happening::OutcomeUnknown } else { &Happening::Exhausted }, at);
        self.state.wait = Wait::Idle;
    }

    /// Appends a line to the history. What others can repeat at will stops at a bound.
    pub(crate) fn note(&mut self, at: UnixMs, what: What) {
        let repeatable = matches!(what, What::Receipt { .. } | What::Feedback { .. });
        if !repeatable || self.state.log_len + self.lines.len() < LOG_MAX {
            self.write(at, what);
        } else {
            self.state.updated = self.state.updated.max(at);
        }
    }

    fn write(&mut self, at: UnixMs, what: What) {
        self.state.updated = self.state.updated.max(at);
        line(&mut self.lines, &Entry { at, what });
    }

    fn happen(&mut self, happening: &Happening, at: UnixMs) {
        let status = self.state.status.after(happening);
        if status != self.state.status {
            self.state.status = status;
            if !status.may_attempt() {
                self.note(at, What::Status(status)); // the others are told by `Accepted` and `Intent`
            }
        }
        if !status.may_attempt() && self.state.wait != Wait::Open {
            self.state.wait = Wait::Idle;
        }
    }

    fn end_attempt(&mut self, attempted: &Attempted, at: UnixMs) {
        self.state.wait = Wait::Idle;
        if matches!(attempted.outcome, Outcome::Accepted | Outcome::Unknown) {
            self.state.copies = self.state.copies.saturating_add(1);
        }
        self.note(at, What::Outcome(attempted.clone()));
    }

    fn wait(&mut self, lane: ProviderName, until: UnixMs, at: UnixMs) {
        self.state.lane = lane.clone();
        self.state.wait = Wait::Until(until);
        self.note(at, What::Waiting { lane, until });
    }
}

/// Bytes of history after which repeated receipts and feedback are counted but no longer written down.
pub(crate) const LOG_MAX: usize = 8 * 1024;

/// Appends one history line.
pub(crate) fn line(lines: &mut Vec<u8>, entry: &Entry) {
    let start = lines.len();
    let written = entry.serialize(&mut serde_json::Serializer::new(&mut *lines));
    if written.is_ok() {
        lines.push(b'\n');
    } else {
        lines.truncate(start); // writing plain values into memory does not fail
    }
}

/// Reads history lines back; `None` when one is unreadable.
pub(crate) fn entries(log: &[u8]) -> Option<Vec<Entry>> {
    log.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).ok())
        .collect()
}

fn ending(status: Status) -> Happening {
    match status {
        Status::Expired => Happening::TtlPassed,
        Status::Failed => Happening::Exhausted,
        Status::Rejected => Happening::RecipientRefused,
        // No attempt ends in any of the others; `unknown` promises least.
        Status::Blocked
        | Status::Canceled
        | Status::Delivered
        | Status::Queued
        | Status::Sending
        | Status::Sent
        | Status::Undelivered
        | Status::Unknown => Happening::OutcomeUnknown,
    }
}

#[cfg(test)]
mod tests {
    use sms_core::Receipt;

    use super::*;

    fn turn() -> Turn {
        let lane = ProviderName::new("mitto");
        Turn::of(State {
            row: 1,
            id: MessageId::new(UnixMs::new(1), [1; 10]),
            tenant: TenantId::new("acme"),
            country: Country::UNKNOWN,
            created: UnixMs::new(1),
            expires: UnixMs::new(300_001),
            notify: false,
            status: Status::Queued,
            updated: UnixMs::new(1),
            provider: None,
            upstream_id: None,
            lane,
            wait: Wait::Until(UnixMs::new(1)),
            attempt: 0,
            copies: 0,
            log_len: 0,
        })
    }

    fn settle(outcome: Outcome, then: Then) -> Settle {
        let (id, provider, started) = (turn().state.id, ProviderName::new("mitto"), UnixMs::new(2));
        let attempted = Attempted { attempt: 1, provider, outcome, kind: None, code: None, started, took_ms: 1 };
        Settle { id, attempt: 1, at: UnixMs::new(3), attempted, then }
    }

    fn received(state: DeliveryState) -> ReceivedReceipt {
        let receipt =
            Receipt { message: None, upstream_id: "u".into(), state, provider_code: None, at: None, part: None };
        ReceivedReceipt { provider: ProviderName::new("mitto"), receipt, at: UnixMs::new(4) }
    }

    #[test]
    fn an_attempt_that_a_receipt_outran_and_a_crash_ended_is_told_as_unknown() {
        let mut turn = turn();
        turn.begin(ProviderName::new("mitto"), UnixMs::new(2));
        turn.receipt(&received(DeliveryState::Delivered));
        turn.interrupted(UnixMs::new(9));
        assert_eq!((turn.state.status, turn.state.wait), (Status::Delivered, Wait::Idle));
        let outcomes = entries(&turn.lines).unwrap().into_iter().filter_map(|entry| match entry.what {
            What::Outcome(attempted) => Some((attempted.attempt, attempted.outcome)),
            What::Accepted
            | What::Blocked { .. }
            | What::Canceled
            | What::Expired
            | What::Feedback { .. }
            | What::Intent { .. }
            | What::Receipt { .. }
            | What::Status(_)
            | What::Waiting { .. } => None,
        });
        assert_eq!(outcomes.collect::<Vec<_>>(), [(1, Outcome::Unknown)]);
    }

    #[test]
    fn a_receipt_during_an_attempt_leaves_the_attempt_open_and_forbids_the_next() {
        let mut turn = turn();
        turn.begin(ProviderName::new("mitto"), UnixMs::new(2));
        turn.receipt(&received(DeliveryState::Delivered));
        assert_eq!((turn.state.status, turn.state.wait), (Status::Delivered, Wait::Open));
        let again = Then::Again { provider: ProviderName::new("other") };
        assert!(!turn.settle(&settle(Outcome::Unknown, again)));
        assert_eq!((turn.state.status, turn.state.wait, turn.state.attempt), (Status::Delivered, Wait::Idle, 1));
    }

    #[test]
    fn expiry_is_unknown_where_a_provider_may_hold_it() {
        let mut turn = turn();
        turn.expire(UnixMs::new(9));
        assert_eq!((turn.state.status, turn.state.wait), (Status::Expired, Wait::Idle));
        let mut turn = super::tests::turn();
        turn.begin(ProviderName::new("mitto"), UnixMs::new(2));
        let later = Then::Later { lane: ProviderName::new("mitto"), due: UnixMs::new(8) };
        turn.settle(&settle(Outcome::Unknown, later));
        turn.expire(UnixMs::new(9));
        assert_eq!(turn.state.status, Status::Unknown);
    }

    #[test]
    fn an_impossible_ending_promises_nothing() {
        let mut turn = turn();
        turn.begin(ProviderName::new("mitto"), UnixMs::new(2));
        turn.settle(&settle(Outcome::Refused, Then::End(Status::Delivered)));
        assert_eq!((turn.state.status, turn.state.wait), (Status::Unknown, Wait::Idle));
    }

    #[test]
    fn repeated_receipts_stop_growing_the_history() {
        let mut turn = turn();
        (0..1000).for_each(|_| turn.receipt(&received(DeliveryState::Unrecognised("ODD".into()))));
        assert!(turn.lines.len() < LOG_MAX + 200, "{}", turn.lines.len());
        turn.receipt(&received(DeliveryState::Pending));
        turn.begin(ProviderName::new("mitto"), UnixMs::new(5));
        let last = entries(&turn.lines).unwrap().pop().unwrap();
        assert!(matches!(last.what, What::Intent { .. }), "what we do ourselves is always written: {last:?}");
    }

    #[test]
    fn a_message_that_is_moved_again_and_again_stops_growing_its_history() {
        let mut turn = turn();
        for n in 0..1_000 {
            let lane = ProviderName::new(if n % 2 == 0 { "backup" } else { "mitto" });
            let (id, from, due) = (turn.state.id, turn.state.lane.clone(), UnixMs::new(1));
            turn.reroute(&Reroute { id, attempt: 0, from, lane: lane.clone(), due, at: UnixMs::new(n) });
            assert_eq!((&turn.state.lane, turn.state.wait), (&lane, Wait::Until(due)));
        }
        assert!(turn.lines.len() < LOG_MAX + 200, "{}", turn.lines.len());
        assert_eq!((turn.state.status, turn.state.attempt, turn.state.updated), (Status::Queued, 0, UnixMs::new(999)));
    }

    #[test]
    fn an_abandoned_attempt_waits_again_as_not_sent() {
        let mut turn = turn();
        turn.begin(ProviderName::new("mitto"), UnixMs::new(2));
        turn.release(UnixMs::new(5));
        assert_eq!((turn.state.wait, turn.state.copies), (Wait::Until(UnixMs::new(5)), 0));
    }
}
