//! What the mock's handsets received, shared by all its instances. Lives in memory only, for a day and
//! for ten thousand messages at most. Shows numbers and texts in clear: only the ops listener serves it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use sms_core::{Encoding, MessageId, Msisdn, OutboundSms, ProviderName, UnixMs};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::Behaviour;
use crate::code::code_in;

/// Cheap to clone; clones share the messages.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    arrived: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    behaviours: BTreeMap<Msisdn, Behaviour>,
    kept: VecDeque<Kept>,
    sequence: u64,
}

struct Kept {
    arrived: Instant,
    id: MessageId,
    message: InboxMessage,
    sequence: u64,
    to: Msisdn,
}

/// One received message, in clear.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct InboxMessage {
    /// `msg_…`; twice when a second copy was sent.
    pub id: String,
    /// Goes into `after=` to see only what came later.
    pub cursor: String,
    /// The instance that took it.
    pub provider: ProviderName,
    /// E.164.
    pub to: String,
    /// As shown on the handset.
    pub sender: String,
    /// The whole text.
    pub text: String,
    /// The one-time code in the text, digits only.
    pub code: Option<String>,
    /// As the gateway counted it.
    pub encoding: Encoding,
    /// As the gateway counted them.
    pub segments: u16,
    /// RFC 3339.
    pub at: String,
}

impl Inbox {
    /// An empty inbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Messages to `to` (to anybody, without it) in order of arrival: the first `limit` after `after`, or the last
    /// `limit` of all without it.
    pub fn messages(&self, to: Option<&Msisdn>, after: Option<Cursor>, limit: usize) -> Vec<InboxMessage> {
        let state = self.state();
        let found = state.after(to, after);
        if after.is_some() {
            return found.take(limit).map(|kept| kept.message.clone()).collect();
        }
        let mut last: Vec<InboxMessage> = found.rev().take(limit).map(|kept| kept.message.clone()).collect();
        last.reverse();
        last
    }

    /// The code in the newest message to `to` after `after` that has one.
    pub fn code(&self, to: &Msisdn, after: Option<Cursor>) -> Option<String> {
        self.state().newest(to, after, |message| message.code.clone())
    }

    /// As [`Inbox::code`], but waits for it until `deadline`.
    pub async fn wait_for_code(&self, to: &Msisdn, after: Option<Cursor>, deadline: Instant) -> Option<String> {
        self.wait(deadline, |state| state.newest(to, after, |message| message.code.clone())).await
    }

    /// The newest message to `to` after `after`; waits for it until `deadline`.
    pub async fn wait_for(&self, to: &Msisdn, after: Option<Cursor>, deadline: Instant) -> Option<InboxMessage> {
        self.wait(deadline, |state| state.newest(to, after, |message| Some(message.clone()))).await
    }

