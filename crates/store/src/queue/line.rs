//! The order in which one lane's waiting messages go: tenants take turns, and within a tenant its countries; the
//! youngest first where messages live for minutes (a code is worth most while its owner waits), else the oldest first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use sms_core::{Class, Country, MessageId, TenantId, UnixMs};

use super::Job;
use super::run::Run;

/// Waiting messages of one lane.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Due, by tenant.
    ready: BTreeMap<TenantId, Turns>,
    /// Not due yet, by due time.
    later: BTreeMap<(UnixMs, MessageId), Later>,
    /// By expiry: those that are not due yet, and those that had expired when their turn came.
    aside: BTreeSet<(UnixMs, MessageId)>,
    /// Who was served last.
    last: Option<TenantId>,
    /// Whose messages were looked at last.
    looked: Option<TenantId>,
}

#[derive(Debug)]
struct Later {
    tenant: TenantId,
    country: Country,
    expires: UnixMs,
}

/// One tenant's messages that are due.
#[derive(Debug, Default)]
struct Turns {
    countries: BTreeMap<Country, Ready>,
    /// None of them expires before.
    soonest: Option<UnixMs>,
    last: Option<Country>,
    looked: Option<Country>,
}

#[derive(Debug, Default)]
struct Ready {
    /// Messages that live for minutes.
    brief: Run,
    lasting: Run,
    looked: Looked,
}

/// Where a look at messages ended.
#[derive(Clone, Copy, Debug, Default)]
enum Looked {
    Brief(MessageId),
    #[default]
    End,
    Lasting(MessageId),
}

/// Where in its lane a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It had expired when its turn came.
    Aside,
    /// It was not due yet.
    Later,
    /// Nowhere: its turn came.
    Picked,
    /// Among those that are due.
    Ready,
}

/// How many more may go, by country.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) countries: &'a [(Country, usize)],
    /// Of each country that is not named.
    pub(crate) others: usize,
}

