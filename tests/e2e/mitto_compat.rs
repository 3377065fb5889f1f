//! A client of Mitto changes base URL and key, and nothing else.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use e2e::{Answer, Behaviour, Gateway, Mitto, Tenant, swiss};
use serde_json::{Value, json};

async fn gateway(upstream: &Mitto) -> Gateway {
    Gateway::builder()
        .tenant(Tenant::new("acme").set("senders = [\"Mitto SMS\", \"Acme\"]"))
        .mitto_with("mitto", upstream, "timeout = \"1s\"")
        .route("default", "use = [\"mitto\"]")
        .limit("per_recipient", "per = [\"tenant\", \"recipient\"]\nallow = [\"2/h\"]")
        .start()
        .await
}

/// What axios sends in Auth0's documented hook.
fn hook_body(to: &str) -> Value {
    json!({ "to": to, "from": "Mitto SMS", "text": "Your verification code is: 482913" })
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    let request = gateway.http().post(format!("{}{path}", gateway.url()));
    let request = request.header("X-Mitto-API-Key", gateway.acme().key()).header("content-type", "application/json");
    Answer::to(request.body(body.to_string())).await.expect("an answer")
}

/// Panics unless it is a refusal of Mitto's form; returns its words.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: u64) -> String {
    let json = answer.json();
    assert_eq!((answer.status, json["responseCode"].as_u64()), (status, Some(code)), "{json}");
    assert!(json.get("id").is_none() && !answer.text().contains("482913"), "{json}");
    json["responseText"].as_str().filter(|text| !text.is_empty()).expect("words").to_owned()
}

#[tokio::test]
async fn the_documented_hook_works_unchanged() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    for (path, n) in [("/sms.json", 1), ("/sms", 2)] {
        let answer = post(&gateway, path, &hook_body(&swiss(n))).await.expect(200);
        assert!(answer.header("content-type").starts_with("application/json"));
        let json = answer.json();
        assert_eq!((&json["responseCode"], &json["responseText"]), (&json!(0), &json!("SMS sent")));
        assert_eq!(json["textLength"], json!("Your verification code is: 482913".len()));
        assert!(json["timestamp"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{json}");
        let send = upstream.sends_to(&swiss(n)).pop().expect("it was sent before it was answered");
        assert_eq!((send.from.as_str(), send.text.as_str()), ("Mitto SMS", "Your verification code is: 482913"));
        let message = gateway.acme().message(&answer.message_id()).await;
        assert_eq!(message["status"], "sent", "{message}");
    }
}

#[tokio::test]
async fn every_way_to_write_a_number_works() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    for (to, digits) in
        [("41791234567", "41791234567"), ("+41 79 123 45 68", "41791234568"), ("0041791234569", "41791234569")]
    {
        post(&gateway, "/sms.json", &hook_body(to)).await.expect(200).message_id();
        assert_eq!(upstream.sends().pop().unwrap().to, digits);
    }
    let as_number = json!({ "to": 41_791_234_570_u64, "from": "Acme", "text": "hello there" });
    post(&gateway, "/sms.json", &as_number).await.expect(200).message_id();
}

#[tokio::test]
async fn the_query_string_form_works() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let request = gateway.http().get(format!("{}/sms", gateway.url())).header("X-Mitto-API-Key", gateway.acme().key());
    let request = request.query(&[("from", "Acme"), ("to", "41791234567"), ("text", "hello there")]);
    Answer::to(request).await.unwrap().expect(200).message_id();
    assert_eq!(upstream.sends().pop().unwrap().text, "hello there");
}

#[tokio::test]
async fn refusals_are_400_with_mittos_codes() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    upstream.behave_for(&swiss(1), Behaviour::RejectNumber);
    upstream.behave_for(&swiss(2), Behaviour::RejectContent);
    upstream.behave_for(&swiss(3), Behaviour::BadCredentials);
    let with = |name: &str, value: Value| {
        let mut body = hook_body(&swiss(9));
        body.as_object_mut().expect("an object").insert(name.to_owned(), value);
        body
    };
    let cases = [
        ("the upstream knows no such number", hook_body(&swiss(1)), 8),
        ("the upstream dislikes the text", hook_body(&swiss(2)), 4),
        ("no number", hook_body("4179"), 8),
        ("an empty number", hook_body(""), 8),
        ("no recipient", json!({ "from": "Acme", "text": "hello there" }), 8),
        ("a test number", hook_body("+447700900000"), 8),
        ("a foreign sender", with("from", json!("Bank")), 6),
        ("no text", json!({ "to": swiss(9), "from": "Acme" }), 4),
        ("an empty text", with("text", json!("")), 4),
        ("too long a text", with("text", json!("x".repeat(2_000))), 4),
        ("an account that is refused", hook_body(&swiss(3)), 1),
    ];
    for (name, body, code) in cases {
        eprintln!("{name}");
        let words = refused(&post(&gateway, "/sms.json", &body).await, 400, code);
        assert!(!words.contains("791"), "{words}");
    }
    let request =
        gateway.http().post(format!("{}/sms.json", gateway.url())).header("X-Mitto-API-Key", gateway.acme().key());
    refused(&Answer::to(request.body("no JSON")).await.unwrap(), 400, 1);
}

