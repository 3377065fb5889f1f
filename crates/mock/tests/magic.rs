//! The magic numbers of contract.md §7, each as a user sees it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use sms_conformance::provider::{self, Receipts};
use sms_core::options::Options;
use sms_core::{
    DeliveryState, Fate, Kind, ProviderFactory as _, ProviderName, Receipt, SendError, SmsProvider, Submission,
};
use sms_mock::{Behaviour, Inbox, MockFactory};
use tokio::time::{Instant, sleep};

struct Stage {
    inbox: Inbox,
    mock: Arc<dyn SmsProvider>,
    pushed: Arc<Receipts>,
}

fn stage(options: serde_json::Value) -> Stage {
    let inbox = Inbox::new();
    let (deps, pushed) = provider::deps(None);
    let factory = MockFactory::new(inbox.clone());
    let mock = factory.build(&ProviderName::new("mock"), Options::from_json(options), &deps).unwrap();
    Stage { inbox, mock, pushed }
}

impl Stage {
    async fn send(&self, to: &str) -> Result<Submission, SendError> {
        let sms = common::sms(to);
        self.mock.send(&sms, &common::attempt(&sms)).await
    }

    async fn receipts(&self, within: Duration) -> Vec<Receipt> {
        sleep(within).await;
        self.pushed.all()
    }

    async fn states(&self, within: Duration) -> Vec<DeliveryState> {
        self.receipts(within).await.into_iter().map(|receipt| receipt.state).collect()
    }
}

async fn magic(last: u16) -> (Stage, Result<Submission, SendError>) {
    let stage = stage(serde_json::json!({}));
    let result = stage.send(&format!("+447700900{last:03}")).await;
    (stage, result)
}

