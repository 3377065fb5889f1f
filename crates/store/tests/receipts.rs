//! Guarantee 12: a receipt before the submission's answer, twice, in any order, of a part or of nobody we know. Every
//! permutation of every handful of events ends where the events say, and no step goes back.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop where their surroundings fail")]

use std::collections::BTreeSet;
use std::sync::Arc;

use sms_conformance::store::{MITTO, ManualClock, Stand, sent};
use sms_core::store::{Admit, Attempted, Outcome, Receipted, ReceivedReceipt, Settle, Settled};
use sms_core::{DeliveryState, Happening, MessageId, Part, ProviderName, Receipt, Status};
use sms_store::MemoryStore;

use DeliveryState::{Delivered, Expired, Pending, Undelivered};

/// One thing that happens to a message that a provider was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The submission is answered.
    Answer,
    /// A receipt: 0 pending, 1 expired, 2 undelivered, 3 delivered; by our id or by the provider's.
    Receipt { state: usize, ours: bool },
    /// A receipt of one of two parts.
    Part { number: u16, state: usize },
    /// A receipt with an id that nobody has.
    Stranger,
}

const STATES: [DeliveryState; 4] = [Pending, Expired, Undelivered, Delivered];

/// What may follow what: contract §3, read the other way round.
fn may_follow(before: Status, after: Status) -> bool {
    use Status::{Delivered, Expired, Sending, Sent, Undelivered};
    let allowed: &[Status] = match after {
        Sent => &[Sending],
        Delivered => &[Sending, Sent, Undelivered, Expired],
        Undelivered | Expired => &[Sending, Sent],
        Status::Blocked
        | Status::Canceled
        | Status::Failed
        | Status::Queued
        | Status::Rejected
        | Status::Sending
        | Status::Unknown => &[],
    };
    before == after || allowed.contains(&before)
}

/// Where the events lead, seen all at once: delivery wins; else the first failure that could be matched; else sent.
/// A receipt by the provider's id counts from the answer on.
fn end(events: &[Event]) -> Status {
    let mut matched: Vec<&Event> = Vec::new();
    let mut waiting: Vec<&Event> = Vec::new();
    let mut answered = false;
    for event in events {
        match event {
            Event::Answer => {
                answered = true;
                matched.append(&mut waiting);
            }
            Event::Receipt { ours: false, .. } if !answered => waiting.push(event),
            Event::Receipt { .. } | Event::Part { .. } => matched.push(event),
            Event::Stranger => {}
        }
    }
    let mut parts = [None::<usize>; 2];
    let (mut failed, mut delivered) = (None, false);
    for event in matched {
        let state = match event {
            Event::Receipt { state, .. } => *state,
            Event::Part { number, state } => {
                let part = &mut parts[usize::from(*number) - 1];
                // A part's failure is overwritten by its delivery only, its delivery by nothing.
                if *state == 3 || part.is_none_or(|known| known == 0) {
                    *part = Some(*state);
                }
                let any = |wanted| parts.contains(&Some(wanted));
                let all = parts == [Some(3); 2];
                match (any(2), any(1), all) {
                    (true, ..) => 2,
                    (false, true, _) => 1,
                    (false, false, true) => 3,
                    (false, false, false) => 0,
                }
            }
            Event::Answer | Event::Stranger => 0,
        };
        delivered |= state == 3;
        if let 1 | 2 = state {
            failed.get_or_insert(if state == 1 { Status::Expired } else { Status::Undelivered });
        }
    }
    if delivered { Status::Delivered } else { failed.unwrap_or(Status::Sent) }
}

