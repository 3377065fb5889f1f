//! Messages that wait, expire, and callers that wait for a verdict; shutdown.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::CancelOutcome;
use sms_core::{Clock, Kind, MessageId, Status, SystemClock, UnixMs};
use sms_engine::{Code, SendRequest};
use tokio::time::Instant;

use crate::fixtures::{Bench, Reply, Setup, assert_story, not_sent, otp, refuse, tenant, to};

fn narrow() -> Setup {
    Setup { candidates: vec!["a"], concurrency: Some(1), ..Setup::default() }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_permit_waits_its_turn() {
    let bench = Bench::start(narrow()).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(1))]);
    bench.submit(otp()).await.unwrap();
    let second = bench.send_and_wait(to("+41791234568"), Duration::from_millis(500)).await;
    assert_story(&second, Status::Queued, &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_story(&bench.record(second.id).await, Status::Sent, &["a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn expired_is_never_sent() {
    let bench = Bench::start(narrow()).await;
    bench.a.always(Some(Reply::Slow(Duration::from_secs(2))));
    let ids: Vec<_> = {
        let mut ids = Vec::new();
        for n in 0..6 {
            let request = SendRequest { ttl_s: Some(5), ..to(&format!("+4179123456{n}")) };
            ids.push(bench.submit(request).await.unwrap().id);
        }
        ids
    };
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let seen = bench.a.seen.lock().unwrap().clone();
    assert!(seen.iter().all(|s| s.at < started + Duration::from_secs(5)), "{seen:?}");
    let mut expired = 0;
    for id in ids {
        let record = bench.record(id).await;
        assert!(matches!(record.status, Status::Sent | Status::Expired), "{record:?}");
        expired += usize::from(record.status == Status::Expired);
        assert_eq!(record.status == Status::Sent, seen.iter().any(|s| s.id == id));
    }
    assert!(expired >= 3);
}

#[tokio::test(start_paused = true)]
async fn thousands_that_expire_at_once_are_ended_at_once() {
    let bench = Bench::start(narrow()).await;
    bench.a.always(Some(Reply::Slow(Duration::from_secs(30))));
    let mut ids = Vec::new();
    for n in 0..1_500 {
        ids.push(bench.submit(SendRequest { ttl_s: Some(3), ..to(&format!("+4179123{n:04}")) }).await.unwrap().id);
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(count(&bench, &ids, Status::Expired).await, 1_499, "all but the one that is on the wire");
}

/// A provider that throttles opens no breaker: two hundred messages want to be repeated, and the budget is for few.
async fn throttled() -> (Bench, Vec<MessageId>) {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    bench.a.always(Some(refuse(Kind::Throttled)));
    let mut ids = Vec::new();
    for n in 0..200 {
        let request = SendRequest { ttl_s: Some(20), ..to(&format!("+4179123{n:04}")) };
        ids.push(bench.submit(request).await.unwrap().id);
    }
    (bench, ids)
}

async fn count(bench: &Bench, ids: &[MessageId], status: Status) -> usize {
    let mut count = 0;
    for id in ids {
        count += usize::from(bench.record(*id).await.status == status);
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_place_in_the_retry_budget_expires_when_its_time_is_over_and_not_before() {
    let (bench, ids) = throttled().await;
    tokio::time::sleep(Duration::from_millis(19_500)).await;
    assert_eq!(count(&bench, &ids, Status::Expired).await, 0);
    assert!(count(&bench, &ids, Status::Sending).await > 150);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(count(&bench, &ids, Status::Expired).await > 150);
    for id in ids {
        let record = bench.record(id).await;
        assert!(record.status != Status::Expired || record.updated >= record.expires, "{record:?}");
    }
}

/// Places in the retry budget are remembered by the process alone.
#[tokio::test(start_paused = true)]
async fn what_waited_for_a_place_in_the_retry_budget_goes_after_a_restart() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(UnixMs::new(1_764_000_000_000)));
    let (before, ids) = throttled().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    before.a.always(None);
    before.store.crash();
    let setup = Setup { candidates: vec!["a"], ..Setup::default() };
    let after = Bench::over(setup, Arc::clone(&before.store), clock).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(count(&after, &ids, Status::Sent).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_message_with_no_time_left_for_another_pause_waits_for_its_end_without_more_attempts() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    bench.a.always(Some(not_sent()));
    let id = bench.submit(SendRequest { ttl_s: Some(1), ..otp() }).await.unwrap().id;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(bench.record(id).await.status, Status::Sending);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let record = bench.record(id).await;
    assert_eq!(record.status, Status::Expired, "{record:?}");
    assert!(record.updated >= record.expires && bench.a.count() <= 2, "{} attempts", bench.a.count());
}

#[tokio::test(start_paused = true)]
async fn a_place_in_the_retry_budget_that_becomes_free_is_used_before_the_time_is_over() {
    let (bench, ids) = throttled().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.a.always(None);
    let began = bench.a.count();
    // What is offered earns repetitions.
    for n in 0..1_100 {
        bench.submit(to(&format!("+4178{n:07}"))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    let sent = count(&bench, &ids, Status::Sent).await;
    assert!(sent >= 190, "{sent} of 200");
    let repetitions = bench.a.count() - began - 1_100;
    assert!(repetitions <= 230, "{repetitions} repetitions for eleven hundred messages and twenty seconds");
}

#[tokio::test(start_paused = true)]
async fn the_provider_is_told_what_is_left_of_the_time_to_live() {
    let bench = Bench::start(narrow()).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(3))]);
    bench.submit(otp()).await.unwrap();
    bench.send_and_wait(to("+41791234568"), Duration::from_secs(4)).await;
    let left = bench.a.last().valid_for;
    assert!((Duration::from_secs(296)..=Duration::from_secs(297)).contains(&left), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_caller_hears_the_verdict() {
    let bench = Bench::start(Setup::default()).await;
    let patience = Duration::from_secs(8);
    let (_, decision) = bench.engine.submit_and_wait(&tenant(), otp(), patience).await.unwrap();
    assert_eq!(decision.unwrap().status, Status::Sent);
    bench.a.then(&[refuse(Kind::Recipient)]);
    let (_, decision) = bench.engine.submit_and_wait(&tenant(), otp(), patience).await.unwrap();
    let decision = decision.unwrap();
    assert_eq!((decision.status, decision.kind), (Status::Rejected, Some(Kind::Recipient)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_out_of_patience_is_told_pending_and_the_message_goes_on() {
    let bench = Bench::start(narrow()).await;
    bench.a.then(&[Reply::Slow(Duration::from_millis(2_500))]);
    let began = Instant::now();
    let (submitted, decision) = bench.engine.submit_and_wait(&tenant(), otp(), Duration::from_secs(1)).await.unwrap();
    assert!(decision.is_none());
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.record(submitted.id).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_message_can_be_canceled_a_sent_one_cannot() {
    let bench = Bench::start(narrow()).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(1))]);
    let sending = bench.submit(otp()).await.unwrap().id;
    let waiting = bench.submit(to("+41791234568")).await.unwrap().id;
    assert!(matches!(bench.engine.cancel(&tenant(), waiting).await.unwrap(), CancelOutcome::Canceled(_)));
    assert_eq!(bench.engine.cancel(&tenant(), sending).await.unwrap(), CancelOutcome::TooLate(Status::Sending));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bench.record(waiting).await.status, Status::Canceled);
    assert_eq!(bench.a.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_what_is_in_flight_and_takes_nothing_new() {
    let bench = Bench::start(narrow()).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(2))]);
    let id = bench.submit(otp()).await.unwrap().id;
    let engine = std::sync::Arc::clone(&bench.engine);
    let stopping = tokio::spawn(async move { engine.shutdown(Instant::now() + Duration::from_secs(30)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(bench.engine.ready().await.is_err());
    assert_eq!(bench.submit(otp()).await.unwrap_err().code(), Code::Overloaded);
    let began = Instant::now();
    stopping.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    let seen = bench.a.seen.lock().unwrap().clone();
    assert_eq!((seen.len(), seen[0].id), (1, id));
}

#[tokio::test(start_paused = true)]
async fn the_route_sets_the_time_to_live_where_the_request_does_not() {
    let bench = Bench::start(Setup { ttl_otp: Some(Duration::from_secs(45)), ..Setup::default() }).await;
    let asked = bench.send_and_wait(SendRequest { ttl_s: Some(90), ..otp() }, Duration::from_millis(50)).await;
    let silent = bench.send_and_wait(otp(), Duration::from_millis(50)).await;
    assert_eq!(asked.expires.since(asked.created), Duration::from_secs(90));
    assert_eq!(silent.expires.since(silent.created), Duration::from_secs(45));
}
