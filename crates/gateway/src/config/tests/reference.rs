//! `config/gateway.toml`, the examples, the published schema.

use super::*;
use crate::config::{REFERENCE, schema};

const EXAMPLES: [(&str, &str); 4] = [
    ("auth0-mitto.toml", include_str!("../../../../../config/examples/auth0-mitto.toml")),
    ("cluster.toml", include_str!("../../../../../config/examples/cluster.toml")),
    ("minimal.toml", include_str!("../../../../../config/examples/minimal.toml")),
    ("two-tenants.toml", include_str!("../../../../../config/examples/two-tenants.toml")),
];

/// The reference with its `#key` lines in force.
fn in_full() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    REFERENCE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// With the real providers and templates: the reference documents their keys too.
fn wired(sources: &Sources<'_>) -> Loaded {
    crate::wiring::load(sources).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn what_this_version_does_not_do_is_told() {
    let toml = format!("{MINIMAL}[[routes]]\nid = \"r\"\nuse = [\"mitto\"]\nprefer = \"cost\"\n");
    assert!(warnings(&loaded(&sources(vec![text("gateway.toml", &toml)]))).contains(&"W210"));
}

#[test]
fn a_store_is_a_file_or_postgresql() {
    for url in ["sqlite:data/gateway.db", "postgres://db/sms", "postgresql://a:5432,b:5432/sms"] {
        loaded(&sources(vec![text("gateway.toml", &format!("{MINIMAL}[store]\nurl = \"{url}\"\n"))]));
    }
    for url in ["mysql://db/sms", "data/gateway.db", "redis:x"] {
        let toml = format!("{MINIMAL}[store]\nurl = \"{url}\"\n");
        assert_eq!(codes(&refused(&sources(vec![text("gateway.toml", &toml)]))), ["E106 store.url"]);
    }
}

#[test]
fn the_reference_is_the_built_in_default() {
    assert_eq!(config(REFERENCE), Config::default());
}

#[test]
fn the_reference_in_full_is_valid() {
    let loaded = wired(&sources(vec![text("config/gateway.toml", &in_full())]));
    assert_eq!(warnings(&loaded), ["W201"]);
    let defaults = loaded.config.providers.get("backup").unwrap();
    let written = loaded.config.providers.get("mitto").unwrap();
    assert_eq!(
        (written.common.timeout, written.common.concurrency),
        (defaults.common.timeout, defaults.common.concurrency),
        "the defaults that comments tell are the program's"
    );
    let [with, without] = [1, 0].map(|at| loaded.config.routes.get(at).unwrap().clone());
    assert_eq!(
        (with.prefer, with.unknown_wait, with.max_copies),
        (without.prefer, without.unknown_wait, without.max_copies)
    );
}

/// Key paths of the schema, list entries and names as `*`.
fn schema_keys(schema: &serde_json::Value, root: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
    let resolved = match schema.get("$ref").and_then(|reference| reference.as_str()) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, inner) in resolved.get("properties").and_then(|properties| properties.as_object()).into_iter().flatten() {
        keys.push(join(key));
        schema_keys(inner, root, &join(key), keys);
    }
    for inner in ["additionalProperties", "items"].iter().filter_map(|key| resolved.get(key)) {
        schema_keys(inner, root, &join("*"), keys);
    }
    for inner in resolved.get("anyOf").and_then(|any| any.as_array()).into_iter().flatten() {
        schema_keys(inner, root, path, keys);
    }
}

#[test]
fn every_key_of_the_schema_stands_in_the_reference() {
    let schema = schema::json_schema();
    let mut keys = Vec::new();
    schema_keys(&schema, &schema, "", &mut keys);
    assert!(keys.len() > 80, "{keys:?}");
    let written = wired(&sources(vec![text("reference", &in_full())])).show(false);
    let names = |path: &str| -> String {
        let (mut out, parts) = (Vec::new(), path.split('.'));
        for part in parts {
            out.push(part.split('[').next().unwrap().to_owned());
            out.extend(part.matches('[').map(|_| "*".to_owned()));
        }
        out.join(".")
    };
    let mut known = std::collections::BTreeSet::new();
    for line in written.lines() {
        let steps: Vec<String> = names(line.split(" = ").next().unwrap()).split('.').map(str::to_owned).collect();
        for length in 1..=steps.len() {
            let with_names = |at: usize, step: &String| {
                let is_name = at == 1 && matches!(steps[0].as_str(), "providers" | "templates" | "tenants");
                let client = at == 3 && steps.get(2).is_some_and(|step| step == "client");
                let free = steps
                    .get(at.wrapping_sub(1))
                    .is_some_and(|step| matches!(step.as_str(), "metadata" | "split" | "sender_by_country"));
                if is_name || client || free { "*".to_owned() } else { step.clone() }
            };
            let path: Vec<String> =
                steps.iter().take(length).enumerate().map(|(at, step)| with_names(at, step)).collect();
            known.insert(path.join("."));
        }
    }
    // A reference to a secret has one of three keys; which one is the example's choice.
    let secret = |key: &str| key.rsplit('.').next().is_some_and(|last| matches!(last, "credential" | "env" | "file"));
    let missing: Vec<_> = keys.iter().filter(|key| !secret(key) && !known.contains(*key)).collect();
    assert!(missing.is_empty(), "not in config/gateway.toml: {missing:?}");
}

#[test]
fn the_examples_load() {
    for (name, example) in EXAMPLES {
        let loaded = wired(&sources(vec![text(name, example)]));
        let expected: &[&str] = if name == "minimal.toml" { &["W203"] } else { &[] };
        assert_eq!(warnings(&loaded), expected, "{name}\n{}", loaded.warnings);
        assert!(!loaded.config.routes.is_empty());
    }
}

#[test]
fn the_schema_refuses_unknown_keys_and_leaves_providers_open() {
    let schema = schema::json_schema();
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    let provider = schema.pointer("/$defs/Common").unwrap();
    assert!(provider.get("additionalProperties").is_none());
    assert_eq!(provider["required"], serde_json::json!(["kind"]));
    let server = schema.pointer("/$defs/Server/properties/drain").unwrap();
    assert!(server["description"].as_str().unwrap().starts_with("How long a stop may take"));
}
