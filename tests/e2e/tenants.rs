//! Two tenants share a gateway and nothing else; and an Idempotency-Key holds what it promises, whatever happens.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use e2e::{Answer, Caller, Gateway, Mitto, PATIENCE, Tenant, swiss};
use serde_json::{Value, json};
use tokio::task::JoinSet;

async fn gateway(upstream: &Mitto) -> Gateway {
    Gateway::builder()
        .tenant(Tenant::new("acme").set("clients = [\"web\", \"app\"]"))
        .tenant(Tenant::new("globex").set("senders = [\"Globex\"]"))
        .mitto_with("acme_account", upstream, "tenants = [\"acme\"]")
        .mitto("shared", upstream)
        .route("account", "when = { client_id = [\"app\", \"other\"] }\nuse = [\"acme_account\"]")
        .route("default", "use = [\"acme_account\", \"shared\"]")
        .template("exclusive", "en = \"{{ code }} for Acme\"\ntenants = [\"acme\"]")
        .start()
        .await
}

fn body(n: u32) -> Value {
    json!({ "to": swiss(n), "text": "Your code is 482913" })
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body.as_object_mut().expect("an object").insert(name.to_owned(), value);
    body
}

const NOBODYS: &str = "msg_01890000000070008000000000000000";

#[tokio::test]
async fn tenants_cannot_see_each_other() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (acme, globex) = (gateway.acme(), gateway.tenant("globex"));
    let id = acme.accepted(&body(1)).await;
    acme.wait_status(&id, "sent").await;

    let paths = |id: &str| format!("/v1/messages/{id}");
    let foreign = globex.get(&paths(&id)).await;
    let nobodys = globex.get(&paths(NOBODYS)).await;
    let (mut foreign, mut nobodys) = (foreign.problem(404, "not_found"), nobodys.problem(404, "not_found"));
    for problem in [&mut foreign, &mut nobodys] {
        problem.as_object_mut().unwrap().remove("request_id");
    }
    assert_eq!(foreign, nobodys, "whether it exists is nobody's business");
    globex.cancel(&id).await.problem(404, "not_found");
    globex.feedback(&id, &json!({ "outcome": "used" })).await.problem(404, "not_found");
    for query in [vec![], vec![("to", swiss(1))], vec![("status", "sent".to_owned())]] {
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(globex.list(&query).await.expect(200).json()["messages"], json!([]), "{query:?}");
    }
    assert_eq!(acme.list(&[]).await.expect(200).json()["messages"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn the_others_account_sender_client_and_template_are_refused() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (acme, globex) = (gateway.acme(), gateway.tenant("globex"));

    globex.send(&with(body(1), "client_id", json!("other"))).await.problem(422, "no_route");
    let id = globex.accepted(&body(2)).await;
    let message = globex.wait_status(&id, "sent").await;
    assert_eq!((&message["provider"], &message["route"]["candidates"]), (&json!("shared"), &json!(["shared"])));
    let id = acme.accepted(&with(body(3), "client_id", json!("app"))).await;
    assert_eq!(acme.wait_status(&id, "sent").await["provider"], "acme_account");

    globex.send(&with(body(4), "sender", json!("Acme"))).await.problem(422, "sender_not_allowed");
    globex.accepted(&with(body(5), "sender", json!("Globex"))).await;
    acme.send(&with(body(6), "client_id", json!("other"))).await.problem(403, "forbidden_client");
    let template = json!({ "to": swiss(7), "template": "exclusive", "variables": { "code": "482913" } });
    let problem = globex.send(&template).await.problem(422, "unknown_template");
    assert!(!problem.to_string().contains("exclusive"), "not even its name: {problem}");
    acme.accepted(&template).await;
    assert!(upstream.sends_to(&swiss(4)).is_empty() && upstream.sends_to(&swiss(6)).is_empty());
}

#[tokio::test]
async fn idempotent_keys_are_each_tenants_own() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let key = [("idempotency-key", "order-7")];
    let mine = gateway.acme().send_with(&key, &body(1)).await.expect(202);
    let theirs = gateway.tenant("globex").send_with(&key, &body(2)).await.expect(202);
    assert_ne!(mine.message_id(), theirs.message_id());
    assert_eq!((mine.header("idempotent-replayed"), theirs.header("idempotent-replayed")), ("", ""));
}

/// Panics unless the second is the first, byte for byte, and says so.
#[track_caller]
fn replayed(first: &Answer, second: &Answer) {
    assert_eq!((second.status, second.header("idempotent-replayed")), (202, "true"), "{}", second.text());
    assert_eq!(first.body, second.body, "{} and {}", first.text(), second.text());
}

