//! Whether everything came to an end: messages in a definite status by their time to live, nothing lost, histories that
//! say what happened.

use std::collections::BTreeSet;
use std::time::Duration;

use sms_core::store::{Leased, Record, What};
use sms_core::{Clock as _, DeliveryState, MessageId, Status};

use super::Witness;
use crate::scenario::SETTLING_MS;

impl Witness {
    /// Messages to which something may still happen.
    pub(crate) fn undecided(&self) -> usize {
        self.stories.values().filter(|story| story.status.may_attempt()).count()
    }

    /// Messages to which something may still happen have longer to live than they ever asked for.
    pub(crate) fn lives_too_long(&self, ttl_max: Duration) -> bool {
        let latest = self.clock.now().plus(ttl_max);
        self.stories.values().any(|story| story.status.may_attempt() && story.expires > latest)
    }

    /// Looks for messages that should have come to an end; call only while nothing was broken for [`SETTLING_MS`].
    pub(crate) fn nobody_is_late(&mut self) {
        let now = self.clock.now();
        let late = now.minus(Duration::from_millis(SETTLING_MS));
        let stuck = self.stories.values().filter(|story| story.status.may_attempt() && story.expires < late);
        let stuck: Vec<String> =
            stuck.map(|story| format!("r{} is still {}", story.number, story.status.as_str())).collect();
        for what in stuck {
            self.blame("definite_by_its_time_to_live", what);
            if self.has_enough() {
                return;
            }
        }
    }

    /// Whether tenants were told of every change that is older than [`SETTLING_MS`].
    pub(crate) fn everybody_was_told(&mut self) {
        if self.was_set_back {
            return;
        }
        let before = self.clock.ms().saturating_sub(SETTLING_MS);
        let due = self.stories.values().filter(|story| story.notify && !story.status.may_attempt());
        let untold = due.filter(|story| story.since_ms < before && !story.told.contains(&story.status));
        let untold: Vec<String> = untold
            .map(|story| format!("r{}: nobody was told that it is {}", story.number, story.status.as_str()))
            .collect();
        for what in untold {
            self.blame("every_change_is_told", what);
        }
    }

    /// A process that starts found attempts open that another one left behind.
    pub(crate) fn orphans(&mut self, orphans: &[Leased]) {
        for orphan in orphans {
            self.note(format_args!("orphan {} attempt {}", self.name(orphan.id), orphan.attempt));
            self.stats.count("orphans");
        }
        if self.left_politely && !orphans.is_empty() {
            self.blame("a_polite_stop_leaves_nothing_open", format!("{} attempts were open", orphans.len()));
        }
        self.left_politely = false;
    }

    /// The last look at a message and at its row.
    pub(crate) fn ended(&mut self, id: MessageId, record: Option<&Record>) {
        let Some(story) = self.stories.get(&id) else { return };
        let name = format!("r{}", story.number);
        let Some(record) = record else {
            return self.blame("accepted_means_durable", format!("{name} is gone"));
        };
        self.stats.count(format!("ended.{}", record.status.as_str()));
        let mut faults = history_faults(story, record);
        if record.status != story.status {
            let (kept, seen) = (record.status.as_str(), story.status.as_str());
            faults.push(("status_never_goes_back", format!("is {kept} in the store and was last seen {seen}")));
        }
        if record.status.may_attempt() {
            faults.push(("definite_by_its_time_to_live", format!("ended {}", record.status.as_str())));
        }
        if story.was_said(&[DeliveryState::Delivered]) && record.status != Status::Delivered {
            faults.push(("status_tells_the_truth", format!("was delivered and ended {}", record.status.as_str())));
        }
        for (invariant, what) in faults {
            self.blame(invariant, format!("{name} {what}"));
        }
    }
}

/// What the history of a message says otherwise than it was.
fn history_faults(story: &super::Story, record: &Record) -> Vec<(&'static str, String)> {
    let (mut intents, mut outcomes, mut faults) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for entry in &record.history {
        match &entry.what {
            What::Intent { attempt, provider } => {
                if !intents.insert((*attempt, provider.clone())) {
                    faults.push(("one_intent_per_wire_request", format!("has two intents of attempt {attempt}")));
                }
            }
            What::Outcome(ended) => {
                if !outcomes.insert(ended.attempt) {
                    faults.push((
                        "one_intent_per_wire_request",
                        format!("has two outcomes of attempt {}", ended.attempt),
                    ));
                }
                if story.recorded.get(&ended.attempt).is_some_and(|recorded| recorded.outcome != ended.outcome) {
                    faults
                        .push(("status_tells_the_truth", format!("has another outcome of attempt {}", ended.attempt)));
                }
            }
            What::Accepted
            | What::Blocked { .. }
            | What::Canceled
            | What::Expired
            | What::Feedback { .. }
            | What::Receipt { .. }
            | What::Waiting { .. }
            | What::Status(_) => {}
        }
    }
    if intents.len() != outcomes.len() {
        let what = format!("has {} intents and {} outcomes", intents.len(), outcomes.len());
        faults.push(("one_intent_per_wire_request", what));
    }
    for request in &story.requests {
        if !intents.contains(&(request.attempt, request.provider.clone())) {
            faults.push(("one_intent_per_wire_request", format!("has no intent of attempt {}", request.attempt)));
        }
    }
    faults
}
