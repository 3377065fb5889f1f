//! What no single field can know: references between tables, uniqueness, bounds, and what is worth
//! a warning. Runs even when fields had faults, over what is left; a name counts as defined when its
//! table is there, faulty or not.

mod limits;
mod names;
mod providers;
mod routes;
mod templates;
mod tenants;

use std::collections::BTreeMap;

use sms_core::Country;
use sms_core::options::{Fault, Path};

use super::codes::{self, Code};
use super::load::Mode;
use super::nearest::nearest;
use super::problem::{Problem, place};
use super::schema::{Config, GuardMode, Provider, Template};
use super::tree::Tree;

/// What only other parts of the program can check.
#[derive(Clone, Copy)]
pub struct Hooks<'a> {
    /// The kinds of provider this build has.
    pub kinds: &'a [&'a str],
    /// Builds an instance as if to use it, and returns the faults of its options.
    pub provider: &'a dyn Fn(&str, &Provider) -> Vec<Fault>,
    /// Compiles the templates; what is wrong with their texts, or worth a warning.
    pub templates: &'a dyn Fn(&BTreeMap<String, Template>) -> Vec<TextFinding>,
}

/// What compiling a template's text found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFinding {
    /// The application whose text it is, where it is one's.
    pub client: Option<String>,
    /// How to mend it.
    pub help: String,
    /// The text's language; `None` for the template as a whole.
    pub language: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The template.
    pub template: String,
    /// The text can be used all the same.
    pub warning: bool,
}

impl std::fmt::Debug for Hooks<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").field("kinds", &self.kinds).finish_non_exhaustive()
    }
}

/// The configuration under inspection, and what was found so far.
struct Check<'a> {
    config: &'a Config,
    hooks: &'a Hooks<'a>,
    mode: Mode,
    problems: Vec<Problem>,
    tree: &'a Tree,
}

/// Everything that is wrong with `config` as a whole.
pub(super) fn validate(config: &Config, tree: &Tree, mode: Mode, hooks: &Hooks<'_>) -> Vec<Problem> {
    let mut check = Check { config, hooks, mode, problems: Vec::new(), tree };
    check.names();
    check.tenants();
    check.providers();
    check.routes();
    check.limits();
    check.templates();
    check.server();
    check.problems
}

impl Check<'_> {
    fn at_key(&mut self, code: &'static Code, path: Path, title: String, help: impl Into<String>) {
        self.problems.push(Problem::at_key(code, path, title, help));
    }

    fn at_value(&mut self, code: &'static Code, path: Path, title: String, help: impl Into<String>) {
        self.problems.push(Problem::at_value(code, path, title, help));
    }

    /// A value outside its bounds.
    fn bound(&mut self, path: Path, wanted: &str) {
        let key = path.last_key().unwrap_or_default().to_owned();
        let title = format!("invalid value of `{key}`{}", place(&path, self.tree));
        self.at_value(&codes::INVALID_VALUE, path, title, format!("expected {wanted}"));
    }

    /// `name`, which stands at `path`, must be a table of `section`.
    fn reference(&mut self, code: &'static Code, section: &str, path: Path, name: &str) {
        let defined = self.tree.names(section);
        if defined.contains(&name) {
            return;
        }
        let what = section.trim_end_matches('s');
        let title = format!("{what} `{name}`{} is not defined", named(&place(&path, self.tree)));
        let list = if defined.is_empty() { "nothing".to_owned() } else { defined.join(", ") };
        let help = match nearest(name, defined.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? defined: {list}"),
            None => format!("defined: {list}"),
        };
        self.at_value(code, path, title, help);
    }

    /// Two letters that no country with telephones has are most likely a slip.
    fn countries_exist(&mut self, list: &Path, countries: &[Country]) {
        for (at, country) in countries.iter().enumerate() {
            if country.calling_code().is_none() && *country != Country::UNKNOWN {
                let title = format!("no country with telephone numbers is called {country}");
                let path = self.item(list, at);
                self.at_value(
                    &codes::NO_SUCH_COUNTRY,
                    path,
                    title,
                    "countries are written as in ISO 3166, such as \"DE\"",
                );
            }
        }
    }

    /// The path of the n-th parsed entry of a list, or of the list itself where it is no list in
    /// the file: a single value, or text from the environment.
    fn item(&self, list: &Path, at: usize) -> Path {
        match self.positions(list).get(at) {
            Some(position) => list.clone().index(*position),
            None => list.clone(),
        }
    }

    /// The positions in the file of what was parsed from a list.
    fn positions(&self, path: &Path) -> Vec<usize> {
        self.tree.root.visible(path)
    }

    fn server(&mut self) {
        let (server, path) = (&self.config.server, Path::new().key("server"));
        if server.max_connections == 0 {
            self.bound(path.clone().key("max_connections"), "at least 1");
        }
        if server.body_max.as_bytes() < BODY_BYTES_MIN {
            self.bound(path.clone().key("body_max"), "at least 1KiB");
        }
        if server.listen == server.ops && server.listen.port() != 0 {
            let title = "the public and the ops listener have the same address".to_owned();
            self.at_value(&codes::CONTRADICTION, path.key("ops"), title, "give one of them another port");
        }
        let url = self.config.store.url.expose();
        if !STORES.iter().any(|scheme| url.starts_with(scheme)) {
            let wanted = "`sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`";
            self.bound(Path::new().key("store").key("url"), wanted);
        }
        let mode = self.config.guard.mode;
        if matches!(mode, GuardMode::Block | GuardMode::Challenge) {
            let title = "the guard refuses nothing in this version".to_owned();
            let path = Path::new().key("guard").key("mode");
            self.at_value(&codes::GUARD_NOT_BUILT, path, title, "it only counts, as with \"shadow\"");
        }
    }
}

/// The owner of a place, put into the middle of a sentence.
fn named(place: &str) -> String {
    match place.strip_prefix(" in ") {
        Some(owner) => format!(", named by {owner},"),
        None => String::new(),
    }
}

/// Beginnings of a store's URL.
const STORES: [&str; 3] = ["postgres://", "postgresql://", "sqlite:"];

/// A request with a number and a text has to fit.
const BODY_BYTES_MIN: u64 = 1024;
