//! The pipeline: what happens between a request and a provider, and back.
//! Knows no HTTP framework, provider implementation, store back end or configuration file.
//!
//! ```text
//! SendRequest ─admission─► Admitted ─route::select─► Selected ─render─► Rendered
//!             ─route::candidates─► Routed ─accept─► Leased (durable) ─dispatch─► provider
//! provider ─receipt─► store ─notify─► tenant
//! ```
//! Only a stage can construct what it returns, so an unadmitted message cannot be dispatched.

mod admission;
pub mod plan;
mod refusal;
mod render;
mod request;
mod route;

pub use admission::Admitted;
pub use plan::Plan;
pub use refusal::{Code, Problem, Refusal};
pub use render::{Rendered, TemplateFault, TemplateSpec, Templates};
pub use request::{Acceptance, EndUser, SendRequest, Submitted};
pub use route::{Candidate, Explanation, Routed, RuleVerdict, Selected};
