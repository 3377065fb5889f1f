//! Notices tenant by tenant, what was given up, and what is known of endpoints.

use std::time::Duration;

use sms_core::store::{Admit, Endpoint, NoticeOutcome, Outcome, PurgePolicy, Retelling};
use sms_core::{MessageId, Status, TenantId, UnixMs};

use super::{ACME, Stand, sent};

/// However much one tenant has waiting, another's come when asked for.
pub async fn notices_of_one_tenant_do_not_hide_anothers(stand: Stand) {
    assert!(stand.store.notice_tenants().await.unwrap().is_empty());
    for _ in 0..20 {
        told(&stand, ACME).await;
    }
    let theirs = told(&stand, "globex").await;
    let found = stand.notices_of("globex", 5).await;
    assert_eq!(found.iter().map(|notice| notice.record.id).collect::<Vec<_>>(), [theirs]);
    assert_eq!(stand.notices(5).await.len(), 5);
    assert!(stand.notices_of("nobody", 5).await.is_empty());
    assert_eq!(tenants(&stand).await, [ACME, "globex"]);
    settle(&stand, "globex", NoticeOutcome::Done).await;
    assert_eq!(tenants(&stand).await, [ACME]);
    settle(&stand, ACME, NoticeOutcome::Retry { due: stand.now().plus(Duration::from_hours(1)) }).await;
    assert_eq!(tenants(&stand).await, [ACME], "something is left to tell, later");
}

/// What was given up waits, without being in the way, and begins anew when asked for.
pub async fn given_up_notices_are_shelved_until_asked_for(stand: Stand) {
    let first = told(&stand, ACME).await;
    stand.pass(10);
    let (between, second) = (stand.now(), told(&stand, ACME).await);
    settle(&stand, ACME, NoticeOutcome::Retry { due: stand.now() }).await;
    settle(&stand, ACME, NoticeOutcome::Shelved).await;
    stand.pass(100_000);
    assert!(stand.notices(9).await.is_empty() && tenants(&stand).await.is_empty());

    let acme = TenantId::new(ACME);
    let shelved = |since, until, max| Retelling::Shelved { since, until, max };
    let ever = UnixMs::new(i64::MAX);
    let ask = async |what| stand.store.retell(&acme, what, stand.now()).await.unwrap();
    assert_eq!(
        stand.store.retell(&TenantId::new("globex"), shelved(UnixMs::default(), ever, 9), ever).await.unwrap(),
        0
    );
    assert_eq!(ask(shelved(UnixMs::default(), between, 9)).await, 1, "the span counts");
    let again = stand.notices(9).await;
    assert_eq!((again.len(), again[0].record.id, again[0].attempt), (1, first, 0));
    assert_eq!(ask(shelved(UnixMs::default(), ever, 9)).await, 1);
    assert_eq!(ask(shelved(UnixMs::default(), ever, 9)).await, 0, "asked for once");
    let all: Vec<MessageId> = stand.notices(9).await.iter().map(|notice| notice.record.id).collect();
    assert_eq!(all, [first, second]);
    settle(&stand, ACME, NoticeOutcome::Shelved).await;
    assert_eq!(ask(shelved(UnixMs::default(), ever, 1)).await, 1, "the bound counts");
    assert_eq!(stand.notices(9).await.len(), 1);
}

/// One message is told again as it stands, also one that had been told.
pub async fn one_message_is_told_again_as_it_stands(stand: Stand) {
    let (acme, now) = (TenantId::new(ACME), stand.now());
    let id = told(&stand, ACME).await;
    settle(&stand, ACME, NoticeOutcome::Done).await;
    assert_eq!(stand.store.retell(&TenantId::new("globex"), Retelling::Message(id), now).await.unwrap(), 0);
    assert_eq!(stand.store.retell(&acme, Retelling::Message(id), now).await.unwrap(), 1);
    let notices = stand.notices(9).await;
    assert_eq!((notices.len(), notices[0].record.id, notices[0].status), (1, id, Status::Sent));
    let open = stand.begin().await;
    assert_eq!(stand.store.retell(&acme, Retelling::Message(open), now).await.unwrap(), 0, "nothing to tell yet");
    let unknown = MessageId::new(now, [99; 10]);
    assert_eq!(stand.store.retell(&acme, Retelling::Message(unknown), now).await.unwrap(), 0);
}

/// Shelved or not, notices go with their messages.
pub async fn purged_messages_take_their_notices_along(stand: Stand) {
    for outcome in [NoticeOutcome::Shelved, NoticeOutcome::Retry { due: stand.now() }] {
        told(&stand, ACME).await;
        settle(&stand, ACME, outcome).await;
    }
    stand.pass(1_000);
    let keep = Duration::from_secs(500);
    let policy = PurgePolicy { keep_messages: keep, keep_numbers: keep };
    assert_eq!(stand.store.purge(policy, stand.now(), 100).await.unwrap().messages, 2);
    assert!(stand.notices(9).await.is_empty() && tenants(&stand).await.is_empty());
    let shelved = Retelling::Shelved { since: UnixMs::default(), until: UnixMs::new(i64::MAX), max: 9 };
    assert_eq!(stand.store.retell(&TenantId::new(ACME), shelved, stand.now()).await.unwrap(), 0);
}

/// The last word on an endpoint is the one that is read.
pub async fn endpoints_are_remembered(stand: Stand) {
    assert!(stand.store.endpoints().await.unwrap().is_empty());
    let failing = Endpoint {
        tenant: TenantId::new(ACME),
        url: [7; 16],
        failing_since: Some(stand.now()),
        disabled_since: None,
        why: None,
    };
    let disabled = Endpoint { disabled_since: Some(stand.now()), why: Some("failing".to_owned()), ..failing.clone() };
    let other = Endpoint { tenant: TenantId::new("globex"), url: [8; 16], ..failing.clone() };
    for endpoint in [&failing, &other, &disabled] {
        stand.store.set_endpoint(endpoint.clone()).await.unwrap();
    }
    assert_eq!(stand.store.endpoints().await.unwrap(), [disabled, other]);
}

/// A message of which `tenant` is to be told that it was sent.
async fn told(stand: &Stand, tenant: &str) -> MessageId {
    let mut admit = Admit { begin: true, ..stand.admit() };
    admit.message.tenant = TenantId::new(tenant);
    admit.message.details.notify = true;
    let id = stand.accept(admit).await;
    stand.settle(id, 1, Outcome::Accepted, sent(&format!("u{id}"))).await;
    id
}

/// Settles everything that is due.
async fn settle(stand: &Stand, tenant: &str, outcome: NoticeOutcome) {
    let due = stand.notices_of(tenant, 100).await;
    let batch = due.into_iter().map(|notice| (notice.id, outcome.clone())).collect();
    stand.store.settle_notices(batch).await.unwrap();
}

async fn tenants(stand: &Stand) -> Vec<String> {
    stand.store.notice_tenants().await.unwrap().iter().map(|tenant| tenant.as_str().to_owned()).collect()
}
