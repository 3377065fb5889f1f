//! What somebody with bad intentions, and now and then a valid key, can put into a request.

use e2e::{Answer, Caller, Gateway, french, swiss};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// Part of everything an attacker makes up.
pub(crate) const MARK: &str = "zqx";

/// Kinds of requests; `n` and `n + KINDS` are of one kind.
pub(crate) const KINDS: u32 = 16;

/// Letters that mean something to a label, a log line, a path or a terminal.
const NASTY: [&str; 6] = ["", "\"} 1\nx{y=\"", "%00%0a", "\u{202e}\u{0}\r\n", "../../", "é{{ code }}"];

pub(crate) struct Attacker {
    http: Client,
    url: String,
    ops_url: String,
    acme: Caller,
}

impl Attacker {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        let (http, acme) = (gateway.http().clone(), gateway.acme());
        Self { http, url: gateway.url(), ops_url: gateway.ops_url(), acme }
    }

    /// The `n`th request; whatever is answered, something must be.
    pub(crate) async fn attack(&self, n: u32) {
        let plain = format!("{MARK}{n}");
        let nasty = NASTY.get((n / KINDS) as usize % NASTY.len()).unwrap_or(&"");
        let word = format!("{plain}{nasty}");
        let request = match n % KINDS {
            ..8 => self.through_the_api(n, &plain, &word),
            _ => self.elsewhere(n, &plain, &word),
        };
        let answer = Answer::to(request).await.unwrap();
        assert!(answer.status < 500, "{}", answer.text());
    }

    fn through_the_api(&self, n: u32, plain: &str, word: &str) -> RequestBuilder {
        let request = |method, path: &str| self.acme.request(method, path);
        let messages = || request(Method::POST, "/v1/messages");
        match n % KINDS {
            0 => messages().json(&hostile(n, word)),
            1 => messages().json(&hostile(n, word)).header("idempotency-key", plain).header("x-request-id", plain),
            2 => messages().json(&json!({ "to": word, "template": word, "sender": word, word: 1 })),
            3 => messages().body(format!("{{\"{plain}\":{word}")),
            4 => request(Method::GET, &format!("/v1/messages/{plain}")),
            5 => {
                request(Method::GET, "/v1/messages").query(&[("provider", word), ("client_id", word), ("status", word)])
            }
            6 => request(Method::from_bytes(b"ZQXMETHOD").unwrap(), "/v1/messages"),
            _ => request(Method::POST, "/hooks/auth0").json(&json!({
                "recipient": french(n % 40), "text": "Your code is 482913", "message_type": "sms",
                "context": { "client_id": word, "language": word, "action": word, "code": "482913", "ip": word },
            })),
        }
    }

    fn elsewhere(&self, n: u32, plain: &str, word: &str) -> RequestBuilder {
        let at = |method, path: String| self.http.request(method, format!("{}{path}", self.url));
        let (get, post) = (|path: String| at(Method::GET, path), |path: String| at(Method::POST, path));
        match n % KINDS {
            8 => post("/v1/messages".to_owned())
                .bearer_auth(format!("sk_live_{plain}_0123456789abcdef"))
                .json(&hostile(n, word)),
            9 => get(format!("/{plain}/{n}")).header("user-agent", plain).header("host", format!("{plain}.example")),
            10 => post(format!("/hooks/{plain}/k/{plain}")).json(&hostile(n, word)),
            11 => post(format!("/receipts/{plain}/{plain}")).json(&hostile(n, word)),
            12 => post(format!("/receipts/mitto/{plain}"))
                .json(&json!({ "messageId": word, "status": word, "errorcode": word })),
            13 => post(format!("/2010-04-01/Accounts/AC{plain}/Messages.json")).basic_auth(plain, Some(plain)),
            14 => {
                post("/sms.json".to_owned()).header("x-mitto-api-key", plain).json(&json!({ "to": word, "text": word }))
            }
            _ => {
                let path = ["/inbox/v1/code", "/admin/v1/reload", "/inbox/v1/behaviours", "/metrics", "/zqx"];
                let path = path.get((n / KINDS) as usize % path.len()).unwrap();
                self.http.get(format!("{}{path}", self.ops_url)).query(&[("to", plain)])
            }
        }
    }
}

/// A message in which everything that may be chosen freely is chosen badly.
fn hostile(n: u32, word: &str) -> Value {
    json!({
        "to": if n.is_multiple_of(2) { swiss(n % 40) } else { french(n % 40) }, "text": "Your code is 482913",
        "client_id": word, "client_name": word, "language": "en", "action": word, "reference": word,
        "metadata": { word: word }, "end_user": { "id": word, "user_agent": word },
    })
}
