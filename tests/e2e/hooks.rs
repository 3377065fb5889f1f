//! Auth0 in all its shapes: what its hook, both Actions, its sample code and its passwordless connection send.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::{Answer, Behaviour, Gateway, Mitto, MittoSend, Tenant, swiss};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const TEMPLATES: &str = r#"
[templates.otp]
autofill_domain = "acme.example"
en = "{{ code }} is your {{ client_name }} code."
fr = "{{ code }} est votre code {{ client_name }}."
[templates.otp.client.ios_app]
en = "<#> {{ code }} is your code."

[templates.welcome]
en = "Welcome {{ user.given_name | default('') }}, {{ code }} is your {{ client_name }} code."
"#;

const SECRET: &str = "secret-of-the-passwordless-connection";

async fn gateway(upstream: &Mitto) -> Gateway {
    let passwordless = "passwordless = { secret = { env = \"E2E_PASSWORDLESS\" }, subject = \"urn:Auth0\", audience = \"urn:sms-gateway\" }";
    Gateway::builder()
        .tenant(Tenant::new("acme").set("name = \"Acme\"").set("template = \"otp\"").set(passwordless))
        .env("E2E_PASSWORDLESS", SECRET)
        .mitto_with("mitto", upstream, "timeout = \"1s\"")
        .route(
            "enrolment",
            "when = { action = [\"enrollment\", \"otp_enroll\"] }\nuse = [\"mitto\"]\ntemplate = \"welcome\"",
        )
        .route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"")
        .limit("per_recipient", "per = [\"tenant\", \"recipient\"]\nallow = [\"3/h\"]")
        .toml(TEMPLATES)
        .start()
        .await
}

/// The hook's body with the client nested, as Auth0's runtime passes it on.
fn hook(to: &str, code: &str) -> Value {
    json!({
        "recipient": to,
        "text": format!("{code} is your verification code"),
        "context": {
            "message_type": "sms", "action": "second-factor-authentication", "language": "en", "code": code,
            "ip": "192.0.2.7", "user_agent": "Mozilla/5.0", "factor_type": "second",
            "client": { "client_id": "web", "name": "Acme Web", "client_metadata": { "tier": "gold" } },
            "user": { "user_id": "auth0|test12345", "name": "Ann", "email": "ann@acme.example" },
        },
    })
}

/// The event of the Action `send-phone-message`.
fn send_phone_message(to: &str, code: &str) -> Value {
    json!({
        "client": { "client_id": "ios_app", "name": "Acme iOS", "metadata": {} },
        "message_options": { "action": "second-factor-authentication", "code": code, "message_type": "sms", "recipient": to,
                             "text": format!("{code} is your verification code") },
        "request": { "ip": "192.0.2.7", "method": "POST", "language": "en-US,en;q=0.9", "user_agent": "Mozilla/5.0",
                     "geoip": { "countryCode": "CH" } },
        "tenant": { "id": "acme-eu" },
        "user": { "user_id": "auth0|test12345", "app_metadata": {}, "user_metadata": {} },
    })
}

/// The event of the Action `custom-phone-provider`.
fn custom_phone_provider(to: &str, code: &str) -> Value {
    json!({
        "notification": { "from": "Elsewhere", "locale": "fr_CA", "message_type": "otp_verify", "recipient": to,
                          "delivery_method": "text", "code": code, "as_text": format!("{code} is your code"), "as_voice": "x" },
        "client": { "client_id": "web", "name": "Acme Web", "metadata": {} },
        "user": { "user_id": "auth0|test12345", "phone_number": to, "phone_verified": false },
        "tenant": { "id": "acme-eu", "friendly_name": "Acme" },
        "request": { "ip": "192.0.2.7", "geoip": { "latitude": "47.1", "countryCode": "CH" } },
    })
}

/// What Auth0's own sample Action posts.
fn sample(to: &str, code: &str) -> Value {
    json!({ "from": "Acme", "action": "second-factor-authenticator", "language": "fr", "recipient": to, "message_type": "text",
            "text": format!("{code} est votre code"), "code": code })
}

