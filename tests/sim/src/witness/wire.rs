//! What reaches providers: every request must have been written down before, be in time, and be allowed to exist.

use std::time::Duration;

use sms_core::store::Outcome;
use sms_core::{
    Attempt, Class, Clock as _, Kind, MessageId, OutboundSms, ProviderName, Receipt, SendError, Submission,
};

use super::{Story, Witness};
use crate::plan::CONCURRENCY_MAX;

/// One request to a provider.
#[derive(Clone, Debug)]
pub(crate) struct WireRequest {
    pub(super) attempt: u16,
    pub(super) provider: ProviderName,
    /// When it was over, however: answered, dropped, or cut off by a kill.
    ended_ms: Option<u64>,
    /// What the answer said of the message; `None` without an answer.
    pub(super) outcome: Option<Outcome>,
    /// The answer was no proof of refusal, but an answer.
    answered: bool,
    /// The provider really has it.
    taken: bool,
    /// The provider's id for it.
    upstream_id: String,
    /// The process that made it.
    pub(super) life: u32,
}

impl WireRequest {
    /// No answer proves that the provider does not have it.
    pub(super) fn may_be_held(&self) -> bool {
        match self.outcome {
            None | Some(Outcome::Accepted | Outcome::Unknown) => true,
            Some(Outcome::NotSent | Outcome::Refused) => false,
        }
    }

    /// Whether a receipt of a provider speaks of this request.
    pub(super) fn is_meant(&self, id: MessageId, provider: &ProviderName, receipt: &Receipt) -> bool {
        let named = receipt.message == Some(id);
        let known = !receipt.upstream_id.is_empty() && receipt.upstream_id == self.upstream_id;
        self.taken && self.provider == *provider && (named || known)
    }
}

impl Witness {
    /// A provider was handed a message, and perhaps takes it, under an id of its own.
    pub(crate) fn wire(
        &mut self,
        sms: &OutboundSms,
        attempt: &Attempt,
        provider: &ProviderName,
        (taken, upstream_id): (bool, &str),
    ) {
        let number = attempt.id.number;
        self.note(format_args!("wire {} attempt {number} {provider}", self.name(sms.id)));
        self.stats.count("wire_requests");
        let (now, life, ms) = (self.clock.now(), self.life, self.clock.ms());
        let Some(story) = self.stories.get_mut(&sms.id) else {
            return self.blame("accepted_means_durable", format!("{} was sent but never accepted", sms.id));
        };
        let mut faults = faults(story, sms, number, (ms, self.set_forward_ms));
        if story.intents.get(&number) != Some(provider) {
            faults.push(("one_intent_per_wire_request", format!("attempt {number} has no intent with {provider}")));
        }
        if now >= story.expires || attempt.valid_for > story.expires.since(now) {
            let late = now.since(story.expires);
            faults.push(("expired_is_never_sent", format!("attempt {number}, {} ms late", late.as_millis())));
        }
        let name = format!("r{}", story.number);
        story.requests.push(WireRequest {
            attempt: number,
            provider: provider.clone(),
            ended_ms: None,
            outcome: None,
            answered: false,
            taken,
            upstream_id: upstream_id.to_owned(),
            life,
        });
        for (invariant, what) in faults {
            self.blame(invariant, format!("{name}: {what}"));
        }
    }

    /// A provider's client came back with an answer.
    pub(crate) fn wire_answered(&mut self, id: MessageId, attempt: u16, result: &Result<Submission, SendError>) {
        let (outcome, answered, word) = match result {
            Ok(_) => (Outcome::Accepted, true, "accepted"),
            Err(error) => {
                let outcome = match error.fate {
                    sms_core::Fate::NotSent => Outcome::NotSent,
                    sms_core::Fate::Refused => Outcome::Refused,
                    sms_core::Fate::Unknown => Outcome::Unknown,
                };
                (outcome, error.answered, Kind::as_str(error.kind))
            }
        };
        self.note(format_args!("wire {} attempt {attempt} answered {word} {}", self.name(id), outcome.as_str()));
        self.stats.count(format!("wire_answers.{}", outcome.as_str()));
        if let Some(request) = self.request_mut(id, attempt) {
            request.outcome = Some(outcome);
            request.answered = answered;
        }
    }

    /// A request is over: with an answer, dropped by the gateway, or cut off by a kill.
    pub(crate) fn wire_ended(&mut self, id: MessageId, attempt: u16) {
        let ms = self.clock.ms();
        if let Some(request) = self.request_mut(id, attempt).filter(|request| request.ended_ms.is_none()) {
            request.ended_ms = Some(ms);
            if request.outcome.is_none() {
                self.stats.count("wire_answers.cut");
            }
        }
    }

    /// Whether a provider still has a request before it.
    pub(crate) fn awaits_an_answer(&self) -> bool {
        self.stories.values().any(|story| story.requests.last().is_some_and(|request| request.ended_ms.is_none()))
    }

    /// So many requests are with a provider at a time.
    pub(crate) fn in_flight(&mut self, provider: &ProviderName, count: usize) {
        if count > CONCURRENCY_MAX {
            self.blame("concurrency_is_kept", format!("{provider} has {count} requests at a time"));
        }
    }

    fn request_mut(&mut self, id: MessageId, attempt: u16) -> Option<&mut WireRequest> {
        self.stories.get_mut(&id)?.requests.iter_mut().rev().find(|request| request.attempt == attempt)
    }
}

/// What is wrong with one more request of this message, now that a process has a clock that was set forward so long ago.
fn faults(
    story: &Story,
    sms: &OutboundSms,
    attempt: u16,
    (ms, set_forward_ms): (u64, u64),
) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    if story.requests.iter().any(|earlier| earlier.attempt >= attempt) {
        faults.push(("one_intent_per_wire_request", format!("attempt {attempt} was made before")));
    }
    if story.requests.iter().any(|earlier| earlier.ended_ms.is_none()) {
        faults.push(("one_intent_per_wire_request", format!("attempt {attempt} runs beside another one")));
    }
    if story.text != sms.body.expose() || story.to != sms.to.expose() {
        faults.push(("otp_copies_max_two", format!("attempt {attempt} is another text or for another number")));
    }
    if story.cancel_asked && story.status == sms_core::Status::Canceled {
        faults.push(("canceled_is_never_sent", format!("attempt {attempt}")));
    }
    let held = story.held().count();
    if held >= story.copies_max {
        let invariant = match story.class {
            Class::Otp => "otp_copies_max_two",
            Class::Transactional => "transactional_never_resent_on_unknown",
        };
        faults.push((invariant, format!("attempt {attempt} while {held} of {} may be held", story.copies_max)));
    }
    // Nobody answered: a receipt may still come, and a second copy must wait for it.
    if let Some(silent) = story.held().last().filter(|earlier| !earlier.answered) {
        let ended_ms = silent.ended_ms.unwrap_or(ms);
        let waited = Duration::from_millis(ms.saturating_sub(ended_ms));
        if waited < story.unknown_wait && ended_ms >= set_forward_ms {
            let waited = waited.as_millis();
            faults.push(("a_copy_waits_for_a_receipt", format!("attempt {attempt} after {waited} ms of silence")));
        }
    }
    faults
}
