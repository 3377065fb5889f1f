//! The ceiling of the benchmark: JSON in over axum, JSON out over reqwest, an answer when the upstream answered.
//! It must never gain a store, limits or retries: what it lacks is what the gateway's figures are held against.
//!
//! Usage: `bench-relay ADDR URL`, for example `bench-relay 127.0.0.1:24190 http://127.0.0.1:28089/sms.json`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Where every message goes, and the pool of connections that takes it there.
#[derive(Clone)]
struct Upstream {
    client: Client,
    url: String,
}

impl Upstream {
    /// Hands one message on in Mitto's shape and returns the upstream's id.
    async fn send(&self, message: &Value) -> Result<Value, reqwest::Error> {
        let out = json!({"from": "bench", "to": message.get("to"), "text": message.get("text")});
        let answer = self.client.post(&self.url).json(&out).send().await?.error_for_status()?;
        let mut answer: Value = answer.json().await?;
        Ok(answer.get_mut("id").map_or(Value::Null, Value::take))
    }
}

async fn relay(State(upstream): State<Upstream>, Json(message): Json<Value>) -> (StatusCode, Json<Value>) {
    match upstream.send(&message).await {
        Ok(id) => (StatusCode::OK, Json(json!({"id": id, "status": "sent"}))),
        Err(error) => (StatusCode::BAD_GATEWAY, Json(json!({"detail": error.to_string()}))),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(addr), Some(url)) = (args.next(), args.next()) else {
        return Err("usage: bench-relay ADDR URL".into());
    };
    let client = Client::builder().no_proxy().build()?;
    let app = Router::new().route("/v1/messages", post(relay)).with_state(Upstream { client, url });
    axum::serve(TcpListener::bind(&addr).await?, app).await?;
    Ok(())
}
