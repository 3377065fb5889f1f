//! From sources to a checked [`Config`], or to a report of everything that is wrong.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path as FilePath, PathBuf};

use sms_core::options::{Node, Options, Path, SecretSource, Value, parse_all, resolve_secrets};

use super::codes;
use super::document::Document;
use super::problem::Problem;
use super::report::{Finding, Report};
use super::schema::{COMMON_KEYS, Common, Config, Provider};
use super::show;
use super::tree::{Flag, Tree, variable_of};
use super::validate::{Hooks, validate};

/// What the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `gateway dev`: secrets may stand in clear, mocks are expected.
    Dev,
    /// Everything else.
    Serve,
}

/// A configuration document.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// A text of the program's own, and what to call it in reports.
    Text {
        /// Its name.
        name: String,
        /// TOML.
        text: String,
    },
}

/// Everything a configuration is made from. Later ones win: `documents`, the files of `dir` by
/// name, `env`, `flags`.
#[derive(Clone)]
pub struct Sources<'a> {
    /// Files whose tables merge; lists of tables append.
    pub documents: Vec<Input>,
    /// A directory whose `*.toml` are read after them.
    pub dir: Option<PathBuf>,
    /// The process's variables; only `GATEWAY__…` are looked at.
    pub env: Vec<(String, String)>,
    /// Values from the command line.
    pub flags: Vec<Flag>,
    /// What it is for.
    pub mode: Mode,
    /// Where references to secrets lead.
    pub secrets: &'a (dyn SecretSource + Sync),
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("documents", &self.documents.len())
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A configuration that holds.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Changes whenever a value does, secrets aside.
    pub hash: String,
    /// What is worth knowing; its `errors` are empty.
    pub warnings: Report,
    tree: Tree,
}

impl Loaded {
    /// The configuration as `KEY = VALUE` lines, secrets hidden; with `origin`, where each is from.
    pub fn show(&self, origin: bool) -> String {
        show::show(&self.tree, origin)
    }

    /// How many documents were read.
    pub fn documents(&self) -> usize {
        self.tree.documents.len()
    }
}

/// Reads, merges and checks everything.
///
/// # Errors
/// All faults at once; nothing is half used.
pub fn load(sources: &Sources<'_>, hooks: &Hooks<'_>) -> Result<Loaded, Report> {
    let documents = read_all(sources)?;
    let inline_secrets = sources.mode == Mode::Dev;
    let mut tree = Tree::merge(documents, &sources.env, &sources.flags, inline_secrets).map_err(unmerged)?;
    let mut problems: Vec<_> = tree.strays.iter().map(stray).collect();
    let mut faults = Vec::new();
    for section in ["providers", "server", "store", "tenants"] {
        let (references, unresolved) = resolve_secrets(&mut tree.root, &Path::new().key(section), sources.secrets);
        tree.references.extend(references);
        faults.extend(unresolved);
    }
    let parsed = parse_all::<Config>(&mut tree.root);
    faults.extend(parsed.faults);
    let mut config = parsed.value.unwrap_or_default();
    config.providers = providers(&mut tree, &mut faults);
    problems.extend(faults.into_iter().map(|fault| Problem::of_fault(fault, &tree)));
    problems.extend(validate(&config, &tree, sources.mode, hooks));
    let report = Report::new(distinct(problems), &tree);
    if report.errors.is_empty() {
        let hash = show::hash(&tree);
        Ok(Loaded { config, hash, warnings: report, tree })
    } else {
        Err(report)
    }
}

/// Splits each provider's table: the common keys are parsed here, the rest is its factory's.
fn providers(
    tree: &mut Tree,
    faults: &mut Vec<sms_core::options::Fault>,
) -> std::collections::BTreeMap<String, Provider> {
    let section = Path::new().key("providers");
    let tables: Vec<_> = tree.root.table(&section).map(|(name, node)| (name.to_owned(), node.clone())).collect();
    let mut providers = std::collections::BTreeMap::new();
    for (name, node) in tables {
        let path = section.clone().key(&name);
        let (mut common, mut options) = (node.clone(), node);
        keep(&mut common, |key| COMMON_KEYS.contains(&key));
        keep(&mut options, |key| !COMMON_KEYS.contains(&key));
        let parsed = parse_all::<Common>(&mut common);
        for fault in parsed.faults {
            let fault = fault.under(&path);
            tree.root.prune(&fault.path);
            faults.push(fault);
        }
        if let Some(common) = parsed.value {
            providers.insert(name, Provider { common, options: Options::new(options, path) });
        }
    }
    providers
}

fn keep(node: &mut Node, wanted: impl Fn(&str) -> bool) {
    if let Value::Table(table) = &mut node.value {
        table.retain(|key, _| wanted(key));
    }
}

/// The same fault is often found twice: by a field and by a check.
fn distinct(problems: Vec<Problem>) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    problems.into_iter().filter(|problem| seen.insert((problem.code.code, problem.path.clone()))).collect()
}

fn stray(path: &Path) -> Problem {
    let list = path.steps().first().map_or_else(String::new, |step| Path::from(vec![step.clone()]).to_string());
    let title = format!("{} reaches into the list [[{list}]]", variable_of(path));
    Problem::at_key(&codes::LIST_OVERRIDE, path.clone(), title, "change the entry in a file")
}

/// figment's own merging of two tables cannot fail; if it does after all, say what it says.
#[expect(clippy::needless_pass_by_value, reason = "used as a function value")]
fn unmerged(error: Box<figment::Error>) -> Report {
    let finding = Finding::of_file(&codes::UNREADABLE, "configuration".to_owned(), error.to_string(), "");
    Report { errors: vec![finding], warnings: Vec::new() }
}

/// All documents, or everything that cannot be read or is no TOML.
fn read_all(sources: &Sources<'_>) -> Result<Vec<Document>, Report> {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    let mut inputs = sources.documents.clone();
    if let Some(dir) = &sources.dir {
        match fragments(dir) {
            Ok(files) => inputs.extend(files.into_iter().map(Input::File)),
            Err(error) => errors.push(unreadable(dir, &error)),
        }
    }
    for input in inputs {
        let (name, text) = match input {
            Input::File(path) => match read(&path) {
                Ok(text) => (path.display().to_string(), text),
                Err(error) => {
                    errors.push(unreadable(&path, &error));
                    continue;
                }
            },
            Input::Text { name, text } => (name, text),
        };
        match Document::parse(documents.len(), name, text) {
            Ok(document) => documents.push(document),
            Err(not_toml) => errors.push(Finding::of_syntax(&codes::NOT_TOML, *not_toml)),
        }
    }
    if errors.is_empty() { Ok(documents) } else { Err(Report { errors, warnings: Vec::new() }) }
}

/// The `*.toml` of a directory by name; hidden files (editors' and Kubernetes' own) are left out.
fn fragments(dir: &FilePath) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &FilePath) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

fn unreadable(path: &FilePath, error: &std::io::Error) -> Finding {
    let name = path.display().to_string();
    Finding::of_file(&codes::UNREADABLE, name.clone(), format!("cannot read {name}"), error.kind().to_string())
}

/// A configuration this large is a mistake.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
