//! Whether the database's file still is what was written into it: a keyed sum of every page, in a file beside it. Must
//! never take a page for good that it cannot judge.
//!
//! Only a checkpoint changes the database's file, and all checkpoints are ours, so the sums of its pages are made durable
//! in front of each. A page that is in the log is judged by the log, which begins anew only after all of it was carried
//! over: whatever a crash interrupts, each page either matches its sum or is in the log.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sms_core::store::StoreError;

use super::open::private;
use super::wal::{self, FRAME_HEADER_LEN, HEADER_LEN, PAGE_LEN, Salts};
use crate::key::Keys;
use crate::tables::{Failure, Scope};

/// The sums of one database.
#[derive(Debug)]
pub(super) struct Sums {
    keys: Arc<Keys>,
    file: File,
    database: PathBuf,
    log: PathBuf,
    /// The frames whose pages have sums, and of which log.
    covered: Option<(Salts, u32)>,
    /// What the start left to compare.
    rest: Option<Rest>,
    /// Open as long as the store is: closing any descriptor of the database would release `SQLite`'s locks on it.
    opened: Option<File>,
}

/// Pages that are not yet compared.
#[derive(Debug)]
struct Rest {
    next: u32,
    /// Pages that are or were in the log meanwhile.
    passed_over: HashSet<u32>,
}

/// What the head of a file of sums says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    OtherKey,
    Ours,
    Unreadable,
}

