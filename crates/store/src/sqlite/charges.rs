//! The form of one row of charges: the keys that one acceptance was counted under, in 20 bytes each.

use std::time::Duration;

use sms_core::UnixMs;

use crate::key::Hash16;

/// Keys with the seconds after which each is spent, and the time after which all are.
pub(super) fn charge_blob(at: UnixMs, keys: &[(Hash16, UnixMs)]) -> (Vec<u8>, UnixMs) {
    let mut blob = Vec::with_capacity(keys.len() * CHARGE_LEN);
    let mut last = at;
    for (key, until) in keys {
        let secs = until.since(at).as_millis().div_ceil(1000);
        blob.extend_from_slice(key);
        blob.extend_from_slice(&u32::try_from(secs).unwrap_or(u32::MAX).to_be_bytes());
        last = last.max(*until);
    }
    (blob, last)
}

/// Reads [`charge_blob`] back.
pub(super) fn charges(at: UnixMs, blob: &[u8]) -> impl Iterator<Item = (Hash16, UnixMs)> + '_ {
    blob.chunks_exact(CHARGE_LEN).filter_map(move |chunk| {
        let (key, secs) = chunk.split_first_chunk::<16>()?;
        let secs = u32::from_be_bytes(secs.try_into().ok()?);
        Some((*key, at.plus(Duration::from_secs(u64::from(secs)))))
    })
}

const CHARGE_LEN: usize = 20;

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn charges_survive_their_row() {
        let at = UnixMs::new(1_000);
        let keys = [([1; 16], at.plus(Duration::from_secs(30))), ([2; 16], at.plus(Duration::from_millis(1_500)))];
        let (blob, until) = charge_blob(at, &keys);
        assert_eq!(until, keys[0].1);
        let read: Vec<_> = charges(at, &blob).collect();
        assert_eq!(read, [keys[0], ([2; 16], at.plus(Duration::from_secs(2)))], "rounded up, never down");
    }
}
