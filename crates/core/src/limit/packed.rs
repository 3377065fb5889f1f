//! A ledger in few bytes, for a store that keeps it as a row: differences of times, most of which take two or three bytes.

use std::collections::VecDeque;

use super::{Bucket, Ledger, Times};

impl Ledger {
    /// What [`Ledger::unpack`] reads.
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16);
        let (times, mut before) = (self.exact.as_slice(), 0);
        put(&mut bytes, times.len() as u64);
        for time in times {
            before = put_after(&mut bytes, before, *time);
        }
        put(&mut bytes, self.coarse.len() as u64);
        for buckets in &self.coarse {
            put(&mut bytes, buckets.len() as u64);
            before = 0;
            for bucket in buckets {
                before = put_after(&mut bytes, before, bucket.first);
                before = put_after(&mut bytes, before, bucket.last);
                put(&mut bytes, u64::from(bucket.count));
            }
        }
        bytes
    }

    /// Reads a ledger back; `None` where the bytes are not one.
    pub fn unpack(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let (mut times, mut before) = (Vec::new(), 0);
        for _ in 0..take(from)? {
            before = take_after(from, before)?;
            times.push(before);
        }
        let mut coarse = Vec::new();
        for _ in 0..take(from)? {
            let mut buckets = VecDeque::new();
            before = 0;
            for _ in 0..take(from)? {
                let first = take_after(from, before)?;
                let last = take_after(from, first)?;
                before = last;
                buckets.push_back(Bucket { first, last, count: u32::try_from(take(from)?).ok()? });
            }
            coarse.push(buckets);
        }
        let exact = match times.as_slice() {
            [] => Times::None,
            [one] => Times::One(*one),
            _ => Times::Many(times),
        };
        from.is_empty().then(|| Self { exact, coarse: coarse.into_boxed_slice() })
    }
}

/// Times never go back within a ledger; one that does anyhow counts as the one before it, which refuses no shorter.
fn put_after(bytes: &mut Vec<u8>, before: i64, time: i64) -> i64 {
    let step = time.saturating_sub(before).max(0);
    put(bytes, step.unsigned_abs());
    before + step
}

fn take_after(bytes: &mut &[u8], before: i64) -> Option<i64> {
    before.checked_add(i64::try_from(take(bytes)?).ok()?)
}

/// Seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{EXACT_MAX, UnixMs, Window};

    proptest! {
        #[test]
        fn a_ledger_survives_its_packed_form(steps in proptest::collection::vec(0_i64..9_000, 0..60), coarse in any::<bool>()) {
            let mut windows = vec![Window { max: 3, period: Duration::from_secs(9) }];
            if coarse {
                windows.push(Window { max: EXACT_MAX + 1, period: Duration::from_mins(1) });
            }
            let (mut ledger, mut now) = (Ledger::default(), 1_764_000_000_000);
            for step in steps {
                now += step;
                if ledger.refusal(UnixMs::new(now), &windows).is_none() {
                    ledger.charge(UnixMs::new(now), &windows);
                }
                let mut read = Ledger::unpack(&ledger.pack()).unwrap();
                prop_assert_eq!(format!("{:?}", read.pack()), format!("{:?}", ledger.pack()));
                let later = UnixMs::new(now + 1);
                prop_assert_eq!(read.refusal(later, &windows), ledger.refusal(later, &windows));
            }
        }

        #[test]
        fn what_is_no_ledger_is_not_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            drop(Ledger::unpack(&bytes)); // neither panics nor takes much memory
        }
    }

    #[test]
    fn a_single_acceptance_takes_few_bytes_and_one_is_taken_back() {
        let windows = [Window { max: 2, period: Duration::from_secs(30) }];
        let mut ledger = Ledger::default();
        ledger.charge(UnixMs::new(1_764_000_000_000), &windows);
        assert!(ledger.pack().len() <= 8, "{:?}", ledger.pack());
        ledger.charge(UnixMs::new(1_764_000_009_000), &windows);
        ledger.take_back(UnixMs::new(1_764_000_000_000));
        assert_eq!(ledger.refusal(UnixMs::new(1_764_000_010_000), &windows), None);
        ledger.charge(UnixMs::new(1_764_000_010_000), &windows);
        assert!(ledger.refusal(UnixMs::new(1_764_000_031_000), &windows).is_some(), "the later one still counts");
    }
}
