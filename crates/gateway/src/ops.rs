//! The ops listener: metrics and health for everybody who reaches it; the mock's inbox and the admin API for the
//! operator (contract §1, §7).

mod admin;
mod health;
mod inbox;
mod page;
mod permit;
mod providers;
mod webhooks;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use tokio_util::sync::CancellationToken;

use crate::config::Mode;
use crate::providers::Inbox;
use crate::serve::Control;
use crate::surface::{self, Front};
use crate::telemetry::Metrics;

/// What the ops listener serves.
pub(crate) struct Parts {
    pub(crate) control: Arc<Control>,
    /// The gateway is on its way out.
    pub(crate) draining: CancellationToken,
    pub(crate) front: Arc<Front>,
    pub(crate) inbox: Inbox,
    pub(crate) metrics: Metrics,
    pub(crate) mode: Mode,
    /// In what messages are kept.
    pub(crate) store: &'static str,
}

/// Shared by all handlers.
pub(crate) struct Ops(Parts);

impl Ops {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(parts)
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ops")
    }
}

/// Every path of the ops listener.
pub(crate) fn router(ops: Arc<Ops>) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/inbox", get(page::show))
        .route("/inbox/v1/messages", get(inbox::messages).delete(inbox::clear))
        .route("/inbox/v1/code", get(inbox::code))
        .route("/inbox/v1/behaviours/{msisdn}", put(inbox::set_behaviour).delete(inbox::remove_behaviour))
        .route("/admin/v1/providers", get(providers::list))
        .route("/admin/v1/providers/{name}", get(providers::show))
        .route("/admin/v1/providers/{name}/disable", post(providers::disable))
        .route("/admin/v1/providers/{name}/enable", post(providers::enable))
        .route("/admin/v1/reload", post(admin::reload))
        .route("/admin/v1/webhooks", get(webhooks::list))
        .route("/admin/v1/webhooks/{tenant}", get(webhooks::show))
        .route("/admin/v1/webhooks/{tenant}/disable", post(webhooks::disable))
        .route("/admin/v1/webhooks/{tenant}/enable", post(webhooks::enable))
        .route("/admin/v1/webhooks/{tenant}/replay", post(webhooks::replay))
        .fallback(surface::nowhere)
        .method_not_allowed_fallback(surface::wrong_method)
        .with_state(ops)
}
