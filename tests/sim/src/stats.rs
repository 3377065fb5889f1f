//! What was seen, in numbers. Counts only; judges nothing.

use std::collections::BTreeMap;
use std::fmt;

/// Counters by name; those of several seeds add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// One more of `what`; a dot separates a group from its member.
    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// How many there were.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds what another run saw.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what.clone()).or_default() += count;
        }
    }
}

/// A line a group: `attempts  accepted 12  refused 3`.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = "";
        for (what, count) in &self.0 {
            let (of, member) = what.split_once('.').unwrap_or((what, ""));
            if of != group {
                let line = if group.is_empty() { "" } else { "\n" };
                write!(f, "{line}{of:<12}")?;
                group = of;
            }
            let space = if member.is_empty() { "" } else { " " };
            write!(f, "  {member}{space}{count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_by_group() {
        let (mut all, mut one) = (Stats::default(), Stats::default());
        one.count("attempts.accepted");
        one.count("attempts.refused");
        one.count("seeds");
        all.add(&one);
        all.add(&one);
        assert_eq!(all.of("attempts.refused"), 2);
        assert_eq!(all.to_string(), "attempts      accepted 2  refused 2\nseeds         2");
    }
}
