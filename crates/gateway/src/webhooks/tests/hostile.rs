//! Endpoints that answer as badly as they can: each costs a bounded time and little memory, and ends in one outcome.

use super::*;

const SHORT: Bounds =
    Bounds { call: Duration::from_millis(400), connect: Duration::from_millis(400), rest: Duration::from_millis(200) };

/// What a server does after its first bytes.
#[derive(Clone, Copy)]
enum Then {
    Close,
    /// One byte now and then.
    Drip,
    /// As much as is taken.
    Flood,
    Hang,
}

/// One call to a server that begins with `head`; how it ended, and how many bytes the server got rid of.
async fn tried(head: &[u8], then: Then) -> (Result<WebhookAnswer, WebhookFault>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let head = head.to_vec();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        drop(stream.read(&mut request).await);
        let (mut sent, chunk) = (head.len(), vec![b'x'; 16 * 1024]);
        if stream.write_all(&head).await.is_err() {
            return sent;
        }
        loop {
            let more = match then {
                Then::Close => return sent,
                Then::Hang => return std::future::pending().await,
                Then::Drip => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    chunk.get(..1).unwrap_or_default()
                }
                Then::Flood => &chunk,
            };
            if stream.write_all(more).await.is_err() {
                return sent;
            }
            sent += more.len();
        }
    });
    let webhooks = of(SHORT);
    let began = Instant::now();
    let answer = webhooks.post(inside(&url)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(webhooks); // closes its connections
    let sent = match then {
        Then::Hang => 0,
        Then::Close | Then::Drip | Then::Flood => served.await.unwrap(),
    };
    (answer, sent)
}

#[tokio::test]
async fn an_answer_with_a_status_counts_whatever_follows() {
    for then in [Then::Drip, Then::Flood, Then::Hang, Then::Close] {
        for head in [
            "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 \r\ncontent-type: text/plain; charset=klingon\r\n\r\n\u{fe}\u{ff}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n",
        ] {
            let (answer, sent) = tried(head.as_bytes(), then).await;
            assert_eq!(answer, Ok(answered(200)), "{head}");
            assert!(sent < 16 * 1024 * 1024, "only the sockets' buffers: {sent}");
        }
    }
}

#[tokio::test]
async fn nothing_is_unpacked() {
    // 32 MiB of zeros.
    let bomb = include_bytes!("bomb.gz");
    assert!(bomb.len() < 64 * 1024);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let (answer, _) = tried(&[head.as_bytes(), bomb].concat(), Then::Close).await;
    assert_eq!(answer, Ok(answered(200)));
}

#[tokio::test]
async fn heads_that_do_not_end_are_given_up() {
    for head in ["", "HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (answer, _) = tried(head.as_bytes(), Then::Hang).await;
        assert_eq!(answer, Err(WebhookFault::Timeout), "{head}");
    }
    let (answer, _) = tried(b"HTTP/1.1 200 OK\r\nx: ", Then::Drip).await;
    assert_eq!(answer, Err(WebhookFault::Timeout));
    let (answer, sent) = tried(b"HTTP/1.1 200 OK\r\nx: ", Then::Flood).await;
    assert_eq!(answer, Err(WebhookFault::Broken));
    assert!(sent < 16 * 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn endless_interim_answers_are_given_up() {
    let many = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(20_000);
    let (answer, _) = tried(many.as_bytes(), Then::Hang).await;
    assert_eq!(answer, Err(WebhookFault::Timeout));
}

#[tokio::test]
async fn what_is_no_http_is_broken() {
    let headers: String = (0..500).fold(String::new(), |all, n| all + &format!("x{n}: y\r\n"));
    let many = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
    let bad: [&[u8]; 10] = [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\xff\xfe\x00H\x00T\x00T\x00P",
        many.as_bytes(),
    ];
    for head in bad {
        let (answer, _) = tried(head, Then::Close).await;
        assert_eq!(answer, Err(WebhookFault::Broken), "{:?}", String::from_utf8_lossy(head));
    }
}

#[tokio::test]
async fn nobody_who_does_not_answer_is_waited_for_longer_than_a_call_may_take() {
    assert_eq!(BOUNDS.call, Duration::from_secs(10), "contract");
    assert_eq!(ANSWER_BYTES_MAX, 16 * 1024, "contract");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes no connection out of its queue
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let webhooks = of(SHORT);
    assert_eq!(webhooks.post(inside(&url)).await, Err(WebhookFault::Timeout));
}
