//! Which upstream gets which message in which words, and whether `routes explain` says the same. Every case runs through
//! one gateway with two Mitto accounts and a mock.
#![expect(clippy::expect_used, reason = "helpers of tests stop where their surroundings fail")]

use e2e::{Behaviour, Gateway, Mitto, MittoSend, PATIENCE, Tenant, eventually, french, german, swiss};
use serde_json::{Value, json};

const TEMPLATES: &str = r#"
[templates.otp]
en = "{{ code }} is your {{ client_name }} code."
fr = "{{ code }} est votre code {{ client_name }}."
[templates.otp.client.ios_app]
en = "<#> {{ code }} is your code."
fr-CA = "<#> {{ code }} est ton code."

[templates.welcome]
en = "Welcome to {{ client_name }}: {{ code }}"
de = "Willkommen bei {{ client_name }}: {{ code }}"
"#;

/// Silence lasts 400 ms, and the second copy goes out 400 ms later.
const PROVIDER: &str = "timeout = \"400ms\"";
const ROUTE: &str = "unknown_wait = \"400ms\"";

struct World {
    a: Mitto,
    b: Mitto,
    gateway: Gateway,
}

impl World {
    async fn start() -> Self {
        let (a, b) = (Mitto::start(), Mitto::start());
        let acme = Tenant::new("acme").set("name = \"Acme\"").set("template = \"otp\"");
        let globex = Tenant::new("globex").set("name = \"Globex\"").set("senders = [\"Globex\"]");
        let globex = globex.set("languages = [\"de\", \"en\"]").set("template = \"welcome\"");
        let plain = Tenant::new("plain").set("senders = [\"Plain\"]");
        let route = |lines: &str| format!("{lines}\n{ROUTE}");
        let gateway = Gateway::builder()
            .tenant(acme)
            .tenant(globex)
            .tenant(plain)
            .mitto_with("a", &a, PROVIDER)
            .mitto_with("b", &b, PROVIDER)
            .mitto_with("globex_only", &b, "tenants = [\"globex\"]")
            .mock("inbox")
            .route("fiction", &route("when = { prefix = \"+447700\" }\nuse = [\"a\", \"inbox\"]"))
            .route("ios_french", &route("when = { client_id = \"ios_app\", language = \"fr\" }\nuse = [\"b\", \"a\"]"))
            .route("apps", &route("when = { client_id = [\"ios_app\", \"tv_app\"] }\nuse = [\"a\", \"b\"]"))
            .route("b_alone", &route("when = { client_id = \"solo\" }\nuse = [\"b\"]"))
            .route("reserved", &route("when = { client_id = \"reserved\" }\nuse = [\"globex_only\"]"))
            .route("receipts", &route("when = { class = \"transactional\" }\nuse = [\"b\", \"a\"]"))
            .route("globex", &route("when = { tenant = \"globex\" }\nuse = [\"globex_only\", \"a\"]"))
            .route(
                "germanic",
                &route("when = { country = [\"DE\", \"AT\"] }\nuse = [\"b\", \"a\"]\ntemplate = \"welcome\""),
            )
            .route("french", &route("when = { language = \"fr\" }\nuse = [\"a\"]"))
            .route("bern", &route("when = { prefix = \"+417931\" }\nuse = [\"b\"]"))
            .route("default", &route("use = [\"a\", \"b\"]"))
            .toml(TEMPLATES)
            .start()
            .await;
        Self { a, b, gateway }
    }

    /// Scripts both accounts for one number.
    fn behave(&self, to: &str, behaviours: [Behaviour; 2]) {
        self.a.behave_for(to, behaviours[0]);
        self.b.behave_for(to, behaviours[1]);
    }

    fn upstream(&self, provider: &str) -> &Mitto {
        if provider == "a" { &self.a } else { &self.b }
    }

