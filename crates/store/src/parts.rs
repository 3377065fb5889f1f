//! Messages that a provider reports on part by part: what the parts' receipts say about the whole. Pure.
//!
//! A text cut in two is of no use until both halves are there, so a message is delivered when every part is, and has
//! failed as soon as one has.

use std::collections::BTreeMap;

use sms_core::store::{Entry, What};
use sms_core::{DeliveryState, Happening, Part, ProviderName, Status};

/// Most parts whose ids are kept; concatenated messages have 255 at most.
const PARTS_MAX: usize = 255;

/// The ids of parts in a provider's answer; `None` where one id names the whole message.
pub(crate) fn ids(upstream_id: &str) -> Option<Vec<&str>> {
    upstream_id.contains(' ').then(|| upstream_id.split(' ').filter(|id| !id.is_empty()).take(PARTS_MAX).collect())
}

/// Which part one of these ids names.
pub(crate) fn place(upstream_ids: &str, upstream_id: &str) -> Option<Part> {
    let ids = ids(upstream_ids)?;
    let place = ids.iter().position(|id| *id == upstream_id)?;
    Some(Part { number: u16::try_from(place + 1).ok()?, of: u16::try_from(ids.len()).ok()? })
}

/// What one provider has said about the parts of a message. Each part lives as a message does.
#[derive(Debug, Default)]
pub(crate) struct Parts(BTreeMap<u16, Status>);

impl Parts {
    /// What a history tells.
    pub(crate) fn of(history: &[Entry], from: &ProviderName) -> Self {
        let mut parts = Self::default();
        for entry in history {
            if let What::Receipt { provider, state, part: Some(number), .. } = &entry.what
                && provider == from
            {
                parts.note(*number, &known(state));
            }
        }
        parts
    }

    /// Says whether this is news.
    pub(crate) fn learn(&mut self, part: Part, state: &DeliveryState) -> bool {
        (1..=part.of).contains(&part.number) && self.note(part.number, state)
    }

    /// What that makes of a message of so many parts.
    pub(crate) fn whole(&self, of: u16) -> DeliveryState {
        let any = |status| self.0.values().any(|part| *part == status);
        let all = || (1..=of).all(|number| self.0.get(&number) == Some(&Status::Delivered));
        if any(Status::Undelivered) {
            DeliveryState::Undelivered
        } else if any(Status::Expired) {
            DeliveryState::Expired
        } else if all() {
            DeliveryState::Delivered
        } else {
            DeliveryState::Pending
        }
    }

    fn note(&mut self, number: u16, state: &DeliveryState) -> bool {
        let before = self.0.get(&number).copied();
        let after = before.unwrap_or(Status::Sent).after(&Happening::Receipt(state.clone()));
        self.0.insert(number, after);
        before != Some(after)
    }
}

fn known(state: &str) -> DeliveryState {
    [DeliveryState::Delivered, DeliveryState::Expired, DeliveryState::Pending, DeliveryState::Undelivered]
        .into_iter()
        .find(|known| known.as_str() == state)
        .unwrap_or_else(|| DeliveryState::Unrecognised(state.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeliveryState::{Delivered, Expired, Pending, Undelivered};

    fn told(states: &[(u16, DeliveryState)]) -> DeliveryState {
        let mut parts = Parts::default();
        for (number, state) in states {
            parts.learn(Part { number: *number, of: 3 }, state);
        }
        parts.whole(3)
    }

    #[test]
    fn a_message_is_delivered_when_every_part_is() {
        assert_eq!(told(&[]), Pending);
        assert_eq!(told(&[(1, Delivered), (2, Delivered)]), Pending);
        assert_eq!(told(&[(1, Delivered), (1, Delivered), (1, Delivered)]), Pending, "repeats are not parts");
        assert_eq!(told(&[(3, Delivered), (1, Delivered), (2, Delivered)]), Delivered);
    }

    #[test]
    fn one_lost_part_is_enough_until_it_arrives_after_all() {
        assert_eq!(told(&[(1, Delivered), (2, Undelivered)]), Undelivered);
        assert_eq!(told(&[(2, Expired), (1, Pending)]), Expired);
        assert_eq!(told(&[(2, Undelivered), (2, Pending), (2, Expired)]), Undelivered, "a part does not go back");
        assert_eq!(told(&[(2, Undelivered), (1, Delivered), (2, Delivered), (3, Delivered)]), Delivered);
    }

    #[test]
    fn parts_that_do_not_exist_and_words_that_nobody_knows_change_nothing() {
        let odd = DeliveryState::Unrecognised("ODD".to_owned());
        assert_eq!(told(&[(0, Undelivered), (4, Undelivered), (1, odd)]), Pending);
    }

    #[test]
    fn a_repeat_is_no_news() {
        let (mut parts, part) = (Parts::default(), Part { number: 1, of: 2 });
        assert!(parts.learn(part, &Pending) && parts.learn(part, &Delivered));
        assert!(!parts.learn(part, &Delivered) && !parts.learn(part, &Undelivered));
    }

    #[test]
    fn ids_have_places() {
        assert_eq!(ids("a1"), None);
        assert_eq!(ids("a b  c"), Some(vec!["a", "b", "c"]));
        assert_eq!(place("a b c", "b"), Some(Part { number: 2, of: 3 }));
        assert_eq!((place("a b c", "d"), place("a", "a")), (None, None));
    }
}
