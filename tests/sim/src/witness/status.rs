//! Where messages stand: only forward, and only for a reason that was seen.

use sms_core::store::{
    Change, INTERRUPTED, Outcome, RECEIPT_PARKED, Receipted, ReceivedReceipt, Reroute, Settle, Settled, Then,
};
use sms_core::{DeliveryState, MessageId, ProviderName, Receipt, Status, UnixMs};

use super::{Said, Story, Witness};
use crate::plan::CONCURRENCY_MAX;

impl Witness {
    /// An attempt's intent was committed.
    pub(super) fn attempt_opened(&mut self, id: MessageId, attempt: u16, provider: &ProviderName) {
        self.stats.count("intents");
        self.permits.insert((id, attempt), provider.clone());
        let held = self.permits.values().filter(|with| *with == provider).count();
        if held > CONCURRENCY_MAX {
            self.blame("an_intent_has_a_permit", format!("{held} intents with {provider} are open at a time"));
        }
        let ms = self.clock.ms();
        let Some(story) = self.stories.get_mut(&id) else {
            return self.blame("accepted_means_durable", format!("{id} gets an attempt but was never accepted"));
        };
        let (name, status) = (format!("r{}", story.number), story.status);
        let twice = story.intents.insert(attempt, provider.clone()).is_some();
        if status == Status::Queued {
            story.stands(Status::Sending, ms);
        }
        if !status.may_attempt() {
            let what = format!("{name} is {} and gets an attempt", status.as_str());
            self.blame("status_never_goes_back", what);
        }
        if twice {
            self.blame("one_intent_per_wire_request", format!("{name} has two intents of attempt {attempt}"));
        }
    }

    /// Attempts are over, and their permits free, before their outcomes are recorded.
    pub(crate) fn attempts_ended(&mut self, batch: &[Settle]) {
        for settle in batch {
            self.permits.remove(&(settle.id, settle.attempt));
        }
    }

    /// A message that waited is to wait elsewhere.
    pub(crate) fn rerouted(&mut self, reroute: &Reroute) {
        let Reroute { id, from, lane, .. } = reroute;
        self.note(format_args!("reroute {} from {from} to {lane}", self.name(*id)));
        self.stats.count("reroutes");
        let Some(story) = self.stories.get(id) else {
            return self.blame("accepted_means_durable", format!("{id} is moved but was never accepted"));
        };
        let again = from != lane && story.intents.values().any(|with| with == lane);
        if again {
            let what = format!("r{} is moved to {lane}, which was asked before", story.number);
            self.blame("a_move_asks_somebody_new", what);
        }
    }

    /// The store took, or refused, an attempt's outcome.
    pub(crate) fn settled(&mut self, settle: &Settle, settled: &Settled) {
        let (attempt, outcome) = (settle.attempt, settle.attempted.outcome);
        let (name, now) = (self.name(settle.id), settle.at);
        self.note(format_args!(
            "settle {name} attempt {attempt} {} {}",
            outcome.as_str(),
            then(settled, &settle.then, now)
        ));
        let Settled::Done { change, go } = settled else { return self.stats.count("settles.fenced") };
        self.stats.count(format!("attempts.{}", outcome.as_str()));
        self.outcome_is_true(settle);
        let upstream_id = match &settle.then {
            Then::Sent { upstream_id } => upstream_id.as_str(),
            Then::Again { .. } | Then::End(_) | Then::Later { .. } => "",
        };
        self.unpark(settle, upstream_id);
        self.changed(change);
        if let Then::Again { provider } = &settle.then
            && *go
        {
            self.attempt_opened(settle.id, attempt + 1, provider);
        }
    }

    /// The store took a receipt.
    pub(crate) fn received(&mut self, received: &ReceivedReceipt, receipted: &Receipted) {
        let state = received.receipt.state.as_str();
        match receipted {
            Receipted::Matched(change) => {
                self.note(format_args!("receipt {} {state} from {}", self.name(change.id), received.provider));
                self.stats.count(format!("receipts.{state}"));
                self.believe(change.id, &received.provider, &received.receipt);
                self.changed(change);
            }
            Receipted::Parked => {
                self.note(format_args!("receipt parked {state} from {}", received.provider));
                self.stats.count("receipts.parked");
                self.parked.push(received.clone());
            }
        }
    }

    /// A message's status changed, or did not.
    pub(crate) fn changed(&mut self, change: &Change) {
        let (now, ms) = (self.now(), self.clock.ms());
        let Some(story) = self.stories.get_mut(&change.id) else {
            return self.blame("accepted_means_durable", format!("{} changed but was never accepted", change.id));
        };
        let (from, to) = (change.from, change.to);
        let (name, known) = (format!("r{}", story.number), story.status);
        let undelivered = story.was_said(&[DeliveryState::Delivered]) && to != Status::Delivered;
        let reason = from == to || has_reason(story, to, now >= story.expires);
        story.stands(to, ms);
        if from != to {
            self.note(format_args!("status {name} {}", to.as_str()));
        }
        if known != from {
            let what = format!("{name} was {} and is told to have been {}", known.as_str(), from.as_str());
            self.blame("status_never_goes_back", what);
        }
        if from != to && !may_follow(from, to) {
            self.blame("status_never_goes_back", format!("{name} went from {} to {}", from.as_str(), to.as_str()));
        }
        if !reason {
            self.blame("status_tells_the_truth", format!("{name} became {} without a reason", to.as_str()));
        }
        if undelivered {
            self.blame("status_tells_the_truth", format!("{name} was delivered and is {}", to.as_str()));
        }
    }

