//! What is refused: each with a problem that says what is wrong and how to repair it, nothing written, nothing sent, and
//! no secret, number or text echoed.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use e2e::{Answer, Caller, Gateway, Mitto, PATIENCE, Tenant, swiss};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TEXT: &str = "Your canary code is 482913";
const TO: &str = "+41791112233";

/// Pieces of what was sent that no answer and no log line may hold.
const SECRETS: [&str; 5] = ["482913", "canary", "1791112233", "79 111 22 33", "5up3rs3cr3tk3y"];

async fn gateway(upstream: &Mitto) -> Gateway {
    Gateway::builder()
        .tenant(Tenant::new("acme").set("clients = [\"web\"]"))
        .mitto("mitto", upstream)
        .route("default", "use = [\"mitto\"]")
        .template("otp", "en = \"{{ code }} is your {{ client_name }} code.\"")
        .template("order", "en = \"Order {{ number }} is ready, {{ user.name }}.\"")
        .toml("[countries]\nblock = [\"KP\"]\n")
        .log("trace")
        .start()
        .await
}

/// Nothing was stored or sent, and nothing secret was said.
async fn nothing_happened(gateway: &Gateway, upstream: &Mitto, caller: &Caller) {
    let page = caller.list(&[]).await.expect(200).json();
    let kept =
        page["messages"].as_array().expect("messages").iter().filter(|message| message["status"] != "blocked").count();
    assert_eq!(kept, 0, "{page}");
    assert_eq!(upstream.wire_requests(), 0);
    let accepted = gateway.metrics().await.count("gateway_messages_accepted_total", &[]);
    assert!(accepted.abs() < f64::EPSILON, "{accepted} accepted");
    silent(&gateway.logs(), "the log");
}

#[track_caller]
fn silent(text: &str, place: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} stands in {place}: {text}");
    }
}

#[track_caller]
fn refused(name: &str, answer: &Answer, status: u16, code: &str) -> Value {
    eprintln!("{name}: {} {}", answer.status, answer.text());
    let problem = answer.problem(status, code);
    silent(&answer.text(), name);
    problem
}

#[tokio::test]
async fn bodies_that_are_no_json_are_400() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let deep = format!("{}1{}", "{\"a\":".repeat(64), "}".repeat(64));
    let deep_list = format!("{{\"to\":\"{TO}\",\"metadata\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let whole = json!({ "to": TO, "text": TEXT }).to_string();
    let cut = whole.strip_suffix('}').unwrap().to_owned();
    let cases: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("no JSON", b"to=%2B41791112233&text=482913".to_vec()),
        ("cut off", cut.into_bytes()),
        ("something behind", format!("{whole} {whole}").into_bytes()),
        ("single quotes", format!("{{'to':'{TO}'}}").into_bytes()),
        ("a trailing comma", format!("{{\"to\":\"{TO}\",}}").into_bytes()),
        ("no UTF-8", b"{\"to\":\"+41791112233\",\"text\":\"\xff\xfe482913\"}".to_vec()),
        ("64 levels", deep.into_bytes()),
        ("5000 levels", deep_list.into_bytes()),
    ];
    for (name, body) in cases {
        let answer = acme.post_bytes("/v1/messages", "application/json", body).await;
        refused(name, &answer, 400, "invalid_json");
    }
    nothing_happened(&gateway, &upstream, &acme).await;
}

