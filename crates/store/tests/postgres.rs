//! The shared suite on the `PostgreSQL` store.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod server;

use std::sync::Arc;
use std::time::Duration;

use sms_conformance::store::{MITTO, ManualClock, Stand, sent};
use sms_core::store::{Attempted, Outcome, ReceivedReceipt, Settle};
use sms_core::{DeliveryState, MessageId, ProviderName, Receipt, Status, Store};
use sms_store::{MemoryStore, StoreKey};

fn make(clock: Arc<ManualClock>) -> (Arc<dyn Store>, ()) {
    let store: Arc<dyn Store> = match server::database() {
        Some(url) => Arc::new(server::open(&url, &StoreKey::generate().unwrap(), clock)),
        None => Arc::new(MemoryStore::new(clock).unwrap()),
    };
    (store, ())
}

sms_conformance::store_suite!(make);

/// A plan is made once, on empty tables: it must not read what lies between the first and the last message of a batch.
#[tokio::test]
async fn a_batch_reads_its_own_messages_only() {
    let Some(url) = server::database() else { return };
    let (key, clock) = (StoreKey::generate().unwrap(), ManualClock::start());
    let stand = Stand::new(Arc::new(server::open(&url, &key, clock.clone())), clock);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let read = async || {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        for _ in 0..3 {
            stand.store.ping().await.unwrap(); // a server's process counts what it did when it is asked again
        }
        let sql = "SELECT sum(idx_tup_read)::int8 FROM pg_stat_user_indexes WHERE indexrelname LIKE 'message%pkey'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let (first, early) = (stand.begin().await, stand.send("u1").await);
    for _ in 0..20 {
        stand.store.admit((0..100).map(|_| stand.admit()).collect()).await.unwrap();
    }
    let (last, late) = (stand.begin().await, stand.send("u2").await);
    let before = read().await;
    let settles = [first, last].map(|id| settle_of(&stand, id));
    stand.store.settle(settles.to_vec()).await.unwrap();
    let receipts = ["u1", "u2"].map(|upstream_id| receipt_of(&stand, upstream_id));
    stand.store.receipts(receipts.to_vec()).await.unwrap();
    let read = read().await - before;
    assert!(read < 100, "{read} entries for four messages");
    for (id, status) in
        [(first, Status::Sent), (last, Status::Sent), (early, Status::Delivered), (late, Status::Delivered)]
    {
        assert_eq!(stand.status(id).await, status);
    }
}

fn settle_of(stand: &Stand, id: MessageId) -> Settle {
    let (provider, at) = (ProviderName::new(MITTO), stand.now());
    let attempted =
        Attempted { attempt: 1, provider, outcome: Outcome::Accepted, kind: None, code: None, started: at, took_ms: 1 };
    Settle { id, attempt: 1, attempted, then: sent(&id.to_string()), at }
}

fn receipt_of(stand: &Stand, upstream_id: &str) -> ReceivedReceipt {
    let (state, upstream_id) = (DeliveryState::Delivered, upstream_id.to_owned());
    let receipt = Receipt { message: None, upstream_id, state, provider_code: None, at: None, part: None };
    ReceivedReceipt { provider: ProviderName::new(MITTO), receipt, at: stand.now() }
}