/// The seed's flat names.
fn flat(mut body: Value) -> Value {
    let context = body["context"].as_object_mut().expect("a context");
    context.remove("client");
    context.extend([("client_id".to_owned(), json!("web")), ("name".to_owned(), json!("Acme Web"))]);
    context.insert("client_metadata".to_owned(), json!({ "tier": "gold" }));
    body
}

async fn post(gateway: &Gateway, path: &str, content_type: Option<&str>, body: &Value) -> Answer {
    let request = gateway.http().post(format!("{}{path}", gateway.url())).bearer_auth(gateway.acme().key());
    let request = content_type.into_iter().fold(request, |request, kind| request.header("content-type", kind));
    Answer::to(request.body(body.to_string())).await.expect("an answer")
}

async fn auth0(gateway: &Gateway, body: &Value) -> Answer {
    post(gateway, "/hooks/auth0", Some("application/json"), body).await
}

/// Panics unless it is the answer for a message that a provider took; returns what it took.
#[track_caller]
fn taken(answer: &Answer, upstream: &Mitto, to: &str) -> MittoSend {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{}", answer.text());
    assert_eq!(answer.field("status"), "sent", "{}", answer.text());
    answer.message_id();
    upstream.sends_to(to).pop().expect("the upstream has it")
}

#[tokio::test]
async fn all_shapes_with_any_content_type_are_understood() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let web = "482913 is your Acme Web code.\n\n@acme.example #482913";
    let cases: [(&str, Option<&str>, Value, &str); 6] = [
        ("hook", Some("application/json"), hook(&swiss(1), "482913"), web),
        ("hook, flat", Some("application/json; charset=utf-8"), flat(hook(&swiss(2), "482913")), web),
        (
            "send-phone-message",
            None,
            send_phone_message(&swiss(3), "482913"),
            "<#> 482913 is your code.\n\n@acme.example #482913",
        ),
        (
            "custom-phone-provider",
            Some("application/octet-stream"),
            custom_phone_provider(&swiss(4), "482913"),
            "482913 est votre code Acme Web.\n\n@acme.example #482913",
        ),
        (
            "sample",
            Some("text/plain;charset=UTF-8"),
            sample(&swiss(5), "482913"),
            "482913 est votre code Acme.\n\n@acme.example #482913",
        ),
        ("hook as a form", Some("application/x-www-form-urlencoded"), hook(&swiss(6), "482913"), web),
    ];
    for ((name, content_type, body, text), n) in cases.into_iter().zip(1..) {
        eprintln!("{name}");
        let answer = post(&gateway, "/hooks/auth0", content_type, &body).await;
        let send = taken(&answer, &upstream, &swiss(n));
        assert_eq!((send.text.as_str(), send.from.as_str()), (text, "Acme"), "{name}");
    }
    assert!(!gateway.logs().contains("482913"));
}

#[tokio::test]
async fn the_action_chooses_route_and_template() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let mut body = hook(&swiss(1), "482913");
    body["context"]["action"] = json!("enrollment");
    body["context"]["user"]["given_name"] = json!("Ann");
    let send = taken(&auth0(&gateway, &body).await, &upstream, &swiss(1));
    assert_eq!(send.text, "Welcome Ann, 482913 is your Acme Web code.");
    let mut body = custom_phone_provider(&swiss(2), "482913");
    body["notification"]["message_type"] = json!("otp_enroll");
    let answer = auth0(&gateway, &body).await;
    taken(&answer, &upstream, &swiss(2));
    assert_eq!(gateway.acme().message(&answer.message_id()).await["route"]["rule"], "enrolment");
}

