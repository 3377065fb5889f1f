//! Everything a black-box test needs: the real binary with a configuration of its own, callers, the mock's inbox,
//! metrics, and stand-ins for what lies outside. Knows the gateway by its contract only; must never link its code,
//! sleep for luck, or reach beyond loopback.
#![expect(clippy::expect_used, reason = "a test whose surroundings fail should stop there and say why")]
#![expect(clippy::missing_panics_doc, reason = "every helper panics when the gateway does not do what it must")]

mod answer;
mod balancer;
mod binary;
mod builder;
mod caller;
mod disk;
mod gateway;
mod luck;
mod metrics;
mod numbers;
mod poll;
mod ports;
mod postgres;
mod process;
mod trap;

pub use answer::Answer;
pub use balancer::Balancer;
pub use binary::{binary, cli};
pub use builder::{Builder, OPS_TOKEN, Tenant, hash_of, key_of};
pub use caller::Caller;
pub use disk::SmallDisk;
pub use gateway::Gateway;
pub use luck::{Luck, knob, strict};
pub use metrics::Metrics;
pub use numbers::{french, german, swiss};
pub use poll::{PATIENCE, eventually};
pub use ports::{free_address, free_port};
pub use postgres::{DATABASE_PASSWORD, Postgres};
pub use process::{Process, Signal};
pub use sms_conformance::upstream::{
    Behaviour, Mitto, MittoSend, ReceiptForm, ReceiptPlan, Reply, Request, Upstream, Verdict,
};
pub use trap::Trap;
