//! The only file that names providers: which kinds this build has, and what each is built with.
//! A new provider is a line in `Providers::new`.

use std::sync::Arc;

use sms_core::options::{Fault, Path, What};
use sms_core::{Deps, ProviderName, ProviderRegistry, SmsProvider};
use sms_mitto::MittoFactory;
use sms_mock::MockFactory;
pub use sms_mock::{Behaviour, Cursor, Inbox, InboxMessage, TooManyBehaviours};
use sms_rest::{Client, ClientError, ClientOptions};

use crate::config::schema;

/// The values of `kind` that this build knows.
pub(crate) const KINDS: [&str; 2] = ["mitto", "mock"];

/// The factories of this build, and what their instances share.
#[derive(Debug)]
pub(crate) struct Providers {
    inbox: Inbox,
    registry: ProviderRegistry,
}

impl Providers {
    /// Reads the system's certificate authorities; connects nowhere.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, ClientError> {
        let inbox = Inbox::new();
        let client = Client::build(&ClientOptions::default())?;
        let registry =
            ProviderRegistry::default().with(MittoFactory::new(client)).with(MockFactory::new(inbox.clone()));
        Ok(Self { inbox, registry })
    }

    /// What the mock's handsets received.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Builds an instance; does no I/O.
    ///
    /// # Errors
    /// Every fault of the options, with its path.
    pub(crate) fn build(
        &self,
        name: &str,
        provider: &schema::Provider,
        deps: &Deps,
    ) -> Result<Arc<dyn SmsProvider>, Vec<Fault>> {
        let Some(factory) = self.registry.factory(&provider.common.kind) else {
            let path = Path::new().key("providers").key(name).key("kind");
            return Err(vec![Fault { path, what: What::Invalid(format!("one of {}", KINDS.join(", "))) }]);
        };
        factory.build(&ProviderName::new(name), provider.options.clone(), deps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_factory() {
        assert_eq!(Providers::new().unwrap().registry.kinds(), KINDS);
    }
}
