//! The native API over a real upstream: what is answered, and what becomes of a message.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Behaviour, Caller, Gateway, Mitto, PATIENCE, ReceiptForm, ReceiptPlan, Tenant, eventually, swiss};
use reqwest::Method;
use serde_json::{Value, json};

/// Gives up on silence after 1 s, and sends the second copy 1 s later.
async fn gateway(upstream: &Mitto) -> Gateway {
    let route = "use = [\"mitto\"]\nunknown_wait = \"1s\"";
    Gateway::builder().mitto_with("mitto", upstream, "timeout = \"1s\"").route("default", route).start().await
}

fn text(to: &str) -> Value {
    json!({ "to": to, "text": "Your code is 482913" })
}

fn plan(form: ReceiptForm, statuses: &[&str]) -> ReceiptPlan {
    let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
    ReceiptPlan { statuses, after: Duration::from_millis(50), form, unanswered: false }
}

fn str_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no text `{name}` in {value}"))
}

fn list_of<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value.get(name).and_then(Value::as_array).unwrap_or_else(|| panic!("no list `{name}` in {value}"))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn seconds(from: &Value, to: &Value) -> i64 {
    let at = |value: &Value| {
        let text = value.as_str().expect("a moment");
        assert!(text.ends_with('Z'), "{text} is not in UTC");
        text.parse::<jiff::Timestamp>().expect("RFC 3339").as_second()
    };
    at(to) - at(from)
}

#[tokio::test]
async fn an_accepted_message_is_answered_to_the_letter() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let answer = gateway.acme().send(&text(&swiss(1))).await.expect(202);
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    let required = ["id", "status", "to", "encoding", "segments", "created_at", "expires_at"];
    let found = keys(&json);
    assert!(required.iter().all(|key| found.contains(key)), "{json}");
    assert!(found.iter().all(|key| required.contains(key) || *key == "provider"), "{json}");
    answer.message_id();
    assert_eq!(str_of(&json, "status"), "queued");
    assert_eq!(str_of(&json, "to"), swiss(1));
    assert_eq!((str_of(&json, "encoding"), &json["segments"]), ("gsm7", &json!(1)));
    assert_eq!(seconds(&json["created_at"], &json["expires_at"]), 300);

    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    let send = upstream.sends().pop().unwrap();
    assert_eq!((send.text.as_str(), send.from.as_str()), ("Your code is 482913", "Acme"));
    assert_eq!(format!("+{}", send.to), swiss(1));
    assert_eq!(send.reference, str_of(&json, "id"), "the upstream learns our id");
    assert!(send.validity.is_some_and(|minutes| (1..=5).contains(&minutes)), "the rest of the TTL travels along");
}

#[tokio::test]
async fn encoding_segments_and_times_to_live_are_told() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let long = "a".repeat(161);
    let cyrillic = "Ваш код 482913".to_owned();
    let cyrillic_long = "Я".repeat(71);
    let euro = "€".repeat(81);
    let cases: [(u32, &str, &str, u64, u64); 5] = [
        (1, &"a".repeat(160), "gsm7", 1, 300),
        (2, &long, "gsm7", 2, 300),
        (3, &cyrillic, "ucs2", 1, 300),
        (4, &cyrillic_long, "ucs2", 2, 300),
        (5, &euro, "gsm7", 2, 300),
    ];
    for (n, text, encoding, segments, ttl) in cases {
        let json = acme.send(&json!({ "to": swiss(n), "text": text })).await.expect(202).json();
        assert_eq!((str_of(&json, "encoding"), &json["segments"]), (encoding, &json!(segments)), "case {n}");
        assert_eq!(seconds(&json["created_at"], &json["expires_at"]), i64::try_from(ttl).unwrap(), "case {n}");
    }
    let ttls = [
        (json!({ "class": "transactional" }), 3_600),
        (json!({ "class": "otp", "ttl_s": 600 }), 600),
        (json!({ "class": "transactional", "ttl_s": 36_000 }), 36_000),
        (json!({ "ttl_s": 60 }), 60),
    ];
    for ((extra, ttl), n) in ttls.into_iter().zip(10..) {
        let mut body = text(&swiss(n));
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let json = acme.send(&body).await.expect(202).json();
        assert_eq!(seconds(&json["created_at"], &json["expires_at"]), ttl, "{extra}");
    }
    assert!(upstream.wait_for_sends(9, PATIENCE).await);
    assert_eq!(upstream.sends_to(&swiss(4)).first().unwrap().text, cyrillic_long, "nothing is lost on the way");
}

