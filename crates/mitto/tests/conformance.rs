//! Mitto passes the shared suite, and its request is exactly the one on file.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sms_conformance::provider::{self, Harness, Report, Rig, Seen, Wire};
use sms_conformance::upstream::{Behaviour, Mitto as Upstream};
use sms_core::options::Options;
use sms_core::{
    Attempt, AttemptId, Body, CallbackRequest, Channel, Class, DeliveryState, Encoding, Fate, Kind, MessageId, Msisdn,
    OutboundSms, ProviderFactory as _, ProviderName, Secret, Sender, SmsProvider, UnixMs, callback_token, text,
};
use sms_mitto::MittoFactory;
use sms_rest::{Client, ClientOptions};
use tokio::time::Instant;

const CALLBACK_SECRET: &str = "callback-s3cret";
const KEY: &str = "mitto-key-canary-4711";

struct MittoHarness;

fn build(upstream: &Upstream, more: &Value) -> Arc<dyn SmsProvider> {
    let mut options = json!({ "base_url": upstream.base_url(), "api_key": KEY, "callback_secret": CALLBACK_SECRET });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (deps, _) = provider::deps(Some("https://sms.example.com"));
    let factory = MittoFactory::new(Client::build(&ClientOptions::default()).unwrap());
    factory.build(&ProviderName::new("mitto"), Options::from_json(options), &deps).unwrap()
}

#[async_trait]
impl Harness for MittoHarness {
    async fn rig(&self, behaviour: Behaviour) -> Rig {
        let upstream = Upstream::start();
        upstream.require_key(KEY);
        upstream.behave(behaviour);
        Rig { provider: build(&upstream, &json!({})), wire: Box::new(Side(upstream)), pushed: None }
    }

    fn credential(&self) -> Option<String> {
        Some(KEY.to_owned())
    }

    fn callback(&self, report: &Report) -> Option<CallbackRequest> {
        let status = match &report.state {
            DeliveryState::Delivered => "Delivered",
            DeliveryState::Expired => "EXPIRED",
            DeliveryState::Pending => "Sent",
            DeliveryState::Undelivered => "Failure",
            DeliveryState::Unrecognised(word) => word,
        };
        let body = json!({ "messageId": report.upstream_id.to_uppercase(), "status": status, "errorcode": 0 });
        Some(CallbackRequest {
            method: "POST".to_owned(),
            token: callback_token(&Secret::new(CALLBACK_SECRET), &report.message.to_string()),
            query: format!("ref={}", report.message),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.to_string().into_bytes(),
        })
    }
}

struct Side(Upstream);

impl Wire for Side {
    fn seen(&self) -> Vec<Seen> {
        let messages = self.0.sends().into_iter().filter(|send| !send.to.is_empty());
        let seen = messages.map(|send| Seen {
            to: send.to,
            sender: send.from,
            text: send.text,
            encoding: match send.kind.as_str() {
                "GSM" => Some(Encoding::Gsm7),
                "Unicode" => Some(Encoding::Ucs2),
                _ => None,
            },
            valid_for: send.validity.map(Duration::from_mins),
            idempotency_key: None,
        });
        seen.collect()
    }

    fn requests(&self) -> Option<usize> {
        Some(self.0.wire_requests())
    }

    fn open_connections(&self) -> Option<usize> {
        Some(self.0.upstream().open_connections())
    }
}

#[tokio::test]
async fn passes_the_shared_suite() {
    provider::run(&MittoHarness).await;
}

fn sms(text: &str) -> OutboundSms {
    OutboundSms {
        id: MessageId::new(UnixMs::new(1_764_000_000_000), [7; 10]),
        to: Msisdn::parse("+41791234567", None).unwrap(),
        sender: Sender::parse("Acme").unwrap(),
        body: Body::new(text.to_owned()),
        segmentation: text::segment(text),
        class: Class::Otp,
        channel: Channel::Sms,
    }
}

fn attempt(sms: &OutboundSms, valid_for: Duration) -> Attempt {
    let deadline = Instant::now() + Duration::from_secs(5);
    Attempt { id: AttemptId { message: sms.id, number: 1 }, deadline, valid_for }
}

