//! Receipts that came before their message was known to have the provider's id. Bounded in number and in time; the
//! oldest go first. Knows no back end: each has a row of the same number there.

use std::collections::{BTreeMap, HashMap};

use sms_core::store::{RECEIPT_PARKED, ReceivedReceipt};
use sms_core::{DeliveryState, MessageId, ProviderName, UnixMs};

/// Most receipts kept; an authenticated provider that sends more loses the oldest.
pub(crate) const PARKED_MAX: usize = 10_000;

/// Number of a parked receipt's row.
pub(crate) type ParkedId = i64;

/// Parked receipts by what may match them later; changes can be taken back until they are committed.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    receipts: BTreeMap<ParkedId, ReceivedReceipt>,
    by_upstream: HashMap<String, Vec<ParkedId>>,
    by_message: HashMap<MessageId, Vec<ParkedId>>,
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Add(ParkedId),
    Remove(ParkedId, ReceivedReceipt),
}

impl Parked {
    pub(crate) fn add(&mut self, id: ParkedId, receipt: ReceivedReceipt) {
        self.put(id, receipt);
        self.undo.push(Undo::Add(id));
    }

    pub(crate) fn remove(&mut self, id: ParkedId) -> Option<ReceivedReceipt> {
        let receipt = self.take(id)?;
        self.undo.push(Undo::Remove(id, receipt.clone()));
        Some(receipt)
    }

    pub(crate) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(crate) fn rollback(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Add(id) => drop(self.take(id)),
                Undo::Remove(id, receipt) => self.put(id, receipt),
            }
        }
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<ReceivedReceipt> {
        self.receipts.values().cloned().collect()
    }

    /// The receipts of `provider` that speak of this message, oldest first.
    pub(crate) fn of(&self, message: MessageId, provider: &ProviderName, upstream_id: &str) -> Vec<ParkedId> {
        if self.receipts.is_empty() {
            return Vec::new();
        }
        let ids = self.by_message.get(&message).into_iter().chain(self.by_upstream.get(upstream_id)).flatten();
        let theirs = ids.filter(|id| self.receipts.get(*id).is_some_and(|parked| parked.provider == *provider));
        let mut ids: Vec<ParkedId> = theirs.copied().collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Up to `max` receipts for which there is no time or no room any more.
    pub(crate) fn stale(&self, now: UnixMs, max: usize) -> Vec<ParkedId> {
        let excess = self.receipts.len().saturating_sub(PARKED_MAX);
        let rows = self.receipts.iter().enumerate();
        let stale = rows.take_while(|(place, (_, parked))| *place < excess || is_stale(parked, now));
        stale.take(max).map(|(_, (id, _))| *id).collect()
    }

    fn put(&mut self, id: ParkedId, parked: ReceivedReceipt) {
        if let Some(message) = parked.receipt.message {
            self.by_message.entry(message).or_default().push(id);
        }
        if !parked.receipt.upstream_id.is_empty() {
            self.by_upstream.entry(parked.receipt.upstream_id.clone()).or_default().push(id);
        }
        self.receipts.insert(id, parked);
    }

    fn take(&mut self, id: ParkedId) -> Option<ReceivedReceipt> {
        let parked = self.receipts.remove(&id)?;
        if let Some(message) = parked.receipt.message {
            forget(&mut self.by_message, &message, id);
        }
        forget(&mut self.by_upstream, &parked.receipt.upstream_id, id);
        Some(parked)
    }
}

/// Its time is over: it no longer matches.
pub(crate) fn is_stale(parked: &ReceivedReceipt, now: UnixMs) -> bool {
    now > parked.at.plus(RECEIPT_PARKED)
}

/// A receipt's state as a row has it; what we do not know keeps its words behind a mark.
pub(crate) fn delivery_text(state: &DeliveryState) -> String {
    match state {
        DeliveryState::Unrecognised(raw) => format!("?{raw}"),
        known @ (DeliveryState::Delivered
        | DeliveryState::Expired
        | DeliveryState::Pending
        | DeliveryState::Undelivered) => known.as_str().to_owned(),
    }
}

/// Reads [`delivery_text`] back; `None` for what nobody wrote.
pub(crate) fn delivery(text: &str) -> Option<DeliveryState> {
    match text {
        "delivered" => Some(DeliveryState::Delivered),
        "expired" => Some(DeliveryState::Expired),
        "pending" => Some(DeliveryState::Pending),
        "undelivered" => Some(DeliveryState::Undelivered),
        other => other.strip_prefix('?').map(|raw| DeliveryState::Unrecognised(raw.to_owned())),
    }
}

fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Vec<ParkedId>>, key: &K, id: ParkedId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use sms_core::Receipt;

    use super::*;

    fn parked(provider: &str, upstream_id: &str, message: Option<MessageId>, at: i64) -> ReceivedReceipt {
        let state = DeliveryState::Delivered;
        let receipt =
            Receipt { message, upstream_id: upstream_id.to_owned(), state, provider_code: None, at: None, part: None };
        ReceivedReceipt { provider: ProviderName::new(provider), receipt, at: UnixMs::new(at) }
    }

    fn message(n: u8) -> MessageId {
        MessageId::new(UnixMs::new(1), [n; 10])
    }

    #[test]
    fn receipts_are_found_by_either_id_and_only_for_their_provider() {
        let mut all = Parked::default();
        all.add(1, parked("mitto", "u1", None, 0));
        all.add(2, parked("other", "u1", None, 0));
        all.add(3, parked("mitto", "", Some(message(7)), 0));
        all.add(4, parked("mitto", "u1", Some(message(7)), 0));
        let mitto = ProviderName::new("mitto");
        assert_eq!(all.of(message(7), &mitto, "u1"), [1, 3, 4]);
        assert_eq!(all.of(message(7), &mitto, ""), [3, 4]);
        assert!(all.of(message(8), &mitto, "u2").is_empty());
    }

    #[test]
    fn receipts_keep_their_state() {
        let raw = DeliveryState::Unrecognised("delivered".to_owned());
        for state in [DeliveryState::Delivered, DeliveryState::Expired, DeliveryState::Pending, raw] {
            assert_eq!(delivery(&delivery_text(&state)), Some(state));
        }
        assert_eq!(delivery("odd"), None);
    }

    #[test]
    fn old_and_supernumerary_receipts_are_stale() {
        let mut all = Parked::default();
        for n in 0..=10_000 {
            all.add(n, parked("mitto", &n.to_string(), None, n));
        }
        assert_eq!(all.stale(UnixMs::new(0), 9), [0], "one above the bound");
        assert_eq!(all.stale(UnixMs::new(3_600_003), 9), [0, 1, 2], "older than an hour");
    }

    #[test]
    fn rollback_restores_everything() {
        let mut all = Parked::default();
        all.add(1, parked("mitto", "u1", None, 0));
        all.commit();
        all.add(2, parked("mitto", "u1", None, 0));
        assert!(all.remove(1).is_some());
        all.rollback();
        assert_eq!(all.of(message(1), &ProviderName::new("mitto"), "u1"), [1]);
        assert!(all.remove(1).is_some());
        assert!(all.by_upstream.is_empty() && all.by_message.is_empty());
    }
}