    /// What `gateway routes explain -o json` says.
    fn explain(&self, case: &Case) -> Value {
        let config = self.gateway.config_path();
        let mut args = vec!["routes", "explain", "--config", config.to_str().expect("UTF-8")];
        args.extend(["--tenant", case.tenant, "--to", &case.to, "-o", "json"]);
        let optional = [
            ("--client-id", case.client_id),
            ("--language", case.language),
            ("--class", case.class),
            ("--channel", case.channel),
        ];
        args.extend(optional.into_iter().filter_map(|(flag, value)| Some([flag, value?])).flatten());
        let output = self.gateway.cli(&args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON on stdout")
    }
}

/// One request and what must become of it.
#[derive(Clone, Debug)]
struct Case {
    tenant: &'static str,
    to: String,
    client_id: Option<&'static str>,
    language: Option<&'static str>,
    class: Option<&'static str>,
    channel: Option<&'static str>,
    behaviours: [Behaviour; 2],
    rule: &'static str,
    /// `provider outcome` of each attempt.
    attempts: &'static [&'static str],
    status: &'static str,
    text: &'static str,
}

impl Case {
    /// Accepted by whoever is asked.
    fn new(to: String, rule: &'static str, attempts: &'static [&'static str], text: &'static str) -> Self {
        Self {
            tenant: "acme",
            to,
            client_id: None,
            language: None,
            class: None,
            channel: None,
            behaviours: [Behaviour::Accept; 2],
            rule,
            attempts,
            status: "sent",
            text,
        }
    }

    fn client(self, client_id: &'static str) -> Self {
        Self { client_id: Some(client_id), ..self }
    }

    fn language(self, language: &'static str) -> Self {
        Self { language: Some(language), ..self }
    }

    fn tenant(self, tenant: &'static str) -> Self {
        Self { tenant, ..self }
    }

    fn transactional(self) -> Self {
        Self { class: Some("transactional"), ..self }
    }

    fn behave(self, a: Behaviour, b: Behaviour) -> Self {
        Self { behaviours: [a, b], ..self }
    }

    fn ends(self, status: &'static str) -> Self {
        Self { status, ..self }
    }

    fn body(&self) -> Value {
        let mut body = json!({ "to": self.to, "variables": { "code": "482913" } });
        let fields = body.as_object_mut().expect("an object");
        let optional = [
            ("client_id", self.client_id),
            ("language", self.language),
            ("class", self.class),
            ("channel", self.channel),
        ];
        fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))));
        body
    }
}

const EN: &str = "482913 is your Acme code.";
const FR: &str = "482913 est votre code Acme.";
const IOS: &str = "<#> 482913 is your code.";

fn selection() -> Vec<Case> {
    vec![
        Case::new(swiss(1), "default", &["a accepted"], EN),
        Case::new(swiss(2), "default", &["a accepted"], EN).client("web"),
        Case::new(swiss(3), "default", &["a accepted"], EN).language("de"),
        Case::new(swiss(4), "french", &["a accepted"], FR).language("fr"),
        Case::new(swiss(5), "french", &["a accepted"], FR).language("fr-CA"),
        Case::new(swiss(6), "french", &["a accepted"], FR).language("fr_CH").client("web"),
        Case::new(swiss(7), "apps", &["a accepted"], IOS).client("ios_app"),
        Case::new(swiss(8), "apps", &["a accepted"], IOS).client("ios_app").language("en-GB"),
        Case::new(swiss(9), "apps", &["a accepted"], EN).client("tv_app").language("it"),
        Case::new(swiss(10), "apps", &["a accepted"], FR).client("tv_app").language("fr"),
        Case::new(swiss(11), "ios_french", &["b accepted"], FR).client("ios_app").language("fr"),
        Case::new(swiss(12), "ios_french", &["b accepted"], "<#> 482913 est ton code.")
            .client("ios_app")
            .language("fr-CA"),
        Case::new(swiss(13), "b_alone", &["b accepted"], EN).client("solo"),
        Case::new(swiss(3_100_000), "bern", &["b accepted"], EN),
        Case::new(swiss(3_100_001), "french", &["a accepted"], FR).language("fr"),
        Case::new(german(1), "germanic", &["b accepted"], "Welcome to Acme: 482913"),
        Case::new(german(2), "germanic", &["b accepted"], "Willkommen bei Acme: 482913").language("de-AT"),
        Case::new(german(3), "apps", &["a accepted"], EN).client("tv_app"),
        Case::new(french(1), "default", &["a accepted"], EN),
        Case::new(swiss(14), "receipts", &["b accepted"], EN).transactional(),
        Case::new(german(4), "receipts", &["b accepted"], EN).transactional(),
        Case::new(swiss(15), "globex", &["globex_only accepted"], "Willkommen bei Globex: 482913").tenant("globex"),
        Case::new(swiss(16), "globex", &["globex_only accepted"], "Welcome to Globex: 482913")
            .tenant("globex")
            .language("en-US"),
        Case::new(swiss(17), "apps", &["a accepted"], "Willkommen bei Globex: 482913")
            .tenant("globex")
            .client("ios_app"),
        Case::new(swiss(18), "reserved", &["globex_only accepted"], "Willkommen bei Globex: 482913")
            .tenant("globex")
            .client("reserved"),
    ]
}

