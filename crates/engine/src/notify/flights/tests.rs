use std::time::Duration;

use sms_core::store::{Details, Record, RouteTrace};
use sms_core::{Channel, Class, Country, Encoding, MessageId, Sender, Status, UnixMs};

use super::*;

fn notice(n: i64, tenant: &str) -> Notice {
    let details = Details {
        class: Class::Otp,
        channel: Channel::Sms,
        sender: Sender::parse("Acme").unwrap(),
        encoding: Encoding::Gsm7,
        units: 6,
        segments: 1,
        client_id: None,
        language: None,
        template: None,
        reference: None,
        metadata: None,
        callback_url: None,
        notify: true,
        route: RouteTrace {
            rule: String::new(),
            candidates: Vec::new(),
            why: String::new(),
            copies_max: 1,
            unknown_wait: Duration::ZERO,
        },
    };
    let record = Record {
        id: MessageId::new(UnixMs::new(n), [0; 10]),
        tenant: TenantId::new(tenant),
        status: Status::Sent,
        created: UnixMs::new(n),
        expires: UnixMs::new(n),
        updated: UnixMs::new(n),
        to: None,
        country: Country::UNKNOWN,
        details,
        provider: None,
        upstream_id: None,
        history: Vec::new(),
    };
    Notice { id: NoticeId(n), record, status: Status::Sent, at: UnixMs::new(n), attempt: 0 }
}

fn wanted(flights: &Flights, tenants: &[&str]) -> Vec<(String, usize)> {
    let wants = flights.wants(tenants.iter().map(|tenant| TenantId::new(*tenant)).collect());
    wants.into_iter().map(|want| (want.tenant.as_str().to_owned(), want.max)).collect()
}

fn fly(flights: &mut Flights) -> Vec<i64> {
    std::iter::from_fn(|| flights.next()).map(|notice| notice.id.0).collect()
}

#[test]
fn a_tenant_takes_its_own_places_only() {
    let mut flights = Flights::default();
    flights.add((0..30).map(|n| notice(n, "acme")).collect());
    flights.add((100..110).map(|n| notice(n, "globex")).collect());
    let flown = fly(&mut flights);
    assert_eq!(flown.iter().filter(|n| **n < 100).count(), PLACES_MAX);
    assert_eq!(flown.iter().filter(|n| **n >= 100).count(), 10);
    assert_eq!(flown.get(..4), Some(&[0, 100, 1, 101][..]), "in turn");
    flights.end(NoticeId(0), &TenantId::new("acme"), false);
    assert_eq!(fly(&mut flights), [16]);
}

#[test]
fn a_notice_that_was_read_twice_flies_once() {
    let mut flights = Flights::default();
    flights.add(vec![notice(1, "acme"), notice(2, "acme")]);
    flights.add(vec![notice(1, "acme"), notice(3, "acme")]);
    assert_eq!(fly(&mut flights), [1, 2, 3]);
    flights.end(NoticeId(1), &TenantId::new("acme"), false);
    flights.add(vec![notice(1, "acme")]);
    assert_eq!(fly(&mut flights), [1], "and again when it is due again");
}

#[test]
fn only_who_can_fly_is_read() {
    let mut flights = Flights::default();
    assert_eq!(wanted(&flights, &["acme"]), [("acme".to_owned(), READ_MAX)]);
    flights.add((0..20).map(|n| notice(n, "acme")).collect());
    fly(&mut flights);
    assert_eq!(wanted(&flights, &["acme", "globex"]), [("globex".to_owned(), READ_MAX)], "four wait in memory");
    for n in 0..8 {
        flights.end(NoticeId(n), &TenantId::new("acme"), false);
    }
    fly(&mut flights);
    assert_eq!(wanted(&flights, &["acme"]), [("acme".to_owned(), 12 + READ_MAX)], "past those in flight");
}

#[test]
fn a_slow_endpoint_keeps_one_place_and_earns_the_others_back() {
    let (mut flights, acme) = (Flights::default(), TenantId::new("acme"));
    flights.add((0..32).map(|n| notice(n, "acme")).collect());
    fly(&mut flights);
    for n in 0..16 {
        flights.end(NoticeId(n), &acme, true);
    }
    assert_eq!(fly(&mut flights), [16], "one at a time");
    flights.end(NoticeId(16), &acme, false);
    assert_eq!(fly(&mut flights), [17, 18]);
    flights.end(NoticeId(17), &acme, false);
    assert_eq!(fly(&mut flights), [19, 20]);
}

#[test]
fn hundreds_of_hanging_endpoints_leave_room_for_another() {
    let mut flights = Flights::default();
    let names: Vec<String> = (0..300).map(|n| format!("t{n}")).collect();
    let mut n = 0;
    for _ in 0..8 {
        let all: Vec<Notice> = names
            .iter()
            .flat_map(|name| {
                [name, name].map(|name| {
                    n += 1;
                    notice(n, name)
                })
            })
            .collect();
        flights.add(all);
        let flown: Vec<Notice> = std::iter::from_fn(|| flights.next()).collect();
        assert!(flown.len() <= IN_FLIGHT_MAX);
        for notice in flown {
            flights.end(notice.id, &notice.record.tenant, true);
        }
    }
    flights.add((100_000..101_000).flat_map(|n| [notice(n, &format!("t{}", n % 300))]).collect());
    let hanging = fly(&mut flights).len();
    assert!((1..=300).contains(&hanging), "one each: {hanging}");
    flights.add(vec![notice(1_000_000, "prompt")]);
    assert_eq!(fly(&mut flights), [1_000_000]);
}

#[test]
fn there_is_a_bound_for_all_together() {
    let mut flights = Flights::default();
    flights.add((0..2_000).map(|n| notice(n, &format!("t{}", n % 100))).collect());
    assert_eq!(fly(&mut flights).len(), IN_FLIGHT_MAX);
    flights.end(NoticeId(0), &TenantId::new("t0"), false);
    assert_eq!(fly(&mut flights).len(), 1);
}
