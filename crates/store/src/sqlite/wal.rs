//! Whether the write-ahead log beside a database is whole, and what it holds. `SQLite` takes the frames up to the first
//! that does not fit and drops everything behind it without a word: right for what a crash tore, and silent loss where a
//! disk changed a bit under commits that were answered. Never writes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Names this log among those that began anew in the same file; `None` without a readable head.
    pub(super) salts: Option<Salts>,
    /// Frames up to the end of the last whole commit.
    pub(super) frames: u32,
    /// The pages in those frames: what the database's file holds of them does not count.
    pub(super) pages: HashSet<u32>,
    /// Where the log stops being readable although more than a crash can tear stands behind: at least two commits, and a
    /// crash tears only the last.
    pub(super) damage: Option<u64>,
}

/// The two numbers that every frame of a log carries; the first goes up by one with each log.
pub(super) type Salts = [u8; 8];

/// Reads a whole log; one that is not there is empty.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(path: &Path) -> io::Result<Log> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Log::default()),
        Err(error) => return Err(error),
    };
    let mut log = BufReader::with_capacity(1 << 18, file);
    let mut header = [0; HEADER_LEN];
    if !fill(&mut log, &mut header)? {
        return Ok(Log::default());
    }
    let mut walk = Walk::begin(&header);
    let mut frame = vec![0; FRAME_HEADER_LEN + walk.page_len];
    while fill(&mut log, &mut frame)? {
        walk.step(&frame);
    }
    let damage = walk.first_break.filter(|_| walk.commits_behind >= COMMITS_MIN);
    let salts = walk.salts.filter(|_| walk.first_break != Some(0));
    Ok(Log { salts, frames: walk.committed, pages: walk.pages, damage })
}

/// The salts in a log's head; they are not checked.
pub(super) fn salts(header: &[u8; HEADER_LEN]) -> Salts {
    eight(header, 16)
}

/// How many logs after `before` one with the salts `now` began; `None` when it did not.
pub(super) fn logs_between(before: Salts, now: Salts) -> Option<u32> {
    let distance = word(&now, 0).wrapping_sub(word(&before, 0));
    (distance <= LOGS_MAX).then_some(distance).filter(|distance| *distance > 0 || now == before)
}

/// Of a frame's head: its page, whether it ends a commit, and its log's salts.
pub(super) fn frame(head: &[u8; FRAME_HEADER_LEN]) -> (u32, Salts) {
    (word(head, 0), eight(head, 8))
}

/// Goes over the frames one by one.
struct Walk {
    big_endian: bool,
    page_len: usize,
    /// Of this log; frames of an earlier one, which are written over bit by bit, carry others. `None` until the first
    /// frame tells, where the header does not.
    salts: Option<[u8; 8]>,
    /// What the checksum of the next frame goes on from.
    sum: (u32, u32),
    offset: u64,
    first_break: Option<u64>,
    /// Commits behind the break whose frames follow one another without another break.
    commits_behind: usize,
    /// Frames in front of the break, of all and of whole commits.
    frames: u32,
    committed: u32,
    /// Pages of whole commits, and of the one that is being read.
    pages: HashSet<u32>,
    commit: Vec<u32>,
}

impl Walk {
    fn begin(header: &[u8; HEADER_LEN]) -> Self {
        let big_endian = word(header, 0) & 1 == 1;
        let (summed, _) = header.split_at(HEADER_LEN - 8);
        let sum = checksum((0, 0), summed, big_endian);
        let whole = sum == pair(header, 24) && word(header, 0) & !1 == MAGIC;
        let page_len = usize::try_from(word(header, 8)).unwrap_or(PAGE_LEN);
        Self {
            big_endian: if whole { big_endian } else { cfg!(target_endian = "big") },
            page_len: if whole { page_len } else { PAGE_LEN },
            salts: whole.then(|| eight(header, 16)),
            sum,
            offset: HEADER_LEN as u64,
            first_break: (!whole).then_some(0),
            commits_behind: 0,
            frames: 0,
            committed: 0,
            pages: HashSet::new(),
            commit: Vec::new(),
        }
    }

    fn step(&mut self, frame: &[u8]) {
        let (head, page) = frame.split_at(FRAME_HEADER_LEN);
        let ours = eight(head, 8) == *self.salts.get_or_insert_with(|| eight(head, 8));
        let told = pair(head, 16);
        let (summed, _) = head.split_at(8);
        let fits = ours && checksum(checksum(self.sum, summed, self.big_endian), page, self.big_endian) == told;
        let ends_commit = word(head, 4) != 0;
        if fits && self.first_break.is_none() {
            self.frames += 1;
            self.commit.push(word(head, 0));
            if ends_commit {
                self.committed = self.frames;
                self.pages.extend(self.commit.drain(..));
            }
        } else if fits {
            self.commits_behind += usize::from(ends_commit);
        } else {
            self.first_break.get_or_insert(self.offset);
            // A break amid what stands behind: what was counted so far proves as much as before.
            if self.commits_behind < COMMITS_MIN {
                self.commits_behind = 0;
            }
        }
        self.sum = told;
        self.offset += frame.len() as u64;
    }
}

/// `SQLite`'s own: two sums over pairs of words.
fn checksum(sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let word = |bytes: [u8; 4]| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    bytes.as_chunks::<8>().0.iter().fold(sum, |(one, two), &[a, b, c, d, e, f, g, h]| {
        let one = one.wrapping_add(word([a, b, c, d])).wrapping_add(two);
        (one, two.wrapping_add(word([e, f, g, h])).wrapping_add(one))
    })
}

