//! A tenant's application: the native API with one key.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::answer::Answer;
use crate::poll::{PATIENCE, eventually};

/// Calls one gateway with one key.
#[derive(Clone, Debug)]
pub struct Caller {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Caller {
    /// A caller at `url` with `key`.
    pub fn new(http: reqwest::Client, url: &str, key: &str) -> Self {
        Self { http, url: url.to_owned(), key: key.to_owned() }
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A request with the key as bearer, for what no other method offers.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.key)
    }

    /// `POST /v1/messages`; `Err` when there was no complete answer.
    ///
    /// # Errors
    /// The connection failed or broke off.
    pub async fn try_send(&self, body: &Value) -> Result<Answer, reqwest::Error> {
        Answer::to(self.request(Method::POST, MESSAGES).json(body)).await
    }

    /// `POST /v1/messages`.
    pub async fn send(&self, body: &Value) -> Answer {
        self.send_with(&[], body).await
    }

    /// `POST /v1/messages` with more headers.
    pub async fn send_with(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.post_with(MESSAGES, headers, body).await
    }

    /// `POST /v1/messages` with `Prefer: wait=N`: the provider's answer, or what there is after `wait_s`.
    pub async fn send_and_wait(&self, wait_s: u8, body: &Value) -> Answer {
        self.send_with(&[("prefer", &format!("wait={wait_s}"))], body).await
    }

    /// Sends, expects 202, and returns the message's id.
    pub async fn accepted(&self, body: &Value) -> String {
        self.send(body).await.expect(202).message_id()
    }

    /// `POST` of JSON.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let request = self.request(Method::POST, path).json(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::to(request).await.expect("an answer")
    }

    /// `POST` of bytes as they are.
    pub async fn post_bytes(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", content_type).body(body);
        Answer::to(request).await.expect("an answer")
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await.expect("an answer")
    }

    /// `GET /v1/messages/{id}`, which must be there.
    pub async fn message(&self, id: &str) -> Value {
        self.get(&format!("{MESSAGES}/{id}")).await.expect(200).json()
    }

    /// `GET /v1/messages?…`: the page as it came.
    pub async fn list(&self, query: &[(&str, &str)]) -> Answer {
        Answer::to(self.request(Method::GET, MESSAGES).query(query)).await.expect("an answer")
    }

    /// `POST /v1/messages/{id}/cancel`.
    pub async fn cancel(&self, id: &str) -> Answer {
        Answer::to(self.request(Method::POST, &format!("{MESSAGES}/{id}/cancel"))).await.expect("an answer")
    }

    /// `POST /v1/messages/{id}/feedback`.
    pub async fn feedback(&self, id: &str, body: &Value) -> Answer {
        self.post_with(&format!("{MESSAGES}/{id}/feedback"), &[], body).await
    }

    /// Waits until the message has this status; returns it.
    pub async fn wait_status(&self, id: &str, status: &str) -> Value {
        self.wait_any_status(id, &[status], PATIENCE).await
    }

    /// Waits until the message has one of these statuses; returns it.
    pub async fn wait_any_status(&self, id: &str, statuses: &[&str], limit: Duration) -> Value {
        let mut last = Value::Null;
        let what = format!("message {id} is {statuses:?}");
        eventually(&what, limit, async || {
            let message = self.message(id).await;
            let status = message.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
            if last != message {
                last = message.clone();
                eprintln!("message {id}: {status}"); // the story, should the test fail
            }
            statuses.contains(&status.as_str()).then_some(message)
        })
        .await
    }
}

const MESSAGES: &str = "/v1/messages";
