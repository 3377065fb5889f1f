//! Files and directories: unreadable, broken, empty, several.

use std::fs;

use sms_core::Country;

use super::*;

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("latin1.toml"), b"a = \"\xe9\"").unwrap();
    let missing = dir.path().join("none.toml");
    let files = vec![
        Input::File(missing.clone()),
        Input::File(dir.path().join("latin1.toml")),
        Input::File(dir.path().to_owned()),
    ];
    let report = refused(&Sources { dir: Some(dir.path().join("no-dir")), ..sources(files) });
    assert_eq!(codes(&report), ["E102 ", "E102 ", "E102 ", "E102 "]);
    let shown = report.to_text();
    assert!(
        shown.contains(&format!("cannot read {}", missing.display())) && shown.contains("entity not found"),
        "{shown}"
    );
    assert!(report.to_json()["errors"][0]["line"].is_null());
}

#[test]
fn what_is_not_toml_has_a_caret() {
    let report = refused(&sources(vec![
        text("a.toml", "[server\nlisten = 1\n"),
        text("b.toml", "x = \n"),
        text("c.toml", "a = 1\na = 2\n"),
    ]));
    assert_eq!(codes(&report), ["E101 ", "E101 ", "E101 "]);
    let shown = report.to_text();
    for place in ["a.toml:1:", "b.toml:1:", "c.toml:2:1"] {
        assert!(shown.contains(&format!("--> {place}")), "{place}\n{shown}");
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    let loaded = loaded(&sources(vec![text("empty.toml", "")]));
    assert_eq!(loaded.config, Config::default());
    assert_eq!(warnings(&loaded), ["W207"]);
}

#[test]
fn fragments_append_lists_and_override_values_in_file_name_order() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("gateway.toml");
    fs::write(&main, MINIMAL.to_owned() + "[server]\ndrain = \"10s\"\n").unwrap();
    let fragments = dir.path().join("conf.d");
    fs::create_dir(&fragments).unwrap();
    fs::write(
        fragments.join("20-b.toml"),
        "[server]\ndrain = \"30s\"\n[[routes]]\nid = \"b\"\nuse = [\"mitto\", \"nope\"]\n",
    )
    .unwrap();
    fs::write(
        fragments.join("10-a.toml"),
        "[server]\ndrain = \"20s\"\n[[routes]]\nid = \"a\"\nuse = [\"mitto\"]\nwhen = { country = \"XX1\" }\n",
    )
    .unwrap();
    fs::write(fragments.join(".hidden.toml"), "broken").unwrap();
    fs::write(fragments.join("note.txt"), "broken").unwrap();
    let sources = Sources { dir: Some(fragments.clone()), ..sources(vec![Input::File(main)]) };
    let report = refused(&sources);
    assert_eq!(codes(&report), ["E106 routes[1].when.country", "E112 routes[2].use[1]"]);
    let shown = report.to_text();
    assert!(shown.contains("10-a.toml:6:20"), "{shown}");
    assert!(shown.contains("20-b.toml:5:17"), "{shown}");
    fs::write(fragments.join("10-a.toml"), "[[routes]]\nid = \"a\"\nuse = [\"mitto\"]\n").unwrap();
    fs::write(fragments.join("20-b.toml"), "[server]\ndrain = \"30s\"\n[[routes]]\nid = \"b\"\nuse = [\"mitto\"]\n")
        .unwrap();
    let loaded = loaded(&sources);
    let ids: Vec<_> = loaded.config.routes.iter().map(|route| route.id.as_str()).collect();
    assert_eq!(ids, ["default", "a", "b"]);
    assert_eq!(loaded.config.server.drain.to_string(), "30s");
    assert_eq!(loaded.documents(), 3);
    let shown = loaded.show(true);
    assert!(
        shown.contains("20-b.toml:2\n") && shown.contains("routes[2].id = \"b\"") && shown.contains("20-b.toml:4\n"),
        "{shown}"
    );
}

#[test]
fn a_list_in_a_later_file_replaces_unless_it_is_of_tables() {
    let first = "[countries]\nallow = [\"DE\", \"AT\"]\n[tenants.a]\nkeys = [{ env = \"A\" }]\n";
    let second = "[countries]\nallow = [\"CH\"]\n[tenants.a]\nkeys = [{ env = \"B\" }]\nname = \"A\"\n";
    let loaded = loaded(&sources(vec![text("1.toml", first), text("2.toml", second)]));
    let allowed: Vec<_> = loaded.config.countries.allow.iter().map(Country::as_str).collect();
    assert_eq!(allowed, ["CH"]);
    let tenant = loaded.config.tenants.get("a").unwrap();
    assert_eq!(
        (tenant.keys.len(), tenant.name.as_deref()),
        (2, Some("A")),
        "keys of both files hold during a rotation"
    );
}

#[test]
fn a_fault_in_a_table_of_two_files_points_at_the_right_one() {
    let first = "[providers.mitto]\nkind = \"mitto\"\n";
    let second = "# more\n[providers.mitto]\nbase_url = \"nonsense\"\n";
    let report = refused(&sources(vec![text("1.toml", first), text("2.toml", second)]));
    assert_eq!(codes(&report), ["E105 providers.mitto.api_key", "E106 providers.mitto.base_url"]);
    let shown = report.to_text();
    assert!(shown.contains("2.toml:3:12"), "{shown}");
}
