//! Templates, compiled and tried out once when a configuration is loaded. Must never load a file or follow an include.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};
use sms_core::TenantId;

use super::choice::Chosen;
use super::guard;
use super::trial;
use super::values::Reference;
use crate::plan::Language;
use crate::request::Variables;

/// One template as the configuration has it.
#[derive(Clone, Debug, Default)]
pub struct TemplateSpec {
    /// Its name.
    pub name: String,
    /// Its texts.
    pub texts: BTreeMap<Language, String>,
    /// Texts for single applications, by client id.
    pub clients: BTreeMap<String, BTreeMap<Language, String>>,
    /// Tenants that may use it; `None`: all.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// Adds the line `@DOMAIN #CODE`, by which phones offer the code to that site only.
    pub autofill_domain: Option<String>,
    /// Variables may hold links.
    pub allow_links: bool,
}

/// What is wrong with one text of one template, and how to repair it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// The template.
    pub template: String,
    /// The application whose text it is, where it is one's.
    pub client: Option<String>,
    /// The language of the text; `None` for the whole template.
    pub language: Option<Language>,
    /// The line of the text.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to repair it.
    pub help: String,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template `{}`", self.template)?;
        if let Some(client) = &self.client {
            write!(f, ", client `{client}`")?;
        }
        if let Some(language) = &self.language {
            write!(f, ", {language}")?;
        }
        if let Some(line) = &self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// All templates of a plan.
pub struct Templates {
    environment: Environment<'static>,
    by_name: BTreeMap<String, Template>,
    warnings: Vec<TemplateFault>,
}

impl Templates {
    /// Compiles all texts and tries each out with sample values.
    ///
    /// # Errors
    /// Every fault of every text.
    pub fn compile(specs: Vec<TemplateSpec>) -> Result<Self, Vec<TemplateFault>> {
        let mut compiler = Compiler { environment: environment(), faults: Vec::new(), warnings: Vec::new(), texts: 0 };
        let by_name = specs.into_iter().map(|spec| (spec.name.clone(), compiler.template(spec))).collect();
        let Compiler { environment, faults, warnings, texts: _ } = compiler;
        if faults.is_empty() { Ok(Self { environment, by_name, warnings }) } else { Err(faults) }
    }

    /// Texts that will work, but most likely not as meant.
    pub fn warnings(&self) -> &[TemplateFault] {
        &self.warnings
    }

    /// The template of this name, where the tenant may use it.
    pub(crate) fn get(&self, name: &str, tenant: &TenantId) -> Option<&Template> {
        self.by_name.get(name).filter(|template| template.is_for(tenant))
    }

    /// The templates that the tenant may use.
    pub(crate) fn names(&self, tenant: &TenantId) -> Vec<&str> {
        self.by_name.values().filter(|template| template.is_for(tenant)).map(Template::name).collect()
    }

    /// Fills a text in.
    pub(super) fn render(&self, text: &Text, variables: Variables, guarded: bool) -> Result<String, Unrendered> {
        let template = self.environment.get_template(&text.key)?;
        if !guarded {
            return Ok(template.render(variables)?);
        }
        let (output, spans) = template.render_with_spans(variables)?;
        if guard::gains_link(&output, &spans, template.source()) { Err(Unrendered::Joined) } else { Ok(output) }
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_name.keys()).finish()
    }
}

/// Why a text could not be filled in.
pub(super) enum Unrendered {
    Failed(Error),
    /// Values that are harmless alone make a link together with what stands beside them.
    Joined,
}

impl From<Error> for Unrendered {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// One template with its compiled texts.
#[derive(Debug)]
pub(crate) struct Template {
    name: String,
    texts: BTreeMap<Language, Text>,
    clients: BTreeMap<String, BTreeMap<Language, Text>>,
    tenants: Option<BTreeSet<TenantId>>,
    autofill_domain: Option<String>,
    allow_links: bool,
}

impl Template {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn autofill_domain(&self) -> Option<&str> {
        self.autofill_domain.as_deref()
    }

    pub(super) fn allows_links(&self) -> bool {
        self.allow_links
    }

    /// The first language of `wanted` that has a text, the application's own before everybody's; else any. `None` only
    /// for a template without texts, which does not compile.
    pub(super) fn lookup(&self, wanted: impl Iterator<Item = Language>, client_id: Option<&str>) -> Option<Chosen<'_>> {
        let own = client_id.and_then(|id| self.clients.get(id));
        for language in wanted {
            let special = own.and_then(|texts| texts.get_key_value(&language)).map(|found| (found, true));
            let found = special.or_else(|| self.texts.get_key_value(&language).map(|found| (found, false)));
            if let Some(((language, text), client_specific)) = found {
                return Some(Chosen { template: self, language, client_specific, text });
            }
        }
        let (language, text) = self.texts.first_key_value()?;
        Some(Chosen { template: self, language, client_specific: false, text })
    }

