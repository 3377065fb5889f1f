//! What happens when a provider is down, slow, refused, disabled, or delivers nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sms_core::store::{Entry, What};
use sms_core::{Clock, DeliveryState, Kind, MessageId, ProviderName, Status, SystemClock, UnixMs};
use sms_engine::plan::Prefer;

use crate::fixtures::{
    Bench, Reply, Setup, assert_story, attempts, not_sent, otp, refuse, server_error, to, transactional,
};

const SOON: Duration = Duration::from_millis(50);

/// A number of its own for every message.
fn number(n: usize) -> String {
    format!("+4179{:07}", 1_000_000 + n)
}

/// `n` messages, one every `gap`.
async fn stream(bench: &Bench, n: std::ops::Range<usize>, gap: Duration) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for n in n {
        ids.push(bench.submit(to(&number(n))).await.unwrap().id);
        tokio::time::sleep(gap).await;
    }
    ids
}

async fn statuses(bench: &Bench, ids: &[MessageId], status: Status) -> usize {
    let mut count = 0;
    for id in ids {
        count += usize::from(bench.record(*id).await.status == status);
    }
    count
}

/// Guarantee 16, and none of them is lost.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_only_provider_is_waited_out_without_a_storm() {
    for outage in [not_sent(), refuse(Kind::Unavailable)] {
        let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
        bench.a.always(Some(outage));
        let ids = stream(&bench, 0..600, Duration::from_millis(100)).await;
        assert!(bench.a.count() < 100, "{} attempts for 600 messages", bench.a.count());
        bench.a.always(None);
        tokio::time::sleep(Duration::from_secs(15)).await;
        let sent = statuses(&bench, &ids, Status::Sent).await;
        // The first few had spent their attempts before the breaker knew.
        assert!(sent >= 594, "{sent} of 600");
    }
}

/// Guarantee 14.
#[tokio::test(start_paused = true)]
async fn an_outage_with_an_alternative_costs_no_message_and_no_time() {
    for outage in [not_sent(), refuse(Kind::Unavailable), refuse(Kind::Account), server_error()] {
        let bench = Bench::start(Setup::default()).await;
        let mut ids = stream(&bench, 0..50, Duration::from_millis(20)).await;
        bench.a.always(Some(outage));
        ids.extend(stream(&bench, 50..250, Duration::from_millis(20)).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(statuses(&bench, &ids, Status::Sent).await, 250, "{outage:?}");
        assert!(bench.a.count() < 60, "{} attempts", bench.a.count());
        let last = bench.record(*ids.last().unwrap()).await;
        assert_eq!(attempts(&last), ["b:accepted"]);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_for_a_provider_that_is_down_move_to_another() {
    let bench = Bench::start(Setup { concurrency: Some(1), ..Setup::default() }).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(2))]);
    let mut ids = stream(&bench, 0..40, Duration::ZERO).await;
    bench.a.always(Some(refuse(Kind::Account)));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let first = ids.remove(0);
    assert_eq!(bench.record(first).await.status, Status::Sent);
    assert_eq!(statuses(&bench, &ids, Status::Sent).await, 39);
    assert_eq!(bench.a.count(), 2, "the one that was slow and the one that found the account refused");
    let mut moved = 0;
    for id in ids {
        let record = bench.record(id).await;
        let intents: Vec<_> = record.history.iter().filter_map(intent).collect();
        // The one that found the account refused was told so by `a`; nobody else may seem to have been asked.
        if intents == ["b"] {
            moved += 1;
            assert_story(&record, Status::Sent, &["b:accepted"]);
            let waits = |entry: &Entry| matches!(&entry.what, What::Waiting { lane, .. } if lane.as_str() == "b");
            assert!(record.history.iter().any(waits), "the history says where it went: {:?}", record.history);
        }
    }
    assert_eq!(moved, 38, "no attempt was made with them, and none was written down");
}

fn intent(entry: &Entry) -> Option<&str> {
    let What::Intent { provider, .. } = &entry.what else { return None };
    Some(provider.as_str())
}

