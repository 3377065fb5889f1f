//! Canaries on every path: no code, text, number or credential in logs, metrics, errors or, in clear, on the disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Behaviour, Builder, Gateway, Mitto, OPS_TOKEN, PATIENCE, ReceiptPlan, Tenant, eventually};
use serde_json::{Value, json};

const CODE: &str = "91827364";
const WORDS: &str = "Canary Parrot Lane";
const NUMBER: &str = "+41765432198";
const REFUSED: &str = "+41765432187";
const STRANGER: &str = "sk_live_stranger_canary_5f1e9c77d2";
const INLINE: &str = "inline-canary-secret-3b9a";

fn canaries() -> Vec<String> {
    let own = [CODE, WORDS, "41765432198", "41765432187", STRANGER, INLINE, "callback-secret-of-the-tests"];
    let mut all: Vec<String> = own.map(str::to_owned).into();
    all.extend([Builder::MITTO_KEY, Builder::WEBHOOK_SECRET, OPS_TOKEN].map(str::to_owned));
    all.push(e2e::key_of("acme"));
    all
}

/// The canary as it stands, in hex, in base64 and in UTF-16.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let wide = |bytes: fn(u16) -> [u8; 2]| canary.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let mut hex = String::new();
    canary.bytes().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
    let base64 = STANDARD.encode(canary).trim_end_matches('=').to_owned();
    // The last character may carry bits of what follows.
    let base64 = base64.get(..base64.len() - 1).unwrap().to_owned();
    let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    vec![canary.as_bytes().to_vec(), hex.into_bytes(), base64.into_bytes(), little, big]
}

fn found(canary: &str, bytes: &[u8]) -> bool {
    forms(canary).iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
}

fn search(place: &str, bytes: &[u8]) {
    for canary in canaries() {
        assert!(!found(&canary, bytes), "{canary:?} in {place}");
    }
}

fn text() -> String {
    format!("{WORDS}: your code is {CODE}")
}

/// Every answer that refuses something, with what was sent in it.
async fn refusals(gateway: &Gateway) -> Vec<String> {
    let acme = gateway.acme();
    let mut told = Vec::new();
    let bodies: [Value; 9] = [
        json!({ "to": NUMBER, "text": text(), "sender": "Nobody" }),
        json!({ "to": format!("{NUMBER}0000"), "text": text() }),
        json!({ "to": NUMBER, "text": text(), "template": "otp" }),
        json!({ "to": NUMBER, "template": CODE, "variables": { "code": CODE } }),
        json!({ "to": NUMBER, "template": "named", "variables": { "code": CODE } }),
        json!({ "to": NUMBER, "template": "named", "variables": { "code": CODE, "name": format!("{WORDS} evil.example") } }),
        json!({ "to": { "number": NUMBER }, "text": [text()], "ttl_s": CODE }),
        json!({ "to": NUMBER, "text": text(), "client_id": "other", "metadata": { "k": WORDS.repeat(100) } }),
        json!([NUMBER, text()]),
    ];
    for body in bodies {
        let answer = acme.send(&body).await;
        assert!((400..500).contains(&answer.status), "{}", answer.text());
        told.push(answer.text());
    }
    told.push(
        acme.post_bytes("/v1/messages", "application/json", format!("{{\"to\":\"{NUMBER}\",{CODE}")).await.text(),
    );
    told.push(gateway.caller(STRANGER).send(&json!({ "to": NUMBER, "text": text() })).await.text());
    told.push(
        acme.post_with(&format!("/hooks/auth0/k/{STRANGER}"), &[], &json!({ "recipient": NUMBER, "text": text() }))
            .await
            .text(),
    );
    told.push(acme.get(&format!("/v1/messages?to={}&since={CODE}", NUMBER.replace('+', "%2B"))).await.text());
    let forged = format!("/receipts/mitto/{STRANGER}?ref={CODE}");
    told.push(acme.post_with(&forged, &[], &json!({ "messageId": CODE, "status": WORDS })).await.text());
    told
}

