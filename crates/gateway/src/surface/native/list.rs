//! `GET /v1/messages`: which messages, in pages. The cursor is opaque to callers.

use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sms_core::store::{Filter, Page};
use sms_core::{MessageId, Msisdn, ProviderName, Status, UnixMs};
use sms_engine::plan::Tenant;
use sms_engine::{Code as Verdict, Problem as Fault, Refusal};

use super::answer::Message;
use crate::surface::problem::Problem;
use crate::surface::query::Query;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// Every field that is understood.
const FIELDS: [&str; 8] = ["client_id", "cursor", "limit", "provider", "since", "status", "to", "until"];

/// One page.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    messages: Vec<Message<'a>>,
    /// Goes into `cursor=`; `null` on the last page.
    next_cursor: Option<String>,
}

impl<'a> Listed<'a> {
    pub(super) fn of(page: &'a Page) -> Self {
        Self {
            messages: page.records.iter().map(Message::brief).collect(),
            next_cursor: page.next.map(|id| URL_SAFE_NO_PAD.encode(id.as_bytes())),
        }
    }
}

/// The filter of a query string.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn filter(uri: &Uri, tenant: &Tenant) -> Result<Filter, Problem> {
    let query = Query::of(uri);
    let mut faults = Vec::new();
    let mut take = |field: &'static str, wanted: &str| {
        faults.push(Fault::new(
            Verdict::InvalidRequest,
            field,
            format!("`{field}` is not what it can be."),
            format!("Send {wanted}."),
        ));
    };
    let to = query.number("to").map(|to| Msisdn::parse(&to, tenant.default_country));
    let to = to.transpose().unwrap_or_else(|_| {
        take("to", "a number in E.164, such as %2B41791234567");
        None
    });
    let status = read(&query, "status", Status::parse, || take("status", "a status, such as `delivered`"));
    let since = read(&query, "since", time, || take("since", TIME));
    let until = read(&query, "until", time, || take("until", TIME));
    let before = read(&query, "cursor", cursor, || take("cursor", "the `next_cursor` of the page before"));
    let limit = read(&query, "limit", limit, || take("limit", "1 to 200"));
    for (field, _) in query.fields().filter(|(field, _)| !FIELDS.contains(field)) {
        let fix = format!("Known here: {}.", FIELDS.join(", "));
        let field: String = field.chars().take(40).filter(char::is_ascii_alphanumeric).collect();
        faults.push(Fault::new(Verdict::InvalidRequest, field, "There is no such filter.", fix));
    }
    if !faults.is_empty() {
        return Err(Refusal { problems: faults, limit: None, retry_after: None }.into());
    }
    Ok(Filter {
        tenant: Some(tenant.id.clone()),
        to,
        status,
        client_id: query.get("client_id").map(str::to_owned),
        provider: query.get("provider").map(ProviderName::new),
        since,
        until,
        before,
        limit: limit.unwrap_or(LIMIT_DEFAULT),
    })
}

fn read<T>(query: &Query, field: &str, parse: impl Fn(&str) -> Option<T>, wrong: impl FnOnce()) -> Option<T> {
    let parsed = parse(query.get(field)?);
    if parsed.is_none() {
        wrong();
    }
    parsed
}

fn time(text: &str) -> Option<UnixMs> {
    // An unescaped plus of a time zone arrives as a space.
    let at: jiff::Timestamp = text.replace(' ', "+").parse().ok()?;
    Some(UnixMs::new(at.as_millisecond()))
}

fn cursor(text: &str) -> Option<MessageId> {
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(MessageId::from_bytes(bytes))
}

fn limit(text: &str) -> Option<usize> {
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))
}

const TIME: &str = "a time as in RFC 3339, such as 2026-11-24T12:00:00Z";

#[cfg(test)]
mod tests {
    use super::*;
    use sms_core::TenantId;
    use std::collections::BTreeMap;

    fn tenant() -> Tenant {
        Tenant {
            id: TenantId::new("acme"),
            name: "Acme".to_owned(),
            clients: None,
            senders: Vec::new(),
            sender_by_country: BTreeMap::new(),
            languages: Vec::new(),
            template: None,
            default_country: None,
            webhook: None,
        }
    }

    fn read_filter(query: &str) -> Result<Filter, Problem> {
        filter(&format!("/v1/messages?{query}").parse().unwrap(), &tenant())
    }

    #[test]
    fn every_filter_is_read_and_the_tenant_is_always_set() {
        let filter = read_filter(
            "to=+447700900000&status=delivered&client_id=ios&provider=mock&since=2026-11-24T12:00:00Z&until=2026-11-24T13:00:00+01:00&limit=7",
        )
        .unwrap();
        assert_eq!(filter.tenant, Some(TenantId::new("acme")));
        assert!(filter.to.is_some() && filter.status == Some(Status::Delivered));
        assert_eq!(filter.since, filter.until, "the zone counts");
        assert_eq!((filter.limit, filter.provider.unwrap().as_str()), (7, "mock"));
        assert_eq!(read_filter("").unwrap().limit, LIMIT_DEFAULT);
    }

    #[test]
    fn every_mistake_is_told() {
        let problem = read_filter("to=x&status=gone&since=now&limit=0&cursor=!&colour=red").unwrap_err();
        let told = format!("{problem:?}");
        for field in ["\"to\"", "\"status\"", "\"since\"", "\"limit\"", "\"cursor\"", "\"colour\""] {
            assert!(told.contains(field), "{field}: {told}");
        }
    }

    #[test]
    fn a_cursor_leads_to_the_next_page() {
        let id = MessageId::new(UnixMs::new(1), [3; 10]);
        let page = Page { records: Vec::new(), next: Some(id) };
        let cursor = Listed::of(&page).next_cursor.unwrap();
        assert_eq!(read_filter(&format!("cursor={cursor}")).unwrap().before, Some(id));
    }
}
