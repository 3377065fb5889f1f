//! The provider: looks its script up, plays it, and files what it took.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::options::{Fault, Options};
use sms_core::{
    Attempt, CallbackError, CallbackRequest, Capabilities, Channel, Clock, DeliveryState, Deps, Descriptor, Encoding,
    Fate, Kind, OutboundSms, ProviderFactory, ProviderName, Receipt, ReceiptMode, SendError, SmsProvider, Submission,
};
use tokio::time::{Instant, sleep_until};

use crate::postman::Postman;
use crate::{Answer, Behaviour, Config, Inbox};

/// One instance.
#[derive(Debug)]
pub struct Mock {
    clock: Arc<dyn Clock>,
    config: Config,
    descriptor: Descriptor,
    inbox: Inbox,
    postman: Postman,
}

impl Mock {
    /// An instance called `name` that fills `inbox`.
    pub fn new(name: &ProviderName, config: Config, inbox: Inbox, deps: &Deps) -> Self {
        let descriptor = Descriptor { kind: KIND, name: name.clone(), capabilities: capabilities(&config) };
        let postman = Postman::new(name.clone(), Arc::clone(&deps.receipts), Arc::clone(&deps.clock));
        Self { clock: Arc::clone(&deps.clock), config, descriptor, inbox, postman }
    }

    fn script(&self, sms: &OutboundSms) -> Behaviour {
        let set = self.inbox.behaviour(&sms.to);
        set.or_else(|| Behaviour::of_magic(&sms.to)).unwrap_or(self.config.behaviour)
    }

    /// Takes the message: from here on the fake network holds it.
    async fn take(&self, sms: &OutboundSms, attempt: &Attempt, script: &Behaviour) -> Submission {
        self.inbox.take(sms, &self.descriptor.name, self.clock.now());
        let upstream_id = attempt.id.to_string();
        let message = (!script.receipt_first).then_some(sms.id);
        let receipts = script.receipts().into_iter().map(|state| Receipt {
            message,
            upstream_id: upstream_id.clone(),
            provider_code: provider_code(&state).map(str::to_owned),
            state,
            at: None, // the postman's clock tells
            part: None,
        });
        let receipts: Vec<Receipt> = receipts.collect();
        if self.config.receipts && !receipts.is_empty() {
            if script.receipt_first {
                self.postman.deliver(receipts).await;
            } else {
                let after = script.after.unwrap_or(self.config.receipt_after).as_duration();
                self.postman.post(Instant::now() + after, receipts);
            }
        }
        Submission { upstream_id, parts: Some(sms.segmentation.segments) }
    }

    /// Thinks for the configured latency; `false` when the deadline comes first.
    async fn think(&self, deadline: Instant) -> bool {
        if self.config.latency.as_duration() == Duration::ZERO {
            return true;
        }
        let answer_at = Instant::now() + self.config.latency.as_duration();
        sleep_until(answer_at.min(deadline)).await;
        answer_at < deadline
    }
}

