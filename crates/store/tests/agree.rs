//! Every store answers as the one in memory does to any sequence of operations, whatever is opened again in between.
#![expect(clippy::unwrap_used, reason = "a failed set-up fails the test")]

mod server;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use sms_conformance::store::{
    ACME, BACKUP, MITTO, ManualClock, Stand, again, charge, idempotency, later, number, sent,
};
use sms_core::store::{
    Admit, Attempted, Blocked, Change, Charging, Counts, Entry, Filter, LaneWant, Leased, NoticeOutcome, NoticeWant,
    Outcome, PurgePolicy, ReceivedReceipt, Reroute, Settle, Then, Waiting, What,
};
use sms_core::{DeliveryState, MessageId, ProviderName, Receipt, Status, Store, TenantId};
use sms_store::postgres::PgOptions;
use sms_store::{MemoryStore, PgStore, SqliteStore, StoreKey};
use tempfile::TempDir;

/// One operation; small numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Admit {
        begin: bool,
        key: Option<u8>,
        request: u8,
        limit: u8,
        shadow: bool,
        lane: bool,
        tenant: bool,
    },
    Block {
        to: u16,
    },
    Cancel {
        which: usize,
        tenant: bool,
    },
    Claim {
        lane: bool,
        max: usize,
    },
    Move {
        lane: bool,
        to: bool,
        ms: u64,
    },
    Note {
        which: usize,
    },
    Notices {
        max: usize,
        retry: bool,
    },
    Pass {
        ms: u64,
    },
    Purge {
        messages: u64,
        numbers: u64,
    },
    Receipt {
        which: usize,
        message: bool,
        upstream: bool,
        lane: bool,
        state: usize,
    },
    Reopen,
    Search {
        to: Option<u16>,
        tenant: bool,
        status: Option<usize>,
        lane: Option<bool>,
        before: Option<usize>,
        limit: usize,
    },
    Settle {
        which: usize,
        attempt: u16,
        outcome: usize,
        then: usize,
    },
    Sweep {
        max: usize,
    },
}

fn ops() -> impl Strategy<Value = Op> {
    let any_bool = any::<bool>;
    prop_oneof![
        6 => (any_bool(), proptest::option::of(0_u8..3), 0_u8..2, 0_u8..3, any_bool(), any_bool(), any_bool()).prop_map(
            |(begin, key, request, limit, shadow, lane, tenant)| Op::Admit { begin, key, request, limit, shadow, lane, tenant }
        ),
        1 => (0_u16..3).prop_map(|to| Op::Block { to }),
        1 => (0_usize..12, any_bool()).prop_map(|(which, tenant)| Op::Cancel { which, tenant }),
        3 => (any_bool(), 0_usize..3).prop_map(|(lane, max)| Op::Claim { lane, max }),
        1 => (any_bool(), any_bool(), 0_u64..3).prop_map(|(lane, to, s)| Op::Move { lane, to, ms: s * 7_000 }),
        1 => (0_usize..12).prop_map(|which| Op::Note { which }),
        1 => (1_usize..4, any_bool()).prop_map(|(max, retry)| Op::Notices { max, retry }),
        3 => prop_oneof![0_u64..50, 1_000_u64..40_000, 3_500_000_u64..4_000_000].prop_map(|ms| Op::Pass { ms }),
        1 => (10_u64..8_000, 10_u64..8_000).prop_map(|(messages, numbers)| Op::Purge { messages, numbers }),
        4 => (0_usize..12, any_bool(), any_bool(), any_bool(), 0_usize..5)
            .prop_map(|(which, message, upstream, lane, state)| Op::Receipt { which, message, upstream, lane, state }),
        1 => Just(Op::Reopen),
        1 => (proptest::option::of(0_u16..3), any_bool(), proptest::option::of(0_usize..11), proptest::option::of(any_bool()),
            proptest::option::of(0_usize..12), 0_usize..5)
            .prop_map(|(to, tenant, status, lane, before, limit)| Op::Search { to, tenant, status, lane, before, limit }),
        6 => (0_usize..12, 0_u16..3, 0_usize..4, 0_usize..8)
            .prop_map(|(which, attempt, outcome, then)| Op::Settle { which, attempt, outcome, then }),
        1 => (0_usize..4).prop_map(|max| Op::Sweep { max }),
    ]
}

