//! What was asked for on the command line.

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Few trials, for CI.
    pub(crate) quick: bool,
    /// How long the overload of guarantee 17 lasts, in seconds.
    pub(crate) overload_s: u64,
}

impl Scale {
    /// As many trials as the promise names, or a few.
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Which rows, and how much of each.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scale: Scale,
    only: Vec<String>,
    skip: Vec<String>,
}

impl Plan {
    /// # Errors
    /// The words to print for who called.
    pub(crate) fn of(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self { scale: Scale { quick: false, overload_s: 600 }, only: Vec::new(), skip: Vec::new() };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--quick" => plan.scale = Scale { quick: true, overload_s: 24 },
                "--only" => plan.only.extend(value()?.split(',').map(str::to_owned)),
                "--skip" => plan.skip.extend(value()?.split(',').map(str::to_owned)),
                "--overload-s" => {
                    plan.scale.overload_s =
                        value()?.parse().map_err(|_| format!("--overload-s in seconds\n{USAGE}"))?;
                }
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(plan)
    }

    /// `7` asks for the rows `7` and `7b`; what is skipped is named in full.
    pub(crate) fn wants(&self, number: &str) -> bool {
        let whole = number.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let asked = self.only.is_empty() || self.only.iter().any(|only| only == number || only == whole);
        asked && !self.skip.iter().any(|skip| skip == number)
    }
}

const USAGE: &str = "tests/chaos/run [--quick] [--only 1,2,7] [--skip 8b] [--overload-s SECONDS]";
