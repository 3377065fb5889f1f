//! The engine's table of metrics is the only list: the operators' documentation repeats it, dashboards and alerts name
//! nothing else, and nobody emits past it. Labels in queries are `tests/deploy/metrics.py`'s business.

use std::fmt::Write as _;

use super::Fault;
use super::tree::{Tree, before_tests};

/// Where the metrics are declared.
const TABLE: &str = "crates/engine/src/telemetry/table.rs";
/// Where operators read about them; the part between the marks is generated.
pub(crate) const DOCS: &str = "deploy/metrics.md";
/// What speaks of metrics.
const READ_BY_OPERATORS: &[&str] = &["README.md", "deploy/grafana/", "deploy/metrics.md", "deploy/prometheus/"];
const BEGIN: &str = "<!-- from crates/engine/src/telemetry/table.rs by `cargo xtask tidy --fix` -->\n";
const END: &str = "<!-- end -->\n";

/// One declaration.
#[derive(Debug, PartialEq, Eq)]
struct Metric<'a> {
    kind: &'a str,
    name: &'a str,
    labels: Vec<&'a str>,
    help: &'a str,
}

/// The documentation says what the table says.
pub(crate) fn docs_list_the_table(tree: &Tree) -> Vec<Fault> {
    match regenerated(tree) {
        Some(wanted) if tree.text(DOCS) == Some(&wanted) => Vec::new(),
        Some(_) => vec![Fault::new(DOCS, format!("differs from {TABLE}: run `cargo xtask tidy --fix`"))],
        None => vec![Fault::new(DOCS, format!("has no place for the table of {TABLE}, which begins with {BEGIN:?}"))],
    }
}

/// The documentation as it should be; `None` without a place to put the table, or without a table.
pub(crate) fn regenerated(tree: &Tree) -> Option<String> {
    let (head, rest) = tree.text(DOCS)?.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    let metrics = declared(tree.text(TABLE)?);
    let mut rows = String::from("| Name | Type | Labels | What it tells |\n|---|---|---|---|\n");
    for Metric { kind, name, labels, help } in &metrics {
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        writeln!(rows, "| `{name}` | {kind} | {labels} | {help} |").unwrap_or_default(); // writing to a String cannot fail
    }
    (!metrics.is_empty()).then(|| format!("{head}{BEGIN}{rows}{END}{tail}"))
}

/// Alerts, dashboards and runbooks name what exists. A recorded series has a colon in its name.
pub(crate) fn operators_files_name_only_known_metrics(tree: &Tree) -> Vec<Fault> {
    let metrics = tree.text(TABLE).map(declared).unwrap_or_default();
    let mut faults = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| READ_BY_OPERATORS.iter().any(|part| path.starts_with(part))) {
        for (at, line) in text.lines().enumerate() {
            let unknown = named(line).filter(|name| !metrics.iter().any(|metric| metric.is_meant_by(name)));
            faults.extend(
                unknown
                    .map(|name| Fault::new(format!("{path}:{}", at + 1), format!("`{name}` is no metric of {TABLE}"))),
            );
        }
    }
    faults
}

/// What is emitted past the table has no help, no bound and no test.
pub(crate) fn raw_macros_stay_in_telemetry(tree: &Tree) -> Vec<Fault> {
    const MACROS: &[&str] = &[
        concat!("counter", "!("),
        concat!("gauge", "!("),
        concat!("histogram", "!("),
        concat!("metrics::", "counter"),
        concat!("metrics::", "gauge"),
        concat!("metrics::", "histogram"),
    ];
    let mut faults = Vec::new();
    for (path, text) in
        tree.rust().filter(|(path, _)| !path.ends_with("/telemetry.rs") && !path.contains("/telemetry/"))
    {
        for (line, code) in before_tests(text).filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(found) = MACROS.iter().find(|name| code.contains(**name)) {
                faults.push(Fault::new(format!("{path}:{line}"), format!("`{found}` outside telemetry.rs")));
            }
        }
    }
    faults
}

impl Metric<'_> {
    /// A histogram is queried by its parts. A name that ends in `_` or `*` stands for all that begin so.
    fn is_meant_by(&self, name: &str) -> bool {
        let part = name.strip_prefix(self.name);
        self.name == name
            || (name.ends_with('_') && self.name.starts_with(name))
            || (self.kind == "histogram" && part.is_some_and(|part| matches!(part, "_bucket" | "_count" | "_sum")))
    }
}