#[tokio::test]
async fn idempotent_replay_is_byte_identical() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let key = [("idempotency-key", "order-7")];
    let first = acme.send_with(&key, &body(1)).await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), "");
    replayed(&first, &acme.send_with(&key, &body(1)).await);
    acme.wait_status(&first.message_id(), "sent").await;
    replayed(&first, &acme.send_with(&key, &body(1)).await);

    gateway.kill9();
    gateway.restart().await;
    let again = acme.send_with(&key, &body(1)).await;
    replayed(&first, &again);
    acme.send_with(&key, &body(2)).await.problem(422, "idempotency_key_reuse");

    // Whatever the configuration says by then.
    let text = gateway
        .config()
        .replace("use = [\"acme_account\", \"shared\"]", "when = { country = \"FR\" }\nuse = [\"shared\"]");
    gateway.configure(&text);
    gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).text();
    acme.send(&body(3)).await.problem(422, "no_route");
    replayed(&first, &acme.send_with(&key, &body(1)).await);
    assert_eq!(upstream.sends_to(&swiss(1)).len(), 1, "one message, however often it was asked for");
}

#[tokio::test]
async fn a_replay_of_a_waiting_caller_is_the_accept_time_answer() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let headers = [("idempotency-key", "order-7"), ("prefer", "wait=10")];
    let first = acme.send_with(&headers, &body(1)).await.expect(200);
    let second = acme.send_with(&headers, &body(1)).await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (202, "true"), "{}", second.text());
    assert_eq!((second.message_id(), second.field("status").as_str()), (first.message_id(), "queued"));
    replayed(&second, &acme.send_with(&[("idempotency-key", "order-7")], &body(1)).await);
}

#[tokio::test]
async fn only_accepted_requests_are_remembered() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let key = [("idempotency-key", "order-7")];
    acme.send_with(&key, &json!({ "to": swiss(1) })).await.problem(422, "invalid_request");
    acme.send_with(&key, &with(body(1), "client_id", json!("nobody"))).await.problem(403, "forbidden_client");
    let accepted = acme.send_with(&key, &body(1)).await.expect(202);
    assert_eq!(accepted.header("idempotent-replayed"), "");
    acme.send_with(&key, &json!({ "to": swiss(1) })).await.problem(422, "idempotency_key_reuse");
    let misspelt = with(body(1), "txet", json!("hello"));
    acme.send_with(&key, &misspelt).await.problem(422, "idempotency_key_reuse");
    replayed(&accepted, &acme.send_with(&key, &body(1)).await);
}

#[tokio::test]
async fn the_same_json_in_another_order_is_the_same_request() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let send = async |caller: &Caller, text: String| {
        let request = caller.request(reqwest::Method::POST, "/v1/messages");
        let request =
            request.header("idempotency-key", "order-7").header("content-type", "application/json").body(text);
        Answer::to(request).await.expect("an answer")
    };
    let first = send(&acme, format!("{{\"to\":\"{}\",\"text\":\"hello there\"}}", swiss(1))).await.expect(202);
    let second = send(&acme, format!("{{ \"text\": \"hello there\",\n \"to\": \"{}\" }}", swiss(1))).await;
    replayed(&first, &second);
}

#[tokio::test]
async fn fifty_parallel_twins_make_one_message() {
    let upstream = Mitto::start();
    let mut gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let mut twins = JoinSet::new();
    for _ in 0..50 {
        let acme = acme.clone();
        twins.spawn(async move { acme.send_with(&[("idempotency-key", "order-7")], &body(1)).await });
    }
    let answers = twins.join_all().await;
    let taken: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert!(!taken.is_empty());
    for answer in &answers {
        if answer.status == 202 {
            assert_eq!(answer.body, taken.first().unwrap().body);
        } else {
            answer.problem(409, "idempotency_in_flight");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
    }
    assert_eq!(taken.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).count(), 1);
    acme.wait_status(&taken.first().unwrap().message_id(), "sent").await;
    assert_eq!(upstream.sends_to(&swiss(1)).len(), 1);

    gateway.kill9();
    gateway.restart().await;
    replayed(taken.first().unwrap(), &acme.send_with(&[("idempotency-key", "order-7")], &body(1)).await);
    assert!(upstream.wait_for_sends(1, PATIENCE).await && upstream.sends_to(&swiss(1)).len() == 1);
}
