//! Tests of routing: conditions one by one, candidates, limits, and a table over one plan.

mod charges;
mod conditions;
mod explaining;
mod lineup;
mod table;