/// What is sent, and which code and field the problem must name; no field where the whole request is meant.
fn wrong_contents() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let invalid = |name: &'static str, body: Value, field: &'static str| (name, body, "invalid_request", field);
    vec![
        invalid("a list", json!([TO, TEXT]), ""),
        invalid("a text", json!(TEXT), ""),
        invalid("nothing", json!(null), ""),
        invalid("no text", json!({ "to": TO }), "text"),
        invalid("empty text", json!({ "to": TO, "text": "" }), "text"),
        invalid("blank text", json!({ "to": TO, "text": " \n\t " }), "text"),
        invalid("too long text", json!({ "to": TO, "text": "482913 ".repeat(400) }), "text"),
        invalid("text and template", json!({ "to": TO, "text": TEXT, "template": "otp" }), "template"),
        invalid("unknown field", json!({ "to": TO, "text": TEXT, "txet": 1 }), "txet"),
        invalid("unknown channel", json!({ "to": TO, "text": TEXT, "channel": "pigeon" }), "channel"),
        invalid("unknown class", json!({ "to": TO, "text": TEXT, "class": "marketing" }), "class"),
        invalid("too long ttl", json!({ "to": TO, "text": TEXT, "ttl_s": 601 }), "ttl_s"),
        invalid("no ttl", json!({ "to": TO, "text": TEXT, "ttl_s": 0 }), "ttl_s"),
        invalid("negative ttl", json!({ "to": TO, "text": TEXT, "ttl_s": -5 }), "ttl_s"),
        invalid("fractional ttl", json!({ "to": TO, "text": TEXT, "ttl_s": 1.5 }), "ttl_s"),
        invalid(
            "too much metadata",
            json!({ "to": TO, "text": TEXT, "metadata": { "k": "x".repeat(1_100) } }),
            "metadata",
        ),
        invalid(
            "callback to a file",
            json!({ "to": TO, "text": TEXT, "callback_url": "file:///etc/passwd" }),
            "callback_url",
        ),
        invalid("a bad address", json!({ "to": TO, "text": TEXT, "end_user": { "ip": "1.2.3" } }), "end_user.ip"),
        invalid("unknown field within", json!({ "to": TO, "text": TEXT, "end_user": { "age": 5 } }), "end_user.age"),
        invalid(
            "a list variable",
            json!({ "to": TO, "template": "otp", "variables": { "code": [1] } }),
            "variables.code",
        ),
        ("unknown template", json!({ "to": TO, "template": "canary-482913" }), "unknown_template", "template"),
        ("missing variable", json!({ "to": TO, "template": "otp" }), "unknown_variable", "variables.code"),
        ("foreign sender", json!({ "to": TO, "text": TEXT, "sender": "Bank" }), "sender_not_allowed", "sender"),
        ("voice", json!({ "to": TO, "text": TEXT, "channel": "voice" }), "channel_not_supported", ""),
    ]
}

/// The fields that a problem names.
fn fields_of(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    for error in &errors {
        let told = |key: &&str| error[*key].as_str().is_some_and(|text| !text.is_empty());
        assert!(["code", "detail", "fix"].iter().all(told), "{error}");
    }
    errors.iter().filter_map(|error| error["field"].as_str()).map(str::to_owned).collect()
}

