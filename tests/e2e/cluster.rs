//! Several gateways on one `PostgreSQL`: nothing is lost and nothing sent too often, whoever dies, pauses or is restarted.
//! Every test has a server of its own. Rates are those that debug builds on two cores bear; `tests/chaos` has the full size.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

mod commands;
mod database;
mod deaths;
mod nodes;
mod together;
