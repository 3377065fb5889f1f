use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn call(url: &str) -> WebhookCall {
    let headers = vec![("webhook-id", "msg_1".to_owned())];
    WebhookCall { url: url.to_owned(), private: false, headers, body: b"{}".to_vec() }
}

/// Test servers listen on this machine.
fn inside(url: &str) -> WebhookCall {
    WebhookCall { private: true, ..call(url) }
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
    assert_eq!(Webhooks::new().unwrap().post(inside(&url)).await, Ok(204));
    let request = served.await.unwrap();
    assert!(request.starts_with("POST /hook?token=t HTTP/1.1") && request.contains("webhook-id: msg_1"), "{request}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (url, _served) =
        server(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(Webhooks::new().unwrap().post(inside(&url)).await, Ok(302));
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    answer.extend(vec![b'x'; 100_000]);
    let (url, _served) = server(answer).await;
    assert_eq!(Webhooks::new().unwrap().post(inside(&url)).await, Ok(200));
}

#[tokio::test]
async fn special_addresses_are_refused_in_every_spelling_without_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let webhooks = Webhooks::new().unwrap();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
        "0.0.0.0",
        "①②⑦.⓪.⓪.①",
    ] {
        let refused = webhooks.post(call(&format!("https://{host}:{port}/"))).await.unwrap_err();
        assert_eq!(refused, resolver::REFUSED, "{host}");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "nothing connected");
}

#[tokio::test]
async fn other_schemes_and_credentials_are_refused() {
    let webhooks = Webhooks::new().unwrap();
    for url in
        ["http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://u:p@example.com/", "https://", "x"]
    {
        assert!(webhooks.post(call(url)).await.is_err(), "{url}");
    }
}

#[tokio::test]
async fn errors_do_not_name_the_url() {
    let refused = Webhooks::new().unwrap().post(inside("http://127.0.0.1:1/?token=hidden")).await.unwrap_err();
    assert_eq!(refused, "no connection");
}
