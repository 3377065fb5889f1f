//! The shared suite on the `SQLite` store.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::sync::Arc;

use sms_conformance::store::ManualClock;
use sms_core::Store;
use sms_store::{SqliteStore, StoreKey};
use tempfile::TempDir;

fn make(clock: Arc<ManualClock>) -> (Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("gateway.db"), &StoreKey::generate().unwrap(), clock).unwrap();
    (Arc::new(store), folder)
}

sms_conformance::store_suite!(make);
