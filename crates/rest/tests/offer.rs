//! One offer is one wire request, whatever the connection does; over real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use sms_core::{Fate, Kind, SendError};
use sms_rest::{Answer, Client, ClientOptions, HeaderMap, Url};
use tokio::time::Instant;

/// Requests read so far; the thread serves connections one after another until the test ends.
fn upstream(serve: impl Fn(TcpStream, &AtomicUsize) + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap(), &counter)));
    (at, count)
}

/// Reads one request whose body is `{"n":1}`; `false` when the peer is gone.
fn read(stream: &mut TcpStream, count: &AtomicUsize) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(br#"{"n":1}"#) {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return false;
        }
        seen.extend(byte);
    }
    count.fetch_add(1, Ordering::SeqCst);
    true
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn client(connect_timeout: Duration) -> Client {
    Client::build(&ClientOptions { connect_timeout, ..ClientOptions::default() }).unwrap()
}

async fn offer(client: &Client, url: &str, within: Duration) -> Result<Answer, SendError> {
    let url = Url::parse(url).unwrap();
    client.post_json(&url, &HeaderMap::new(), &json!({ "n": 1 }), Instant::now() + within).await
}

async fn offer_once(at: SocketAddr) -> Result<Answer, SendError> {
    offer(&client(Duration::from_secs(1)), &format!("http://{at}/sms?secret=1"), Duration::from_millis(400)).await
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_no_second_request() {
    let (at, count) = upstream(|mut stream, count| {
        if read(&mut stream, count) {
            say(&mut stream, OK);
        }
    });
    let client = client(Duration::from_secs(1));
    for sent in 1..=20 {
        let answer = offer(&client, &format!("http://{at}/"), Duration::from_secs(5)).await.unwrap();
        assert_eq!((answer.status, count.load(Ordering::SeqCst)), (200, sent));
        tokio::time::sleep(Duration::from_millis(2)).await; // lets the close arrive
    }
}

#[tokio::test]
async fn a_reused_connection_that_dies_after_the_request_is_not_tried_again() {
    let (at, count) = upstream(|mut stream, count| {
        if read(&mut stream, count) {
            say(&mut stream, OK);
        }
        read(&mut stream, count);
    });
    let client = client(Duration::from_secs(1));
    let url = format!("http://{at}/");
    assert!(offer(&client, &url, Duration::from_secs(5)).await.is_ok());
    let error = offer(&client, &url, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((error.kind, error.fate, error.answered), (Kind::Unavailable, Fate::Unknown, false));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (at, count) = upstream(|mut stream, count| {
        if read(&mut stream, count) {
            say(&mut stream, "HTTP/1.1 307 Go\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
        }
        read(&mut stream, count);
    });
    let answer = offer_once(at).await.unwrap();
    assert_eq!((answer.status, count.load(Ordering::SeqCst)), (307, 1));
    assert_eq!(answer.failure().fate, Fate::Unknown);
}

#[tokio::test]
async fn a_handshake_that_hangs_proves_that_nothing_was_sent() {
    let (at, count) = upstream(|mut stream, count| {
        read(&mut stream, count);
    });
    let url = format!("https://{at}/");
    let slow_connect = client(Duration::from_millis(100));
    let error = offer(&slow_connect, &url, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (Kind::Unavailable, Fate::NotSent), "{error}");
    let error = offer(&client(Duration::from_secs(5)), &url, Duration::from_millis(100)).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (Kind::Deadline, Fate::NotSent), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_deadline_in_the_past_sends_nothing() {
    let (at, count) = upstream(|mut stream, count| {
        read(&mut stream, count);
    });
    let error = offer(&client(Duration::from_secs(1)), &format!("http://{at}/"), Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (Kind::Deadline, Fate::NotSent));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn silence_after_the_request_is_unknown() {
    let (at, count) = upstream(|mut stream, count| {
        read(&mut stream, count);
        read(&mut stream, count); // until the client goes
    });
    let error = offer_once(at).await.unwrap_err();
    assert_eq!((error.kind, error.fate, error.answered), (Kind::Deadline, Fate::Unknown, false));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refusal_needs_no_readable_body_but_a_success_does() {
    for (status, rest) in
        [("503 No", "content-length: 5\r\n\r\nab"), ("503 No", "transfer-encoding: chunked\r\n\r\nzz")]
    {
        let (at, _) = upstream(move |mut stream, count| {
            if read(&mut stream, count) {
                say(&mut stream, &format!("HTTP/1.1 {status}\r\nretry-after: 3\r\n{rest}"));
                read(&mut stream, count);
            }
        });
        let answer = offer_once(at).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (503, 0));
        assert_eq!(answer.failure().retry_after, Some(Duration::from_secs(3)));
    }
    let (at, _) = upstream(|mut stream, count| {
        if read(&mut stream, count) {
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"); // and closes
        }
    });
    let error = offer_once(at).await.unwrap_err();
    assert_eq!((error.kind, error.fate), (Kind::Protocol, Fate::Unknown), "{error}");
}

#[tokio::test]
async fn what_is_not_http_and_what_is_too_large_are_protocol_errors() {
    let huge_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1_000_000));
    let huge_body = format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{}", "a".repeat(100_000));
    for text in ["SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(), huge_head, huge_body] {
        let (at, _) = upstream(move |mut stream, count| {
            if read(&mut stream, count) {
                drop(stream.write_all(text.as_bytes())); // the client may hang up early
                read(&mut stream, count);
            }
        });
        let error = offer_once(at).await.unwrap_err();
        assert_eq!((error.kind, error.fate), (Kind::Protocol, Fate::Unknown), "{error}");
    }
}

#[tokio::test]
async fn errors_name_neither_url_nor_body() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (resets, _) = upstream(|mut stream, count| {
        read(&mut stream, count);
    });
    let refused = offer_once(closed).await.unwrap_err();
    assert_eq!((refused.kind, refused.fate), (Kind::Unavailable, Fate::NotSent), "{refused}");
    assert!(refused.detail.contains("refused"), "{refused}");
    for error in [refused, offer_once(resets).await.unwrap_err()] {
        let shown = format!("{error} {error:?}");
        for secret in ["secret", "/sms", "127.0.0.1", "\"n\""] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
