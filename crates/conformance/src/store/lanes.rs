//! Waiting messages: claims, order, expiry, cancellation, gauges.

use std::time::Duration;

use sms_core::store::{Admit, CancelOutcome, Counts, LaneWant, Leased, Outcome, Then, Tried, Waiting, What};
use sms_core::{MessageId, ProviderName, Status, TenantId, UnixMs};

use super::{ACME, BACKUP, CANARY, MITTO, Stand, later, number, sent};

/// Codes the youngest first; what is not due stays.
pub async fn claims_take_the_youngest_code_that_is_due(stand: Stand) {
    let start = stand.now();
    let mut ids = Vec::new();
    for due in [30, 10, 20] {
        let id = stand.begin().await;
        stand.settle(id, 1, Outcome::NotSent, later(MITTO, start.plus(Duration::from_secs(due)))).await;
        ids.push(id);
    }
    stand.pass(5);
    let fresh = stand.accept(stand.admit()).await;
    assert_eq!(claimed(&stand.claim(MITTO, 9).await), [fresh]);
    stand.pass(20);
    assert_eq!(claimed(&stand.claim(MITTO, 9).await), [ids[2], ids[1]]);
    stand.pass(5);
    assert_eq!(claimed(&stand.claim(MITTO, 9).await), [ids[0]]);
}

/// However much one of them has waiting.
pub async fn claims_let_tenants_take_turns(stand: Stand) {
    let mut theirs = Vec::new();
    for n in 0..12 {
        let mut admit = stand.admit();
        if n >= 9 {
            admit.message.tenant = TenantId::new("globex");
        }
        let id = stand.accept(admit).await;
        if n >= 9 {
            theirs.push(id);
        }
    }
    let claimed = claimed(&stand.claim(MITTO, 6).await);
    assert_eq!(claimed.iter().filter(|id| theirs.contains(id)).count(), 3);
}

/// What there is no room for stays and is found again.
pub async fn claims_leave_countries_without_room(stand: Stand) {
    for _ in 0..3 {
        stand.accept(stand.admit()).await;
    }
    let country = stand.admit().message.to.country();
    let all = LaneWant::new(ProviderName::new(MITTO), 9);
    for (room, others, found) in [(0, 9, 0), (1, 0, 1), (9, 0, 2)] {
        let want = LaneWant { room: vec![(country, room)], others, ..all.clone() };
        assert_eq!(stand.store.claim(&[want], stand.now()).await.unwrap().len(), found);
    }
    let want = LaneWant { others: 0, ..all };
    stand.accept(stand.admit()).await;
    assert!(stand.store.claim(&[want], stand.now()).await.unwrap().is_empty());
    assert_eq!(stand.claim(MITTO, 9).await.len(), 1);
}

/// Who may have a message wait elsewhere sees what it needs for that, and nothing is written.
pub async fn stranded_messages_are_shown_and_stay(stand: Stand) {
    let id = stand.accept(stand.admit()).await;
    let before = stand.record(id).await;
    let mut shown = stand.stranded(MITTO, 9).await;
    assert_eq!(shown.len(), 1);
    let waiting = shown.remove(0);
    assert_eq!((waiting.id, waiting.tenant.as_str(), waiting.attempt, waiting.lane.as_str()), (id, ACME, 0, MITTO));
    assert_eq!((waiting.due, waiting.expires, waiting.country), (before.created, before.expires, before.country));
    assert_eq!((waiting.route, waiting.tried), (before.details.route.clone(), Vec::new()));
    let after = stand.record(id).await;
    assert_eq!((after.status, after.history, after.updated), (Status::Queued, before.history, before.updated));
    assert!(stand.stranded("other", 9).await.is_empty() && stand.stranded(MITTO, 0).await.is_empty());
    assert_eq!(claimed(&stand.claim(MITTO, 9).await), [id], "it is still there");
    assert!(stand.stranded(MITTO, 9).await.is_empty());
    stand.settle(id, 1, Outcome::NotSent, later(MITTO, stand.now().plus(Duration::from_secs(9)))).await;
    assert!(stand.stranded(MITTO, 9).await.is_empty(), "it is not due");
    stand.pass(9);
    let tried = Tried { provider: ProviderName::new(MITTO), outcome: Outcome::NotSent, kind: None };
    let shown = stand.stranded(MITTO, 9).await;
    assert_eq!((shown[0].attempt, &shown[0].tried), (1, &vec![tried]));
    stand.pass(300);
    assert!(stand.stranded(MITTO, 9).await.is_empty(), "its time is over");
}

