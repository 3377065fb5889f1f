//! The store's key and what is derived from it: sealed columns and keyed hashes. The only place of the store that
//! encrypts. Must never write a key, a number or a text anywhere.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::BlockCipherEncrypt as _;
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use polyval::Polyval;
use polyval::universal_hash::UniversalHash as _;
use sha2::Sha256;
use sms_core::store::Idempotency;
use sms_core::{LimitId, MessageId, Msisdn, Secret, TenantId};
use zeroize::{Zeroize as _, Zeroizing};

/// 32 secret bytes from which every key of the store is derived; wiped from memory when dropped.
#[derive(Clone)]
pub struct StoreKey([u8; 32]);

impl StoreKey {
    /// A fresh random key.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// Reads 32 bytes in base64, as `store.key` has them; surrounding white space is dropped.
    ///
    /// # Errors
    /// The text is something else. It is not echoed.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).map_err(|_| KeyError::NotBase64)?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyError::Length(bytes.len()))?;
        Ok(Self(bytes))
    }

    /// The form that [`Self::parse`] reads, for the key file.
    pub fn to_base64(&self) -> Secret {
        Secret::new(STANDARD.encode(self.0))
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(redacted)")
    }
}

impl Drop for StoreKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong number of bytes.
    #[error("the store key has {0} bytes, not 32: make one with `openssl rand -base64 32`")]
    Length(usize),
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// Not base64.
    #[error("the store key is not base64: make one with `openssl rand -base64 32`")]
    NotBase64,
}

/// A keyed hash: finds a row without telling what it stands for.
pub(crate) type Hash16 = [u8; 16];

/// A sealed column; its label goes into the column's key, so the numbers must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Answer = 1,
    Body = 2,
    Details = 3,
    To = 4,
}

/// What [`StoreKey`] is used as.
pub(crate) struct Keys {
    seal: Hmac<Sha256>,
    hash: Hmac<Sha256>,
    check: Hash16,
    page_hash: Polyval,
    page_cipher: Aes128,
}

impl Keys {
    pub(crate) fn derive(key: &StoreKey) -> Self {
        let master = hmac(&key.0);
        let [page_hash, page_cipher] =
            [b"page hash".as_slice(), b"page cipher"].map(|part| short(mac(&master, &[part])));
        Self {
            page_hash: Polyval::new(&page_hash.into()),
            page_cipher: Aes128::new(&page_cipher.into()),
            seal: hmac(&mac(&master, &[b"seal"])),
            hash: hmac(&mac(&master, &[b"hash"])),
            check: short(mac(&master, &[b"check"])),
        }
    }

    /// Tells whether a database was written with this key.
    pub(crate) fn check(&self) -> Hash16 {
        self.check
    }

    /// Names the key in a row, so that rows of several keys can live together during a rotation.
    pub(crate) fn id(&self) -> i64 {
        let [a, b, c, d, ..] = self.check;
        i64::from(u32::from_be_bytes([a, b, c, d]))
    }

    /// Encrypts and authenticates one column of one message.
    ///
    /// Each column of each message has its own key, which therefore encrypts once: a constant nonce is
    /// safe, and a column copied to another place does not open.
    pub(crate) fn seal(&self, id: MessageId, column: Column, plain: &[u8]) -> Vec<u8> {
        let aad = aad(id, column);
        #[expect(clippy::expect_used, reason = "only fails above 64 GiB; a request is capped at 64 KiB")]
        self.cipher(&aad).encrypt(&Nonce::default(), Payload { msg: plain, aad: &aad }).expect("short plaintext")
    }

    /// `None` when the column was changed, or sealed with another key.
    pub(crate) fn open(&self, id: MessageId, column: Column, sealed: &[u8]) -> Option<Vec<u8>> {
        let aad = aad(id, column);
        self.cipher(&aad).decrypt(&Nonce::default(), Payload { msg: sealed, aad: &aad }).ok()
    }

    pub(crate) fn number(&self, number: Msisdn) -> Hash16 {
        short(mac(&self.hash, &[b"number", &number.digits().to_be_bytes()]))
    }

    pub(crate) fn limit(&self, limit: &LimitId, key: &str) -> Hash16 {
        short(mac(&self.hash, &[b"limit", limit.as_str().as_bytes(), key.as_bytes()]))
    }

    pub(crate) fn idempotency(&self, tenant: &TenantId, idempotency: &Idempotency) -> Hash16 {
        short(mac(&self.hash, &[b"idempotency", tenant.as_str().as_bytes(), idempotency.key.as_bytes()]))
    }

