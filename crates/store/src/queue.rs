//! What waits, in memory: ids by lane in the order in which they go, in little more than twenty bytes a message, and no
//! payload. Knows no back end.

mod line;
mod run;

use std::collections::BTreeMap;

use sms_core::{Country, MessageId, ProviderName, Status, TenantId, UnixMs};

pub(crate) use line::Room;
use line::{Line, Picked, Place};

/// A waiting message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: MessageId,
    pub(crate) tenant: TenantId,
    pub(crate) country: Country,
    pub(crate) lane: ProviderName,
    pub(crate) due: UnixMs,
    pub(crate) expires: UnixMs,
}

/// Waiting messages and the gauges of all unsettled ones; changes can be taken back until they are committed.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<ProviderName, Line>,
    /// No waiting message expires before; the one that does may have left.
    soonest: Option<UnixMs>,
    /// Messages without any attempt.
    queued: Ages,
    sending: u64,
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Add(Job),
    Gauge { id: MessageId, from: Status, to: Status },
    Pick { lane: ProviderName, picked: Picked },
    Remove { job: Job, place: Place },
}

/// How many messages there are, by the second in which they were made.
#[derive(Debug, Default)]
struct Ages {
    count: u64,
    /// How many, and when the first one of them was made.
    seconds: BTreeMap<i64, (u64, UnixMs)>,
}

impl Queue {
    /// A message waits from now on.
    pub(crate) fn add(&mut self, job: Job) {
        self.expect(job.expires);
        match self.lanes.get_mut(&job.lane) {
            Some(line) => line.add(&job),
            None => self.lanes.entry(job.lane.clone()).or_default().add(&job),
        }
        self.undo.push(Undo::Add(job));
    }

    /// A message no longer waits.
    pub(crate) fn remove(&mut self, job: Job) {
        let place = self.take(&job);
        self.undo.push(Undo::Remove { job, place });
    }

    /// Follows a message's status; `None` before it exists.
    pub(crate) fn follow(&mut self, id: MessageId, from: Option<Status>, to: Status) {
        // A message that did not exist counts like one of a status that is not gauged.
        let from = from.unwrap_or(Status::Blocked);
        if from != to {
            self.shift(id, from, to);
            self.undo.push(Undo::Gauge { id, from, to });
        }
    }

    pub(crate) fn commit(&mut self) {
        self.undo.clear();
    }

