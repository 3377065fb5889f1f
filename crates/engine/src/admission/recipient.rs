//! Which numbers a message can be sent to. Must never echo the number.

use sms_core::{Country, Msisdn, NumberType};

use crate::refusal::{Code, Problem};

/// Reads the recipient and refuses lines that no message reaches, or that cost their owner money.
///
/// # Errors
/// `invalid_recipient`, with its repair.
pub(crate) fn recipient(to: &str, default_country: Option<Country>) -> Result<Msisdn, Problem> {
    let number = Msisdn::parse(to, default_country).map_err(|error| {
        Problem::new(Code::InvalidRecipient, "to", format!("`to` is no number to send to: {error}."), error.fix())
    })?;
    match unreachable_line(number.number_type()) {
        Some(line) => Err(Problem::new(
            Code::InvalidRecipient,
            "to",
            format!("`to` is {line}, which a message does not reach."),
            "Send to the person's mobile number.",
        )),
        None => Ok(number),
    }
}

/// What such a line is called; `None` for lines that can take messages: mobiles, and landlines of many operators.
fn unreachable_line(kind: NumberType) -> Option<&'static str> {
    match kind {
        NumberType::FixedLine
        | NumberType::FixedLineOrMobile
        | NumberType::Mobile
        | NumberType::Unknown
        | NumberType::Voip => None,
        NumberType::Pager => Some("a pager"),
        NumberType::PersonalNumber => Some("a forwarding (personal) number"),
        NumberType::PremiumRate => Some("a premium-rate number"),
        NumberType::SharedCost => Some("a shared-cost number"),
        NumberType::TollFree => Some("a toll-free number"),
        NumberType::Uan => Some("a company's universal access number"),
        NumberType::Voicemail => Some("a voicemail access number"),
    }
}
