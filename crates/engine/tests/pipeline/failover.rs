//! Who gets the message next, and when nobody does.

use std::time::Duration;

use sms_core::{Kind, Status};

use crate::fixtures::{Bench, Reply, Setup, assert_story, not_sent, otp, refuse, to};

const SOON: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn a_taken_message_is_sent_once() {
    let bench = Bench::start(Setup::default()).await;
    let record = bench.send_and_wait(otp(), SOON).await;
    assert_story(&record, Status::Sent, &["a:accepted"]);
    assert_eq!((bench.a.count(), bench.b.count()), (1, 0));
    assert_eq!(bench.a.last().text, "123456 is your code");
    assert_eq!(record.upstream_id.as_deref(), Some(format!("up-{}-1", record.id).as_str()));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_fails_over_at_once() {
    for reply in
        [refuse(Kind::Content), refuse(Kind::Account), refuse(Kind::Throttled), refuse(Kind::Unavailable), not_sent()]
    {
        let bench = Bench::start(Setup::default()).await;
        bench.a.then(&[reply]);
        let record = bench.send_and_wait(otp(), SOON).await;
        let first =
            if matches!(reply, Reply::Fail { fate: sms_core::Fate::NotSent, .. }) { "a:not_sent" } else { "a:refused" };
        assert_story(&record, Status::Sent, &[first, "b:accepted"]);
        assert_eq!(record.provider.unwrap().as_str(), "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_recipient_goes_nowhere_else() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[refuse(Kind::Recipient)]);
    assert_story(&bench.send_and_wait(otp(), SOON).await, Status::Rejected, &["a:refused"]);
    assert_eq!(bench.b.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_everybody_refuses_it_failed() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[refuse(Kind::Content)]);
    bench.b.then(&[refuse(Kind::Account)]);
    assert_story(&bench.send_and_wait(otp(), SOON).await, Status::Failed, &["a:refused", "b:refused"]);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_provider_is_tried_again_and_comes_back() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    bench.a.then(&[not_sent(), not_sent()]);
    let record = bench.send_and_wait(otp(), Duration::from_secs(4)).await;
    assert_story(&record, Status::Sent, &["a:not_sent", "a:not_sent", "a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_passed_over() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.always(Some(not_sent()));
    for n in 0..5 {
        let record = bench.send_and_wait(to(&format!("+4179123456{n}")), SOON).await;
        assert_eq!(record.status, Status::Sent);
    }
    assert_eq!(bench.a.count(), 5);
    let record = bench.send_and_wait(otp(), SOON).await;
    assert_story(&record, Status::Sent, &["b:accepted"]);
    assert_eq!(bench.a.count(), 5, "its breaker is open");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_recovered_is_used_again() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.always(Some(not_sent()));
    for n in 0..5 {
        bench.send_and_wait(to(&format!("+4179123456{n}")), SOON).await;
    }
    bench.a.always(None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_story(&bench.send_and_wait(otp(), SOON).await, Status::Sent, &["a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_reroutes_the_next_message() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    assert_story(&bench.send_and_wait(otp(), SOON).await, Status::Sent, &["a:accepted"]);
    bench.reconfigure(&Setup { candidates: vec!["b"], ..Setup::default() });
    assert_story(&bench.send_and_wait(otp(), SOON).await, Status::Sent, &["b:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn messages_waiting_for_a_provider_that_left_are_handed_over() {
    let bench = Bench::start(Setup { concurrency: Some(1), ..Setup::default() }).await;
    bench.a.then(&[Reply::Slow(Duration::from_secs(2))]);
    let first = bench.submit(otp()).await.unwrap().id;
    let waiting = bench.submit(to("+41791234568")).await.unwrap().id;
    bench.reconfigure(&Setup { concurrency: Some(1), without: vec!["a"], ..Setup::default() });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_story(&bench.record(first).await, Status::Sent, &["a:accepted"]);
    assert_story(&bench.record(waiting).await, Status::Sent, &["b:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_provider_ends_one_message_only() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    bench.a.then(&[Reply::Panic]);
    let record = bench.send_and_wait(crate::fixtures::transactional(), SOON).await;
    assert_story(&record, Status::Unknown, &["a:unknown"]);
    assert_story(&bench.send_and_wait(to("+41791234568"), SOON).await, Status::Sent, &["a:accepted"]);
}