/// A message's turn has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) id: MessageId,
    pub(super) tenant: TenantId,
    pub(super) country: Country,
    pub(super) expires: UnixMs,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.aside.is_empty() // what comes later is there as well
    }

    /// The earliest due time; what is due already is due at the beginning of time.
    pub(super) fn next_due(&self) -> Option<UnixMs> {
        if self.ready.is_empty() {
            self.later.first_key_value().map(|((due, _), _)| *due)
        } else {
            Some(UnixMs::new(0))
        }
    }

    /// Nobody's time is over before; whose it is may have left.
    pub(super) fn soonest(&self) -> Option<UnixMs> {
        let ready = self.ready.values().filter_map(|turns| turns.soonest);
        self.aside.first().map(|(expires, _)| *expires).into_iter().chain(ready).min()
    }

    /// Adds ids of those whose time is over until `found` has `max`. They stay.
    pub(super) fn expired(&mut self, now: UnixMs, max: usize, found: &mut Vec<MessageId>) {
        let aside = self.aside.iter().take_while(|(expires, _)| *expires <= now).map(|(_, id)| *id);
        found.extend(aside.take(max.saturating_sub(found.len())));
        for turns in self.ready.values_mut() {
            if found.len() >= max {
                return;
            }
            if turns.soonest.is_some_and(|soonest| soonest <= now) {
                turns.expired(now, max, found);
            }
        }
    }

    pub(super) fn add(&mut self, job: &Job) {
        // A first attempt is due from the beginning and needs no second place to wait in. Not so one that is due before
        // its message was made: the wall clock was set back, and its pause is still to be kept.
        let place = if job.due == job.id.created() { Place::Ready } else { Place::Later };
        self.put(job, place);
    }

    pub(super) fn put(&mut self, job: &Job, place: Place) {
        match place {
            Place::Picked => {}
            Place::Ready => self.make_ready(job.id, &job.tenant, job.country, job.expires),
            Place::Aside => drop(self.aside.insert((job.expires, job.id))),
            Place::Later => {
                let later = Later { tenant: job.tenant.clone(), country: job.country, expires: job.expires };
                self.later.insert((job.due, job.id), later);
                self.aside.insert((job.expires, job.id));
            }
        }
    }

    /// Says where it was.
    pub(super) fn remove(&mut self, job: &Job) -> Place {
        let is_later = self.later.remove(&(job.due, job.id)).is_some();
        if self.aside.remove(&(job.expires, job.id)) {
            return if is_later { Place::Later } else { Place::Aside };
        }
        let Some(turns) = self.ready.get_mut(&job.tenant) else { return Place::Picked };
        let Some(ready) = turns.countries.get_mut(&job.country) else { return Place::Picked };
        let removed = ready.of(job.id, job.expires).remove(job.id);
        if ready.is_empty() {
            turns.countries.remove(&job.country);
        }
        if turns.countries.is_empty() {
            self.ready.remove(&job.tenant);
        }
        if removed { Place::Ready } else { Place::Picked }
    }

    /// A message that was picked waits again.
    pub(super) fn put_back(&mut self, picked: &Picked) {
        self.make_ready(picked.id, &picked.tenant, picked.country, picked.expires);
    }

    /// Takes out up to `max` messages that are due and not expired. Expired ones in the way leave too: a sweep ends
    /// them.
    pub(super) fn pick(&mut self, now: UnixMs, max: usize, room: &Room<'_>) -> Vec<Picked> {
        self.ripen(now);
        let mut left = Left { room, taken: BTreeMap::new() };
        let (mut picked, mut misses) = (Vec::new(), 0);
        while picked.len() < max && misses < self.ready.len() {
            let Some(tenant) = following(&self.ready, self.last.as_ref()).cloned() else { break };
            let Some(turns) = self.ready.get_mut(&tenant) else { break };
            let found = turns.pick(now, &mut left, &mut self.aside);
            if turns.countries.is_empty() {
                self.ready.remove(&tenant);
            } else if found.is_none() {
                misses += 1;
            }
            if let Some((country, id, expires)) = found {
                picked.push(Picked { id, tenant: tenant.clone(), country, expires });
                misses = 0;
            }
            self.last = Some(tenant);
        }
        picked
    }

    /// Up to `max` messages that are due and not expired; they stay. Each call goes on where the last one ended, and shows
    /// none twice: every tenant, and of it every country, gets one equal share a call.
    pub(super) fn look(&mut self, now: UnixMs, max: usize, room: &Room<'_>) -> Vec<MessageId> {
        self.ripen(now);
        let mut left = Left { room, taken: BTreeMap::new() };
        let (mut seen, share) = (Vec::new(), max.checked_div(self.ready.len()).unwrap_or_default().max(1));
        for _ in 0..self.ready.len() {
            let Some(tenant) = following(&self.ready, self.looked.as_ref()).cloned() else { break };
            let share = share.min(max - seen.len());
            if share == 0 {
                break;
            }
            if let Some(turns) = self.ready.get_mut(&tenant) {
                turns.look(now, share, &mut left, &mut seen);
            }
            self.looked = Some(tenant);
        }
        seen
    }

    /// What those that are due take in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let ready = self.ready.values().flat_map(|turns| turns.countries.values());
        ready.map(|ready| size_of::<Ready>() + ready.brief.bytes() + ready.lasting.bytes()).sum()
    }

    /// What became due joins the turns.
    fn ripen(&mut self, now: UnixMs) {
        while let Some(entry) = self.later.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, id), Later { tenant, country, expires }) = entry.remove_entry();
            self.aside.remove(&(expires, id));
            self.make_ready(id, &tenant, country, expires);
        }
    }

    fn make_ready(&mut self, id: MessageId, tenant: &TenantId, country: Country, expires: UnixMs) {
        let turns = match self.ready.get_mut(tenant) {
            Some(turns) => turns,
            None => self.ready.entry(tenant.clone()).or_default(),
        };
        turns.soonest = Some(turns.soonest.map_or(expires, |soonest| soonest.min(expires)));
        turns.countries.entry(country).or_default().of(id, expires).insert(id, expires);
    }
}

impl Turns {
    fn pick(&mut self, now: UnixMs, left: &mut Left<'_>, late: &mut Late) -> Option<(Country, MessageId, UnixMs)> {
        for _ in 0..self.countries.len() {
            let country = *following(&self.countries, self.last.as_ref())?;
            self.last = Some(country);
            if left.of(country) == 0 {
                continue;
            }
            let found = self.countries.get_mut(&country).and_then(|ready| ready.pick(now, late));
            if self.countries.get(&country).is_some_and(Ready::is_empty) {
                self.countries.remove(&country);
            }
            if let Some((id, expires)) = found {
                left.take(country);
                return Some((country, id, expires));
            }
        }
        None
    }
}

impl Turns {
    fn expired(&mut self, now: UnixMs, max: usize, found: &mut Vec<MessageId>) {
        for ready in self.countries.values_mut() {
            ready.brief.expired(now, max, found);
            ready.lasting.expired(now, max, found);
        }
        let soonest = self.countries.values().flat_map(|ready| [ready.brief.soonest(), ready.lasting.soonest()]);
        self.soonest = soonest.flatten().min();
    }

