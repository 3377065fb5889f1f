//! Whatever a callback holds, reading it does not panic, and a stranger's is never taken for a receipt.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sms_core::{CallbackRequest, DeliveryState};

use super::samples::id;
use super::{Kit, Report, Rig};
use crate::upstream::Behaviour;

pub(super) async fn check(kit: &mut Kit<'_>) {
    let rig = kit.harness.rig(Behaviour::Accept).await;
    let report = Report { message: id(11), upstream_id: "abc".to_owned(), state: DeliveryState::Delivered };
    let genuine = kit.harness.callback(&report).unwrap_or_default();
    let mut luck = Luck(SEED);
    for round in 0..ROUNDS {
        let mut callback = if round % 2 == 0 { genuine.clone() } else { damaged(&genuine, &mut luck) };
        if round % 2 == 0 {
            // The right token before anything at all: parsing is reached.
            callback.body = luck.bytes();
            callback.query = if luck.below(2) == 0 { genuine.query.clone() } else { luck.text() };
        }
        if !reads(&rig, &callback) {
            return kit.fail("junk_never_panics", format!("panicked in round {round} of seed {SEED:#x}"));
        }
    }
}

fn reads(rig: &Rig, callback: &CallbackRequest) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(rig.provider.receipts(callback)))).is_ok()
}

/// The genuine callback with a few bytes turned, cut off or doubled.
fn damaged(genuine: &CallbackRequest, luck: &mut Luck) -> CallbackRequest {
    let mut callback = genuine.clone();
    let source = if genuine.body.is_empty() { genuine.query.as_bytes() } else { &genuine.body };
    let mut bytes = source.to_vec();
    for _ in 0..=luck.below(3) {
        let at = luck.below(bytes.len() + 1);
        match luck.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, luck.byte()),
            _ => bytes.extend_from_within(at..),
        }
    }
    if genuine.body.is_empty() {
        callback.query = String::from_utf8_lossy(&bytes).into_owned();
    } else {
        callback.body = bytes;
    }
    callback
}

/// Xorshift: the same junk in every run.
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        let likely = b"{}[]\",:=&%+\\0123456789\x00\xff";
        let any = self.next().to_le_bytes()[7];
        if self.below(2) == 0 { any } else { likely.get(self.below(likely.len())).copied().unwrap_or(any) }
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(200)).map(|_| self.byte()).collect()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

const ROUNDS: usize = 2000;
const SEED: u64 = 0x5eed_0f5e;
