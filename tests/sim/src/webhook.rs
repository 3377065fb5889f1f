//! A tenant's endpoint: mostly fine, now and then slow, failing or gone. Must never call the gateway.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sms_core::MessageId;
use sms_engine::{WebhookAnswer, WebhookCall, WebhookFault, WebhookPort};

use crate::luck::Luck;
use crate::world::World;

/// The endpoint of every tenant.
#[derive(Debug)]
pub(crate) struct Endpoint {
    world: Arc<World>,
}

impl Endpoint {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }
}

#[async_trait]
impl WebhookPort for Endpoint {
    async fn post(&self, call: WebhookCall) -> Result<WebhookAnswer, WebhookFault> {
        let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let text = |key: &str| body.pointer(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (id, status) = (MessageId::parse(text("/data/id")), text("/data/status"));
        match id {
            Some(id) => self.world.witness().told(id, status),
            None => self.world.witness().blame("every_change_is_told", "a webhook names no message".to_owned()),
        }
        let mut luck = Luck::about(self.world.seed, "webhook", self.world.clock.ms());
        tokio::time::sleep(Duration::from_millis(luck.between(1..80))).await;
        let status = match luck.between(0..20) {
            0 => return Err(WebhookFault::Connect),
            1 => 500,
            2 => {
                tokio::time::sleep(Duration::from_secs(4)).await;
                return Err(WebhookFault::Timeout);
            }
            3 => 429,
            _ => 204,
        };
        Ok(WebhookAnswer { status, retry_after: (status == 429).then_some(Duration::from_secs(3)) })
    }
}