    fn look(&mut self, now: UnixMs, max: usize, left: &mut Left<'_>, seen: &mut Vec<MessageId>) {
        let end = seen.len() + max;
        let share = max.checked_div(self.countries.len()).unwrap_or_default().max(1);
        for _ in 0..self.countries.len() {
            let Some(country) = following(&self.countries, self.looked.as_ref()).copied() else { return };
            let share = share.min(end - seen.len()).min(left.of(country));
            if end == seen.len() {
                return;
            }
            if let Some(ready) = self.countries.get_mut(&country).filter(|_| share > 0) {
                let found = ready.look(now, share);
                (0..found.len()).for_each(|_| left.take(country));
                seen.extend(found);
            }
            self.looked = Some(country);
        }
    }
}

impl Ready {
    fn is_empty(&self) -> bool {
        self.brief.is_empty() && self.lasting.is_empty()
    }

    /// The class is sealed in the details: how long a message lives stands for it.
    fn of(&mut self, id: MessageId, expires: UnixMs) -> &mut Run {
        if expires.since(id.created()) <= Class::Otp.ttl_max() { &mut self.brief } else { &mut self.lasting }
    }

    /// Codes go before what can wait for hours.
    fn pick(&mut self, now: UnixMs, late: &mut Late) -> Option<(MessageId, UnixMs)> {
        let in_order = std::iter::from_fn(|| self.brief.pop_last().or_else(|| self.lasting.pop_first()));
        for (id, expires) in in_order {
            if expires > now {
                return Some((id, expires));
            }
            late.insert((expires, id));
        }
        None
    }

    /// In the order in which they would go, from where the last look ended to the end.
    fn look(&mut self, now: UnixMs, max: usize) -> Vec<MessageId> {
        let (brief, lasting) = match self.looked {
            Looked::End => (Some(None), None),
            Looked::Brief(id) => (Some(Some(id)), None),
            Looked::Lasting(id) => (None, Some(id)),
        };
        let brief = brief.into_iter().flat_map(|before| self.brief.before(before));
        let brief = brief.map(|(id, expires)| (Looked::Brief(id), id, expires));
        let lasting = self.lasting.after(lasting).map(|(id, expires)| (Looked::Lasting(id), id, expires));
        let seen: Vec<_> = brief.chain(lasting).filter(|(_, _, expires)| *expires > now).take(max).collect();
        // Fewer than wanted: the end was reached.
        let last = seen.last().filter(|_| seen.len() == max).map(|(looked, ..)| *looked);
        self.looked = last.unwrap_or_default();
        seen.into_iter().map(|(_, id, _)| id).collect()
    }
}

/// Where those go that had expired when their turn came.
type Late = BTreeSet<(UnixMs, MessageId)>;

/// What is left of the room.
struct Left<'a> {
    room: &'a Room<'a>,
    taken: BTreeMap<Country, usize>,
}

impl Left<'_> {
    fn of(&self, country: Country) -> usize {
        let named = self.room.countries.iter().find(|(named, _)| *named == country);
        let room = named.map_or(self.room.others, |(_, room)| *room);
        room.saturating_sub(self.taken.get(&country).copied().unwrap_or_default())
    }

    fn take(&mut self, country: Country) {
        *self.taken.entry(country).or_default() += 1;
    }
}

