//! What waits, in memory: ids by lane in the order in which they go, and in order of expiry. Holds about a hundred bytes
//! a message and no payload. Knows no back end.

mod line;

use std::collections::{BTreeMap, BTreeSet};

use sms_core::{Country, MessageId, ProviderName, Status, TenantId, UnixMs};

pub(crate) use line::Room;
use line::{Line, Picked};

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
    expiry: BTreeSet<(UnixMs, MessageId)>,
    /// Messages without any attempt.
    queued: BTreeSet<MessageId>,
    sending: u64,
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Add(Job),
    Gauge { id: MessageId, from: Status, to: Status },
    Pick { lane: ProviderName, picked: Picked },
    Remove { job: Job, claimable: bool },
}

impl Queue {
    /// A message waits from now on.
    pub(crate) fn add(&mut self, job: Job) {
        self.put(&job, true);
        self.undo.push(Undo::Add(job));
    }

    /// A message no longer waits.
    pub(crate) fn remove(&mut self, job: Job) {
        let claimable = self.take(&job);
        self.undo.push(Undo::Remove { job, claimable });
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
                Undo::Add(job) => drop(self.take(&job)),
                Undo::Gauge { id, from, to } => self.shift(id, to, from),
                Undo::Pick { lane, picked } => self.lanes.entry(lane).or_default().put_back(&picked),
                Undo::Remove { job, claimable } => self.put(&job, claimable),
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
    pub(crate) fn expired(&self, now: UnixMs, max: usize) -> Vec<MessageId> {
        self.expiry.iter().take_while(|(expires, _)| *expires <= now).take(max).map(|(_, id)| *id).collect()
    }

    /// The lanes with the earliest due time of each.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (&ProviderName, UnixMs)> {
        self.lanes.iter().filter_map(|(lane, line)| Some((lane, line.next_due()?)))
    }

    /// When the next waiting message expires.
    pub(crate) fn next_expiry(&self) -> Option<UnixMs> {
        self.expiry.first().map(|(expires, _)| *expires)
    }

    /// How many messages had no attempt yet, how many have one running or due, and since when the oldest has none.
    pub(crate) fn gauges(&self) -> (u64, u64, Option<UnixMs>) {
        (self.queued.len() as u64, self.sending, self.queued.first().map(MessageId::created))
    }

    fn put(&mut self, job: &Job, claimable: bool) {
        if claimable {
            match self.lanes.get_mut(&job.lane) {
                Some(line) => line.add(job),
                None => self.lanes.entry(job.lane.clone()).or_default().add(job),
            }
        }
        self.expiry.insert((job.expires, job.id));
    }

    /// Says whether it was still in its lane.
    fn take(&mut self, job: &Job) -> bool {
        self.expiry.remove(&(job.expires, job.id));
        let Some(line) = self.lanes.get_mut(&job.lane) else { return false };
        let claimable = line.remove(job);
        if line.is_empty() {
            self.lanes.remove(&job.lane);
        }
        claimable
    }

    fn shift(&mut self, id: MessageId, from: Status, to: Status) {
        if from == Status::Queued {
            self.queued.remove(&id);
        }
        if to == Status::Queued {
            self.queued.insert(id);
        }
        self.sending += u64::from(to == Status::Sending);
        self.sending = self.sending.saturating_sub(u64::from(from == Status::Sending));
    }
}

#[cfg(test)]
mod tests {
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
}