fn fail_over() -> Vec<Case> {
    use Behaviour::{
        Accept, BadCredentials, Garbage, HangAfterRead, RejectContent, RejectNumber, ResetAfterRead, ServerError,
    };
    let default = |n: u32, attempts| Case::new(swiss(n), "default", attempts, EN);
    vec![
        default(50, &["a refused", "b accepted"]).behave(RejectContent, Accept),
        default(51, &["a refused", "b refused"]).behave(RejectContent, RejectContent).ends("failed"),
        default(52, &["a refused"]).behave(RejectNumber, Accept).ends("rejected"),
        default(53, &["a unknown", "b accepted"]).behave(ServerError, Accept),
        default(54, &["a accepted"]).behave(Accept, ServerError),
        default(55, &["a unknown", "b accepted"]).behave(HangAfterRead, Accept),
        default(56, &["a unknown", "b unknown"]).behave(ServerError, ServerError).ends("unknown"),
        default(57, &["a accepted"]),
        default(58, &["a unknown", "b accepted"]).behave(ResetAfterRead, Accept),
        default(59, &["a unknown", "b accepted"]).behave(Garbage, Accept),
        default(60, &["a unknown", "b refused"]).behave(ServerError, RejectContent).ends("unknown"),
        default(61, &["a accepted"]),
        Case::new(swiss(62), "receipts", &["b unknown"], EN)
            .behave(Accept, ServerError)
            .transactional()
            .ends("unknown"),
        Case::new(swiss(63), "receipts", &["b unknown"], EN)
            .behave(Accept, HangAfterRead)
            .transactional()
            .ends("unknown"),
        Case::new(swiss(64), "receipts", &["b refused", "a accepted"], EN)
            .behave(Accept, RejectContent)
            .transactional(),
        Case::new(swiss(65), "b_alone", &["b unknown", "b unknown"], EN)
            .client("solo")
            .behave(Accept, ServerError)
            .ends("unknown"),
        Case::new(swiss(66), "b_alone", &["b refused"], EN).client("solo").behave(Accept, RejectContent).ends("failed"),
        // Last: the account is refused, and its breaker opens at once.
        default(67, &["a refused", "b accepted"]).behave(BadCredentials, Accept),
    ]
}

#[tokio::test]
async fn every_message_goes_where_explain_says() {
    let world = World::start().await;
    for case in selection() {
        check(&world, &case).await;
    }
}

#[tokio::test]
async fn failures_move_to_the_next_candidate_as_explained() {
    let world = World::start().await;
    for case in fail_over() {
        check(&world, &case).await;
    }
    let moved = world.gateway.metrics().await.count("gateway_provider_failovers_total", &[("from", "a"), ("to", "b")]);
    assert!(moved >= 7.0, "{moved}");
}

