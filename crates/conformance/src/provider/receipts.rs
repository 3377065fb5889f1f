//! Receipts come round: every state, in any order, as often as the upstream likes, and from nobody else.

use std::time::Duration;

use sms_core::{CallbackError, CallbackRequest, DeliveryState, Receipt, ReceiptMode, Submission};
use tokio::time::sleep;

use super::samples::{ANSWERS_WITHIN, attempt, sms};
use super::{Kit, Report, Rig};
use crate::upstream::Behaviour;

pub(super) async fn check(kit: &mut Kit<'_>) {
    let rig = kit.harness.rig(Behaviour::Accept).await;
    let message = sms(9);
    let result = rig.provider.send(&message, &attempt(&message, ANSWERS_WITHIN)).await;
    let Ok(submission) = result else { return kit.fail(ROUND, format!("{result:?}")) };
    match rig.provider.descriptor().capabilities.receipts {
        ReceiptMode::Callback => called(kit, &rig, &submission),
        ReceiptMode::None => {}
        ReceiptMode::Session => pushed(kit, &rig, &submission).await,
    }
}

fn states() -> [DeliveryState; 5] {
    [
        DeliveryState::Pending,
        DeliveryState::Delivered,
        DeliveryState::Undelivered,
        DeliveryState::Expired,
        DeliveryState::Unrecognised("ODD_STATE".to_owned()),
    ]
}

fn called(kit: &mut Kit<'_>, rig: &Rig, submission: &Submission) {
    let report = |state| Report { message: sms(9).id, upstream_id: submission.upstream_id.clone(), state };
    let mut calls = Vec::new();
    for state in states() {
        let Some(callback) = kit.harness.callback(&report(state.clone())) else {
            return kit.fail(ROUND, format!("the harness makes no callback for {state:?}"));
        };
        calls.push((state, callback));
    }
    // Backwards and then forwards: late, early and twice must all read the same.
    let reordered: Vec<_> = calls.iter().rev().chain(&calls).collect();
    for (state, callback) in reordered {
        let read = rig.provider.receipts(callback);
        let holds = matches!(read.as_deref(), Ok([receipt]) if is_ours(receipt, submission) && receipt.state == *state);
        kit.expect(ROUND, holds, || format!("{state:?} was read as {read:?}"));
    }
    let Some((_, genuine)) = calls.first() else { return };
    for forged in kit.harness.forgeries(genuine) {
        let read = rig.provider.receipts(&forged);
        kit.expect(FORGED, read == Err(CallbackError::Forged), || format!("read as {read:?}"));
    }
    borrowed(kit, rig, genuine);
}

/// The token of one message must not vouch for another.
fn borrowed(kit: &mut Kit<'_>, rig: &Rig, genuine: &CallbackRequest) {
    let other = Report { message: sms(10).id, upstream_id: "other".to_owned(), state: DeliveryState::Delivered };
    let Some(call) = kit.harness.callback(&other) else { return };
    if call.token == genuine.token {
        return; // one token for the whole account, which may speak of every message
    }
    let read = rig.provider.receipts(&CallbackRequest { token: genuine.token.clone(), ..call });
    let speaks = |receipt: &Receipt| receipt.message == Some(other.message) || receipt.message.is_none();
    let holds = !read.as_ref().is_ok_and(|receipts| receipts.iter().any(speaks));
    kit.expect(FORGED, holds, || format!("a borrowed token was read as {read:?}"));
}

async fn pushed(kit: &mut Kit<'_>, rig: &Rig, submission: &Submission) {
    let Some(sink) = &rig.pushed else {
        return kit.fail(ROUND, "the harness shows no sink".to_owned());
    };
    for _ in 0..POLLS {
        if !sink.all().is_empty() {
            break;
        }
        sleep(STEP).await;
    }
    let receipts = sink.all();
    let holds =
        receipts.iter().any(|receipt| is_ours(receipt, submission) && receipt.state == DeliveryState::Delivered);
    kit.expect(ROUND, holds, || format!("{} receipts were pushed, none fits", receipts.len()));
}

/// The upstream id must be in the form in which the submission told it; our own id is a bonus.
fn is_ours(receipt: &Receipt, submission: &Submission) -> bool {
    let identified = receipt.message.is_some() || !receipt.upstream_id.is_empty();
    let by_message = receipt.message.is_none_or(|message| message == sms(9).id);
    identified && by_message && receipt.upstream_id == submission.upstream_id
}

const FORGED: &str = "forged_receipt_is_refused";
const POLLS: usize = 200;
const ROUND: &str = "receipts_come_round";
const STEP: Duration = Duration::from_millis(5);