    pub(crate) fn rollback(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Add(job) => {
                    self.take(&job);
                }
                Undo::Gauge { id, from, to } => self.shift(id, to, from),
                Undo::Pick { lane, picked } => {
                    self.expect(picked.expires);
                    self.lanes.entry(lane).or_default().put_back(&picked);
                }
                Undo::Remove { job, place } => {
                    self.expect(job.expires);
                    self.lanes.entry(job.lane.clone()).or_default().put(&job, place);
                }
            }
        }
    }

    /// Takes up to `max` messages of `lane` that are due and not expired out of it, in order; whoever calls removes or
    /// ends each. Expired ones in the way leave the lane for good; [`Self::expired`] still has them.
    pub(crate) fn pick(&mut self, lane: &ProviderName, now: UnixMs, max: usize, room: &Room<'_>) -> Vec<MessageId> {
        let Some(line) = self.lanes.get_mut(lane) else { return Vec::new() };
        let picked = line.pick(now, max, room);
        if line.is_empty() {
            self.lanes.remove(lane);
        }
        let ids = picked.iter().map(|picked| picked.id).collect();
        self.undo.extend(picked.into_iter().map(|picked| Undo::Pick { lane: lane.clone(), picked }));
        ids
    }

    /// Up to `max` messages of `lane` that are due and not expired, left where they are. Each call goes on where the last
    /// one ended.
    pub(crate) fn look(&mut self, lane: &ProviderName, now: UnixMs, max: usize, room: &Room<'_>) -> Vec<MessageId> {
        self.lanes.get_mut(lane).map(|line| line.look(now, max, room)).unwrap_or_default()
    }

    /// Up to `max` waiting messages whose time is over. They stay queued.
    pub(crate) fn expired(&mut self, now: UnixMs, max: usize) -> Vec<MessageId> {
        let mut found = Vec::new();
        if self.soonest.is_none_or(|soonest| soonest > now) {
            return found;
        }
        for line in self.lanes.values_mut() {
            line.expired(now, max, &mut found);
        }
        if found.len() < max {
            self.soonest = self.lanes.values().filter_map(Line::soonest).min();
        }
        found
    }

    /// The lanes with the earliest due time of each.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&ProviderName, UnixMs)> {
        self.lanes.iter().filter_map(|(lane, line)| Some((lane, line.next_due()?)))
    }

    /// When the next waiting message expires, or earlier.
    pub(crate) fn next_expiry(&self) -> Option<UnixMs> {
        self.soonest
    }

    /// How many messages had no attempt yet, how many have one running or due, and since when, to the second, the oldest
    /// has none.
    pub(crate) fn gauges(&self) -> (u64, u64, Option<UnixMs>) {
        (self.queued.count, self.sending, self.queued.oldest())
    }

    fn expect(&mut self, expires: UnixMs) {
        self.soonest = Some(self.soonest.map_or(expires, |soonest| soonest.min(expires)));
    }

    /// Says where it was.
    fn take(&mut self, job: &Job) -> Place {
        let Some(line) = self.lanes.get_mut(&job.lane) else { return Place::Picked };
        let place = line.remove(job);
        if line.is_empty() {
            self.lanes.remove(&job.lane);
        }
        place
    }

    fn shift(&mut self, id: MessageId, from: Status, to: Status) {
        if from == Status::Queued {
            self.queued.remove(id.created());
        }
        if to == Status::Queued {
            self.queued.add(id.created());
        }
        self.sending += u64::from(to == Status::Sending);
        self.sending = self.sending.saturating_sub(u64::from(from == Status::Sending));
    }
}

impl Ages {
    fn add(&mut self, made: UnixMs) {
        self.count += 1;
        let (count, first) = self.seconds.entry(second(made)).or_insert((0, made));
        *count += 1;
        *first = made.min(*first);
    }

    fn remove(&mut self, made: UnixMs) {
        let second = second(made);
        let Some((count, _)) = self.seconds.get_mut(&second) else { return };
        self.count = self.count.saturating_sub(1);
        *count -= 1;
        if *count == 0 {
            self.seconds.remove(&second);
        }
    }

    /// When the first one was made; within the same second it may have left.
    fn oldest(&self) -> Option<UnixMs> {
        self.seconds.first_key_value().map(|(_, (_, first))| *first)
    }
}