/// Those that stay hide none of the others, nor does a tenant or a country, and what has no room is not shown.
pub async fn stranded_messages_are_shown_in_turn(stand: Stand) {
    let (mut loud, mut quiet) = (Vec::new(), Vec::new());
    for n in 0..10 {
        let mut admit = stand.admit();
        if n >= 8 {
            admit.message.tenant = TenantId::new("globex");
        }
        let id = stand.accept(admit).await;
        if n < 8 { loud.push(id) } else { quiet.push(id) }
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        let shown: Vec<_> = stand.stranded(MITTO, 4).await.iter().map(|waiting| waiting.id).collect();
        assert!(shown.iter().any(|id| loud.contains(id)) && shown.len() <= 4);
        seen.extend(shown);
    }
    assert!(quiet.iter().all(|id| seen.contains(id)), "both tenants were shown");
    for _ in 0..4 {
        seen.extend(stand.stranded(MITTO, 4).await.iter().map(|waiting| waiting.id));
    }
    assert!(loud.iter().all(|id| seen.contains(id)), "and everybody in the end");
    let country = stand.admit().message.to.country();
    let none = LaneWant { room: vec![(country, 0)], ..LaneWant::new(ProviderName::new(MITTO), 9) };
    assert!(stand.store.stranded(&none, stand.now()).await.unwrap().is_empty());
    let one = LaneWant { room: vec![(country, 1)], others: 0, ..none };
    assert_eq!(stand.store.stranded(&one, stand.now()).await.unwrap().len(), 1);
}

/// A message that was moved waits there and only there, without an attempt, and its history says so.
pub async fn rerouted_messages_wait_elsewhere_without_an_intent(stand: Stand) {
    let id = stand.accept(stand.admit()).await;
    let waiting = stand.stranded(MITTO, 1).await.remove(0);
    stand.pass(1);
    assert!(stand.reroute(&waiting, BACKUP, waiting.due).await);
    assert!(!stand.reroute(&waiting, BACKUP, waiting.due).await, "it no longer waits there");
    let record = stand.record(id).await;
    assert_eq!((record.status, record.provider, record.updated), (Status::Queued, None, stand.now()));
    let history: Vec<_> = record.history.into_iter().map(|entry| entry.what).collect();
    let (lane, until) = (ProviderName::new(BACKUP), waiting.due);
    assert_eq!(history, [What::Accepted, What::Waiting { lane: lane.clone(), until }]);
    assert_eq!(stand.store.lanes().await.unwrap(), std::slice::from_ref(&lane));
    assert!(stand.store.orphans().await.unwrap().is_empty());
    assert!(stand.claim(MITTO, 9).await.is_empty());
    let leased = stand.claim(BACKUP, 9).await;
    assert_eq!((claimed(&leased), leased[0].attempt, &leased[0].lane), (vec![id], 1, &lane));

    // Until another time; then it can still be canceled, or expire.
    let ids = [stand.accept(stand.admit()).await, stand.accept(stand.admit()).await];
    for waiting in stand.stranded(MITTO, 2).await {
        assert!(stand.reroute(&waiting, MITTO, stand.now().plus(Duration::from_secs(5))).await);
    }
    assert!(stand.claim(MITTO, 9).await.is_empty());
    let canceled = stand.store.cancel(&TenantId::new(ACME), ids[0], stand.now()).await.unwrap();
    assert!(matches!(canceled, CancelOutcome::Canceled(_)));
    stand.pass(5);
    assert_eq!(claimed(&stand.claim(MITTO, 9).await), [ids[1]]);
    let late = stand.accept(stand.admit()).await;
    let waiting = stand.stranded(MITTO, 1).await.remove(0);
    assert!(stand.reroute(&waiting, BACKUP, waiting.expires).await);
    stand.pass(300);
    let swept = stand.store.sweep(stand.now(), 9).await.unwrap();
    assert_eq!((swept.len(), swept[0].id, swept[0].to), (1, late, Status::Expired));
}

/// Whoever was claimed, settled or canceled meanwhile stays as it is.
pub async fn reroutes_are_fenced(stand: Stand) {
    let id = stand.accept(stand.admit()).await;
    let waiting = stand.stranded(MITTO, 1).await.remove(0);
    stand.claim(MITTO, 1).await;
    assert!(!stand.reroute(&waiting, BACKUP, waiting.due).await, "an attempt is open");
    stand.settle(id, 1, Outcome::NotSent, later(MITTO, stand.now())).await;
    assert!(!stand.reroute(&waiting, BACKUP, waiting.due).await, "an attempt was made since");
    assert_eq!(claimed(&stand.claim(MITTO, 1).await), [id]);
    stand.settle(id, 2, Outcome::Refused, Then::End(Status::Failed)).await;
    assert!(!stand.reroute(&Waiting { attempt: 2, ..waiting.clone() }, BACKUP, waiting.due).await, "it has ended");
    let unknown = Waiting { id: MessageId::new(UnixMs::new(1), [1; 10]), ..waiting };
    assert!(!stand.reroute(&unknown, BACKUP, unknown.due).await);
    assert!(stand.store.lanes().await.unwrap().is_empty());
}

