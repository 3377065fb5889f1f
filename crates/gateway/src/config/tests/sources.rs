//! The environment and flags.

use sms_core::Sender;

use super::*;

#[test]
fn the_environment_overrides_as_text_and_the_field_converts() {
    let env = [
        ("GATEWAY__PROVIDERS__MITTO__TIMEOUT", "5s"),
        ("GATEWAY__PROVIDERS__MITTO__API_KEY", "0123"),
        ("GATEWAY__PROVIDERS__MITTO__CONCURRENCY", "7"),
        ("GATEWAY__TENANTS__ACME__SENDERS", "+447700900000, 0123"),
        ("GATEWAY__TENANTS__ACME__NAME", "0123"),
        ("GATEWAY__SERVER__LISTEN", "0.0.0.0:80"),
        ("GATEWAY__COUNTRIES__BLOCK", "KP,RU"),
        ("GATEWAY_KEY", "not ours"),
        ("PATH", "/bin"),
    ];
    let loaded = loaded(&with_env(MINIMAL, &env));
    let provider = loaded.config.providers.get("mitto").unwrap();
    assert_eq!((provider.common.timeout.to_string(), provider.common.concurrency), ("5s".to_owned(), 7));
    assert_eq!(provider.options.parse::<Mitto>().unwrap().api_key.expose(), "0123");
    let tenant = loaded.config.tenants.get("acme").unwrap();
    let senders: Vec<_> = tenant.senders.iter().map(Sender::as_str).collect();
    assert_eq!((senders, tenant.name.as_deref()), (vec!["+447700900000", "0123"], Some("0123")));
    assert_eq!(loaded.config.server.listen.port(), 80);
    assert_eq!(loaded.config.countries.block.len(), 2);
}

#[test]
fn keys_may_come_from_the_environment_as_hashes_or_clear() {
    let hash = crate::config::schema::KeyHash::of_key("another-key-of-some-length");
    let keys = format!("{hash},a-key-of-twenty-characters");
    let loaded = loaded(&with_env(MINIMAL, &[("GATEWAY__TENANTS__ACME__KEYS", &keys)]));
    assert_eq!(loaded.config.tenants.get("acme").unwrap().keys.len(), 2);
    assert!(!loaded.show(true).contains("a-key-of-twenty"), "{}", loaded.show(true));
}

#[test]
fn faults_of_variables_name_them_and_never_their_text() {
    let env = [
        ("GATEWAY__SERVER__DRAIN", "hunter2"),
        ("GATEWAY__SERVER__MAX_CONNECTIONS", "hunter2"),
        ("GATEWAY__SERVER__LISTNE", "hunter2"),
        ("GATEWAY__COUNTRIES__ALLOW", "DE,hunter2"),
        ("GATEWAY__PROVIDERS__MITTO", "hunter2"),
        ("GATEWAY__ROUTES__0__ID", "hunter2"),
        ("GATEWAY__NONSENSE", "hunter2"),
        ("GATEWAY__TENANTS__ACME__KEYS", "hunter2"),
    ];
    let report = refused(&with_env(MINIMAL, &env));
    let shown = report.to_text();
    assert!(!shown.contains("hunter2"), "{shown}");
    for (name, _) in env {
        assert!(shown.contains(&format!("set by {name}:")), "{name}\n{shown}");
    }
    assert!(shown.contains("did you mean `listen`?"), "{shown}");
    let finding = report.errors.iter().find(|finding| finding.path == "server.drain").unwrap();
    assert_eq!((finding.place.clone(), finding.set_by.as_deref()), (None, Some("GATEWAY__SERVER__DRAIN")));
}

