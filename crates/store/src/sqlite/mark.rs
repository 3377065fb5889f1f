//! How much the log must hold, in a record beside it: without one, a log that lost its latest commits looks like a log
//! that never had them.
//!
//! Written once a commit is durable, and not synced itself. A killed process leaves it exact or one commit behind the log,
//! a power cut maybe further behind, never ahead; what the log holds beyond it is then judged by the log alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::sums::unsure;
use super::wal::{Log, Salts, logs_between};
use crate::key::Keys;
use crate::tables::Failure;

/// Writes the record of one store.
#[derive(Debug)]
pub(super) struct Mark {
    keys: Arc<Keys>,
    file: File,
    /// A commit is durable without its mark: said when the writer next asks.
    failed: Option<io::Error>,
}

/// Where a commit ends: in which log, and after how many of its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) salts: Salts,
    pub(super) frames: u32,
}

/// What a record demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Required {
    /// The log up to there, or one that began after it.
    Until(End),
    /// Everything was carried over.
    Nothing,
}

impl Mark {
    /// `path` is the file of sums. Its own descriptor: the sums are locked while a checkpoint runs.
    pub(super) fn open(path: &Path, keys: &Arc<Keys>) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { keys: Arc::clone(keys), file, failed: None })
    }

    /// A commit is durable that ends there; `Err` when nobody knows where.
    pub(super) fn committed(&mut self, end: io::Result<End>) {
        let written = end.and_then(|end| if end.frames > 0 { self.write(Required::Until(end)) } else { Ok(()) });
        self.failed = written.err().or_else(|| self.failed.take());
    }

    /// Nothing of the log is needed any more.
    pub(super) fn clear(&self) -> Result<(), Failure> {
        let cleared = self.write(Required::Nothing).and_then(|()| self.file.sync_data());
        cleared.map_err(|error| unsure(&error))
    }

    /// Whether every commit has its mark.
    pub(super) fn verdict(&mut self) -> Result<(), Failure> {
        self.failed.take().map_or(Ok(()), |error| Err(unsure(&error)))
    }

    fn write(&self, required: Required) -> io::Result<()> {
        self.file.write_all_at(&record(&self.keys, required), AT)
    }
}

impl Required {
    /// Reads the record in a file of sums; `None` when it is damaged.
    pub(super) fn read(file: &File, keys: &Keys) -> io::Result<Option<Self>> {
        let mut bytes = [0; LEN];
        if file.read_at(&mut bytes, AT)? < LEN {
            return Ok(None);
        }
        let [kind, _, _, _, a, b, c, d, salts @ .., _, _, _, _, _, _, _, _] = bytes;
        let frames = u32::from_be_bytes([a, b, c, d]);
        let found = if kind == 0 { Self::Nothing } else { Self::Until(End { salts, frames }) };
        Ok((record(keys, found) == bytes).then_some(found))
    }

    /// Whether `log` holds what is required.
    pub(super) fn is_met(self, log: &Log) -> bool {
        match self {
            Self::Nothing => true,
            Self::Until(End { salts, frames }) => match log.salts.and_then(|now| logs_between(salts, now)) {
                None => false,
                Some(0) => log.frames >= frames,
                Some(_) => true, // a log begins anew only after the one before was carried over
            },
        }
    }
}

/// The record of a file that has no log yet.
pub(super) fn nothing(keys: &Keys) -> [u8; LEN] {
    record(keys, Required::Nothing)
}

fn record(keys: &Keys, required: Required) -> [u8; LEN] {
    let (kind, End { salts, frames }) = match required {
        Required::Until(end) => (1, end),
        Required::Nothing => (0, End::default()),
    };
    let told: Vec<u8> = [[kind, 0, 0, 0], frames.to_be_bytes()].into_iter().flatten().chain(salts).collect();
    let mut record = [0; LEN];
    let sum = keys.sum(PLACE, &told).to_be_bytes();
    record.iter_mut().zip(told.into_iter().chain(sum)).for_each(|(to, from)| *to = from);
    record
}

/// Where the record stands: a sector of its own, so that a power cut leaves the old one or the new one.
pub(super) const AT: u64 = 512;
const LEN: usize = 24;
/// No page has this number.
const PLACE: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::StoreKey;

    fn log(salt: u8, frames: u32) -> Log {
        Log { salts: Some([0, 0, 0, salt, 9, 9, 9, 9]), frames, ..Log::default() }
    }

    #[test]
    fn a_log_must_hold_what_was_committed_or_be_a_later_one() {
        let required = Required::Until(End { salts: [0, 0, 0, 5, 9, 9, 9, 9], frames: 7 });
        assert!(required.is_met(&log(5, 7)) && required.is_met(&log(5, 8)) && required.is_met(&log(6, 0)));
        assert!(!required.is_met(&log(5, 6)) && !required.is_met(&log(4, 9)));
        assert!(!required.is_met(&Log::default()), "a log that is gone");
        assert!(Required::Nothing.is_met(&Log::default()));
    }

    #[test]
    fn a_damaged_record_is_none() {
        let keys = Keys::derive(&StoreKey::generate().unwrap());
        let file = tempfile::tempfile().unwrap();
        let required = Required::Until(End { salts: [1; 8], frames: 7 });
        let good = record(&keys, required);
        file.write_all_at(&good, AT).unwrap();
        assert_eq!(Required::read(&file, &keys).unwrap(), Some(required));
        for bit in 0..LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            file.write_all_at(&bad, AT).unwrap();
            assert_eq!(Required::read(&file, &keys).unwrap(), None, "bit {bit}");
        }
        file.set_len(AT + 3).unwrap();
        assert_eq!(Required::read(&file, &keys).unwrap(), None);
    }
}
