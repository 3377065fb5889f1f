//! The mock as a sandbox: its magic numbers, its scripts and its inbox, as a test of somebody else's would use them.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use e2e::{Answer, Gateway, swiss};
use reqwest::Method;
use serde_json::{Value, json};

async fn gateway() -> Gateway {
    let builder = Gateway::builder().toml("[providers.mock]\nkind = \"mock\"\ntimeout = \"500ms\"\n");
    builder.route("default", "use = [\"mock\"]\nunknown_wait = \"500ms\"").start().await
}

fn body(to: &str, code: u32) -> Value {
    json!({ "to": to, "text": format!("Your code is {code}"), "ttl_s": 60 })
}

/// Messages in the inbox, oldest first.
async fn inbox(gateway: &Gateway, query: &[(&str, &str)]) -> Vec<Value> {
    let request = gateway.operator().request(Method::GET, "/inbox/v1/messages").query(query);
    let page = Answer::to(request).await.expect("an answer").expect(200).json();
    page["messages"].as_array().expect("messages").clone()
}

#[tokio::test]
async fn magic_numbers_do_what_they_promise() {
    let gateway = gateway().await;
    let acme = gateway.acme();
    let cases: [(u32, &[&str]); 13] = [
        (0, &["delivered"]),
        (1, &["undelivered"]),
        (2, &["rejected"]),
        (3, &["unknown"]),
        (4, &["unknown", "delivered"]),
        (5, &["sending"]),
        (6, &["failed"]),
        (7, &["sent"]),
        (8, &["delivered"]),
        (9, &["sent"]),
        (10, &["delivered"]),
        (11, &["delivered"]),
        (12, &["sending"]),
    ];
    let mut sent = Vec::new();
    for (n, statuses) in cases {
        let to = format!("+447700900{n:03}");
        sent.push((to.clone(), acme.accepted(&body(&to, 482_913)).await, statuses));
    }
    for (to, id, statuses) in &sent {
        eprintln!("{to}: {statuses:?}");
        acme.wait_any_status(id, statuses, e2e::PATIENCE).await;
    }
    let received = inbox(&gateway, &[("to", "+447700900008")]).await;
    assert_eq!(received.len(), 1, "a duplicate receipt is no second message");
    assert!(inbox(&gateway, &[("to", "+447700900012")]).await.is_empty(), "nobody was reached");
}

#[tokio::test]
async fn the_inbox_shows_what_a_handset_would() {
    let gateway = gateway().await;
    gateway.acme().accepted(&body(&swiss(1), 100_001)).await;
    assert_eq!(gateway.code(&swiss(1)).await, "100001");
    let [first] = inbox(&gateway, &[("to", &swiss(1))]).await.try_into().expect("one message");
    assert_eq!(
        (&first["text"], &first["sender"], &first["code"], &first["segments"]),
        (&json!("Your code is 100001"), &json!("Acme"), &json!("100001"), &json!(1))
    );

    let after = first["cursor"].as_str().expect("a cursor").to_owned();
    let newer = [("to", swiss(1)), ("after", after), ("wait", "10s".to_owned())];
    let waiting = tokio::spawn(Answer::to(gateway.operator().request(Method::GET, "/inbox/v1/code").query(&newer)));
    gateway.acme().accepted(&body(&swiss(1), 100_002)).await;
    let answer = waiting.await.expect("no panic").expect("an answer").expect(200);
    assert_eq!((answer.text().as_str(), answer.header("content-type").starts_with("text/plain")), ("100002", true));

    let nothing =
        gateway.operator().request(Method::GET, "/inbox/v1/code").query(&[("to", swiss(2)), ("wait", "1s".to_owned())]);
    Answer::to(nothing).await.expect("an answer").problem(404, "inbox_no_message");
    let cleared =
        Answer::to(gateway.operator().request(Method::DELETE, "/inbox/v1/messages")).await.expect("an answer");
    assert!((200..300).contains(&cleared.status));
    assert!(inbox(&gateway, &[]).await.is_empty());
}

#[tokio::test]
async fn a_number_can_be_scripted() {
    let gateway = gateway().await;
    let path = format!("/inbox/v1/behaviours/{}", swiss(1));
    let script = async |body: Value| {
        Answer::to(gateway.operator().request(Method::PUT, &path).json(&body)).await.expect("an answer")
    };
    let set = script(json!({ "answer": "accept", "receipt": "undelivered", "then": "delivered" })).await;
    assert!((200..300).contains(&set.status), "{}", set.text());
    let id = gateway.acme().accepted(&body(&swiss(1), 482_913)).await;
    gateway.acme().wait_status(&id, "delivered").await;
    script(json!({ "answer": "reject_number" })).await;
    let id = gateway.acme().accepted(&body(&swiss(1), 482_914)).await;
    gateway.acme().wait_status(&id, "rejected").await;
    script(json!({ "answer": "dance" })).await.problem(422, "invalid_request");
}
