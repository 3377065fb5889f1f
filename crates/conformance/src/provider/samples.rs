//! Messages and attempts to send, and the test double of everything a factory is given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sms_core::{
    Attempt, AttemptId, Body, Channel, Class, Deps, MessageId, OutboundSms, ProviderName, Receipt, ReceiptSink, Sender,
    SystemClock, UnixMs, text,
};
use tokio::time::Instant;

/// The code in the kit's texts, searched for in everything shown.
pub(super) const CODE: &str = "918273";

/// What a provider is given besides its options, with the sink to look into.
pub fn deps(callback_base: Option<&str>) -> (Deps, Arc<Receipts>) {
    let sink = Arc::new(Receipts::default());
    let deps = Deps {
        receipts: Arc::clone(&sink) as Arc<dyn ReceiptSink>,
        callback_base: callback_base.map(str::to_owned),
        clock: Arc::new(SystemClock::starting_at(UnixMs::new(1_764_000_000_000))),
    };
    (deps, sink)
}

/// A sink that keeps what it is given.
#[derive(Debug, Default)]
pub struct Receipts(Mutex<Vec<Receipt>>);

impl Receipts {
    /// Everything pushed so far, in order.
    pub fn all(&self) -> Vec<Receipt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ReceiptSink for Receipts {
    async fn push(&self, _provider: &ProviderName, receipts: Vec<Receipt>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(receipts);
    }
}

/// The `n`th message id of the kit.
pub(super) fn id(n: u8) -> MessageId {
    MessageId::new(UnixMs::new(1_764_000_000_000 + i64::from(n)), [n; 10])
}

/// An ordinary message.
pub(super) fn sms(n: u8) -> OutboundSms {
    with_text(n, &format!("Your code is {CODE}."))
}

pub(super) fn with_text(n: u8, text: &str) -> OutboundSms {
    OutboundSms {
        id: id(n),
        to: super::recipient(),
        sender: sender("Acme"),
        body: Body::new(text.to_owned()),
        segmentation: text::segment(text),
        class: Class::Otp,
        channel: Channel::Sms,
    }
}

pub(super) fn sender(text: &str) -> Sender {
    #[expect(clippy::expect_used, reason = "constants of this kit")]
    Sender::parse(text).expect("a valid sender")
}

/// A first attempt that may take `limit`.
pub(super) fn attempt(sms: &OutboundSms, limit: Duration) -> Attempt {
    numbered(sms, 1, limit)
}

pub(super) fn numbered(sms: &OutboundSms, number: u16, limit: Duration) -> Attempt {
    Attempt { id: AttemptId { message: sms.id, number }, deadline: Instant::now() + limit, valid_for: VALID_FOR }
}

/// Not a whole number of minutes, to see the rounding.
pub(super) const VALID_FOR: Duration = Duration::from_secs(90);

/// For upstreams that answer; long, because the machine may be busy.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// For upstreams that do not.
pub(super) const SILENT_FOR: Duration = Duration::from_millis(300);

/// What a provider may take beyond its deadline.
pub(super) const GRACE: Duration = Duration::from_secs(1);