#[tokio::test]
async fn wrong_content_is_422_with_its_field() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    for (name, body, code, field) in wrong_contents() {
        let problem = refused(name, &acme.send(&body).await, 422, code);
        let fields = fields_of(&problem);
        assert!(
            field.is_empty() || fields.iter().any(|found| found == field),
            "{name}: {field} is not among {fields:?}"
        );
    }
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn wrong_types_are_422_with_their_field() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let typed = [
        "text",
        "template",
        "client_id",
        "client_name",
        "language",
        "action",
        "class",
        "channel",
        "sender",
        "reference",
    ];
    for field in typed.into_iter().chain(["to", "ttl_s", "metadata", "variables", "end_user", "callback_url"]) {
        let mut body = json!({ "to": TO, "text": TEXT });
        body.as_object_mut().unwrap().insert(field.to_owned(), json!([482_913]));
        let answer = acme.send(&body).await;
        let problem = refused(field, &answer, 422, "invalid_request");
        assert!(fields_of(&problem).contains(&field.to_owned()), "{field}: {problem}");
    }
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn numbers_of_every_wrong_kind_are_invalid_recipients() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let long = format!("+41{}", "1".repeat(5_000));
    let numbers = [
        ("empty", ""),
        ("blank", "   "),
        ("letters", "canary"),
        ("a plus", "+"),
        ("a country alone", "+41"),
        ("too short", "+4179111223"),
        ("too long", "+417911122334"),
        ("far too long", &long),
        ("no such country", "+999791112233"),
        ("national without a country", "0791112233"),
        ("an emergency number", "112"),
        ("a short code", "+4122333"),
        ("premium rate", "+41900123456"),
        ("toll-free", "+41800123456"),
        ("two numbers", "+41791112233,+41791112234"),
        ("an address", "canary@482913.example"),
        ("a null byte", "+4179111\u{0}2233"),
        ("markup", "<b>+41791112233</b>"),
    ];
    for (name, to) in numbers {
        refused(name, &acme.send(&json!({ "to": to, "text": TEXT })).await, 422, "invalid_recipient");
    }
    let missing = acme.send(&json!({ "text": TEXT })).await;
    assert_eq!(missing.status, 422);
    refused("missing", &missing, 422, missing.json()["code"].as_str().unwrap());
    for to in [json!(41_791_112_233_u64), json!(true), json!({ "number": TO }), json!([TO])] {
        let answer = acme.send(&json!({ "to": to, "text": TEXT })).await;
        refused("no text", &answer, 422, answer.json()["code"].as_str().unwrap());
    }
    refused("a test number", &acme.send(&json!({ "to": "+447700900000", "text": TEXT })).await, 422, "test_number");
    refused(
        "a blocked country",
        &acme.send(&json!({ "to": "+8501912345678", "text": TEXT })).await,
        403,
        "country_not_allowed",
    );
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn all_mistakes_are_told_at_once() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let body = json!({ "to": "0791112233", "text": "", "ttl_s": 9_999, "sender": "Bank", "metadata": { "k": "x".repeat(2_000) } });
    let problem = refused("five at once", &acme.send(&body).await, 422, "invalid_recipient");
    let mut fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().filter_map(|error| error["field"].as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["metadata", "sender", "text", "to", "ttl_s"]);

    let body = json!({ "to": 5, "txet": TEXT, "ttl_s": "5", "end_user": [] });
    let answer = acme.send(&body).await;
    let problem = refused("wrong types", &answer, 422, answer.json()["code"].as_str().unwrap());
    assert!(problem["errors"].as_array().unwrap().len() >= 4, "{problem}");
    assert!(problem.to_string().contains("Did you mean `text`?"), "{problem}");
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn forbidden_clients_are_403() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let body = json!({ "to": TO, "text": TEXT, "client_id": "canary-482913" });
    refused("a foreign client", &acme.send(&body).await, 403, "forbidden_client");
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_said() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let body = json!({ "to": TO, "text": TEXT });
    let with = async |name: &str, value: &str| {
        let request = gateway.http().post(format!("{}/v1/messages", gateway.url())).json(&body);
        let request = if name.is_empty() { request } else { request.header(name, value) };
        Answer::to(request).await.unwrap()
    };
    let basic = "Basic YWNtZTo1dXAzcnMzY3IzdGszeTAxMjM0NTY3ODk=";
    let reversed: String = acme.key().chars().rev().collect();
    let cases = [
        ("no key", "", String::new()),
        ("basic", "authorization", basic.to_owned()),
        ("an empty key", "authorization", "Bearer ".to_owned()),
        ("a short key", "authorization", "Bearer short".to_owned()),
        ("a wrong key", "authorization", format!("Bearer {reversed}")),
        ("one letter more", "authorization", format!("Bearer {}x", acme.key())),
        ("Mitto's header", "x-mitto-api-key", acme.key().to_owned()),
    ];
    for (name, header, value) in cases {
        let answer = with(header, &value).await;
        let problem = refused(name, &answer, 401, "unauthorized");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{name}");
        assert!(problem.get("errors").is_none(), "the body is not judged before the key: {problem}");
    }
    let unreadable = gateway.http().post(format!("{}/v1/messages", gateway.url())).body("no JSON");
    refused("no key, no JSON", &Answer::to(unreadable).await.unwrap(), 401, "unauthorized");
    let get = gateway.http().get(format!("{}/v1/messages/msg_01890000000070008000000000000000", gateway.url()));
    refused("reading", &Answer::to(get).await.unwrap(), 401, "unauthorized");
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn whoever_tries_keys_is_paused_and_a_valid_key_never() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let mut statuses = Vec::new();
    for n in 0..12 {
        let stranger = gateway.caller(&format!("sk_live_acme_guess{n:020}"));
        statuses.push(stranger.list(&[]).await);
    }
    assert!(statuses.iter().take(10).all(|answer| answer.status == 401));
    let last = statuses.last().unwrap();
    refused("the twelfth guess", last, 429, "too_many_attempts");
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    gateway.acme().list(&[]).await.expect(200).json();
}

#[tokio::test]
async fn too_large_is_413_and_too_long_a_head_is_431() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let large = json!({ "to": TO, "text": TEXT, "reference": "x".repeat(70_000) });
    refused("announced", &acme.send(&large).await, 413, "body_too_large");

    // Chunked: no length is announced.
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", acme.key());
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000)).repeat(16);
    let told =
        raw(&gateway, &format!("{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"))
            .await;
    assert!(told.starts_with("HTTP/1.1 413 ") && told.contains("body_too_large"), "{told}");

    let told =
        raw(&gateway, &format!("GET /v1/messages HTTP/1.1\r\nhost: x\r\nx-filler: {}\r\n\r\n", "y".repeat(20_000)))
            .await;
    assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    nothing_happened(&gateway, &upstream, &acme).await;
}

