//! The listeners against clients that are slow, silent or many, over real sockets in this process.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::time::Duration;

use sms_gateway::config::{Input, Mode, Placeholders, Sources};
use sms_gateway::serve::{Server, Settings};
use sms_gateway::wiring;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Whatever is waited for happens well within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// The header time-out of these servers, and when a connection must be gone at the latest.
const SLOW: Duration = Duration::from_millis(500);
const GONE: Duration = Duration::from_secs(2);

struct Gateway {
    server: Server,
    _home: TempDir,
}

impl Gateway {
    async fn start(extra: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nops = \"127.0.0.1:0\"\nheader_timeout = \"500ms\"\ndrain = \"3s\"\n{extra}\n\
             [store]\nurl = \"sqlite:{}/gateway.db\"\n[tenants.acme]\nkeys = [{{ env = \"ACME\" }}]\nsenders = [\"Acme\"]\n\
             [providers.mock]\nkind = \"mock\"\n[[routes]]\nid = \"default\"\nuse = [\"mock\"]\n",
            home.path().display()
        );
        let documents = vec![Input::Text { name: "test".to_owned(), text }];
        let sources = Sources {
            documents,
            dir: None,
            env: Vec::new(),
            flags: Vec::new(),
            mode: Mode::Serve,
            secrets: &Placeholders,
        };
        let loaded = wiring::load(&sources).unwrap();
        let settings = Settings { loaded, mode: Mode::Serve, reloader: None, log: None };
        Self { server: Server::start(settings).await.unwrap(), _home: home }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.public_addr()).await.unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.public_addr())
    }
}

/// Waits until the other side closed; how long that took.
async fn closed(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    // A reset is an end as well.
    drop(timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap());
    began.elapsed()
}

/// Reads one answer's head and body of known length.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let read = timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(bytes.get(..read).unwrap()).into_owned()
}

/// What the placeholder of `{ env = "ACME" }` reads.
const KEY: &str = "placeholder-for-variable-ACME";

const REQUEST: &[u8] = b"GET /v1/messages HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn silent_and_half_open_connections_are_closed_in_time() {
    let gateway = Gateway::start("").await;
    for beginning in ["", "GET /v1/mess", "PRI * HTTP/2.0\r\n", "POST /v1/messages HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = gateway.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let took = closed(&mut stream).await;
        assert!((SLOW / 2..GONE).contains(&took), "{beginning:?} after {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let gateway = Gateway::start("").await;
    let mut stream = gateway.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 401"));
    let began = Instant::now();
    while began.elapsed() < GONE {
        if stream.write_all(b"G").await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still open after {GONE:?}");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout() {
    let gateway = Gateway::start("").await;
    let mut stream = gateway.connect().await;
    for _ in 0..2 {
        stream.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 401"));
        tokio::time::sleep(SLOW * 2).await;
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let gateway = Gateway::start("max_connections = 2").await;
    let (first, _second) = (gateway.connect().await, gateway.connect().await);
    let mut third = gateway.connect().await;
    third.write_all(REQUEST).await.unwrap();
    assert!(timeout(SLOW / 5, third.readable()).await.is_err(), "served although there is no room");
    drop(first);
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 401"));
    let health = reqwest::get(format!("http://{}/livez", gateway.server.ops_addr())).await.unwrap();
    assert_eq!(health.status(), 200, "a full public listener does not shut the operator out");
}

#[tokio::test]
async fn http_2_is_spoken_to_those_who_know() {
    let gateway = Gateway::start("").await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(gateway.url("/v1/messages")).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 401));
    let long = "x".repeat(20_000);
    let answer = client.get(gateway.url("/v1/messages")).header("x-long", long).send().await;
    assert!(answer.map_or(true, |answer| answer.status() == 431));
}

#[tokio::test]
async fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let gateway = Gateway::start("").await;
    for (name, headers) in [
        ("two lengths", "content-length: 2\r\ncontent-length: 3\r\n"),
        ("a length that is none", "content-length: +2\r\n"),
        ("an encoding that is not the last", "transfer-encoding: chunked, identity\r\n"),
        ("an unknown encoding", "transfer-encoding: xchunked\r\n"),
    ] {
        let mut stream = gateway.connect().await;
        let request = format!("POST /v1/messages HTTP/1.1\r\nhost: x\r\n{headers}\r\n{{}}");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 400"), "{name}");
        assert!(closed(&mut stream).await < GONE, "{name}");
    }
}

#[tokio::test]
async fn a_smuggled_second_request_is_not_answered() {
    let gateway = Gateway::start("").await;
    let mut stream = gateway.connect().await;
    let request = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
                   0\r\n\r\nGET /sms HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    drop(timeout(GONE, stream.read_to_end(&mut all)).await); // the end, or nothing more comes
    let answers = String::from_utf8_lossy(&all).matches("HTTP/1.1 ").count();
    assert!(answers <= 1, "{answers} answers to one request");
}

#[tokio::test]
async fn a_stop_answers_who_is_connected_already() {
    let gateway = Gateway::start("").await;
    let address = gateway.server.public_addr();
    let stopping = tokio::spawn(gateway.server.shutdown());
    let mut streams = Vec::new();
    // Some before the listener closes, some maybe not: those that were let in are answered.
    while let Ok(stream) = TcpStream::connect(address).await {
        streams.push(stream);
    }
    for mut stream in streams {
        stream.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 401"));
    }
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

/// The kernel has made the connection, this process has not seen it yet: the test never gave it the time.
#[tokio::test]
async fn a_stop_accepts_the_message_of_whom_nobody_has_let_in_yet() {
    let gateway = Gateway::start("").await;
    let mut early = std::net::TcpStream::connect(gateway.server.public_addr()).unwrap();
    let message = r#"{"to":"+447700900000","text":"123456"}"#;
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{message}",
        message.len()
    );
    std::io::Write::write_all(&mut early, request.as_bytes()).unwrap();
    timeout(PATIENCE, gateway.server.shutdown()).await.unwrap();
    early.set_nonblocking(true).unwrap();
    let answered = answer(&mut TcpStream::from_std(early).unwrap()).await;
    assert!(answered.starts_with("HTTP/1.1 202"), "{answered}");
}

#[tokio::test]
async fn a_stop_closes_idle_connections_at_once_and_lets_requests_finish() {
    let gateway = Gateway::start("").await;
    let key = "placeholder-for-variable-ACME";
    let mut idle = gateway.connect().await;
    idle.write_all(REQUEST).await.unwrap();
    answer(&mut idle).await;
    let mut slow = gateway.connect().await;
    let body = r#"{"to":"+447700900000","text":"123456"}"#;
    let (begin, end) = body.split_at(10);
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{begin}",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await; // the head has arrived
    let Gateway { server, _home } = gateway;
    let address = server.public_addr();
    let stopping = tokio::spawn(server.shutdown());
    assert!(closed(&mut idle).await < SLOW);
    assert!(TcpStream::connect(address).await.is_err(), "nothing new is accepted");
    slow.write_all(end.as_bytes()).await.unwrap();
    assert!(answer(&mut slow).await.starts_with("HTTP/1.1 202"), "what had begun is answered");
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
}
