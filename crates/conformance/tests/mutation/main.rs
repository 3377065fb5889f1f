//! The kit must find what is wrong: an honest provider passes it, and each of the same provider's
//! mutations fails the check that is there for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up should stop")]

mod toy;

use std::collections::BTreeSet;

use sms_conformance::provider::{self, Failure};
use toy::{Mutation, ToyHarness};

/// On a thread of its own: the kit watches the logs of its thread.
fn failures(mutation: Option<Mutation>) -> std::thread::JoinHandle<Vec<Failure>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { provider::check(&ToyHarness { mutation }).await })
    })
}

#[test]
fn an_honest_provider_passes() {
    let failures = failures(None).join().unwrap();
    assert_eq!(failures, []);
}

#[test]
fn every_mutation_fails_the_check_that_is_there_for_it() {
    let mut missed = Vec::new();
    for some in Mutation::ALL.chunks(AT_ONCE) {
        let running: Vec<_> =
            some.iter().map(|(mutation, check)| (mutation, check, failures(Some(*mutation)))).collect();
        for (mutation, check, run) in running {
            let failed: BTreeSet<&str> = run.join().unwrap().iter().map(|failure| failure.check).collect();
            if !failed.contains(check) {
                missed.push(format!("{mutation:?}: {failed:?} instead of {check}"));
            }
        }
    }
    assert!(missed.is_empty(), "the kit let pass:\n{}", missed.join("\n"));
}

#[test]
fn every_check_is_there_for_some_mutation() {
    let sources = [
        include_str!("../../src/provider.rs"),
        include_str!("../../src/provider/classify.rs"),
        include_str!("../../src/provider/content.rs"),
        include_str!("../../src/provider/drop.rs"),
        include_str!("../../src/provider/idempotency.rs"),
        include_str!("../../src/provider/junk.rs"),
        include_str!("../../src/provider/receipts.rs"),
    ];
    let named: BTreeSet<&str> = sources.iter().flat_map(|source| check_names(source)).collect();
    let covered: BTreeSet<&str> = Mutation::ALL.iter().map(|(_, check)| *check).chain(["only_loopback"]).collect();
    assert_eq!(named, covered, "`only_loopback` needs a network and is tested where it is written");
}

#[test]
#[should_panic(expected = "the provider does not conform")]
fn run_panics_with_what_is_wrong() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(provider::run(&ToyHarness { mutation: Some(Mutation::NumberInError) }));
}

/// Texts in quotes that look like names of checks: three or more words joined by `_`.
fn check_names(source: &str) -> impl Iterator<Item = &str> {
    let name = |text: &&str| text.split('_').count() >= 2 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    source.split('"').skip(1).step_by(2).filter(name)
}

const AT_ONCE: usize = 32;