/// Never more than wanted, never twice, only from the lanes asked for.
pub async fn claims_are_bounded_and_exclusive(stand: Stand) {
    for _ in 0..5 {
        stand.accept(stand.admit()).await;
        stand.accept(Admit { lane: ProviderName::new(BACKUP), ..stand.admit() }).await;
    }
    assert!(stand.claim(MITTO, 0).await.is_empty());
    assert!(stand.claim("other", 9).await.is_empty());
    let first = stand.claim(MITTO, 2).await;
    let wants = [LaneWant::new(ProviderName::new(MITTO), 9), LaneWant::new(ProviderName::new(BACKUP), 1)];
    let second = stand.store.claim(&wants, stand.now()).await.unwrap();
    let lanes: Vec<_> = second.iter().map(|leased| leased.lane.as_str()).collect();
    assert_eq!((first.len(), lanes), (2, vec![MITTO, MITTO, MITTO, BACKUP]));
    let mut ids = claimed(&first);
    ids.extend(claimed(&second));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6, "nobody is claimed twice");
    assert!(stand.claim(MITTO, 9).await.is_empty());
}

/// What dispatch needs comes with the lease, and the intent is written down.
pub async fn leases_carry_everything(stand: Stand) {
    let mut admit = stand.admit();
    admit.message.to = number(7);
    let message = admit.message.clone();
    let id = stand.accept(admit).await;
    let leased = stand.claim(MITTO, 1).await.remove(0);
    assert_eq!((leased.id, &leased.tenant, leased.attempt, leased.lane.as_str()), (id, &message.tenant, 1, MITTO));
    assert_eq!((leased.created, leased.expires), (message.created, message.expires));
    assert_eq!((leased.to, leased.body.expose(), &leased.details), (number(7), CANARY, &message.details));
    assert_eq!((leased.to.country(), leased.copies()), (number(7).country(), 0));
    assert!(leased.tried.is_empty());
    let record = stand.record(id).await;
    assert_eq!((record.status, record.provider), (Status::Sending, Some(ProviderName::new(MITTO))));
    assert!(record.history.iter().any(|entry| matches!(&entry.what, What::Intent { attempt: 1, .. })));

    stand.settle(id, 1, Outcome::Unknown, later(BACKUP, stand.now())).await;
    let leased = stand.claim(BACKUP, 1).await.remove(0);
    let tried = Tried { provider: ProviderName::new(MITTO), outcome: Outcome::Unknown, kind: None };
    assert_eq!((leased.attempt, leased.copies(), leased.tried), (2, 1, vec![tried]));
}

/// No claim returns a message whose time is over, not even in the last millisecond.
pub async fn expired_is_never_sent(stand: Stand) {
    let early = stand.accept(stand.admit()).await;
    stand.pass(299);
    stand.clock.advance(Duration::from_millis(999));
    assert_eq!(claimed(&stand.claim(MITTO, 1).await), [early], "a millisecond is left");
    let late = stand.accept(stand.admit()).await;
    stand.settle(early, 1, Outcome::NotSent, later(MITTO, stand.now())).await;
    stand.clock.advance(Duration::from_millis(1));
    assert_eq!(claimed(&stand.claim(MITTO, 1).await), [late], "the expired one does not stand in the way");
    let swept = stand.store.sweep(stand.now(), 9).await.unwrap();
    assert_eq!((swept.len(), swept[0].id, swept[0].to), (1, early, Status::Expired));
}

/// `expired`, or `unknown` where a provider may hold a copy; at most so many at once; not twice.
pub async fn sweep_ends_what_is_over(stand: Stand) {
    let untouched = stand.accept(stand.admit()).await;
    let refused = stand.begin().await;
    stand.settle(refused, 1, Outcome::Refused, later(MITTO, stand.now().plus(Duration::from_hours(1)))).await;
    let held = stand.begin().await;
    stand.settle(held, 1, Outcome::Unknown, later(MITTO, stand.now().plus(Duration::from_secs(8)))).await;
    stand.pass(299);
    assert!(stand.store.sweep(stand.now(), 9).await.unwrap().is_empty());
    stand.pass(1);
    let mut changes = stand.store.sweep(stand.now(), 2).await.unwrap();
    assert_eq!(changes.len(), 2);
    changes.extend(stand.store.sweep(stand.now(), 2).await.unwrap());
    changes.sort_by_key(|change| change.id);
    let ends: Vec<_> = changes.iter().map(|change| (change.id, change.from, change.to)).collect();
    let mut expected = [
        (untouched, Status::Queued, Status::Expired),
        (refused, Status::Sending, Status::Expired),
        (held, Status::Sending, Status::Unknown),
    ];
    expected.sort_by_key(|end| end.0);
    assert_eq!(ends, expected);
    assert!(stand.store.sweep(stand.now(), 9).await.unwrap().is_empty());
    assert!(stand.store.lanes().await.unwrap().is_empty());
    assert!(stand.record(untouched).await.history.iter().any(|entry| entry.what == What::Expired));
}