    /// Forgets every message; behaviours stay.
    pub fn clear(&self) {
        self.state().kept.clear();
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.state().kept.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scripts what happens to messages to `to`, before magic numbers and configuration.
    ///
    /// # Errors
    /// When a thousand numbers have a script already.
    pub fn set_behaviour(&self, to: Msisdn, behaviour: Behaviour) -> Result<(), TooManyBehaviours> {
        let mut state = self.state();
        if state.behaviours.len() >= BEHAVIOURS_MAX && !state.behaviours.contains_key(&to) {
            return Err(TooManyBehaviours);
        }
        state.behaviours.insert(to, behaviour);
        Ok(())
    }

    /// The script of a number, where one was set.
    pub fn behaviour(&self, to: &Msisdn) -> Option<Behaviour> {
        self.state().behaviours.get(to).copied()
    }

    /// Takes a script back; `false` when there was none.
    pub fn remove_behaviour(&self, to: &Msisdn) -> bool {
        self.state().behaviours.remove(to).is_some()
    }

    /// Files a message that an instance took.
    pub(crate) fn take(&self, sms: &OutboundSms, provider: &ProviderName, at: UnixMs) {
        let mut state = self.state();
        if state.kept.len() == MESSAGES_MAX {
            state.kept.pop_front();
        }
        state.sequence += 1;
        let sequence = state.sequence;
        let message = InboxMessage {
            id: sms.id.to_string(),
            cursor: sequence.to_string(),
            provider: provider.clone(),
            to: sms.to.expose(),
            sender: sms.sender.as_str().to_owned(),
            text: sms.body.expose().to_owned(),
            code: code_in(sms.body.expose()),
            encoding: sms.segmentation.encoding,
            segments: sms.segmentation.segments,
            at: at.to_string(),
        };
        state.kept.push_back(Kept { arrived: Instant::now(), id: sms.id, message, sequence, to: sms.to });
        drop(state); // before waiters wake and look
        self.0.arrived.notify_waiters();
    }

    async fn wait<T>(&self, deadline: Instant, find: impl Fn(&State) -> Option<T>) -> Option<T> {
        loop {
            let mut arrived = std::pin::pin!(self.0.arrived.notified());
            arrived.as_mut().enable(); // before looking, so that nothing arrives unseen
            if let Some(found) = find(&self.state()) {
                return Some(found);
            }
            timeout_at(deadline, arrived).await.ok()?;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_old();
        state
    }
}

impl State {
    fn after(&self, to: Option<&Msisdn>, after: Option<Cursor>) -> impl DoubleEndedIterator<Item = &Kept> {
        let after = after.map(|cursor| self.resolve(cursor));
        self.kept.iter().filter(move |kept| {
            to.is_none_or(|to| kept.to == *to)
                && match after {
                    None => true,
                    Some(Place::Sequence(sequence)) => kept.sequence > sequence,
                    Some(Place::Id(id)) => kept.id > id,
                }
        })
    }

    fn newest<T>(&self, to: &Msisdn, after: Option<Cursor>, pick: impl Fn(&InboxMessage) -> Option<T>) -> Option<T> {
        self.after(Some(to), after).rev().find_map(|kept| pick(&kept.message))
    }

    /// A message that is no longer here still has its place in time: ids sort by it.
    fn resolve(&self, cursor: Cursor) -> Place {
        match cursor {
            Cursor::Sequence(sequence) => Place::Sequence(sequence),
            Cursor::Message(id) => {
                let last = self.kept.iter().rev().find(|kept| kept.id == id);
                last.map_or(Place::Id(id), |kept| Place::Sequence(kept.sequence))
            }
        }
    }

    fn forget_old(&mut self) {
        let old = |kept: &Kept| kept.arrived.elapsed() > KEPT_FOR;
        while self.kept.front().is_some_and(old) {
            self.kept.pop_front();
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Id(MessageId),
    Sequence(u64),
}

/// A place in the inbox: the `cursor` of a message, or its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// By id.
    Message(MessageId),
    /// By order of arrival.
    Sequence(u64),
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let sequence = text.parse().map(Self::Sequence).ok();
        sequence.or_else(|| MessageId::parse(text).map(Self::Message)).ok_or(NotACursor)
    }
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACursor;

impl fmt::Display for NotACursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected the cursor of an inbox message, or a message id")
    }
}

impl std::error::Error for NotACursor {}

/// No further number can have a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyBehaviours;

impl fmt::Display for TooManyBehaviours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEHAVIOURS_MAX} numbers have a behaviour already")
    }
}

impl std::error::Error for TooManyBehaviours {}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({} messages)", self.len())
    }
}

impl fmt::Debug for InboxMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboxMessage({})", self.id)
    }
}