async fn check(world: &World, case: &Case) {
    world.behave(&case.to, case.behaviours);
    let explained = world.explain(case);
    let caller = world.gateway.tenant(case.tenant);
    let id = caller.accepted(&case.body()).await;
    let message = caller.wait_status(&id, case.status).await;

    let attempts: Vec<String> = list(&message, "attempts")
        .iter()
        .map(|attempt| format!("{} {}", word(attempt, "provider"), word(attempt, "outcome")))
        .collect();
    assert_eq!(attempts, case.attempts, "{case:?}\n{message}");
    assert_eq!((word(&message["route"], "rule"), word(&explained, "rule")), (case.rule, case.rule), "{explained}");
    let planned: Vec<&str> = list(&explained, "candidates")
        .iter()
        .filter(|c| word(c, "decision") != "skip")
        .map(|c| word(c, "provider"))
        .collect();
    assert_eq!(json!(planned), message["route"]["candidates"], "{case:?}");
    assert!(attempts.first().is_some_and(|first| planned.first().is_some_and(|planned| first.starts_with(planned))));
    assert_eq!(list(&explained, "problems").len(), 0, "{explained}");

    let wire: usize = [&world.a, &world.b].map(|upstream| upstream.sends_to(&case.to).len()).iter().sum();
    assert_eq!(wire, attempts.len(), "one attempt is one request: {case:?}");
    for attempt in case.attempts {
        let (provider, _) = attempt.split_once(' ').expect("provider and outcome");
        let sends: Vec<MittoSend> = world.upstream(provider).sends_to(&case.to);
        assert!(sends.iter().all(|send| send.text == case.text) && !sends.is_empty(), "{case:?}: {sends:?}");
    }
    agree_on_words(&explained, case);
}

/// The template that `explain` names is the one whose words arrived.
fn agree_on_words(explained: &Value, case: &Case) {
    let template = &explained["template"];
    let name = if case.text.starts_with("We") || case.text.starts_with("Wi") { "welcome" } else { "otp" };
    let language = match case.text {
        FR => "fr",
        text if text.contains("ton code") => "fr-CA",
        text if text.starts_with("Willkommen") => "de",
        _ => "en",
    };
    assert_eq!(word(template, "name"), name, "{case:?}");
    assert!(word(template, "language").eq_ignore_ascii_case(language), "{explained}");
    assert_eq!(template["client_specific"], case.text.starts_with("<#>"), "{case:?}");
}

fn list<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value.get(name).and_then(Value::as_array).unwrap_or_else(|| panic!("no list `{name}` in {value}"))
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no text `{name}` in {value}"))
}

#[tokio::test]
async fn refusals_are_explained_as_they_are_answered() {
    let world = World::start().await;
    let cases = [
        (Case::new(swiss(1), "", &[], "").client("reserved"), "no_route"),
        (Case { channel: Some("voice"), ..Case::new(swiss(2), "", &[], "") }, "channel_not_supported"),
        (Case::new("+4179".to_owned(), "", &[], ""), "invalid_recipient"),
        (Case::new("+447700900000".to_owned(), "", &[], "").client("tv_app").language("fr"), ""),
    ];
    for (case, code) in cases {
        let explained = world.explain(&case);
        let answer = world.gateway.acme().send(&case.body()).await;
        let problems = list(&explained, "problems");
        if code.is_empty() {
            assert_eq!((problems.len(), answer.status), (0, 202), "{explained} {}", answer.text());
            continue;
        }
        answer.problem(422, code);
        assert_eq!(problems.first().map(|problem| word(problem, "code")), Some(code), "{explained}");
    }
    let no_template = world.gateway.tenant("plain").send(&json!({ "to": swiss(3) })).await;
    no_template.problem(422, "invalid_request");
    let expected = world.gateway.cli(&[
        "routes",
        "explain",
        "--config",
        "gateway.toml",
        "--tenant",
        "acme",
        "--to",
        &swiss(4),
        "--expect",
        "a",
    ]);
    let unexpected = world.gateway.cli(&[
        "routes",
        "explain",
        "--config",
        "gateway.toml",
        "--tenant",
        "acme",
        "--to",
        &swiss(4),
        "--expect",
        "b",
    ]);
    assert_eq!((expected.status.code(), unexpected.status.code()), (Some(0), Some(1)), "{unexpected:?}");
}

