//! Acceptance: idempotency, limits, the message.

use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{Admit, Charging, Idempotency, Replay, Verdict, What};
use sms_core::{LimitId, MessageId, Status, TenantId, UnixMs};

use super::{ACME, Stand, charge, idempotency, number};

/// Everything but the text comes back.
pub async fn accepted_message_is_read_back(stand: Stand) {
    let admit = stand.admit();
    let message = admit.message.clone();
    let id = stand.accept(admit).await;
    let record = stand.record(id).await;
    assert_eq!((record.id, record.tenant, record.status), (id, message.tenant, Status::Queued));
    assert_eq!((record.created, record.expires, record.updated), (message.created, message.expires, message.created));
    assert_eq!((record.to, record.country), (Some(message.to), message.to.country()));
    assert_eq!(record.details, message.details);
    assert_eq!((record.provider, record.upstream_id), (None, None));
    let [accepted] = record.history.as_slice() else { panic!("one line: {:?}", record.history) };
    assert_eq!((accepted.at, &accepted.what), (message.created, &What::Accepted));
    assert_eq!(stand.store.get(None, MessageId::new(UnixMs::new(1), [9; 10])).await.unwrap(), None);
}

/// The accept-time answer comes back whatever happened since, from either question.
pub async fn idempotent_replay_is_byte_identical(stand: Stand) {
    for answer in [odd_answer(), b"\x00\x01\xff\x1f".to_vec(), Vec::new(), real_answer(&stand)] {
        let key = idempotency(&format!("key {}", answer.len()), 1);
        let admit = Admit { answer: answer.clone().into(), ..keyed(&stand, key.clone()) };
        let id = stand.accept(Admit { begin: true, ..admit }).await;
        stand.settle(id, 1, sms_core::store::Outcome::Accepted, super::sent("u")).await;
        stand.pass(3600);
        let expected: Arc<[u8]> = answer.into();
        let again = stand.decide(keyed(&stand, key.clone())).await;
        assert_eq!(again, Verdict::Replayed { id, answer: Arc::clone(&expected) });
        assert_eq!(replay(&stand, ACME, &key).await, Some(Replay::Replayed { id, answer: expected }));
    }
    assert_eq!(stand.store.search(everything()).await.unwrap().records.len(), 4, "a replay makes no message");
}

/// The same key with another request is an error of the caller.
pub async fn another_request_under_the_same_key_is_refused(stand: Stand) {
    stand.accept(keyed(&stand, idempotency("key", 1))).await;
    assert_eq!(stand.decide(keyed(&stand, idempotency("key", 2))).await, Verdict::KeyReuse);
    assert_eq!(replay(&stand, ACME, &idempotency("key", 2)).await, Some(Replay::KeyReuse));
    assert_eq!(replay(&stand, ACME, &idempotency("other", 1)).await, None);
}

/// Two tenants may use the same key.
pub async fn keys_are_scoped_by_tenant(stand: Stand) {
    stand.accept(keyed(&stand, idempotency("key", 1))).await;
    let mut foreign = keyed(&stand, idempotency("key", 2));
    foreign.message.tenant = TenantId::new("globex");
    assert_eq!(replay(&stand, "globex", &idempotency("key", 2)).await, None);
    stand.accept(foreign).await;
}

/// After a day the key is free again.
pub async fn idempotency_ends_after_a_day(stand: Stand) {
    let first = stand.accept(keyed(&stand, idempotency("key", 1))).await;
    stand.pass(24 * 3600 - 1);
    assert!(
        matches!(stand.decide(keyed(&stand, idempotency("key", 1))).await, Verdict::Replayed { id, .. } if id == first)
    );
    stand.pass(1);
    assert_eq!(replay(&stand, ACME, &idempotency("key", 1)).await, None);
    let second = stand.accept(keyed(&stand, idempotency("key", 2))).await;
    assert!(
        matches!(replay(&stand, ACME, &idempotency("key", 2)).await, Some(Replay::Replayed { id, .. }) if id == second)
    );
}

/// A refusal is not stored: the same request may be accepted later.
pub async fn refused_requests_keep_no_key(stand: Stand) {
    let limited =
        |stand: &Stand| Admit { charges: vec![charge("l", "a", 1, 30)], ..keyed(stand, idempotency("key", 1)) };
    stand.accept(Admit { idempotency: None, ..limited(&stand) }).await;
    assert!(matches!(stand.decide(limited(&stand)).await, Verdict::Limited { .. }));
    assert_eq!(replay(&stand, ACME, &idempotency("key", 1)).await, None);
    stand.pass(31);
    stand.accept(limited(&stand)).await;
}

/// A replay asks no limit.
pub async fn replays_are_not_charged(stand: Stand) {
    let limited =
        |stand: &Stand| Admit { charges: vec![charge("l", "a", 2, 30)], ..keyed(stand, idempotency("key", 1)) };
    stand.accept(limited(&stand)).await;
    for _ in 0..5 {
        assert!(matches!(stand.decide(limited(&stand)).await, Verdict::Replayed { .. }));
    }
    stand.accept(Admit { idempotency: None, ..limited(&stand) }).await;
    assert!(matches!(stand.decide(Admit { idempotency: None, ..limited(&stand) }).await, Verdict::Limited { .. }));
}

