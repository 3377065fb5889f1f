//! Who goes first when not everybody can.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sms_core::{Class, Status, TenantId};
use sms_engine::{Code, SendRequest};
use tokio::time::Instant;

use crate::fixtures::{Bench, Reply, Setup, tenant, to};

fn number(n: usize) -> String {
    format!("+4179{:07}", 2_000_000 + n)
}

/// Two attempts at a time, 100 ms each: twenty messages a second.
async fn narrow() -> Bench {
    let bench = Bench::start(Setup { candidates: vec!["a"], concurrency: Some(2), ..Setup::default() }).await;
    bench.a.always(Some(Reply::Slow(Duration::from_millis(100))));
    bench
}

/// How long each of `n` messages of tenant `other` takes from its request to the provider's verdict, one a second.
async fn times(bench: &Bench, n: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..n {
        let began = Instant::now();
        let other = TenantId::new("other");
        let request = to(&number(90_000 + n));
        let (_, decision) = bench.engine.submit_and_wait(&other, request, Duration::from_secs(20)).await.unwrap();
        assert_eq!(decision.unwrap().status, Status::Sent);
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    times.sort_unstable();
    times
}

/// Guarantee 18: one tenant at fifty times its share. A slot is free every 50 ms, so that much is not its doing.
#[tokio::test(start_paused = true)]
async fn a_flood_of_one_tenant_does_not_delay_another() {
    let bench = narrow().await;
    let alone = *times(&bench, 10).await.last().unwrap();
    let flood = async {
        for n in 0..5_000 {
            bench.submit(to(&number(n))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (together, ()) = tokio::join!(times(&bench, 9), flood);
    let slot = Duration::from_millis(60);
    let slowest = *together.last().unwrap();
    assert!(slowest <= alone + slot, "{slowest:?} instead of {alone:?}");
}

/// Guarantee 20.
#[tokio::test(start_paused = true)]
async fn codes_that_wait_go_newest_first_and_the_rest_oldest_first() {
    let bench = narrow().await;
    let mut ids = Vec::new();
    for n in 0..6 {
        let class = if n < 3 { Class::Transactional } else { Class::Otp };
        let request = SendRequest { class, ..to(&number(n)) };
        ids.push(bench.submit(request).await.unwrap().id);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = bench.a.seen.lock().unwrap();
    let order: Vec<usize> = seen.iter().map(|s| ids.iter().position(|id| *id == s.id).unwrap()).collect();
    assert_eq!(order, [0, 1, 5, 4, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_after_a_start_keeps_to_the_providers_limit() {
    let bench = narrow().await;
    for n in 0..300 {
        bench.submit(to(&number(n))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(bench.a.count(), 300);
    assert_eq!(bench.a.peak.load(Ordering::SeqCst), 2);
}

/// Guarantee 17: refused at once, and taken again when there is room.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_in_time_is_refused_at_once() {
    let setup = Setup { candidates: vec!["a"], concurrency: Some(2), unsettled_max: Some(90), ..Setup::default() };
    let bench = Bench::start(setup).await;
    bench.a.always(Some(Reply::Slow(Duration::from_millis(100))));
    let (mut accepted, mut refused) = (0, 0);
    let began = Instant::now();
    for n in 0..200 {
        match bench.submit(to(&number(n))).await {
            Ok(_) => accepted += 1,
            Err(refusal) => {
                assert_eq!(refusal.code(), Code::Overloaded);
                assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
                refused += 1;
            }
        }
    }
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert!((79..=90).contains(&accepted) && refused >= 110, "{accepted} {refused}");
    bench.engine.submit(&TenantId::new("other"), to(&number(500))).await.expect("there is room for others");
    tokio::time::sleep(Duration::from_secs(5)).await;
    bench.engine.submit(&tenant(), to(&number(501))).await.expect("there is room again");
}