#[tokio::test]
async fn a_wrong_key_is_401_and_a_limit_429() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let url = format!("{}/sms.json", gateway.url());
    for key in [None, Some("sk_live_acme_wrong000000000000000000"), Some("")] {
        let request = gateway.http().post(&url).body(hook_body(&swiss(1)).to_string());
        let request = key.into_iter().fold(request, |request, key| request.header("X-Mitto-API-Key", key));
        assert_eq!(Answer::to(request).await.unwrap().status, 401);
    }
    let bearer = gateway.http().post(&url).bearer_auth(gateway.acme().key()).body(hook_body(&swiss(1)).to_string());
    assert_eq!(Answer::to(bearer).await.unwrap().status, 401, "Mitto's clients show their key in its header");

    for _ in 0..2 {
        post(&gateway, "/sms.json", &hook_body(&swiss(1))).await.expect(200).message_id();
    }
    let limited = post(&gateway, "/sms.json", &hook_body(&swiss(1))).await;
    assert_eq!(limited.status, 429, "{}", limited.text());
    assert!(limited.header("retry-after").parse::<u64>().unwrap() > 60);
    assert_eq!(upstream.sends().len(), 2);
}

#[tokio::test]
async fn bulk_answers_each_recipient_in_order() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    upstream.behave_for(&swiss(2), Behaviour::RejectNumber);
    let to = format!("{},{},{}", swiss(1), swiss(2), swiss(3));
    let json = post(&gateway, "/smsbulk", &hook_body(&to)).await.expect(200).json();
    assert_eq!(json["responseCode"], 0, "{json}");
    let [first, second, third] = json["messages"].as_array().unwrap().as_slice() else { panic!("three: {json}") };
    for (sent, n) in [(first, 1), (third, 3)] {
        let id = sent["id"].as_str().unwrap();
        assert_eq!(gateway.acme().message(id).await["to"], swiss(n));
    }
    assert!(second.get("id").is_none() && second["responseCode"] == 8, "{second}");
    let none = post(&gateway, "/smsbulk", &hook_body("4179,abc")).await;
    refused(&none, 400, 8);
}

#[tokio::test]
async fn a_test_is_checked_and_not_sent() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let mut body = hook_body(&swiss(1));
    body.as_object_mut().unwrap().insert("test".to_owned(), json!(true));
    let json = post(&gateway, "/sms.json", &body).await.expect(200).json();
    assert_eq!((&json["test"], &json["responseCode"]), (&json!(true), &json!(0)));
    assert!(json.get("id").is_none(), "{json}");
    body.as_object_mut().unwrap().insert("to".to_owned(), json!("4179"));
    refused(&post(&gateway, "/sms.json", &body).await, 400, 8);
    assert_eq!(upstream.wire_requests(), 0);
    assert_eq!(gateway.acme().list(&[]).await.expect(200).json()["messages"], json!([]), "nothing was written");
}

#[tokio::test]
async fn a_slow_upstream_is_taken_as_sent_within_five_seconds() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().tenant(Tenant::new("acme").set("senders = [\"Mitto SMS\"]"));
    let builder = builder.mitto_with("mitto", &upstream, "timeout = \"20s\"");
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    upstream.behave(Behaviour::HangAfterRead);
    let began = tokio::time::Instant::now();
    let answer = post(&gateway, "/sms.json", &hook_body(&swiss(1))).await.expect(200);
    let took = began.elapsed();
    assert!((4.5..7.0).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(answer.json()["responseCode"], 0);
    assert_eq!(gateway.acme().message(&answer.message_id()).await["status"], "sending");
}