    fn is_for(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

/// One compiled text.
#[derive(Debug)]
pub(crate) struct Text {
    /// Its name in the environment.
    key: String,
    references: Vec<Reference>,
    segments_plain: u16,
}

impl Text {
    /// The variables it names.
    pub(super) fn references(&self) -> &[Reference] {
        &self.references
    }

    /// It names variables whose values strangers choose.
    pub(super) fn is_guarded(&self) -> bool {
        self.references.iter().any(Reference::is_guarded)
    }

    /// Parts that it takes with ordinary values.
    pub(super) fn segments_plain(&self) -> u16 {
        self.segments_plain
    }
}

/// Ten thousand steps, or 640 kB of text: far more than any message needs, and done in a millisecond.
const FUEL: u64 = 10_000;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(true); // names the variable that is missing; costs only when one is
    for function in ["debug", "dict", "namespace", "range"] {
        environment.remove_global(function); // `debug` would print every variable
    }
    environment
}

/// Compiles texts and collects what is wrong with them.
struct Compiler {
    environment: Environment<'static>,
    faults: Vec<TemplateFault>,
    warnings: Vec<TemplateFault>,
    texts: usize,
}

/// Where a text stands.
struct Place<'a> {
    spec: &'a TemplateSpec,
    client: Option<&'a str>,
    language: Option<&'a Language>,
}

impl Place<'_> {
    fn fault(&self, line: Option<usize>, message: impl Into<String>, help: impl Into<String>) -> TemplateFault {
        TemplateFault {
            template: self.spec.name.clone(),
            client: self.client.map(str::to_owned),
            language: self.language.cloned(),
            line,
            message: message.into(),
            help: help.into(),
        }
    }
}

impl Compiler {
    fn template(&mut self, spec: TemplateSpec) -> Template {
        let whole = Place { spec: &spec, client: None, language: None };
        if spec.texts.is_empty() {
            let message = "has no text that every application can use";
            self.faults.push(whole.fault(None, message, "Add one, such as `en = \"{{ code }} is your code.\"`."));
        }
        if spec.autofill_domain.as_deref().is_some_and(|domain| !is_domain(domain)) {
            let message = "`autofill_domain` is not a bare domain name";
            self.faults.push(whole.fault(
                None,
                message,
                "Write it without scheme, port and path, such as \"acme.example\".",
            ));
        }
        let texts = self.texts(&spec, None, &spec.texts);
        let clients = spec.clients.iter();
        let clients = clients.map(|(id, texts)| (id.clone(), self.texts(&spec, Some(id), texts))).collect();
        let TemplateSpec { name, tenants, autofill_domain, allow_links, .. } = spec;
        Template { name, texts, clients, tenants, autofill_domain, allow_links }
    }

    fn texts(
        &mut self,
        spec: &TemplateSpec,
        client: Option<&str>,
        sources: &BTreeMap<Language, String>,
    ) -> BTreeMap<Language, Text> {
        let compile = |(language, source): (&Language, &String)| {
            let place = Place { spec, client, language: Some(language) };
            self.text(&place, source).map(|text| (language.clone(), text))
        };
        sources.iter().filter_map(compile).collect()
    }

    fn text(&mut self, place: &Place<'_>, source: &str) -> Option<Text> {
        let key = self.texts.to_string();
        self.texts += 1;
        if let Err(error) = self.environment.add_template_owned(key.clone(), source.to_owned()) {
            let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            let help = "Templates are written in Jinja: `{{ code }}`, `{% if action %}…{% endif %}`.";
            self.faults.push(place.fault(error.line(), message, help));
            return None;
        }
        let template = self.environment.get_template(&key).ok()?;
        let mut references: Vec<Reference> =
            template.undeclared_variables(true).iter().map(|name| Reference::parse(name)).collect();
        references.sort_unstable();
        let fault_count = self.faults.len();
        for reference in references.iter().filter(|reference| !reference.can_exist()) {
            let message = format!("there is no variable `{}`", reference.name());
            self.faults.push(place.fault(
                None,
                message,
                "Of the user there are `id`, `name`, `given_name` and `email`.",
            ));
        }
        if !references.iter().any(Reference::is_available) {
            self.warnings.push(place.fault(
                None,
                NAMES_NONE,
                format!("Name at least one of {}.", Reference::AVAILABLE),
            ));
        }
        let segments_plain = match trial::run(&template, &references, place.spec) {
            Ok(segments) => segments,
            Err(fault) => {
                self.faults.push(place.fault(fault.line, fault.message, fault.help));
                0
            }
        };
        (self.faults.len() == fault_count).then_some(Text { key, references, segments_plain })
    }
}

const NAMES_NONE: &str = "names none of the available variables, so that every message reads the same";

/// Whether the text is a host name that can stand behind the `@` of an autofill line.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}