/// The two stores under the same clock.
struct Pair {
    memory: Stand,
    /// The one in memory.
    model: Arc<MemoryStore>,
    other: Arc<dyn Store>,
    key: StoreKey,
    place: Place,
    ids: Vec<MessageId>,
}

/// Where the other store keeps what it is told.
enum Place {
    Database(String),
    Folder(TempDir),
}

impl Place {
    async fn open(&self, key: &StoreKey, clock: Arc<ManualClock>) -> Arc<dyn Store> {
        match self {
            Self::Database(url) => {
                let options = PgOptions { node: "test".to_owned(), migrate: true };
                Arc::new(PgStore::open(url, key, clock, options).await.unwrap())
            }
            Self::Folder(folder) => Arc::new(SqliteStore::open(folder.path().join("gateway.db"), key, clock).unwrap()),
        }
    }
}

impl Pair {
    async fn new(place: Place) -> Self {
        let (clock, key) = (ManualClock::start(), StoreKey::generate().unwrap());
        let other = place.open(&key, clock.clone()).await;
        let model = Arc::new(MemoryStore::new(clock.clone()).unwrap());
        Self { memory: Stand::new(model.clone(), clock), model, other, key, place, ids: Vec::new() }
    }

    fn id(&self, which: usize) -> MessageId {
        // The newest ones, counted from the end: old ones are mostly settled.
        self.ids.iter().rev().nth(which).copied().unwrap_or_else(|| MessageId::from_bytes([7; 16]))
    }

    async fn apply(&mut self, op: &Op) -> TestCaseResult {
        let (memory, other, now) = (self.memory.store.clone(), self.other.clone(), self.memory.now());
        match op {
            Op::Admit { .. } => {
                let admit = self.admit(op);
                self.ids.push(admit.message.id);
                same(&memory.admit(vec![admit.clone()]).await, &other.admit(vec![admit]).await)?;
            }
            Op::Block { to } => {
                let mut message = self.memory.admit().message;
                message.to = number(*to);
                self.ids.push(message.id);
                let batch = vec![Blocked { message, code: "no_route".to_owned() }];
                same(&memory.block(batch.clone()).await, &other.block(batch).await)?;
            }
            Op::Cancel { which, tenant } => {
                let (id, tenant) = (self.id(*which), name(*tenant));
                same(&memory.cancel(&tenant, id, now).await, &other.cancel(&tenant, id, now).await)?;
            }
            Op::Claim { lane, max } => {
                // Whose turn it is begins anew with a start, so all are taken and the order is left out.
                let wants = [LaneWant::new(provider(*lane), if *max == 0 { 0 } else { 1_000 })];
                let told = |claimed: Vec<Leased>| sorted(&claimed);
                let ours = memory.claim(&wants, now).await.map(told);
                same(&ours, &other.claim(&wants, now).await.map(told))?;
            }
            Op::Move { lane, to, ms } => self.reroute(*lane, *to, *ms).await?,
            Op::Note { which } => {
                let (id, entry) =
                    (self.id(*which), Entry { at: now, what: What::Feedback { outcome: "used".to_owned() } });
                let tenant = name(true);
                same(&memory.note(&tenant, id, entry.clone()).await, &other.note(&tenant, id, entry).await)?;
            }
            Op::Notices { max, retry } => self.notices(*max, *retry).await?,
            Op::Pass { ms } => self.memory.clock.advance(Duration::from_millis(*ms)),
            Op::Purge { messages, numbers } => {
                let policy = PurgePolicy {
                    keep_messages: Duration::from_secs(*messages),
                    keep_numbers: Duration::from_secs(*numbers),
                };
                let (a, b) =
                    (memory.purge(policy, now, 1000).await.unwrap(), other.purge(policy, now, 1000).await.unwrap());
                same(&(a.messages, a.numbers), &(b.messages, b.numbers))?;
            }
            Op::Receipt { .. } => {
                let batch = vec![self.receipt(op)];
                same(&memory.receipts(batch.clone()).await, &other.receipts(batch).await)?;
            }
            Op::Reopen => self.reopen().await?,
            Op::Search { .. } => {
                let filter = self.filter(op);
                same(&memory.search(filter.clone()).await, &other.search(filter).await)?;
            }
            Op::Settle { .. } => {
                let batch = vec![self.settle(op).await];
                same(&memory.settle(batch.clone()).await, &other.settle(batch).await)?;
            }
            Op::Sweep { max } => {
                // In no order, so all of them.
                let max = if *max == 0 { 0 } else { 1_000 };
                let told = |changes: Vec<Change>| sorted(&changes);
                let ours = memory.sweep(now, max).await.map(told);
                same(&ours, &other.sweep(now, max).await.map(told))?;
            }
        }
        self.agree().await
    }