const BEHAVIOURS_MAX: usize = 1000;
const KEPT_FOR: Duration = Duration::from_hours(24);
const MESSAGES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use sms_core::text::segment;
    use sms_core::{Body, Channel, Class, Sender};

    use super::*;

    fn number(last: u64) -> Msisdn {
        Msisdn::parse(&format!("+447700900{last:03}"), None).unwrap()
    }

    fn id(n: u64) -> MessageId {
        MessageId::new(UnixMs::new(1000 + i64::try_from(n).unwrap()), [1; 10])
    }

    fn put(inbox: &Inbox, n: u64, to: Msisdn, text: &str) {
        let sms = OutboundSms {
            id: id(n),
            to,
            sender: Sender::parse("Acme").unwrap(),
            body: Body::new(text.to_owned()),
            segmentation: segment(text),
            class: Class::Otp,
            channel: Channel::Sms,
        };
        inbox.take(&sms, &ProviderName::new("mock"), UnixMs::new(0));
    }

    fn texts(inbox: &Inbox, to: Option<&Msisdn>, after: Option<Cursor>) -> Vec<String> {
        inbox.messages(to, after, 100).into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn messages_are_read_by_number_from_a_cursor_on() {
        let inbox = Inbox::new();
        for (n, to, text) in [(1, 100, "a"), (2, 101, "b"), (3, 100, "c"), (3, 100, "c again")] {
            put(&inbox, n, number(to), text);
        }
        assert_eq!(texts(&inbox, None, None), ["a", "b", "c", "c again"]);
        assert_eq!(texts(&inbox, Some(&number(100)), None), ["a", "c", "c again"]);
        assert_eq!(inbox.messages(None, None, 1).remove(0).text, "c again");
        let first = inbox.messages(None, Some(Cursor::Sequence(0)), 1).remove(0);
        assert_eq!(first.text, "a");
        assert_eq!(texts(&inbox, Some(&number(100)), first.cursor.parse().ok()), ["c", "c again"]);
        assert_eq!(texts(&inbox, None, Some(Cursor::Message(id(2)))), ["c", "c again"]);
        assert_eq!(texts(&inbox, None, Some(Cursor::Message(id(3)))), Vec::<String>::new());
        inbox.clear();
        assert!(inbox.is_empty());
        put(&inbox, 4, number(100), "d");
        assert_eq!(texts(&inbox, None, first.cursor.parse().ok()), ["d"]);
        assert_eq!(texts(&inbox, None, Some(Cursor::Message(id(3)))), ["d"]);
        assert_eq!(texts(&inbox, None, Some(Cursor::Message(id(4)))), Vec::<String>::new());
    }

    #[test]
    fn cursors_are_sequences_or_ids() {
        assert_eq!("12".parse(), Ok(Cursor::Sequence(12)));
        assert_eq!(id(1).to_string().parse(), Ok(Cursor::Message(id(1))));
        for bad in ["", "-1", "msg_1", "1.0"] {
            assert_eq!(bad.parse::<Cursor>(), Err(NotACursor), "{bad}");
        }
    }

    #[test]
    fn the_newest_code_wins() {
        let inbox = Inbox::new();
        assert_eq!(inbox.code(&number(100), None), None);
        for (n, text) in [(1, "Code 1111"), (2, "Code 2222"), (3, "no code")] {
            put(&inbox, n, number(100), text);
        }
        put(&inbox, 4, number(101), "Code 4444");
        assert_eq!(inbox.code(&number(100), None).as_deref(), Some("2222"));
        assert_eq!(inbox.code(&number(100), Some(Cursor::Message(id(2)))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_wakes_for_its_own_number_only() {
        let inbox = Inbox::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        let (code, ()) = tokio::join!(async { inbox.wait_for_code(&number(100), None, deadline).await }, async {
            put(&inbox, 1, number(101), "Code 1111");
            tokio::time::sleep(Duration::from_secs(1)).await;
            put(&inbox, 2, number(100), "Code 2222");
        });
        assert_eq!(code.as_deref(), Some("2222"));
        assert_eq!(inbox.wait_for(&number(100), None, deadline).await.unwrap().code.as_deref(), Some("2222"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(10);
        assert_eq!(Inbox::new().wait_for_code(&number(100), None, deadline).await, None);
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_forgotten_after_a_day_and_beyond_ten_thousand() {
        let (inbox, to) = (Inbox::new(), number(100));
        for n in 0..10_005 {
            put(&inbox, n, to, &n.to_string());
        }
        assert_eq!(inbox.len(), 10_000);
        assert_eq!(inbox.messages(None, Some(Cursor::Sequence(0)), 1).remove(0).text, "5");
        tokio::time::advance(Duration::from_hours(24) + Duration::from_millis(1)).await;
        assert!(inbox.is_empty());
    }

    #[test]
    fn behaviours_are_bounded() {
        let inbox = Inbox::new();
        let number = |n: u64| Msisdn::restore(&(4_930_000_000 + n).to_string(), sms_core::Country::UNKNOWN).unwrap();
        let fill = |n: u64| inbox.set_behaviour(number(n), Behaviour::default());
        assert!((0..1000).all(|n| fill(n).is_ok()));
        assert_eq!(fill(1000), Err(TooManyBehaviours));
        assert!(fill(0).is_ok());
    }

    #[test]
    fn json_has_the_documented_keys_and_debug_has_no_text() {
        let inbox = Inbox::new();
        put(&inbox, 1, number(100), "Code 1111 ä");
        let message = inbox.messages(None, None, 1).remove(0);
        let json = serde_json::to_value(&message).unwrap();
        let expected = serde_json::json!({
            "id": id(1).to_string(), "cursor": "1", "provider": "mock", "to": "+447700900100", "sender": "Acme",
            "text": "Code 1111 ä", "code": "1111", "encoding": "gsm7", "segments": 1, "at": "1970-01-01T00:00:00.000Z",
        });
        assert_eq!(json, expected);
        let shown = format!("{inbox:?} {message:?}");
        assert!(!shown.contains("1111") && !shown.contains("7700"), "{shown}");
    }
}
