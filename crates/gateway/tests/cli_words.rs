//! Commands that need neither a configuration nor a running gateway, and how the words themselves are taken.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod cli_support;

use cli_support::{Ran, run};

fn gateway(words: &[&str]) -> Ran {
    run(tempfile::tempdir().unwrap().path(), words)
}

#[test]
fn a_key_is_printed_once_and_its_hash_goes_into_the_configuration() {
    use sha2::{Digest as _, Sha256};

    let ran = gateway(&["keys", "create", "--tenant", "acme"]);
    assert_eq!(ran.code, 0);
    let key = ran.out.trim();
    assert!(key.starts_with("sk_live_") && ran.out.lines().count() == 1, "{}", ran.out);
    let hash = Sha256::digest(key).iter().fold(String::from("sha256:"), |hash, byte| format!("{hash}{byte:02x}"));
    let line = format!("keys = [\"{hash}\"]");
    assert!(ran.err.contains(&line) && ran.err.contains("[tenants.acme]"), "{}", ran.err);
    assert!(!ran.err.contains(key), "the key itself is data only");

    let json = gateway(&["keys", "create", "--tenant", "acme", "-o", "json"]).json();
    assert!(json["hash"].as_str().unwrap().starts_with("sha256:"));
    assert_ne!(json["key"], key);
}

#[test]
fn nonsense_on_the_command_line_is_exit_2() {
    for words in [&["keys", "create", "--tenant", "No Tenant"][..], &["fly"], &["send"], &[], &["check"]] {
        let ran = gateway(words);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{words:?}: {}", ran.err);
    }
}

#[test]
fn help_and_version_are_data() {
    for words in [&["--help"][..], &["send", "--help"], &["--version"], &["version"]] {
        let ran = gateway(words);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{words:?}");
        assert!(ran.out.contains("gateway"), "{}", ran.out);
    }
    let version = gateway(&["version", "-o", "json"]).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn codes_of_faults_and_of_refusals_are_explained() {
    let fault = gateway(&["explain", "e104"]);
    assert!(fault.code == 0 && fault.out.starts_with("E104: unknown key"), "{}", fault.out);
    let refusal = gateway(&["explain", "recipient_rate_limited", "-o", "json"]);
    assert_eq!(refusal.json()["code"], "recipient_rate_limited");
    let unknown = gateway(&["explain", "E999"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (1, ""));
}

#[test]
fn without_a_gateway_the_way_to_one_is_told() {
    for words in [&["messages", "list"][..], &["inbox", "list"], &["send", "--to", "+447700900000", "--text", "1"]] {
        let ran = gateway(words);
        assert_eq!(ran.code, 2, "{words:?}");
        assert!(ran.err.contains("gateway dev"), "{}", ran.err);
    }
}