#[tokio::test]
async fn test_numbers_go_to_a_mock_and_never_to_an_account() {
    let world = World::start().await;
    let acme = world.gateway.acme();
    let id = acme.accepted(&json!({ "to": "+447700900000", "variables": { "code": "482913" } })).await;
    let message = acme.wait_status(&id, "delivered").await;
    assert_eq!(word(&message, "provider"), "inbox");
    assert_eq!(world.gateway.code("+447700900000").await, "482913");
    assert_eq!(world.a.wire_requests() + world.b.wire_requests(), 0);
    // The same number on a route without a mock.
    let text = world.gateway.config().replace("use = [\"a\", \"inbox\"]", "use = [\"a\"]");
    world.gateway.configure(&text);
    world.gateway.operator().post_with("/admin/v1/reload", &[], &json!({})).await.expect(200).text();
    acme.send(&json!({ "to": "+447700900000", "variables": { "code": "482913" } })).await.problem(422, "test_number");
}

#[tokio::test]
async fn a_split_follows_its_weights_and_fails_over_to_the_rest() {
    let (a, b) = (Mitto::start(), Mitto::start());
    let builder = Gateway::builder().mitto("a", &a).mitto("b", &b);
    let gateway = builder.route("split", "split = { a = 80, b = 20 }").start().await;
    let acme = gateway.acme();
    for n in 0..150 {
        acme.accepted(&json!({ "to": swiss(n), "text": "hello there" })).await;
    }
    let all = async || (a.sends().len() + b.sends().len() == 150).then_some(());
    eventually("each goes to one of both", PATIENCE, all).await;
    // 80 % of 150 is 120; five standard deviations are 25.
    assert!((95..=145).contains(&a.sends().len()), "{} of 150", a.sends().len());

    a.behave(Behaviour::RejectContent);
    for n in 200..220 {
        let id = acme.accepted(&json!({ "to": swiss(n), "text": "hello there" })).await;
        let message = acme.wait_status(&id, "sent").await;
        assert_eq!(word(&message, "provider"), "b", "{message}");
    }
    let config = gateway.config_path();
    let args = [
        "routes",
        "explain",
        "--config",
        config.to_str().unwrap(),
        "--tenant",
        "acme",
        "--to",
        "+41791234567",
        "-o",
        "json",
    ];
    let explained: Value = serde_json::from_slice(&gateway.cli(&args).stdout).unwrap();
    let shares: Vec<_> =
        list(&explained, "candidates").iter().map(|c| (word(c, "provider"), c["share"].as_f64())).collect();
    assert_eq!(shares, [("a", Some(80.0)), ("b", Some(20.0))]);
}

#[tokio::test]
async fn an_account_that_is_down_costs_nobody_a_message() {
    let (a, b) = (Mitto::start(), Mitto::start());
    a.behave(Behaviour::RefuseConnect);
    let builder = Gateway::builder().mitto("a", &a).mitto("b", &b);
    let gateway = builder.route("default", "use = [\"a\", \"b\"]").start().await;
    let acme = gateway.acme();
    for n in 0..20 {
        let id = acme.accepted(&json!({ "to": swiss(n), "text": "hello there" })).await;
        assert_eq!(word(&acme.wait_status(&id, "sent").await, "provider"), "b");
    }
    assert_eq!((a.sends().len(), b.sends().len()), (0, 20));
    let open = [("provider", "a"), ("state", "open")];
    assert!((gateway.metrics().await.count("gateway_provider_circuit_state", &open) - 1.0).abs() < f64::EPSILON);
}
