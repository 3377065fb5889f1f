//! As much of HTTP/1.1 as an upstream needs. Never trusts a length.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Behaviour;

/// One request as it came over the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// When it had been read, by the upstream's own clock.
    pub at: Instant,
    /// What the upstream did with it.
    pub behaviour: Behaviour,
    /// `GET`, `POST`, …
    pub method: String,
    /// 1 for the first request the upstream read.
    pub number: usize,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// After removal of any chunking.
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, where it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// `None` when the peer closed before a request began.
    pub(super) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let Some(head) = read_until(stream, buffer, b"\r\n\r\n").await? else { return Ok(None) };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let (at, body) = (Instant::now(), Vec::new());
        let mut request = Self { at, behaviour: Behaviour::Accept, method, number: 0, target, headers, body };
        request.body = request.read_body(stream, buffer).await?;
        request.at = Instant::now();
        Ok(Some(request))
    }

    async fn read_body(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        if let Some(length) = self.header("content-length") {
            return read_exact(stream, buffer, length.parse().map_err(|_| broken())?).await;
        }
        let mut body = Vec::new();
        if self.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = read_until(stream, buffer, b"\r\n").await?.ok_or_else(broken)?;
                let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).map_err(|_| broken())?;
                body.extend(read_exact(stream, buffer, size).await?);
                read_exact(stream, buffer, 2).await?;
                if size == 0 || body.len() > BYTES_MAX {
                    break;
                }
            }
        }
        Ok(body)
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers besides the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::text(status, &body.to_string()).with("content-type", "application/json; charset=utf-8")
    }

    /// An answer of plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head =
            format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n{}\r\n", self.status, self.body.len(), headers.concat());
        [head.as_bytes(), &self.body].concat()
    }
}

/// Everything before `end`, which is consumed; `None` when the peer closed before the first byte.
pub(super) async fn read_until(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    end: &[u8],
) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            let found = buffer.drain(..at).collect();
            buffer.drain(..end.len());
            return Ok(Some(found));
        }
        if buffer.len() > BYTES_MAX {
            return Err(broken());
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(broken()) };
        }
    }
}

async fn read_exact(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    if length > BYTES_MAX {
        return Err(broken());
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(broken());
        }
    }
    Ok(buffer.drain(..length).collect())
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

const BYTES_MAX: usize = 1024 * 1024;