    async fn reopen(&mut self) -> TestCaseResult {
        self.other.close().await;
        self.other = self.place.open(&self.key, self.memory.clock.clone()).await;
        if matches!(self.place, Place::Database(_)) {
            // What a node left open is another's, which must take it over before it can settle it.
            self.model.crash();
            let (ours, theirs) = (self.model.orphans().await, self.other.orphans().await);
            same(&ours.map(|all| sorted(&all)), &theirs.map(|all| sorted(&all)))?;
        }
        Ok(())
    }

    /// What anybody could see afterwards.
    async fn agree(&self) -> TestCaseResult {
        let (memory, other, now) = (&self.memory.store, &self.other, self.memory.now());
        let (ours, theirs) = (memory.counts(now).await.unwrap(), other.counts(now).await.unwrap());
        same(&(ours.queued, ours.sending), &(theirs.queued, theirs.sending))?;
        let oldest = |counts: &Counts| counts.oldest_queued.map(|age| now.minus(age).get() / 1_000);
        same(&oldest(&ours), &oldest(&theirs))?; // to the second
        // Expired messages leave their lane when a claim meets them, and stand in it again after a start.
        let (some, all) = (memory.lanes().await.unwrap(), other.lanes().await.unwrap());
        prop_assert!(some.iter().all(|lane| all.contains(lane)), "{some:?} {all:?}");
        for which in 0..3 {
            let id = self.id(which);
            same(&memory.get(None, id).await, &other.get(None, id).await)?;
        }
        let (key, tenant) = (idempotency("0", 0), name(true));
        same(&memory.replay(&tenant, &key, now).await, &other.replay(&tenant, &key, now).await)
    }

    fn admit(&self, op: &Op) -> Admit {
        let Op::Admit { begin, key, request, limit, shadow, lane, tenant } = op else { unreachable!() };
        let mut admit = self.memory.admit();
        let mut limits = vec![charge("narrow", &limit.to_string(), 2, 20), charge("wide", "all", 1_002, 600)];
        limits[0].charging = if *shadow { Charging::Shadow } else { Charging::Block };
        admit.message.tenant = name(*tenant);
        admit.message.to = number(u16::from(*limit));
        admit.message.details.notify = *request == 0;
        admit.answer = format!("{{\"id\":\"{}\",\"n\":{request}}}", admit.message.id).into_bytes().into();
        admit.idempotency = key.map(|key| idempotency(&key.to_string(), *request));
        Admit { begin: *begin, charges: limits, lane: provider(*lane), ..admit }
    }

    fn receipt(&self, op: &Op) -> ReceivedReceipt {
        let Op::Receipt { which, message, upstream, lane, state } = op else { unreachable!() };
        let states = [
            DeliveryState::Delivered,
            DeliveryState::Expired,
            DeliveryState::Pending,
            DeliveryState::Undelivered,
            DeliveryState::Unrecognised("ODD".to_owned()),
        ];
        let id = self.id(*which);
        let receipt = Receipt {
            message: message.then_some(id),
            upstream_id: if *upstream { format!("u{id}") } else { String::new() },
            state: states[*state].clone(),
            provider_code: None,
            at: None,
            part: None,
        };
        ReceivedReceipt { provider: provider(*lane), receipt, at: self.memory.now() }
    }

    fn filter(&self, op: &Op) -> Filter {
        let Op::Search { to, tenant, status, lane, before, limit } = op else { unreachable!() };
        Filter {
            tenant: tenant.then(|| name(true)),
            to: to.map(number),
            status: status.map(|n| Status::ALL[n]),
            provider: lane.map(provider),
            before: before.map(|which| self.id(which)),
            limit: *limit,
            ..Filter::default()
        }
    }

