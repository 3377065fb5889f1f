//! Receipts: matched, parked, repeated, late.

use sms_core::store::{Admit, Outcome, Receipted, Settled, Then, What};
use sms_core::{DeliveryState, MessageId, ProviderName, Status};

use super::{BACKUP, MITTO, Stand, again, later, sent};

/// A receipt may overtake the answer to the submission.
pub async fn receipts_before_the_answer_are_matched(stand: Stand) {
    let id = stand.begin().await;
    assert_eq!(
        matched(stand.receipt(Some(id), "u1", DeliveryState::Delivered).await),
        (Status::Sending, Status::Delivered)
    );
    let (change, go) = stand.settle(id, 1, Outcome::Accepted, sent("u1")).await;
    assert_eq!((change.from, change.to, go), (Status::Delivered, Status::Delivered, false));
    assert_eq!(stand.record(id).await.upstream_id.as_deref(), Some("u1"));
}

/// A receipt that only has the provider's id waits until that id is told.
pub async fn parked_receipts_are_matched_by_upstream_id(stand: Stand) {
    let (first, second) = (stand.begin().await, stand.begin().await);
    assert_eq!(stand.receipt(None, "u1", DeliveryState::Pending).await, Receipted::Parked);
    assert_eq!(stand.receipt(None, "u1", DeliveryState::Delivered).await, Receipted::Parked);
    let (change, _) = stand.settle(second, 1, Outcome::Accepted, sent("u2")).await;
    assert_eq!(change.to, Status::Sent, "another id matches nothing");
    let (change, _) = stand.settle(first, 1, Outcome::Accepted, sent("u1")).await;
    assert_eq!((change.from, change.to), (Status::Sending, Status::Delivered));
    let states: Vec<_> = receipt_states(&stand, first).await;
    assert_eq!(states, ["pending", "delivered"]);
    let third = stand.begin().await;
    let (change, _) = stand.settle(third, 1, Outcome::Accepted, sent("u1")).await;
    assert_eq!(change.to, Status::Sent, "a parked receipt matches once");
}

/// An hour is enough for any submission.
pub async fn parked_receipts_are_forgotten_after_an_hour(stand: Stand) {
    for (wait, expected) in [(3600, Status::Delivered), (3601, Status::Sent)] {
        let mut admit = Admit { begin: true, ..stand.admit() };
        admit.message.expires = stand.now().plus(std::time::Duration::from_hours(10));
        let (id, upstream_id) = (stand.accept(admit).await, format!("u{wait}"));
        assert_eq!(stand.receipt(None, &upstream_id, DeliveryState::Delivered).await, Receipted::Parked);
        stand.pass(wait);
        let (change, _) = stand.settle(id, 1, Outcome::Accepted, sent(&upstream_id)).await;
        assert_eq!(change.to, expected, "after {wait} s");
    }
}

/// Ids of one provider mean nothing to another.
pub async fn receipts_of_other_providers_do_not_match(stand: Stand) {
    let id = stand.send("u1").await;
    assert_eq!(stand.receipt_of(BACKUP, None, "u1", DeliveryState::Delivered).await, Receipted::Parked);
    assert_eq!(stand.receipt_of(BACKUP, Some(id), "u1", DeliveryState::Delivered).await, Receipted::Parked);
    assert_eq!(stand.status(id).await, Status::Sent);
    assert_eq!(matched(stand.receipt(None, "u1", DeliveryState::Delivered).await), (Status::Sent, Status::Delivered));
}

/// Our id in a receipt counts only from a provider that was given the message, but also from an earlier one.
pub async fn a_receipt_for_an_untried_provider_is_parked(stand: Stand) {
    let waiting = stand.accept(stand.admit()).await;
    assert_eq!(stand.receipt(Some(waiting), "", DeliveryState::Delivered).await, Receipted::Parked);
    assert_eq!(stand.status(waiting).await, Status::Queued);
    let id = stand.begin().await;
    stand.settle(id, 1, Outcome::Unknown, again(BACKUP)).await;
    let Settled::Done { .. } = stand.try_settle((id, 2), BACKUP, Outcome::Accepted, sent("b1")).await else {
        panic!("attempt 2 is open")
    };
    assert_eq!(
        matched(stand.receipt(Some(id), "m1", DeliveryState::Delivered).await),
        (Status::Sent, Status::Delivered)
    );
    let unknown = MessageId::new(stand.now(), [77; 10]);
    assert_eq!(stand.receipt(Some(unknown), "", DeliveryState::Delivered).await, Receipted::Parked);
}

/// Told twice or in the wrong order, the end is the same.
pub async fn duplicate_and_reordered_receipts_are_harmless(stand: Stand) {
    let id = stand.send("u1").await;
    assert_eq!(matched(stand.receipt(None, "u1", DeliveryState::Delivered).await), (Status::Sent, Status::Delivered));
    for state in [DeliveryState::Delivered, DeliveryState::Pending, DeliveryState::Undelivered, DeliveryState::Expired]
    {
        let unchanged = (Status::Delivered, Status::Delivered);
        assert_eq!(matched(stand.receipt(Some(id), "u1", state).await), unchanged);
    }
    assert_eq!(receipt_states(&stand, id).await, ["delivered", "delivered", "pending", "undelivered", "expired"]);
}