/// An open attempt answers for itself, however late.
pub async fn sweep_leaves_open_attempts_alone(stand: Stand) {
    let id = stand.begin().await;
    stand.pass(400);
    assert!(stand.store.sweep(stand.now(), 9).await.unwrap().is_empty());
    stand.settle(id, 1, Outcome::Accepted, sent("u")).await;
    assert_eq!(stand.status(id).await, Status::Sent);
}

/// Canceling works until the first attempt begins, once, and only for the tenant.
pub async fn cancel_before_any_attempt(stand: Stand) {
    let cancel = |tenant: &str, id| {
        let (tenant, store, now) = (TenantId::new(tenant), stand.store.clone(), stand.now());
        async move { store.cancel(&tenant, id, now).await.unwrap() }
    };
    let id = stand.accept(stand.admit()).await;
    assert_eq!(cancel("globex", id).await, CancelOutcome::NotFound);
    let CancelOutcome::Canceled(change) = cancel(ACME, id).await else { panic!("nothing happened yet") };
    assert_eq!((change.from, change.to, change.provider), (Status::Queued, Status::Canceled, None));
    assert_eq!(cancel(ACME, id).await, CancelOutcome::TooLate(Status::Canceled));
    assert!(stand.claim(MITTO, 9).await.is_empty());
    stand.pass(400);
    assert!(stand.store.sweep(stand.now(), 9).await.unwrap().is_empty());
    let begun = stand.begin().await;
    assert_eq!(cancel(ACME, begun).await, CancelOutcome::TooLate(Status::Sending));
    let retried = stand.begin().await;
    stand.settle(retried, 1, Outcome::NotSent, later(MITTO, stand.now())).await;
    assert_eq!(cancel(ACME, retried).await, CancelOutcome::TooLate(Status::Sending));
    assert_eq!(cancel(ACME, MessageId::new(UnixMs::new(1), [1; 10])).await, CancelOutcome::NotFound);
}

/// A lane is named as long as somebody waits in it.
pub async fn lanes_name_who_waits(stand: Stand) {
    assert!(stand.store.lanes().await.unwrap().is_empty());
    stand.accept(stand.admit()).await;
    stand.accept(Admit { lane: ProviderName::new(BACKUP), ..stand.admit() }).await;
    stand.begin().await;
    let mut lanes = stand.store.lanes().await.unwrap();
    lanes.sort();
    assert_eq!(lanes, [ProviderName::new(BACKUP), ProviderName::new(MITTO)]);
    stand.claim(MITTO, 1).await;
    assert_eq!(stand.store.lanes().await.unwrap(), [ProviderName::new(BACKUP)]);
}

/// Gauges follow every change.
pub async fn counts_follow_messages(stand: Stand) {
    let counts = async || stand.store.counts(stand.now()).await.unwrap();
    let of =
        |queued, sending, age: Option<u64>| Counts { queued, sending, oldest_queued: age.map(Duration::from_secs) };
    assert_eq!(counts().await, of(0, 0, None));
    stand.accept(stand.admit()).await;
    stand.pass(10);
    stand.accept(stand.admit()).await;
    let begun = stand.begin().await;
    assert_eq!(counts().await, of(2, 1, Some(10)));
    stand.claim(MITTO, 1).await; // the younger one
    assert_eq!(counts().await, of(1, 2, Some(10)));
    stand.settle(begun, 1, Outcome::NotSent, later(MITTO, stand.now().plus(Duration::from_secs(9)))).await;
    assert_eq!(counts().await, of(1, 2, Some(10)));
    stand.pass(10);
    let again = stand.claim(MITTO, 9).await;
    assert_eq!((again.len(), counts().await), (2, of(0, 3, None)));
    stand.settle(begun, 2, Outcome::Accepted, sent("u")).await;
    let other = again.iter().find(|leased| leased.id != begun).unwrap();
    stand.settle(other.id, 1, Outcome::Refused, Then::End(Status::Failed)).await;
    assert_eq!(counts().await, of(0, 1, None));
}

fn claimed(leased: &[Leased]) -> Vec<MessageId> {
    leased.iter().map(|leased| leased.id).collect()
}