/// Every different order of these events.
fn permutations(events: &[Event]) -> BTreeSet<Vec<Event>> {
    let mut orders = BTreeSet::from([Vec::new()]);
    for event in events {
        let longer = |order: &Vec<Event>| {
            (0..=order.len())
                .map(|place| {
                    let mut order = order.clone();
                    order.insert(place, event.clone());
                    order
                })
                .collect::<Vec<_>>()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    orders
}

fn received(stand: &Stand, id: MessageId, event: &Event) -> Option<ReceivedReceipt> {
    let (message, upstream_id, state, part) = match event {
        Event::Answer => return None,
        Event::Receipt { state, ours: true } => (Some(id), String::new(), *state, None),
        Event::Receipt { state, ours: false } => (None, format!("u{id}"), *state, None),
        Event::Part { number, state } => (Some(id), String::new(), *state, Some(Part { number: *number, of: 2 })),
        Event::Stranger => (None, format!("x{id}"), 3, None),
    };
    let receipt = Receipt { message, upstream_id, state: STATES[state].clone(), provider_code: None, at: None, part };
    Some(ReceivedReceipt { provider: ProviderName::new(MITTO), receipt, at: stand.now() })
}

/// Runs many orders at once, a message each, step by step; checks every step and every end.
async fn run(orders: &[Vec<Event>]) {
    let clock = ManualClock::start();
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn sms_core::Clock>).unwrap();
    let stand = Stand::new(Arc::new(store), clock);
    let admits: Vec<Admit> = orders.iter().map(|_| Admit { begin: true, ..stand.admit() }).collect();
    let ids: Vec<MessageId> = admits.iter().map(|admit| admit.message.id).collect();
    stand.store.admit(admits).await.unwrap();
    let mut statuses = vec![Status::Sending; orders.len()];
    let steps = orders.iter().map(Vec::len).max().unwrap_or_default();
    for step in 0..steps {
        stand.pass(1);
        let events =
            || ids.iter().zip(orders).enumerate().filter_map(|(n, (id, order))| Some((n, *id, order.get(step)?)));
        let (asked, batch): (Vec<usize>, Vec<ReceivedReceipt>) =
            events().filter_map(|(n, id, event)| Some((n, received(&stand, id, event)?))).unzip();
        let receipted = stand.store.receipts(batch).await.unwrap();
        let changes = asked.into_iter().zip(receipted).filter_map(|(n, outcome)| match outcome {
            Receipted::Matched(change) => Some((n, change)),
            Receipted::Parked => None,
        });
        let mut seen: Vec<_> = changes.collect();
        let (asked, batch): (Vec<usize>, Vec<Settle>) =
            events().filter(|(.., event)| **event == Event::Answer).map(|(n, id, _)| (n, answer(&stand, id))).unzip();
        for (n, settled) in asked.into_iter().zip(stand.store.settle(batch).await.unwrap()) {
            let Settled::Done { change, go } = settled else { panic!("attempt 1 is open: {:?}", orders[n]) };
            assert!(!go);
            seen.push((n, change));
        }
        for (n, change) in seen {
            assert_eq!(change.from, statuses[n], "{:?}", orders[n]);
            assert!(may_follow(change.from, change.to), "{:?} after {:?} in {:?}", change.to, change.from, orders[n]);
            statuses[n] = change.to;
        }
    }
    for (n, ((id, order), status)) in ids.iter().zip(orders).zip(&statuses).enumerate() {
        assert_eq!(*status, end(order), "{order:?}");
        // The changes above come from the rows; to read each one back would take most of the time.
        assert!(n % 16 != 0 || stand.status(*id).await == *status, "{order:?}");
    }
}

fn answer(stand: &Stand, id: MessageId) -> Settle {
    let provider = ProviderName::new(MITTO);
    let attempted = Attempted {
        attempt: 1,
        provider,
        outcome: Outcome::Accepted,
        kind: None,
        code: None,
        started: stand.now(),
        took_ms: 1,
    };
    Settle { id, attempt: 1, at: stand.now(), attempted, then: sent(&format!("u{id}")) }
}

/// Handfuls of seven events: the answer, five receipts by either id, and a stranger; with repeats as they come.
fn handfuls() -> Vec<Vec<Event>> {
    let mut handfuls = BTreeSet::new();
    for mix in 0..1_024_usize {
        let mut events: Vec<Event> = (0..5)
            .map(|n| Event::Receipt {
                state: (mix >> (2 * n)) & 3,
                ours: (mix.count_ones() as usize + n).is_multiple_of(2),
            })
            .collect();
        events.sort();
        events.extend([Event::Answer, Event::Stranger]);
        handfuls.insert(events);
    }
    handfuls.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_permutations_end_where_they_must() {
    let mut orders = Vec::new();
    for handful in handfuls() {
        orders.extend(permutations(&handful));
        if orders.len() >= 100_000 {
            break;
        }
    }
    assert!(orders.len() >= 100_000, "{}", orders.len());
    let mut running = tokio::task::JoinSet::new();
    for chunk in orders.chunks(2_000) {
        let chunk = chunk.to_vec();
        running.spawn(async move { run(&chunk).await });
    }
    running.join_all().await;
}

#[tokio::test]
async fn every_order_of_the_receipts_of_two_parts_ends_where_it_must() {
    let mut orders = BTreeSet::new();
    for mix in 0..256_u16 {
        let part = |n: u16| Event::Part { number: 1 + n % 2, state: usize::from((mix >> (2 * n)) & 3) };
        orders.extend(permutations(&[part(0), part(1), part(2), part(3), Event::Answer]));
    }
    let orders: Vec<_> = orders.into_iter().collect();
    assert!(orders.len() > 5_000, "{}", orders.len());
    for chunk in orders.chunks(2_000) {
        run(chunk).await;
    }
}

/// The pure function, with everything else that can happen to a message: from no status it leads back.
#[test]
fn a_hundred_thousand_permutations_of_happenings_never_go_back() {
    let happenings = [
        Happening::AttemptStarted,
        Happening::Accepted,
        Happening::OutcomeUnknown,
        Happening::TtlPassed,
        Happening::Exhausted,
        Happening::RecipientRefused,
        Happening::Receipt(Delivered),
        Happening::Receipt(Undelivered),
        Happening::Receipt(Expired),
    ];
    let rank = |status: Status| match status {
        Status::Queued => 0,
        Status::Sending => 1,
        Status::Unknown => 2,
        Status::Sent => 3,
        Status::Expired | Status::Undelivered => 4,
        Status::Blocked | Status::Canceled | Status::Delivered | Status::Failed | Status::Rejected => 5,
    };
    let mut count = 0;
    let mut order: Vec<usize> = (0..happenings.len()).collect();
    each_permutation(&mut order, 0, &mut |order| {
        count += 1;
        let mut status = Status::Queued;
        for happening in order.iter().map(|n| &happenings[*n]) {
            let after = status.after(happening);
            assert!(after == status || rank(after) > rank(status), "{after:?} after {status:?} in {order:?}");
            status = after;
        }
    });
    assert_eq!(count, 362_880);
}

fn each_permutation(items: &mut Vec<usize>, from: usize, see: &mut impl FnMut(&[usize])) {
    if from == items.len() {
        return see(items);
    }
    for n in from..items.len() {
        items.swap(from, n);
        each_permutation(items, from + 1, see);
        items.swap(from, n);
    }
}
