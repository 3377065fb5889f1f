//! A provider that behaves as its mood says: the table of architecture.md §3, and worse. It remembers nothing itself;
//! what it took and said is in the world. Must never behave otherwise than the seed says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sms_core::{
    Attempt, CallbackError, CallbackRequest, Capabilities, Channel, Descriptor, Encoding, Fate, Kind, MessageId,
    OutboundSms, ProviderName, Receipt, ReceiptMode, SendError, SmsProvider, Submission,
};
use tokio::time::Instant;

use crate::letters;
use crate::luck::Luck;
use crate::plant::Plant;
use crate::scenario::Mood;
use crate::world::World;

/// What a panic in a provider's code says; nothing else may panic.
pub(crate) const PANIC: &str = "a provider's code panicked, as it was told to";

/// Path segment that proves a callback.
pub(crate) const TOKEN: &str = "token";

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accepted,
    /// Takes no notice of the deadline.
    Deaf,
    Garbage,
    HungAfterRead,
    HungBeforeRead,
    Panics,
    Refused(Kind),
    Reset,
    ServerError,
    Throttled,
    TimedOutConnecting,
    Unreachable,
}

/// One provider.
#[derive(Debug)]
pub(crate) struct Upstream {
    descriptor: Descriptor,
    world: Arc<World>,
    in_flight: Arc<AtomicUsize>,
}

/// What the provider does with one request.
struct Script {
    answer: Answer,
    latency: Duration,
    taken: bool,
    upstream_id: String,
    luck: Luck,
}

impl Upstream {
    pub(crate) fn new(name: &str, world: Arc<World>) -> Self {
        let capabilities = Capabilities {
            alphanumeric_sender: true,
            body_units_max: 1_530,
            channels: &[Channel::Sms],
            encodings: &[Encoding::Gsm7, Encoding::Ucs2],
            idempotent: false,
            receipts: ReceiptMode::Callback,
            test_numbers: false,
            validity_period: true,
        };
        let descriptor = Descriptor { kind: "simulated", name: ProviderName::new(name), capabilities };
        Self { descriptor, world, in_flight: Arc::default() }
    }

    fn script(&self, attempt: &Attempt) -> Script {
        let number = self.world.witness().stories.get(&attempt.id.message).map_or(0, |story| story.number);
        let which = (u64::from(number) << 16) | u64::from(attempt.id.number);
        let mut luck = Luck::about(self.world.seed, self.descriptor.name.as_str(), which);
        let answer =
            answer(self.world.scenario.mood(self.descriptor.name.as_str(), self.world.clock.up_ms()), &mut luck);
        let latency = Duration::from_millis(match luck.between(0..10) {
            0 => luck.between(300..1_900),
            1..3 => luck.between(60..300),
            _ => luck.between(1..60),
        });
        let (taken, told) = match answer {
            Answer::Accepted => (true, luck.chance(95)),
            Answer::Deaf | Answer::Garbage | Answer::HungAfterRead | Answer::Panics | Answer::Reset => {
                (luck.chance(50), false)
            }
            Answer::ServerError => (luck.chance(25), false),
            Answer::HungBeforeRead
            | Answer::Refused(_)
            | Answer::Throttled
            | Answer::TimedOutConnecting
            | Answer::Unreachable => (false, false),
        };
        // Some providers name no id; receipts then quote ours. One that gave no answer has an id nobody learned.
        let upstream_id = if taken && (told || answer != Answer::Accepted) {
            format!("{}-{number}-{}", self.descriptor.name, attempt.id.number)
        } else {
            String::new()
        };
        Script { answer, latency, taken, upstream_id, luck }
    }
}