impl Sums {
    /// Begins a file without any sum.
    pub(super) fn create(path: &Path, keys: &Arc<Keys>, database: &Path, log: &Path) -> io::Result<Self> {
        let file = private(path)?;
        file.set_len(0)?;
        file.write_all_at(&head(keys), 0)?;
        file.write_all_at(&super::mark::nothing(keys), super::mark::AT)?;
        file.set_len(SUMS_AT)?;
        file.sync_all()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self::of(file, keys, database, log))
    }

    /// The sums in a file; only those of a readable head of ours mean anything.
    pub(super) fn open(path: &Path, keys: &Arc<Keys>, database: &Path, log: &Path) -> io::Result<(Self, Head)> {
        let file = File::options().read(true).write(true).open(path)?;
        let mut found = [0; HEAD_LEN];
        let read = file.read_at(&mut found, 0)?;
        let told = if read < HEAD_LEN || !is_readable(&found) || file.metadata()?.len() < SUMS_AT {
            Head::Unreadable
        } else if found == head(keys) {
            Head::Ours
        } else {
            Head::OtherKey
        };
        Ok((Self::of(file, keys, database, log), told))
    }

    fn of(file: File, keys: &Arc<Keys>, database: &Path, log: &Path) -> Self {
        let (database, log) = (database.to_owned(), log.to_owned());
        Self { keys: Arc::clone(keys), file, database, log, covered: None, rest: None, opened: None }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Takes every page for good as it stands in the database's file, apart from those of the log.
    pub(super) fn adopt(&mut self, passed_over: &HashSet<u32>) -> io::Result<()> {
        let database = File::open(&self.database)?;
        let mut page = vec![0; PAGE_LEN];
        let mut sums = BTreeMap::new();
        for number in 1..=pages(database.metadata()?.len()) {
            let read = read_at(&database, &mut page, page_at(number))?;
            let page = page.get(..read).unwrap_or_default();
            if !passed_over.contains(&number) && page.iter().any(|byte| *byte != 0) {
                sums.insert(number, self.keys.sum(number.into(), page));
            }
        }
        self.write(&sums)?;
        self.file.sync_all()
    }

    /// Compares the database's pages with their sums, apart from those of the log: how many do not match, and the first.
    /// What is left of a large file is compared by [`Self::check_more`].
    pub(super) fn check(&mut self, passed_over: HashSet<u32>) -> io::Result<Option<(u32, u32)>> {
        let database = File::open(&self.database)?;
        let len = database.metadata()?.len();
        if self.count()? == 0 && len <= PAGE_LEN as u64 {
            return Ok(None); // killed at its very first start, before anything was carried over
        }
        let last = pages(len).max(self.count()?);
        self.opened = Some(database);
        self.rest = Some(Rest { next: 1, passed_over });
        let mut damaged: Option<(u32, u32)> = None;
        while self.rest.as_ref().is_some_and(|rest| rest.next <= last.min(AT_ONCE)) {
            for page in self.compare()? {
                damaged = Some(damaged.map_or((1, page), |(count, first)| (count + 1, first)));
            }
        }
        if damaged.is_some() {
            self.opened = None;
        }
        Ok(damaged)
    }

    /// Compares a few more pages; whether some are left.
    pub(super) fn check_more(&mut self) -> Result<bool, Failure> {
        if self.rest.is_some() {
            let damaged = self.compare().map_err(|error| failed(&error))?;
            if let Some(page) = damaged.first() {
                self.rest = None;
                let detail = format!("`{}` is damaged at byte {}", self.database.display(), page_at(*page));
                return Err(Failure { error: StoreError::Damaged(detail), scope: Scope::Broken });
            }
        }
        Ok(self.rest.is_some())
    }

    /// Makes the sums durable of the pages in the first `frames` frames of the log. `false` when the log began anew
    /// meanwhile: nothing was done.
    pub(super) fn cover(&mut self, frames: u32) -> Result<bool, Failure> {
        // The last commit may not be durable yet, and a sum must never be of a page that a power cut takes back.
        let log = File::open(&self.log).map_err(|error| failed(&error))?;
        log.sync_data().map_err(|error| unsure(&error))?;
        let Some((salts, sums)) = self.latest(&log, frames).map_err(|error| failed(&error))? else { return Ok(false) };
        if !sums.is_empty() {
            self.write(&sums).map_err(|error| failed(&error))?;
            self.file.sync_data().map_err(|error| unsure(&error))?;
            if let Some(rest) = &mut self.rest {
                rest.passed_over.extend(sums.into_keys());
            }
        }
        self.covered = Some((salts, frames));
        Ok(true)
    }

    /// The sums of the latest version of each page in the frames that have none yet.
    fn latest(&self, log: &File, frames: u32) -> io::Result<Option<(Salts, BTreeMap<u32, u64>)>> {
        let salts = salts_of(log)?;
        let from = self.covered.filter(|(of, _)| *of == salts).map_or(0, |(_, upto)| upto);
        let (mut latest, mut head) = (BTreeMap::new(), [0; FRAME_HEADER_LEN]);
        for frame in from..frames {
            log.read_exact_at(&mut head, frame_at(frame))?;
            let (page, of) = wal::frame(&head);
            if of != salts {
                return Ok(None);
            }
            latest.insert(page, frame);
        }
        let (mut sums, mut page) = (BTreeMap::new(), vec![0; PAGE_LEN]);
        for (number, frame) in latest {
            log.read_exact_at(&mut page, frame_at(frame) + FRAME_HEADER_LEN as u64)?;
            sums.insert(number, self.keys.sum(number.into(), &page));
        }
        // Frames of one log never change; a new one begins with its head.
        Ok((salts_of(log)? == salts).then_some((salts, sums)))
    }

    /// Compares the next few pages: the numbers of those that do not match.
    fn compare(&mut self) -> io::Result<Vec<u32>> {
        let (Some(rest), Some(database)) = (&self.rest, &self.opened) else { return Ok(Vec::new()) };
        let first = rest.next;
        let last = pages(database.metadata()?.len()).max(self.count()?);
        let upto = last.min(first.saturating_add(STEP - 1));
        let step = usize::try_from(STEP).unwrap_or_default();
        let (mut bytes, mut told) = (vec![0; step * PAGE_LEN], vec![0; step * SUM_LEN]);
        let read = read_at(database, &mut bytes, page_at(first))?;
        let told_len = read_at(&self.file, &mut told, sum_at(first))?;
        bytes.truncate(read);
        told.truncate(told_len);
        let (mut pages, mut told) = (bytes.chunks(PAGE_LEN), told.chunks_exact(SUM_LEN));
        let mut damaged = Vec::new();
        for number in first..=upto {
            let (page, told) = (pages.next().unwrap_or_default(), told.next().unwrap_or_default());
            let told = told.first_chunk().map_or(0, |told| u64::from_be_bytes(*told));
            let passes = number == LOCK_PAGE || rest.passed_over.contains(&number);
            if !passes && !self.is_good(number, page, told) {
                damaged.push(number);
            }
        }
        self.rest = self.rest.take().filter(|_| upto < last).map(|rest| Rest { next: upto + 1, ..rest });
        Ok(damaged)
    }

    fn is_good(&self, number: u32, page: &[u8], told: u64) -> bool {
        if told == 0 { page.iter().all(|byte| *byte == 0) } else { self.keys.sum(number.into(), page) == told }
    }

    fn write(&self, sums: &BTreeMap<u32, u64>) -> io::Result<()> {
        let (mut run, mut next) = (Vec::new(), 0);
        let mut start = 0;
        for (number, sum) in sums {
            if *number != next {
                self.file.write_all_at(&run, sum_at(start))?;
                run.clear();
                start = *number;
            }
            run.extend(sum.to_be_bytes());
            next = number + 1;
        }
        self.file.write_all_at(&run, sum_at(start))
    }

    /// Pages that have a place for a sum.
    fn count(&self) -> io::Result<u32> {
        let bytes = self.file.metadata()?.len().saturating_sub(SUMS_AT);
        Ok(u32::try_from(bytes.div_ceil(SUM_LEN as u64)).unwrap_or(u32::MAX))
    }
}

