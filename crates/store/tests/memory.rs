//! The shared suite on the memory store.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

use std::sync::Arc;

use sms_conformance::store::{ManualClock, Stand};
use sms_core::store::StoreError;
use sms_core::{Status, Store};
use sms_store::MemoryStore;

fn make(clock: Arc<ManualClock>) -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new(clock).unwrap()), ())
}

sms_conformance::store_suite!(make);

#[tokio::test]
async fn every_check_runs_from_one_call_too() {
    Box::pin(sms_conformance::store::run(|clock| make(clock).0)).await;
}

#[tokio::test]
async fn a_switched_off_store_refuses_until_switched_on() {
    let clock = ManualClock::start();
    let store = Arc::new(MemoryStore::new(clock.clone()).unwrap());
    let stand = Stand::new(store.clone(), clock);
    store.set_unavailable(true);
    assert!(matches!(store.admit(vec![stand.admit()]).await, Err(StoreError::Unavailable(_))));
    store.set_unavailable(false);
    stand.begin().await;
}

#[tokio::test]
async fn a_crash_leaves_orphans() {
    let clock = ManualClock::start();
    let store = Arc::new(MemoryStore::new(clock.clone()).unwrap());
    let stand = Stand::new(store.clone(), clock);
    let open = stand.begin().await;
    assert!(store.orphans().await.unwrap().is_empty());
    store.crash();
    assert_eq!(store.orphans().await.unwrap()[0].id, open);
    assert_eq!(stand.status(open).await, Status::Sending);
}
