//! What can be read back, told to tenants, and forgotten.

use std::time::Duration;

use sms_core::store::{
    Admit, Blocked, Entry, Filter, Notice, NoticeId, NoticeOutcome, Outcome, Page, PurgePolicy, Purged, StoreError,
    Then, What,
};
use sms_core::{DeliveryState, MessageId, ProviderName, Status, TenantId, UnixMs};

use super::{ACME, BACKUP, MITTO, Stand, details, idempotency, later, number, sent};

/// Every change to a status after the attempts is told, until the tenant has it.
pub async fn notices_are_told_until_done(stand: Stand) {
    let id = stand.accept(wishing(&stand)).await;
    assert!(notices(&stand).await.is_empty(), "an attempt is no news");
    stand.settle(id, 1, Outcome::Accepted, sent("u1")).await;
    stand.pass(2);
    stand.receipt(None, "u1", DeliveryState::Delivered).await;
    let told = notices(&stand).await;
    let [first, second] = told.as_slice() else { panic!("two changes: {told:?}") };
    assert_eq!((first.status, second.status), (Status::Sent, Status::Delivered));
    assert_eq!((first.attempt, first.record.id, first.record.status), (0, id, Status::Delivered));
    assert_eq!(second.at, stand.now());
    assert_eq!(stand.notices(1).await[0].id, first.id, "due first");

    let due = stand.now().plus(Duration::from_secs(5));
    settle(&stand, [(first.id, NoticeOutcome::Retry { due }), (second.id, NoticeOutcome::Done)]).await;
    assert!(notices(&stand).await.is_empty());
    stand.pass(5);
    let again = notices(&stand).await;
    assert_eq!((again.len(), again[0].id, again[0].attempt, again[0].at), (1, first.id, 1, first.at));
    settle(&stand, [(first.id, NoticeOutcome::Done), (NoticeId(4711), NoticeOutcome::Done)]).await;
    stand.pass(100);
    assert!(notices(&stand).await.is_empty());
}

/// Without a webhook nothing waits to be told.
pub async fn nobody_is_told_without_a_wish(stand: Stand) {
    let id = stand.send("u1").await;
    stand.receipt(Some(id), "u1", DeliveryState::Delivered).await;
    let blocked = Blocked { message: wishing(&stand).message, code: "recipient_rate_limited".to_owned() };
    stand.store.block(vec![blocked]).await.unwrap();
    assert!(notices(&stand).await.is_empty());
}

/// Each condition alone and all together.
pub async fn search_takes_every_filter(stand: Stand) {
    let start = stand.now();
    let plain = stand.accept(stand.admit()).await;
    stand.pass(10);
    let mut other = stand.admit();
    other.message.to = number(5);
    other.message.details.client_id = Some("spa_web".to_owned());
    let other = stand.accept(other).await;
    stand.pass(10);
    let mut foreign = stand.admit();
    foreign.message.tenant = TenantId::new("globex");
    let foreign = stand.accept(foreign).await;
    stand.pass(10);
    let sent = stand.send("u1").await;

    let find = async |filter: Filter| ids(&stand.store.search(Filter { limit: 9, ..filter }).await.unwrap());
    let any = Filter::default;
    let acme = || Filter { tenant: Some(TenantId::new(ACME)), ..any() };
    let after = |secs| Some(start.plus(Duration::from_secs(secs)));
    assert_eq!(find(any()).await, [sent, foreign, other, plain], "newest first");
    assert_eq!(find(acme()).await, [sent, other, plain]);
    assert_eq!(find(Filter { to: Some(number(5)), ..any() }).await, [other]);
    assert_eq!(find(Filter { to: Some(number(0)), ..acme() }).await, [sent, plain]);
    assert_eq!(find(Filter { to: Some(number(9)), ..any() }).await, []);
    assert_eq!(find(Filter { status: Some(Status::Sent), ..any() }).await, [sent]);
    assert_eq!(find(Filter { client_id: Some("spa_web".to_owned()), ..any() }).await, [other]);
    assert_eq!(find(Filter { provider: Some(ProviderName::new(MITTO)), ..any() }).await, [sent]);
    assert_eq!(find(Filter { since: after(10), ..any() }).await, [sent, foreign, other]);
    assert_eq!(find(Filter { until: after(10), ..any() }).await, [plain]);
    assert_eq!(find(Filter { since: after(10), until: after(30), ..acme() }).await, [other]);
    assert_eq!(find(Filter { since: after(30), until: after(10), ..any() }).await, []);
    let all = Filter {
        to: Some(number(5)),
        status: Some(Status::Queued),
        client_id: Some("spa_web".to_owned()),
        since: after(5),
        until: after(15),
        before: Some(sent),
        ..acme()
    };
    assert_eq!(find(all.clone()).await, [other]);
    assert_eq!(find(Filter { status: Some(Status::Failed), ..all }).await, []);
}

