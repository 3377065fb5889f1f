//! A gateway without HTTP: one tenant, scripted providers, a store in memory, paused time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sms_core::store::{Charging, Entry, PurgePolicy, Record, What};
use sms_core::{
    Attempt, Body, CallbackError, CallbackRequest, Capabilities, Channel, Class, Clock, Country, DeliveryState,
    Descriptor, Encoding, Fate, Kind, LimitId, MessageId, OutboundSms, ProviderName, Receipt, ReceiptMode,
    ReceiptSink as _, SendError, Sender, SmsProvider, Status, Store, Submission, SystemClock, TenantId, UnixMs, Window,
};
use sms_engine::plan::{
    Choice, ClassTtl, Countries, Dimension, Language, Limit, Prefer, Provider, Rule, Tenant, Webhook, When,
};
use sms_engine::{
    Engine, Parts, Plan, ReceiptQueue, Refusal, SendRequest, Submitted, SystemEntropy, Templates, WebhookAnswer,
    WebhookCall, WebhookFault, WebhookPort,
};
use sms_store::MemoryStore;
use tokio::time::Instant;

/// A number that is valid everywhere.
pub(crate) const TO: &str = "+41791234567";

/// What a scripted provider does with the next message; without a script it accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Fail { kind: Kind, fate: Fate, answered: bool },
    Hang,
    Panic,
    Slow(Duration),
}

pub(crate) fn refuse(kind: Kind) -> Reply {
    Reply::Fail { kind, fate: Fate::Refused, answered: true }
}

pub(crate) fn not_sent() -> Reply {
    Reply::Fail { kind: Kind::Unavailable, fate: Fate::NotSent, answered: false }
}

pub(crate) fn server_error() -> Reply {
    Reply::Fail { kind: Kind::Unavailable, fate: Fate::Unknown, answered: true }
}

/// A provider that follows a script and remembers what reached it.
#[derive(Debug)]
pub(crate) struct Scripted {
    descriptor: Descriptor,
    script: Mutex<VecDeque<Reply>>,
    always: Mutex<Option<Reply>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    running: AtomicUsize,
    /// Most attempts at a time.
    pub(crate) peak: AtomicUsize,
    store: Mutex<Option<Arc<dyn Store>>>,
}

/// One wire request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: MessageId,
    pub(crate) attempt: u16,
    pub(crate) text: String,
    pub(crate) at: Instant,
    pub(crate) intents: usize,
    pub(crate) valid_for: Duration,
}

impl Scripted {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let capabilities = Capabilities {
            alphanumeric_sender: true,
            body_units_max: 1_530,
            channels: &[Channel::Sms],
            encodings: &[Encoding::Gsm7, Encoding::Ucs2],
            idempotent: false,
            receipts: ReceiptMode::Session,
            test_numbers: true,
            validity_period: true,
        };
        Arc::new(Self {
            descriptor: Descriptor { kind: "scripted", name: ProviderName::new(name), capabilities },
            script: Mutex::default(),
            always: Mutex::default(),
            seen: Mutex::default(),
            running: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            store: Mutex::default(),
        })
    }

    pub(crate) fn then(&self, replies: &[Reply]) {
        self.script.lock().unwrap().extend(replies);
    }

    pub(crate) fn always(&self, reply: Option<Reply>) {
        *self.always.lock().unwrap() = reply;
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    fn next_reply(&self) -> Option<Reply> {
        let next = self.script.lock().unwrap().pop_front();
        next.or_else(|| *self.always.lock().unwrap())
    }
}

