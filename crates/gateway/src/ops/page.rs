//! `/inbox` for people: what the mock received, newest first. No script; read only.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::Ops;
use crate::providers::InboxMessage;
use crate::surface::problem::Problem;

/// Messages on the page.
const SHOWN_MAX: usize = 100;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.2rem}li{border-top:1px solid #8888;padding:.6rem 0;list-style:none}ul{padding:0}\
.code{font-size:1.4rem;font-variant-numeric:tabular-nums}.meta{opacity:.75}p{margin:.2rem 0;overflow-wrap:anywhere}";

/// `GET /inbox`; looks again by itself.
pub(super) async fn show(State(ops): State<Arc<Ops>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    ops.permit(&parts)?;
    let mut messages = ops.0.inbox.messages(None, None, usize::MAX);
    let total = messages.len();
    messages.reverse();
    messages.truncate(SHOWN_MAX);
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'");
    Ok((
        [(CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (CONTENT_SECURITY_POLICY, policy)],
        page(&messages, total),
    )
        .into_response())
}

fn page(messages: &[InboxMessage], total: usize) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Inbox ({total})</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"3\">\
         <style>{STYLE}</style></head><body><h1>Inbox: {total} messages</h1>"
    );
    if messages.is_empty() {
        html.push_str("<p>Nothing yet. What a mock provider receives appears here by itself.</p>");
    }
    html.push_str("<ul>");
    for message in messages {
        let code = message.code.as_deref().map(|code| format!("<p class=\"code\">{}</p>", escaped(code)));
        // Writing to a String cannot fail.
        write!(
            html,
            "<li>{}<p>{}</p><p class=\"meta\">to {} · from {} · {} · {} × {} · {} · {}</p></li>",
            code.unwrap_or_default(),
            escaped(&message.text),
            escaped(&message.to),
            escaped(&message.sender),
            escaped(&message.at),
            message.segments,
            message.encoding.as_str(),
            escaped(message.provider.as_str()),
            escaped(&message.id),
        )
        .unwrap_or_default();
    }
    html.push_str("</ul></body></html>");
    html
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use sms_core::{Encoding, ProviderName};

    fn message(text: &str) -> InboxMessage {
        InboxMessage {
            id: "msg_1".to_owned(),
            cursor: "1".to_owned(),
            provider: ProviderName::new("mock"),
            to: "+447700900000".to_owned(),
            sender: "A&B".to_owned(),
            text: text.to_owned(),
            code: Some("123456".to_owned()),
            encoding: Encoding::Gsm7,
            segments: 1,
            at: "2026-11-24T12:00:00Z".to_owned(),
        }
    }

    #[test]
    fn texts_cannot_become_markup() {
        let html = page(&[message("<script>alert('x')</script>")], 1);
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(html.contains("A&amp;B") && html.contains("<p class=\"code\">123456</p>"));
    }

    #[test]
    fn an_empty_inbox_says_so() {
        assert!(page(&[], 0).contains("Nothing yet"));
    }
}
