//! Attempts: fencing, what follows, what is written down.

use std::time::Duration;

use sms_core::store::{Admit, Attempted, Outcome, Settle, Settled, Then, What};
use sms_core::{MessageId, ProviderName, Status, UnixMs};

use super::{BACKUP, CANARY, MITTO, Stand, again, later, sent};

/// Only the open attempt can be settled, and once.
pub async fn settle_is_fenced_by_attempt(stand: Stand) {
    let id = stand.begin().await;
    let wrong = stand.try_settle((id, 2), MITTO, Outcome::Accepted, sent("u")).await;
    assert_eq!((wrong, stand.status(id).await), (Settled::Fenced, Status::Sending));
    let (change, go) = stand.settle(id, 1, Outcome::Accepted, sent("u")).await;
    assert_eq!((change.from, change.to, go), (Status::Sending, Status::Sent, false));
    assert_eq!((change.id, change.provider.as_ref().map(ProviderName::as_str)), (id, Some(MITTO)));
    let twice = stand.try_settle((id, 1), MITTO, Outcome::Unknown, Then::End(Status::Unknown)).await;
    assert_eq!((twice, stand.status(id).await), (Settled::Fenced, Status::Sent));

    let waiting = stand.accept(stand.admit()).await;
    let none = stand.try_settle((waiting, 0), MITTO, Outcome::Accepted, sent("u")).await;
    assert_eq!((none, stand.status(waiting).await), (Settled::Fenced, Status::Queued));
}

/// A message nobody knows is like an attempt somebody else settled.
pub async fn messages_that_do_not_exist_are_fenced(stand: Stand) {
    let id = MessageId::new(UnixMs::new(5), [5; 10]);
    assert_eq!(stand.try_settle((id, 1), MITTO, Outcome::Accepted, sent("u")).await, Settled::Fenced);
}

/// The next attempt has its own number and provider; the one before is closed.
pub async fn again_opens_the_next_attempt(stand: Stand) {
    let id = stand.begin().await;
    let (change, go) = stand.settle(id, 1, Outcome::Refused, again(BACKUP)).await;
    assert!(go);
    assert_eq!((change.from, change.to), (Status::Sending, Status::Sending));
    assert_eq!(stand.try_settle((id, 1), MITTO, Outcome::Accepted, sent("u")).await, Settled::Fenced);
    assert_eq!(stand.record(id).await.provider, Some(ProviderName::new(BACKUP)));
    let settled = stand.try_settle((id, 2), BACKUP, Outcome::Accepted, sent("b1")).await;
    let Settled::Done { change, go } = settled else { panic!("attempt 2 is open") };
    assert_eq!((change.to, change.provider, go), (Status::Sent, Some(ProviderName::new(BACKUP)), false));
    assert_eq!(stand.record(id).await.upstream_id.as_deref(), Some("b1"));
}

/// Each ending leads to its status.
pub async fn attempts_end_in_each_status(stand: Stand) {
    for (outcome, status) in [
        (Outcome::Refused, Status::Rejected),
        (Outcome::NotSent, Status::Failed),
        (Outcome::NotSent, Status::Expired),
        (Outcome::Unknown, Status::Unknown),
    ] {
        let id = stand.begin().await;
        let (change, go) = stand.settle(id, 1, outcome, Then::End(status)).await;
        assert_eq!((change.from, change.to, go), (Status::Sending, status, false));
        assert_eq!(stand.status(id).await, status);
        assert!(stand.claim(MITTO, 9).await.is_empty());
    }
}

/// Attempt after attempt gets the same text.
pub async fn bodies_are_kept_for_further_attempts(stand: Stand) {
    let id = stand.begin().await;
    for attempt in 1..4 {
        stand.settle(id, attempt, Outcome::NotSent, later(MITTO, stand.now())).await;
        let leased = stand.claim(MITTO, 1).await.remove(0);
        assert_eq!((leased.attempt, leased.body.expose()), (attempt + 1, CANARY));
    }
}

/// Every step has its line, oldest first, with its time.
pub async fn history_tells_everything_in_order(stand: Stand) {
    let start = stand.now();
    let id = stand.accept(stand.admit()).await;
    stand.pass(1);
    stand.claim(MITTO, 1).await;
    stand.pass(1);
    let due = stand.now().plus(Duration::from_secs(1));
    stand.settle(id, 1, Outcome::NotSent, later(BACKUP, due)).await;
    stand.pass(1);
    stand.claim(BACKUP, 1).await;
    stand.try_settle((id, 2), BACKUP, Outcome::Accepted, sent("b1")).await;
    let record = stand.record(id).await;
    let attempted = |attempt, provider: &str, outcome, started: u64| {
        let (provider, started) = (ProviderName::new(provider), start.plus(Duration::from_secs(started)));
        What::Outcome(Attempted { attempt, provider, outcome, kind: None, code: None, started, took_ms: 7 })
    };
    let expected = [
        (0, What::Accepted),
        (1, What::Intent { attempt: 1, provider: ProviderName::new(MITTO) }),
        (2, attempted(1, MITTO, Outcome::NotSent, 2)),
        (2, What::Waiting { lane: ProviderName::new(BACKUP), until: due }),
        (3, What::Intent { attempt: 2, provider: ProviderName::new(BACKUP) }),
        (3, attempted(2, BACKUP, Outcome::Accepted, 3)),
        (3, What::Status(Status::Sent)),
    ];
    let history: Vec<_> =
        record.history.iter().map(|entry| (entry.at.since(start).as_secs(), entry.what.clone())).collect();
    assert_eq!(history, expected);
    assert_eq!(record.updated, start.plus(Duration::from_secs(3)));
}

/// Within a batch each settle sees those before it.
pub async fn two_settles_of_one_batch_follow_each_other(stand: Stand) {
    let id = stand.accept(Admit { begin: true, ..stand.admit() }).await;
    let settle = |attempt, provider: &str, outcome, then| {
        let (provider, at) = (ProviderName::new(provider), stand.now());
        let attempted = Attempted { attempt, provider, outcome, kind: None, code: None, started: at, took_ms: 1 };
        Settle { id, attempt, at, attempted, then }
    };
    let batch = vec![
        settle(1, MITTO, Outcome::Refused, again(BACKUP)),
        settle(1, MITTO, Outcome::Refused, again(BACKUP)),
        settle(2, BACKUP, Outcome::Accepted, sent("b1")),
    ];
    let settled = stand.store.settle(batch).await.unwrap();
    assert!(matches!(settled[0], Settled::Done { go: true, .. }));
    assert_eq!(settled[1], Settled::Fenced);
    assert!(matches!(&settled[2], Settled::Done { change, .. } if change.to == Status::Sent));
}
