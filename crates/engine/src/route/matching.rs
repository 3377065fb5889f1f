//! Whether a rule's conditions hold for a request, and the same in words. The words are made only when somebody asks.

use std::borrow::Cow;
use std::fmt::Display;

use serde_json::Value;
use sms_core::UnixMs;

use crate::admission::Admitted;
use crate::plan::{Hours, When};

/// What conditions are about.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    admitted: &'a Admitted,
    now: UnixMs,
}

/// One condition of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    Action,
    Channel,
    Class,
    ClientId,
    Country,
    Factor,
    Hours,
    Language,
    Metadata(&'a str),
    Prefix,
    Tenant,
}

impl<'a> Facts<'a> {
    pub(super) fn new(admitted: &'a Admitted, now: UnixMs) -> Self {
        Self { admitted, now }
    }

    /// The first condition that does not hold; `None` when the rule matches.
    pub(super) fn mismatch<'w>(&self, when: &'w When) -> Option<Condition<'w>> {
        conditions(when).find(|condition| !self.holds(*condition, when))
    }

    /// Why a rule does not match.
    pub(super) fn mismatch_words(&self, condition: Condition<'_>, when: &When) -> String {
        format!("{}, rule wants {}", self.fact(condition, when), wanted(condition, when))
    }

    /// Why a rule matches.
    pub(super) fn match_words(&self, when: &When) -> String {
        let facts: Vec<String> = conditions(when).map(|condition| self.fact(condition, when)).collect();
        if facts.is_empty() { "matches every message".to_owned() } else { facts.join(", ") }
    }

    fn holds(&self, condition: Condition<'_>, when: &When) -> bool {
        let request = self.admitted.request();
        match condition {
            Condition::Action => is_one(request.action.as_ref(), &when.action),
            Condition::Channel => when.channel.contains(&request.channel),
            Condition::Class => when.class.contains(&request.class),
            Condition::ClientId => is_one(request.client_id.as_ref(), &when.client_id),
            Condition::Country => when.country.contains(&self.admitted.to().country()),
            Condition::Factor => is_one(request.factor.as_ref(), &when.factor),
            Condition::Hours => when.hours.iter().any(|hours| is_within(hours, self.now)),
            Condition::Language => self
                .admitted
                .language()
                .is_some_and(|language| when.language.iter().any(|range| language.is_within(range))),
            Condition::Metadata(key) => self
                .metadata(key)
                .is_some_and(|text| when.metadata.get(key).is_some_and(|wanted| wanted.iter().any(|one| *one == text))),
            Condition::Prefix => when.prefix.iter().any(|prefix| self.admitted.to().has_prefix(prefix)),
            Condition::Tenant => when.tenant.contains(&self.admitted.tenant().id),
        }
    }

    /// The client's metadata come before the request's own.
    fn metadata(&self, key: &str) -> Option<Cow<'a, str>> {
        let request = self.admitted.request();
        let own = || request.metadata.as_ref().and_then(|metadata| metadata.get(key));
        request.client_metadata.get(key).or_else(own).and_then(scalar_text)
    }

    /// What is the case, in words. Values of metadata are the caller's business and not repeated.
    fn fact(&self, condition: Condition<'_>, when: &When) -> String {
        let request = self.admitted.request();
        match condition {
            Condition::Action => is("action", request.action.as_ref()),
            Condition::Channel => is("channel", Some(request.channel.as_str())),
            Condition::Class => is("class", Some(request.class.as_str())),
            Condition::ClientId => is("client_id", request.client_id.as_ref()),
            Condition::Country => is("country", Some(self.admitted.to().country())),
            Condition::Factor => is("factor", request.factor.as_ref()),
            Condition::Hours => match when.hours.first().and_then(|hours| minute_of_day(hours, self.now)) {
                Some(minute) => format!("local time is {:02}:{:02}", minute / 60, minute % 60),
                None => "local time is not known".to_owned(),
            },
            Condition::Language => is("language", self.admitted.language()),
            Condition::Metadata(key) => match self.metadata(key) {
                Some(_) if self.holds(condition, when) => format!("metadata.{key} is as wanted"),
                Some(_) => format!("metadata.{key} has another value"),
                None => format!("metadata.{key} is not given"),
            },
            Condition::Prefix if self.holds(condition, when) => "number begins as wanted".to_owned(),
            Condition::Prefix => "number begins differently".to_owned(),
            Condition::Tenant => is("tenant", Some(&self.admitted.tenant().id)),
        }
    }
}

/// The conditions a rule has, cheap ones first.
fn conditions(when: &When) -> impl Iterator<Item = Condition<'_>> {
    let fixed = [
        (when.tenant.is_empty(), Condition::Tenant),
        (when.client_id.is_empty(), Condition::ClientId),
        (when.country.is_empty(), Condition::Country),
        (when.prefix.is_empty(), Condition::Prefix),
        (when.channel.is_empty(), Condition::Channel),
        (when.class.is_empty(), Condition::Class),
        (when.language.is_empty(), Condition::Language),
        (when.action.is_empty(), Condition::Action),
        (when.factor.is_empty(), Condition::Factor),
        (when.hours.is_empty(), Condition::Hours),
    ];
    let fixed = fixed.into_iter().filter(|(absent, _)| !absent).map(|(_, condition)| condition);
    fixed.chain(when.metadata.keys().map(|key| Condition::Metadata(key)))
}

fn wanted(condition: Condition<'_>, when: &When) -> String {
    match condition {
        Condition::Action => list(&when.action),
        Condition::Channel => list(when.channel.iter().map(|channel| channel.as_str())),
        Condition::Class => list(when.class.iter().map(|class| class.as_str())),
        Condition::ClientId => list(&when.client_id),
        Condition::Country => list(&when.country),
        Condition::Factor => list(&when.factor),
        Condition::Hours => list(when.hours.iter().map(|hours| &hours.text)),
        Condition::Language => list(&when.language),
        Condition::Metadata(key) => list(when.metadata.get(key).into_iter().flatten()),
        Condition::Prefix => list(&when.prefix),
        Condition::Tenant => list(&when.tenant),
    }
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    values.join(", ")
}

fn is<T: Display>(name: &str, value: Option<T>) -> String {
    match value {
        Some(value) => format!("{name} is {value}"),
        None => format!("{name} is not given"),
    }
}

fn is_one(value: Option<&String>, wanted: &[String]) -> bool {
    value.is_some_and(|value| wanted.contains(value))
}

fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

fn is_within(hours: &Hours, now: UnixMs) -> bool {
    minute_of_day(hours, now).is_some_and(|minute| {
        if hours.from < hours.to {
            (hours.from..hours.to).contains(&minute)
        } else {
            minute >= hours.from || minute < hours.to // over midnight
        }
    })
}

/// What a clock on the wall shows there, so that summer time needs no thought.
fn minute_of_day(hours: &Hours, now: UnixMs) -> Option<u16> {
    let at = jiff::Timestamp::from_millisecond(now.get()).ok()?;
    let local = hours.zone.to_datetime(at);
    u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).ok()
}