/// A cursor goes through all messages once, and ends.
pub async fn pages_follow_each_other(stand: Stand) {
    let mut expected = Vec::new();
    for n in 0..7 {
        expected.insert(0, stand.accept(stand.admit()).await);
        stand.pass(n % 2); // some within the same millisecond
    }
    expected.sort_by(|a, b| b.cmp(a));
    for limit in [1, 3, 7, 100] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let filter = Filter { tenant: Some(TenantId::new(ACME)), before, limit, ..Filter::default() };
            let page = stand.store.search(filter).await.unwrap();
            assert!(page.records.len() <= limit);
            found.extend(ids(&page));
            before = page.next;
            if before.is_none() {
                break;
            }
            stand.accept(stand.admit()).await; // newer ones do not disturb
        }
        found.retain(|id| expected.contains(id));
        assert_eq!(found, expected, "pages of {limit}");
    }
}

/// A foreign id is like none at all, in every operation that names a tenant.
pub async fn tenants_cannot_see_each_other(stand: Stand) {
    let id = stand.accept(Admit { idempotency: Some(idempotency("key", 1)), ..stand.admit() }).await;
    let (acme, globex) = (TenantId::new(ACME), TenantId::new("globex"));
    let store = &stand.store;
    assert!(store.get(Some(&acme), id).await.unwrap().is_some());
    assert_eq!(store.get(Some(&globex), id).await.unwrap(), None);
    let entry = Entry { at: stand.now(), what: What::Feedback { outcome: "used".to_owned() } };
    assert_eq!(store.note(&globex, id, entry).await.unwrap(), None);
    assert_eq!(store.replay(&globex, &idempotency("key", 1), stand.now()).await.unwrap(), None);
    for to in [None, Some(number(0))] {
        let filter = Filter { tenant: Some(globex.clone()), to, limit: 9, ..Filter::default() };
        assert!(store.search(filter).await.unwrap().records.is_empty());
    }
    assert_eq!(stand.record(id).await.history.len(), 1, "nothing was written");
}

/// Refused requests can be found, are never sent, and cost nobody a limit or a notice.
pub async fn blocked_requests_are_history_only(stand: Stand) {
    let message = stand.admit().message;
    let id = message.id;
    stand.store.block(vec![Blocked { message, code: "country_not_allowed".to_owned() }]).await.unwrap();
    let record = stand.record(id).await;
    assert_eq!((record.status, record.to, record.details), (Status::Blocked, Some(number(0)), details()));
    assert_eq!(record.history[0].what, What::Blocked { code: "country_not_allowed".to_owned() });
    assert!(stand.claim(MITTO, 9).await.is_empty());
    stand.pass(400);
    assert!(stand.store.sweep(stand.now(), 9).await.unwrap().is_empty());
    assert_eq!(stand.receipt(Some(id), "", DeliveryState::Delivered).await, sms_core::store::Receipted::Parked);
    let filter = Filter { status: Some(Status::Blocked), to: Some(number(0)), limit: 9, ..Filter::default() };
    assert_eq!(ids(&stand.store.search(filter).await.unwrap()), [id]);
}

/// Feedback is appended and the message comes back as it stands.
pub async fn feedback_is_noted(stand: Stand) {
    let id = stand.send("u1").await;
    stand.pass(60);
    let entry = Entry { at: stand.now(), what: What::Feedback { outcome: "used".to_owned() } };
    let record = stand.store.note(&TenantId::new(ACME), id, entry.clone()).await.unwrap().expect("it exists");
    assert_eq!((record.history.last(), record.status, record.updated), (Some(&entry), Status::Sent, stand.now()));
    assert_eq!(stand.record(id).await, record);
    let unknown = MessageId::new(UnixMs::new(1), [1; 10]);
    assert_eq!(stand.store.note(&TenantId::new(ACME), unknown, entry).await.unwrap(), None);
}