/// Guarantee 7: a kill interrupts what is on the wire, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_kill_while_messages_move_to_another_provider_interrupts_none_of_them() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(UnixMs::new(1_764_000_000_000)));
    let setup = Setup { concurrency: Some(1), ..Setup::default() };
    let before = Bench::start(setup.clone()).await;
    before.a.then(&[Reply::Slow(Duration::from_secs(2))]);
    before.b.always(Some(Reply::Slow(Duration::from_secs(1))));
    let ids = stream(&before, 0..40, Duration::ZERO).await;
    before.a.always(Some(refuse(Kind::Account)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    before.store.crash();
    let after = Bench::over(setup, Arc::clone(&before.store), clock).await;
    after.a.always(Some(refuse(Kind::Account)));
    tokio::time::sleep(Duration::from_mins(1)).await;
    let mut interrupted = 0;
    for id in ids {
        let record = after.record(id).await;
        let on_wire = [&before.a, &before.b, &after.a, &after.b]
            .map(|provider| provider.seen.lock().unwrap().iter().filter(|seen| seen.id == id).count());
        let intents = record.history.iter().filter_map(intent).count();
        assert_eq!(intents, on_wire.iter().sum::<usize>(), "{:?}", record.history);
        assert_eq!(record.status, Status::Sent);
        interrupted += attempts(&record).iter().filter(|attempt| attempt.ends_with(":unknown")).count();
    }
    assert!(interrupted <= 1, "{interrupted} interrupted, and one was on the wire");
}

/// A message only moves to where its own route sends it.
#[tokio::test(start_paused = true)]
async fn messages_whose_route_has_no_other_provider_stay_and_hide_none_that_has() {
    let (both, one) = (Setup { concurrency: Some(1), ..Setup::default() }, vec!["a"]);
    let bench = Bench::start(both.clone()).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(2))]);
    let moves = stream(&bench, 0..150, Duration::ZERO).await;
    bench.reconfigure(&Setup { candidates: one, ..both.clone() });
    let stays = stream(&bench, 150..300, Duration::ZERO).await; // younger: they are looked at first
    bench.reconfigure(&both);
    bench.engine.disable(&ProviderName::new("a"), None);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(statuses(&bench, &moves, Status::Sent).await, 150);
    assert_eq!((bench.a.count(), bench.b.count()), (1, 149));
    assert_eq!(statuses(&bench, &stays, Status::Queued).await, 150, "nothing happened to them");
    bench.engine.enable(&ProviderName::new("a"));
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((statuses(&bench, &stays, Status::Sent).await, bench.a.count()), (150, 151));
}

/// Guarantee 15: acts within ten seconds, although no attempt has failed yet.
#[tokio::test(start_paused = true)]
async fn a_provider_that_turned_slow_is_avoided_before_it_times_out() {
    let setup = Setup { timeout: Some(Duration::from_mins(1)), ..Setup::default() };
    let bench = Bench::start(setup).await;
    stream(&bench, 0..50, Duration::from_millis(50)).await;
    bench.a.always(Some(Reply::Slow(Duration::from_secs(30))));
    stream(&bench, 50..250, Duration::from_millis(50)).await; // ten seconds
    let (a, b) = (bench.a.count(), bench.b.count());
    let ids = stream(&bench, 250..350, Duration::from_millis(50)).await;
    assert!(bench.a.count() <= a + 2 && bench.b.count() >= b + 98, "{} {}", bench.a.count() - a, bench.b.count() - b);
    assert!(statuses(&bench, &ids, Status::Sent).await >= 98);
    assert!(bench.a.peak.load(Ordering::SeqCst) <= 64);
    bench.a.always(None);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let before = bench.a.count();
    stream(&bench, 350..400, Duration::from_millis(50)).await;
    assert!(bench.a.count() >= before + 45, "it is used again once it is fast again");
}

/// Guarantee 16: half of all attempts fail, so no breaker opens.
#[tokio::test(start_paused = true)]
async fn repetitions_stay_below_a_fifth_of_what_is_offered() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    let ids = async {
        let mut ids = Vec::new();
        for n in 0..2_000 {
            let fails = n % 2 == 0;
            bench.a.always(fails.then(not_sent));
            ids.extend(stream(&bench, n..n + 1, Duration::from_millis(10)).await);
        }
        ids
    }
    .await;
    assert!(bench.a.count() <= 2_400, "{} attempts for {} messages", bench.a.count(), ids.len());
    bench.a.always(None);
    tokio::time::sleep(Duration::from_mins(4)).await;
    let sent = statuses(&bench, &ids, Status::Sent).await;
    assert!(sent >= 1_990, "{sent}: what exceeds the budget is put off, not dropped");
}

