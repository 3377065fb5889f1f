//! This node's life in the database: a row with a lease of six seconds by the database's clock, renewed every two. Whose
//! lease is over is dead: its open attempts go to the others, and its number never lives again. A node that was paused
//! notices by its own clock that its lease is over, begins a new life under a new number, and can settle nothing of the
//! old one.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sms_core::UnixMs;
use tokio::time::Instant;

use super::error::away;
use super::pool::Conn;
use crate::tables::Failure;

const JOIN: &str = "INSERT INTO node (name, lease_until) VALUES ($1, clock_timestamp() + interval '6 s') RETURNING id";

const BEAT: &str = "UPDATE node SET lease_until = clock_timestamp() + interval '6 s' WHERE id = $1 AND NOT gone \
    RETURNING (SELECT count(*) FROM node n WHERE NOT n.gone AND (n.lease_until > clock_timestamp() OR n.id = $1)), \
    (extract(epoch FROM clock_timestamp()) * 1000)::int8";

/// Nodes that are gone, or whose lease is over.
const DEAD: &str = "SELECT id, gone FROM node WHERE gone OR lease_until < clock_timestamp()";

const BURY: &str = "UPDATE node SET gone = true WHERE NOT gone AND lease_until < clock_timestamp()";

const FORGET: &str = "DELETE FROM node n WHERE gone AND lease_until < clock_timestamp() - interval '1 min' \
    AND NOT EXISTS (SELECT 1 FROM job j WHERE j.owner = n.id AND j.due = -1) \
    AND NOT EXISTS (SELECT 1 FROM job j WHERE j.owner = n.id AND j.due >= j.expires)";

const LEAVE: &str = "UPDATE node SET gone = true, lease_until = clock_timestamp() WHERE id = $1";

/// This node, as far as the database knows it.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    id: AtomicI64,
    /// Nodes alive at the last heartbeat.
    alive: AtomicUsize,
    /// How far this node's clock is ahead of the database's, in ms.
    ahead: AtomicI64,
    lease: Mutex<Lease>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    /// Of this number nobody took anything away before.
    until: Option<Instant>,
    /// Since when it was renewed without a gap.
    since: Instant,
}

impl Node {
    pub(super) fn new(name: String) -> Self {
        let lease = Mutex::new(Lease { until: None, since: Instant::now() });
        let (id, ahead) = (AtomicI64::new(0), AtomicI64::new(0));
        Self { name, id, alive: AtomicUsize::new(1), ahead, lease }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The number under which it lives.
    pub(super) fn id(&self) -> i64 {
        self.id.load(Ordering::SeqCst)
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed).max(1)
    }

    /// The number under which attempts may be opened and handed out now.
    pub(super) fn living(&self) -> Result<i64, Failure> {
        let lives = self.lease().until.is_some_and(|until| Instant::now() < until);
        if lives { Ok(self.id()) } else { Err(away("this node's lease is over")) }
    }

    /// `now` by the database's clock. Clocks that are hours apart are not compared: one of them is a test's.
    pub(super) fn agreed(&self, now: UnixMs) -> UnixMs {
        UnixMs::new(now.get() - self.ahead.load(Ordering::Relaxed))
    }

    /// Renews the lease, or begins a new life; `now` by this node's clock.
    pub(super) async fn beat(&self, conn: &mut Conn, now: impl Fn() -> UnixMs) -> Result<(), Failure> {
        let asked = Instant::now();
        let before = now();
        let found = conn.rows(BEAT, &[&self.id()]).await?;
        let Some(row) = found.first() else {
            return self.join(conn).await;
        };
        let alive: i64 = row.try_get(0)?;
        self.alive.store(usize::try_from(alive).unwrap_or(1), Ordering::Relaxed);
        let middle = i64::midpoint(before.get(), now().get());
        let ahead = middle - row.try_get::<_, i64>(1)?;
        self.ahead.store(if ahead.abs() < AHEAD_MAX_MS { ahead } else { 0 }, Ordering::Relaxed);
        if (AHEAD_WARN_MS..AHEAD_MAX_MS).contains(&ahead.abs()) {
            tracing::warn!("this machine's clock is {ahead} ms ahead of the database's: let both follow an NTP server");
        }
        self.renew(asked);
        Ok(())
    }

    /// Begins a life; what an earlier one left open is for whoever adopts it.
    pub(super) async fn join(&self, conn: &mut Conn) -> Result<(), Failure> {
        let asked = Instant::now();
        let found = conn.rows(JOIN, &[&self.name]).await?;
        let id: i64 = found.first().ok_or_else(|| away("no number for this node"))?.try_get(0)?;
        let before = self.id.swap(id, Ordering::SeqCst);
        if before != 0 {
            tracing::warn!("node `{}` was taken for dead and goes on as number {id}, not {before}", self.name);
        }
        self.lease().until = None;
        self.renew(asked);
        Ok(())
    }

    /// The dead ones, buried: their numbers never live again. A node that was cut off itself first waits until the others
    /// had time to renew their leases.
    pub(super) async fn dead(&self, conn: &mut Conn) -> Result<Vec<i64>, Failure> {
        let lease = *self.lease();
        self.living()?;
        let found = conn.rows(DEAD, &[]).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let is_settled = lease.since.elapsed() >= SETTLED;
        if is_settled {
            conn.execute(BURY, &[]).await?;
            conn.execute(FORGET, &[]).await?;
        }
        let dead = found.iter().filter(|row| is_settled || row.get(1));
        Ok(dead.map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Hands everything over at once.
    pub(super) async fn leave(&self, conn: &mut Conn) -> Result<(), Failure> {
        self.lease().until = None;
        conn.execute(LEAVE, &[&self.id()]).await.map(drop)
    }

    fn renew(&self, asked: Instant) {
        let mut lease = self.lease();
        if lease.until.is_none_or(|until| until < asked) {
            lease.since = asked;
        }
        lease.until = Some(asked + LEASE);
    }

    fn lease(&self) -> std::sync::MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time between two heartbeats.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A second less than by the database's clock.
const LEASE: Duration = Duration::from_secs(5);

/// How long a node must have lived without a gap before it takes others for dead. After an outage of the database every
/// node's lease is over; those that live renew theirs within a beat and a pause.
const SETTLED: Duration = Duration::from_secs(4);

const AHEAD_MAX_MS: i64 = 600_000;
const AHEAD_WARN_MS: i64 = 1_000;
