//! Which sender a message shows.

use std::sync::Arc;

use super::NUMBER;
use crate::plan::{Plan, Tenant};
use crate::request::SendRequest;
use crate::route::fixtures::{country, noon, plan, run, sender, tenant, text_to};

fn plan_for(change: impl FnOnce(&mut Tenant)) -> Plan {
    let mut plan = plan();
    let mut acme = tenant("acme");
    change(&mut acme);
    plan.tenants.insert(acme.id.clone(), Arc::new(acme));
    plan
}

fn shown(request: SendRequest, plan: &Plan) -> String {
    let id = sms_core::MessageId::new(noon(), [0; 10]);
    run(request, plan).unwrap().into_new_message(id, noon()).details.sender.to_string()
}

fn ask() -> SendRequest {
    text_to(NUMBER, "x")
}

#[test]
fn the_more_particular_sender_wins() {
    let mut plan = plan_for(|acme| {
        acme.senders = ["First", "Asked", "Hinted", "Ruled"].map(sender).into();
        acme.sender_by_country = [(country("CH"), sender("Swiss")), (country("US"), sender("+12025550100"))].into();
    });
    let hinted = || SendRequest { sender_hint: Some("Hinted".to_owned()), ..ask() };
    assert_eq!(shown(ask(), &plan), "Swiss");
    assert_eq!(shown(text_to("+491712345678", "x"), &plan), "First");
    plan.rules[0].sender = Some(sender("Ruled"));
    assert_eq!(shown(ask(), &plan), "Ruled");
    assert_eq!(shown(hinted(), &plan), "Hinted");
    assert_eq!(shown(SendRequest { sender: Some("Asked".to_owned()), ..hinted() }, &plan), "Asked");
    assert_eq!(shown(SendRequest { sender_hint: Some("Foreign".to_owned()), ..ask() }, &plan), "Ruled");
}

#[test]
fn a_rule_for_many_tenants_does_not_put_anothers_name_on_a_message() {
    let mut plan = plan_for(|_| {});
    plan.rules[0].sender = Some(sender("Globex"));
    assert_eq!(shown(ask(), &plan), "Acme");
    let mut plan = plan_for(|acme| acme.senders.clear());
    plan.rules[0].sender = Some(sender("Globex"));
    assert_eq!(shown(ask(), &plan), "Globex", "who has none of its own takes the rule's");
}

#[test]
fn a_tenant_without_senders_is_named_by_its_name() {
    for (name, expected) in [
        ("Acme Ltd.", "Acme Ltd"),
        ("The Long Company", "The Long Co"),
        ("Société Générale", "Socit Gnral"),
        ("Straße", "Strae"),
        ("  Ümläut", "mlut"),
        ("株式会社", "acme"),
        ("4711", "acme"),
        ("A", "A"),
        ("", "acme"),
    ] {
        let plan = plan_for(|acme| {
            acme.senders.clear();
            acme.name = name.to_owned();
        });
        assert_eq!(shown(ask(), &plan), expected, "{name}");
    }
}
