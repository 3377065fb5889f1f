//! What the operator reads: all faults and warnings at once, with `file:line:column`, a caret and a
//! repair, as text or as JSON. Holds single masked lines only, never a whole file.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet};
use serde_json::json;

use super::codes::Code;
use super::document::{Document, NotToml};
use super::mask;
use super::problem::{Point, Problem};
use super::tree::{Source, Tree, variable_of};

/// Why a configuration was refused; with its warnings.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Faults, in the order of the files.
    pub errors: Vec<Finding>,
    /// What is worth knowing but stops nothing.
    pub warnings: Vec<Finding>,
}

/// One fault or warning with its place.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind it is.
    pub code: &'static Code,
    /// How to mend it.
    pub help: String,
    /// What is wrong.
    pub message: String,
    /// Key path, such as `routes[2].use[0]`; empty for a whole file.
    pub path: String,
    /// Where; `None` for what stands in no file.
    pub place: Option<Place>,
    /// What set the value, if no file did: an environment variable or a flag.
    pub set_by: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In characters, from 1.
    pub column: usize,
    /// As given, or found in the configuration directory.
    pub file: String,
    /// From 1; 0 stands for the file as a whole.
    pub line: usize,
    /// The line, secrets masked.
    shown: String,
    /// Bytes of `shown` that the caret marks.
    span: Range<usize>,
}

impl Report {
    /// Sorts problems into their places.
    pub(super) fn new(problems: Vec<Problem>, tree: &Tree) -> Self {
        let masks = Masks::new(&problems, tree);
        let mut findings: Vec<_> = problems.into_iter().map(|problem| masks.find(problem)).collect();
        findings.sort_by_key(|(order, _)| *order);
        let (warnings, errors) =
            findings.into_iter().map(|(_, finding)| finding).partition(|finding| finding.code.is_warning());
        Self { errors, warnings }
    }

    /// For people: one block each and a last line that sums up.
    pub fn to_text(&self) -> String {
        let findings = self.errors.iter().chain(&self.warnings);
        let mut blocks: Vec<_> = findings.map(Finding::to_text).collect();
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut last = format!("{}, {}.", count(self.errors.len(), "error"), count(self.warnings.len(), "warning"));
        if !self.errors.is_empty() {
            last.push_str(" Nothing was changed.");
        }
        if let Some(first) = self.errors.first().or_else(|| self.warnings.first()) {
            last.push_str(" More: gateway explain ");
            last.push_str(first.code.code);
        }
        blocks.push(last);
        blocks.join("\n\n")
    }