#[async_trait]
impl SmsProvider for Upstream {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn send(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Submission, SendError> {
        let mut script = self.script(attempt);
        let name = &self.descriptor.name;
        self.world.witness().wire(sms, attempt, name, (script.taken, &script.upstream_id));
        if self.world.plant == Some(Plant::SentTwice) && script.luck.chance(5) {
            self.world.witness().wire(sms, attempt, name, (script.taken, &script.upstream_id));
        }
        let flight = Flight::begin(self, attempt);
        if script.taken {
            letters::write(&self.world, name, (sms.id, &script.upstream_id), &mut script.luck);
        }
        let result = perform(&script, attempt).await;
        self.world.witness().wire_answered(sms.id, attempt.id.number, &result);
        drop(flight);
        result
    }

    fn receipts(&self, callback: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError> {
        if callback.token != TOKEN {
            return Err(CallbackError::Forged);
        }
        let number = std::str::from_utf8(&callback.body).ok().and_then(|text| text.parse().ok());
        let letter = number.and_then(|number| self.world.letter(number));
        letter.map(|letter| vec![letter.receipt]).ok_or(CallbackError::Malformed("no such letter"))
    }

    async fn converted(&self, _upstream_id: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn probe(&self) -> Result<(), SendError> {
        match self.world.scenario.mood(self.descriptor.name.as_str(), self.world.clock.up_ms()) {
            Mood::Down | Mood::Mute => Err(SendError::new(Kind::Unavailable, Fate::NotSent, "no connection")),
            Mood::Suspended => Err(SendError::new(Kind::Account, Fate::Refused, "suspended").answered()),
            Mood::Fair | Mood::Rough | Mood::Sick | Mood::Throttling => Ok(()),
        }
    }

    async fn shutdown(&self, _deadline: Instant) {}
}

/// A request that is with the provider; ends however its future does.
struct Flight {
    world: Arc<World>,
    count: Arc<AtomicUsize>,
    id: MessageId,
    attempt: u16,
}

impl Flight {
    fn begin(upstream: &Upstream, attempt: &Attempt) -> Self {
        let count = upstream.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        upstream.world.witness().in_flight(&upstream.descriptor.name, count);
        Self {
            world: Arc::clone(&upstream.world),
            count: Arc::clone(&upstream.in_flight),
            id: attempt.id.message,
            attempt: attempt.id.number,
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.world.witness().wire_ended(self.id, self.attempt);
    }
}

async fn perform(script: &Script, attempt: &Attempt) -> Result<Submission, SendError> {
    let late = SendError::new(Kind::Deadline, Fate::Unknown, "no answer by the deadline");
    match script.answer {
        Answer::Deaf => std::future::pending::<()>().await,
        Answer::HungAfterRead | Answer::HungBeforeRead => {
            tokio::time::sleep_until(attempt.deadline).await;
            return Err(late);
        }
        Answer::Accepted
        | Answer::Garbage
        | Answer::Panics
        | Answer::Refused(_)
        | Answer::Reset
        | Answer::ServerError
        | Answer::Throttled
        | Answer::TimedOutConnecting
        | Answer::Unreachable => {
            let until = (Instant::now() + script.latency).min(attempt.deadline);
            tokio::time::sleep_until(until).await;
        }
    }
    let error = SendError::new;
    Err(match script.answer {
        Answer::Accepted => return Ok(Submission { upstream_id: script.upstream_id.clone(), parts: None }),
        Answer::Deaf | Answer::HungAfterRead | Answer::HungBeforeRead => late,
        Answer::Garbage => error(Kind::Protocol, Fate::Unknown, "unreadable"),
        Answer::Panics => std::panic::panic_any(PANIC),
        Answer::Refused(kind) => error(kind, Fate::Refused, "refused").answered().with_code("no"),
        Answer::Reset => error(Kind::Unavailable, Fate::Unknown, "reset"),
        Answer::ServerError => error(Kind::Unavailable, Fate::Unknown, "500").answered(),
        Answer::Throttled => {
            let error = error(Kind::Throttled, Fate::Refused, "429").answered();
            if script.taken { error } else { error.with_retry_after(script.latency * 10) }
        }
        Answer::TimedOutConnecting => error(Kind::Unavailable, Fate::NotSent, "connect time-out"),
        Answer::Unreachable => error(Kind::Unavailable, Fate::NotSent, "connection refused"),
    })
}

fn answer(mood: Mood, luck: &mut Luck) -> Answer {
    let refused = |kind| Answer::Refused(kind);
    match mood {
        Mood::Down => {
            luck.weighted(&[(70, Answer::Unreachable), (20, Answer::TimedOutConnecting), (10, Answer::HungBeforeRead)])
        }
        Mood::Fair => luck.weighted(&[
            (92, Answer::Accepted),
            (2, refused(Kind::Recipient)),
            (1, refused(Kind::Content)),
            (1, Answer::HungAfterRead),
            (1, Answer::Reset),
            (1, Answer::ServerError),
            (1, Answer::Throttled),
            (1, Answer::Unreachable),
        ]),
        Mood::Mute => luck.weighted(&[
            (30, Answer::HungAfterRead),
            (30, Answer::HungBeforeRead),
            (20, Answer::Reset),
            (20, Answer::Deaf),
        ]),
        Mood::Rough => luck.weighted(&[
            (40, Answer::Accepted),
            (8, Answer::ServerError),
            (6, Answer::Garbage),
            (6, Answer::HungAfterRead),
            (6, Answer::Reset),
            (6, refused(Kind::Recipient)),
            (6, refused(Kind::Unavailable)),
            (5, refused(Kind::Content)),
            (5, Answer::Throttled),
            (5, Answer::Unreachable),
            (3, Answer::Panics),
            (2, Answer::Deaf),
            (2, refused(Kind::Account)),
        ]),
        Mood::Sick => {
            luck.weighted(&[(70, Answer::ServerError), (20, refused(Kind::Unavailable)), (10, Answer::Accepted)])
        }
        Mood::Suspended => luck.weighted(&[(90, refused(Kind::Account)), (10, Answer::Accepted)]),
        Mood::Throttling => luck.weighted(&[(70, Answer::Throttled), (30, Answer::Accepted)]),
    }
}
