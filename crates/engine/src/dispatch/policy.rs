//! What follows an attempt: a pure function from its result and the message's past to the next step.
//! Whether a failure may be repeated is decided in [`SendError::next_step`]; with whom and when, here.

use std::time::Duration;

use sms_core::store::{Outcome, RouteTrace, Tried};
use sms_core::{Class, Fate, Kind, NextStep, ProviderName, SendError, Status, UnixMs};

use super::pair::Gate;

/// A second copy is only worth sending while the code lives at least this long.
const COPY_TTL_MIN: Duration = Duration::from_secs(30);

/// How often one candidate is tried when it could not be reached or was too busy.
const ROUNDS_MAX: usize = 4;

/// After so many attempts that ended in a provider's fault nobody is asked a second time: the message itself may be what
/// they cannot digest.
const FAULTS_MAX: usize = 3;

/// Pause before the second round; triples each round.
const BACKOFF: Duration = Duration::from_millis(500);

/// What is known when an attempt has ended.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Class of the message.
    pub(crate) class: Class,
    /// Candidates and the route's knobs.
    pub(crate) route: &'a RouteTrace,
    /// Every ended attempt, the one in question last.
    pub(crate) tried: &'a [Tried],
    /// Now.
    pub(crate) now: UnixMs,
    /// After this no attempt may start.
    pub(crate) expires: UnixMs,
    /// Random: spreads retries.
    pub(crate) dice: u32,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// No attempt follows.
    End(Status),
    /// Another attempt, not before `due`.
    Next {
        /// With whom.
        to: ProviderName,
        /// When; `now` or earlier: at once.
        due: UnixMs,
    },
}

/// Decides after a failure. `gate` says of a provider whether a message may go there; one that is not configured is
/// shut.
pub(crate) fn follow(error: &SendError, facts: &Facts<'_>, gate: impl Fn(&ProviderName) -> Gate) -> Follow {
    let copies = copies(facts.tried);
    match error.next_step(facts.class, copies < usize::from(facts.route.copies_max)) {
        NextStep::GiveUp => give_up(error, copies),
        NextStep::SecondCopy => second_copy(facts, facts.now, gate),
        NextStep::TryNext => try_next(facts, copies, gate),
        NextStep::WaitThenSecondCopy => second_copy(facts, facts.now.plus(facts.route.unknown_wait), gate),
    }
}

/// Where a message that waits for `current`, which takes nothing or next to nothing of it, had better wait: with a
/// candidate of its route that nobody asked yet and that takes more.
pub(crate) fn elsewhere(
    candidates: &[ProviderName],
    tried: &[Tried],
    current: &ProviderName,
    gate: impl Fn(&ProviderName) -> Gate,
) -> Option<ProviderName> {
    let is_shut = gate(current) == Gate::Shut;
    let fresh = candidates.iter().filter(|c| *c != current && rounds(tried, c) == 0);
    best(fresh, &gate).filter(|to| is_shut || gate(to) == Gate::Go).cloned()
}

/// Nobody took the attempt up, so none was made.
fn was_abandoned(outcome: Outcome, kind: Option<Kind>) -> bool {
    outcome == Outcome::NotSent && kind.is_none()
}

/// Attempts made with a provider.
pub(crate) fn rounds(tried: &[Tried], provider: &ProviderName) -> usize {
    made(tried).filter(|t| t.provider == *provider).count()
}

fn made(tried: &[Tried]) -> impl DoubleEndedIterator<Item = &Tried> {
    tried.iter().filter(|t| !was_abandoned(t.outcome, t.kind))
}

/// How a failed attempt goes into the ledger.
pub(crate) fn outcome(error: &SendError) -> Outcome {
    match error.fate {
        Fate::NotSent => Outcome::NotSent,
        Fate::Refused => Outcome::Refused,
        Fate::Unknown => Outcome::Unknown,
    }
}

fn copies(tried: &[Tried]) -> usize {
    tried.iter().filter(|t| matches!(t.outcome, Outcome::Accepted | Outcome::Unknown)).count()
}

/// A copy that a provider may hold outweighs every refusal: `rejected` and `failed` would be a lie.
fn give_up(error: &SendError, copies: usize) -> Follow {
    Follow::End(match (copies, error.kind, error.fate) {
        (0, Kind::Recipient, Fate::Refused) => Status::Rejected,
        (0, _, _) => Status::Failed,
        (_, _, _) => Status::Unknown,
    })
}