#[async_trait]
impl SmsProvider for Mock {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn send(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Submission, SendError> {
        if !self.descriptor.capabilities.channels.contains(&sms.channel) {
            return Err(SendError::new(Kind::Content, Fate::Refused, "this mock does not offer the channel"));
        }
        let script = self.script(sms);
        if !self.think(attempt.deadline).await {
            return Err(SendError::new(Kind::Deadline, Fate::Unknown, "thought longer than the deadline"));
        }
        match script.answer {
            Answer::Accept => return Ok(self.take(sms, attempt, &script).await),
            Answer::Garbage | Answer::Reset => drop(self.take(sms, attempt, &script).await), // nobody learns the id
            Answer::Timeout => {
                drop(self.take(sms, attempt, &script).await); // nobody learns the id
                sleep_until(attempt.deadline).await;
            }
            Answer::Silence => sleep_until(attempt.deadline).await,
            Answer::BadCredentials
            | Answer::RefuseConnect
            | Answer::RejectContent
            | Answer::RejectNumber
            | Answer::ServerError
            | Answer::Throttle => {}
        }
        Err(failure(&script))
    }

    /// Receipts come through [`Deps::receipts`]; nobody has a reason to call.
    fn receipts(&self, _callback: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError> {
        Err(CallbackError::Forged)
    }

    async fn converted(&self, _upstream_id: &str) -> Result<(), SendError> {
        Ok(())
    }

    /// Fails where every message without a script of its own would find the upstream out of order.
    async fn probe(&self) -> Result<(), SendError> {
        match self.config.behaviour.answer {
            Answer::Accept | Answer::RejectContent | Answer::RejectNumber => Ok(()),
            Answer::BadCredentials
            | Answer::Garbage
            | Answer::RefuseConnect
            | Answer::Reset
            | Answer::ServerError
            | Answer::Silence
            | Answer::Throttle
            | Answer::Timeout => Err(failure(&self.config.behaviour)),
        }
    }

    async fn shutdown(&self, _deadline: Instant) {
        self.postman.close();
    }
}

/// What a script's answer means, where it is not "taken".
fn failure(script: &Behaviour) -> SendError {
    let error = |kind, fate| SendError::new(kind, fate, "as the mock's script says");
    match script.answer {
        Answer::BadCredentials => error(Kind::Account, Fate::Refused).with_code("401"),
        Answer::Accept | Answer::Garbage => error(Kind::Protocol, Fate::Unknown),
        Answer::RefuseConnect => error(Kind::Unavailable, Fate::NotSent),
        Answer::RejectContent => error(Kind::Content, Fate::Refused).with_code("content"),
        Answer::RejectNumber => error(Kind::Recipient, Fate::Refused).with_code("number"),
        Answer::Reset => error(Kind::Unavailable, Fate::Unknown),
        Answer::ServerError => error(Kind::Unavailable, Fate::Unknown).answered().with_code("500"),
        Answer::Silence | Answer::Timeout => error(Kind::Deadline, Fate::Unknown),
        Answer::Throttle => {
            let pause = script.retry_after.map_or(PAUSE, Duration::from);
            error(Kind::Throttled, Fate::Refused).with_code("429").with_retry_after(pause)
        }
    }
}

fn provider_code(state: &DeliveryState) -> Option<&'static str> {
    match state {
        DeliveryState::Delivered | DeliveryState::Pending | DeliveryState::Unrecognised(_) => None,
        DeliveryState::Expired => Some("expired"),
        DeliveryState::Undelivered => Some("absent"),
    }
}

fn capabilities(config: &Config) -> Capabilities {
    Capabilities {
        alphanumeric_sender: true,
        body_units_max: 1530,
        channels: if config.voice { &[Channel::Sms, Channel::Voice] } else { &[Channel::Sms] },
        encodings: &[Encoding::Gsm7, Encoding::Ucs2],
        idempotent: false,
        receipts: if config.receipts { ReceiptMode::Session } else { ReceiptMode::None },
        test_numbers: true,
        validity_period: false,
    }
}

/// Builds [`Mock`]s that share one inbox.
#[derive(Clone)]
pub struct MockFactory {
    inbox: Inbox,
}

impl MockFactory {
    /// Every instance fills `inbox`.
    pub fn new(inbox: Inbox) -> Self {
        Self { inbox }
    }
}

impl ProviderFactory for MockFactory {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn build(&self, name: &ProviderName, options: Options, deps: &Deps) -> Result<Arc<dyn SmsProvider>, Vec<Fault>> {
        Ok(Arc::new(Mock::new(name, options.parse()?, self.inbox.clone(), deps)))
    }
}

impl fmt::Debug for MockFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockFactory")
    }
}

const KIND: &str = "mock";
const PAUSE: Duration = Duration::from_secs(1);
