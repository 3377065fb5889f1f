//! From configuration to running providers: an explicit table, no globals, no constructor magic.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::options::{Fault, Options};
use crate::{Clock, ProviderName, ReceiptSink, SmsProvider};

/// What every factory is given besides its options.
#[derive(Clone, Debug)]
pub struct Deps {
    /// For providers that push receipts.
    pub receipts: Arc<dyn ReceiptSink>,
    /// `server.public_url` without a trailing slash; no callback is handed out without it.
    pub callback_base: Option<String>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
}

/// Builds instances of one kind.
pub trait ProviderFactory: Debug + Send + Sync {
    /// The value of `kind` in the configuration.
    fn kind(&self) -> &'static str;

    /// Builds the instance called `name`; does no I/O.
    ///
    /// # Errors
    /// Every fault of the options, with its path.
    fn build(&self, name: &ProviderName, options: Options, deps: &Deps) -> Result<Arc<dyn SmsProvider>, Vec<Fault>>;
}

/// Factories by kind.
#[derive(Debug, Default)]
pub struct ProviderRegistry {
    factories: BTreeMap<&'static str, Box<dyn ProviderFactory>>,
}

impl ProviderRegistry {
    /// Adds a factory; the last one of a kind wins.
    #[must_use]
    pub fn with(mut self, factory: impl ProviderFactory + 'static) -> Self {
        self.factories.insert(factory.kind(), Box::new(factory));
        self
    }

    /// The factory of a kind.
    pub fn factory(&self, kind: &str) -> Option<&dyn ProviderFactory> {
        self.factories.get(kind).map(AsRef::as_ref)
    }

    /// What this build knows, for the error about an unknown kind.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.factories.keys().copied().collect()
    }
}
