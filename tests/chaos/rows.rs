//! Every row, in the order of the table. A row tries one promise and says what it saw.

mod clock;
mod cluster;
mod commands;
mod disk;
mod dns;
mod faketime;
mod herd;
mod keys;
mod kill;
mod matrix;
mod outage;
mod overload;
mod receipts;
mod reload;
mod slow;
mod unknown;

use std::future::Future;
use std::pin::Pin;

use crate::plan::Scale;
use crate::table::Outcome;

/// A promise and how it is tried.
pub(crate) struct Row {
    /// Of the guarantee; with a letter where one has several rows.
    pub(crate) number: &'static str,
    pub(crate) what: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) run: fn(Scale) -> Running,
}

/// A row at work.
pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome>>>;

pub(crate) const ALL: &[Row] = &[
    Row {
        number: "1",
        what: "kill -9 at random points under load",
        mark: "0 lost; doubled <= in flight, <= 1 extra copy each",
        run: |scale| Box::pin(kill::kill_9(scale)),
    },
    Row {
        number: "2",
        what: "SIGTERM under the same load",
        mark: "0 lost, 0 doubled, exit <= drain, readiness false first",
        run: |scale| Box::pin(kill::sigterm(scale, 2_000)),
    },
    Row {
        number: "2b",
        what: "restart under 500 msg/s on the same file",
        mark: "0 lost, 0 doubled",
        run: |scale| Box::pin(kill::sigterm(scale, 500)),
    },
    Row {
        number: "3",
        what: "power loss: what was never synced is dropped",
        mark: "0 accepted lost",
        run: |scale| Box::pin(commands::shim("power", scale.of(100, 3))),
    },
    Row {
        number: "4",
        what: "disk full under load",
        mark: "every answer 503, 0 false 202, back <= 5 s, 0 lost",
        run: |scale| Box::pin(disk::full(scale)),
    },
    Row {
        number: "5",
        what: "one fsync fails",
        mark: "stops accepting, never retried as success",
        run: |scale| Box::pin(commands::shim("fsync", scale.of(20, 2))),
    },
    Row {
        number: "6",
        what: "a flipped bit or cut tail in the store",
        mark: "reported by id, or refused by name; never silent",
        run: |scale| Box::pin(commands::shim("flips", scale.of(1_000, 20))),
    },
    Row {
        number: "7",
        what: "outcome unknown: RST, hang, 500, crash",
        mark: "otp <= 2 copies, transactional exactly 1, all end within the TTL",
        run: |scale| Box::pin(unknown::unknown(scale)),
    },
    Row {
        number: "8",
        what: "nothing handed over after its TTL",
        mark: "0 late",
        run: |scale| Box::pin(clock::expired(scale)),
    },
    Row {
        number: "8b",
        what: "every invariant, in the simulation",
        mark: "0 violations in 10^6 messages",
        run: |scale| Box::pin(commands::simulation(scale.of(10_000, 100))),
    },
    Row {
        number: "9",
        what: "one Idempotency-Key, 50 parallel requests, kill -9",
        mark: "1 message, one answer; other body 422",
        run: |scale| Box::pin(keys::parallel(scale)),
    },
    Row {
        number: "10",
        what: "keys for a day",
        mark: "replayed byte for byte for 24 h; 10^6 <= 200 MB; then free",
        run: |scale| Box::pin(keys::a_day(scale)),
    },
    Row {
        number: "11",
        what: "wall clock steps ±1 h, -10 min, ±1 s",
        mark: "0 sends > 1 s early or late",
        run: |scale| Box::pin(clock::steps(scale)),
    },
    Row {
        number: "12",
        what: "receipts early, twice, in any order, of nobody",
        mark: "final status right 100 %",
        run: |scale| Box::pin(receipts::permutations(scale)),
    },
    Row {
        number: "12b",
        what: "the same as a property test",
        mark: "right in 10^5 permutations",
        run: |_| Box::pin(commands::permutations()),
    },
    Row {
        number: "14",
        what: "provider hard down, one alternative",
        mark: "fail-over <= 1 s, then <= 5 ms extra, >= 99.9 % through",
        run: |scale| Box::pin(outage::hard_down(scale)),
    },
    Row {
        number: "15",
        what: "provider 30 s slow",
        mark: "p99 of other routes <= +5 %, breaker acts <= 10 s",
        run: |scale| Box::pin(slow::slow(scale)),
    },
    Row {
        number: "16",
        what: "retry budget in a full outage",
        mark: "<= 1.2× offered",
        run: |scale| Box::pin(outage::retries(scale)),
    },
    Row {
        number: "17",
        what: "5× overload",
        mark: "goodput >= 90 % of peak, rest 429/503 + Retry-After <= 10 ms, RSS <= 1.5×, back <= 5 s",
        run: |scale| Box::pin(overload::five_times(scale)),
    },
    Row {
        number: "18",
        what: "one tenant at 50× its share",
        mark: "others: p99 <= +10 %, 0 extra errors",
        run: |scale| Box::pin(overload::one_tenant(scale)),
    },
    Row {
        number: "19",
        what: "DNS dead",
        mark: "last good address kept, no stalls, back <= 10 s",
        run: |scale| Box::pin(dns::dead(scale)),
    },
    Row {
        number: "20",
        what: "cold start with due messages",
        mark: "concurrency and rate kept, newest first",
        run: |scale| Box::pin(herd::cold_start(scale)),
    },
    Row {
        number: "21",
        what: "poison messages",
        mark: "<= 3 attempts, a reason, others unaffected",
        run: |scale| Box::pin(herd::poison(scale)),
    },
    Row {
        number: "22",
        what: "reloads under load, bad files among them",
        mark: "0 failed requests, RSS < +5 %, place told, exit 78",
        run: |scale| Box::pin(reload::reloads(scale)),
    },
    Row {
        number: "1p",
        what: "kill -9 of one of three nodes on PostgreSQL, under load",
        mark: "0 lost; doubled <= in flight, <= 1 extra copy each",
        run: |scale| Box::pin(cluster::kill_9(scale)),
    },
    Row {
        number: "2p",
        what: "rolling restart of three nodes under 500 msg/s",
        mark: "0 lost, 0 doubled, every request accepted",
        run: |scale| Box::pin(cluster::rolling(scale)),
    },
    Row {
        number: "9p",
        what: "one Idempotency-Key at three nodes, one of them killed",
        mark: "1 message, one answer; other body 422",
        run: |scale| Box::pin(cluster::parallel(scale)),
    },
    Row {
        number: "12p",
        what: "receipts of row 12 to any of three nodes",
        mark: "final status right 100 %",
        run: |scale| Box::pin(receipts::permutations_on_any_node(scale)),
    },
    Row {
        number: "28p",
        what: "a recipient limit at 64 callers and three nodes",
        mark: "never more than N",
        run: |scale| Box::pin(cluster::limits(scale)),
    },
    Row {
        number: "52",
        what: "upstream fault matrix, every provider client",
        mark: "no hang > timeout + 1 s, right class 100 %",
        run: |scale| Box::pin(matrix::matrix(scale)),
    },
];
