//! Calls over real sockets; the list of addresses is `ssrf.txt`.

mod hostile;
mod inside;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;

fn call(url: &str, reach: Reach) -> WebhookCall {
    let headers = vec![("webhook-id", "msg_1".to_owned())];
    WebhookCall { url: url.to_owned(), reach, headers, body: b"{}".to_vec() }
}

/// Test servers listen on this machine.
fn inside(url: &str) -> WebhookCall {
    call(url, Reach::Inside)
}

fn answered(status: u16) -> WebhookAnswer {
    WebhookAnswer { status, retry_after: None }
}

fn of(bounds: Bounds) -> Webhooks {
    Webhooks::with(&(Arc::new(System) as Arc<dyn Lookup>), bounds).unwrap()
}

/// Answers one request with `answer` and tells what it was.
async fn server(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=t", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        let read = stream.read(&mut request).await.unwrap();
        drop(stream.write_all(&answer).await); // the client may have heard enough
        String::from_utf8_lossy(request.get(..read).unwrap_or_default()).into_owned()
    });
    (url, served)
}

#[tokio::test]
async fn a_call_carries_its_headers_and_tells_the_status() {
    let (url, served) = server(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()).await;
    assert_eq!(Webhooks::new().unwrap().post(inside(&url)).await, Ok(answered(204)));
    let request = served.await.unwrap();
    assert!(request.starts_with("POST /hook?token=t HTTP/1.1") && request.contains("webhook-id: msg_1"), "{request}");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_told() {
    for (value, pause) in [("7", Some(7)), (" 7 ", Some(7)), ("-1", None), ("tomorrow", None), ("", None)] {
        let answer = format!("HTTP/1.1 503 Busy\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        let (url, _served) = server(answer.into_bytes()).await;
        let expected = WebhookAnswer { status: 503, retry_after: pause.map(Duration::from_secs) };
        assert_eq!(Webhooks::new().unwrap().post(inside(&url)).await, Ok(expected), "{value}");
    }
}

#[tokio::test]
async fn the_operators_endpoint_is_called_again_on_the_same_connection_and_a_callers_is_not() {
    let webhooks = Webhooks::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut request = vec![0; 4_096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            });
        }
    });
    for _ in 0..5 {
        assert_eq!(webhooks.post(inside(&url)).await, Ok(answered(200)));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    for _ in 0..5 {
        let answer = webhooks.callers.post(&url).send().await;
        assert!(answer.is_err(), "https only");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn other_schemes_and_credentials_are_refused() {
    let webhooks = Webhooks::new().unwrap();
    for reach in [Reach::Caller, Reach::Outside] {
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://u:p@example.com/",
            "https://u@example.com/",
            "https://",
            "x",
            "",
        ] {
            assert_eq!(webhooks.post(call(url, reach)).await, Err(WebhookFault::Url), "{url}");
        }
    }
}

#[tokio::test]
async fn errors_do_not_name_the_url() {
    let refused = Webhooks::new().unwrap().post(inside("http://127.0.0.1:1/?token=hidden")).await.unwrap_err();
    assert_eq!((refused, refused.to_string().as_str()), (WebhookFault::Connect, "no connection"));
    assert!(!format!("{:?}", Webhooks::new().unwrap()).contains("hidden"));
}