#[test]
fn flags_win_over_the_environment() {
    let flag = |key: &str, text: &str| Flag { key: key.to_owned(), name: "--listen".to_owned(), text: text.to_owned() };
    let mut sources = with_env(MINIMAL, &[("GATEWAY__SERVER__LISTEN", "0.0.0.0:80")]);
    sources.flags = vec![flag("server.listen", "127.0.0.1:0")];
    let loaded = loaded(&sources);
    assert_eq!(loaded.config.server.listen.port(), 0);
    assert!(loaded.show(true).contains("server.listen = \"127.0.0.1:0\"  # --listen\n"), "{}", loaded.show(true));
    sources.flags = vec![flag("server.listen", "everywhere")];
    assert!(refused(&sources).to_text().contains("set by --listen: invalid socket address"));
}

#[test]
fn show_tells_every_origin_and_no_secret() {
    let toml = format!("{MINIMAL}[store]\nurl = {{ env = \"DATABASE_URL\" }}\n");
    let env = [
        ("GATEWAY__SERVER__DRAIN", "7s"),
        ("GATEWAY__PROVIDERS__MITTO__CALLBACK_SECRET", "hunter2"),
        ("GATEWAY__SERVER__OPS_TOKEN", "hunter2"),
    ];
    let shown = loaded(&with_env(&toml, &env)).show(true);
    for line in [
        "limits[0].allow[0] = \"1/30s\"  # default\n",
        "providers.mitto.api_key = (secret, from environment variable MITTO_API_KEY)  # gateway.toml:7\n",
        "providers.mitto.callback_secret = (secret)  # GATEWAY__PROVIDERS__MITTO__CALLBACK_SECRET\n",
        "server.drain = \"7s\"  # GATEWAY__SERVER__DRAIN\n",
        "server.listen = \"127.0.0.1:8080\"  # default\n",
        "server.ops_token = (secret)  # GATEWAY__SERVER__OPS_TOKEN\n",
        "store.url = (secret, from environment variable DATABASE_URL)  # gateway.toml:12\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(!shown.contains("hunter2") && !shown.contains("resolved-secret"), "{shown}");
}

#[test]
fn the_hash_changes_with_a_value_and_not_with_a_secret() {
    let hash = |env: &[(&str, &str)]| loaded(&with_env(MINIMAL, env)).hash;
    let plain = hash(&[]);
    assert_eq!(plain.len(), 12);
    assert_ne!(plain, hash(&[("GATEWAY__SERVER__DRAIN", "7s")]));
    let token = |text| hash(&[("GATEWAY__SERVER__OPS_TOKEN", text)]);
    assert_eq!(token("one"), token("two"));
}

#[test]
fn metadata_named_like_a_reference_is_no_reference() {
    let toml = format!(
        "{MINIMAL}[[routes]]\nid = \"prod\"\nuse = [\"mitto\"]\nwhen = {{ metadata = {{ env = \"UNSET\" }} }}\n"
    );
    let config = config(&toml);
    let metadata = &config.routes.last().unwrap().when.metadata;
    assert_eq!(metadata.get("env").unwrap().as_slice(), ["UNSET"]);
}

#[test]
fn a_variable_of_any_depth_is_only_an_unknown_key() {
    let deep = format!("GATEWAY{}", "__A".repeat(20_000));
    let report = refused(&with_env(MINIMAL, &[(&deep, "x"), ("GATEWAY__", "x"), ("GATEWAY____", "x")]));
    assert_eq!(codes(&report), ["E104 ", "E104 a"]);
}

#[test]
fn a_reload_tells_what_needs_a_restart() {
    let old = loaded(&with_env(MINIMAL, &[])).config;
    let env = [
        ("GATEWAY__SERVER__OPS", "127.0.0.1:1"),
        ("GATEWAY__STORE__KEEP_NUMBERS", "1d"),
        ("GATEWAY__SERVER__DRAIN", "1s"),
    ];
    let new = loaded(&with_env(MINIMAL, &env)).config;
    assert_eq!(old.needs_restart(&new), ["server.ops", "store"]);
    assert_eq!(old.needs_restart(&old), [] as [&str; 0]);
}