/// Guarantee 21.
#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_every_provider_ends_after_three_attempts() {
    for (poison, otp_ends) in [
        (Reply::Panic, Status::Unknown),
        (server_error(), Status::Unknown),
        (refuse(Kind::Unavailable), Status::Failed),
    ] {
        let bench = Bench::start(Setup::default()).await;
        bench.a.always(Some(poison));
        bench.b.always(Some(poison));
        let ended = bench.send_and_wait(otp(), Duration::from_secs(30)).await;
        assert_eq!(ended.status, otp_ends);
        let made = bench.a.count() + bench.b.count();
        assert!((2..=3).contains(&made), "{made} attempts");
        let bench = Bench::start(Setup::default()).await;
        bench.a.always(Some(poison));
        bench.b.always(Some(poison));
        let ended = bench.send_and_wait(transactional(), Duration::from_secs(30)).await;
        assert!(matches!(ended.status, Status::Unknown | Status::Failed));
        assert!(bench.a.count() + bench.b.count() <= 3);
        // Others are unaffected.
        bench.a.always(None);
        assert_eq!(bench.send_and_wait(to(&number(7)), SOON).await.status, Status::Sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disabled_provider_gets_no_new_attempt() {
    let bench = Bench::start(Setup::default()).await;
    let a = ProviderName::new("a");
    assert!(bench.engine.disable(&a, Some(Duration::from_mins(15))));
    assert!(!bench.engine.disable(&ProviderName::new("nobody"), None));
    stream(&bench, 0..20, Duration::from_millis(10)).await;
    assert_eq!((bench.a.count(), bench.b.count()), (0, 20));
    let status = &bench.engine.providers()[0];
    assert_eq!((status.name.as_str(), status.state(), status.disabled_for.is_some()), ("a", "disabled", true));
    tokio::time::sleep(Duration::from_mins(15)).await;
    stream(&bench, 20..21, SOON).await;
    assert_eq!(bench.a.count(), 1, "its time is over");
    bench.engine.disable(&a, None);
    assert!(bench.engine.enable(&a));
    stream(&bench, 21..22, SOON).await;
    assert_eq!(bench.a.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn messages_for_a_disabled_provider_without_an_alternative_wait() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    bench.engine.disable(&ProviderName::new("a"), None);
    let waiting = bench.send_and_wait(otp(), Duration::from_mins(1)).await;
    assert_story(&waiting, Status::Queued, &[]);
    bench.engine.enable(&ProviderName::new("a"));
    tokio::time::sleep(SOON).await;
    assert_story(&bench.record(waiting.id).await, Status::Sent, &["a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_undelivered_messages_sends_that_country_elsewhere() {
    let bench = Bench::start(Setup::default()).await;
    for id in stream(&bench, 0..20, SOON).await {
        bench.receipt("a", id, DeliveryState::Undelivered).await;
    }
    let status = bench.engine.providers().remove(0);
    let country = &status.countries[0];
    assert_eq!((country.country.as_str(), country.circuit, country.reason), ("CH", "open", Some("receipts")));
    let before = bench.a.count();
    stream(&bench, 20..40, SOON).await;
    assert_eq!(bench.a.count(), before);
    let french = bench.send_and_wait(to("+33612345678"), SOON).await;
    assert_story(&french, Status::Sent, &["a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_prefers_delivery_uses_who_delivers() {
    let bench = Bench::start(Setup { prefer: Prefer::Delivery, ..Setup::default() }).await;
    for round in 0..60 {
        let ids = stream(&bench, round..round + 1, SOON).await;
        let taken = bench.record(ids[0]).await.provider.unwrap();
        // Every second message through `a` is lost: too few in a row for the breaker.
        let lost = taken.as_str() == "a" && round % 2 == 0;
        let state = if lost { DeliveryState::Undelivered } else { DeliveryState::Delivered };
        bench.receipt(taken.as_str(), ids[0], state).await;
    }
    let before = (bench.a.count(), bench.b.count());
    let ids = stream(&bench, 100..200, SOON).await;
    let (a, b) = (bench.a.count() - before.0, bench.b.count() - before.1);
    assert!(b >= 90, "{a} to a, {b} to b");
    let mut whys = Vec::new();
    for id in ids {
        whys.push(bench.record(id).await.details.route.why);
    }
    let told = whys.iter().find(|why| why.contains("b preferred by delivery: 100.0 % of")).unwrap();
    assert!(told.contains("; a: "), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_prefers_latency_uses_who_answers_faster() {
    let bench = Bench::start(Setup { prefer: Prefer::Latency, ..Setup::default() }).await;
    bench.a.always(Some(Reply::Slow(Duration::from_millis(800))));
    bench.b.always(Some(Reply::Slow(Duration::from_millis(100))));
    stream(&bench, 0..30, Duration::from_secs(1)).await;
    let before = (bench.a.count(), bench.b.count());
    stream(&bench, 30..130, Duration::from_secs(1)).await;
    let (a, b) = (bench.a.count() - before.0, bench.b.count() - before.1);
    assert!(b >= 90, "{a} to a, {b} to b");
}