/// The identical text once more, through the next candidate, or the same where there is no other.
fn second_copy(facts: &Facts<'_>, due: UnixMs, gate: impl Fn(&ProviderName) -> Gate) -> Follow {
    if facts.expires.since(due) < COPY_TTL_MIN {
        return Follow::End(Status::Unknown);
    }
    let candidates = &facts.route.candidates;
    let current = facts.tried.last().map(|t| &t.provider);
    let at = candidates.iter().position(|c| Some(c) == current).map_or(0, |i| i + 1);
    let after = candidates.iter().cycle().skip(at).take(candidates.len());
    let fresh = best(after.clone().filter(|c| Some(*c) != current), &gate);
    match fresh.or_else(|| best(after, &gate)).or_else(|| candidates.first()) {
        Some(to) => Follow::Next { to: to.clone(), due },
        None => Follow::End(Status::Unknown),
    }
}

/// The next candidate nobody asked yet; then those worth asking again, after a pause.
fn try_next(facts: &Facts<'_>, copies: usize, gate: impl Fn(&ProviderName) -> Gate) -> Follow {
    let candidates = &facts.route.candidates;
    let fresh = candidates.iter().filter(|c| rounds(facts.tried, c) == 0);
    if let Some(to) = best(fresh, &gate) {
        return Follow::Next { to: to.clone(), due: facts.now };
    }
    let again = candidates
        .iter()
        .filter(|c| rounds(facts.tried, c) < ROUNDS_MAX && worth_repeating(facts.tried, c))
        .filter(|_| faults(facts.tried) < FAULTS_MAX)
        .min_by_key(|c| (gate(c) == Gate::Shut, rounds(facts.tried, c)));
    let due = facts.now.plus(backoff(facts, again));
    match again {
        Some(to) if due < facts.expires => Follow::Next { to: to.clone(), due },
        Some(_) | None if copies > 0 => Follow::End(Status::Unknown),
        Some(to) => Follow::Next { to: to.clone(), due: last_chance(facts) },
        None => Follow::End(Status::Failed),
    }
}

/// A shorter pause where the usual one is too long for what is left; where too little is, the message only waits for its
/// time to pass.
fn last_chance(facts: &Facts<'_>) -> UnixMs {
    let half = facts.expires.since(facts.now) / 2;
    if half >= BACKOFF { facts.now.plus(half) } else { facts.expires }
}

/// When its next attempt must have begun at the latest.
pub(crate) fn begins_before(copies: u8, expires: UnixMs) -> UnixMs {
    if copies > 0 { expires.minus(COPY_TTL_MIN) } else { expires }
}

/// The first that may be used, rather one that is not to be avoided.
fn best<'a>(
    mut candidates: impl Iterator<Item = &'a ProviderName> + Clone,
    gate: &impl Fn(&ProviderName) -> Gate,
) -> Option<&'a ProviderName> {
    let go = candidates.clone().find(|c| gate(c) == Gate::Go);
    go.or_else(|| candidates.find(|c| gate(c) == Gate::Avoid))
}

/// Attempts that ended in a provider's fault after it had the message in hands.
fn faults(tried: &[Tried]) -> usize {
    let is_fault = |t: &&Tried| match (t.outcome, t.kind) {
        (Outcome::Refused, Some(Kind::Unavailable | Kind::Protocol | Kind::Deadline)) | (Outcome::Unknown, _) => true,
        (Outcome::Accepted | Outcome::NotSent | Outcome::Refused, _) => false,
    };
    tried.iter().filter(is_fault).count()
}

/// Nobody holds it, and the reason may pass: unreachable, out of order, too busy.
fn worth_repeating(tried: &[Tried], provider: &ProviderName) -> bool {
    let last = made(tried).rev().find(|t| t.provider == *provider);
    last.is_none_or(|t| match (t.outcome, t.kind) {
        (Outcome::NotSent, _) | (Outcome::Refused, Some(Kind::Throttled | Kind::Unavailable)) => true,
        (Outcome::Accepted | Outcome::Refused | Outcome::Unknown, _) => false,
    })
}

/// 0.5 s, 1.5 s, 4.5 s, each ± 20 %.
fn backoff(facts: &Facts<'_>, to: Option<&ProviderName>) -> Duration {
    let round = to.map_or(1, |to| rounds(facts.tried, to)).clamp(1, ROUNDS_MAX);
    spread(BACKOFF * 3_u32.pow(u32::try_from(round - 1).unwrap_or(0)), facts.dice)
}