/// The key after `last`, beginning anew at the end.
fn following<'m, K: Ord, V>(map: &'m BTreeMap<K, V>, last: Option<&K>) -> Option<&'m K> {
    let after = last.and_then(|last| map.range((Bound::Excluded(last), Bound::Unbounded)).next());
    after.or_else(|| map.first_key_value()).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sms_core::ProviderName;

    use super::*;

    const ANY: Room<'_> = Room { countries: &[], others: usize::MAX };

    fn id(n: i64) -> MessageId {
        MessageId::new(UnixMs::new(n), [0; 10])
    }

    fn job(n: i64, tenant: &str, country: &str, life: Duration) -> Job {
        Job {
            id: id(n),
            tenant: TenantId::new(tenant),
            country: Country::parse(country).unwrap(),
            lane: ProviderName::new("a"),
            due: UnixMs::new(n),
            expires: UnixMs::new(n).plus(life),
        }
    }

    fn line(jobs: &[Job]) -> Line {
        let mut line = Line::default();
        for job in jobs {
            line.add(job);
        }
        line
    }

    fn otp(n: i64, tenant: &str) -> Job {
        job(n, tenant, "CH", Duration::from_mins(5))
    }

    fn picked(line: &mut Line, max: usize, room: &Room<'_>) -> Vec<i64> {
        line.pick(UnixMs::new(1_000), max, room).iter().map(|picked| picked.id.created().get()).collect()
    }

    #[test]
    fn codes_go_youngest_first_and_the_rest_oldest_first_after_them() {
        let hour = |n| job(n, "acme", "CH", Duration::from_hours(1));
        let mut line = line(&[hour(1), otp(2, "acme"), otp(3, "acme"), hour(4), otp(5, "acme")]);
        assert_eq!(picked(&mut line, 9, &ANY), [5, 3, 2, 1, 4]);
        assert!(line.is_empty());
    }

    #[test]
    fn tenants_take_turns_however_much_each_has_waiting() {
        let mut jobs: Vec<Job> = (0..100).map(|n| otp(n, "loud")).collect();
        jobs.extend((200..203).map(|n| otp(n, "quiet")));
        jobs.extend((300..303).map(|n| otp(n, "still")));
        let mut line = line(&jobs);
        let first = picked(&mut line, 4, &ANY);
        assert_eq!(first, [99, 202, 302, 98]);
        assert_eq!(picked(&mut line, 5, &ANY), [201, 301, 97, 200, 300], "the turns go on");
        assert_eq!(picked(&mut line, 3, &ANY), [96, 95, 94]);
    }

    #[test]
    fn a_country_without_room_is_passed_over() {
        let life = Duration::from_mins(5);
        let mut line =
            line(&[job(1, "acme", "DE", life), job(2, "acme", "DE", life), job(3, "acme", "CH", life), otp(4, "b")]);
        let de = |n| [(Country::parse("DE").unwrap(), n)];
        let (none, one) = (de(0), de(1));
        assert_eq!(picked(&mut line, 9, &Room { countries: &none, others: 9 }), [3, 4]);
        assert_eq!(picked(&mut line, 9, &Room { countries: &one, others: 0 }), [2]);
        assert_eq!(picked(&mut line, 9, &ANY), [1]);
    }

    #[test]
    fn what_is_not_due_waits_and_joins_its_tenants_turns() {
        let mut line = line(&[otp(1, "acme"), Job { due: UnixMs::new(1_001), ..otp(2, "acme") }]);
        assert_eq!(line.next_due(), Some(UnixMs::new(0)));
        assert_eq!(picked(&mut line, 9, &ANY), [1]);
        assert_eq!(line.next_due(), Some(UnixMs::new(1_001)));
        assert_eq!(line.pick(UnixMs::new(1_001), 9, &ANY).len(), 1);
        assert_eq!(line.next_due(), None);
    }

    #[test]
    fn a_pause_is_kept_by_a_clock_that_was_set_back() {
        let mut line = line(&[Job { due: UnixMs::new(1_008), ..otp(5_000, "acme") }]);
        assert!(picked(&mut line, 9, &ANY).is_empty());
        assert_eq!(line.pick(UnixMs::new(1_008), 9, &ANY).len(), 1);
    }

    #[test]
    fn expired_ones_are_never_picked() {
        let life = Duration::from_millis(10);
        let mut line = line(&[job(1, "acme", "CH", life), otp(2, "acme"), job(995, "acme", "CH", life)]);
        assert_eq!(picked(&mut line, 9, &ANY), [995, 2]);
        assert_eq!((line.next_due(), line.is_empty()), (None, false), "a sweep ends the one that is over");
    }

    #[test]
    fn a_tenant_of_whom_all_is_expired_does_not_cost_the_others_their_turn() {
        let late = Duration::from_millis(10);
        let mut line = line(&[job(1, "a", "CH", late), otp(2, "b"), job(3, "c", "DE", late), otp(4, "d")]);
        assert_eq!(picked(&mut line, 9, &ANY), [2, 4]);
    }

    #[test]
    fn what_is_removed_or_put_back_is_where_it_was() {
        let jobs = [otp(1, "acme"), Job { due: UnixMs::new(9_000), ..otp(2, "acme") }];
        let mut line = line(&jobs);
        let taken = line.pick(UnixMs::new(1_000), 1, &ANY);
        assert_eq!(line.remove(&jobs[0]), Place::Picked);
        for picked in &taken {
            line.put_back(picked);
        }
        assert_eq!(jobs.each_ref().map(|job| line.remove(job)), [Place::Ready, Place::Later]);
        assert!(line.is_empty());
    }
}