/// 64 at once and one allowed: one is accepted. Five allowed: five are.
pub async fn limits_exact_under_concurrency(stand: Stand) {
    for allowed in [1, 5] {
        let tasks: Vec<_> = (0..64)
            .map(|n| {
                let (stand, mut admit) = (stand.clone(), stand.admit());
                admit.charges = vec![charge("l", &format!("{allowed}"), allowed, 30), charge("wide", "all", 2_000, 60)];
                admit.message.to = number(n);
                tokio::spawn(async move { stand.decide(admit).await })
            })
            .collect();
        let mut accepted = 0;
        for task in tasks {
            match task.await.unwrap() {
                Verdict::Leased { .. } => accepted += 1,
                Verdict::Limited { limit, retry_after } => {
                    assert_eq!((limit, retry_after), (LimitId::new("l"), Duration::from_millis(30_001)));
                }
                Verdict::KeyReuse | Verdict::Replayed { .. } => panic!("no key was given"),
            }
        }
        assert_eq!(accepted, allowed);
    }
}

/// Never more than N in any window, not only in those that begin at a full minute.
pub async fn limits_hold_in_any_window(stand: Stand) {
    let mut accepted = Vec::new();
    for second in 0..200_u64 {
        let admit = Admit { charges: vec![charge("l", "a", 3, 30)], ..stand.admit() };
        if matches!(stand.decide(admit).await, Verdict::Leased { .. }) {
            accepted.push(second);
        }
        stand.pass(1);
    }
    assert!(accepted.len() >= 18, "a free place is used: {accepted:?}");
    assert!(accepted.windows(4).all(|four| four[3] - four[0] > 30), "{accepted:?}");
}

/// Where one limit refuses, no other is charged.
pub async fn refusals_charge_nothing(stand: Stand) {
    let admit = |stand: &Stand, wide: u32| {
        let charges = vec![charge("wide", "a", wide, 600), charge("narrow", "a", 1, 30)];
        Admit { charges, ..stand.admit() }
    };
    stand.accept(admit(&stand, 2)).await;
    for _ in 0..5 {
        assert!(matches!(stand.decide(admit(&stand, 2)).await, Verdict::Limited { .. }));
    }
    stand.pass(31);
    stand.accept(admit(&stand, 2)).await;
    stand.pass(31);
    assert!(
        matches!(stand.decide(admit(&stand, 2)).await, Verdict::Limited { limit, .. } if limit == LimitId::new("wide"))
    );
}

/// Of several refusals the one that lasts longest is told, so that the wait is enough.
pub async fn the_longest_wait_is_told(stand: Stand) {
    let admit = |stand: &Stand| {
        let charges = vec![charge("short", "a", 1, 30), charge("long", "a", 1, 600), charge("none", "a", 9, 900)];
        Admit { charges, ..stand.admit() }
    };
    stand.accept(admit(&stand)).await;
    stand.pass(10);
    let verdict = stand.decide(admit(&stand)).await;
    let (limit, retry_after) = (LimitId::new("long"), Duration::from_millis(590_001));
    assert_eq!(verdict, Verdict::Limited { limit, retry_after });
    stand.clock.advance(retry_after);
    stand.accept(admit(&stand)).await;
}

/// A shadow limit counts what it would have let pass, tells the rest, and refuses nothing.
pub async fn shadow_limits_report_and_never_refuse(stand: Stand) {
    let admit = |stand: &Stand| {
        let mut shadow = charge("shadow", "a", 1, 30);
        shadow.charging = Charging::Shadow;
        Admit { charges: vec![shadow], ..stand.admit() }
    };
    stand.accept(admit(&stand)).await;
    stand.pass(20);
    let shadowed = Verdict::Leased { shadowed: vec![LimitId::new("shadow")] };
    assert_eq!(stand.decide(admit(&stand)).await, shadowed);
    stand.pass(11);
    stand.accept(admit(&stand)).await; // only the first one counted
}

/// One batch: the second entry of a key replays the first, the second charge of a limit is refused.
pub async fn verdicts_see_earlier_entries(stand: Stand) {
    let keyed =
        |request| Admit { answer: b"{\"n\":1}".as_slice().into(), ..keyed(&stand, idempotency("key", request)) };
    let limited = || Admit { charges: vec![charge("l", "a", 1, 30)], ..stand.admit() };
    let batch = vec![keyed(1), limited(), keyed(1), keyed(2), limited(), stand.admit()];
    let first = batch[0].message.id;
    let verdicts = stand.store.admit(batch).await.unwrap();
    let leased = Verdict::Leased { shadowed: Vec::new() };
    assert_eq!((&verdicts[0], &verdicts[1], &verdicts[5]), (&leased, &leased, &leased));
    assert_eq!(verdicts[2], Verdict::Replayed { id: first, answer: b"{\"n\":1}".as_slice().into() });
    assert_eq!(verdicts[3], Verdict::KeyReuse);
    assert!(matches!(verdicts[4], Verdict::Limited { .. }));
}

fn keyed(stand: &Stand, idempotency: Idempotency) -> Admit {
    Admit { idempotency: Some(idempotency), ..stand.admit() }
}

async fn replay(stand: &Stand, tenant: &str, idempotency: &Idempotency) -> Option<Replay> {
    stand.store.replay(&TenantId::new(tenant), idempotency, stand.now()).await.unwrap()
}

fn everything() -> sms_core::store::Filter {
    sms_core::store::Filter { limit: 100, ..Default::default() }
}

fn odd_answer() -> Vec<u8> {
    "{\"id\":\"msg_1\",\"status\":\"queued\",\"to\":\"+41\",  \"t\":\"2025-11-24T16:00:00Z\", \"é\":1}\n".into()
}

fn real_answer(stand: &Stand) -> Vec<u8> {
    let (id, now) = (MessageId::new(stand.now(), [7; 10]), stand.now());
    format!(
        "{{\"id\":\"{id}\",\"status\":\"queued\",\"to\":\"+447700900000\",\"encoding\":\"gsm7\",\"segments\":1,\
         \"created_at\":\"{now}\",\"expires_at\":\"{}\"}}",
        now.plus(Duration::from_mins(5))
    )
    .into()
}
