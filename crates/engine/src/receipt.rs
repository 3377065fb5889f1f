//! Delivery receipts: from a provider's callback or session to the message they belong to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::store::{Receipted, ReceivedReceipt};
use sms_core::{CallbackError, CallbackRequest, ProviderName, Receipt, ReceiptSink, StoreError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Engine;
use crate::dispatch::announce;
use crate::shared::Core;

/// Receipts that may wait between providers with a session and the store.
const QUEUE_MAX: usize = 4_096;

/// Most receipts recorded in one go.
const BATCH_MAX: usize = 256;

/// Pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// Why a callback was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CallbackRefusal {
    /// The provider's parser refused it.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// It could not be recorded: the provider should call again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No provider of this name is configured.
    #[error("no provider of this name is configured")]
    UnknownProvider,
}

/// What is wrong with a callback that was not taken; a closed metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackFault {
    /// Its body broke off.
    Broken,
    /// Token or signature is wrong.
    Forged,
    /// From the provider, but not readable.
    Malformed,
    /// Its body did not come in time.
    TimedOut,
    /// Its body is too large.
    TooLarge,
}

impl CallbackFault {
    /// Every fault, in label order.
    pub(crate) const ALL: [Self; 5] = [Self::Broken, Self::Forged, Self::Malformed, Self::TimedOut, Self::TooLarge];

    /// The metric label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
        }
    }
}

impl Engine {
    /// Counts a callback whose body could not be read, if it is for a provider of ours.
    pub fn callback_unread(&self, provider: &ProviderName, fault: CallbackFault) {
        if self.plan().providers.contains_key(provider) {
            self.core.telemetry.callback_refused(provider, fault);
        }
    }
}

/// Made before the engine, because providers are built with it.
#[derive(Debug)]
pub struct ReceiptQueue {
    sender: mpsc::Sender<(ProviderName, Vec<Receipt>)>,
}

/// The engine's end of a [`ReceiptQueue`].
#[derive(Debug)]
pub struct ReceiptOutlet(mpsc::Receiver<(ProviderName, Vec<Receipt>)>);

impl ReceiptQueue {
    /// Both ends.
    pub fn new() -> (Arc<Self>, ReceiptOutlet) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        (Arc::new(Self { sender }), ReceiptOutlet(receiver))
    }
}

#[async_trait]
impl ReceiptSink for ReceiptQueue {
    async fn push(&self, provider: &ProviderName, receipts: Vec<Receipt>) {
        if self.sender.send((provider.clone(), receipts)).await.is_err() {
            tracing::warn!(provider.name = %provider, "a receipt came after the engine stopped");
        }
    }
}

/// Reads a callback and records its receipts; says how many.
pub(crate) async fn on_callback(
    core: &Core,
    provider: &ProviderName,
    callback: &CallbackRequest,
) -> Result<usize, CallbackRefusal> {
    let running = core.running.load_full();
    let instance = running.plan.providers.get(provider).ok_or(CallbackRefusal::UnknownProvider)?;
    let receipts = instance.instance.receipts(callback).inspect_err(|error| {
        let fault = match error {
            CallbackError::Forged => CallbackFault::Forged,
            CallbackError::Malformed(_) => CallbackFault::Malformed,
        };
        core.telemetry.callback_refused(provider, fault);
    })?;
    let count = receipts.len();
    record(core, provider, receipts).await?;
    Ok(count)
}

async fn record(core: &Core, provider: &ProviderName, receipts: Vec<Receipt>) -> Result<(), StoreError> {
    let (at, began) = (core.clock.now(), Instant::now());
    let states: Vec<_> = receipts.iter().map(|receipt| receipt.state.clone()).collect();
    let batch =
        receipts.into_iter().map(|receipt| ReceivedReceipt { provider: provider.clone(), receipt, at }).collect();
    let outcomes = core.store.receipts(batch).await?;
    core.telemetry.store_operation("receipts", began.elapsed());
    for (outcome, state) in outcomes.iter().zip(&states) {
        core.telemetry.receipt(provider, state);
        match outcome {
            Receipted::Matched(change) => announce(core, change, None),
            Receipted::Parked => core.telemetry.receipt_unmatched(provider),
        }
    }
    Ok(())
}

/// Records what sessions push, until the last provider is gone or the engine halts.
pub(crate) async fn run_queue(core: Arc<Core>, mut outlet: ReceiptOutlet) {
    loop {
        let next = tokio::select! {
            biased; // what was pushed before the halt is recorded
            next = outlet.0.recv() => next,
            () = core.halt.cancelled() => None,
        };
        let Some((provider, mut receipts)) = next else { return };
        while receipts.len() < BATCH_MAX {
            match outlet.0.try_recv() {
                Ok((name, more)) if name == provider => receipts.extend(more),
                Ok((name, more)) => record_surely(&core, &name, more).await,
                Err(_) => break,
            }
        }
        record_surely(&core, &provider, receipts).await;
    }
}

/// A session cannot be asked to repeat, so the receipt waits for the store.
async fn record_surely(core: &Core, provider: &ProviderName, receipts: Vec<Receipt>) {
    while let Err(error) = record(core, provider, receipts.clone()).await {
        tracing::error!(provider.name = %provider, error.kind = "store", "receipts could not be recorded yet: {error}");
        tokio::select! {
            biased; // chance would make a simulated seed go another way
            () = core.halt.cancelled() => return,
            () = tokio::time::sleep(STORE_PAUSE) => {}
        }
    }
}
