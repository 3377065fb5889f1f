//! Which of the known words a misspelled one was probably meant to be.

/// The nearest of `known`, if it is near enough to be worth suggesting.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().filter(|known| !known.contains(' ')).map(|known| (distance(word, known), known));
    near.filter(|(steps, known)| *steps <= 2.max(known.chars().count() / 3) && *steps < word.chars().count())
        .min()
        .map(|(_, known)| known)
}

/// Letters added, removed, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut steps = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                steps = steps.min(at(&before, j - 1) + 1);
            }
            next.push(steps);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["base_url", "timeout", "throughput", "tenants", "api_key"];
        for (word, meant) in [
            ("timeuot", "timeout"),
            ("troughput", "throughput"),
            ("tenant", "tenants"),
            ("apikey", "api_key"),
            ("url", ""),
        ] {
            assert_eq!(nearest(word, known).unwrap_or_default(), meant, "{word}");
        }
    }

    #[test]
    fn distances_count_swaps_once() {
        for (a, b, steps) in
            [("", "", 0), ("a", "", 1), ("timeuot", "timeout", 1), ("kitten", "sitting", 3), ("ab", "ba", 1)]
        {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }
}