#[tokio::test]
async fn prefer_wait_tells_the_providers_verdict() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();

    let taken = acme.send_and_wait(10, &text(&swiss(1))).await.expect(200).json();
    assert_eq!((str_of(&taken, "status"), str_of(&taken, "provider")), ("sent", "mitto"));

    upstream.behave_for(&swiss(2), Behaviour::HangAfterRead);
    let pending = acme.send_and_wait(1, &text(&swiss(2))).await.expect(202);
    pending.message_id();

    let none = acme.send_and_wait(0, &text(&swiss(3))).await.expect(202).json();
    assert_eq!(str_of(&none, "status"), "queued");
}

#[tokio::test]
async fn a_refusal_is_told_to_whoever_waits_for_it() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    upstream.behave_for(&swiss(1), Behaviour::RejectNumber);
    upstream.behave_for(&swiss(2), Behaviour::RejectContent);
    for (n, status) in [(1, "rejected"), (2, "failed")] {
        let answer = acme.send_and_wait(10, &text(&swiss(n))).await;
        assert!(answer.status == 422 || answer.json()["status"] == status, "{} {}", answer.status, answer.text());
        let found = acme.list(&[("to", &swiss(n))]).await.expect(200).json();
        let id = str_of(messages(&found).first().expect("the message"), "id").to_owned();
        let message = acme.wait_status(&id, status).await;
        let attempt = list_of(&message, "attempts").first().expect("an attempt");
        assert_eq!((str_of(attempt, "provider"), str_of(attempt, "outcome")), ("mitto", "refused"));
        assert!(attempt["duration_ms"].is_u64() && !str_of(attempt, "error_kind").is_empty(), "{attempt}");
        assert_eq!(upstream.sends_to(&swiss(n)).len(), 1, "a refused message is not offered again");
    }
}

/// The messages of a page.
fn messages(page: &Value) -> &Vec<Value> {
    list_of(page, "messages")
}

