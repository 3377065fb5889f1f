//! The limits counted a second time, naively and in simulated time: every acceptance of every key, looked through each
//! time. A limit can only be as right as the wall clock that a process starts with: set forward, charges seem older.

use std::collections::BTreeMap;

use sms_core::{LimitId, Msisdn, TenantId, Window};

use crate::plan::{PER_RECIPIENT, PER_TENANT};

/// Acceptances by limit and key.
#[derive(Debug, Default)]
pub(super) struct Limits {
    taken: BTreeMap<(&'static str, String), Vec<u64>>,
    /// A process started with another wall clock than the one before: charges may seem to lie ahead, which refuses longer.
    was_set: bool,
    off_ms: i64,
}

impl Limits {
    /// A process starts with a wall clock that is wrong by so much.
    pub(super) fn process_starts(&mut self, off_ms: i64) {
        self.was_set |= off_ms != self.off_ms;
        if off_ms > self.off_ms {
            self.taken.clear();
        }
        self.off_ms = off_ms;
    }

    /// Counts an acceptance; names the limits that it exceeds.
    pub(super) fn charge(&mut self, tenant: &TenantId, to: Msisdn, ms: u64) -> Vec<&'static str> {
        let mut exceeded = Vec::new();
        for (limit, key, windows) in keys(tenant, to) {
            let taken = self.taken.entry((limit, key)).or_default();
            taken.push(ms);
            if windows.iter().any(|window| inside(taken, ms, *window) > window.max as usize) {
                exceeded.push(limit);
            }
        }
        exceeded
    }

    /// Whether a limit had no room for one more.
    pub(super) fn may_refuse(&self, limit: &LimitId, tenant: &TenantId, to: Msisdn, ms: u64) -> bool {
        let mine = |(name, key, windows): (&'static str, String, &[Window])| {
            let taken = self.taken.get(&(name, key)).map(Vec::as_slice).unwrap_or_default();
            limit.as_str() == name && windows.iter().any(|window| inside(taken, ms, *window) >= window.max as usize)
        };
        self.was_set || keys(tenant, to).into_iter().any(mine)
    }
}

fn keys(tenant: &TenantId, to: Msisdn) -> [(&'static str, String, &'static [Window]); 2] {
    [
        ("per_recipient", format!("{tenant} {}", to.expose()), &PER_RECIPIENT),
        ("per_tenant", tenant.to_string(), &PER_TENANT),
    ]
}

/// Times are whole milliseconds rounded down, so one of exactly a period ago may still be inside.
fn inside(taken: &[u64], ms: u64, window: Window) -> usize {
    taken.iter().filter(|at| u128::from(ms - **at) <= window.period.as_millis()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_is_told_and_a_refusal_below_is_not_allowed() {
        let (mut limits, tenant) = (Limits::default(), TenantId::new("acme"));
        let to = Msisdn::parse("+41791234567", None).unwrap();
        let limit = LimitId::new("per_recipient");
        assert!(!limits.may_refuse(&limit, &tenant, to, 0));
        assert!(limits.charge(&tenant, to, 0).is_empty());
        assert!(limits.charge(&tenant, to, 6_000).is_empty());
        assert!(limits.may_refuse(&limit, &tenant, to, 6_000));
        assert!(!limits.may_refuse(&limit, &tenant, to, 6_001));
        assert_eq!(limits.charge(&tenant, to, 6_000), ["per_recipient"]);
    }
}