/// The declarations `kind("name", &["label"], …, "help"),` of the table, one a line or spread over several.
fn declared(text: &str) -> Vec<Metric<'_>> {
    let Some((_, list)) = text.split_once("METRICS: &[Metric] = &[") else { return Vec::new() };
    let list = list.split("\n];").next().unwrap_or_default();
    list.split_inclusive("),\n").filter_map(declaration).collect()
}

fn declaration(text: &str) -> Option<Metric<'_>> {
    let (kind, rest) = text.trim().split_once('(')?;
    let mut quoted = rest.split('"').skip(1).step_by(2);
    let name = quoted.next()?;
    let help = quoted.last()?;
    let labels = rest.split_once('[')?.1.split_once(']')?.0;
    Some(Metric { kind, name, labels: labels.split('"').skip(1).step_by(2).collect(), help })
}

/// The metric names in a line: words that begin with `gateway_`, are no path, no option and no recorded series.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '/' | '-');
    line.split(move |c: char| !is_word(c)).filter(|word| {
        word.starts_with("gateway_") && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
pub const METRICS: &[Metric] = &[
    counter("gateway_a_total", &["tenant", "country"], "Counts, in (brackets) too."),
    histogram(
        "gateway_b_seconds",
        &[],
        SECONDS,
        "Takes time.",
    ),
];
"#;

    #[test]
    fn declarations_are_read_from_the_source() {
        let metrics = declared(SOURCE);
        assert_eq!(
            metrics,
            [
                Metric {
                    kind: "counter",
                    name: "gateway_a_total",
                    labels: vec!["tenant", "country"],
                    help: "Counts, in (brackets) too."
                },
                Metric { kind: "histogram", name: "gateway_b_seconds", labels: vec![], help: "Takes time." },
            ]
        );
    }

    #[test]
    fn documentation_that_lags_behind_is_told_and_mended() {
        let stale = format!("# Metrics\n{BEGIN}| old |\n{END}More.\n");
        let tree = Tree::from([(TABLE, SOURCE), (DOCS, &*stale)]);
        assert_eq!(docs_list_the_table(&tree).len(), 1);
        let mended = regenerated(&tree).unwrap();
        assert!(mended.starts_with("# Metrics\n") && mended.ends_with("More.\n"));
        assert!(mended.contains("| `gateway_a_total` | counter | tenant, country | Counts, in (brackets) too. |\n"));
        assert_eq!(docs_list_the_table(&Tree::from([(TABLE, SOURCE), (DOCS, &*mended)])), []);
    }

    #[test]
    fn documentation_without_a_place_for_the_table_is_told() {
        assert_eq!(docs_list_the_table(&Tree::from([(TABLE, SOURCE), (DOCS, "# Metrics\n")])).len(), 1);
        assert_eq!(docs_list_the_table(&Tree::from([(TABLE, SOURCE)])).len(), 1);
    }

    #[test]
    fn a_name_that_does_not_exist_is_found_in_what_operators_get() {
        let alerts = "expr: rate(gateway_b_seconds_bucket[5m]) > gateway_gone_total\nrecord: route:gateway_sum\n\
                      `gateway_a_` and gateway_a_total{} gateway_a_total_sum\ngateway_store_key.txt\n";
        let tree = Tree::from([
            (TABLE, SOURCE),
            ("deploy/prometheus/alerts.yml", alerts),
            ("config/a.toml", "gateway_gone_total"),
        ]);
        let faults = operators_files_name_only_known_metrics(&tree);
        assert_eq!(
            faults.iter().map(|fault| &*fault.place).collect::<Vec<_>>(),
            ["deploy/prometheus/alerts.yml:1", "deploy/prometheus/alerts.yml:3"]
        );
    }

    #[test]
    fn an_emitter_outside_telemetry_is_found() {
        let code = "    metrics::counter!(\"gateway_x\").increment(1);\n    counter!(NAME).increment(1);\n// counter!( in words\n";
        let tree = Tree::from([("crates/engine/src/telemetry.rs", code), ("crates/gateway/src/ops.rs", code)]);
        let faults = raw_macros_stay_in_telemetry(&tree);
        assert_eq!(
            faults.iter().map(|fault| &*fault.place).collect::<Vec<_>>(),
            ["crates/gateway/src/ops.rs:1", "crates/gateway/src/ops.rs:2"]
        );
    }
}
