//! What every surface works with: the engine, who may ask, and how much at a time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use axum::http::Extensions;
use sms_core::{Clock, Secret, UnixMs};
use sms_engine::plan::Tenant;
use sms_engine::{Decision, Engine, SendRequest, Submitted};
use tokio::sync::Semaphore;

use super::live::Live;
use super::problem::{Code, Problem};
use super::throttle::Throttle;
use crate::http::{self, Peer};
use crate::telemetry::{self, AuthFailure};

/// Requests that may be on their way through the engine without waiting for a provider. What is above that would only
/// wait for the disk, so it is told to come back.
const WORKING_MAX: usize = 1_024;

/// Shared by all handlers.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) engine: Arc<Engine>,
    pub(crate) live: Arc<ArcSwap<Live>>,
    clock: Arc<dyn Clock>,
    throttle: Throttle,
    working: Semaphore,
}

impl Front {
    pub(crate) fn new(engine: Arc<Engine>, live: Arc<ArcSwap<Live>>, clock: Arc<dyn Clock>) -> Self {
        Self { engine, live, clock, throttle: Throttle::default(), working: Semaphore::new(WORKING_MAX) }
    }

    pub(crate) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Reads a body within the configured bound.
    pub(crate) async fn read(&self, body: Body) -> Result<Bytes, Problem> {
        let bytes_max = self.live.load().body_bytes_max;
        http::read(body, bytes_max).await
    }

    /// The tenant of a key.
    ///
    /// # Errors
    /// `unauthorized`, or `too_many_attempts` for an address that tried too often. A valid key is never refused.
    pub(crate) fn tenant(&self, key: Option<&str>, peer: &Extensions) -> Result<Arc<Tenant>, Problem> {
        let Some(key) = key else { return Err(self.refuse(AuthFailure::Missing, peer)) };
        self.engine.authenticate(key).ok_or_else(|| self.refuse(AuthFailure::Unknown, peer))
    }

    /// Checks the ops listener's token, in constant time.
    ///
    /// # Errors
    /// `forbidden`, or `too_many_attempts`.
    pub(crate) fn operator(&self, expected: &Secret, given: Option<&str>, peer: &Extensions) -> Result<(), Problem> {
        use subtle::ConstantTimeEq as _;
        let same = |given: &str| bool::from(given.as_bytes().ct_eq(expected.expose().as_bytes()));
        if given.is_some_and(same) {
            return Ok(());
        }
        let reason = if given.is_some() { AuthFailure::Unknown } else { AuthFailure::Missing };
        let refused = self.refuse(reason, peer);
        Err(if refused.code() == Code::Unauthorized { forbidden() } else { refused })
    }

    /// Counts a failed authentication and makes its answer.
    pub(crate) fn refuse(&self, reason: AuthFailure, peer: &Extensions) -> Problem {
        let Some(pause) = self.throttle.failed(address(peer)) else {
            telemetry::auth_failed(reason);
            return Problem::new(
                Code::Unauthorized,
                "The request has no valid key.",
                "Send `Authorization: Bearer KEY` with a key of a configured tenant; `gateway keys create` makes one.",
            );
        };
        telemetry::auth_failed(AuthFailure::Throttled);
        Problem::new(
            Code::TooManyAttempts,
            "Too many requests without a valid key came from this address.",
            "Correct the key; requests with a valid one are answered at any time.",
        )
        .retry_after(pause)
    }

    /// Submits without waiting for a provider.
    pub(crate) async fn submit(&self, tenant: &Tenant, request: SendRequest) -> Result<Submitted, Problem> {
        let Ok(_working) = self.working.try_acquire() else { return Err(Problem::overloaded()) };
        Ok(self.engine.submit(&tenant.id, request).await?)
    }

    /// Submits and waits up to `patience` for a provider's verdict.
    pub(crate) async fn submit_and_wait(
        &self,
        tenant: &Tenant,
        request: SendRequest,
        patience: Duration,
    ) -> Result<(Submitted, Option<Decision>), Problem> {
        Ok(self.engine.submit_and_wait(&tenant.id, request, patience).await?)
    }
}

fn forbidden() -> Problem {
    Problem::new(
        Code::Forbidden,
        "This path needs the operator's token.",
        "Send `Authorization: Bearer TOKEN` with the token of `server.ops_token`.",
    )
}

/// Without a connection (in tests) everybody is the same stranger.
fn address(peer: &Extensions) -> IpAddr {
    peer.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
}
