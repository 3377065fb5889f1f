//! Receipts from outside: forged ones by the thousand, hostile bodies, and honest ones at any time. Nothing that does not
//! prove itself is stored, and nothing costs more than a little time and memory.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::fmt::Write as _;
use std::time::Duration;

use e2e::{Gateway, Luck, Mitto, MittoSend, PATIENCE, Tenant, eventually, knob, swiss};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn gateway(upstream: &Mitto) -> Gateway {
    let builder = Gateway::builder().tenant(Tenant::new("acme")).mitto("mitto", upstream).mitto("other", upstream);
    builder.route("default", "use = [\"mitto\"]").start().await
}

/// A message that Mitto took and said nothing about: its id, and what Mitto was given.
async fn sent(gateway: &Gateway, upstream: &Mitto, n: u32) -> (String, MittoSend) {
    let id = gateway.acme().accepted(&json!({ "to": swiss(n), "text": "Your code is 482913" })).await;
    gateway.acme().wait_status(&id, "sent").await;
    (id, upstream.sends_to(&swiss(n)).pop().expect("a send"))
}

/// The token of account-wide receipts, by the contract: HMAC-SHA256 of the provider's name, 128 bits in hex.
fn account_token(provider: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"callback-secret-of-the-tests").expect("a key of any length");
    mac.update(provider.as_bytes());
    mac.finalize().into_bytes().iter().take(16).fold(String::new(), |mut token, byte| {
        write!(token, "{byte:02x}").expect("a string takes everything");
        token
    })
}

async fn post(gateway: &Gateway, url: &str, body: &Value) -> u16 {
    gateway.http().post(url).json(body).send().await.expect("an answer").status().as_u16()
}

/// Bytes in the database, its log included.
fn stored(gateway: &Gateway) -> u64 {
    let size = |ending: &str| {
        let mut path = gateway.database().into_os_string();
        path.push(ending);
        std::fs::metadata(path).map_or(0, |file| file.len())
    };
    size("") + size("-wal")
}

fn below(luck: &mut Luck, bound: usize) -> usize {
    usize::try_from(luck.of_range(0..bound as u64)).unwrap()
}

/// A forgery of a message's receipt URL, and which message's receipt to claim: a token one bit off, cut, of somebody
/// else, of nobody, in another place.
fn forgery(luck: &mut Luck, urls: &[String]) -> (String, usize) {
    let which = below(luck, urls.len());
    let (path, query) = urls[which].split_once('?').expect("a query");
    let (base, token) = path.rsplit_once('/').expect("a token");
    let another = (which + 1 + below(luck, urls.len() - 1)) % urls.len();
    let forged = match below(luck, 9) {
        0 => {
            let at = below(luck, token.len());
            let other = |c| if c == '0' { '1' } else { '0' };
            token.char_indices().map(|(n, c)| if n == at { other(c) } else { c }).collect()
        }
        1 => format!("{:016x}{:016x}", luck.of_range(0..u64::MAX), luck.of_range(0..u64::MAX)),
        2 => token.chars().take(below(luck, token.len())).chain(['x']).collect(),
        3 => format!("{token}0"),
        4 => token.to_ascii_uppercase().replace(|c: char| c.is_ascii_digit(), "A"),
        5 => "0".repeat(below(luck, 200) + 1),
        6 => format!("%00{token}"),
        7 => return (format!("{}/{token}?{query}", base.replace("/mitto", "/nobody")), which),
        // A token proves its own message only, whatever the call says it is about.
        _ => return (format!("{base}/{token}?{}", urls[another].split_once('?').expect("a query").1), another),
    };
    (format!("{base}/{forged}?{query}"), which)
}

