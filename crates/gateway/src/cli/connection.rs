//! How commands talk to a running gateway: where it is, with which key, and what its answers mean for the exit code.
//! A flag wins over the environment, the environment over what `gateway dev` left in `.gateway/dev.env`. Never sends a
//! credential to another address than the one it was found for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;
use sms_core::Secret;
use sms_gateway::config;

use super::failure::{Exit, Failure};

/// Where the public listener is.
#[derive(Debug, clap::Args)]
pub(crate) struct Public {
    #[arg(long, value_name = "URL", help = "Address of the gateway [or: GATEWAY_URL, .gateway/dev.env]")]
    url: Option<String>,
    #[arg(long, help = "Key of the tenant [or: GATEWAY_KEY, .gateway/dev.env]")]
    key: Option<String>,
}

/// Where the ops listener is.
#[derive(Debug, clap::Args)]
pub(crate) struct Ops {
    #[arg(long, value_name = "URL", help = "Address of the ops listener [or: GATEWAY_OPS_URL, .gateway/dev.env]")]
    ops_url: Option<String>,
    #[arg(long, value_name = "TOKEN", help = "Its token [or: GATEWAY_OPS_TOKEN]; `gateway dev` needs none")]
    ops_token: Option<String>,
}

impl Public {
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        Names { url: "GATEWAY_URL", credential: "GATEWAY_KEY", flag: "--url" }
            .connect(self.url.as_deref(), self.key.as_deref())
    }
}

impl Ops {
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        let names = Names { url: "GATEWAY_OPS_URL", credential: "GATEWAY_OPS_TOKEN", flag: "--ops-url" };
        names.connect(self.ops_url.as_deref(), self.ops_token.as_deref())
    }
}

/// What the two kinds of connection are called in the environment.
struct Names {
    url: &'static str,
    credential: &'static str,
    flag: &'static str,
}

impl Names {
    fn connect(&self, url: Option<&str>, credential: Option<&str>) -> Result<Connection, Failure> {
        let environment: BTreeMap<String, String> = config::environment().into_iter().collect();
        let dev = read_env_file(Path::new(DEV_ENV));
        let (url, credential) = self.resolve((url, credential), &environment, &dev)?;
        let base = Url::parse(&url).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        let base =
            base.ok_or_else(|| Failure::new(Exit::Usage, format!("`{url}` is no http:// or https:// address")))?;
        // A proxy meant for the web would be asked for a gateway on this machine.
        let client = Client::builder().no_proxy().build();
        let client = client.map_err(|error| Failure::new(Exit::Failed, format!("no HTTP client: {error}")))?;
        Ok(Connection { base, client, credential })
    }

    /// Address and credential out of what the flags gave, the environment, and what `dev` left.
    fn resolve(
        &self,
        (url, credential): (Option<&str>, Option<&str>),
        environment: &BTreeMap<String, String>,
        dev: &BTreeMap<String, String>,
    ) -> Result<(String, Option<Secret>), Failure> {
        let read =
            |from: &BTreeMap<String, String>, name: &str| from.get(name).filter(|text| !text.is_empty()).cloned();
        let of_dev = read(dev, self.url);
        let told = url.map(str::to_owned).or_else(|| read(environment, self.url));
        let Some(found) = told.or_else(|| of_dev.clone()) else {
            let message = format!(
                "no gateway to talk to: give {}, set {}, or start `gateway dev` in this directory",
                self.flag, self.url
            );
            return Err(Failure::new(Exit::Usage, message));
        };
        let told = credential.map(str::to_owned).or_else(|| read(environment, self.credential));
        let of_dev = of_dev.filter(|url| *url == found).and_then(|_| read(dev, self.credential));
        Ok((found, told.or(of_dev).map(Secret::new)))
    }
}

/// A gateway that can be asked.
#[derive(Debug)]
pub(crate) struct Connection {
    base: Url,
    client: Client,
    credential: Option<Secret>,
}

/// One question.
#[derive(Debug, Default)]
pub(crate) struct Question<'a> {
    pub(crate) path: &'a [&'a str],
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What to POST; without it the question is a GET.
    pub(crate) body: Option<Value>,
    /// How long the gateway was told it may think, on top of what any answer takes.
    pub(crate) patience: Duration,
}

/// A 2xx.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        let unread = |_| Failure::new(Exit::Failed, "the answer is no JSON: is this address a gateway's?");
        serde_json::from_str(&self.text).map_err(unread)
    }
}