    /// For machines: `{"errors":[…],"warnings":[…]}`.
    pub fn to_json(&self) -> serde_json::Value {
        let list = |findings: &[Finding]| findings.iter().map(Finding::to_json).collect::<Vec<_>>();
        json!({ "errors": list(&self.errors), "warnings": list(&self.warnings) })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl std::error::Error for Report {}

impl Finding {
    /// A fault of a file as a whole, or of a place that no path leads to.
    pub(super) fn of_file(code: &'static Code, file: String, message: String, help: impl Into<String>) -> Self {
        let place = Place { column: 0, file, line: 0, shown: String::new(), span: 0..0 };
        Self { code, help: help.into(), message, path: String::new(), place: Some(place), set_by: None }
    }

    /// A syntax error: masks the whole line behind the first `=` if it may hold a secret.
    pub(super) fn of_syntax(code: &'static Code, not_toml: NotToml) -> Self {
        let NotToml { error, name: file, text } = not_toml;
        let (line, column, shown, span) = line_of(&text, &error.span().unwrap_or(0..0), &[]);
        let from = shown.find('=').map_or(0, |equals| equals + 1);
        let hidden = if mask::is_doubtful_line(&shown) { from..shown.len() } else { 0..0 };
        let masked = mask::masked(&shown, 0, std::slice::from_ref(&hidden));
        let span = same_columns(&shown, &masked, &span);
        let place = Place { column, file, line, shown: masked, span };
        let help = error.message().lines().collect::<Vec<_>>().join(", ");
        Self {
            code,
            help,
            message: "this is not TOML".to_owned(),
            path: String::new(),
            place: Some(place),
            set_by: None,
        }
    }

    /// One block: title, place, caret, repair.
    pub fn to_text(&self) -> String {
        let level = if self.code.is_warning() { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(self.message.as_str()).id(self.code.code);
        let help = match &self.set_by {
            Some(set_by) => format!("set by {set_by}: {}", self.help),
            None => self.help.clone(),
        };
        let group = match &self.place {
            Some(place) if place.line > 0 => {
                let caret = AnnotationKind::Primary.span(place.span.clone()).label(help.as_str());
                let snippet = Snippet::source(place.shown.as_str()).line_start(place.line).path(place.file.as_str());
                title.element(snippet.annotation(caret))
            }
            Some(place) => {
                let origin = annotate_snippets::Origin::path(place.file.as_str());
                title.element(Element::from(origin)).element(Level::HELP.message(help.as_str()))
            }
            None => title.element(Level::HELP.message(help.as_str())),
        };
        Renderer::plain().render(&[group])
    }

    /// As an object; file, line and column are null where there are none.
    pub fn to_json(&self) -> serde_json::Value {
        let place = self.place.as_ref();
        let line = place.filter(|place| place.line > 0);
        json!({
            "code": self.code.code,
            "column": line.map(|place| place.column),
            "file": place.map(|place| place.file.as_str()),
            "help": self.help,
            "line": line.map(|place| place.line),
            "message": self.message,
            "path": self.path,
            "set_by": self.set_by,
        })
    }
}

/// What must not be shown, by document.
struct Masks<'a> {
    hidden: Vec<Vec<Range<usize>>>,
    tree: &'a Tree,
}

impl<'a> Masks<'a> {
    fn new(problems: &[Problem], tree: &'a Tree) -> Self {
        let mut hidden: Vec<_> = tree.documents.iter().map(mask::doubtful).collect();
        for problem in problems {
            let Some((document, spans)) = tree.place(&problem.path) else { continue };
            let Some(value) = spans.value.filter(|_| spans.depth == problem.path.steps().len()) else { continue };
            let text = document.text.get(value.clone()).unwrap_or_default();
            let is_string = text.starts_with(['"', '\'']);
            // Short values under an unknown key are durations and the like.
            let short = problem.point == Point::Key && text.len() <= SHORT_BYTES_MAX;
            if is_string
                && problem.hides
                && !short
                && let Some(list) = hidden.get_mut(document.number())
            {
                list.push(value);
            }
        }
        Self { hidden, tree }
    }

    /// The finding, and what it is sorted by: document, position; last what stands in no file.
    fn find(&self, problem: Problem) -> ((usize, usize), Finding) {
        let Problem { code, help, hides: _, path, point, title } = problem;
        let found = self.tree.place(&path);
        let exact = found.as_ref().is_some_and(|(_, spans)| spans.depth == path.steps().len());
        let set_by = match self.tree.source(&path) {
            Some(Source::Environment) => Some(variable_of(&path)),
            Some(Source::Flag(name)) => Some(name),
            Some(Source::Document(_)) | None => None,
        };
        let located = found.filter(|_| set_by.is_none()).map(|(document, spans)| {
            let span = match point {
                Point::Value if exact => spans.value.or(spans.key),
                Point::Key | Point::Value => spans.key.or(spans.value),
            };
            let span = span.unwrap_or(0..0);
            ((document.number(), span.start), self.place(document, &span))
        });
        let (order, place) = match located {
            Some((order, place)) => (order, Some(place)),
            None => ((usize::MAX, 0), None),
        };
        (order, Finding { code, help, message: title, path: path.to_string(), place, set_by })
    }

    fn place(&self, document: &Document, span: &Range<usize>) -> Place {
        let hidden = self.hidden.get(document.number()).map(Vec::as_slice).unwrap_or_default();
        let (line, column, shown, span) = line_of(&document.text, span, hidden);
        Place { column, file: document.name.clone(), line, shown, span }
    }
}

/// The line in which `span` begins: number, column, masked text, and the span's part in it.
fn line_of(text: &str, span: &Range<usize>, hidden: &[Range<usize>]) -> (usize, usize, String, Range<usize>) {
    let before = text.get(..span.start).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    let shown = mask::masked(line, start, hidden);
    let inside = (span.start - start).min(line.len())..(span.end.saturating_sub(start)).min(line.len());
    let inside = same_columns(line, &shown, &inside);
    (before.matches('\n').count() + 1, column, shown, inside)
}

/// The bytes of `shown` in the columns that `span` has in `line`: a star may be shorter than what
/// it hides.
fn same_columns(line: &str, shown: &str, span: &Range<usize>) -> Range<usize> {
    let column = |at: usize| line.char_indices().take_while(|(byte, _)| *byte < at).count();
    let byte = |column: usize| shown.char_indices().nth(column).map_or(shown.len(), |(byte, _)| byte);
    byte(column(span.start))..byte(column(span.end))
}

/// Quotes included: `"3s"`, `"500ms"`.
const SHORT_BYTES_MAX: usize = 8;