#[tokio::test]
async fn the_request_is_the_one_on_file() {
    let upstream = Upstream::start();
    let mitto = build(&upstream, &json!({}));
    let plain = sms("123456 is your code.");
    let taken = mitto.send(&plain, &attempt(&plain, Duration::from_secs(299))).await.unwrap();
    let wide = OutboundSms { sender: Sender::parse("+41791234000").unwrap(), ..sms("Код 123456 🔑") };
    let test = build(&upstream, &json!({ "test": true }));
    assert!(test.send(&wide, &attempt(&wide, Duration::from_millis(1))).await.is_ok());

    let requests = upstream.upstream().requests();
    let golden: Value = serde_json::from_str(include_str!("golden/send.json")).unwrap();
    let bodies: Vec<Value> = requests.iter().map(|request| request.json().unwrap()).collect();
    assert_eq!(Value::from(bodies), golden);
    for request in requests {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/sms.json"));
        assert_eq!(request.header("x-mitto-api-key"), Some(KEY));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    assert_eq!(taken.upstream_id, upstream.sends()[0].id);
}

#[tokio::test]
async fn no_callback_is_handed_out_without_a_secret_or_a_public_address() {
    let upstream = Upstream::start();
    let factory = MittoFactory::new(Client::build(&ClientOptions::default()).unwrap());
    for (base, secret) in [(None, Some(CALLBACK_SECRET)), (Some("https://sms.example.com"), None)] {
        let mut options = json!({ "base_url": upstream.base_url(), "api_key": KEY });
        if let Some(secret) = secret {
            options["callback_secret"] = json!(secret);
        }
        let (deps, _) = provider::deps(base);
        let mitto = factory.build(&ProviderName::new("mitto"), Options::from_json(options), &deps).unwrap();
        let sms = sms("123456");
        mitto.send(&sms, &attempt(&sms, Duration::from_mins(5))).await.unwrap();
    }
    let callbacks: Vec<_> = upstream.sends().into_iter().map(|send| send.callback).collect();
    assert_eq!(callbacks, [None, None]);
}

#[tokio::test]
async fn what_mitto_would_refuse_or_change_costs_no_request() {
    let upstream = Upstream::start();
    let mitto = build(&upstream, &json!({}));
    let short_sender = OutboundSms { sender: Sender::parse("AB").unwrap(), ..sms("1") };
    let spoken = OutboundSms { channel: Channel::Voice, ..sms("1") };
    for refused in [short_sender, spoken, sms(&"a".repeat(1531))] {
        let error = mitto.send(&refused, &attempt(&refused, Duration::from_mins(1))).await.unwrap_err();
        assert_eq!((error.kind, error.fate), (Kind::Content, Fate::Refused), "{error}");
    }
    assert_eq!(upstream.wire_requests(), 0);
}

#[tokio::test]
async fn used_codes_are_reported_only_where_configured() {
    let upstream = Upstream::start();
    build(&upstream, &json!({})).converted("715118ef01aa4480bbd67324a0459b0b").await.unwrap();
    let mitto = build(&upstream, &json!({ "conversion": true }));
    mitto.converted("").await.unwrap();
    assert_eq!(upstream.wire_requests(), 0);
    mitto.converted("715118ef01aa4480bbd67324a0459b0b").await.unwrap();
    assert_eq!(upstream.conversions(), ["715118ef01aa4480bbd67324a0459b0b"]);
    upstream.behave(Behaviour::BadCredentials);
    assert_eq!(mitto.converted("1").await.unwrap_err().kind, Kind::Account);
}

#[tokio::test]
async fn a_probe_finds_what_is_wrong() {
    let upstream = Upstream::start();
    upstream.require_key("another key");
    let mitto = build(&upstream, &json!({}));
    assert_eq!(mitto.probe().await.unwrap_err().kind, Kind::Account);
    upstream.require_key(KEY);
    mitto.probe().await.unwrap();
    for behaviour in [Behaviour::RefuseConnect, Behaviour::ServerError] {
        upstream.behave(behaviour);
        assert_eq!(mitto.probe().await.unwrap_err().kind, Kind::Unavailable, "{behaviour:?}");
    }
    upstream.behave(Behaviour::Accept);
    let elsewhere = build(&upstream, &json!({ "base_url": format!("{}/nothing", upstream.base_url()) }));
    assert_eq!(elsewhere.probe().await.unwrap_err().provider_code.as_deref(), Some("http_404"));
}

#[tokio::test]
async fn a_thousand_sends_at_once_are_a_thousand_requests() {
    let upstream = Upstream::start();
    let mitto = build(&upstream, &json!({}));
    let mut sending = tokio::task::JoinSet::new();
    for n in 0..1000_u16 {
        let mitto = Arc::clone(&mitto);
        sending.spawn(async move {
            let id = MessageId::new(UnixMs::new(i64::from(n)), [7; 10]);
            let sms = OutboundSms { id, ..sms("123456") };
            let attempt =
                Attempt { deadline: Instant::now() + Duration::from_mins(1), ..attempt(&sms, Duration::from_mins(5)) };
            mitto.send(&sms, &attempt).await.map(|taken| taken.upstream_id)
        });
    }
    let mut ids: Vec<String> = sending.join_all().await.into_iter().map(Result::unwrap).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), upstream.wire_requests()), (1000, 1000));
}
