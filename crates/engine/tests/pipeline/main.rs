//! The pipeline from request to verdict over scripted providers and the store in memory, in paused time.
//! Tests of the product's invariants carry the invariant's name.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod copies;
mod durability;
mod failover;
mod fairness;
mod fixtures;
mod health;
mod waiting;
mod webhooks;
