//! Request bodies: bounded in size, time and, where JSON, depth. Must never quote what it read.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use serde_json::Value;
use serde_json::error::Category;

use crate::surface::problem::{Code, Problem};

/// How long a body may take to arrive, whatever its size.
const READ_TIME_MAX: Duration = Duration::from_secs(10);

/// What is read of a body that is too large, so that its sender gets to see why.
const DISCARD_MAX: usize = 1024 * 1024;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);

/// Deepest nesting of lists and objects.
const DEPTH_MAX: usize = 16;

/// The whole body.
///
/// # Errors
/// `body_too_large`, `body_timeout`, or `invalid_json` when the connection breaks off.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    // A length that was announced is refused before anything is kept.
    if body.size_hint().lower() > bytes_max as u64 {
        discard(body).await;
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(READ_TIME_MAX, collect(body, bytes_max)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            Code::BodyTimeout,
            format!("The body was not complete after {} s.", READ_TIME_MAX.as_secs()),
            "Send it in one go.",
        )),
    }
}

/// Reads the rest and forgets it: whoever is still writing when the connection closes sees a reset instead of the answer.
/// Bounded, so that a body of any length costs as much as this and no more.
async fn discard(mut body: Body) {
    if body.size_hint().lower() > DISCARD_MAX as u64 {
        return; // no use
    }
    let rest = async {
        let mut left = DISCARD_MAX;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    drop(tokio::time::timeout(DISCARD_TIME_MAX, rest).await); // then it sees a reset
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut first: Option<Bytes> = None;
    let mut rest: Vec<u8> = Vec::new();
    loop {
        let frame = match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break,
            Some(Err(_)) => return Err(broken_off()),
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else { continue }; // trailers
        let so_far = first.as_ref().map_or(0, Bytes::len) + rest.len();
        if so_far + data.len() > bytes_max {
            discard(body).await;
            return Err(too_large(bytes_max));
        }
        match &first {
            None => first = Some(data), // most bodies are one frame: no copy
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    let first = first.unwrap_or_default();
    Ok(if rest.is_empty() { first } else { [&first, rest.as_slice()].concat().into() })
}

/// Parses a body as JSON.
///
/// # Errors
/// `invalid_json`, with the place of the mistake.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, Problem> {
    if is_too_deep(bytes) {
        return Err(Problem::new(
            Code::InvalidJson,
            format!("The body is nested more than {DEPTH_MAX} levels deep."),
            "Flatten it.",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = match error.classify() {
            _ if bytes.is_empty() => "The body is empty.".to_owned(),
            Category::Eof => "The JSON ends too early.".to_owned(),
            Category::Data | Category::Io | Category::Syntax => {
                format!("The body is no JSON: line {}, column {}.", error.line(), error.column())
            }
        };
        Problem::new(Code::InvalidJson, detail, "Send one JSON object in UTF-8.")
    })
}

/// Counts brackets outside of strings; whether they match is the parser's business.
fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        Code::BodyTooLarge,
        format!("The body is larger than {bytes_max} bytes."),
        "Send less at a time; `server.body_max` sets the bound.",
    )
}

fn broken_off() -> Problem {
    Problem::new(Code::InvalidJson, "The body broke off.", "Send the same request again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(problem: &Problem) -> &'static str {
        problem.code().as_str()
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
        assert_eq!(code(&read(Body::from("123456"), 5).await.unwrap_err()), "body_too_large");
        assert_eq!(read(Body::empty(), 5).await.unwrap(), "");
    }

    /// A sender that announces a body and never sends it.
    struct Stalled;

    impl axum::body::HttpBody for Stalled {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let began = tokio::time::Instant::now();
        assert_eq!(code(&read(Body::new(Stalled), 5).await.unwrap_err()), "body_timeout");
        assert_eq!(began.elapsed(), READ_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_that_is_too_large_is_read_up_to_a_bound() {
        let (began, silent) = (tokio::time::Instant::now(), Body::new(Silent(100)));
        assert_eq!(code(&read(silent, 5).await.unwrap_err()), "body_too_large");
        assert_eq!(began.elapsed(), DISCARD_TIME_MAX, "nobody is waited for any longer");
        let (began, endless) = (tokio::time::Instant::now(), Body::new(Silent(u64::MAX)));
        assert_eq!(code(&read(endless, 5).await.unwrap_err()), "body_too_large");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    /// Announces so many bytes, and sends none.
    struct Silent(u64);

    impl axum::body::HttpBody for Silent {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }

        fn size_hint(&self) -> hyper::body::SizeHint {
            hyper::body::SizeHint::with_exact(self.0)
        }
    }

    #[test]
    fn sixteen_levels_pass_and_seventeen_do_not() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(nested(16).as_bytes()).is_ok());
        assert_eq!(code(&json(nested(17).as_bytes()).unwrap_err()), "invalid_json");
        assert_eq!(code(&json("[".repeat(100_000).as_bytes()).unwrap_err()), "invalid_json");
    }

    #[test]
    fn brackets_in_strings_are_text() {
        let text = format!(r#"{{"a":"{}\"[["}}"#, "[".repeat(50));
        assert!(json(text.as_bytes()).is_ok());
    }

    #[test]
    fn a_mistake_is_told_by_its_place_and_not_quoted() {
        for bad in ["", "{", "{\"code\": 123456 \"x\"}", "\u{feff}{}", "{}{}", "nul"] {
            let problem = json(bad.as_bytes()).unwrap_err();
            assert_eq!(code(&problem), "invalid_json", "{bad}");
            assert!(!format!("{problem:?}").contains("123456"));
        }
    }
}
