//! Where the upstream drops repeats: the same attempt carries the same key, another attempt another one.

use super::Kit;
use super::samples::{ANSWERS_WITHIN, numbered, sms};
use crate::upstream::Behaviour;

pub(super) async fn check(kit: &mut Kit<'_>) {
    let rig = kit.harness.rig(Behaviour::Accept).await;
    if !rig.provider.descriptor().capabilities.idempotent {
        return;
    }
    let (first, other) = (sms(6), sms(7));
    for attempt in [
        (&first, numbered(&first, 1, ANSWERS_WITHIN)),
        (&first, numbered(&first, 1, ANSWERS_WITHIN)),
        (&first, numbered(&first, 2, ANSWERS_WITHIN)),
        (&other, numbered(&other, 1, ANSWERS_WITHIN)),
    ] {
        let result = rig.provider.send(attempt.0, &attempt.1).await;
        kit.expect(CHECK, result.is_ok(), || format!("{result:?}"));
    }
    let keys: Vec<Option<String>> = rig.wire.seen().into_iter().map(|seen| seen.idempotency_key).collect();
    let [Some(a), Some(same), Some(next), Some(other)] = keys.as_slice() else {
        return kit.fail(CHECK, format!("four sends, keys {keys:?}"));
    };
    kit.expect(CHECK, a == same && !a.is_empty(), || "one attempt, two keys".to_owned());
    kit.expect(CHECK, a != next && a != other && next != other, || "two attempts, one key".to_owned());
}

const CHECK: &str = "same_attempt_same_key";
