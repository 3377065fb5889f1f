//! A question about a national number as an automaton over its digits. Must never answer otherwise than the regular
//! expression would that the library asks.

use std::collections::HashMap;
use std::hash::Hash;

use anyhow::{Context as _, Result, ensure};
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

/// What is asked of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether a number's beginning, of one digit or more, is what the pattern finds.
    FindsSome,
    /// Whether a number begins with what the pattern finds, be it nothing.
    Starts,
    /// Whether the pattern matches the whole number.
    Whole,
}

/// Answers yes or no for every string of digits. The first state is the start.
#[derive(Debug)]
pub(crate) struct Automaton {
    states: Vec<State>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    next: [usize; 10],
    yes: bool,
}

/// A state of the expression's automaton, and what the digits before it have settled.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// No digit yet.
    Beginning(StateID),
    /// Whatever follows, the answer is yes.
    Settled,
    /// After some digits.
    Within(StateID),
}

impl Automaton {
    pub(crate) const START: usize = 0;

    /// Says no to everything.
    pub(crate) fn never() -> Self {
        Self { states: vec![State { next: [0; 10], yes: false }] }
    }

    /// `wrapped` is a pattern as the metadata has it: `^(?:…)$`.
    ///
    /// # Errors
    /// When the pattern is no regular expression or not wrapped so.
    pub(crate) fn new(wrapped: &str, question: Question) -> Result<Self> {
        ensure!(wrapped.starts_with("^(?:") && wrapped.ends_with(")$"), "`{wrapped}` is not ^(?:…)$");
        let pattern = match question {
            Question::FindsSome | Question::Starts => wrapped.strip_suffix('$').unwrap_or(wrapped),
            Question::Whole => wrapped,
        };
        let dfa = dense::Builder::new()
            // As regex-lite does: `\d` is 0 to 9, and of several alternatives the first counts.
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .configure(dense::Config::new().start_kind(StartKind::Anchored).match_kind(MatchKind::LeftmostFirst))
            .build(pattern)
            .with_context(|| pattern.to_owned())?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes))?;
        Ok(Self::explore(&dfa, start, question).minimised())
    }

    /// The state after one more digit.
    pub(crate) fn next(&self, state: usize, digit: usize) -> usize {
        self.states.get(state).and_then(|state| state.next.get(digit)).copied().unwrap_or_default()
    }

    /// The answer for the digits that led to this state.
    pub(crate) fn says_yes(&self, state: usize) -> bool {
        self.states.get(state).is_some_and(|state| state.yes)
    }

    fn explore(dfa: &dense::DFA<Vec<u32>>, start: StateID, question: Question) -> Self {
        let mut places = vec![Place::Beginning(start)];
        let mut known = HashMap::from([(Place::Beginning(start), Self::START)]);
        let mut states = Vec::new();
        while let Some(place) = places.get(states.len()).copied() {
            let next = std::array::from_fn(|digit| {
                let place = step(dfa, place, digit, question);
                *known.entry(place).or_insert_with(|| {
                    places.push(place);
                    places.len() - 1
                })
            });
            let yes = match place {
                Place::Settled => true,
                Place::Beginning(_) if question == Question::FindsSome => false,
                Place::Beginning(id) | Place::Within(id) => dfa.is_match_state(dfa.next_eoi_state(id)),
            };
            states.push(State { next, yes });
        }
        Self { states }
    }

    /// The smallest automaton with the same answers (Moore): states are one class until something tells them apart.
    fn minimised(self) -> Self {
        let mut classes: Vec<usize> = self.states.iter().map(|state| usize::from(state.yes)).collect();
        let mut count = 0;
        loop {
            let class = |state: usize| classes.get(state).copied().unwrap_or_default();
            let told: Vec<(usize, [usize; 10])> =
                self.states.iter().enumerate().map(|(at, state)| (class(at), state.next.map(class))).collect();
            let (numbers, found) = numbered(&told);
            classes = numbers;
            if found == count {
                break;
            }
            count = found;
        }
        let mut states: Vec<Option<State>> = vec![None; count];
        for (state, class) in self.states.iter().zip(&classes) {
            let next = state.next.map(|state| classes.get(state).copied().unwrap_or_default());
            if let Some(place) = states.get_mut(*class) {
                place.get_or_insert(State { next, yes: state.yes });
            }
        }
        Self { states: states.into_iter().flatten().collect() }
    }
}

/// A match is told one digit late: the state behind a digit says whether one ended before that digit.
fn step(dfa: &dense::DFA<Vec<u32>>, place: Place, digit: usize, question: Question) -> Place {
    let (from, nothing_matched) = match place {
        Place::Beginning(id) => (id, true),
        Place::Within(id) => (id, false),
        Place::Settled => return Place::Settled,
    };
    let byte = u8::try_from(digit).map_or(b'0', |digit| b'0' + digit);
    let to = dfa.next_state(from, byte);
    let settles = match question {
        Question::FindsSome => dfa.is_match_state(to) && !nothing_matched,
        Question::Starts => dfa.is_match_state(to),
        Question::Whole => false,
    };
    if settles { Place::Settled } else { Place::Within(to) }
}

/// Numbers equal things alike, in order of appearance, and counts them.
fn numbered<T: Eq + Hash>(things: &[T]) -> (Vec<usize>, usize) {
    let mut known = HashMap::new();
    let numbers = things
        .iter()
        .map(|thing| {
            let fresh = known.len();
            *known.entry(thing).or_insert(fresh)
        })
        .collect();
    (numbers, known.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pattern: &str, question: Question, digits: &str) -> bool {
        let automaton = Automaton::new(pattern, question).unwrap();
        let digits = digits.bytes().map(|byte| usize::from(byte - b'0'));
        automaton.says_yes(digits.fold(Automaton::START, |state, digit| automaton.next(state, digit)))
    }

    #[test]
    fn whole_numbers_match_whole() {
        for (digits, yes) in [("", false), ("1", false), ("15", true), ("151", true), ("1511", false), ("251", false)] {
            assert_eq!(answer(r"^(?:1\d{1,2})$", Question::Whole, digits), yes, "{digits}");
        }
    }

    #[test]
    fn a_beginning_is_enough_for_leading_digits() {
        for (digits, yes) in [("", false), ("8", false), ("80", true), ("809", true), ("9", true), ("18", false)] {
            assert_eq!(answer("^(?:80|9)$", Question::Starts, digits), yes, "{digits}");
        }
        assert!(answer("^(?:0?)$", Question::Starts, "5"));
    }

    #[test]
    fn a_prefix_is_found_when_it_has_a_digit() {
        let question = Question::FindsSome;
        for (digits, yes) in [("", false), ("5", false), ("0", true), ("05", true), ("50", false)] {
            assert_eq!(answer("^(?:0?)$", question, digits), yes, "{digits}");
        }
        // The first alternative counts, even when it finds nothing.
        assert!(!answer("^(?:|0)$", question, "05"));
        for (digits, yes) in [("1", true), ("12", true), ("234567", false), ("2345678", true), ("23456789", false)] {
            assert_eq!(answer(r"^(?:([2-9]\d{6})$|1)$", question, digits), yes, "{digits}");
        }
    }

    #[test]
    fn patterns_of_another_shape_are_refused() {
        for pattern in ["", "1", "^1$", "^(?:1)", "^(?:()$"] {
            assert!(Automaton::new(pattern, Question::Whole).is_err(), "{pattern}");
        }
        assert!(!Automaton::never().says_yes(Automaton::START));
    }
}