/// A write or read that may be tried again.
pub(super) fn failed(error: &io::Error) -> Failure {
    Failure { error: StoreError::Unavailable(format!("the sums of the pages: {error}")), scope: Scope::Batch }
}

/// A failed fsync: what is on the disk is not known.
pub(super) fn unsure(error: &io::Error) -> Failure {
    Failure { error: StoreError::Unavailable(format!("the disk: {error}")), scope: Scope::Broken }
}

pub(super) fn salts_of(log: &File) -> io::Result<Salts> {
    let mut header = [0; HEADER_LEN];
    log.read_exact_at(&mut header, 0)?;
    Ok(wal::salts(&header))
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// A mark, the key's, and a check of both without any key: a damaged head must not be taken for another key's.
fn head(keys: &Keys) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    let named = MAGIC.into_iter().chain(keys.check());
    head.iter_mut().zip(named).for_each(|(to, from)| *to = from);
    let check = fold(&head);
    head.iter_mut().skip(HEAD_LEN - 8).zip(check).for_each(|(to, from)| *to = from);
    head
}

fn is_readable(head: &[u8; HEAD_LEN]) -> bool {
    head.starts_with(&MAGIC) && head.ends_with(&fold(head))
}

/// FNV-1a of what stands in front of the check.
fn fold(head: &[u8; HEAD_LEN]) -> [u8; 8] {
    let bytes = head.iter().take(HEAD_LEN - 8);
    bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
        .to_be_bytes()
}

fn pages(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE_LEN as u64)).unwrap_or(u32::MAX)
}

/// Where a page begins in the database's file.
pub(super) fn page_at(number: u32) -> u64 {
    u64::from(number.saturating_sub(1)) * PAGE_LEN as u64
}

fn sum_at(number: u32) -> u64 {
    SUMS_AT + u64::from(number.saturating_sub(1)) * SUM_LEN as u64
}

fn frame_at(frame: u32) -> u64 {
    HEADER_LEN as u64 + u64::from(frame) * (FRAME_HEADER_LEN + PAGE_LEN) as u64
}

const HEAD_LEN: usize = 32;
const MAGIC: [u8; 8] = *b"SMSGsum1";
const SUM_LEN: usize = 8;
/// Where the first page's sum stands.
const SUMS_AT: u64 = 4096;
/// `SQLite` keeps its locks in this page, at 1 GiB, and never writes it.
const LOCK_PAGE: u32 = 262_145;
/// Pages compared in one step: 1 MiB.
const STEP: u32 = 256;
/// Pages that are compared before the store opens: 512 MiB, a third of a second.
const AT_ONCE: u32 = 131_072;