    async fn settle(&self, op: &Op) -> Settle {
        let Op::Settle { which, attempt, outcome, then } = op else { unreachable!() };
        let (id, at) = (self.id(*which), self.memory.now());
        let record = self.memory.store.get(None, id).await.unwrap();
        // Mostly the attempt that is open, now and then another one.
        let begun = |entry: &Entry| matches!(entry.what, What::Intent { .. });
        let last = record.as_ref().map_or(0, |record| record.history.iter().filter(|entry| begun(entry)).count());
        let attempt = u16::try_from(last).unwrap().saturating_sub(*attempt / 2);
        let provider = record.and_then(|record| record.provider).unwrap_or_else(|| provider(true));
        let then = match then {
            0 => again(BACKUP),
            1 => again(MITTO),
            2 => later(MITTO, at),
            3 => later(BACKUP, at.plus(Duration::from_secs(8))),
            4 => Then::End(Status::Failed),
            5 => Then::End(Status::Unknown),
            _ => sent(&format!("u{id}")),
        };
        let attempted = Attempted {
            attempt,
            provider,
            outcome: Outcome::ALL[*outcome],
            kind: None,
            code: None,
            started: at,
            took_ms: 1,
        };
        Settle { id, attempt, at, attempted, then }
    }

    /// Everybody who waits in a lane, in no order, and has them wait elsewhere or until another time.
    async fn reroute(&self, lane: bool, to: bool, ms: u64) -> TestCaseResult {
        let (memory, other, now) = (&self.memory.store, &self.other, self.memory.now());
        let want = LaneWant::new(provider(lane), 1_000);
        let shown = memory.stranded(&want, now).await.unwrap();
        same(&sorted(&shown), &sorted(&other.stranded(&want, now).await.unwrap()))?;
        let reroute = |waiting: &Waiting| Reroute {
            id: waiting.id,
            attempt: waiting.attempt,
            from: waiting.lane.clone(),
            lane: provider(to),
            due: if ms == 0 { waiting.due } else { now.plus(Duration::from_millis(ms)) },
            at: now,
        };
        let mut batch: Vec<_> = shown.iter().map(reroute).collect();
        batch.extend(batch.first().cloned()); // as told twice
        same(&memory.reroute(batch.clone()).await, &other.reroute(batch).await)
    }

    async fn notices(&self, max: usize, retry: bool) -> TestCaseResult {
        let now = self.memory.now();
        let wants = [true, false].map(|first| NoticeWant { tenant: name(first), max });
        let ours = self.memory.store.notices(&wants, now).await.unwrap();
        let theirs = self.other.notices(&wants, now).await.unwrap();
        let seen = |notices: &[sms_core::store::Notice]| -> Vec<String> {
            notices.iter().map(|n| format!("{:?} {:?} {:?} {:?}", n.record, n.status, n.at, n.attempt)).collect()
        };
        same(&seen(&ours), &seen(&theirs))?;
        // A notice that outlived its message is told by nobody, but its tenant may still be named.
        let named = self.other.notice_tenants().await.unwrap();
        prop_assert!(theirs.iter().all(|notice| named.contains(&notice.record.tenant)), "{named:?}");
        let due = now.plus(Duration::from_secs(5));
        let outcome = || if retry { NoticeOutcome::Retry { due } } else { NoticeOutcome::Done };
        let batch = |notices: Vec<sms_core::store::Notice>| notices.into_iter().map(|n| (n.id, outcome())).collect();
        same(&self.memory.store.settle_notices(batch(ours)).await, &self.other.settle_notices(batch(theirs)).await)
    }
}

fn sorted<T: std::fmt::Debug>(all: &[T]) -> Vec<String> {
    let mut told: Vec<String> = all.iter().map(|one| format!("{one:?}")).collect();
    told.sort();
    told
}

fn same<T: std::fmt::Debug>(memory: &T, other: &T) -> TestCaseResult {
    prop_assert_eq!(format!("{memory:?}"), format!("{other:?}"));
    Ok(())
}

fn provider(first: bool) -> ProviderName {
    ProviderName::new(if first { MITTO } else { BACKUP })
}

fn name(first: bool) -> TenantId {
    TenantId::new(if first { ACME } else { "globex" })
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() }
}

fn compare(place: impl Fn() -> Option<Place>, ops: &[Op]) -> TestCaseResult {
    let Some(place) = place() else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut pair = Pair::new(place).await;
        for op in ops {
            pair.apply(op).await?;
        }
        pair.other.close().await;
        Ok(())
    })
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn both_stores_answer_the_same(ops in proptest::collection::vec(ops(), 1..80)) {
        compare(|| Some(Place::Folder(tempfile::tempdir().unwrap())), &ops)?;
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn a_database_answers_the_same(ops in proptest::collection::vec(ops(), 1..80)) {
        compare(|| server::database().map(Place::Database), &ops)?;
    }
}
