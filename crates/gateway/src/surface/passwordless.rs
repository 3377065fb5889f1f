//! `POST /hooks/auth0/passwordless`: Auth0's own SMS gateway of a passwordless connection
//! (`shared/reference/identity-platforms.md` §1.4). Success is exactly 200; only the status is read.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use sms_core::{Body, Class, Secret};
use sms_engine::plan::Tenant;
use sms_engine::{EndUser, SendRequest};

use super::auth::bearer_or_bare;
use super::code::only_code;
use super::front::Front;
use super::hook::{self, Sameness};
use super::problem::Problem;
use crate::http;
use crate::telemetry::AuthFailure;

/// Auth0 waits 30 s; the person waits too.
const PATIENCE: Duration = Duration::from_secs(8);

/// With a key or a signed token in `Authorization`.
pub(super) async fn hook(State(front): State<Arc<Front>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let tenant = authenticated(&front, &parts)?;
    let bytes = front.read(body).await?;
    deliver(&front, &tenant, &http::json(&bytes)?).await
}

/// With the key in the path.
pub(super) async fn hook_with_key(
    State(front): State<Arc<Front>>,
    Path(key): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let tenant = front.tenant(Some(&key), &parts.extensions)?;
    let bytes = front.read(body).await?;
    deliver(&front, &tenant, &http::json(&bytes)?).await
}

async fn deliver(front: &Front, tenant: &Tenant, json: &Value) -> Result<Response, Problem> {
    let (request, sameness) = read(json);
    hook::deliver(front, tenant, request, sameness, PATIENCE).await
}

fn authenticated(front: &Front, parts: &Parts) -> Result<Arc<Tenant>, Problem> {
    let Some(credential) = bearer_or_bare(&parts.headers) else {
        return Err(front.refuse(AuthFailure::Missing, &parts.extensions));
    };
    if let Some(tenant) = front.engine.authenticate(credential) {
        return Ok(tenant);
    }
    let live = front.live.load();
    let owner = live.passwordless.iter().find(|known| known.verifier.accepts(credential)).map(|known| &known.tenant);
    let tenant = owner.and_then(|id| front.engine.plan().tenants.get(id).cloned());
    let reason = if is_token(credential) { AuthFailure::Token } else { AuthFailure::Unknown };
    tenant.ok_or_else(|| front.refuse(reason, &parts.extensions))
}

fn is_token(credential: &str) -> bool {
    credential.matches('.').count() == 2
}

fn read(json: &Value) -> (SendRequest, Sameness) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let of_request = |key: &str| text(json.get("req").and_then(|req| req.get(key)));
    let recipient = text(json.get("recipient")).unwrap_or_default();
    let body = text(json.get("body"));
    let sameness = Sameness::of("auth0 passwordless", &[&recipient, body.as_deref().unwrap_or_default()]);
    let request = SendRequest {
        code: body.as_deref().and_then(only_code).map(|code| Body::new(code.to_owned())),
        text: body.map(Body::new),
        class: Class::Otp,
        sender_hint: text(json.get("sender")),
        end_user: EndUser {
            ip: of_request("ip").and_then(|ip| ip.parse().ok()),
            user_agent: of_request("user-agent"),
            ..EndUser::default()
        },
        ..SendRequest::new(recipient, hook::accepted)
    };
    (request, sameness)
}

/// Checks the tokens that Auth0 signs with a shared secret. `none` and signatures by public keys are never accepted; an
/// expiry counts where there is one.
pub(crate) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

/// A token's claims; those that are checked are checked by the library.
#[derive(Deserialize)]
struct Claims {}

impl Verifier {
    /// `None` when the secret should be base64 and is not.
    pub(crate) fn new(secret: &Secret, is_base64: bool, subject: String, audience: String) -> Option<Self> {
        let key = if is_base64 {
            DecodingKey::from_secret(&decoded(secret.expose())?)
        } else {
            DecodingKey::from_secret(secret.expose().as_bytes())
        };
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        validation.set_required_spec_claims(&["aud", "sub"]);
        validation.set_audience(&[audience]);
        validation.sub = Some(subject);
        Some(Self { key, validation })
    }

