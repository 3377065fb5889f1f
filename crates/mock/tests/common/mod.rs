//! A message and an attempt.

use std::time::Duration;

use sms_core::{Attempt, AttemptId, Body, Channel, Class, MessageId, Msisdn, OutboundSms, Sender, UnixMs, text};
use tokio::time::Instant;

pub(crate) fn sms(to: &str) -> OutboundSms {
    let text = "123456 is your code.";
    OutboundSms {
        id: MessageId::new(UnixMs::new(1_764_000_000_000), [7; 10]),
        to: Msisdn::parse(to, None).unwrap(),
        sender: Sender::parse("Acme").unwrap(),
        body: Body::new(text.to_owned()),
        segmentation: text::segment(text),
        class: Class::Otp,
        channel: Channel::Sms,
    }
}

pub(crate) fn attempt(sms: &OutboundSms) -> Attempt {
    let deadline = Instant::now() + Duration::from_secs(3);
    Attempt { id: AttemptId { message: sms.id, number: 1 }, deadline, valid_for: Duration::from_mins(5) }
}
