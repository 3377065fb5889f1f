//! Tells tenants of status changes: signed webhooks after Standard Webhooks, with retries over a day.
//! Durable: a notice is written in the commit of its status change and deleted when it was told.
//! Knows no HTTP client; the gateway's [`WebhookPort`] also keeps calls away from private addresses.

mod sign;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sms_core::store::{Notice, NoticeId, NoticeOutcome};
use sms_core::{Secret, TenantId, UnixMs};
use tokio::time::Instant;

use crate::shared::Core;

/// Pauses before the second, third … telling (contract §6); each ± 10 %.
const SCHEDULE_S: [u64; 7] = [5, 60, 300, 1_800, 7_200, 21_600, 86_400];

/// How often due notices are looked for when nothing else wakes the notifier.
const TICK: Duration = Duration::from_millis(500);

/// Tellings at a time, and of those for one tenant: a slow endpoint must not hold up the others.
const IN_FLIGHT_MAX: usize = 128;
const IN_FLIGHT_PER_TENANT_MAX: usize = 16;

/// One webhook call.
#[derive(Debug)]
pub struct WebhookCall {
    /// Where to POST.
    pub url: String,
    /// The operator chose the URL and says that it may lead inside our own network; never so for a caller's own URL.
    pub private: bool,
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`, `content-type`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// Makes webhook calls: no redirects, private and special addresses only where the call permits it, bounded in time and
/// size.
#[async_trait]
pub trait WebhookPort: Debug + Send + Sync + 'static {
    /// The HTTP status of the answer.
    ///
    /// # Errors
    /// Why there was none, for operators, without the URL.
    async fn post(&self, call: WebhookCall) -> Result<u16, String>;
}

/// Tells what is due until the engine stops.
pub(crate) async fn run(core: Arc<Core>) {
    let flights = Arc::new(Flights::default());
    loop {
        tokio::select! {
            () = core.told.notified() => {}
            () = tokio::time::sleep(TICK) => {}
            () = core.stop.cancelled() => return,
        }
        let due = match core.store.notices(core.clock.now(), 2 * IN_FLIGHT_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(error.kind = "store", "due webhooks could not be read: {error}");
                continue;
            }
        };
        for notice in due {
            if flights.begin(&notice) {
                let (core, flights) = (Arc::clone(&core), Arc::clone(&flights));
                core.tasks.clone().spawn(async move {
                    let (id, tenant) = (notice.id, notice.record.tenant.clone());
                    let outcome = tell(&core, notice).await;
                    if let Err(error) = core.store.settle_notices(vec![(id, outcome)]).await {
                        tracing::error!(error.kind = "store", "a webhook's outcome could not be recorded: {error}");
                    }
                    flights.end(id, &tenant);
                });
            }
        }
    }
}

async fn tell(core: &Core, notice: Notice) -> NoticeOutcome {
    let Some(call) = call(core, &notice) else { return NoticeOutcome::Done };
    let began = Instant::now();
    let answer = tokio::select! {
        answer = core.webhooks.post(call) => answer,
        () = core.halt.cancelled() => Err("the gateway is stopping".to_owned()),
    };
    let outcome = after(&answer, notice.attempt, core.clock.now(), core.dice());
    let label = match (&answer, &outcome) {
        (Ok(200..300), _) => "delivered",
        (_, NoticeOutcome::Done) => "given_up",
        (_, NoticeOutcome::Retry { .. }) => "retried",
    };
    core.telemetry.webhook(label, began.elapsed());
    if label != "delivered" {
        tracing::warn!(
            message.id = %notice.record.id, tenant = %notice.record.tenant, attempt = notice.attempt + 1,
            "webhook of message {} {label}: {}", notice.record.id,
            answer.map_or_else(|why| why, |status| format!("answered {status}"))
        );
    }
    outcome
}

/// What follows an answer. 410 means: never again.
fn after(answer: &Result<u16, String>, told: u16, now: UnixMs, dice: u32) -> NoticeOutcome {
    if matches!(answer, Ok(200..300 | 410)) {
        return NoticeOutcome::Done;
    }
    let Some(pause) = SCHEDULE_S.get(usize::from(told)) else { return NoticeOutcome::Done };
    let pause = Duration::from_secs(*pause);
    let jitter = pause / 5 * (dice % 1_000) / 1_000;
    NoticeOutcome::Retry { due: now.plus(pause * 9 / 10 + jitter) }
}

/// The signed call; `None` when the tenant no longer wants to be told.
fn call(core: &Core, notice: &Notice) -> Option<WebhookCall> {
    let running = core.running.load_full();
    let record = &notice.record;
    let webhook = running.plan.tenants.get(&record.tenant).and_then(|tenant| tenant.webhook.as_ref());
    let (url, private) = match &record.details.callback_url {
        Some(url) => (url.clone(), false),
        None => webhook.map(|webhook| (webhook.url.clone(), webhook.private))?,
    };
    let body = body(notice);
    let id = format!("{}-{}", record.id, notice.status.as_str());
    let timestamp = core.clock.now().get() / 1_000;
    let secrets: &[Secret] = webhook.map_or(&[], |webhook| &webhook.secrets);
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", timestamp.to_string()),
    ];
    if !secrets.is_empty() {
        headers.push(("webhook-signature", sign::signatures(secrets, &id, timestamp, &body)));
    }
    Some(WebhookCall { url, private, headers, body })
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

/// What is being told right now.
#[derive(Debug, Default)]
struct Flights(Mutex<Flying>);

#[derive(Debug, Default)]
struct Flying {
    notices: HashSet<NoticeId>,
    tenants: HashMap<TenantId, usize>,
}

impl Flights {
    /// Takes a place; `false` when it is being told already or there is no place.
    fn begin(&self, notice: &Notice) -> bool {
        let mut flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = flying.tenants.get(&notice.record.tenant).copied().unwrap_or(0);
        let full = flying.notices.len() >= IN_FLIGHT_MAX || mine >= IN_FLIGHT_PER_TENANT_MAX;
        if full || !flying.notices.insert(notice.id) {
            return false;
        }
        flying.tenants.insert(notice.record.tenant.clone(), mine + 1);
        true
    }

    fn end(&self, id: NoticeId, tenant: &TenantId) {
        let mut flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flying.notices.remove(&id);
        if let Some(mine) = flying.tenants.get_mut(tenant) {
            *mine = mine.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(answer: &Result<u16, String>, told: u16) -> Option<i64> {
        match after(answer, told, UnixMs::new(0), 500) {
            NoticeOutcome::Done => None,
            NoticeOutcome::Retry { due } => Some(due.get() / 1_000),
        }
    }

    #[test]
    fn failures_are_told_again_over_a_day_then_given_up() {
        let pauses: Vec<_> = (0..8).map(|told| pause(&Ok(500), told)).collect();
        assert_eq!(pauses, [Some(5), Some(60), Some(300), Some(1_800), Some(7_200), Some(21_600), Some(86_400), None]);
        assert_eq!(pause(&Err("connect failed".into()), 0), Some(5));
        assert_eq!(pause(&Ok(302), 0), Some(5), "a redirect is a failure");
    }

    #[test]
    fn success_and_gone_end_it() {
        assert_eq!(pause(&Ok(204), 0), None);
        assert_eq!(pause(&Ok(410), 0), None);
    }
}
