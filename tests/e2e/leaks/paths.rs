//! The ways in: each takes canaries along, and what was answered is brought back.

use std::collections::BTreeSet;

use e2e::{Answer, Behaviour, Caller, Gateway, Mitto};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::canaries::{
    BROWSER, CODE, EMAIL, INLINE, IP, KEY, METADATA, NATIVE, PASSWORDLESS, REFERENCE, STRANGER, USER, WORDS, number,
};

/// An answer and where it came from.
pub(crate) struct Told {
    pub(crate) place: String,
    pub(crate) answer: Answer,
}

pub(crate) fn text() -> String {
    format!("{WORDS}: your code is {CODE}")
}

/// A request that is accepted.
pub(crate) fn good(to: &str) -> Value {
    json!({
        "to": to, "text": text(), "client_id": "app", "reference": REFERENCE,
        "metadata": { "k": METADATA }, "end_user": { "ip": IP, "id": USER, "user_agent": BROWSER },
    })
}

fn hook(to: &str) -> Value {
    json!({
        "recipient": to, "text": text(),
        "context": {
            "message_type": "sms", "action": "second-factor-authentication", "language": "en", "code": CODE, "ip": IP,
            "user_agent": BROWSER, "client": { "client_id": "app", "name": WORDS, "client_metadata": { "k": METADATA } },
            "user": { "user_id": USER, "name": WORDS, "email": EMAIL },
        },
        "webtask": { "secrets": { "KEY": INLINE } },
    })
}

async fn told(place: &str, request: RequestBuilder) -> Told {
    let answer = Answer::to(request).await.unwrap_or_else(|error| panic!("no answer to {place}: {error:?}"));
    Told { place: place.to_owned(), answer }
}

/// Every surface, once for each way in which an upstream may answer, all at once.
pub(crate) async fn moods(gateway: &Gateway, upstream: &Mitto) -> Vec<Told> {
    let (acme, mut running) = (gateway.acme(), JoinSet::new());
    for (mood, block) in Behaviour::ALL.into_iter().zip(1..) {
        let [native, hooked, compatible] = [0, 1, 2].map(|nth| number(block, nth));
        for number in [&native, &hooked, &compatible] {
            upstream.behave_for(number, mood);
        }
        let native = acme.request(Method::POST, "/v1/messages").json(&good(&native)).header("prefer", "wait=2");
        let hooked = acme.request(Method::POST, "/hooks/auth0").json(&hook(&hooked));
        let compatible = json!({ "to": compatible, "from": "Acme", "text": text(), "reference": REFERENCE });
        let compatible = with_mitto_key(gateway, Method::POST, "/sms.json").json(&compatible);
        for (place, request) in [("native", native), ("hook", hooked), ("compatible", compatible)] {
            running.spawn(async move { told(&format!("{place}, {mood:?}"), request).await });
        }
    }
    let told = running.join_all().await;
    let met: BTreeSet<Behaviour> = upstream.sends().into_iter().map(|send| send.behaviour).collect();
    assert_eq!(met, BTreeSet::from(Behaviour::ALL), "every behaviour was met");
    told
}

fn with_mitto_key(gateway: &Gateway, method: Method, path: &str) -> RequestBuilder {
    let request = gateway.http().request(method, format!("{}{path}", gateway.url()));
    request.header("x-mitto-api-key", gateway.acme().key())
}

