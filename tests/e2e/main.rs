//! Black-box tests: the real binary, real sockets, a real store, and a stand-in for Mitto. One file a theme; what they
//! share is the library of this package. No mock of our own program anywhere.

mod bad_input;
mod cli;
mod cluster;
mod crash;
mod disk_faults;
mod first_contact;
mod hooks;
mod inbox;
mod leaks;
mod limits;
mod mitto_compat;
mod native;
mod providers;
mod receipts;
mod reload;
mod routing;
mod series;
mod shutdown;
mod storage;
mod tenants;
mod webhook_defence;
mod webhook_endpoints;
mod webhooks;
