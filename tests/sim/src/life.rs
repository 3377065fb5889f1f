//! One life of the gateway's process, from its start over what the store holds to its end, and everything from outside
//! that meets it. Must never look into the engine: it is used as the gateway uses it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sms_core::store::{CancelOutcome, PurgePolicy, Store as _};
use sms_core::{CallbackError, CallbackRequest, MessageId, ProviderName, ReceiptSink as _, SmsProvider, StoreError};
use sms_engine::{CallbackRefusal, Engine, Entropy, Feedback, Parts, ReceiptQueue};
use sms_store::MemoryStore;
use tokio::time::Instant;

use crate::letters;
use crate::luck::Luck;
use crate::plan::{Order, TIMEOUT, other_tenant, plan};
use crate::scenario::{CALM_MS, Event, SETTLING_MS, TRAFFIC_MS};
use crate::store::FaultyStore;
use crate::upstream::TOKEN;
use crate::webhook::Endpoint;
use crate::world::World;

/// No caller waits longer, whatever is slow or suspended.
const PATIENCE: Duration = Duration::from_mins(1);

/// A provider calls again after so long when its receipt was not taken.
const REPEAT_MS: u64 = 2_000;

/// A stop that gives so much time leaves nothing behind.
const DRAIN_ENOUGH_MS: u64 = 30_000;

/// When everything must have come to an end: the longest time to live after the last request, and then some.
const END_MS: u64 = CALM_MS + 90_000 + 2 * SETTLING_MS;

/// No request asks for a longer time to live.
const TTL_MAX: Duration = Duration::from_secs(90);

/// More than the wall clock is ever set back by all steps of a scenario.
const RIGHT_MS: i64 = 4 * 3_600_000;

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Another one follows after a while.
    Down { ms: u64 },
    /// Nothing more can happen.
    Over,
}

/// What outlives a process.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) world: Arc<World>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) providers: Vec<Arc<dyn SmsProvider>>,
}

/// Randomness of one life.
#[derive(Debug)]
struct SeededEntropy(std::sync::Mutex<Luck>);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut luck = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&luck.draw().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Runs the process until the simulation has it end. Dropping the runtime afterwards is the kill.
pub(crate) async fn live(machine: &Machine, shape: &mut usize) -> Ended {
    let world = &machine.world;
    world.clock.begin_life();
    world.disturb();
    world.witness().process_starts();
    let life = world.witness().life;
    world.resend(world.clock.ms() + 500);
    let (receipts, outlet) = ReceiptQueue::new();
    let luck = Luck::about(world.seed, "entropy", u64::from(life));
    let keep = Duration::from_hours(1_000);
    let started = Engine::start(Parts {
        plan: plan(*shape, &machine.providers),
        store: Arc::new(FaultyStore::new(Arc::clone(&machine.store), Arc::clone(world))),
        clock: Arc::clone(&world.clock) as Arc<dyn sms_core::Clock>,
        entropy: Arc::new(SeededEntropy(std::sync::Mutex::new(luck))),
        webhooks: Arc::new(Endpoint::new(Arc::clone(world))),
        receipts: outlet,
        purge: PurgePolicy { keep_messages: keep, keep_numbers: keep },
    });
    let Ok(engine) = started.await else {
        world.witness().hangs("the engine does not start");
        return Ended::Over;
    };
    let mut run = Run { machine, engine, receipts, repeats: HashMap::new(), shape };
    let ended = run.until_its_end().await;
    world.clock.end_life();
    ended
}

struct Run<'a> {
    machine: &'a Machine,
    engine: Arc<Engine>,
    receipts: Arc<ReceiptQueue>,
    /// How often a letter was refused.
    repeats: HashMap<u64, u32>,
    shape: &'a mut usize,
}

