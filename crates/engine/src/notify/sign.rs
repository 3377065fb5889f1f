//! Standard Webhooks 1.0.0 signatures (`v1`: HMAC-SHA256 over `id.timestamp.body`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sms_core::Secret;

/// One signature a secret, separated by spaces, for `webhook-signature`.
pub(super) fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let each = |secret| format!("v1,{}", STANDARD.encode(sign(secret, id, timestamp, body)));
    secrets.iter().map(each).collect::<Vec<_>>().join(" ")
}

fn sign(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(&key(secret)).expect("any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// `whsec_` and base64 as the standard has it; anything else is taken as it stands.
fn key(secret: &Secret) -> Vec<u8> {
    let text = secret.expose();
    let decoded = text.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok());
    decoded.unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own vector.
    #[test]
    fn signs_as_the_standard_does() {
        let secret = Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let signature = signatures(&[secret], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let secrets = [Secret::new("new"), Secret::new("old")];
        assert_eq!(signatures(&secrets, "id", 1, b"{}").split(' ').count(), 2);
    }
}