/// Guarantee 38.
#[tokio::test]
async fn of_ten_thousand_forged_receipts_none_is_taken_or_kept() {
    const FORGERS: usize = 16;
    let forged = usize::try_from(knob("E2E_FORGED", 10_000)).unwrap();
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (mut urls, mut ids) = (Vec::new(), Vec::new());
    for n in 0..8 {
        let (id, send) = sent(&gateway, &upstream, n).await;
        urls.push(send.callback.expect("a receipt URL"));
        ids.push((id, send.id));
    }
    let before = stored(&gateway);
    let began = Instant::now();
    let mut forgers = JoinSet::new();
    for forger in 0..FORGERS {
        let (http, urls, ids) = (gateway.http().clone(), urls.clone(), ids.clone());
        forgers.spawn(async move {
            let mut luck = Luck::of(forger as u64 + 1);
            for _ in 0..forged / FORGERS {
                let (url, which) = forgery(&mut luck, &urls);
                let (id, upstream_id) = &ids[which];
                let body = json!({ "messageId": upstream_id, "status": "Delivered", "reference": id });
                let answer = http.post(&url).json(&body).send().await.expect("an answer");
                assert_eq!(answer.status().as_u16(), 404, "{url}");
            }
        });
    }
    forgers.join_all().await;
    let took = began.elapsed();
    eprintln!("{forged} forgeries in {took:?}, the store grew by {} bytes", stored(&gateway) - before);
    let metrics = gateway.metrics().await;
    assert!(metrics.count("gateway_receipts_total", &[]) < 0.5, "none was taken");
    assert!(metrics.count("gateway_receipts_unmatched_total", &[]) < 0.5, "none was parked");
    assert!(metrics.count("gateway_callbacks_refused_total", &[("reason", "forged")]) > 100.0);
    assert!(stored(&gateway) <= before, "nothing is written for a stranger");
    for (id, _) in &ids {
        assert_eq!(gateway.acme().message(id).await["status"], "sent");
    }
    // The real ones still count.
    assert_eq!(post(&gateway, &urls[0], &json!({ "messageId": ids[0].1, "status": "Delivered" })).await, 200);
    gateway.acme().wait_status(&ids[0].0, "delivered").await;
}

/// Mitto tells the same id in either case, with dashes or without.
#[tokio::test]
async fn an_id_is_the_same_in_every_spelling() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let url = format!("{}/receipts/mitto/{}", gateway.url(), account_token("mitto"));
    for (n, spell) in (0..).zip([
        (|id: &str| id.to_ascii_uppercase()) as fn(&str) -> String,
        |id| {
            id.chars().enumerate().flat_map(|(n, c)| if n > 0 && n % 8 == 0 { vec!['-', c] } else { vec![c] }).collect()
        },
        |id| format!("  {id} "),
    ]) {
        let (id, send) = sent(&gateway, &upstream, n).await;
        let spelled = spell(&send.id);
        assert_ne!(spelled, send.id);
        assert_eq!(post(&gateway, &url, &json!({ "messageId": spelled, "status": "Delivered" })).await, 200);
        gateway.acme().wait_status(&id, "delivered").await;
    }
}

/// Receipts of an account for messages that nobody sent: parked up to a bound, and told as unmatched.
#[tokio::test]
async fn unknown_receipts_are_counted_and_change_nothing() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (id, _) = sent(&gateway, &upstream, 1).await;
    let url = format!("{}/receipts/mitto/{}", gateway.url(), account_token("mitto"));
    for batch in 0..20 {
        let many: Vec<Value> =
            (0..100).map(|n| json!({ "messageId": format!("{batch:016x}{n:016x}"), "status": "Delivered" })).collect();
        assert_eq!(post(&gateway, &url, &json!(many)).await, 200);
    }
    let metrics = gateway.metrics().await;
    assert!((metrics.count("gateway_receipts_unmatched_total", &[("provider", "mitto")]) - 2_000.0).abs() < 0.5);
    assert_eq!(gateway.acme().message(&id).await["status"], "sent");
}

/// One raw request; the status of the answer, `None` when the connection was closed without one.
async fn raw(gateway: &Gateway, head: &str, body: &[u8], then_close: bool) -> Option<u16> {
    let mut stream = TcpStream::connect(gateway.listen()).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    drop(stream.write_all(body).await); // it may be refused before it is complete
    if then_close {
        stream.shutdown().await.expect("a half-closed connection");
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    drop(read); // a reset is an end too
    String::from_utf8_lossy(&answer).split_whitespace().nth(1)?.parse().ok()
}

fn head(url: &str, content_type: &str, length: usize) -> String {
    let target = url.split_once("://").expect("a scheme").1;
    let (host, path) = target.split_at(target.find('/').expect("a path"));
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    )
}

