//! The mock passes the shared suite, in paused time.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

use std::time::Duration;

use async_trait::async_trait;
use sms_conformance::provider::{self, Harness, Rig, Seen, Wire};
use sms_conformance::upstream::Behaviour as Upstream;
use sms_core::options::{Options, Span};
use sms_core::{Msisdn, ProviderFactory as _, ProviderName};
use sms_mock::{Answer, Behaviour, Inbox, MockFactory};

struct MockHarness;

#[async_trait]
impl Harness for MockHarness {
    async fn rig(&self, behaviour: Upstream) -> Rig {
        let inbox = Inbox::new();
        let script = script(behaviour);
        inbox.set_behaviour(Msisdn::parse("+4915112345678", None).unwrap(), script).unwrap();
        // A probe knows no number: it asks the instance.
        let options = if behaviour == Upstream::BadCredentials {
            serde_json::json!({ "behaviour": { "answer": "bad_credentials" } })
        } else {
            serde_json::json!({})
        };
        let (deps, pushed) = provider::deps(None);
        let factory = MockFactory::new(inbox.clone());
        let provider = factory.build(&ProviderName::new("mock"), Options::from_json(options), &deps).unwrap();
        Rig { provider, wire: Box::new(Side(inbox)), pushed: Some(pushed) }
    }

    fn credential(&self) -> Option<String> {
        None
    }
}

fn script(behaviour: Upstream) -> Behaviour {
    let answer = match behaviour {
        Upstream::Accept => Answer::Accept,
        Upstream::BadCredentials => Answer::BadCredentials,
        Upstream::Garbage | Upstream::HugeBody => Answer::Garbage,
        Upstream::HangAfterRead | Upstream::SlowHeaders => Answer::Timeout,
        Upstream::HangBeforeRead => Answer::Silence,
        Upstream::RefuseConnect => Answer::RefuseConnect,
        Upstream::RejectContent => Answer::RejectContent,
        Upstream::RejectNumber => Answer::RejectNumber,
        Upstream::ResetAfterRead => Answer::Reset,
        Upstream::ServerError => Answer::ServerError,
        Upstream::Throttle(pause) => {
            return Behaviour {
                answer: Answer::Throttle,
                retry_after: Some(Span::from(pause)),
                ..Behaviour::default()
            };
        }
    };
    Behaviour { answer, ..Behaviour::default() }
}

struct Side(Inbox);

impl Wire for Side {
    fn seen(&self) -> Vec<Seen> {
        let seen = self.0.messages(None, None, 100).into_iter().map(|message| Seen {
            to: message.to.trim_start_matches('+').to_owned(),
            sender: message.sender,
            text: message.text,
            encoding: Some(message.encoding),
            valid_for: None,
            idempotency_key: None,
        });
        seen.collect()
    }

    fn requests(&self) -> Option<usize> {
        None
    }

    fn open_connections(&self) -> Option<usize> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn passes_the_shared_suite() {
    provider::run(&MockHarness).await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_what_is_under_way() {
    let inbox = Inbox::new();
    let (deps, pushed) = provider::deps(None);
    let options = Options::from_json(serde_json::json!({ "receipt_after": "10s" }));
    let mock = MockFactory::new(inbox).build(&ProviderName::new("mock"), options, &deps).unwrap();
    let sms = common::sms("+447700900123");
    mock.send(&sms, &common::attempt(&sms)).await.unwrap();
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 1);
    mock.shutdown(tokio::time::Instant::now()).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    assert!(pushed.all().is_empty());
}

mod common;
