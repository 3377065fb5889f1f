//! From a status change to the signed call that tells of it. Pure but for the clock.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use sms_core::store::Notice;
use sms_core::{Secret, UnixMs};

use super::port::{Reach, WebhookCall};
use super::sign;
use crate::plan::{Tenant, Webhook};

/// Who is to be called, by whose wish.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whom<'a> {
    /// The caller of this message named a URL of its own.
    Caller(&'a str),
    /// The tenant's endpoint.
    Tenant(&'a Webhook),
}

impl<'a> Whom<'a> {
    /// `None` when the tenant no longer wants to be told.
    pub(super) fn of(notice: &'a Notice, tenant: Option<&'a Tenant>) -> Option<Self> {
        match &notice.record.details.callback_url {
            Some(url) => Some(Self::Caller(url)),
            None => tenant.and_then(|tenant| tenant.webhook.as_ref()).map(Self::Tenant),
        }
    }
}

/// Tells one URL of a tenant from another without holding it.
pub(super) fn digest(url: &str) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(url.as_bytes()).into();
    let mut half = [0; 16];
    half.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    half
}

/// The signed call.
pub(super) fn call(notice: &Notice, whom: Whom<'_>, secrets: &[Secret], now: UnixMs) -> WebhookCall {
    let (url, reach) = match whom {
        Whom::Caller(url) => (url, Reach::Caller),
        Whom::Tenant(webhook) => (webhook.url.as_str(), if webhook.private { Reach::Inside } else { Reach::Outside }),
    };
    let body = body(notice);
    let id = format!("{}-{}", notice.record.id, notice.status.as_str());
    let timestamp = now.get() / 1_000;
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", timestamp.to_string()),
    ];
    if !secrets.is_empty() {
        headers.push(("webhook-signature", sign::signatures(secrets, &id, timestamp, &body)));
    }
    WebhookCall { url: url.to_owned(), reach, headers, body }
}

fn body(notice: &Notice) -> Vec<u8> {
    let record = &notice.record;
    let mut data = json!({
        "id": record.id.to_string(),
        "status": notice.status.as_str(),
        "segments": record.details.segments,
    });
    let optional = [
        ("to", record.to.map(|to| json!(to.expose()))),
        ("reference", record.details.reference.as_ref().map(|r| json!(r))),
        ("metadata", record.details.metadata.as_ref().map(|m| json!(m))),
        ("provider", record.provider.as_ref().map(|p| json!(p.as_str()))),
    ];
    for (key, value) in optional {
        if let (Some(value), Some(map)) = (value, data.as_object_mut()) {
            map.insert(key.to_owned(), value);
        }
    }
    let kind = format!("message.{}", notice.status.as_str());
    json!({ "type": kind, "timestamp": notice.at.to_string(), "data": data }).to_string().into_bytes()
}