#[tokio::test]
async fn a_message_tells_its_whole_story_without_its_text() {
    let upstream = Mitto::start();
    upstream.receipts(Some(plan(ReceiptForm::Json, &["Delivered"])));
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let mut body = text(&swiss(1));
    let extra =
        json!({ "reference": "order-7", "metadata": { "basket": "b1" }, "client_id": "web", "language": "fr_CH" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let id = acme.accepted(&body).await;
    let message = acme.wait_status(&id, "delivered").await;

    assert_eq!(str_of(&message, "id"), id);
    assert_eq!((str_of(&message, "to"), str_of(&message, "provider")), (swiss(1).as_str(), "mitto"));
    assert_eq!((str_of(&message, "reference"), &message["metadata"]), ("order-7", &json!({ "basket": "b1" })));
    let attempts = list_of(&message, "attempts");
    let [attempt] = attempts.as_slice() else { panic!("one attempt: {message}") };
    assert_eq!((str_of(attempt, "provider"), str_of(attempt, "outcome")), ("mitto", "accepted"));
    assert!(attempt["duration_ms"].is_u64() && str_of(attempt, "started_at").ends_with('Z'), "{attempt}");
    assert!(attempt.get("error_kind").is_none_or(Value::is_null));
    let events = list_of(&message, "events");
    assert!(events.len() >= 3, "accepted, sent, delivered: {message}");
    for event in events {
        assert!(str_of(event, "at").ends_with('Z') && !str_of(event, "kind").is_empty(), "{event}");
        assert!(!str_of(event, "source").is_empty() && event.get("detail").is_some(), "{event}");
    }
    let route = &message["route"];
    assert_eq!((str_of(route, "rule"), &route["candidates"]), ("default", &json!(["mitto"])));
    assert!(!str_of(route, "why").is_empty());
    let shown = message.to_string() + &acme.list(&[]).await.text();
    assert!(!shown.contains("482913") && !shown.contains("Your code"), "texts never come back");
}

#[tokio::test]
async fn receipts_of_every_form_deliver() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    for (form, n) in [(ReceiptForm::Form, 1), (ReceiptForm::Json, 2), (ReceiptForm::Query, 3)] {
        upstream.receipts_for(&swiss(n), Some(plan(form, &["Sent", "Delivered"])));
        let id = acme.accepted(&text(&swiss(n))).await;
        acme.wait_status(&id, "delivered").await;
    }
    let all_answered = async || (upstream.called().len() == 6).then_some(());
    eventually("six receipts are answered", PATIENCE, all_answered).await;
    for call in upstream.called() {
        assert_eq!(call.status, Some(200), "{}", call.url);
        assert!(call.url.starts_with(&format!("{}/receipts/mitto/", gateway.url())), "{}", call.url);
    }
    let metrics = gateway.metrics().await;
    let delivered = [("provider", "mitto"), ("status", "delivered")];
    assert!((metrics.count("gateway_messages_final_total", &delivered) - 3.0).abs() < f64::EPSILON);
    assert!((metrics.count("gateway_receipts_total", &delivered) - 3.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn receipts_end_where_the_contract_says() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let cases: [(&[&str], &str); 8] = [
        (&["Failure"], "undelivered"),
        (&["Expired"], "expired"),
        (&["Delivered", "Delivered"], "delivered"),
        (&["Delivered", "Failure"], "delivered"),
        (&["Delivered", "Sent"], "delivered"),
        (&["Failure", "Delivered"], "delivered"),
        (&["Expired", "Delivered"], "delivered"),
        (&["Failure", "Expired", "Sent"], "undelivered"),
    ];
    let mut sent = Vec::new();
    for ((statuses, last), n) in cases.into_iter().zip(1..) {
        upstream.receipts_for(&swiss(n), Some(plan(ReceiptForm::Json, statuses)));
        sent.push((acme.accepted(&text(&swiss(n))).await, statuses, last));
    }
    let calls: usize = cases.iter().map(|(statuses, _)| statuses.len()).sum();
    let all_answered = async || (upstream.called().len() == calls).then_some(());
    eventually("every receipt is answered", PATIENCE, all_answered).await;
    for (id, statuses, last) in sent {
        let message = acme.message(&id).await;
        assert_eq!(str_of(&message, "status"), last, "after {statuses:?}: {message}");
    }
}

#[tokio::test]
async fn an_unknown_status_word_changes_nothing() {
    let upstream = Mitto::start();
    upstream.receipts(Some(plan(ReceiptForm::Form, &["Teleported"])));
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let id = acme.accepted(&text(&swiss(1))).await;
    eventually("the receipt is answered", PATIENCE, async || upstream.called().pop()).await;
    acme.wait_status(&id, "sent").await;
    assert_eq!(upstream.called().pop().unwrap().status, Some(200), "never an error, never dropped");
}

#[tokio::test]
async fn a_receipt_before_the_answer_saves_the_second_copy() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::HangAfterRead);
    let early = ReceiptPlan { unanswered: true, ..ReceiptPlan::delivered(Duration::ZERO) };
    upstream.receipts_for(&swiss(1), Some(early));
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let id = acme.accepted(&text(&swiss(1))).await;
    acme.wait_status(&id, "delivered").await;

    // Nobody reports about this one, which began later: once its second copy is out, the first message's would be too.
    acme.accepted(&text(&swiss(2))).await;
    let second_copy = async || (upstream.sends_to(&swiss(2)).len() == 2).then_some(());
    eventually("silence leads to a second copy", PATIENCE, second_copy).await;
    assert_eq!(upstream.sends_to(&swiss(1)).len(), 1);
    let message = acme.message(&id).await;
    let attempts = list_of(&message, "attempts");
    assert_eq!((attempts.len(), str_of(&message, "status")), (1, "delivered"), "{message}");
}

#[tokio::test]
async fn forged_receipts_are_refused_and_change_nothing() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let mut sends = Vec::new();
    for n in [1, 2] {
        let id = acme.accepted(&text(&swiss(n))).await;
        acme.wait_status(&id, "sent").await;
        sends.push((id, upstream.sends_to(&swiss(n)).pop().unwrap()));
    }
    let [(mine, my_send), (other, other_send)] = sends.as_slice() else { panic!("two messages") };
    let my_url = my_send.callback.clone().unwrap();
    let report = |id: &str, reference: &str| json!({ "messageId": id, "status": "Delivered", "reference": reference });
    let post =
        async |url: &str, body: Value| gateway.http().post(url).json(&body).send().await.unwrap().status().as_u16();

    let (path, token) = my_url.rsplit_once('/').unwrap();
    let wrong = format!("{path}/{}", token.chars().rev().collect::<String>());
    for url in [wrong, format!("{path}/x"), format!("{}/receipts/mitto/{mine}", gateway.url())] {
        let status = post(&url, report(&my_send.id, mine)).await;
        assert!((400..500).contains(&status), "{url}: {status}");
    }
    let foreign_provider = my_url.replace("/receipts/mitto/", "/receipts/other/");
    assert_eq!(post(&foreign_provider, report(&my_send.id, mine)).await, 404);
    // A genuine secret of one message proves nothing about another one.
    let status = post(&my_url, report(&other_send.id, other)).await;
    assert!((200..500).contains(&status), "{status}");
    for id in [mine, other] {
        assert_eq!(str_of(&acme.message(id).await, "status"), "sent");
    }
    assert_eq!(post(&my_url, report(&my_send.id, mine)).await, 200, "the genuine one still counts");
    acme.wait_status(mine, "delivered").await;
    assert_eq!(str_of(&acme.message(other).await, "status"), "sent");
}

