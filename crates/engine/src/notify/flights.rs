//! Who is being told right now, and who is next. A few notices of each tenant are in memory, the rest stays in the store.
//! An endpoint that holds calls up gets fewer places, down to one, so that many slow ones together leave room for the
//! others. Knows no clock and no task.

use std::collections::{HashMap, HashSet, VecDeque};

use sms_core::TenantId;
use sms_core::store::{Notice, NoticeId, NoticeWant};

/// Tellings at a time.
pub(super) const IN_FLIGHT_MAX: usize = 512;

/// Tellings at a time for one tenant, while its endpoint answers promptly.
const PLACES_MAX: usize = 16;

/// Notices of one tenant that wait in memory.
const READ_MAX: usize = 32;

/// All tenants' queues.
#[derive(Debug, Default)]
pub(super) struct Flights {
    lanes: HashMap<TenantId, Lane>,
    /// Tenants whose notices wait for a place, in turn.
    turn: VecDeque<TenantId>,
    /// Notices in memory, in flight or not.
    known: HashSet<NoticeId>,
    in_flight: usize,
}

#[derive(Debug)]
struct Lane {
    in_flight: usize,
    places: usize,
    waiting: VecDeque<Notice>,
}

impl Flights {
    /// What to read from the store: whoever has nothing in memory and a free place. Those in flight are among a
    /// tenant's first, because they were due before whatever comes.
    pub(super) fn wants(&self, tenants: Vec<TenantId>) -> Vec<NoticeWant> {
        let wanted = tenants.into_iter().filter_map(|tenant| {
            let (in_flight, hungry) = self
                .lanes
                .get(&tenant)
                .map_or((0, true), |lane| (lane.in_flight, lane.waiting.is_empty() && lane.in_flight < lane.places));
            hungry.then_some(NoticeWant { tenant, max: in_flight + READ_MAX })
        });
        wanted.collect()
    }

    /// Takes in what was read.
    pub(super) fn add(&mut self, notices: Vec<Notice>) {
        for notice in notices {
            if self.known.insert(notice.id) {
                let tenant = notice.record.tenant.clone();
                let lane = self.lanes.entry(tenant.clone()).or_insert_with(Lane::new);
                if lane.waiting.is_empty() {
                    self.turn.push_back(tenant);
                }
                lane.waiting.push_back(notice);
            }
        }
    }

    /// The next notice to tell, tenant by tenant; `None` when nobody who waits has a place.
    pub(super) fn next(&mut self) -> Option<Notice> {
        if self.in_flight >= IN_FLIGHT_MAX {
            return None;
        }
        for _ in 0..self.turn.len() {
            let tenant = self.turn.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&tenant) else { continue };
            let notice = if lane.in_flight < lane.places { lane.waiting.pop_front() } else { None };
            lane.in_flight += usize::from(notice.is_some());
            if !lane.waiting.is_empty() {
                self.turn.push_back(tenant);
            }
            if notice.is_some() {
                self.in_flight += 1;
                return notice;
            }
        }
        None
    }

    /// A telling ended, and was recorded. A slow one halves the tenant's places, a prompt one adds one.
    pub(super) fn end(&mut self, id: NoticeId, tenant: &TenantId, slow: bool) {
        self.known.remove(&id);
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(lane) = self.lanes.get_mut(tenant) else { return };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        lane.places = if slow { (lane.places / 2).max(1) } else { (lane.places + 1).min(PLACES_MAX) };
        if lane.in_flight == 0 && lane.waiting.is_empty() && lane.places == PLACES_MAX {
            self.lanes.remove(tenant); // nothing to remember
        }
    }
}

impl Lane {
    fn new() -> Self {
        Self { in_flight: 0, places: PLACES_MAX, waiting: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests;