#[tokio::test]
async fn voice_is_refused_in_every_shape() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let mut bodies = [
        hook(&swiss(1), "482913"),
        send_phone_message(&swiss(2), "482913"),
        custom_phone_provider(&swiss(3), "482913"),
        sample(&swiss(4), "482913"),
    ];
    bodies[0]["context"]["message_type"] = json!("voice");
    bodies[1]["message_options"]["message_type"] = json!("voice");
    bodies[2]["notification"]["delivery_method"] = json!("voice");
    bodies[3]["message_type"] = json!("voice");
    for body in &bodies {
        auth0(&gateway, body).await.problem(422, "channel_not_supported");
    }
    assert_eq!(upstream.wire_requests(), 0);
}

#[tokio::test]
async fn a_refused_message_is_422_in_words_for_anybody() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    upstream.behave_for(&swiss(1), Behaviour::RejectNumber);
    upstream.behave_for(&swiss(2), Behaviour::RejectContent);
    for n in [1, 2] {
        let answer = auth0(&gateway, &hook(&swiss(n), "482913")).await;
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        let problem = answer.problem(422, &code).to_string();
        for secret in ["482913", "1790", "mitto", "Mitto"] {
            assert!(!problem.contains(secret), "{secret} in {problem}");
        }
    }
    auth0(&gateway, &hook("+4179", "482913")).await.problem(422, "invalid_recipient");
    auth0(&gateway, &hook("", "482913")).await.problem(422, "invalid_recipient");
}

#[tokio::test]
async fn a_limit_is_429_with_its_pause() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    for code in ["100001", "100002", "100003"] {
        taken(&auth0(&gateway, &hook(&swiss(1), code)).await, &upstream, &swiss(1));
    }
    let answer = auth0(&gateway, &hook(&swiss(1), "100004")).await;
    answer.problem(429, "recipient_rate_limited");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 60);
}

#[tokio::test]
async fn a_repeat_is_one_message_until_that_one_is_lost() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let first = auth0(&gateway, &hook(&swiss(1), "482913")).await;
    taken(&first, &upstream, &swiss(1));
    let second = auth0(&gateway, &hook(&swiss(1), "482913")).await;
    assert_eq!((second.status, second.message_id()), (200, first.message_id()));
    assert_eq!(upstream.sends_to(&swiss(1)).len(), 1, "Auth0 repeats; the person gets one message");
    let resent = auth0(&gateway, &hook(&swiss(1), "482914")).await;
    assert_ne!(resent.message_id(), first.message_id(), "a new code is a new message");

    upstream.behave_for(&swiss(2), Behaviour::RejectContent);
    assert_eq!(auth0(&gateway, &hook(&swiss(2), "482913")).await.status, 422);
    upstream.behave_for(&swiss(2), Behaviour::Accept);
    taken(&auth0(&gateway, &hook(&swiss(2), "482913")).await, &upstream, &swiss(2));
}

#[tokio::test]
async fn a_slow_upstream_is_answered_pending_and_sending_goes_on() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().mitto_with("mitto", &upstream, "timeout = \"9s\"");
    let gateway = builder.route("default", "use = [\"mitto\"]\nunknown_wait = \"1s\"").start().await;
    upstream.behave(Behaviour::HangAfterRead);
    let began = tokio::time::Instant::now();
    let answer = auth0(&gateway, &hook(&swiss(1), "482913")).await;
    let took = began.elapsed();
    assert!((7.5..9.0).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(["queued", "sending"].contains(&answer.field("status").as_str()), "{}", answer.text());
    upstream.behave(Behaviour::Accept);
    let message = gateway.acme().wait_status(&answer.message_id(), "sent").await;
    assert_eq!(message["attempts"].as_array().map(Vec::len), Some(2), "{message}");
}

#[tokio::test]
async fn the_key_may_stand_in_the_path() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let url = |hook: &str, key: &str| format!("{}/hooks/{hook}/k/{key}", gateway.url());
    let key = gateway.acme().key().to_owned();
    let request = gateway.http().post(url("auth0", &key)).body(hook(&swiss(1), "482913").to_string());
    taken(&Answer::to(request).await.unwrap(), &upstream, &swiss(1));
    let body = json!({ "recipient": swiss(2), "body": "Your code is: 482913", "sender": "Acme" });
    let request = gateway.http().post(url("auth0/passwordless", &key)).body(body.to_string());
    taken(&Answer::to(request).await.unwrap(), &upstream, &swiss(2));
    let wrong =
        gateway.http().post(url("auth0", "sk_live_acme_wrong00000000000")).body(hook(&swiss(3), "482913").to_string());
    Answer::to(wrong).await.unwrap().problem(401, "unauthorized");
    assert!(!gateway.logs().contains(&key), "a key in a path is still a key");
}

