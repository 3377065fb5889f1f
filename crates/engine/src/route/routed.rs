//! The pipeline's last value before it becomes durable: a message with its providers in order.

use sms_core::store::{Charge, Details, NewMessage, RouteTrace};
use sms_core::{Country, MessageId, ProviderName, TenantId, UnixMs};

use super::charges;
use crate::admission::Admitted;
use crate::plan::Plan;
use crate::render::{Content, Rendered};

/// A message for which only the store's word is missing.
#[derive(Clone, Debug)]
pub struct Routed {
    admitted: Admitted,
    content: Content,
    trace: RouteTrace,
}

impl Routed {
    pub(super) fn new(rendered: Rendered<'_>, trace: RouteTrace) -> Self {
        let (admitted, content) = rendered.into_parts();
        Self { admitted, content, trace }
    }

    /// When the request came in.
    pub fn received(&self) -> UnixMs {
        self.admitted.received()
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        &self.admitted.tenant().id
    }

    /// Where it goes.
    pub fn country(&self) -> Country {
        self.admitted.to().country()
    }

    /// Providers in order of preference; never empty.
    pub fn candidates(&self) -> &[ProviderName] {
        &self.trace.candidates
    }

    /// How it was routed.
    pub fn trace(&self) -> &RouteTrace {
        &self.trace
    }

    /// The limits that apply to it, each with the key that it would be counted under.
    pub fn charges(&self, plan: &Plan) -> Vec<Charge> {
        charges::charges(&self.admitted, plan)
    }

    /// The message as the store takes it.
    pub fn into_new_message(self, id: MessageId, created: UnixMs) -> NewMessage {
        let Self { admitted, content, trace } = self;
        let (to, expires) = (admitted.to(), created.plus(admitted.ttl()));
        let (tenant, webhook) = (admitted.tenant().id.clone(), admitted.tenant().webhook.is_some());
        let language = admitted.languages().first().map(ToString::to_string);
        let request = admitted.into_request();
        let details = Details {
            class: request.class,
            channel: request.channel,
            sender: content.sender,
            encoding: content.segmentation.encoding,
            units: content.segmentation.units,
            segments: content.segmentation.segments,
            client_id: request.client_id,
            language,
            template: content.template,
            reference: request.reference,
            metadata: request.metadata,
            notify: webhook || request.callback_url.is_some(),
            callback_url: request.callback_url,
            route: trace,
        };
        NewMessage { id, tenant, created, expires, to, body: content.body, details }
    }
}
