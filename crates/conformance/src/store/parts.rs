//! Receipts of parts: the message is what its parts are together.

use sms_core::store::{Outcome, Receipted, ReceivedReceipt, Then};
use sms_core::{DeliveryState, MessageId, Part, ProviderName, Receipt, Status};

use super::{MITTO, Stand};

use DeliveryState::{Delivered, Expired, Pending, Undelivered};

/// Delivered when every part is, whatever the order.
pub async fn a_message_is_delivered_when_every_part_is(stand: Stand) {
    let id = sent_in_parts(&stand, "a1 a2 a3").await;
    assert_eq!(by_id(&stand, "a3", Delivered).await, Status::Sent);
    assert_eq!(by_id(&stand, "a3", Delivered).await, Status::Sent, "a repeat is not another part");
    assert_eq!(by_id(&stand, "a1", Pending).await, Status::Sent);
    assert_eq!(by_id(&stand, "a1", Delivered).await, Status::Sent);
    assert_eq!(by_id(&stand, "a2", Delivered).await, Status::Delivered);
    assert_eq!(by_id(&stand, "a1", Undelivered).await, Status::Delivered, "nothing undoes it");
    assert_eq!(stand.status(id).await, Status::Delivered);
}

/// Half a text is no text.
pub async fn one_lost_part_loses_the_message_until_it_arrives(stand: Stand) {
    sent_in_parts(&stand, "a1 a2").await;
    assert_eq!(by_id(&stand, "a1", Delivered).await, Status::Sent);
    assert_eq!(by_id(&stand, "a2", Undelivered).await, Status::Undelivered);
    assert_eq!(by_id(&stand, "a1", Delivered).await, Status::Undelivered);
    assert_eq!(by_id(&stand, "a2", Delivered).await, Status::Delivered);
    sent_in_parts(&stand, "b1 b2").await;
    assert_eq!(by_id(&stand, "b2", Expired).await, Status::Expired);
}

/// Parts may be told before the submission is answered: by id they wait, by number they count at once.
pub async fn parts_may_come_before_the_answer(stand: Stand) {
    let id = stand.begin().await;
    for part in ["a2", "a1"] {
        let parked = receipt(&stand, None, part, Delivered, None).await;
        assert_eq!(parked, Receipted::Parked);
    }
    let (change, _) = stand.settle(id, 1, Outcome::Accepted, Then::Sent { upstream_id: "a1 a2".to_owned() }).await;
    assert_eq!(change.to, Status::Delivered);

    let id = stand.begin().await;
    let numbered =
        async |number, state| status(receipt(&stand, Some(id), "", state, Some(Part { number, of: 2 })).await);
    assert_eq!(numbered(2, Delivered).await, Status::Sent);
    let (change, _) = stand.settle(id, 1, Outcome::Accepted, Then::Sent { upstream_id: "b1".to_owned() }).await;
    assert_eq!(change.to, Status::Sent);
    assert_eq!(numbered(1, Delivered).await, Status::Delivered);
}

/// Our reference names the message, the provider's id the part.
pub async fn a_part_is_known_by_its_id_also_where_the_message_is(stand: Stand) {
    let id = sent_in_parts(&stand, "a1 a2").await;
    assert_eq!(status(receipt(&stand, Some(id), "a1", Delivered, None).await), Status::Sent);
    assert_eq!(status(receipt(&stand, Some(id), "a2", Delivered, None).await), Status::Delivered);
    let whole = sent_in_parts(&stand, "b1 b2").await;
    assert_eq!(status(receipt(&stand, Some(whole), "", Delivered, None).await), Status::Delivered, "of the message");
}

/// A bound on repeated receipts must not make a part forgotten.
pub async fn repeated_parts_crowd_out_no_other(stand: Stand) {
    sent_in_parts(&stand, "a1 a2").await;
    for _ in 0..200 {
        by_id(&stand, "a1", Pending).await;
    }
    assert_eq!(by_id(&stand, "a1", Delivered).await, Status::Sent);
    for _ in 0..200 {
        by_id(&stand, "a1", Delivered).await;
    }
    assert_eq!(by_id(&stand, "a2", Delivered).await, Status::Delivered);
}

async fn sent_in_parts(stand: &Stand, ids: &str) -> MessageId {
    let id = stand.begin().await;
    stand.settle(id, 1, Outcome::Accepted, Then::Sent { upstream_id: ids.to_owned() }).await;
    id
}

async fn by_id(stand: &Stand, upstream_id: &str, state: DeliveryState) -> Status {
    status(receipt(stand, None, upstream_id, state, None).await)
}

async fn receipt(
    stand: &Stand,
    message: Option<MessageId>,
    upstream_id: &str,
    state: DeliveryState,
    part: Option<Part>,
) -> Receipted {
    let upstream_id = upstream_id.to_owned();
    let receipt = Receipt { message, upstream_id, state, provider_code: None, at: None, part };
    let received = ReceivedReceipt { provider: ProviderName::new(MITTO), receipt, at: stand.now() };
    stand.store.receipts(vec![received]).await.unwrap().remove(0)
}

fn status(receipted: Receipted) -> Status {
    match receipted {
        Receipted::Matched(change) => change.to,
        Receipted::Parked => panic!("the receipt should match"),
    }
}
