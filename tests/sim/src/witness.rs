//! Stands outside and compares what the gateway does with what it promised (architecture.md §5). It believes only what
//! it saw itself: requests and answers, wire requests, commits of the store, receipts. Must never call the gateway.

mod ending;
mod limits;
mod status;
mod story;
mod wire;

pub(crate) use story::{Said, Story};
pub(crate) use wire::WireRequest;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sms_core::store::{Admit, Idempotency, Leased, ReceivedReceipt, Verdict};
use sms_core::{Clock as _, MessageId, ProviderName, TenantId, UnixMs};
use sms_engine::{Code, Refusal, Submitted};

use crate::Violation;
use crate::clock::MachineClock;
use crate::plan::Order;
use crate::stats::Stats;
use limits::Limits;

/// Violations after which a run has told enough.
const VIOLATIONS_MAX: usize = 5;

/// Everything seen so far.
#[derive(Debug)]
pub(crate) struct Witness {
    clock: Arc<MachineClock>,
    pub(crate) stats: Stats,
    pub(crate) violations: Vec<Violation>,
    pub(crate) stories: BTreeMap<MessageId, Story>,
    /// By number of the request; a repeated request has one story.
    numbers: BTreeMap<u32, MessageId>,
    keys: BTreeMap<(TenantId, String), Kept>,
    limits: Limits,
    /// Intents whose attempts are not over, with whom: each is to hold a permit.
    permits: BTreeMap<(MessageId, u16), ProviderName>,
    /// Receipts that the store could not match yet.
    parked: Vec<ReceivedReceipt>,
    /// Which life of the process this is.
    pub(crate) life: u32,
    /// A process started with a wall clock behind that of the one before: what was due is due later.
    was_set_back: bool,
    /// When a process last started with a wall clock ahead of that of the one before: pauses seem to be over.
    set_forward_ms: u64,
    off_ms: i64,
    /// The last process had all the time it needed to stop.
    pub(crate) left_politely: bool,
    hash: u64,
    lines: Option<Vec<String>>,
}

/// What the store promised to answer under a key.
#[derive(Debug)]
struct Kept {
    fingerprint: [u8; 32],
    id: MessageId,
    answer: Arc<[u8]>,
}

impl Witness {
    pub(crate) fn new(clock: Arc<MachineClock>, keeps_trace: bool) -> Self {
        Self {
            clock,
            stats: Stats::default(),
            violations: Vec::new(),
            stories: BTreeMap::new(),
            numbers: BTreeMap::new(),
            keys: BTreeMap::new(),
            limits: Limits::default(),
            permits: BTreeMap::new(),
            parked: Vec::new(),
            life: 0,
            was_set_back: false,
            set_forward_ms: 0,
            off_ms: 0,
            left_politely: false,
            hash: HASH_START,
            lines: keeps_trace.then(Vec::new),
        }
    }

    /// Writes down what happened; two runs of a seed must write the same.
    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        let ms = self.clock.ms();
        let line = format!("{:>5}.{:03} {} {what}", ms / 1_000, ms % 1_000, self.life);
        self.hash = line.bytes().fold(self.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(HASH_PRIME));
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// A promise was broken.
    pub(crate) fn blame(&mut self, invariant: &'static str, what: String) {
        self.note(format_args!("VIOLATION {invariant}: {what}"));
        self.violations.push(Violation { invariant, what, at_ms: self.clock.ms() });
    }

    /// Going on would tell nothing new.
    pub(crate) fn has_enough(&self) -> bool {
        self.violations.len() >= VIOLATIONS_MAX
    }

    /// A digest of all that was noted.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// All that was noted, where it was kept.
    pub(crate) fn trace(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }

    /// A process starts.
    pub(crate) fn process_starts(&mut self) {
        self.life += 1;
        self.permits.clear();
        let off_ms = self.clock.off_ms();
        self.was_set_back |= off_ms < self.off_ms;
        if off_ms > self.off_ms {
            self.set_forward_ms = self.clock.ms();
        }
        self.off_ms = off_ms;
        self.limits.process_starts(off_ms);
        self.note(format_args!("start"));
    }

    /// The wall clock of the running process.
    fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// The message of a request, if it was accepted.
    pub(crate) fn message_of(&self, number: u32) -> Option<MessageId> {
        self.numbers.get(&number).copied()
    }

    /// What a message is called in notes.
    pub(crate) fn name(&self, id: MessageId) -> String {
        self.stories.get(&id).map_or_else(|| format!("{id}"), |story| format!("r{}", story.number))
    }

    /// The store decided about a request; called in the moment of its commit.
    pub(crate) fn admitted(&mut self, admit: &Admit, verdict: &Verdict) {
        let number = story::number(admit);
        self.note(format_args!("admit r{number} {}", verdict_word(verdict)));
        match verdict {
            Verdict::Leased { .. } => self.accepted(admit, number),
            Verdict::Limited { limit, .. } => {
                if !self.limits.may_refuse(limit, &admit.message.tenant, admit.message.to, self.clock.ms()) {
                    self.blame("limits_exact_under_concurrency", format!("r{number} was refused by {limit} below it"));
                }
            }
            Verdict::KeyReuse | Verdict::Replayed { .. } => {}
        }
    }

    /// Attempts were opened for messages that waited.
    pub(crate) fn claimed(&mut self, leased: &Leased) {
        self.note(format_args!("claim {} attempt {} {}", self.name(leased.id), leased.attempt, leased.lane));
        self.attempt_opened(leased.id, leased.attempt, &leased.lane);
    }

