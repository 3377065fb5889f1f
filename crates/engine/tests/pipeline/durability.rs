//! Acceptance, limits, idempotency, crashes.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Filter, Idempotency};
use sms_core::{Clock, Status, SystemClock, UnixMs};
use sms_engine::{Code, SendRequest};

use crate::fixtures::{Bench, Reply, Setup, assert_story, otp, tenant, to, transactional};

const SOON: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn accepted_means_durable() {
    let bench = Bench::start(Setup::default()).await;
    bench.store.set_unavailable(true);
    let refusal = bench.submit(otp()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::StoreUnavailable);
    assert!(refusal.retry_after.is_some());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.a.count() + bench.b.count(), 0, "nothing was sent");
    bench.store.set_unavailable(false);
    assert_eq!(bench.send_and_wait(otp(), SOON).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_recorded_once_the_store_is_back() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(1))]);
    let id = bench.submit(otp()).await.unwrap().id;
    bench.store.set_unavailable(true);
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.store.set_unavailable(false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_story(&bench.record(id).await, Status::Sent, &["a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn limits_exact_under_concurrency() {
    let bench = Bench::start(Setup { limits: vec![(1, Duration::from_secs(30))], ..Setup::default() }).await;
    let sends = (0..64).map(|_| {
        let engine = Arc::clone(&bench.engine);
        tokio::spawn(async move { engine.submit(&tenant(), otp()).await })
    });
    let (mut accepted, mut refused) = (0, 0);
    for send in sends.collect::<Vec<_>>() {
        match send.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(refusal) => {
                assert_eq!(refusal.code(), Code::RecipientRateLimited);
                assert_eq!(refusal.limit.as_ref().unwrap().as_str(), "per_recipient");
                assert!(refusal.retry_after.unwrap() <= Duration::from_millis(30_001));
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (1, 63));
    tokio::time::sleep(Duration::from_secs(31)).await;
    bench.submit(otp()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refused_requests_are_history_without_text() {
    let bench = Bench::start(Setup { limits: vec![(1, Duration::from_secs(30))], ..Setup::default() }).await;
    bench.submit(otp()).await.unwrap();
    bench.submit(otp()).await.unwrap_err();
    tokio::time::sleep(SOON).await;
    let filter = Filter { tenant: Some(tenant()), status: Some(Status::Blocked), limit: 10, ..Filter::default() };
    let page = bench.engine.search(filter).await.unwrap();
    assert_eq!(page.records.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_country_is_history_too() {
    let bench = Bench::start(Setup { block: vec!["CH"], ..Setup::default() }).await;
    assert_eq!(bench.submit(otp()).await.unwrap_err().code(), Code::CountryNotAllowed);
    tokio::time::sleep(SOON).await;
    let filter = Filter { tenant: Some(tenant()), status: Some(Status::Blocked), limit: 10, ..Filter::default() };
    let page = bench.engine.search(filter).await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(bench.a.count() + bench.b.count(), 0);
}

fn keyed(key: &str, fingerprint: u8) -> SendRequest {
    SendRequest { idempotency: Some(Idempotency { key: key.to_owned(), fingerprint: [fingerprint; 32] }), ..otp() }
}

#[tokio::test(start_paused = true)]
async fn idempotent_replay_is_byte_identical() {
    let bench = Bench::start(Setup::default()).await;
    let first = bench.submit(keyed("k", 1)).await.unwrap();
    // Whatever the configuration says by then.
    bench.reconfigure(&Setup { candidates: vec!["nobody"], ..Setup::default() });
    let again = bench.submit(keyed("k", 1)).await.unwrap();
    assert!(again.replayed && !first.replayed);
    assert_eq!((first.id, &first.answer), (again.id, &again.answer));
    assert_eq!(bench.submit(keyed("k", 2)).await.unwrap_err().code(), Code::IdempotencyKeyReuse);
    tokio::time::sleep(SOON).await;
    assert_eq!(bench.a.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn parallel_repeats_make_one_message() {
    let bench = Bench::start(Setup::default()).await;
    let sends: Vec<_> = (0..50)
        .map(|_| {
            let engine = Arc::clone(&bench.engine);
            tokio::spawn(async move { engine.submit(&tenant(), keyed("k", 1)).await.unwrap().id })
        })
        .collect();
    let mut ids = Vec::new();
    for send in sends {
        ids.push(send.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    tokio::time::sleep(SOON).await;
    assert_eq!(bench.a.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_an_attempt_costs_one_copy_at_most() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(UnixMs::new(1_764_000_000_000)));
    let before = Bench::start(Setup::default()).await;
    before.a.always(Some(Reply::Slow(Duration::from_secs(2))));
    let code = before.submit(otp()).await.unwrap().id;
    let notice = before.submit(SendRequest { to: "+41791234568".into(), ..transactional() }).await.unwrap().id;
    tokio::time::sleep(SOON).await;
    before.store.crash();
    let after = Bench::over(Setup::default(), Arc::clone(&before.store), clock).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_story(&after.record(code).await, Status::Sent, &["a:unknown", "b:accepted"]);
    assert_story(&after.record(notice).await, Status::Unknown, &["a:unknown"]);
    assert_eq!(after.a.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn codes_that_a_crash_interrupted_get_their_copy_in_time_however_many() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(UnixMs::new(1_764_000_000_000)));
    let setup = Setup { candidates: vec!["a"], ..Setup::default() };
    let before = Bench::start(setup.clone()).await;
    before.a.always(Some(Reply::Slow(Duration::from_secs(2))));
    for n in 0..30 {
        before.submit(to(&format!("+4179{n:07}"))).await.unwrap();
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(before.a.count(), 30);
    before.store.crash();
    let after = Bench::over(setup, Arc::clone(&before.store), clock).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(after.a.count(), 30, "one copy of each, right after `unknown_wait`");
}

#[tokio::test(start_paused = true)]
async fn tenants_cannot_see_each_other() {
    let bench = Bench::start(Setup::default()).await;
    let id = bench.send_and_wait(to("+41791234568"), SOON).await.id;
    let other = sms_core::TenantId::new("other");
    assert!(bench.engine.message(&other, id).await.unwrap().is_none());
    assert_eq!(bench.engine.cancel(&other, id).await.unwrap(), sms_core::store::CancelOutcome::NotFound);
    assert!(!bench.engine.feedback(&other, id, sms_engine::Feedback::Used).await.unwrap());
    assert!(bench.engine.feedback(&tenant(), id, sms_engine::Feedback::Used).await.unwrap());
}
