//! Every key that a kind of provider understands stands in the reference file, so that an operator finds it. The keys of
//! the gateway itself are held by a test of its own, which has the schema at hand.

use super::Fault;
use super::tree::{Tree, before_tests};

/// The keys of one kind of provider.
const OF_A_KIND: &str = "/src/config.rs";
const REFERENCE: &str = "config/gateway.toml";

/// A key nobody can find is a key nobody uses.
pub(crate) fn every_key_is_in_the_reference(tree: &Tree) -> Vec<Fault> {
    let reference = tree.text(REFERENCE).unwrap_or_default();
    let mut faults = Vec::new();
    let mut keys = 0;
    for (path, text) in tree.rust().filter(|(path, _)| path.ends_with(OF_A_KIND)) {
        for (line, key) in keys_of(text) {
            keys += 1;
            if !has_key(reference, &key) {
                faults.push(Fault::new(format!("{path}:{line}"), format!("key `{key}` is not in {REFERENCE}")));
            }
        }
    }
    if keys == 0 {
        faults.push(Fault::new(OF_A_KIND, "no kind of provider has keys that can be read"));
    }
    faults
}

/// The public fields of structs that refuse unknown keys, by the name they are read under.
fn keys_of(text: &str) -> Vec<(usize, String)> {
    let (mut keys, mut reads, mut inside, mut renamed) = (Vec::new(), false, false, None);
    for (number, line) in before_tests(text) {
        let code = line.trim();
        if line.starts_with("pub struct ") {
            inside = reads && line.ends_with('{');
            reads = false;
        } else if line.starts_with('}') {
            inside = false;
        } else if code.starts_with("#[serde(") {
            reads |= code.contains("deny_unknown_fields");
            renamed = code.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
        } else if let Some(field) = code.strip_prefix("pub ").and_then(|field| field.split_once(':')).filter(|_| inside)
        {
            keys.push((number, renamed.take().unwrap_or(field.0).to_owned()));
        }
    }
    keys
}

/// Whether `key` is set in the text, as a key, in a table's name or inside an inline table; examples count.
fn has_key(text: &str, key: &str) -> bool {
    let is_key = |word: &str| word == key;
    text.lines().map(|line| line.trim_start_matches('#').trim_start()).any(|line| match line.strip_prefix('[') {
        Some(header) => header.trim_start_matches('[').split(']').next().unwrap_or_default().split('.').any(is_key),
        None => line.split(['=', '{', ',']).any(|part| part.trim().split('.').any(is_key)) && line.contains('='),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRUCTS: &str = "\
/// One.
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Named so.
    pub id: String,
    #[serde(default, rename = \"use\")]
    pub uses: Vec<String>,
    #[serde(default)]
    pub when: When,
    pub ttl: Ttl,
}

/// Nobody reads it.
pub struct Provider {
    pub common: Common,
}
";

    #[test]
    fn a_key_that_the_reference_lacks_is_told() {
        let reference = "#[[routes]]\n#id = \"a\"\n# use it well\n#[routes.when]\n#x = { ttl = 1 }\n";
        let tree = Tree::from([("crates/mitto/src/config.rs", STRUCTS), (REFERENCE, reference)]);
        let faults = every_key_is_in_the_reference(&tree);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults.first().unwrap().what, "key `use` is not in config/gateway.toml");
    }

    #[test]
    fn a_schema_that_cannot_be_read_is_told() {
        assert_eq!(every_key_is_in_the_reference(&Tree::from([(REFERENCE, "")])).len(), 1);
    }
}
