//! Every code a configuration fault or warning can have, with its explanation: one table, which
//! `gateway explain CODE` prints and the reports cite. A code never changes its meaning.

/// One kind of fault (`E…`) or warning (`W…`).
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Such as `E104`.
    pub code: &'static str,
    /// What to do about it.
    pub fix: &'static str,
    /// In one line.
    pub title: &'static str,
    /// Why it is refused, or warned of.
    pub why: &'static str,
}

impl Code {
    /// Warnings stop nothing.
    pub fn is_warning(&self) -> bool {
        self.code.starts_with('W')
    }
}

/// What `gateway explain` prints; `None` for a code that does not exist. Case does not matter.
pub fn explain(code: &str) -> Option<String> {
    let found = CODES.iter().find(|known| known.code.eq_ignore_ascii_case(code.trim()))?;
    let Code { code, fix, title, why } = found;
    Some(format!("{code}: {title}\n\n{why}\n\nWhat to do: {fix}\n"))
}

/// Declares the codes: a constant each, and the table.
macro_rules! codes {
    ($($name:ident $code:literal, $title:literal, $why:literal, $fix:literal;)*) => {
        $(
            #[doc = $title]
            pub static $name: Code = Code { code: $code, fix: $fix, title: $title, why: $why };
        )*

        /// All codes, in their order.
        pub static CODES: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    NOT_TOML "E101", "the file is not TOML",
        "A configuration file has a syntax error, so nothing in it can be read.",
        "Correct the line the caret points at. Strings need quotes; a table's header stands alone on its line; a key may stand only once.";
    UNREADABLE "E102", "a configuration file or directory cannot be read",
        "It does not exist, is no UTF-8 text, is larger than 4 MiB, or the user the gateway runs as may not read it.",
        "Check the path and the permissions (`ls -l PATH`).";
    LIST_OVERRIDE "E103", "an environment variable or flag reaches into a list of tables",
        "Entries of a list have no stable name, so a variable such as GATEWAY__ROUTES__0__ID could change another entry than the one meant.",
        "Change the entry in a file, or add a file with another entry to the configuration directory.";
    UNKNOWN_KEY "E104", "unknown key",
        "No such key exists at this place. It is refused rather than ignored, because a misspelled key would silently leave its default in force.",
        "Take the suggestion, or remove the key. `gateway config schema` lists every key.";
    MISSING_KEY "E105", "a key is missing",
        "This table cannot be used without it, and no default would be right for everybody.",
        "Add the key.";
    INVALID_VALUE "E106", "a value has the wrong type or form",
        "The value cannot be understood, or lies outside what is allowed.",
        "Write it as the message says. Durations are \"3s\", \"500ms\", \"1h30m\"; rates \"200/s\"; limits \"5/10m\"; sizes \"64KiB\".";
    INVALID_ID "E107", "a name is not lower-case letters, digits and underscores, a letter first",
        "Names of tenants, providers, routes, limits and templates appear in metrics, URLs and environment variables (which know no case), so they are made of lower-case letters, digits and underscores.",
        "Rename it, here and wherever it is referred to.";
    DUPLICATE_ID "E108", "two entries have the same id",
        "Explanations and metrics would mix them up. Files of the configuration directory add to the lists of the main file.",
        "Rename one of the two.";
    CONTRADICTION "E109", "two values contradict each other",
        "Both cannot hold, and guessing which one was meant would be dangerous.",
        "Remove one of the two.";
    NO_SUCH_TENANT "E111", "a tenant is not defined",
        "A name refers to a tenant that has no [tenants.NAME] table.",
        "Correct the name or define the tenant.";
    NO_SUCH_PROVIDER "E112", "a provider is not defined",
        "A route uses a provider that has no [providers.NAME] table.",
        "Correct the name or define the provider.";
    NO_SUCH_TEMPLATE "E113", "a template is not defined",
        "A route or tenant names a template that has no [templates.NAME] table.",
        "Correct the name or define the template.";
    NO_SUCH_KIND "E114", "this build has no such kind of provider",
        "`kind` names the implementation, the table's own name is free.",
        "Take one of the kinds listed.";
    BAD_TEMPLATE "E115", "a template cannot be compiled",
        "Texts are minijinja templates: variables stand in {{ }}, conditions in {% %}.",
        "Correct the template at the line the message names.";
    INSECURE_URL "E116", "an http:// URL leads to another machine",
        "Credentials, numbers and codes would cross the network in clear. http:// is fine for this machine (localhost, 127.0.0.0/8, ::1).",
        "Write https://, or add `insecure = true` to the provider if the network between is trusted.";
    NO_PROVIDER "E117", "a route uses no provider",
        "A route that matches decides, so a message on it could never be sent.",
        "Add `use = [\"NAME\"]` or `split = { NAME = 80, OTHER = 20 }`.";
    DUPLICATE_PROVIDER "E118", "a route uses a provider twice",
        "A provider that failed is not asked again for the same message by fail-over, so a second mention has no effect.",
        "Remove one of the two.";
    DUPLICATE_KEY "E119", "an API key belongs to two tenants",
        "A key must tell who asks.",
        "Create another key with `gateway keys create` for one of the two.";
    INLINE_SECRET "E120", "a secret stands in the file in clear",
        "Configuration files are copied, committed and shown; secrets in them leak.",
        "Write { env = \"NAME\" }, { file = \"PATH\" } or { credential = \"NAME\" }, and replace the secret: it has been in a file. Only `gateway dev` takes secrets in clear.";
    EMPTY_SECRET "E121", "a secret is not set, or empty",
        "The environment variable, file or credential referred to holds nothing, so every call with it would fail.",
        "Set it for the user the gateway runs as; for systemd see LoadCredential= and EnvironmentFile=.";
    UNREADABLE_SECRET "E122", "a secret's file or credential cannot be read",
        "The file does not exist, may not be read by the user the gateway runs as, or no credentials were handed over ($CREDENTIALS_DIRECTORY).",
        "Check the path, its permissions, or LoadCredential= of the unit.";
    MOCK_IN_SERVE "W201", "a mock provider in a configuration to serve with",
        "The mock delivers to its inbox only: messages routed to it reach nobody.",
        "Fine for tests. Else remove it from the routes.";
    NO_KEYS "W202", "a tenant nobody can use",
        "Without a key no request can be of this tenant.",
        "Run `gateway keys create --tenant NAME` and add the line it prints.";
    NO_PUBLIC_URL "W203", "no receipts will come: `server.public_url` is not set",
        "Providers are told where to report delivery only if the gateway knows how it is reached from outside; messages stay `sent`.",
        "Set server.public_url to the https:// address that leads to server.listen.";
    DOUBTFUL_TEXT "W204", "a template will most likely not do what is meant",
        "For instance, a text that names no variable reads the same in every message, so a one-time code would be missing.",
        "Use {{ code }} or {{ text }}; see the message.";
    NO_LIMITS "W205", "no limit holds",
        "`limits = []` takes the built-in limit away, so one number can be sent any number of messages.",
        "Remove the line, or write the limits you want; mode = \"shadow\" only counts.";
    UNREACHABLE_ROUTE "W206", "a route no message can reach",
        "A route before it has no conditions, so it takes every message.",
        "Move the route without conditions to the end. Files of the configuration directory add after the main file.";
    NO_ROUTES "W207", "no message can be sent: there are no routes",
        "A message that no route matches is refused with `no_route`.",
        "Add a [[routes]] entry with `use`.";
    GUARD_NOT_BUILT "W208", "the guard refuses nothing in this version",
        "This version does not yet act on abuse it suspects; limits and countries hold all the same.",
        "Write mode = \"shadow\" or \"off\".";
    NO_SUCH_COUNTRY "W209", "no country with telephone numbers has this code",
        "The value has the form of a country, but nothing will ever match it.",
        "Countries are written as the two letters of ISO 3166: \"DE\", \"GB\", \"US\".";
    PREFER_NOT_BUILT "W210", "a preference this version does not follow",
        "This version knows no prices, so it takes the route's providers in the order written, or by `split`. It does choose by measured delivery or latency.",
        "Write prefer = \"delivery\" or \"latency\", or the providers in the order of their price without `prefer`.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_explained() {
        let codes: Vec<_> = CODES.iter().map(|code| code.code).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
        for code in CODES {
            assert!(!code.title.is_empty() && !code.why.is_empty() && !code.fix.is_empty());
        }
    }

    #[test]
    fn explain_knows_every_code_and_no_other() {
        assert!(explain("e104").unwrap().starts_with("E104: unknown key\n"));
        assert_eq!(explain("E999"), None);
    }
}
