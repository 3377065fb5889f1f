//! The admin API.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Ops;
use crate::serve::Refused;
use crate::surface::json;
use crate::surface::problem::{Code, Problem};

impl Ops {
    /// What the operator asks for, once let in; no body is an empty wish.
    ///
    /// # Errors
    /// As for [`Ops::permit`], and when the body cannot be read as JSON.
    pub(super) async fn wish(&self, request: Request) -> Result<Value, Problem> {
        let (parts, body) = request.into_parts();
        self.permit(&parts)?;
        let bytes = self.0.front.read(body).await?;
        if bytes.trim_ascii().is_empty() { Ok(json!({})) } else { crate::http::json(&bytes) }
    }
}

/// `POST /admin/v1/reload`.
pub(super) async fn reload(State(ops): State<Arc<Ops>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    ops.permit(&parts)?;
    match ops.0.control.reload().await {
        Ok(reloaded) => {
            let warnings = reloaded.warnings.to_json();
            let told = json!({
                "hash": reloaded.hash,
                "restart_needed": reloaded.restart,
                "warnings": warnings.get("warnings"),
            });
            Ok(json(StatusCode::OK, &told))
        }
        Err(refused) => {
            let problem = Problem::new(
                Code::InvalidConfig,
                format!("Nothing was changed: {refused}"),
                "Correct it and reload again; `gateway check` shows each fault with its place.",
            );
            Err(match refused {
                Refused::Faults(report) => problem.with_report(&report),
                Refused::NoSource | Refused::Unwired(_) => problem,
            })
        }
    }
}
