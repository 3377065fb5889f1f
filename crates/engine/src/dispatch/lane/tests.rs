//! A lane as dispatch uses it, in paused time.

use super::*;
use sms_core::TenantId;

fn lane(concurrency: usize, per_second: Option<u32>) -> Arc<Lane> {
    let interval = per_second.map(|n| Duration::from_secs(1) / n);
    Arc::new(Lane::new(ProviderName::new("p"), Share { concurrency, interval }))
}

fn country(code: &str) -> Country {
    Country::parse(code).unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme")
}

fn begin(lane: &Arc<Lane>) -> Option<Permit> {
    lane.try_begin(&acme(), country("CH"))
}

fn failure(kind: Kind, fate: Fate) -> Result<Submission, SendError> {
    Err(SendError::new(kind, fate, ""))
}

fn success() -> Submission {
    Submission { upstream_id: String::new(), parts: None }
}

/// One attempt to a country with this result.
fn attempt(lane: &Arc<Lane>, code: &str, result: &Result<Submission, SendError>) {
    lane.try_begin(&acme(), country(code)).unwrap().learn(result, Duration::from_millis(5), true);
}

#[tokio::test(start_paused = true)]
async fn never_more_attempts_at_a_time_than_configured() {
    let lane = lane(2, None);
    let held = (begin(&lane).unwrap(), begin(&lane).unwrap());
    assert!(begin(&lane).is_none());
    drop(held);
    assert!(begin(&lane).is_some());
}