impl Connection {
    /// Asks once.
    ///
    /// # Errors
    /// Nobody answers, the credential does not permit it, or the gateway refuses.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Result<Answer, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(question.path);
        }
        let method = if question.body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.client.request(method, url).timeout(ANSWER_MAX + question.patience);
        if !question.query.is_empty() {
            request = request.query(&question.query);
        }
        for (name, value) in question.headers {
            request = request.header(name, value);
        }
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential.expose());
        }
        if let Some(body) = &question.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() { Ok(Answer { text }) } else { Err(refused(status, &text)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port_or_known_default().unwrap_or_default();
        Failure::new(Exit::Unreachable, format!("the gateway at {host}:{port} {why}: is it running?"))
    }
}

/// A problem in words, and the exit code it means.
fn refused(status: StatusCode, text: &str) -> Failure {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let part = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default();
    let exit = match (status, part("code")) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Exit::NotPermitted,
        (_, "inbox_no_message") => Exit::TimedOut,
        _ => Exit::Failed,
    };
    let mut lines = vec![match part("code") {
        "" => format!("refused: HTTP {status}; is this address a gateway's?"),
        code => format!("{code}: {}", part("detail")),
    }];
    for fault in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| fault.get(key).and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("  {}: {}", part("field"), part("detail")));
    }
    lines.extend(["hint", "fix"].map(part).into_iter().filter(|text| !text.is_empty()).map(|text| format!("  {text}")));
    lines.extend(Some(part("request_id")).filter(|id| !id.is_empty()).map(|id| format!("  ({id})")));
    Failure::new(exit, lines.join("\n"))
}

/// `NAME=value` lines; empty when there is no such file.
pub(crate) fn read_env_file(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// What `gateway dev` leaves behind, relative to where it was started.
pub(crate) const DEV_ENV: &str = ".gateway/dev.env";
/// Longest time an answer takes that nobody asked to wait for.
const ANSWER_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Names = Names { url: "GATEWAY_URL", credential: "GATEWAY_KEY", flag: "--url" };

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn resolved(url: Option<&str>, key: Option<&str>, environment: &[(&str, &str)]) -> (String, Option<String>) {
        let dev = map(&[("GATEWAY_URL", "http://127.0.0.1:1"), ("GATEWAY_KEY", "sk_dev_x")]);
        let (url, key) = PUBLIC.resolve((url, key), &map(environment), &dev).unwrap();
        (url, key.map(|key| key.expose().to_owned()))
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_dev() {
        let environment = [("GATEWAY_URL", "http://e"), ("GATEWAY_KEY", "ke")];
        assert_eq!(
            resolved(Some("http://f"), Some("kf"), &environment),
            ("http://f".to_owned(), Some("kf".to_owned()))
        );
        assert_eq!(resolved(None, None, &environment), ("http://e".to_owned(), Some("ke".to_owned())));
        assert_eq!(resolved(None, None, &[]), ("http://127.0.0.1:1".to_owned(), Some("sk_dev_x".to_owned())));
    }

    #[test]
    fn the_key_of_dev_goes_nowhere_else() {
        assert_eq!(resolved(Some("https://sms.example.com"), None, &[]).1, None);
        assert_eq!(resolved(None, None, &[("GATEWAY_URL", "https://sms.example.com")]).1, None);
        assert_eq!(resolved(None, None, &[("GATEWAY_URL", "http://127.0.0.1:1")]).1.as_deref(), Some("sk_dev_x"));
    }

    #[test]
    fn without_an_address_the_way_to_one_is_told() {
        let failure = PUBLIC.resolve((None, None), &map(&[]), &map(&[])).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.unwrap().contains("GATEWAY_URL"));
    }

    #[test]
    fn refusals_become_exit_codes_and_keep_their_words() {
        let body = r#"{"code":"invalid_request","detail":"Two things are wrong.","fix":"Mend them.","request_id":"req_1",
            "errors":[{"field":"to","detail":"too short"}]}"#;
        let failure = refused(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(
            failure.message.unwrap(),
            "invalid_request: Two things are wrong.\n  to: too short\n  Mend them.\n  (req_1)"
        );
        assert_eq!(refused(StatusCode::UNAUTHORIZED, "").exit, Exit::NotPermitted);
        assert_eq!(refused(StatusCode::FORBIDDEN, "{}").exit, Exit::NotPermitted);
        assert_eq!(refused(StatusCode::NOT_FOUND, r#"{"code":"inbox_no_message"}"#).exit, Exit::TimedOut);
        assert_eq!(refused(StatusCode::NOT_FOUND, "<html>").exit, Exit::Failed);
    }
}
