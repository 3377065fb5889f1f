//! The vocabulary and the seams of the gateway: numbers, texts, messages, their lifecycle, providers,
//! the store. Knows no HTTP framework, runtime service, provider, store, metric or configuration file.
//!
//! **Invariants** of the whole product, each with a test of that name:
//! `accepted_means_durable`, `one_intent_per_wire_request`, `expired_is_never_sent`,
//! `otp_copies_max_two`, `transactional_never_resent_on_unknown`, `status_never_goes_back`,
//! `limits_exact_under_concurrency`, `idempotent_replay_is_byte_identical`, `nothing_personal_leaks`,
//! `tenants_cannot_see_each_other`, `dependency_direction`, `bad_config_changes_nothing`.

mod callback;
mod clock;
mod error;
mod id;
mod lifecycle;
mod limit;
mod message;
mod msisdn;
pub mod options;
mod provider;
mod registry;
mod secret;
pub mod store;
pub mod text;

pub use callback::{CallbackError, CallbackRequest, callback_token, callback_token_matches};
pub use clock::{Clock, SystemClock, UnixMs};
pub use error::{Fate, Kind, NextStep, SendError};
pub use id::{LimitId, MessageId, ProviderName, RequestId, TenantId};
pub use lifecycle::{Happening, Status};
pub use limit::{EXACT_MAX, Ledger, Window};
pub use message::{Channel, Class, OutboundSms, Sender};
pub use msisdn::{Country, Msisdn, MsisdnError, NumberType};
pub use provider::{
    Attempt, AttemptId, Capabilities, DeliveryState, Descriptor, Part, Receipt, ReceiptMode, ReceiptSink, SmsProvider,
    Submission,
};
pub use registry::{Deps, ProviderFactory, ProviderRegistry};
pub use secret::Secret;
pub use store::{Store, StoreError};
pub use text::{Body, Encoding, Segmentation};