    /// The gateway answered a caller.
    pub(crate) fn answered(&mut self, order: &Order, result: &Result<Submitted, Refusal>) {
        match result {
            Ok(submitted) => {
                self.note(format_args!("answer {} 2xx replayed {}", self.name(submitted.id), submitted.replayed));
                self.stats.count(if submitted.replayed { "answers.replayed" } else { "answers.accepted" });
                if !self.stories.contains_key(&submitted.id) {
                    self.blame("accepted_means_durable", format!("{} was promised but never committed", submitted.id));
                }
                if let Some(key) = &order.idempotency {
                    self.replay_is_right(order, key, submitted);
                } else if submitted.replayed {
                    self.blame("idempotent_replay_is_byte_identical", format!("{} had no key", submitted.id));
                }
            }
            Err(refusal) => self.refused(order, refusal.code()),
        }
    }

    /// A caller waited for longer than anything may take.
    pub(crate) fn hangs(&mut self, what: &str) {
        self.blame("nothing_hangs", what.to_owned());
    }

    /// A webhook told a tenant of a status.
    pub(crate) fn told(&mut self, id: MessageId, status: &str) {
        self.note(format_args!("webhook {} {status}", self.name(id)));
        self.stats.count("webhooks");
        let Some(story) = self.stories.get_mut(&id) else {
            return self.blame("accepted_means_durable", format!("a webhook tells of {id}, which nobody accepted"));
        };
        match story.statuses.iter().find(|reached| reached.as_str() == status) {
            Some(reached) => drop(story.told.insert(*reached)),
            None => {
                self.blame("status_never_goes_back", format!("a webhook says {status} of {id}, which was never so"));
            }
        }
    }

    fn accepted(&mut self, admit: &Admit, number: u32) {
        let (id, message) = (admit.message.id, &admit.message);
        self.stats.count("messages");
        if let Some(key) = &admit.idempotency {
            let kept = Kept { fingerprint: key.fingerprint, id, answer: Arc::clone(&admit.answer) };
            if self.keys.insert((message.tenant.clone(), key.key.clone()), kept).is_some() {
                self.blame(
                    "idempotent_replay_is_byte_identical",
                    format!("r{number} was accepted twice under its key"),
                );
            }
        } else if self.numbers.contains_key(&number) {
            self.blame("idempotent_replay_is_byte_identical", format!("r{number} was made once and accepted twice"));
        }
        for limit in self.limits.charge(&message.tenant, message.to, self.clock.ms()) {
            self.blame("limits_exact_under_concurrency", format!("r{number} exceeds {limit}"));
        }
        self.numbers.insert(number, id);
        self.stories.insert(id, Story::of(admit, number));
        if admit.begin {
            self.attempt_opened(id, 1, &admit.lane);
        }
    }

    fn replay_is_right(&mut self, order: &Order, key: &Idempotency, submitted: &Submitted) {
        let kept = self.keys.get(&(order.tenant.clone(), key.key.clone()));
        let right = kept.is_some_and(|kept| {
            kept.fingerprint == key.fingerprint && kept.id == submitted.id && kept.answer == submitted.answer
        });
        if !right {
            self.blame(
                "idempotent_replay_is_byte_identical",
                format!("{} is another answer than promised", submitted.id),
            );
        }
    }

    fn refused(&mut self, order: &Order, code: Code) {
        self.note(format_args!("answer r{} refused {}", order.number(), code.as_str()));
        self.stats.count(format!("answers.{}", code.as_str()));
        let kept = order.idempotency.as_ref().and_then(|key| {
            let kept = self.keys.get(&(order.tenant.clone(), key.key.clone()))?;
            Some(kept.fingerprint == key.fingerprint)
        });
        match code {
            Code::IdempotencyKeyReuse if kept != Some(false) => {
                self.blame("idempotent_replay_is_byte_identical", format!("r{} does not reuse a key", order.number()));
            }
            Code::IdempotencyKeyReuse => {}
            Code::NoRoute
            | Code::Overloaded
            | Code::RecipientRateLimited
            | Code::StoreUnavailable
            | Code::TenantRateLimited => {
                // Under a key an earlier or parallel one may have been accepted.
                if order.idempotency.is_none() && self.message_of(order.number()).is_some() {
                    self.blame("refused_means_not_accepted", format!("r{} was refused but is kept", order.number()));
                }
            }
            Code::ChannelNotSupported
            | Code::CountryNotAllowed
            | Code::DestinationRateLimited
            | Code::EndUserRateLimited
            | Code::ForbiddenClient
            | Code::InvalidRecipient
            | Code::InvalidRequest
            | Code::NotFound
            | Code::SenderNotAllowed
            | Code::TestNumber
            | Code::UnknownTemplate
            | Code::UnknownVariable => {
                self.blame("refused_for_a_reason", format!("r{}: {}", order.number(), code.as_str()));
            }
        }
    }
}

fn verdict_word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::KeyReuse => "key reuse".to_owned(),
        Verdict::Leased { .. } => "accepted".to_owned(),
        Verdict::Limited { limit, .. } => format!("limited by {limit}"),
        Verdict::Replayed { .. } => "replayed".to_owned(),
    }
}

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;
const HASH_PRIME: u64 = 0x0100_0000_01b3;