fn second(at: UnixMs) -> i64 {
    at.get().div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(n: u8, lane: &str, due: i64, expires: i64) -> Job {
        Job {
            id: MessageId::new(UnixMs::new(i64::from(n)), [n; 10]),
            tenant: TenantId::new("acme"),
            country: Country::parse("CH").unwrap(),
            lane: ProviderName::new(lane),
            due: UnixMs::new(due),
            expires: UnixMs::new(expires),
        }
    }

    fn due(queue: &mut Queue, lane: &str, now: i64, max: usize) -> Vec<MessageId> {
        queue.pick(&ProviderName::new(lane), UnixMs::new(now), max, &Room { countries: &[], others: usize::MAX })
    }

    #[test]
    fn each_lane_has_its_own_messages_and_each_goes_once() {
        let mut queue = Queue::default();
        let jobs = [job(1, "a", 30, 100), job(2, "a", 10, 100), job(3, "b", 5, 100), job(4, "a", 40, 100)];
        for job in &jobs {
            queue.add(job.clone());
        }
        assert_eq!(due(&mut queue, "a", 30, 1), [jobs[1].id], "the youngest");
        assert_eq!(due(&mut queue, "a", 30, 9), [jobs[0].id]);
        assert_eq!(due(&mut queue, "a", 30, 9), [], "one is not due yet");
        assert_eq!(due(&mut queue, "c", 30, 1), []);
    }

    #[test]
    fn an_expired_message_is_never_due_but_swept() {
        let mut queue = Queue::default();
        queue.add(job(1, "a", 0, 50));
        assert_eq!(due(&mut queue, "a", 50, 9), []);
        assert_eq!(queue.lanes().count(), 0, "it no longer stands in the way");
        assert_eq!(queue.expired(UnixMs::new(50), 9), [job(1, "a", 0, 50).id]);
        assert_eq!(queue.expired(UnixMs::new(49), 9), []);
    }

    #[test]
    fn rollback_restores_everything() {
        let mut queue = Queue::default();
        let (kept, late, fresh) = (job(1, "a", 0, 90), job(2, "a", 0, 10), job(3, "b", 0, 90));
        queue.add(kept.clone());
        queue.add(late.clone());
        queue.follow(kept.id, None, Status::Queued);
        queue.commit();
        assert_eq!(due(&mut queue, "a", 20, 9), [kept.id]);
        queue.remove(kept.clone());
        queue.remove(late.clone());
        queue.follow(kept.id, Some(Status::Queued), Status::Sending);
        queue.add(fresh);
        queue.rollback();
        assert_eq!(due(&mut queue, "a", 5, 9), [kept.id], "the expired one left the lane for good");
        assert_eq!(queue.expired(UnixMs::new(20), 9), [late.id]);
        assert_eq!(due(&mut queue, "b", 5, 9), []);
        assert_eq!(queue.gauges(), (1, 0, Some(UnixMs::new(1))));
    }

    #[test]
    fn gauges_follow_the_status() {
        let (mut queue, id) = (Queue::default(), job(1, "a", 0, 9).id);
        queue.follow(id, None, Status::Queued);
        queue.follow(id, Some(Status::Queued), Status::Sending);
        assert_eq!(queue.gauges(), (0, 1, None));
        queue.follow(id, Some(Status::Sending), Status::Sent);
        assert_eq!(queue.gauges(), (0, 0, None));
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Add { tenant: usize, country: usize, lane: usize, late_ms: i64, life_ms: i64 },
        Commit,
        Expire { max: usize },
        Look { lane: usize, max: usize },
        Pass { ms: i64 },
        Pick { lane: usize, max: usize, room: usize, others: usize },
        Remove { which: usize },
        Rollback,
    }

    const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
    const COUNTRIES: [&str; 3] = ["CH", "DE", "FR"];
    const LANES: [&str; 2] = ["a", "b"];

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        // Some never become due, some are over soon, some live for minutes and some for hours.
        let life = prop_oneof![0_i64..3_000, 200_000_i64..300_000, 3_000_000_i64..4_000_000];
        let late = prop_oneof![3 => Just(0_i64), 1 => 1_i64..3_000];
        let op = prop_oneof![
            12 => (0_usize..3, 0_usize..3, 0_usize..2, late, life)
                .prop_map(|(tenant, country, lane, late_ms, life_ms)| Op::Add { tenant, country, lane, late_ms, life_ms }),
            3 => Just(Op::Commit),
            2 => (1_usize..9).prop_map(|max| Op::Expire { max }),
            2 => (0_usize..2, 1_usize..9).prop_map(|(lane, max)| Op::Look { lane, max }),
            2 => (0_i64..1_500).prop_map(|ms| Op::Pass { ms }),
            6 => (0_usize..2, 0_usize..9, 0_usize..4, 0_usize..9)
                .prop_map(|(lane, max, room, others)| Op::Pick { lane, max, room, others }),
            3 => (0_usize..99).prop_map(|which| Op::Remove { which }),
            2 => Just(Op::Rollback),
        ];
        proptest::collection::vec(op, 1..250)
    }

    /// What waits, as a plain list.
    struct Model {
        queue: Queue,
        waiting: BTreeMap<MessageId, Job>,
        committed: BTreeMap<MessageId, Job>,
        now: i64,
        made: i64,
    }

    impl Model {
        fn remove(&mut self, id: MessageId) {
            let job = self.waiting.remove(&id).unwrap();
            self.queue.remove(job);
            self.queue.follow(id, Some(Status::Queued), Status::Sending);
            self.queue.follow(id, Some(Status::Sending), Status::Sent);
        }

        /// Those that may go, in no order.
        fn eligible(&self, lane: usize) -> impl Iterator<Item = &Job> {
            let is_due = |job: &&Job| job.due.get() <= self.now || job.due == job.id.created();
            let in_lane = self.waiting.values().filter(move |job| job.lane.as_str() == LANES[lane]);
            in_lane.filter(is_due).filter(|job| job.expires.get() > self.now)
        }

        fn pick(&mut self, lane: usize, max: usize, room: &Room<'_>) -> Result<(), TestCaseError> {
            let name = ProviderName::new(LANES[lane]);
            let picked = self.queue.pick(&name, UnixMs::new(self.now), max, room);
            let may_go: Vec<Job> = self.eligible(lane).cloned().collect();
            let of = |id: &MessageId| may_go.iter().find(|job| job.id == *id);
            let jobs: Vec<&Job> = picked.iter().filter_map(of).collect();
            prop_assert!(jobs.len() == picked.len() && picked.len() <= max, "all of them may go");
            let room_of = |country: Country| {
                let named = room.countries.iter().find(|(named, _)| *named == country);
                named.map_or(room.others, |(_, room)| *room)
            };
            let gone = |country: Country| jobs.iter().filter(|job| job.country == country).count();
            prop_assert!(jobs.iter().all(|job| gone(job.country) <= room_of(job.country)));
            let mut left: Vec<&Job> = may_go.iter().filter(|job| !picked.contains(&job.id)).collect();
            let is_brief = |job: &Job| job.expires.since(job.id.created()).as_secs() <= 600;
            // Lower goes first.
            let rank =
                |job: &Job| if is_brief(job) { (0, -job.id.created().get()) } else { (1, job.id.created().get()) };
            for (at, job) in jobs.iter().enumerate() {
                let alike = |other: &&Job| other.tenant == job.tenant && other.country == job.country;
                let after = jobs[at + 1..].iter().copied().chain(left.iter().copied()).filter(alike);
                prop_assert!(after.into_iter().all(|other| rank(other) >= rank(job)), "each in its turn");
            }
            left.retain(|job| gone(job.country) < room_of(job.country));
            prop_assert!(picked.len() == max || left.is_empty(), "what could go went");
            let turns = |tenant: &TenantId| jobs.iter().filter(|job| job.tenant == *tenant).count();
            for job in left {
                prop_assert!(
                    jobs.iter().all(|other| turns(&other.tenant) <= turns(&job.tenant) + 1),
                    "tenants take turns"
                );
            }
            for id in picked {
                self.remove(id);
            }
            Ok(())
        }

        fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
            match op {
                Op::Add { tenant, country, lane, late_ms, life_ms } => {
                    self.made += 1;
                    let made = UnixMs::new(self.now - self.made % 7);
                    let mut entropy = [0; 10];
                    entropy[2..].copy_from_slice(&self.made.to_be_bytes());
                    let id = MessageId::new(made, entropy);
                    let job = Job {
                        id,
                        tenant: TenantId::new(TENANTS[tenant]),
                        country: Country::parse(COUNTRIES[country]).unwrap(),
                        lane: ProviderName::new(LANES[lane]),
                        due: if late_ms == 0 { made } else { UnixMs::new(self.now + late_ms) },
                        expires: UnixMs::new(made.get() + life_ms),
                    };
                    self.waiting.insert(id, job.clone());
                    self.queue.follow(id, None, Status::Queued);
                    self.queue.add(job);
                }
                Op::Commit => {
                    self.queue.commit();
                    self.committed.clone_from(&self.waiting);
                }
                Op::Expire { max } => {
                    let found = self.queue.expired(UnixMs::new(self.now), max);
                    let is_over = |job: &&Job| job.expires.get() <= self.now;
                    let over: Vec<_> = self.waiting.values().filter(is_over).map(|job| job.id).collect();
                    prop_assert_eq!(found.len(), over.len().min(max));
                    prop_assert!(found.iter().all(|id| over.contains(id)));
                    for id in found {
                        self.remove(id);
                    }
                }
                Op::Look { lane, max } => {
                    let (name, room) = (ProviderName::new(LANES[lane]), Room { countries: &[], others: usize::MAX });
                    let may_go: Vec<_> = self.eligible(lane).map(|job| job.id).collect();
                    let mut seen = std::collections::BTreeSet::new();
                    for _ in 0..=2 * may_go.len() + 9 {
                        let shown = self.queue.look(&name, UnixMs::new(self.now), max, &room);
                        let once: std::collections::BTreeSet<_> = shown.iter().copied().collect();
                        prop_assert!(shown.len() <= max && once.len() == shown.len());
                        prop_assert!(once.iter().all(|id| may_go.contains(id)));
                        seen.extend(once);
                    }
                    prop_assert_eq!(seen.len(), may_go.len(), "everybody's turn comes");
                }
                Op::Pass { ms } => self.now += ms,
                Op::Pick { lane, max, room, others } => {
                    let countries = [(Country::parse(COUNTRIES[0]).unwrap(), room)];
                    self.pick(lane, max, &Room { countries: &countries, others })?;
                }
                Op::Remove { which } => {
                    let id = self.waiting.keys().nth(which % self.waiting.len().max(1)).copied();
                    if let Some(id) = id {
                        self.remove(id);
                    }
                }
                Op::Rollback => {
                    self.queue.rollback();
                    self.waiting.clone_from(&self.committed);
                }
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_list(ops in ops()) {
            let (waiting, committed) = (BTreeMap::new(), BTreeMap::new());
            let mut model = Model { queue: Queue::default(), waiting, committed, now: 1_764_000_000_000, made: 0 };
            for op in ops {
                model.apply(op)?;
                let (queued, sending, oldest) = model.queue.gauges();
                prop_assert_eq!((queued, sending), (model.waiting.len() as u64, 0));
                let first = model.waiting.values().map(|job| job.id.created()).min();
                prop_assert_eq!(oldest.is_some(), first.is_some());
                prop_assert!(oldest <= first && oldest.map(second) == first.map(second));
                let soonest = model.waiting.values().map(|job| job.expires).min();
                prop_assert!(soonest.is_none() || model.queue.next_expiry() <= soonest);
            }
            for lane in 0..LANES.len() {
                model.apply(Op::Pick { lane, max: usize::MAX, room: usize::MAX, others: usize::MAX })?;
            }
            model.now += 5_000_000;
            model.apply(Op::Expire { max: usize::MAX })?;
            prop_assert!(model.waiting.is_empty() && model.queue.lanes.is_empty());
        }
    }

    #[test]
    fn a_backlog_takes_little_more_than_twenty_bytes_a_message() {
        let mut queue = Queue::default();
        for n in 0..200_000_u32 {
            let made = UnixMs::new(1_764_000_000_000 + i64::from(n / 8));
            let mut entropy = [0; 10];
            entropy[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b9).to_be_bytes());
            let id = MessageId::new(made, entropy);
            let expires = made.plus(std::time::Duration::from_mins(5));
            queue.follow(id, None, Status::Queued);
            queue.add(Job { id, due: made, expires, ..job(1, "a", 0, 0) });
            queue.commit();
        }
        assert_eq!(queue.gauges().0, 200_000);
        let lines: usize = queue.lanes.values().map(Line::bytes).sum();
        assert!(lines <= 200_000 * 26, "{} bytes a message", lines / 200_000);
    }
}