/// `false` at the end of the file, or where less than a whole buffer is left.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn eight(bytes: &[u8], at: usize) -> [u8; 8] {
    bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).unwrap_or_default()
}

/// Two numbers of the file's headers, which are big-endian always.
fn pair(bytes: &[u8], at: usize) -> (u32, u32) {
    (word(bytes, at), word(bytes, at + 4))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).map_or(0, u32::from_be_bytes)
}

const COMMITS_MIN: usize = 2;
pub(super) const FRAME_HEADER_LEN: usize = 24;
pub(super) const HEADER_LEN: usize = 32;
/// Logs that may begin before the last one is written down durably: in fact two or three.
const LOGS_MAX: u32 = 1_000;
const MAGIC: u32 = 0x377f_0682;
/// `SQLite`'s default, which we never change.
pub(super) const PAGE_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::*;

    /// A log of forty commits as a killed process leaves it.
    fn log() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let _connection = filled(&folder.path().join("t.db"));
        let wal = folder.path().join("t.db-wal");
        let bytes = fs::read(&wal).unwrap();
        (folder, wal, bytes)
    }

    fn filled(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)")
            .unwrap();
        for n in 0..40 {
            connection.execute("INSERT INTO t VALUES (?1)", [format!("{n}-{}", "x".repeat(2_000))]).unwrap();
        }
        connection
    }

    fn judged(wal: &Path, bytes: &[u8]) -> Option<u64> {
        fs::write(wal, bytes).unwrap();
        look(wal).unwrap().damage
    }

    #[test]
    fn a_whole_log_is_whole() {
        let (folder, wal, bytes) = log();
        assert_eq!(judged(&wal, &bytes), None);
        assert_eq!(judged(&wal, &[]), None);
        assert_eq!(look(&folder.path().join("none")).unwrap().damage, None);
    }

    #[test]
    fn a_log_tells_its_frames_and_pages() {
        let (_folder, wal, bytes) = log();
        fs::write(&wal, &bytes).unwrap();
        let whole = look(&wal).unwrap();
        let frame = FRAME_HEADER_LEN + PAGE_LEN;
        assert_eq!(whole.frames as usize, (bytes.len() - HEADER_LEN) / frame);
        assert_eq!(whole.salts, Some(salts(bytes.first_chunk().unwrap())));
        assert!(whole.pages.contains(&1) && whole.pages.len() > 10, "{:?}", whole.pages);
        fs::write(&wal, &bytes[..bytes.len() - 1]).unwrap();
        let torn = look(&wal).unwrap();
        assert!(torn.frames < whole.frames && torn.salts == whole.salts);
    }

    #[test]
    fn logs_count_upwards() {
        let of = |first: u32, second: u32| -> Salts {
            let mut salts = [0; 8];
            salts[..4].copy_from_slice(&first.to_be_bytes());
            salts[4..].copy_from_slice(&second.to_be_bytes());
            salts
        };
        assert_eq!(logs_between(of(u32::MAX, 5), of(u32::MAX, 5)), Some(0));
        assert_eq!(logs_between(of(u32::MAX, 5), of(1, 9)), Some(2));
        assert_eq!(logs_between(of(7, 5), of(7, 6)), None, "two logs of one number");
        assert_eq!(logs_between(of(7, 5), of(6, 5)), None, "an older one");
    }

    #[test]
    fn a_flipped_bit_under_later_commits_is_found_where_it_is() {
        let (_folder, wal, bytes) = log();
        let frame = FRAME_HEADER_LEN + PAGE_LEN;
        let last = bytes.len() - 6 * frame;
        for at in (0..last).step_by(997).chain(0..HEADER_LEN + FRAME_HEADER_LEN) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let found = judged(&wal, &bad).unwrap_or_else(|| panic!("a flip at {at} is not found"));
            let expected = at.checked_sub(HEADER_LEN).map_or(0, |at| HEADER_LEN + at / frame * frame);
            assert_eq!(found, expected as u64, "a flip at {at}");
        }
    }

    #[test]
    fn what_a_crash_tears_is_no_damage() {
        let (_folder, wal, bytes) = log();
        let frame = FRAME_HEADER_LEN + PAGE_LEN;
        for cut in [1, 31, 32, 40, HEADER_LEN + frame, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(judged(&wal, &bytes[..cut]), None, "cut to {cut}");
        }
        // The last commit, written in any order and only in part.
        let mut torn = bytes.clone();
        let at = torn.len() - frame + 100;
        torn[at..].fill(0);
        assert_eq!(judged(&wal, &torn), None);
    }

    #[test]
    fn what_an_earlier_log_left_behind_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (path, wal) = (folder.path().join("t.db"), folder.path().join("t.db-wal"));
        let connection = filled(&path);
        let again = "PRAGMA wal_checkpoint(RESTART); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)";
        connection.execute_batch(again).unwrap();
        let bytes = fs::read(&wal).unwrap();
        assert!(bytes.len() > 40 * PAGE_LEN, "old frames stand behind the new ones");
        assert_eq!(look(&wal).unwrap().damage, None);
        let frame = FRAME_HEADER_LEN + PAGE_LEN;
        assert_eq!(judged(&wal, &bytes), None);
        let mut bad = bytes;
        bad[HEADER_LEN + 2 * frame] ^= 1;
        assert_eq!(judged(&wal, &bad), None, "behind the new commits nothing counts");
    }
}
