//! What was sent is what arrives: text, recipient, sender, channel and validity, or a refusal.

use sms_core::{Capabilities, Channel, Encoding, Fate, Kind, OutboundSms, SendError, Submission};

use super::samples::{ANSWERS_WITHIN, CODE, VALID_FOR, attempt, sender, sms, with_text};
use super::{Kit, Rig, Seen};
use crate::upstream::Behaviour;

pub(super) async fn check(kit: &mut Kit<'_>) {
    let capabilities = kit.harness.rig(Behaviour::Accept).await.provider.descriptor().capabilities;
    texts(kit, &capabilities).await;
    too_long(kit, &capabilities).await;
    senders(kit, &capabilities).await;
    channels(kit, &capabilities).await;
}

async fn texts(kit: &mut Kit<'_>, capabilities: &Capabilities) {
    let samples = [
        format!("Your code is {CODE}."),
        format!("{CODE} @£$ èéùìò €[]{{}}\\~^| \"quoted\"\n<b>&amp;</b> %20+"),
        format!("{CODE} {}", "a€".repeat(150)),
        format!("Ваш код {CODE} 🔑 — “да”"),
        format!("{CODE} {}", "я🔑".repeat(80)),
    ];
    for text in samples {
        let sms = with_text(2, &text);
        let fits = sms.segmentation.units <= capabilities.body_units_max;
        if !fits || !capabilities.encodings.contains(&sms.segmentation.encoding) {
            continue;
        }
        let about = format!("{} of {} units", sms.segmentation.encoding, sms.segmentation.units);
        let Some(seen) = arrives(kit, &sms, "text_arrives_intact", &about).await else { continue };
        kit.expect("text_arrives_intact", seen.text == text, || format!("{about}: another text arrived"));
        let encoding = seen.encoding.is_none_or(|encoding| encoding == sms.segmentation.encoding);
        kit.expect("text_arrives_intact", encoding, || format!("{about}: sent as {:?}", seen.encoding));
        let same = seen.to == sms.to.expose_digits();
        kit.expect("recipient_arrives_intact", same, || "another number arrived".to_owned());
        if capabilities.validity_period {
            let rounded = VALID_FOR..VALID_FOR * 2;
            let holds = seen.valid_for.is_some_and(|told| rounded.contains(&told));
            kit.expect("validity_is_handed_on", holds, || format!("{:?} for {VALID_FOR:?}", seen.valid_for));
        }
    }
}

/// Beyond the limit a text is refused or arrives whole; it is never cut.
async fn too_long(kit: &mut Kit<'_>, capabilities: &Capabilities) {
    if !capabilities.encodings.contains(&Encoding::Gsm7) || capabilities.body_units_max > LONGEST_TRIED {
        return;
    }
    let text = "a".repeat(capabilities.body_units_max + 1);
    let sms = with_text(3, &text);
    let (rig, result) = offer(kit, &sms).await;
    let cut = rig.wire.seen().iter().any(|seen| seen.text != text);
    kit.expect("long_text_is_never_cut", !cut, || "a part of the text arrived".to_owned());
    if let Err(error) = result {
        refused(kit, "long_text_is_never_cut", &error);
    }
}

async fn senders(kit: &mut Kit<'_>, capabilities: &Capabilities) {
    for text in ["Acme", "ACME Mobile", "A", "46731", "+4915112345679", "123456789012345"] {
        let sms = OutboundSms { sender: sender(text), ..sms(4) };
        let (rig, result) = offer(kit, &sms).await;
        match result {
            Ok(_) => {
                let shown: Vec<String> = rig.wire.seen().into_iter().map(|seen| seen.sender).collect();
                let same = shown.len() == 1 && shown.iter().all(|shown| plain(shown) == plain(text));
                kit.expect("sender_is_honoured_or_refused", same, || format!("{text} became {shown:?}"));
            }
            Err(error) => {
                refused(kit, "sender_is_honoured_or_refused", &error);
                let must_work = text == "Acme" && capabilities.alphanumeric_sender;
                kit.expect("sender_is_honoured_or_refused", !must_work, || format!("{text}: {error}"));
            }
        }
    }
}

fn plain(sender: &str) -> &str {
    sender.strip_prefix('+').unwrap_or(sender)
}

async fn channels(kit: &mut Kit<'_>, capabilities: &Capabilities) {
    for channel in [Channel::Sms, Channel::Voice] {
        let sms = OutboundSms { channel, ..sms(5) };
        let (rig, result) = offer(kit, &sms).await;
        let offered = capabilities.channels.contains(&channel);
        kit.expect("channel_is_honoured_or_refused", offered == result.is_ok(), || format!("{channel:?}: {result:?}"));
        if let Err(error) = result {
            refused(kit, "channel_is_honoured_or_refused", &error);
            let sent = rig.wire.seen().len();
            kit.expect("channel_is_honoured_or_refused", sent == 0, || format!("{channel:?} was sent"));
        }
    }
}

async fn offer(kit: &mut Kit<'_>, sms: &OutboundSms) -> (Rig, Result<Submission, SendError>) {
    let rig = kit.harness.rig(Behaviour::Accept).await;
    let result = rig.provider.send(sms, &attempt(sms, ANSWERS_WITHIN)).await;
    if let Err(error) = &result {
        kit.leaks.see_error(Behaviour::Accept, error);
    }
    (rig, result)
}

async fn arrives(kit: &mut Kit<'_>, sms: &OutboundSms, check: &'static str, about: &str) -> Option<Seen> {
    let (rig, result) = offer(kit, sms).await;
    kit.expect(check, result.is_ok(), || format!("{about}: {result:?}"));
    let seen = rig.wire.seen().pop();
    kit.expect(check, seen.is_some(), || format!("{about}: nothing arrived"));
    seen
}

fn refused(kit: &mut Kit<'_>, check: &'static str, error: &SendError) {
    let holds = (error.kind, error.fate) == (Kind::Content, Fate::Refused);
    kit.expect(check, holds, || format!("refused as {:?}, {:?}", error.kind, error.fate));
}

const LONGEST_TRIED: usize = 100_000;