const SOON: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn numbers_000_and_all_others_are_delivered() {
    for to in ["+447700900000", "+447700900013", "+447700900999", "+4915112345678"] {
        let stage = stage(serde_json::json!({}));
        let submission = stage.send(to).await.unwrap();
        assert_eq!(submission.parts, Some(1));
        let receipts = stage.receipts(SOON).await;
        assert_eq!(receipts.len(), 1, "{to}");
        assert_eq!(receipts[0].state, DeliveryState::Delivered);
        assert_eq!(receipts[0].message, Some(common::sms(to).id));
        assert_eq!(receipts[0].upstream_id, submission.upstream_id);
        assert!(receipts[0].at.is_some());
        assert_eq!(stage.inbox.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn number_001_is_absent() {
    let (stage, result) = magic(1).await;
    assert!(result.is_ok());
    let receipts = stage.receipts(SOON).await;
    assert_eq!(receipts[0].state, DeliveryState::Undelivered);
    assert_eq!(receipts[0].provider_code.as_deref(), Some("absent"));
}

#[tokio::test(start_paused = true)]
async fn numbers_that_are_not_taken_leave_no_trace() {
    for (last, kind, fate, answered) in [
        (2, Kind::Recipient, Fate::Refused, false),
        (3, Kind::Unavailable, Fate::Unknown, true),
        (5, Kind::Throttled, Fate::Refused, false),
        (6, Kind::Content, Fate::Refused, false),
        (12, Kind::Unavailable, Fate::NotSent, false),
    ] {
        let (stage, result) = magic(last).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind, error.fate, error.answered), (kind, fate, answered), "{last:03}");
        assert_eq!(error.retry_after, (last == 5).then_some(Duration::from_secs(1)));
        assert!(stage.states(SOON).await.is_empty() && stage.inbox.is_empty(), "{last:03}");
    }
}

#[tokio::test(start_paused = true)]
async fn number_004_is_taken_and_then_times_out() {
    let start = Instant::now();
    let (stage, result) = magic(4).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind, error.fate, error.answered), (Kind::Deadline, Fate::Unknown, false));
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(stage.inbox.len(), 1);
    assert!(stage.states(SOON).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn number_007_has_no_receipt_and_008_has_two() {
    let (stage, result) = magic(7).await;
    assert!(result.is_ok() && stage.states(Duration::from_mins(5)).await.is_empty());
    let (stage, result) = magic(8).await;
    assert!(result.is_ok());
    assert_eq!(stage.states(SOON).await, [DeliveryState::Delivered, DeliveryState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn number_009_is_delivered_after_30_s() {
    let (stage, result) = magic(9).await;
    assert!(result.is_ok());
    assert!(stage.states(Duration::from_millis(29_990)).await.is_empty());
    assert_eq!(stage.states(Duration::from_millis(20)).await, [DeliveryState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn number_010_has_its_receipt_before_the_answer() {
    let stage = stage(serde_json::json!({}));
    let sms = common::sms("+447700900010");
    let submission = stage.mock.send(&sms, &common::attempt(&sms)).await.unwrap();
    let receipts = stage.pushed.all();
    assert_eq!(receipts.len(), 1, "already there");
    assert_eq!((receipts[0].message, receipts[0].upstream_id.as_str()), (None, submission.upstream_id.as_str()));
    assert_eq!(stage.states(SOON).await, [DeliveryState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn number_011_is_delivered_and_then_failed() {
    let (stage, result) = magic(11).await;
    assert!(result.is_ok());
    assert_eq!(stage.states(SOON).await, [DeliveryState::Delivered, DeliveryState::Undelivered]);
}

#[tokio::test(start_paused = true)]
async fn a_script_set_by_hand_wins_over_the_magic_and_can_be_taken_back() {
    let stage = stage(serde_json::json!({ "behaviour": { "answer": "server_error" } }));
    let number = common::sms("+447700900002").to;
    let script: Behaviour = serde_json::from_str(r#"{"receipt":"expired","after":"3s"}"#).unwrap();
    stage.inbox.set_behaviour(number, script).unwrap();
    assert!(stage.send("+447700900002").await.is_ok());
    assert!(stage.states(Duration::from_secs(2)).await.is_empty());
    assert_eq!(stage.states(Duration::from_secs(2)).await, [DeliveryState::Expired]);
    assert!(stage.inbox.remove_behaviour(&number) && !stage.inbox.remove_behaviour(&number));
    assert_eq!(stage.send("+447700900002").await.unwrap_err().kind, Kind::Recipient);
    assert_eq!(stage.send("+447700900500").await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(stage.mock.probe().await.unwrap_err().kind, Kind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn it_thinks_as_long_as_it_is_told_and_not_beyond_the_deadline() {
    let start = Instant::now();
    let patient = stage(serde_json::json!({ "latency": "200ms" }));
    assert!(patient.send("+447700900100").await.is_ok());
    assert_eq!(start.elapsed(), Duration::from_millis(200));
    let lost = stage(serde_json::json!({ "latency": "10s" }));
    let error = lost.send("+447700900100").await.unwrap_err();
    assert_eq!((error.kind, error.fate), (Kind::Deadline, Fate::Unknown));
    assert_eq!(start.elapsed(), Duration::from_millis(3200));
    assert!(lost.inbox.is_empty());
}

#[tokio::test(start_paused = true)]
async fn receipts_come_in_the_order_of_their_times_and_the_task_ends() {
    let stage = stage(serde_json::json!({}));
    let set = |to: &str, script: &str| {
        let number = common::sms(to).to;
        stage.inbox.set_behaviour(number, serde_json::from_str(script).unwrap()).unwrap();
    };
    set("+447700900100", r#"{"after":"20s"}"#);
    set("+447700900101", r#"{"after":"10s","receipt":"expired"}"#);
    stage.send("+447700900100").await.unwrap();
    stage.send("+447700900101").await.unwrap();
    assert_eq!(stage.states(Duration::from_secs(11)).await, [DeliveryState::Expired]);
    assert_eq!(stage.states(Duration::from_secs(11)).await, [DeliveryState::Expired, DeliveryState::Delivered]);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[test]
fn faults_of_the_options_are_told() {
    let (deps, _) = provider::deps(None);
    let options = Options::from_json(serde_json::json!({ "latency": "soon", "behavior": {} }));
    let faults = MockFactory::new(Inbox::new()).build(&ProviderName::new("mock"), options, &deps).unwrap_err();
    assert_eq!(faults.len(), 2);
}