impl Run<'_> {
    async fn until_its_end(&mut self) -> Ended {
        let world = Arc::clone(&self.machine.world);
        loop {
            if world.witness().has_enough() {
                return Ended::Over;
            }
            match world.next_ms() {
                None => return Ended::Over,
                Some(at) if at <= world.clock.ms() => {
                    if let Some(event) = world.next()
                        && let Some(ended) = self.meet(event).await
                    {
                        return ended;
                    }
                }
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = world.added.notified() => {}
                        () = tokio::time::sleep_until(world.clock.instant(at)) => {}
                    }
                }
            }
        }
    }

    /// Something happens; says whether the life is over with it.
    async fn meet(&mut self, event: Event) -> Option<Ended> {
        let world = &self.machine.world;
        match event {
            Event::Cancel(number) => self.cancel(number),
            Event::Check => return self.check().await,
            Event::Feedback(number) => self.feedback(number),
            Event::Forged => self.forge().await,
            Event::Kill { down_ms } => {
                world.witness().note(format_args!("kill"));
                world.witness().stats.count("process.kills");
                return Some(Ended::Down { ms: down_ms });
            }
            Event::Letter(number) => self.deliver(number).await,
            Event::Pry(number) => self.pry(number).await,
            Event::Reconfigure(shape) => {
                world.witness().note(format_args!("reconfigure to {shape}"));
                world.witness().stats.count("process.reconfigurations");
                *self.shape = shape;
                self.engine.reconfigure(plan(shape, &self.machine.providers));
            }
            Event::Repeat { number, changed } => {
                let order = Order::of(world.seed, number, changed);
                if order.idempotency.is_some() {
                    self.submit(order);
                }
            }
            Event::Spoof(number) => self.spoof(number),
            Event::Stall { ms } => {
                world.witness().note(format_args!("stall of {ms} ms"));
                world.witness().stats.count("process.stalls");
                tokio::time::advance(Duration::from_millis(ms)).await;
                world.disturb();
            }
            Event::Step { by_ms } => {
                world.witness().note(format_args!("step of {by_ms} ms"));
                world.witness().stats.count("process.clock_steps");
                world.clock.step(by_ms);
            }
            Event::Stop { drain_ms, down_ms } => return Some(self.stop(drain_ms, down_ms).await),
            Event::Submit(number) => self.submit(Order::of(world.seed, number, false)),
        }
        None
    }

    fn submit(&self, order: Order) {
        let (engine, world) = (Arc::clone(&self.engine), Arc::clone(&self.machine.world));
        world.witness().stats.count("requests");
        tokio::spawn(async move {
            let submitted = async {
                if order.waits {
                    let answer = engine.submit_and_wait(&order.tenant, order.request(), Duration::from_secs(5)).await;
                    answer.map(|(submitted, decision)| (submitted, decision.map(|decision| decision.status)))
                } else {
                    engine.submit(&order.tenant, order.request()).await.map(|submitted| (submitted, None))
                }
            };
            let Ok(result) = tokio::time::timeout(PATIENCE, submitted).await else {
                return world.witness().hangs(&format!("r{} got no answer", order.number()));
            };
            let mut witness = world.witness();
            if let Ok((submitted, Some(status))) = &result
                && status.may_attempt()
            {
                witness.blame("status_tells_the_truth", format!("{} is decided {}", submitted.id, status.as_str()));
            }
            witness.answered(&order, &result.map(|(submitted, _)| submitted));
        });
    }

    fn cancel(&self, number: u32) {
        let (engine, world) = (Arc::clone(&self.engine), Arc::clone(&self.machine.world));
        let Some((id, tenant)) = self.known(number) else { return };
        if let Some(story) = world.witness().stories.get_mut(&id) {
            story.cancel_asked = true;
        }
        tokio::spawn(async move {
            let outcome = engine.cancel(&tenant, id).await;
            let mut witness = world.witness();
            match outcome {
                Ok(CancelOutcome::Canceled(_)) => witness.stats.count("cancels.canceled"),
                Ok(CancelOutcome::TooLate(_)) => witness.stats.count("cancels.too_late"),
                Ok(CancelOutcome::NotFound) => {
                    witness.blame("accepted_means_durable", format!("r{number} cannot be found to be canceled"));
                }
                Err(_) => witness.stats.count("cancels.failed"),
            }
        });
    }

    fn feedback(&self, number: u32) {
        let engine = Arc::clone(&self.engine);
        let Some((id, tenant)) = self.known(number) else { return };
        tokio::spawn(async move { drop(engine.feedback(&tenant, id, Feedback::Used).await) }); // a failure loses a line
    }

    /// Another tenant must not even learn that there is a message.
    async fn pry(&self, number: u32) {
        let Some((id, tenant)) = self.known(number) else { return };
        let other = other_tenant(&tenant);
        let seen = self.engine.message(&other, id).await;
        let canceled = self.engine.cancel(&other, id).await;
        let told = matches!(canceled, Ok(CancelOutcome::NotFound) | Err(_));
        if !matches!(seen, Ok(None)) || !told {
            self.machine
                .world
                .witness()
                .blame("tenants_cannot_see_each_other", format!("r{number} is not only its tenant's"));
        }
    }

    fn spoof(&self, number: u32) {
        let world = &self.machine.world;
        let Some((id, _)) = self.known(number) else { return };
        let mut luck = Luck::about(world.seed, "spoof", u64::from(number));
        letters::spoof(world, id, &format!("alpha-{number}-1"), &mut luck);
    }

    async fn forge(&self) {
        let callback = CallbackRequest { token: "guessed".to_owned(), ..CallbackRequest::default() };
        let answer = self.engine.callback(&ProviderName::new("alpha"), &callback).await;
        if !matches!(answer, Err(CallbackRefusal::Callback(CallbackError::Forged))) {
            self.machine.world.witness().blame("receipts_find_their_message", "a forged callback was taken".to_owned());
        }
    }

    async fn deliver(&mut self, number: u64) {
        let world = Arc::clone(&self.machine.world);
        let Some(letter) = world.letter(number) else { return };
        world.witness().stats.count("receipts.delivered_to_us");
        if !letter.by_callback {
            // A session forgets what it handed over.
            world.letter_is_done(number);
            return self.receipts.push(&letter.provider, vec![letter.receipt]).await;
        }
        let refused = self.repeats.entry(number).or_default();
        *refused += 1;
        let (engine, gives_up) = (Arc::clone(&self.engine), *refused > 20);
        tokio::spawn(async move {
            let callback = CallbackRequest {
                method: "POST".to_owned(),
                token: TOKEN.to_owned(),
                body: number.to_string().into_bytes(),
                ..CallbackRequest::default()
            };
            match engine.callback(&letter.provider, &callback).await {
                Ok(_) => world.letter_is_done(number),
                Err(CallbackRefusal::UnknownProvider) if gives_up => world.letter_is_done(number),
                Err(CallbackRefusal::Store(StoreError::Unavailable(_)) | CallbackRefusal::UnknownProvider) => {
                    world.at(world.clock.ms() + REPEAT_MS, Event::Letter(number));
                }
                Err(refusal) => {
                    world.letter_is_done(number);
                    world.witness().blame("receipts_find_their_message", format!("a callback was refused: {refusal}"));
                }
            }
        });
    }

    async fn stop(&self, drain_ms: u64, down_ms: u64) -> Ended {
        let world = &self.machine.world;
        let now = world.clock.ms();
        world.witness().note(format_args!("stop within {drain_ms} ms"));
        world.witness().stats.count("process.stops");
        let up = world.clock.up_ms();
        let well = world.scenario.store_is_well(&(up.saturating_sub(SETTLING_MS)..up + drain_ms));
        self.engine.shutdown(Instant::now() + Duration::from_millis(drain_ms)).await;
        let took = world.clock.ms() - now;
        if took > drain_ms + u64::try_from(TIMEOUT.as_millis()).unwrap_or(0) {
            world.witness().hangs(&format!("a stop within {drain_ms} ms took {took} ms"));
        }
        world.witness().left_politely = well && drain_ms >= DRAIN_ENOUGH_MS;
        Ended::Down { ms: down_ms }
    }

    /// Looks whether everything moves on; once it is calm, whether everything is over.
    async fn check(&mut self) -> Option<Ended> {
        let world = Arc::clone(&self.machine.world);
        let now = world.clock.ms();
        let calm = world.calm_ms() >= SETTLING_MS;
        if calm {
            world.witness().nobody_is_late();
        }
        let up = world.clock.up_ms();
        if up >= CALM_MS && world.witness().lives_too_long(TTL_MAX) {
            // The clock was set back, and what was accepted before lives for hours more: it is set right.
            world.clock.step(RIGHT_MS);
            world.spare_the_process();
            world.at(now + 1_000, Event::Check);
            return Some(self.stop(DRAIN_ENOUGH_MS, 0).await);
        }
        let undecided = world.witness().undecided();
        let over = undecided == 0 && !world.witness().awaits_an_answer();
        if calm && up >= CALM_MS + SETTLING_MS && (over || up >= END_MS) {
            self.finish().await;
            return None;
        }
        world.at(now + if up < TRAFFIC_MS { 1_000 } else { 500 }, Event::Check);
        None
    }

    /// Receipts that come hours later are all that is left; each must find its message, and then everything is judged.
    async fn finish(&mut self) {
        let world = Arc::clone(&self.machine.world);
        world.spare_the_process();
        world.witness().everybody_was_told();
        while let Some(at) = world.next_ms() {
            let gap = at.saturating_sub(world.clock.ms());
            if gap > 0 {
                tokio::time::advance(Duration::from_millis(gap)).await;
            }
            if let Some(Event::Letter(number)) = world.next() {
                self.deliver(number).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let ids: Vec<MessageId> = world.witness().stories.keys().copied().collect();
        for id in ids {
            let record = self.machine.store.get(None, id).await.ok().flatten();
            world.witness().ended(id, record.as_ref());
        }
    }

    fn known(&self, number: u32) -> Option<(MessageId, sms_core::TenantId)> {
        let witness = self.machine.world.witness();
        let id = witness.message_of(number)?;
        Some((id, witness.stories.get(&id)?.tenant.clone()))
    }
}