#[tokio::test]
async fn numbers_as_auth0_writes_them_are_read() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().tenant(Tenant::new("acme").set("default_country = \"US\""));
    let gateway = builder.mitto("mitto", &upstream).route("default", "use = [\"mitto\"]").start().await;
    taken(&auth0(&gateway, &hook("1-808-555-5555", "482913")).await, &upstream, "18085555555");
    taken(&auth0(&gateway, &hook("+41 79 123 45 67", "482913")).await, &upstream, "41791234567");
}

/// A token as Auth0 signs it for `gateway_authentication`, made here by hand.
fn token(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

async fn passwordless(gateway: &Gateway, authorization: &str, n: u32) -> Answer {
    let body = json!({ "recipient": swiss(n), "body": "Your verification code is: 482913", "sender": "+1 234 567",
                       "req": { "ip": "192.0.2.7", "user-agent": "Mozilla/5.0" } });
    let request = gateway.http().post(format!("{}/hooks/auth0/passwordless", gateway.url()));
    let request = request.header("authorization", authorization).header("content-type", "application/json");
    Answer::to(request.body(body.to_string())).await.expect("an answer")
}

#[tokio::test]
async fn passwordless_takes_keys_and_signed_tokens() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({ "sub": "urn:Auth0", "aud": "urn:sms-gateway" });
    let good = token(&header, &claims, SECRET);
    let key = gateway.acme().key().to_owned();
    for (authorization, n) in [(format!("Bearer {key}"), 1), (format!("Bearer {good}"), 2), (good, 3)] {
        let send = taken(&passwordless(&gateway, &authorization, n).await, &upstream, &swiss(n));
        assert_eq!(send.text, "482913 is your Acme code.\n\n@acme.example #482913", "the code is found in the text");
    }
    let bad = [
        ("another secret", token(&header, &claims, "another secret")),
        ("another audience", token(&header, &json!({ "sub": "urn:Auth0", "aud": "urn:else" }), SECRET)),
        ("another subject", token(&header, &json!({ "sub": "urn:else", "aud": "urn:sms-gateway" }), SECRET)),
        ("no signature wanted", token(&json!({ "alg": "none" }), &claims, SECRET)),
        (
            "expired",
            token(&header, &json!({ "sub": "urn:Auth0", "aud": "urn:sms-gateway", "exp": 1_000_000_000 }), SECRET),
        ),
    ];
    for (name, token) in bad {
        eprintln!("{name}");
        passwordless(&gateway, &format!("Bearer {token}"), 9).await.problem(401, "unauthorized");
    }
    assert!(upstream.sends_to(&swiss(9)).is_empty());
}

#[tokio::test]
async fn what_auth0_never_meant_to_send_goes_nowhere() {
    let upstream = Mitto::start();
    let builder = Gateway::builder().log("trace").mitto("mitto", &upstream);
    let gateway = builder.route("default", "use = [\"mitto\"]").start().await;
    let mut body = hook(&swiss(1), "482913");
    body["context"]["webtask"] = json!({ "secrets": { "GATEWAY_KEY": "canary-secret" } });
    body["secrets"] = json!({ "OTHER": "canary-secret" });
    let answer = auth0(&gateway, &body).await;
    let send = taken(&answer, &upstream, &swiss(1));
    assert_eq!(send.text, "482913 is your verification code");
    let message = gateway.acme().message(&answer.message_id()).await.to_string();
    for place in [gateway.logs(), message, answer.text()] {
        assert!(!place.contains("canary-secret") && !place.contains("482913"), "{place}");
    }
}