#[tokio::test]
async fn without_a_public_url_no_callback_is_handed_out() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().without_public_url().mitto("mitto", &upstream);
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let taken = gateway.acme().send_and_wait(10, &text(&swiss(1))).await.expect(200).json();
    assert_eq!(str_of(&taken, "status"), "sent");
    assert_eq!(upstream.sends().pop().unwrap().callback, None);
}

#[tokio::test]
async fn a_list_is_paged_filtered_and_complete() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    upstream.behave_for(&swiss(5), Behaviour::RejectNumber);
    let mut ids = Vec::new();
    for n in 1..=5 {
        let client = if n % 2 == 0 { "even" } else { "odd" };
        let body = json!({ "to": swiss(n), "text": "hello there", "client_id": client });
        ids.push(acme.accepted(&body).await);
    }
    for (id, status) in ids.iter().zip(["sent", "sent", "sent", "sent", "rejected"]) {
        acme.wait_status(id, status).await;
    }

    let (mut cursor, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
    loop {
        let mut query = vec![("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = acme.list(&query).await.expect(200).json();
        assert!(messages(&page).len() <= 2, "{page}");
        seen.extend(messages(&page).iter().map(|message| str_of(message, "id").to_owned()));
        pages += 1;
        cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!((seen, pages >= 3), (ids.clone(), true), "newest first, each once");

    let found = async |query: &[(&str, &str)]| {
        let page = acme.list(query).await.expect(200).json();
        messages(&page).iter().map(|message| str_of(message, "id").to_owned()).collect::<Vec<_>>()
    };
    let at = |n: usize| ids[5 - n].clone();
    assert_eq!(found(&[("to", &swiss(3))]).await, [at(3)]);
    assert_eq!(found(&[("status", "rejected")]).await, [at(5)]);
    assert_eq!(found(&[("client_id", "even")]).await, [at(4), at(2)]);
    assert_eq!(found(&[("provider", "mitto"), ("status", "sent")]).await.len(), 4);
    assert_eq!(found(&[("provider", "nobody")]).await, Vec::<String>::new());
    assert_eq!(found(&[("since", "2020-01-01T00:00:00Z"), ("client_id", "odd")]).await, [at(5), at(3), at(1)]);
    assert_eq!(found(&[("until", "2020-01-01T00:00:00Z")]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_queued_message_can_be_canceled_and_is_never_sent() {
    let upstream = Mitto::start();
    upstream.behave_for(&swiss(1), Behaviour::HangAfterRead);
    let builder = Gateway::builder().mitto_with("mitto", &upstream, "concurrency = 1\ntimeout = \"3s\"");
    let gateway = builder.route("default", "use = [\"mitto\"]\nmax_copies = 1").start().await;
    let acme = gateway.acme();
    let first = acme.accepted(&text(&swiss(1))).await;
    assert!(upstream.wait_for_sends(1, PATIENCE).await);
    let queued = acme.accepted(&text(&swiss(2))).await;
    let after = acme.accepted(&text(&swiss(3))).await;

    let canceled = acme.cancel(&queued).await.expect(200).json();
    assert_eq!((str_of(&canceled, "id"), str_of(&canceled, "status")), (queued.as_str(), "canceled"));
    assert_eq!(acme.cancel(&first).await.status, 409, "an attempt runs");
    acme.wait_status(&after, "sent").await;
    assert_eq!(upstream.sends_to(&swiss(2)), []);
    assert_eq!(str_of(&acme.message(&queued).await, "status"), "canceled");
    acme.cancel(&after).await.problem(409, "not_cancelable");
    acme.cancel("msg_01890000000070008000000000000000").await.problem(404, "not_found");
}

#[tokio::test]
async fn feedback_is_taken_and_used_codes_are_reported_upstream() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().mitto_with("mitto", &upstream, "conversion = true");
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let acme = gateway.acme();
    let id = acme.accepted(&text(&swiss(1))).await;
    acme.wait_status(&id, "sent").await;
    let upstream_id = upstream.sends().pop().unwrap().id;
    let answer = acme.feedback(&id, &json!({ "outcome": "used" })).await;
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
    eventually("Mitto hears of it", PATIENCE, async || upstream.conversions().contains(&upstream_id).then_some(()))
        .await;

    for outcome in ["expired", "wrong"] {
        let answer = acme.feedback(&id, &json!({ "outcome": outcome })).await;
        assert!((200..300).contains(&answer.status), "{outcome}: {}", answer.text());
    }
    for bad in [json!({ "outcome": "maybe" }), json!({}), json!({ "outcome": 1 }), json!([])] {
        acme.feedback(&id, &bad).await.problem(422, "invalid_request");
    }
    acme.feedback("msg_01890000000070008000000000000000", &json!({ "outcome": "used" }))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn what_nobody_takes_in_time_expires() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::RefuseConnect);
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let mut body = text(&swiss(1));
    body.as_object_mut().unwrap().insert("ttl_s".to_owned(), json!(1));
    let id = acme.accepted(&body).await;
    let message = acme.wait_status(&id, "expired").await;
    assert!(list_of(&message, "attempts").iter().all(|attempt| attempt["outcome"] == "not_sent"), "{message}");

    upstream.behave(Behaviour::Accept);
    let later = acme.accepted(&text(&swiss(2))).await;
    acme.wait_status(&later, "sent").await;
    assert_eq!(upstream.sends_to(&swiss(1)), [], "expired is never sent");
}

#[tokio::test]
async fn a_provider_that_comes_back_in_time_gets_the_message() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::RefuseConnect);
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let id = acme.accepted(&text(&swiss(1))).await;
    acme.wait_status(&id, "sending").await;
    upstream.behave(Behaviour::Accept);
    let message = acme.wait_status(&id, "sent").await;
    let outcomes: Vec<_> = list_of(&message, "attempts").iter().map(|attempt| str_of(attempt, "outcome")).collect();
    assert_eq!(outcomes.last(), Some(&"accepted"), "{outcomes:?}");
    assert!(outcomes.iter().rev().skip(1).all(|outcome| *outcome == "not_sent"), "{outcomes:?}");
    assert_eq!(upstream.sends_to(&swiss(1)).len(), 1);
}

#[tokio::test]
async fn silence_is_unknown_and_a_transactional_message_is_never_sent_twice() {
    let upstream = Mitto::start();
    upstream.behave(Behaviour::HangAfterRead);
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let send = async |caller: &Caller, n: u32, class: &str| {
        caller.accepted(&json!({ "to": swiss(n), "text": "Your code is 482913", "class": class })).await
    };
    let (once, twice) = (send(&acme, 1, "transactional").await, send(&acme, 2, "otp").await);
    let once = acme.wait_status(&once, "unknown").await;
    assert_eq!(str_of(&list_of(&once, "attempts")[0], "outcome"), "unknown");
    let twice = acme.wait_status(&twice, "unknown").await;
    assert_eq!(list_of(&twice, "attempts").len(), 2, "{twice}");
    assert_eq!((upstream.sends_to(&swiss(1)).len(), upstream.sends_to(&swiss(2)).len()), (1, 2));
    let texts: BTreeSet<_> = upstream.sends_to(&swiss(2)).into_iter().map(|send| send.text).collect();
    assert_eq!(texts.len(), 1, "both copies say the same");
}

#[tokio::test]
async fn human_forms_of_a_number_are_one_number() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    for to in ["+41791234567", "0041791234567", "+41 79 123 45 67", "+41 (0)79 123-45-67", "＋４１７９１２３４５６７"]
    {
        let json = acme.send(&json!({ "to": to, "text": "hello there" })).await.expect(202).json();
        assert_eq!(str_of(&json, "to"), "+41791234567", "{to}");
    }
    let mexican = acme.send(&json!({ "to": "+52 1 55 1234 5678", "text": "hello there" })).await.expect(202).json();
    assert_eq!(str_of(&mexican, "to"), "+525512345678");
}

#[tokio::test]
async fn templates_take_variables_and_the_clients_name() {
    let upstream = Mitto::start();
    let builder = Gateway::builder()
        .tenant(Tenant::new("acme").set("name = \"Acme Shop\""))
        .mitto("mitto", &upstream)
        .route("default", "use = [\"mitto\"]")
        .template("otp", "en = \"{{ code }} is your {{ client_name }} code.\"\nfr = \"{{ code }} est votre code {{ client_name }}.\"");
    let gateway = builder.start().await;
    let acme = gateway.acme();
    let body = |to: String, extra: Value| {
        let mut body = json!({ "to": to, "template": "otp", "variables": { "code": "482913" } });
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body
    };
    let cases = [
        (json!({}), "482913 is your Acme Shop code."),
        (json!({ "language": "fr-CA" }), "482913 est votre code Acme Shop."),
        (json!({ "language": "fr_CA", "client_name": "Acme Mobile" }), "482913 est votre code Acme Mobile."),
        (json!({ "language": "xx" }), "482913 is your Acme Shop code."),
    ];
    for ((extra, text), n) in cases.into_iter().zip(1..) {
        acme.accepted(&body(swiss(n), extra)).await;
        let sent = async || upstream.sends_to(&swiss(n)).pop();
        assert_eq!(eventually("it is sent", PATIENCE, sent).await.text, text);
    }
}

#[tokio::test]
async fn the_public_listener_serves_no_operator_paths() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    for path in ["/metrics", "/inbox/v1/messages", "/admin/v1/reload", "/readyz"] {
        gateway.acme().get(path).await.problem(404, "not_found");
    }
    let open = gateway.http().get(format!("{}/inbox/v1/messages", gateway.ops_url())).send().await.unwrap();
    assert_eq!(open.status().as_u16(), 403, "the inbox wants the operator's token");
    let as_tenant =
        gateway.http().get(format!("{}/inbox/v1/messages", gateway.ops_url())).bearer_auth(gateway.acme().key());
    assert_eq!(as_tenant.send().await.unwrap().status().as_u16(), 403, "a tenant's key is not it");
    assert_eq!(gateway.operator().get("/inbox/v1/messages").await.status, 200);
    assert_eq!(gateway.acme().request(Method::DELETE, "/v1/messages").send().await.unwrap().status().as_u16(), 405);
}