#[tokio::test(start_paused = true)]
async fn throughput_is_kept_over_time() {
    let (lane, started) = (lane(1_000, Some(100)), Instant::now());
    for _ in 0..300 {
        drop(lane.begin().await.unwrap());
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(2_900), "{took:?}");
    assert!(took <= Duration::from_millis(3_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_throughputs_are_kept_too() {
    let (lane, started) = (lane(10, Some(1)), Instant::now());
    for _ in 0..4 {
        drop(lane.begin().await.unwrap());
    }
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn an_unused_permit_does_not_cost_throughput() {
    let lane = lane(10, Some(1));
    let permit = begin(&lane).unwrap();
    assert!(begin(&lane).is_none());
    lane.give_back(permit);
    assert!(begin(&lane).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_provider_is_left_alone_for_as_long_as_it_asks() {
    let lane = lane(10, None);
    let throttled = SendError::new(Kind::Throttled, Fate::Refused, "").with_retry_after(Duration::from_secs(2));
    attempt(&lane, "CH", &Err(throttled));
    assert!(begin(&lane).is_none());
    assert_eq!(lane.gate(country("CH")), Gate::Avoid, "others are preferred meanwhile");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(begin(&lane).is_some());
    assert_eq!(lane.status().circuit, "closed");
}

#[tokio::test(start_paused = true)]
async fn less_concurrency_holds_after_attempts_in_flight_return() {
    let lane = lane(3, None);
    let held: Vec<Permit> = (0..3).map(|_| begin(&lane).unwrap()).collect();
    lane.reconfigure(Share { concurrency: 1, interval: None });
    drop(held);
    tokio::task::yield_now().await;
    let _one = begin(&lane).unwrap();
    assert!(begin(&lane).is_none());
}

#[tokio::test(start_paused = true)]
async fn faults_in_one_country_shut_that_country_only() {
    let lane = lane(16, None);
    for _ in 0..5 {
        attempt(&lane, "CH", &failure(Kind::Unavailable, Fate::NotSent));
    }
    assert_eq!((lane.gate(country("CH")), lane.gate(country("FR"))), (Gate::Shut, Gate::Go));
    assert_eq!(lane.status().circuit, "open", "no other country is in use");
    attempt(&lane, "FR", &Ok(success()));
    assert_eq!((lane.gate(country("CH")), lane.status().circuit), (Gate::Shut, "closed"));
    assert!(lane.room(64).contains(&(country("CH"), 0)));
    assert_eq!(lane.stranded_countries(), [country("CH")]);
}

#[tokio::test(start_paused = true)]
async fn faults_in_several_countries_shut_the_provider() {
    let lane = lane(16, None);
    for code in ["CH", "CH", "CH", "CH", "FR"] {
        attempt(&lane, code, &failure(Kind::Unavailable, Fate::NotSent));
    }
    assert_eq!((lane.gate(country("DE")), lane.status().circuit), (Gate::Shut, "open"));
    assert!(lane.begin().await.is_none());
    tokio::time::advance(Duration::from_secs(5)).await;
    attempt(&lane, "DE", &Ok(success()));
    assert_eq!(lane.gate(country("DE")), Gate::Go);
}

#[tokio::test(start_paused = true)]
async fn a_refused_account_shuts_the_provider_at_once() {
    let lane = lane(16, None);
    attempt(&lane, "CH", &failure(Kind::Account, Fate::Refused));
    assert_eq!((lane.gate(country("FR")), lane.status().circuit), (Gate::Shut, "open"));
    tokio::time::advance(Duration::from_secs(30)).await;
    let mut probe = lane.try_begin(&acme(), country("FR")).unwrap();
    assert!(lane.try_begin(&acme(), country("FR")).is_none(), "one probe at a time");
    probe.learn(&Ok(success()), Duration::ZERO, true);
    drop(probe);
    assert_eq!(lane.gate(country("CH")), Gate::Go);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_found_no_message_leaves_room_for_the_next() {
    let lane = lane(16, None);
    attempt(&lane, "CH", &failure(Kind::Account, Fate::Refused));
    tokio::time::advance(Duration::from_secs(30)).await;
    let probe = lane.begin().await.unwrap();
    assert!(lane.try_begin_any().is_none());
    lane.give_back(probe);
    assert!(lane.try_begin_any().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_in_one_country_leaves_slots_for_the_others() {
    let lane = lane(64, None);
    attempt(&lane, "FR", &Ok(success()));
    let mut hanging = Vec::new();
    for _ in 0..200 {
        hanging.extend(lane.try_begin(&acme(), country("CH")));
        tokio::time::advance(Duration::from_millis(50)).await;
        lane.watch();
    }
    assert!(hanging.len() <= 56, "{}", hanging.len());
    assert_eq!((lane.gate(country("CH")), lane.gate(country("FR"))), (Gate::Avoid, Gate::Go));
    assert!(lane.try_begin(&acme(), country("FR")).is_some());
}

#[tokio::test(start_paused = true)]
async fn undelivered_messages_of_one_country_make_others_preferred_there() {
    let lane = lane(16, None);
    for _ in 0..20 {
        lane.receipt(country("CH"), false, Duration::from_secs(2));
    }
    assert_eq!((lane.gate(country("CH")), lane.gate(country("FR"))), (Gate::Avoid, Gate::Go));
    assert!(begin(&lane).is_some(), "where nothing else is left it is still used");
}

#[tokio::test(start_paused = true)]
async fn receipts_of_long_ago_count_for_nothing() {
    let lane = lane(16, None);
    for _ in 0..200 {
        lane.receipt(country("CH"), false, Duration::from_hours(2));
    }
    assert_eq!(lane.gate(country("CH")), Gate::Go);
    assert!(lane.measured(country("CH")).receipts < 1.0);
}

#[tokio::test(start_paused = true)]
async fn who_has_messages_waiting_beside_others_takes_turns() {
    let (lane, other) = (lane(16, None), TenantId::new("other"));
    lane.waits(&other);
    assert!(lane.try_begin(&other, country("CH")).is_some(), "nobody else waits");
    lane.waits(&acme());
    assert!(begin(&lane).is_none() && lane.try_begin(&other, country("CH")).is_none());
    lane.nothing_waits();
    assert!(begin(&lane).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_sends_too_much_leaves_places_for_the_others() {
    let (lane, bully) = (lane(64, Some(400)), TenantId::new("bully"));
    let mut others_sent = 0;
    for nth in 1..=1_000 {
        lane.waits(&bully);
        while lane.try_begin_any().is_some() {
            lane.took(&bully);
        }
        assert!(lane.try_begin(&bully, country("CH")).is_none(), "what it may take is taken");
        if nth % 5 == 0 {
            assert!(begin(&lane).is_some(), "another tenant's message goes at once");
            others_sent += 1;
        }
        tokio::time::advance(Duration::from_millis(5)).await;
    }
    assert_eq!(others_sent, 200);
}

#[tokio::test(start_paused = true)]
async fn throughput_is_kept_also_with_the_places_for_others() {
    let (lane, bully) = (lane(10_000, Some(400)), TenantId::new("bully"));
    lane.waits(&bully);
    let (mut sent, mut newcomers) = (0, 0);
    for _ in 0..10_000 {
        sent += std::iter::from_fn(|| lane.try_begin_any()).count();
        // Each one another tenant's, so that all of them have a share of their own.
        while lane.try_begin(&TenantId::new(format!("t{newcomers}")), country("CH")).is_some() {
            newcomers += 1;
        }
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let all = sent + newcomers;
    assert!((3_990..=4_021).contains(&all), "{all} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_provider_gets_nothing_until_its_time_is_over() {
    let lane = lane(16, None);
    lane.disable(Some(Duration::from_mins(1)));
    assert_eq!(lane.gate(country("CH")), Gate::Shut);
    assert!(begin(&lane).is_none() && lane.begin().await.is_none());
    assert_eq!(lane.status().disabled_for, Some(Duration::from_mins(1)));
    tokio::time::advance(Duration::from_mins(1)).await;
    assert!(begin(&lane).is_some());
    lane.disable(None);
    tokio::time::advance(Duration::from_hours(48)).await;
    assert!(begin(&lane).is_none());
    lane.enable();
    assert!(begin(&lane).is_some());
}

#[tokio::test(start_paused = true)]
async fn countries_beyond_the_bound_share_one_place() {
    let lane = lane(16, None);
    for a in b'A'..=b'Z' {
        for b in b'A'..=b'Z' {
            attempt(&lane, str::from_utf8(&[a, b]).unwrap(), &Ok(success()));
        }
    }
    assert!(lane.status().countries.len() <= 257, "{}", lane.status().countries.len());
}