/// ± 20 %.
fn spread(base: Duration, dice: u32) -> Duration {
    base * 4 / 5 + base * (dice % 1_000) / 2_500
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProviderName {
        ProviderName::new(text)
    }

    fn route(candidates: &[&str]) -> RouteTrace {
        RouteTrace {
            rule: "r".into(),
            candidates: candidates.iter().map(|c| name(c)).collect(),
            why: String::new(),
            copies_max: 2,
            unknown_wait: Duration::from_secs(8),
        }
    }

    fn tried(provider: &str, error: &SendError) -> Tried {
        Tried { provider: name(provider), outcome: outcome(error), kind: Some(error.kind) }
    }

    fn decide(class: Class, route: &RouteTrace, past: &[Tried], error: &SendError) -> Follow {
        let facts = Facts { class, route, tried: past, now: UnixMs::new(0), expires: UnixMs::new(300_000), dice: 500 };
        follow(error, &facts, |_| Gate::Go)
    }

    fn refused(kind: Kind) -> SendError {
        SendError::new(kind, Fate::Refused, "")
    }

    fn at_once(to: &str) -> Follow {
        Follow::Next { to: name(to), due: UnixMs::new(0) }
    }

    #[test]
    fn refusals_go_down_the_list_at_once() {
        let (route, error) = (route(&["a", "b", "c"]), refused(Kind::Content));
        let mut past = vec![tried("a", &error)];
        assert_eq!(decide(Class::Otp, &route, &past, &error), at_once("b"));
        past.push(tried("b", &error));
        assert_eq!(decide(Class::Otp, &route, &past, &error), at_once("c"));
        past.push(tried("c", &error));
        assert_eq!(decide(Class::Otp, &route, &past, &error), Follow::End(Status::Failed));
    }

    #[test]
    fn a_refused_recipient_ends_it() {
        let error = refused(Kind::Recipient);
        let follow = decide(Class::Otp, &route(&["a", "b"]), &[tried("a", &error)], &error);
        assert_eq!(follow, Follow::End(Status::Rejected));
    }

    #[test]
    fn a_refusal_after_an_unknown_is_unknown() {
        let unknown = SendError::new(Kind::Deadline, Fate::Unknown, "");
        let error = refused(Kind::Recipient);
        let past = [tried("a", &unknown), tried("b", &error)];
        assert_eq!(decide(Class::Otp, &route(&["a", "b"]), &past, &error), Follow::End(Status::Unknown));
    }

    #[test]
    fn silence_waits_for_a_receipt_before_the_second_copy() {
        let error = SendError::new(Kind::Deadline, Fate::Unknown, "");
        let follow = decide(Class::Otp, &route(&["a", "b"]), &[tried("a", &error)], &error);
        assert_eq!(follow, Follow::Next { to: name("b"), due: UnixMs::new(8_000) });
    }

    #[test]
    fn an_answered_unknown_sends_the_second_copy_at_once() {
        let error = SendError::new(Kind::Unavailable, Fate::Unknown, "").answered();
        assert_eq!(decide(Class::Otp, &route(&["a", "b"]), &[tried("a", &error)], &error), at_once("b"));
        assert_eq!(decide(Class::Otp, &route(&["a"]), &[tried("a", &error)], &error), at_once("a"));
    }

    #[test]
    fn otp_copies_max_two() {
        let error = SendError::new(Kind::Unavailable, Fate::Unknown, "").answered();
        let past = [tried("a", &error), tried("b", &error)];
        assert_eq!(decide(Class::Otp, &route(&["a", "b", "c"]), &past, &error), Follow::End(Status::Unknown));
        let one = RouteTrace { copies_max: 1, ..route(&["a", "b"]) };
        assert_eq!(decide(Class::Otp, &one, &past[..1], &error), Follow::End(Status::Unknown));
    }

    #[test]
    fn transactional_never_resent_on_unknown() {
        for error in [
            SendError::new(Kind::Deadline, Fate::Unknown, ""),
            SendError::new(Kind::Unavailable, Fate::Unknown, "").answered(),
        ] {
            let follow = decide(Class::Transactional, &route(&["a", "b"]), &[tried("a", &error)], &error);
            assert_eq!(follow, Follow::End(Status::Unknown));
        }
    }

    #[test]
    fn no_copy_for_a_code_that_is_about_to_die() {
        let error = SendError::new(Kind::Deadline, Fate::Unknown, "");
        let (route, past) = (route(&["a"]), [tried("a", &error)]);
        let facts = Facts {
            class: Class::Otp,
            route: &route,
            tried: &past,
            now: UnixMs::new(0),
            expires: UnixMs::new(37_000),
            dice: 0,
        };
        assert_eq!(follow(&error, &facts, |_| Gate::Go), Follow::End(Status::Unknown));
    }

    #[test]
    fn unreachable_providers_are_tried_again_with_growing_pauses_then_given_up() {
        let error = SendError::new(Kind::Unavailable, Fate::NotSent, "");
        let route = route(&["a"]);
        let (mut past, mut pauses) = (vec![tried("a", &error)], Vec::new());
        while let Follow::Next { due, .. } = decide(Class::Otp, &route, &past, &error) {
            pauses.push(due.get());
            past.push(tried("a", &error));
        }
        assert_eq!(pauses, [500, 1_500, 4_500]);
        assert_eq!(decide(Class::Otp, &route, &past, &error), Follow::End(Status::Failed));
    }

    #[test]
    fn a_provider_with_an_open_breaker_is_passed_over() {
        let (route, error) = (route(&["a", "b", "c"]), refused(Kind::Unavailable));
        let past = [tried("a", &error)];
        let facts = Facts {
            class: Class::Otp,
            route: &route,
            tried: &past,
            now: UnixMs::new(0),
            expires: UnixMs::new(9_000),
            dice: 0,
        };
        assert_eq!(follow(&error, &facts, |p| if p.as_str() == "b" { Gate::Shut } else { Gate::Go }), at_once("c"));
    }

    #[test]
    fn one_that_is_to_be_avoided_comes_after_those_that_are_not() {
        let (route, error) = (route(&["a", "b", "c"]), refused(Kind::Content));
        let mut past = vec![tried("a", &error)];
        let gate = |p: &ProviderName| if p.as_str() == "b" { Gate::Avoid } else { Gate::Go };
        let decide = |past: &[Tried]| {
            let (now, expires) = (UnixMs::new(0), UnixMs::new(9_000));
            follow(&error, &Facts { class: Class::Otp, route: &route, tried: past, now, expires, dice: 0 }, gate)
        };
        assert_eq!(decide(&past), at_once("c"));
        past.push(tried("c", &error));
        assert_eq!(decide(&past), at_once("b"), "rather than nobody");
    }

    #[test]
    fn a_message_that_no_provider_digests_is_given_up_after_three_attempts() {
        let error = refused(Kind::Unavailable);
        for candidates in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
            let (route, mut past) = (route(candidates), vec![tried(candidates[0], &error)]);
            while let Follow::Next { to, .. } = decide(Class::Otp, &route, &past, &error) {
                past.push(tried(to.as_str(), &error));
            }
            assert_eq!(past.len(), 3, "{candidates:?}");
            assert_eq!(decide(Class::Otp, &route, &past, &error), Follow::End(Status::Failed));
        }
    }

    #[test]
    fn faults_do_not_keep_a_message_from_a_provider_that_was_not_asked() {
        let error = refused(Kind::Unavailable);
        let past: Vec<_> = ["a", "b", "c"].map(|name| tried(name, &error)).into();
        assert_eq!(decide(Class::Otp, &route(&["a", "b", "c", "d"]), &past, &error), at_once("d"));
    }

    #[test]
    fn a_message_that_is_stranded_moves_to_the_first_candidate_that_takes_more_and_was_not_asked() {
        let gates = |text: &'static str| {
            move |p: &ProviderName| match text.chars().nth(usize::from(p.as_str().as_bytes()[0] - b'a')) {
                Some('g') => Gate::Go,
                Some('v') => Gate::Avoid,
                _ => Gate::Shut,
            }
        };
        let failed = tried("b", &refused(Kind::Unavailable));
        let abandoned = Tried { provider: name("b"), outcome: Outcome::NotSent, kind: None };
        for (gate, past, to) in [
            ("sgg", None, Some("b")),
            ("svg", None, Some("c")),
            ("svs", None, Some("b")),
            ("sss", None, None),
            ("vvv", None, None),
            ("vvg", None, Some("c")),
            ("sgg", Some(&failed), Some("c")),
            ("sgs", Some(&failed), None),
            ("sgs", Some(&abandoned), Some("b")),
        ] {
            let past: Vec<Tried> = past.into_iter().cloned().collect();
            let moved = elsewhere(&route(&["a", "b", "c"]).candidates, &past, &name("a"), gates(gate));
            assert_eq!(moved, to.map(name), "{gate} {past:?}");
        }
        assert_eq!(elsewhere(&route(&["a"]).candidates, &[], &name("a"), gates("sg")), None);
    }

    #[test]
    fn a_retry_that_would_come_too_late_comes_sooner_or_waits_for_the_end() {
        let (route, error) = (route(&["a"]), SendError::new(Kind::Unavailable, Fate::NotSent, ""));
        let past: Vec<_> = (0..3).map(|_| tried("a", &error)).collect();
        for (left, due) in [(9_000, 3_600), (3_000, 1_500), (1_000, 500), (999, 999), (1, 1)] {
            let (now, expires) = (UnixMs::new(0), UnixMs::new(left));
            let facts = Facts { class: Class::Otp, route: &route, tried: &past, now, expires, dice: 0 };
            let follow = follow(&error, &facts, |_| Gate::Go);
            assert_eq!(follow, Follow::Next { to: name("a"), due: UnixMs::new(due) }, "{left} ms left");
        }
    }

    #[test]
    fn a_copy_must_begin_while_its_code_is_worth_it() {
        let expires = UnixMs::new(300_000);
        assert_eq!((begins_before(0, expires), begins_before(1, expires)), (expires, UnixMs::new(270_000)));
    }
}