/// Numbers go first, then messages, never more than asked for at once; then keys and parked receipts.
pub async fn purge_forgets_in_bounded_steps(stand: Stand) {
    let mut old = Vec::new();
    for n in 0..5 {
        let keyed = Admit { idempotency: Some(idempotency(&n.to_string(), 1)), begin: true, ..stand.admit() };
        let id = stand.accept(keyed).await;
        stand.settle(id, 1, Outcome::Accepted, sent(&format!("u{n}"))).await;
        old.push(id);
        stand.pass(1);
    }
    stand.receipt(None, "nobody's", DeliveryState::Delivered).await;
    let day = Duration::from_hours(24);
    let policy = PurgePolicy { keep_messages: 3 * day, keep_numbers: day };
    let purge = async |budget| stand.store.purge(policy, stand.now(), budget).await.unwrap();
    assert_eq!(purge(9).await, Purged::default());
    stand.clock.advance(day + Duration::from_mins(1));
    let young = stand.send("u9").await;
    let mut sum = Purged::default();
    for _ in 0..6 {
        let done = purge(2).await;
        assert!(done.numbers <= 2 && done.messages == 0, "{done:?}");
        sum.numbers += done.numbers;
        sum.others += done.others;
    }
    assert_eq!((sum.numbers, sum.others), (5, 6), "five numbers, five keys, one receipt");
    let record = stand.record(old[0]).await;
    assert_eq!((record.to, record.country, record.status), (None, number(0).country(), Status::Sent));
    let filter = Filter { to: Some(number(0)), limit: 9, ..Filter::default() };
    assert_eq!(stand.store.search(filter).await.unwrap().records.len(), 6, "still found by number");
    stand.clock.advance(2 * day);
    assert_eq!((purge(2).await.messages, purge(2).await.messages, purge(2).await.messages), (2, 2, 1));
    assert_eq!(stand.store.get(None, old[4]).await.unwrap(), None);
    assert_eq!(stand.record(young).await.to, None, "its number went meanwhile");
    assert_eq!(stand.receipt(None, "u0", DeliveryState::Delivered).await, sms_core::store::Receipted::Parked);
}

/// Whoever waits is not forgotten, however old.
pub async fn purge_keeps_unsettled_messages(stand: Stand) {
    let (waiting, open) = (stand.accept(stand.admit()).await, stand.begin().await);
    stand.settle(open, 1, Outcome::NotSent, later(BACKUP, stand.now())).await;
    let open = stand.begin().await;
    stand.pass(100);
    let policy = PurgePolicy { keep_messages: Duration::from_secs(10), keep_numbers: Duration::from_secs(5) };
    let purged = stand.store.purge(policy, stand.now(), 9).await.unwrap();
    assert_eq!((purged.messages, purged.numbers), (0, 0));
    assert_eq!(stand.claim(MITTO, 9).await[0].to, number(0));
    assert_eq!((stand.status(waiting).await, stand.status(open).await), (Status::Sending, Status::Sending));
    stand.settle(open, 1, Outcome::Refused, Then::End(Status::Failed)).await;
    assert_eq!(stand.store.purge(policy, stand.now(), 9).await.unwrap().messages, 1);
}

/// Writes and reads for real.
pub async fn pings_write(stand: Stand) {
    stand.store.ping().await.unwrap();
    stand.store.ping().await.unwrap();
}

/// After closing, everything is refused and nothing hangs.
pub async fn closed_stores_refuse(stand: Stand) {
    stand.begin().await;
    stand.store.close().await;
    let refused = stand.store.admit(vec![stand.admit()]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert!(matches!(stand.store.get(None, stand.admit().message.id).await, Err(StoreError::Unavailable(_))));
    assert!(stand.store.ping().await.is_err());
    stand.store.close().await;
}

fn wishing(stand: &Stand) -> Admit {
    let mut admit = Admit { begin: true, ..stand.admit() };
    admit.message.details.notify = true;
    admit
}

async fn notices(stand: &Stand) -> Vec<Notice> {
    stand.notices(9).await
}

async fn settle<const N: usize>(stand: &Stand, batch: [(NoticeId, NoticeOutcome); N]) {
    stand.store.settle_notices(batch.to_vec()).await.unwrap();
}

fn ids(page: &Page) -> Vec<MessageId> {
    page.records.iter().map(|record| record.id).collect()
}
