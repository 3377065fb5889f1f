//! What happens when nobody knows whether a provider took the message.

use std::time::Duration;

use sms_core::{DeliveryState, Status};

use crate::fixtures::{Bench, Reply, Setup, assert_story, otp, refuse, server_error, transactional};

#[tokio::test(start_paused = true)]
async fn an_answered_error_sends_the_second_copy_at_once() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[server_error()]);
    let record = bench.send_and_wait(otp(), Duration::from_millis(50)).await;
    assert_story(&record, Status::Sent, &["a:unknown", "b:accepted"]);
    assert_eq!(bench.a.last().text, bench.b.last().text, "the identical text");
}

#[tokio::test(start_paused = true)]
async fn silence_sends_the_second_copy_after_the_wait() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[Reply::Hang]);
    let record = bench.send_and_wait(otp(), Duration::from_secs(10)).await;
    assert_story(&record, Status::Sending, &["a:unknown"]);
    assert_eq!(bench.b.count(), 0, "3 s time-out and 8 s wait are not over");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_story(&bench.record(record.id).await, Status::Sent, &["a:unknown", "b:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_during_the_wait_saves_the_second_copy() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[Reply::Hang]);
    let id = bench.send_and_wait(otp(), Duration::from_secs(5)).await.id;
    bench.receipt("a", id, DeliveryState::Delivered).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_story(&bench.record(id).await, Status::Delivered, &["a:unknown"]);
    assert_eq!(bench.b.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn otp_copies_max_two() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.always(Some(Reply::Hang));
    bench.b.always(Some(Reply::Hang));
    let record = bench.send_and_wait(otp(), Duration::from_secs(290)).await;
    assert_story(&record, Status::Unknown, &["a:unknown", "b:unknown"]);
    bench.receipt("b", record.id, DeliveryState::Delivered).await;
    assert_eq!(bench.record(record.id).await.status, Status::Delivered, "a receipt lifts it still");
}

#[tokio::test(start_paused = true)]
async fn one_provider_alone_gets_the_second_copy_too() {
    let bench = Bench::start(Setup { candidates: vec!["a"], ..Setup::default() }).await;
    bench.a.then(&[Reply::Hang]);
    let record = bench.send_and_wait(otp(), Duration::from_secs(12)).await;
    assert_story(&record, Status::Sent, &["a:unknown", "a:accepted"]);
}

#[tokio::test(start_paused = true)]
async fn transactional_never_resent_on_unknown() {
    for reply in [Reply::Hang, server_error()] {
        let bench = Bench::start(Setup::default()).await;
        bench.a.then(&[reply]);
        let record = bench.send_and_wait(transactional(), Duration::from_mins(1)).await;
        assert_story(&record, Status::Unknown, &["a:unknown"]);
        assert_eq!(bench.b.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_second_copy_leaves_the_message_unknown() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[server_error()]);
    bench.b.then(&[refuse(sms_core::Kind::Recipient)]);
    let record = bench.send_and_wait(otp(), Duration::from_secs(1)).await;
    assert_story(&record, Status::Unknown, &["a:unknown", "b:refused"]);
}

#[tokio::test(start_paused = true)]
async fn one_intent_per_wire_request() {
    let bench = Bench::start(Setup::default()).await;
    bench.a.then(&[server_error()]);
    bench.send_and_wait(otp(), Duration::from_millis(50)).await;
    let (first, second) = (bench.a.last(), bench.b.last());
    assert_eq!((first.attempt, first.intents), (1, 1), "its intent was durable before the request");
    assert_eq!((second.attempt, second.intents), (2, 2));
}