/// Requests with a valid key that are refused.
pub(crate) async fn mistakes(acme: &Caller) -> Vec<Told> {
    let mut all = Vec::new();
    let bodies: [(&str, Value); 13] = [
        ("sender", json!({ "to": NATIVE, "text": text(), "sender": WORDS })),
        ("number", json!({ "to": format!("{NATIVE}0000"), "text": text() })),
        ("no number", json!({ "to": format!("{NATIVE} {WORDS}"), "text": text() })),
        ("both", json!({ "to": NATIVE, "text": text(), "template": "otp" })),
        ("template", json!({ "to": NATIVE, "template": CODE, "variables": { "code": CODE } })),
        ("variable", json!({ "to": NATIVE, "template": "named", "variables": { "code": CODE } })),
        (
            "link",
            json!({ "to": NATIVE, "template": "named", "variables": { "code": CODE, "name": format!("{WORDS} evil.example") } }),
        ),
        (
            "types",
            json!({ "to": { "number": NATIVE }, "text": [text()], "ttl_s": CODE, "class": WORDS, "channel": CODE }),
        ),
        (
            "client",
            json!({ "to": NATIVE, "text": text(), "client_id": WORDS, "metadata": { "k": METADATA.repeat(100) } }),
        ),
        ("long", json!({ "to": NATIVE, "text": text().repeat(60), "reference": REFERENCE.repeat(20) })),
        ("unknown", json!({ "to": NATIVE, "text": text(), CODE: WORDS, EMAIL: USER })),
        (
            "callback",
            json!({ "to": NATIVE, "text": text(), "callback_url": format!("https://{WORDS}:{CODE}@x.example") }),
        ),
        ("list", json!([NATIVE, text()])),
    ];
    for (place, body) in bodies {
        all.push(told(place, acme.request(Method::POST, "/v1/messages").json(&body)).await);
    }
    let raw: [(&str, Vec<u8>); 5] = [
        ("cut off", format!("{{\"to\":\"{NATIVE}\",{CODE}").into_bytes()),
        ("no UTF-8", [b"{\"to\":\"".as_slice(), NATIVE.as_bytes(), b"\xff\xfe", CODE.as_bytes()].concat()),
        ("too large", text().repeat(1_800).into_bytes()),
        ("too deep", format!("{}\"{CODE}\"", "[".repeat(40)).into_bytes()),
        ("twice", format!("{{\"to\":\"{NATIVE}\",\"to\":\"{CODE}\",\"text\":\"{}\"}}", text()).into_bytes()),
    ];
    for (place, body) in raw {
        for path in ["/v1/messages", "/hooks/auth0", "/hooks/auth0/passwordless"] {
            all.push(told(place, acme.request(Method::POST, path).body(body.clone())).await);
        }
    }
    let reused = |body: &Value| acme.request(Method::POST, "/v1/messages").header("idempotency-key", KEY).json(body);
    all.push(told("key use", reused(&good(NATIVE))).await);
    all.push(told("key reuse", reused(&json!({ "to": NATIVE, "text": CODE }))).await);
    for (place, path) in [
        ("path", format!("/{WORDS}/{CODE}")),
        ("id", format!("/v1/messages/{CODE}")),
        ("query", format!("/v1/messages?since={CODE}&status={WORDS}&limit={KEY}&cursor={REFERENCE}")),
        ("number in the query", format!("/v1/messages?to=%2B41{CODE}000000&email={EMAIL}")),
    ] {
        all.push(told(place, acme.request(Method::GET, &path)).await);
    }
    all.push(told("method", acme.request(Method::PUT, &format!("/v1/messages?code={CODE}")).body(text())).await);
    let feedback = acme.request(Method::POST, "/v1/messages/msg_01a20c15f4fe7596a7ad16b219046897/feedback");
    all.push(told("feedback", feedback.json(&json!({ "outcome": CODE }))).await);
    all
}