/// Sends bytes as they are and reads until the gateway has nothing more to say.
async fn raw(gateway: &Gateway, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway.listen()).await.expect("a connection");
    let mut answer = Vec::new();
    let talk = async {
        // The gateway may hang up while we still write; what it said counts.
        drop(stream.write_all(request.as_bytes()).await);
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if answer.ends_with(b"}") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("an answer in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn wrong_paths_methods_and_ids_are_told() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    for path in ["/", "/v1", "/v1/message", "/v2/messages", "/hooks/unknown", "/v1/messages/../../etc/passwd"] {
        refused(path, &acme.get(path).await, 404, "not_found");
    }
    for id in ["msg_01890000000070008000000000000000", "msg_x", "nonsense", "%00", "..", &"m".repeat(3_000)] {
        refused("no such id", &acme.get(&format!("/v1/messages/{id}")).await, 404, "not_found");
    }
    let methods = [
        (Method::PUT, "/v1/messages"),
        (Method::DELETE, "/v1/messages"),
        (Method::POST, "/v1/messages/msg_01890000000070008000000000000000"),
        (Method::GET, "/v1/messages/msg_01890000000070008000000000000000/cancel"),
        (Method::GET, "/hooks/auth0"),
        (Method::PATCH, "/sms.json"),
    ];
    for (method, path) in methods {
        let answer = Answer::to(acme.request(method.clone(), path)).await.unwrap();
        refused(path, &answer, 405, "method_not_allowed");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn bad_headers_are_told() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let body = json!({ "to": TO, "text": TEXT });
    let long = "k".repeat(1_000);
    let cases = [("idempotency-key", long.as_str()), ("idempotency-key", ""), ("idempotency-key", "sch\u{fc}ssel")];
    for (header, value) in cases {
        let answer = acme.send_with(&[(header, value)], &body).await;
        refused(&format!("{header}: {value}"), &answer, 422, "invalid_request");
    }
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn a_preference_that_is_not_understood_is_ignored() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    for (value, n) in
        ["wait=soon", "wait=-1", "wait=", "wait=0", "respond-async, handling=lenient"].into_iter().zip(1..)
    {
        let body = json!({ "to": swiss(n), "text": "hello there" });
        let answer = gateway.acme().send_with(&[("prefer", value)], &body).await.expect(202);
        assert_eq!(answer.field("status"), "queued", "{value}");
    }
}

#[tokio::test]
async fn bad_queries_are_told() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let cases = [
        ("limit", "0"),
        ("limit", "many"),
        ("limit", "-1"),
        ("cursor", "nonsense"),
        ("status", "gone"),
        ("since", "yesterday"),
        ("until", "2026-13-45"),
        ("to", "canary"),
    ];
    for (field, value) in cases {
        let answer = acme.list(&[(field, value)]).await;
        assert_eq!(answer.status, 422, "{field}={value}: {}", answer.text());
        refused(field, &answer, 422, answer.json()["code"].as_str().unwrap());
    }
}

#[tokio::test]
async fn hooks_and_receipts_refuse_as_plainly() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    let post = async |path: &str, body: &str| acme.post_bytes(path, "application/json", body.to_owned()).await;
    for path in ["/hooks/auth0", "/hooks/auth0/passwordless"] {
        refused(path, &post(path, "no JSON 482913").await, 400, "invalid_json");
        let answer = post(path, "{}").await;
        assert_eq!(answer.status, 422, "{path}: {}", answer.text());
        silent(&answer.text(), path);
        let keyless = gateway
            .http()
            .post(format!("{}{path}", gateway.url()))
            .body(json!({ "recipient": TO, "text": TEXT }).to_string());
        refused(path, &Answer::to(keyless).await.unwrap(), 401, "unauthorized");
    }
    let in_path = format!("{}/hooks/auth0/k/sk_live_acme_wrong000000000000000000", gateway.url());
    let wrong_key = gateway.http().post(in_path).body(json!({ "recipient": TO, "text": TEXT }).to_string());
    refused("a wrong key in the path", &Answer::to(wrong_key).await.unwrap(), 401, "unauthorized");
    for path in ["/receipts/mitto/wrong", "/receipts/nobody/wrong", "/receipts/mitto"] {
        let answer = post(path, &json!({ "messageId": "x", "status": "Delivered" }).to_string()).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        silent(&answer.text(), path);
    }
    nothing_happened(&gateway, &upstream, &acme).await;
}

#[tokio::test]
async fn a_refused_request_leaves_the_next_one_alone() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let acme = gateway.acme();
    acme.send(&json!({ "to": TO })).await.problem(422, "invalid_request");
    let id = acme.accepted(&json!({ "to": swiss(1), "text": "hello there" })).await;
    acme.wait_status(&id, "sent").await;
    assert_eq!(upstream.sends().len(), 1);
}
