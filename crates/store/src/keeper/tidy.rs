//! Forgetting, in bounded steps.

use sms_core::UnixMs;
use sms_core::store::{PurgePolicy, Purged};

use super::Keeper;
use crate::tables::{Failure, Tables};

impl<T: Tables> Keeper<T> {
    /// Forgets what is older than the policy allows, at most `budget` rows of each kind.
    pub(crate) fn purge(&mut self, policy: PurgePolicy, now: UnixMs, budget: usize) -> Result<Purged, Failure> {
        Ok(Purged {
            messages: self.tables.purge_messages(now.minus(policy.keep_messages), budget)?,
            numbers: self.tables.purge_numbers(now.minus(policy.keep_numbers), budget)?,
            others: self.tables.purge_others(now, budget)? + self.unpark_stale(now, budget)?,
        })
    }

    /// Forgets limit keys that can refuse nothing any more. Needs no transaction.
    pub(crate) fn tidy(&mut self, now: UnixMs) {
        self.book.sweep(now);
    }

    pub(super) fn unpark_stale(&mut self, now: UnixMs, budget: usize) -> Result<u64, Failure> {
        let stale = self.parked.stale(now, budget);
        for id in &stale {
            self.tables.unpark(*id)?;
            self.parked.remove(*id);
        }
        Ok(stale.len() as u64)
    }
}