/// Requests without a valid key, in every place where one may stand.
pub(crate) async fn strangers(gateway: &Gateway, callback: &str) -> Vec<Told> {
    let at = |method, path: String| gateway.http().request(method, format!("{}{path}", gateway.url()));
    let post = |path: String| at(Method::POST, path).json(&hook(NATIVE));
    let key = gateway.acme().key().to_owned();
    let ops = |path: &str| gateway.http().get(format!("{}{path}", gateway.ops_url())).query(&[("to", NATIVE)]);
    let forged_token = format!("eyJhbGciOiJIUzI1NiJ9.{}.{CODE}", WORDS.replace(' ', "_"));
    let junk = json!({ "messageId": CODE, "status": WORDS, "to": NATIVE, "text": text(), "errorcode": EMAIL });
    // A word for the status and an id are the provider's own and kept as they are; nothing else is.
    let odd = json!({ "messageId": "an-id", "status": "Odd", "to": NATIVE, "text": text(), "email": EMAIL });
    let junk_query = [("messageId", CODE), ("status", WORDS), ("to", NATIVE)];
    let requests = [
        ("bearer", at(Method::POST, "/v1/messages".to_owned()).bearer_auth(STRANGER).json(&good(NATIVE))),
        ("basic", at(Method::POST, "/v1/messages".to_owned()).basic_auth("acme", Some(STRANGER)).json(&good(NATIVE))),
        ("valid key as basic", post("/v1/messages".to_owned()).basic_auth("acme", Some(&key))),
        ("valid key in the query", post(format!("/v1/messages?key={key}&api_key={key}"))),
        ("valid key, odd path", post(format!("/hooks/nobody/k/{key}"))),
        ("valid key, odd body", at(Method::POST, format!("/hooks/auth0/k/{key}")).body(text())),
        ("key in the path", post(format!("/hooks/auth0/k/{STRANGER}"))),
        ("passwordless key in the path", post(format!("/hooks/auth0/passwordless/k/{STRANGER}"))),
        ("passwordless token", post("/hooks/auth0/passwordless".to_owned()).bearer_auth(forged_token)),
        ("passwordless secret", post("/hooks/auth0/passwordless".to_owned()).bearer_auth(PASSWORDLESS)),
        ("compatible", post("/sms.json".to_owned()).header("x-mitto-api-key", STRANGER)),
        (
            "compatible, sender",
            with_mitto_key(gateway, Method::GET, "/sms").query(&[("to", NATIVE), ("text", &text()), ("from", WORDS)]),
        ),
        ("compatible, number", with_mitto_key(gateway, Method::GET, "/sms").query(&[("to", CODE), ("text", &text())])),
        ("compatible, body", with_mitto_key(gateway, Method::POST, "/sms.json").body(text())),
        (
            "bulk",
            with_mitto_key(gateway, Method::POST, "/smsbulk")
                .json(&json!({ "to": format!("{CODE},x"), "text": text() })),
        ),
        ("forged receipt", at(Method::POST, format!("/receipts/mitto/{STRANGER}?ref={CODE}")).json(&junk)),
        ("receipt of nobody", at(Method::GET, format!("/receipts/{CODE}/{STRANGER}")).query(&junk_query)),
        ("junk as receipt", gateway.http().post(callback).body(text())),
        ("odd receipt", gateway.http().post(callback).json(&odd)),
        (
            "odd receipt, query",
            gateway.http().get(callback).query(&[("status", "Odd"), ("to", NATIVE), ("text", &text())]),
        ),
        ("inbox", ops("/inbox/v1/code").bearer_auth(STRANGER)),
        ("inbox without a message", ops("/inbox/v1/code").query(&[("wait", "0s")]).bearer_auth(e2e::OPS_TOKEN)),
        (
            "odd behaviour",
            gateway.operator().request(Method::PUT, &format!("/inbox/v1/behaviours/{CODE}")).json(&hook(NATIVE)),
        ),
        ("odd ops path", ops(&format!("/{WORDS}/{CODE}")).bearer_auth(STRANGER)),
        (
            "reload",
            gateway
                .http()
                .post(format!("{}/admin/v1/reload", gateway.ops_url()))
                .bearer_auth(STRANGER)
                .json(&hook(NATIVE)),
        ),
    ];
    let mut all = Vec::new();
    for (place, request) in requests {
        all.push(told(place, request).await);
    }
    all
}