/// Counts as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one(running: &'a AtomicUsize, peak: &AtomicUsize) -> Self {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(running)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl SmsProvider for Scripted {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn send(&self, sms: &OutboundSms, attempt: &Attempt) -> Result<Submission, SendError> {
        let store = self.store.lock().unwrap().clone().unwrap();
        let record = store.get(None, sms.id).await.unwrap().unwrap();
        let intents = record.history.iter().filter(|e| matches!(e.what, What::Intent { .. })).count();
        self.seen.lock().unwrap().push(Seen {
            id: sms.id,
            attempt: attempt.id.number,
            text: sms.body.expose().to_owned(),
            at: Instant::now(),
            intents,
            valid_for: attempt.valid_for,
        });
        let _running = Counted::one(&self.running, &self.peak);
        match self.next_reply() {
            None => {}
            Some(Reply::Slow(pause)) => tokio::time::sleep(pause).await,
            Some(Reply::Hang) => {
                tokio::time::sleep_until(attempt.deadline).await;
                return Err(SendError::new(Kind::Deadline, Fate::Unknown, "no answer"));
            }
            Some(Reply::Panic) => panic!("scripted panic"),
            Some(Reply::Fail { kind, fate, answered }) => {
                let error = SendError::new(kind, fate, "scripted");
                return Err(if answered { error.answered() } else { error });
            }
        }
        Ok(Submission { upstream_id: format!("up-{}", attempt.id), parts: None })
    }

    fn receipts(&self, _callback: &CallbackRequest) -> Result<Vec<Receipt>, CallbackError> {
        Err(CallbackError::Forged)
    }

    async fn converted(&self, _upstream_id: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn probe(&self) -> Result<(), SendError> {
        Ok(())
    }

    async fn shutdown(&self, _deadline: Instant) {}
}

/// Webhook calls as they were made; answers as told, else 200.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) calls: Mutex<Vec<WebhookCall>>,
    pub(crate) answers: Mutex<VecDeque<u16>>,
    /// The status of every answer without a script, instead of 200.
    pub(crate) always: Mutex<Option<u16>>,
    /// Calls to URLs with this in them hang until they are given up.
    pub(crate) hangs: Mutex<Option<&'static str>>,
    /// When each call was made.
    pub(crate) times: Mutex<Vec<Instant>>,
}

#[async_trait]
impl WebhookPort for Hooks {
    async fn post(&self, call: WebhookCall) -> Result<WebhookAnswer, WebhookFault> {
        let hangs = self.hangs.lock().unwrap().is_some_and(|part| call.url.contains(part));
        self.calls.lock().unwrap().push(call);
        self.times.lock().unwrap().push(Instant::now());
        if hangs {
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Err(WebhookFault::Timeout);
        }
        let status = self.answers.lock().unwrap().pop_front().or_else(|| *self.always.lock().unwrap()).unwrap_or(200);
        Ok(WebhookAnswer { status, retry_after: None })
    }
}

/// The pipeline under test with everything it talks to.
pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) a: Arc<Scripted>,
    pub(crate) b: Arc<Scripted>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) receipts: Arc<ReceiptQueue>,
}

/// How a test's plan differs from the plain one: two providers `a`, `b`, no limits.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) candidates: Vec<&'static str>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) limits: Vec<(u32, Duration)>,
    pub(crate) ttl_otp: Option<Duration>,
    pub(crate) block: Vec<&'static str>,
    pub(crate) webhook: bool,
    pub(crate) without: Vec<&'static str>,
    pub(crate) prefer: Prefer,
    pub(crate) unsettled_max: Option<usize>,
    pub(crate) timeout: Option<Duration>,
}

