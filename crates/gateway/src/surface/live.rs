//! What the surfaces read of the configuration: swapped whole by a reload, beside the engine's plan.

use sms_core::{Secret, TenantId};

use super::passwordless::Verifier;

/// The running settings of the HTTP surfaces.
#[derive(Debug)]
pub(crate) struct Live {
    /// Largest request body.
    pub(crate) body_bytes_max: usize,
    /// Token of the ops listener's protected paths.
    pub(crate) ops_token: Option<Secret>,
    /// Who checks the tokens of Auth0's passwordless gateway.
    pub(crate) passwordless: Vec<Passwordless>,
}

/// A tenant that Auth0's passwordless gateway sends for.
#[derive(Debug)]
pub(crate) struct Passwordless {
    pub(crate) tenant: TenantId,
    pub(crate) verifier: Verifier,
}
