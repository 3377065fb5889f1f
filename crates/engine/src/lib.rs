//! The pipeline: what happens between a request and a provider, and back.
//! Knows no HTTP framework, provider implementation, store back end or configuration file.
//!
//! ```text
//! SendRequest ─admission─► Admitted ─route::select─► Selected ─render─► Rendered
//!             ─route::candidates─► Routed ─accept─► Leased (durable) ─dispatch─► provider
//! provider ─receipt─► store ─notify─► tenant
//! ```
//! Only a stage can construct what it returns, so an unadmitted message cannot be dispatched.
//! [`Engine`] runs the stages in this order.

mod accept;
mod admission;
mod blocked;
mod cluster;
mod dispatch;
mod engine;
mod housekeeping;
mod load;
mod measure;
mod notify;
pub mod plan;
mod receipt;
mod refusal;
mod render;
mod request;
mod route;
mod shared;
mod status;
pub mod telemetry;
mod waiters;

pub use admission::Admitted;
pub use engine::{Engine, Feedback, Parts};
pub use measure::{Measured, Measures, Unmeasured};
pub use notify::{EndpointState, Reach, WebhookAnswer, WebhookCall, WebhookFault, WebhookPort};
pub use plan::Plan;
pub use receipt::{CallbackFault, CallbackRefusal, ReceiptOutlet, ReceiptQueue};
pub use refusal::{Code, Problem, Refusal};
pub use render::{Rendered, TemplateFault, TemplateSpec, Templates};
pub use request::{Acceptance, EndUser, SendRequest, Submitted};
pub use route::{
    Candidate, CandidateDecision, Explanation, NumberFacts, Routed, RuleVerdict, Selected, TemplateFacts, TextFacts,
    explain, explain_with,
};
pub use shared::{Entropy, SystemEntropy};
pub use status::{CountryStatus, ProviderStatus};
pub use waiters::Decision;