/// From somebody who has the token, which is the worst case.
#[tokio::test]
async fn hostile_receipts_cost_little_and_are_counted() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (id, send) = sent(&gateway, &upstream, 1).await;
    let url = send.callback.expect("a receipt URL");
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let deep = "[".repeat(60_000);
    let objects = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let many_fields = "field=1&".repeat(5_000);
    let utf16: Vec<u8> = "{\"status\":\"Delivered\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let unreadable: [(&str, &[u8]); 9] = [
        (json, deep.as_bytes()),
        (json, objects.as_bytes()),
        (json, b"{\"status\":\"Deliv\xff\xfered\"}"),
        ("application/json; charset=utf-16", &utf16),
        (json, b"{\"status\":"),
        (json, b"{\"status\":null,\"messageId\":[[]]}"),
        (form, b"%zz=%&%%%=\xff&status"),
        (form, many_fields.as_bytes()),
        ("text/plain; charset=klingon", b"\x00\x01\x02\xf0\x28\x8c\xbc"),
    ];
    for (content_type, body) in unreadable {
        let status = raw(&gateway, &head(&url, content_type, body.len()), body, false).await;
        assert_eq!(status, Some(400), "{:?}", String::from_utf8_lossy(body.get(..40).unwrap_or(body)));
    }
    let huge = vec![b' '; 2 * 1024 * 1024];
    for length in [huge.len(), 100_000] {
        let body = huge.get(..length).unwrap();
        let status = raw(&gateway, &head(&url, json, length), body, false).await;
        assert!(status.is_none_or(|status| status == 413), "{status:?}");
    }
    raw(&gateway, &head(&url, json, 1_000), b"{\"status\":", true).await;
    let began = Instant::now();
    assert_eq!(raw(&gateway, &head(&url, json, 1_000), b"{\"status\":", false).await, Some(408));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());

    let refused = [("malformed", 9.0), ("too_large", 2.0), ("broken", 1.0), ("timed_out", 1.0), ("forged", 0.0)];
    let metrics = gateway.metrics().await;
    for (reason, count) in refused {
        let found = metrics.count("gateway_callbacks_refused_total", &[("provider", "mitto"), ("reason", reason)]);
        assert!((found - count).abs() < 0.5, "{reason}: {found}\n{}", metrics.text());
    }
    assert_eq!(gateway.acme().message(&id).await["status"], "sent");
    assert_eq!(post(&gateway, &url, &json!({ "messageId": send.id, "status": "Delivered" })).await, 200);
    gateway.acme().wait_status(&id, "delivered").await;
}

/// Hundreds of bodies that never end: memory stays, and others are served.
#[tokio::test]
async fn slow_receipts_hold_up_nobody() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (id, send) = sent(&gateway, &upstream, 1).await;
    let url = send.callback.expect("a receipt URL");
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(gateway.listen()).await.expect("a connection");
        stream.write_all(head(&url, "application/json", 60_000).as_bytes()).await.expect("the head is taken");
        stream.write_all(b"{").await.expect("a byte is taken");
        slow.push(stream);
    }
    let began = Instant::now();
    assert_eq!(post(&gateway, &url, &json!({ "messageId": send.id, "status": "Delivered" })).await, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    gateway.acme().wait_status(&id, "delivered").await;
    let counted = async || {
        let metrics = gateway.metrics().await;
        (metrics.count("gateway_callbacks_refused_total", &[("reason", "timed_out")]) > 499.5).then_some(())
    };
    eventually("all are given up", PATIENCE, counted).await;
}

/// The whole story over HTTP: before the answer, twice, backwards, of another message, after everything.
#[tokio::test]
async fn receipts_may_come_at_any_time_in_any_order() {
    let upstream = Mitto::start();
    let gateway = gateway(&upstream).await;
    let (id, send) = sent(&gateway, &upstream, 1).await;
    let url = send.callback.expect("a receipt URL");
    for (status, expected) in [
        ("Sent", "sent"),
        ("Buffered", "sent"),
        ("Failure", "undelivered"),
        ("Sent", "undelivered"),
        ("Expired", "undelivered"),
        ("Delivered", "delivered"),
        ("Delivered", "delivered"),
        ("Failure", "delivered"),
        ("Sent", "delivered"),
        ("Teleported", "delivered"),
    ] {
        assert_eq!(post(&gateway, &url, &json!({ "messageId": send.id, "status": status })).await, 200);
        assert_eq!(gateway.acme().message(&id).await["status"], expected, "after {status}");
    }
    let told = gateway.operator().request(Method::GET, "/admin/v1/webhooks");
    assert_eq!(e2e::Answer::to(told).await.expect("an answer").expect(200).json(), json!({ "webhooks": [] }));
}