    /// The request's fingerprint is a plain hash of number and text, which could be searched by trial.
    pub(crate) fn fingerprint(&self, idempotency: &Idempotency) -> Hash16 {
        short(mac(&self.hash, &[b"fingerprint", &idempotency.fingerprint]))
    }

    /// Authenticates `bytes` in their place `place`; never 0, which stands for a place that was never written.
    ///
    /// A universal hash behind a block cipher: three times as fast as an HMAC, for whole pages of a file.
    pub(crate) fn sum(&self, place: u64, bytes: &[u8]) -> u64 {
        let mut hash = self.page_hash.clone();
        let mut head = [0; 16];
        for (to, from) in head.iter_mut().zip(place.to_be_bytes().into_iter().chain((bytes.len() as u64).to_be_bytes()))
        {
            *to = from;
        }
        hash.update(&[head.into()]);
        hash.update_padded(bytes);
        let mut tag = hash.finalize();
        self.page_cipher.encrypt_block(&mut tag);
        tag.0.first_chunk().map_or(1, |first| u64::from_be_bytes(*first).max(1))
    }

    fn cipher(&self, aad: &[u8; 17]) -> Aes256Gcm {
        let key = Zeroizing::new(mac(&self.seal, &[aad]));
        Aes256Gcm::new((&*key).into())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

fn aad(id: MessageId, column: Column) -> [u8; 17] {
    let mut aad = [column as u8; 17];
    for (to, from) in aad.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    aad
}

fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    Hmac::new_from_slice(key).expect("any length")
}

/// Parts are length-prefixed: no two lists of parts share an input.
fn mac(key: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn short(mac: [u8; 32]) -> Hash16 {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(mac) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    use sms_core::UnixMs;

    use super::*;

    fn keys(byte: u8) -> Keys {
        Keys::derive(&StoreKey([byte; 32]))
    }

    fn id(byte: u8) -> MessageId {
        MessageId::new(UnixMs::new(1_764_000_000_000), [byte; 10])
    }

    #[test]
    fn a_sealed_column_opens_only_in_its_place_and_with_its_key() {
        let sealed = keys(1).seal(id(1), Column::Body, b"483920 is your code");
        assert_eq!(keys(1).open(id(1), Column::Body, &sealed).as_deref(), Some(b"483920 is your code".as_slice()));
        assert_eq!(keys(1).open(id(2), Column::Body, &sealed), None);
        assert_eq!(keys(1).open(id(1), Column::To, &sealed), None);
        assert_eq!(keys(2).open(id(1), Column::Body, &sealed), None);
    }

    #[test]
    fn one_flipped_bit_is_noticed() {
        let sealed = keys(1).seal(id(1), Column::Body, b"483920");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys(1).open(id(1), Column::Body, &changed), None, "bit {bit}");
        }
    }

    #[test]
    fn a_sum_depends_on_key_place_length_and_every_bit() {
        let page = [7; 64];
        let sum = keys(1).sum(1, &page);
        for bit in 0..page.len() * 8 {
            let mut changed = page;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(keys(1).sum(1, &changed), sum, "bit {bit}");
        }
        assert_ne!(keys(2).sum(1, &page), sum);
        assert_ne!(keys(1).sum(2, &page), sum);
        assert_ne!(keys(1).sum(1, &[7; 63]), keys(1).sum(1, &[[7; 63].as_slice(), &[0]].concat()));
    }

    #[test]
    fn hashes_depend_on_key_label_and_every_part() {
        let limit = LimitId::new("a");
        assert_ne!(keys(1).limit(&limit, "b"), keys(2).limit(&limit, "b"));
        assert_ne!(keys(1).limit(&LimitId::new("ab"), "c"), keys(1).limit(&limit, "bc"));
    }

    #[test]
    fn a_key_survives_its_text_form_and_nothing_else_passes() {
        let key = StoreKey::generate().unwrap();
        let text = key.to_base64();
        assert_eq!(StoreKey::parse(&format!(" {}\n", text.expose())).unwrap().0, key.0);
        assert_eq!(StoreKey::parse("c2hvcnQ=").unwrap_err(), KeyError::Length(5));
        assert_eq!(StoreKey::parse("not a key!").unwrap_err(), KeyError::NotBase64);
        assert_eq!(format!("{key:?}"), "StoreKey(redacted)");
    }
}