    /// What the ledger says of an attempt is what its provider said.
    fn outcome_is_true(&mut self, settle: &Settle) {
        let (id, attempt) = (settle.id, settle.attempt);
        let interrupted = settle.attempted.code.as_deref() == Some(INTERRUPTED);
        let life = self.life;
        let Some(story) = self.stories.get_mut(&id) else { return };
        let name = format!("r{}", story.number);
        let twice = story.recorded.insert(attempt, settle.attempted.clone()).is_some();
        let request = story.requests.iter().rev().find(|request| request.attempt == attempt);
        let right = match (request, settle.attempted.outcome) {
            (Some(request), outcome) if interrupted => outcome == Outcome::Unknown && request.life < life,
            (Some(request), outcome) => request.outcome.unwrap_or(Outcome::Unknown) == outcome,
            (None, outcome) => outcome == if interrupted { Outcome::Unknown } else { Outcome::NotSent },
        };
        if twice {
            self.blame("one_intent_per_wire_request", format!("{name}: attempt {attempt} ended twice"));
        }
        if !right {
            let outcome = settle.attempted.outcome.as_str();
            self.blame("status_tells_the_truth", format!("{name}: attempt {attempt} did not end {outcome}"));
        }
    }

    /// A receipt was matched with a message: it must be of a provider that has it.
    fn believe(&mut self, id: MessageId, provider: &ProviderName, receipt: &Receipt) {
        let Some(story) = self.stories.get_mut(&id) else { return };
        let name = format!("r{}", story.number);
        if story.requests.iter().any(|request| request.is_meant(id, provider, receipt)) {
            story.said.push(Said { provider: provider.clone(), state: receipt.state.clone() });
        } else {
            self.blame("receipts_find_their_message", format!("{name} was matched with a receipt of {provider}"));
        }
    }

    /// Receipts that waited for what was just settled; those that waited too long are forgotten.
    fn unpark(&mut self, settle: &Settle, upstream_id: &str) {
        let meant = |received: &mut ReceivedReceipt| {
            let receipt = &received.receipt;
            let known = !upstream_id.is_empty() && receipt.upstream_id == upstream_id;
            received.provider == settle.attempted.provider && (receipt.message == Some(settle.id) || known)
        };
        let found: Vec<_> = self.parked.extract_if(.., meant).collect();
        for received in found.iter().filter(|received| settle.at <= received.at.plus(RECEIPT_PARKED)) {
            self.believe(settle.id, &received.provider, &received.receipt);
        }
    }
}

impl Story {
    fn stands(&mut self, status: Status, ms: u64) {
        if self.status != status {
            self.status = status;
            self.since_ms = ms;
            self.statuses.push(status);
        }
    }
}

/// The contract's table of statuses, written down once more.
fn may_follow(from: Status, to: Status) -> bool {
    use Status::{Canceled, Delivered, Expired, Failed, Queued, Rejected, Sending, Sent, Undelivered, Unknown};
    let allowed: &[Status] = match to {
        Sending | Canceled => &[Queued],
        Sent => &[Sending, Unknown],
        Delivered => &[Sent, Sending, Unknown, Undelivered, Expired],
        Undelivered => &[Sent, Sending, Unknown],
        Expired => &[Queued, Sending, Sent],
        Rejected | Unknown => &[Sending],
        Failed => &[Queued, Sending],
        Status::Blocked | Queued => &[],
    };
    allowed.contains(&from)
}

/// Whether anything was seen that makes this status true.
fn has_reason(story: &Story, to: Status, is_late: bool) -> bool {
    use DeliveryState::{Delivered, Expired, Pending, Undelivered};
    let accepted = story.recorded.values().any(|ended| ended.outcome == Outcome::Accepted);
    match to {
        Status::Blocked | Status::Queued => false,
        Status::Canceled => story.cancel_asked && story.requests.is_empty(),
        Status::Delivered => story.was_said(&[Delivered]),
        Status::Expired => story.was_said(&[Expired]) || (is_late && !story.holds_recorded()),
        Status::Failed => !story.holds_recorded(),
        Status::Rejected => story.refused_for_its_recipient() && !story.holds_recorded(),
        Status::Sending => true,
        Status::Sent => accepted || story.was_said(&[Pending]),
        Status::Undelivered => story.was_said(&[Undelivered, Expired]),
        Status::Unknown => story.holds_recorded(),
    }
}

/// What follows, for notes.
fn then(settled: &Settled, then: &Then, now: UnixMs) -> String {
    match (settled, then) {
        (Settled::Fenced, _) => "fenced".to_owned(),
        (Settled::Done { go, .. }, Then::Again { provider }) => format!("then {provider} at once: {go}"),
        (Settled::Done { .. }, Then::End(status)) => format!("then {}", status.as_str()),
        (Settled::Done { .. }, Then::Later { lane, due }) => {
            format!("then {lane} in {} ms", due.since(now).as_millis())
        }
        (Settled::Done { .. }, Then::Sent { .. }) => "then receipts".to_owned(),
    }
}
