//! The scripted upstream does what it says, and changes its mind at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;
use sms_conformance::upstream::{Behaviour, Mitto, ReceiptForm, ReceiptPlan, Reply, Request, Upstream, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Writes a request and reads what comes within a moment.
async fn ask(at: &str, path: &str, headers: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at.replace("http://", "")).await?;
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let ended = timeout(MOMENT, async {
        while stream.read_buf(&mut answer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    })
    .await;
    ended.unwrap_or(Ok(()))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn send(mitto: &Mitto, to: &str, callback: Option<&str>) -> String {
    let body = json!({
        "from": "Acme", "to": to, "text": "123456", "type": "GSM", "reference": "msg_1", "validity": 5, "callback": callback,
    });
    ask(&mitto.base_url(), "/sms.json", "X-Mitto-API-Key: k\r\n", &body.to_string()).await.unwrap()
}

fn plain(_: &Request, verdict: Verdict) -> Reply {
    Reply::text(if verdict == Verdict::Accept { 200 } else { 400 }, "said")
}

/// Waits until `upstream` has read `count` requests.
async fn reads(upstream: &Upstream, count: usize) {
    for _ in 0..1000 {
        if upstream.requests().len() >= count {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

const MOMENT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn behaviours_change_at_once_and_on_the_same_port() {
    let upstream = Upstream::start(plain);
    let at = upstream.url();
    assert!(ask(&at, "/", "", "{}").await.unwrap().starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        upstream.behave(Behaviour::RefuseConnect);
        assert_eq!(ask(&at, "/", "", "{}").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        upstream.behave(Behaviour::RejectContent);
        assert!(ask(&at, "/", "", "{}").await.unwrap().starts_with("HTTP/1.1 400"));
    }
    assert_eq!(upstream.wire_requests(), 4);
}

#[tokio::test]
async fn faults_of_the_transport_are_real() {
    let upstream = Upstream::start(plain);
    let at = upstream.url();
    upstream.behave(Behaviour::HangAfterRead);
    assert_eq!(ask(&at, "/", "", "{}").await.unwrap(), "");
    upstream.behave(Behaviour::HangBeforeRead);
    assert_eq!(ask(&at, "/", "", "{}").await.unwrap(), "");
    assert_eq!(upstream.wire_requests(), 1, "the second was not read");
    upstream.behave(Behaviour::ResetAfterRead);
    assert_eq!(ask(&at, "/", "", "{}").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    upstream.behave(Behaviour::SlowHeaders);
    let slow = ask(&at, "/", "", "{}").await.unwrap();
    assert!(slow.starts_with("HTTP/1.1 200") && !slow.contains("\r\n\r\n"), "{slow}");
    upstream.behave(Behaviour::HugeBody);
    assert!(ask(&at, "/", "", "{}").await.unwrap().len() > 10_000);
    upstream.behave(Behaviour::Garbage);
    assert!(ask(&at, "/", "", r#"{"to":"1"}"#).await.unwrap().contains(r#"{"to":"1"}"#));
}

#[tokio::test]
async fn connections_and_requests_are_counted() {
    let upstream = Upstream::start(plain);
    let mut stream = TcpStream::connect(upstream.url().replace("http://", "")).await.unwrap();
    for _ in 0..2 {
        let chunked = b"POST /a?b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        stream.write_all(chunked).await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    }
    let requests = upstream.requests();
    assert_eq!((upstream.wire_requests(), upstream.connections(), upstream.open_connections()), (2, 1, 1));
    assert_eq!((requests[1].number, requests[1].path(), requests[1].body.as_slice()), (2, "/a", b"abc".as_slice()));
    drop(stream);
    for _ in 0..200 {
        if upstream.open_connections() == 0 {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(upstream.open_connections(), 0);
    upstream.forget();
    assert_eq!((upstream.requests().len(), upstream.wire_requests()), (0, 2));
}

#[tokio::test]
async fn mitto_checks_what_mitto_checks() {
    let mitto = Mitto::start();
    for (to, code) in [("", 7), ("+491", 8), ("491725551234", 0)] {
        let answer = send(&mitto, to, None).await;
        assert!(answer.contains(&format!("\"responseCode\":{code}")), "{to}: {answer}");
    }
    let keyless = ask(&mitto.base_url(), "/sms.json", "", "{}").await.unwrap();
    assert!(keyless.starts_with("HTTP/1.1 401"));
    mitto.require_key("another");
    assert!(send(&mitto, "491725551234", None).await.starts_with("HTTP/1.1 401"));
    let ids: Vec<String> = mitto.sends().into_iter().map(|send| send.id).collect();
    assert!(ids.iter().all(|id| id.len() == 32) && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
}

#[tokio::test]
async fn mitto_can_be_scripted_by_number() {
    let mitto = Mitto::start();
    mitto.behave_for("+49 172 5550000", Behaviour::RejectNumber);
    assert!(send(&mitto, "491725550000", None).await.contains("\"responseCode\":8"));
    assert!(send(&mitto, "491725550001", None).await.contains("\"responseCode\":0"));
    mitto.behave_for("491725550000", Behaviour::Accept);
    mitto.behave(Behaviour::ServerError);
    assert!(send(&mitto, "491725550000", None).await.contains("\"responseCode\":0"));
    assert!(send(&mitto, "491725550001", None).await.contains("500"));
    let behaviours: Vec<Behaviour> = mitto.sends_to("+491725550000").into_iter().map(|send| send.behaviour).collect();
    assert_eq!(behaviours, [Behaviour::RejectNumber, Behaviour::Accept]);
    assert!(mitto.wait_for_sends(4, Duration::from_secs(1)).await);
    assert!(!mitto.wait_for_sends(5, Duration::from_millis(20)).await);
}

#[tokio::test]
async fn mitto_calls_back_in_every_form() {
    let mitto = Mitto::start();
    let gateway = Upstream::start(plain);
    let callback = format!("{}/receipts/mitto/token?ref=msg_1", gateway.url());
    for (form, method) in [(ReceiptForm::Form, "POST"), (ReceiptForm::Json, "POST"), (ReceiptForm::Query, "GET")] {
        gateway.forget();
        let plan = ReceiptPlan {
            statuses: vec!["Sent".into(), "Delivered".into()],
            form,
            ..ReceiptPlan::delivered(Duration::from_millis(10))
        };
        mitto.receipts(Some(plan));
        send(&mitto, "491725551234", Some(&callback)).await;
        reads(&gateway, 2).await;
        let calls = gateway.requests();
        assert_eq!(calls.len(), 2, "{form:?}");
        let text = |call: &Request| format!("{} {}", call.target, String::from_utf8_lossy(&call.body));
        assert!(
            calls
                .iter()
                .all(|call| call.method == method && call.target.starts_with("/receipts/mitto/token?ref=msg_1"))
        );
        assert!(text(&calls[0]).contains("Sent") && text(&calls[1]).contains("Delivered"), "{form:?}");
        assert!(text(&calls[0]).contains(&mitto.sends().last().unwrap().id));
    }
    for _ in 0..1000 {
        if mitto.called().len() == 6 {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    let statuses: Vec<_> = mitto.called().into_iter().map(|called| called.status).collect();
    assert_eq!(statuses, [Some(200); 6]);
}

#[tokio::test]
async fn receipts_of_unanswered_messages_must_be_asked_for() {
    let mitto = Mitto::start();
    let gateway = Upstream::start(plain);
    let plan = ReceiptPlan::delivered(Duration::ZERO);
    mitto.receipts(Some(plan.clone()));
    mitto.receipts_for("491725550002", Some(ReceiptPlan { unanswered: true, ..plan }));
    mitto.receipts_for("491725550003", None);
    mitto.behave_for("491725550001", Behaviour::HangAfterRead);
    mitto.behave_for("491725550002", Behaviour::HangAfterRead);
    for to in ["491725550001", "491725550002", "491725550003"] {
        send(&mitto, to, Some(&gateway.url())).await;
    }
    reads(&gateway, 1).await;
    assert_eq!(gateway.wire_requests(), 1);
    assert!(gateway.requests()[0].body.starts_with(b"{"));
}

#[tokio::test]
async fn calls_go_to_loopback_only() {
    let mitto = Mitto::start();
    mitto.receipts(Some(ReceiptPlan::delivered(Duration::ZERO)));
    for elsewhere in ["http://192.0.2.1/", "https://127.0.0.1/", "http://example.com/"] {
        send(&mitto, "491725551234", Some(elsewhere)).await;
    }
    let called = mitto.called();
    assert_eq!(called.len(), 3); // refused without connecting, so at once
    assert!(called.iter().all(|called| called.status.is_none()), "{called:?}");
}
