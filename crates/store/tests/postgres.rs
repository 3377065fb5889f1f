//! The shared suite on the `PostgreSQL` store.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod server;

use std::sync::Arc;

use sms_conformance::store::ManualClock;
use sms_core::Store;
use sms_store::{MemoryStore, StoreKey};

fn make(clock: Arc<ManualClock>) -> (Arc<dyn Store>, ()) {
    let store: Arc<dyn Store> = match server::database() {
        Some(url) => Arc::new(server::open(&url, &StoreKey::generate().unwrap(), clock)),
        None => Arc::new(MemoryStore::new(clock).unwrap()),
    };
    (store, ())
}

sms_conformance::store_suite!(make);