impl Bench {
    pub(crate) async fn start(setup: Setup) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(UnixMs::new(1_764_000_000_000)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)).unwrap());
        Self::over(setup, store, clock).await
    }

    /// A second life over the same store.
    pub(crate) async fn over(setup: Setup, store: Arc<MemoryStore>, clock: Arc<dyn Clock>) -> Self {
        let (a, b) = (Scripted::new("a"), Scripted::new("b"));
        for provider in [&a, &b] {
            *provider.store.lock().unwrap() = Some(Arc::clone(&store) as Arc<dyn Store>);
        }
        let hooks = Arc::new(Hooks::default());
        let (receipts, outlet) = ReceiptQueue::new();
        let engine = Engine::start(Parts {
            plan: plan(&setup, &[&a, &b]),
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock,
            entropy: Arc::new(SystemEntropy::new()),
            webhooks: Arc::clone(&hooks) as Arc<dyn WebhookPort>,
            receipts: outlet,
            purge: PurgePolicy { keep_messages: Duration::from_hours(24), keep_numbers: Duration::from_hours(24) },
        })
        .await
        .unwrap();
        Self { engine, store, a, b, hooks, receipts }
    }

    pub(crate) fn reconfigure(&self, setup: &Setup) {
        self.engine.reconfigure(plan(setup, &[&self.a, &self.b]));
    }

    pub(crate) async fn submit(&self, request: SendRequest) -> Result<Submitted, Refusal> {
        self.engine.submit(&tenant(), request).await
    }

    /// Submits an otp and lets everything happen that happens within `span`.
    pub(crate) async fn send_and_wait(&self, request: SendRequest, span: Duration) -> Record {
        let id = self.submit(request).await.unwrap().id;
        tokio::time::sleep(span).await;
        self.record(id).await
    }

    pub(crate) async fn record(&self, id: MessageId) -> Record {
        self.engine.message(&tenant(), id).await.unwrap().unwrap()
    }

    pub(crate) async fn receipt(&self, provider: &str, id: MessageId, state: DeliveryState) {
        let receipt =
            Receipt { message: Some(id), upstream_id: String::new(), state, provider_code: None, at: None, part: None };
        self.receipts.push(&ProviderName::new(provider), vec![receipt]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme")
}

pub(crate) fn otp() -> SendRequest {
    to(TO)
}

pub(crate) fn to(number: &str) -> SendRequest {
    let mut request = SendRequest::new(number, |acceptance| acceptance.id.to_string().into_bytes());
    request.text = Some(Body::new("123456 is your code".to_owned()));
    request
}

pub(crate) fn transactional() -> SendRequest {
    SendRequest { class: Class::Transactional, ..otp() }
}

/// Outcomes in the order of the attempts, as `provider:outcome`.
pub(crate) fn attempts(record: &Record) -> Vec<String> {
    let outcome = |entry: &Entry| {
        let What::Outcome(attempted) = &entry.what else { return None };
        Some(format!("{}:{}", attempted.provider, attempted.outcome.as_str()))
    };
    record.history.iter().filter_map(outcome).collect()
}

#[track_caller]
pub(crate) fn assert_story(record: &Record, status: Status, story: &[&str]) {
    assert_eq!((record.status, attempts(record)), (status, story.iter().map(ToString::to_string).collect()));
}

fn plan(setup: &Setup, providers: &[&Arc<Scripted>]) -> Plan {
    let acme = Tenant {
        id: tenant(),
        name: "Acme".to_owned(),
        clients: None,
        senders: vec![Sender::parse("Acme").unwrap()],
        sender_by_country: BTreeMap::new(),
        languages: vec![Language::parse("en").unwrap()],
        template: None,
        default_country: None,
        webhook: setup.webhook.then(|| Webhook {
            url: "https://acme.example/sms".to_owned(),
            private: false,
            secrets: vec![sms_core::Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")],
            disable_after: Duration::from_hours(120),
        }),
    };
    let other = Tenant { id: TenantId::new("other"), webhook: None, ..acme.clone() };
    let candidates = if setup.candidates.is_empty() { vec!["a", "b"] } else { setup.candidates.clone() };
    let windows: Vec<Window> = setup.limits.iter().map(|(max, period)| Window { max: *max, period: *period }).collect();
    Plan {
        tenants: [acme, other].map(|t| (t.id.clone(), Arc::new(t))).into(),
        keys: HashMap::new(),
        providers: providers
            .iter()
            .filter(|p| !setup.without.contains(&p.descriptor.name.as_str()))
            .map(|p| (p.descriptor.name.clone(), Arc::new(provider(p, setup))))
            .collect(),
        rules: vec![Rule {
            id: "default".to_owned(),
            when: When::default(),
            choice: Choice::Use(candidates.iter().map(|c| ProviderName::new(*c)).collect()),
            prefer: setup.prefer,
            template: None,
            sender: None,
            copies_max: 2,
            unknown_wait: Duration::from_secs(8),
            ttl: ClassTtl { otp: setup.ttl_otp, ..ClassTtl::default() },
        }],
        limits: (!windows.is_empty())
            .then(|| Limit {
                id: LimitId::new("per_recipient"),
                per: vec![Dimension::Tenant, Dimension::Recipient],
                windows: windows.into(),
                charging: Charging::Block,
            })
            .into_iter()
            .collect(),
        countries: Countries {
            default_block: false,
            allow: BTreeSet::new(),
            block: setup.block.iter().map(|c| Country::parse(c).unwrap()).collect(),
        },
        templates: Templates::compile(Vec::new()).unwrap(),
        unsettled_max: setup.unsettled_max.unwrap_or(100_000),
        test_numbers_unlimited: false,
    }
}

fn provider(instance: &Arc<Scripted>, setup: &Setup) -> Provider {
    Provider {
        instance: Arc::clone(instance) as Arc<dyn SmsProvider>,
        timeout: setup.timeout.unwrap_or(Duration::from_secs(3)),
        interval: None,
        concurrency: setup.concurrency.unwrap_or(64),
        tenants: None,
    }
}