    fn accepts(&self, token: &str) -> bool {
        jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).is_ok()
    }
}

/// Both alphabets, with or without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    /// From the reference, §13.
    const VECTOR: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1cm46QXV0aDAiLCJhdWQiOiJ1cm46TXlTbXNHYXRld2F5In0.KSMC-Cm2Ck1j0OZ5RnESXr0pbeT-7acnKoG2BjefIyM";
    const SECRET: &str = "MySecretToSignTheToken";

    fn verifier(secret: &str, is_base64: bool) -> Verifier {
        let (subject, audience) = ("urn:Auth0".to_owned(), "urn:MySmsGateway".to_owned());
        Verifier::new(&Secret::new(secret), is_base64, subject, audience).unwrap()
    }

    fn signed(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    fn claims() -> Value {
        json!({ "sub": "urn:Auth0", "aud": "urn:MySmsGateway" })
    }

    #[test]
    fn the_reference_token_is_accepted() {
        assert!(verifier(SECRET, false).accepts(VECTOR));
        assert!(!verifier("another secret", false).accepts(VECTOR));
    }

    #[test]
    fn all_hmac_algorithms_and_base64_secrets_work() {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert!(verifier(SECRET, false).accepts(&signed(algorithm, SECRET.as_bytes(), &claims())));
        }
        let token = signed(Algorithm::HS256, &[0xfb, 0xff, 0xfe, 1, 2], &claims());
        assert!(verifier("-__-AQI", true).accepts(&token));
        assert!(verifier("+//+AQI=", true).accepts(&token));
        let (subject, audience) = (String::new(), String::new());
        assert!(Verifier::new(&Secret::new("!!"), true, subject, audience).is_none());
    }

    #[test]
    fn wrong_claims_and_expired_tokens_are_refused() {
        let accepts =
            |claims: Value| verifier(SECRET, false).accepts(&signed(Algorithm::HS256, SECRET.as_bytes(), &claims));
        assert!(accepts(json!({ "sub": "urn:Auth0", "aud": ["x", "urn:MySmsGateway"], "exp": 4_000_000_000_u64 })));
        for claims in [
            json!({ "sub": "urn:Auth0" }),
            json!({ "aud": "urn:MySmsGateway" }),
            json!({ "sub": "urn:Else", "aud": "urn:MySmsGateway" }),
            json!({ "sub": "urn:Auth0", "aud": "urn:Else" }),
            json!({ "sub": "urn:Auth0", "aud": "urn:MySmsGateway", "exp": 1_000_000_000 }),
        ] {
            assert!(!accepts(claims.clone()), "{claims}");
        }
    }

    #[test]
    fn unsigned_tokens_are_refused() {
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        for header in [json!({ "alg": "none", "typ": "JWT" }), json!({ "alg": "None" }), json!({ "alg": "RS256" })] {
            let token = format!("{}.{}.", part(header), part(claims()));
            assert!(!verifier(SECRET, false).accepts(&token), "{token}");
        }
    }

    #[test]
    fn the_request_is_read() {
        let json = json!({ "recipient": "+1 399 999", "body": "Your verification code is: 12345", "sender": "+1 234 567",
                           "req": { "ip": "167.56.227.117", "user-agent": "Mozilla/5.0" } });
        let (request, same) = read(&json);
        assert_eq!((request.to.as_str(), request.code.as_ref().map(Body::expose)), ("+1 399 999", Some("12345")));
        assert_eq!(request.end_user.user_agent.as_deref(), Some("Mozilla/5.0"));
        assert_eq!(request.sender_hint.as_deref(), Some("+1 234 567"));
        let (_, again) = read(&json);
        assert!(same == again);
    }
}