/// The ways in which an upstream may answer.
async fn upstream_moods(gateway: &Gateway, upstream: &Mitto) {
    let (acme, key) = (gateway.acme(), gateway.acme().key().to_owned());
    let moods = [
        Behaviour::Accept,
        Behaviour::RejectContent,
        Behaviour::RejectNumber,
        Behaviour::BadCredentials,
        Behaviour::Garbage,
        Behaviour::ServerError,
        Behaviour::HugeBody,
        Behaviour::ResetAfterRead,
        Behaviour::Accept,
    ];
    for mood in moods {
        upstream.behave(mood);
        let class = "transactional";
        acme.send_and_wait(5, &json!({ "to": NUMBER, "text": text(), "class": class, "language": "fr" })).await;
        let hook = json!({ "recipient": REFUSED, "text": text(), "context": { "message_type": "sms", "code": CODE,
            "language": "en", "user": { "user_id": WORDS }, "webtask": { "secrets": { "KEY": INLINE } } } });
        acme.post_with("/hooks/auth0", &[], &hook).await;
        let mitto = json!({ "to": NUMBER, "from": "acme", "text": text() });
        acme.post_with("/sms.json", &[("x-mitto-api-key", &key)], &mitto).await;
    }
}

#[tokio::test]
async fn nothing_personal_leaks() {
    let upstream = Mitto::start();
    upstream.receipts(Some(ReceiptPlan::delivered(Duration::from_millis(5))));
    assert!(canaries().iter().all(|canary| forms(canary).iter().all(|form| found(canary, form))), "the search finds");
    let tenant = Tenant::new("acme")
        .set("clients = [\"app\"]")
        .set("webhook = { url = \"https://acme.invalid/sms\", secret = { env = \"E2E_WEBHOOK_SECRET\" } }");
    let builder = Gateway::builder().log("trace").tenant(tenant).mitto_with("mitto", &upstream, "timeout = \"500ms\"");
    let builder =
        builder.template("named", "en = \"{{ code }} for {{ name }}\"").template("otp", "en = \"{{ code }} is it\"");
    let mut gateway = builder.route("default", "use = [\"mitto\"]").start().await;

    upstream_moods(&gateway, &upstream).await;
    let accepted = gateway.acme().accepted(&json!({ "to": NUMBER, "text": text(), "reference": "r" })).await;
    gateway.acme().wait_any_status(&accepted, &["sent", "delivered"], PATIENCE).await;
    for (place, told) in refusals(&gateway).await.iter().enumerate() {
        search(&format!("refusal {place}: {told}"), told.as_bytes());
    }
    let good = gateway.config();
    gateway.configure(&format!("{good}\n[providers.leaky]\nkind = \"mitto\"\napi_key = \"{INLINE}\"\n"));
    let refused = gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await;
    search("the answer to a bad reload", refused.text().as_bytes());
    gateway.hup();
    eventually("the refused reload", PATIENCE, async || gateway.logs().contains("E120").then_some(())).await;
    gateway.configure(&good);

    search("/metrics", gateway.metrics().await.text().as_bytes());
    let message = gateway.acme().message(&accepted).await.to_string();
    assert!(!message.contains(CODE) && !message.contains(WORDS), "{message}");
    disk(&gateway, "while it runs");
    gateway.term();
    gateway.ended(PATIENCE).await;
    search("the log", gateway.logs().as_bytes());
    disk(&gateway, "after it ended");
}

fn disk(gateway: &Gateway, when: &str) {
    let folder = gateway.database();
    let folder = folder.parent().unwrap();
    let is_store = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gateway.db"));
    let files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_store(path)).collect();
    assert!(!files.is_empty());
    for file in files {
        search(&format!("{} {when}", file.display()), &fs::read(&file).unwrap());
    }
}