/// The network's confirmation beats everything said before.
pub async fn late_delivery_wins_and_nothing_undoes_it(stand: Stand) {
    let given_up = stand.send("u1").await;
    assert_eq!(matched(stand.receipt(None, "u1", DeliveryState::Undelivered).await).1, Status::Undelivered);
    assert_eq!(
        matched(stand.receipt(None, "u1", DeliveryState::Delivered).await),
        (Status::Undelivered, Status::Delivered)
    );
    let unknown = stand.begin().await;
    stand.settle(unknown, 1, Outcome::Unknown, Then::End(Status::Unknown)).await;
    stand.pass(600);
    assert_eq!(matched(stand.receipt(Some(unknown), "", DeliveryState::Delivered).await).1, Status::Delivered);
    assert_eq!(stand.status(given_up).await, Status::Delivered);
}

/// While a message waits for its second copy, any word of the provider makes that copy superfluous.
pub async fn a_receipt_ends_a_waiting_copy(stand: Stand) {
    for (state, expected) in [
        (DeliveryState::Pending, Status::Sent),
        (DeliveryState::Delivered, Status::Delivered),
        (DeliveryState::Undelivered, Status::Undelivered),
    ] {
        let id = stand.begin().await;
        let due = stand.now().plus(std::time::Duration::from_secs(8));
        stand.settle(id, 1, Outcome::Unknown, later(BACKUP, due)).await;
        assert_eq!(matched(stand.receipt(Some(id), "", state).await), (Status::Sending, expected));
        stand.pass(10);
        assert!(stand.claim(BACKUP, 9).await.is_empty(), "no copy after {expected:?}");
    }
    assert!(stand.store.lanes().await.unwrap().is_empty());
    let id = stand.begin().await;
    stand.settle(id, 1, Outcome::Unknown, later(BACKUP, stand.now())).await;
    assert_eq!(
        matched(stand.receipt(Some(id), "", DeliveryState::Unrecognised("ODD".into())).await).1,
        Status::Sending
    );
    assert_eq!(stand.claim(BACKUP, 9).await.len(), 1, "an unknown word ends nothing");
}

/// A receipt during an attempt forbids the copy that its settling asks for.
pub async fn a_receipt_forbids_the_next_attempt(stand: Stand) {
    let id = stand.begin().await;
    stand.receipt(Some(id), "", DeliveryState::Delivered).await;
    let (change, go) = stand.settle(id, 1, Outcome::Unknown, again(BACKUP)).await;
    assert_eq!((change.to, go), (Status::Delivered, false));
    assert_eq!(stand.try_settle((id, 2), BACKUP, Outcome::Accepted, sent("b")).await, Settled::Fenced);
    let id = stand.begin().await;
    stand.receipt(Some(id), "", DeliveryState::Pending).await;
    let (change, go) = stand.settle(id, 1, Outcome::Unknown, later(MITTO, stand.now())).await;
    assert_eq!((change.to, go), (Status::Sent, false));
    assert!(stand.claim(MITTO, 9).await.is_empty());
}

/// A state this version does not know is kept verbatim and changes nothing.
pub async fn unrecognised_receipts_are_written_down(stand: Stand) {
    let id = stand.send("u1").await;
    let odd = DeliveryState::Unrecognised("SKIPPED".to_owned());
    assert_eq!(matched(stand.receipt(None, "u1", odd).await), (Status::Sent, Status::Sent));
    let record = stand.record(id).await;
    let Some(What::Receipt { provider, state, code, their_time, part: None }) =
        record.history.last().map(|entry| &entry.what)
    else {
        panic!("a receipt's line is last: {:?}", record.history)
    };
    assert_eq!((provider, state.as_str(), code.as_deref()), (&ProviderName::new(MITTO), "SKIPPED", Some("0")));
    assert!(their_time.is_some());
}

/// Every order of four receipts leaves a status that the contract allows after the one before.
pub async fn status_never_goes_back(stand: Stand) {
    let states = [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Expired, DeliveryState::Undelivered];
    for order in 0..256_usize {
        let id = stand.begin().await;
        let mut status = Status::Sending;
        for step in 0..4 {
            let state = states[(order >> (2 * step)) & 3].clone();
            if step == order % 4 {
                stand.settle(id, 1, Outcome::Accepted, sent(&format!("u{order}"))).await;
                status = status.after(&sms_core::Happening::Accepted);
            }
            status = status.after(&sms_core::Happening::Receipt(state.clone()));
            assert_eq!(matched(stand.receipt(Some(id), "", state).await).1, status, "order {order}");
        }
        assert_eq!(stand.status(id).await, status);
    }
}

fn matched(receipted: Receipted) -> (Status, Status) {
    match receipted {
        Receipted::Matched(change) => (change.from, change.to),
        Receipted::Parked => panic!("the receipt should match"),
    }
}

async fn receipt_states(stand: &Stand, id: MessageId) -> Vec<String> {
    let history = stand.record(id).await.history;
    let states = history
        .into_iter()
        .filter_map(|entry| if let What::Receipt { state, .. } = entry.what { Some(state) } else { None });
    states.collect()
}
