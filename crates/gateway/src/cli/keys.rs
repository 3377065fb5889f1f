//! `gateway keys create`: makes an API key, shows it once, and says what the configuration keeps of it. Never writes a
//! key to a file or a log.
//!
//! A key reads `sk_<env>_<id>_<secret><check>`: who finds one can tell whose it is and that it is whole; 32 random bytes
//! make the secret. The gateway itself takes any text whose hash is configured.

use std::fmt::Write as _;

use clap::Subcommand;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sms_core::Secret;

use super::failure::{Exit, Failure};
use super::output::{self, Output};

/// `gateway keys …`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key; it is shown once.
    Create {
        /// Whose it will be; names the line in the configuration.
        #[arg(long)]
        tenant: String,
    },
}

impl Command {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::Create { tenant } => create(&tenant, output),
        }
    }
}

fn create(tenant: &str, output: Output) -> Result<(), Failure> {
    let well_formed = tenant.starts_with(|c: char| c.is_ascii_lowercase())
        && tenant.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !well_formed {
        let message = format!("`{tenant}` is no name of a tenant: expected [a-z][a-z0-9_]*");
        return Err(Failure::new(Exit::Usage, message));
    }
    let key = make("live")?;
    let hash = hash(&key);
    let line = format!("keys = [\"{hash}\"]");
    output.result(
        || key.expose().to_owned(),
        || json!({ "key": key.expose(), "tenant": tenant, "hash": hash, "config": format!("[tenants.{tenant}]\n{line}") }),
    )?;
    output::note(&format!(
        "\nThis key is shown once: store it where the caller of the gateway reads it.\n\
         The configuration keeps its hash only (add it to the list while another key is in use):\n\n\
         [tenants.{tenant}]\n{line}"
    ));
    Ok(())
}

/// A new key for `env`, `live` or `dev`.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn make(env: &str) -> Result<Secret, Failure> {
    let mut random = [0_u8; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|error| Failure::new(Exit::Failed, format!("no randomness: {error}")))?;
    let (id, secret) = random.split_at(ID_BYTES);
    let mut key = format!("sk_{env}_{}_{}", base62(id, ID_CHARS), base62(secret, SECRET_CHARS));
    let check = check(&key);
    key.push_str(&check);
    Ok(Secret::new(key))
}

/// What the configuration keeps of a key.
pub(crate) fn hash(key: &Secret) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(key.expose()) {
        write!(text, "{byte:02x}").unwrap_or_default(); // writing to a String cannot fail
    }
    text
}

/// Tells a mistyped or cut key from a whole one, so that scanners of repositories need not ask anybody.
fn check(key: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let [a, b, c, d, ..] = digest;
    base62(&[a, b, c, d], CHECK_CHARS)
}

/// A big-endian number in `chars` digits of base 62; leading zeros keep the length.
fn base62(bytes: &[u8], chars: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(chars);
    for _ in 0..chars {
        let mut rest = 0_usize;
        for byte in &mut number {
            let value = rest * 256 + usize::from(*byte);
            // Below 62 × 256 / 62: fits.
            *byte = u8::try_from(value / 62).unwrap_or_default();
            rest = value % 62;
        }
        digits.push(ALPHABET.get(rest).copied().map_or('0', char::from));
    }
    digits.iter().rev().collect()
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_BYTES: usize = 6;
/// 62^9 > 2^48.
const ID_CHARS: usize = 9;
const SECRET_BYTES: usize = 32;
/// 62^43 > 2^256.
const SECRET_CHARS: usize = 43;
/// 62^6 > 2^32.
const CHECK_CHARS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_documented_shape_and_a_check_that_holds() {
        let key = make("live").unwrap();
        let parts: Vec<&str> = key.expose().split('_').collect();
        let [sk, env, id, secret] = parts.as_slice() else { panic!("four parts") };
        assert_eq!((*sk, *env, id.len(), secret.len()), ("sk", "live", ID_CHARS, SECRET_CHARS + CHECK_CHARS));
        let (whole, tail) = key.expose().split_at(key.expose().len() - CHECK_CHARS);
        assert_eq!(check(whole), tail);
        assert_ne!(check(&whole.replacen(*id, "000000000", 1)), tail);
    }

    #[test]
    fn two_keys_differ() {
        assert_ne!(make("dev").unwrap().expose(), make("dev").unwrap().expose());
    }

    #[test]
    fn the_hash_is_that_of_the_whole_text() {
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(&Secret::new("abc")), known);
    }

    #[test]
    fn base62_keeps_every_bit_and_its_length() {
        assert_eq!(base62(&[0, 0], 3), "000");
        assert_eq!(base62(&[1, 0], 3), "048");
        assert_eq!(base62(&[0xff; 32], 43).len(), 43);
        assert_eq!(base62(&[61], 1), "z");
    }
}
