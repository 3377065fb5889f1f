//! Makes accept-time answers small before they are kept for 24 hours, and gives them back byte for byte.
//!
//! An answer consists of the message's own facts and of words that never change, so both become one byte each. Bytes
//! below 0x20 mark them: JSON holds none. An answer that holds some is kept as it is. Must never change what a code
//! means: old records would replay wrongly.

use sms_core::{MessageId, UnixMs};

/// Shrinks `answer`; [`expand`] undoes it.
pub(crate) fn shrink(answer: &[u8], id: MessageId, expires: UnixMs) -> Vec<u8> {
    let created = id.created();
    if answer.iter().any(|byte| *byte < FIRST_PLAIN) {
        return [&[RAW], answer].concat();
    }
    let life = u32::try_from(expires.since(created).as_millis()).ok().filter(|_| expires >= created);
    let facts = [(ID, id.to_string()), (CREATED, created.to_string()), (EXPIRES, expires.to_string())];
    let mut small = Vec::with_capacity(64);
    let mut rest = answer;
    while let Some((first, tail)) = rest.split_first() {
        let fact = facts.iter().filter(|(code, _)| *code != EXPIRES || life.is_some());
        let known = fact.map(|(code, text)| (*code, text.as_str())).chain(words());
        let longest = known.filter(|(_, text)| rest.starts_with(text.as_bytes())).max_by_key(|(_, text)| text.len());
        if let Some((code, text)) = longest {
            small.push(code);
            if code == EXPIRES {
                small.extend(life.unwrap_or(0).to_be_bytes());
            }
            rest = rest.get(text.len()..).unwrap_or_default();
        } else {
            small.push(*first);
            rest = tail;
        }
    }
    small
}

/// `None` when `small` did not come from [`shrink`].
pub(crate) fn expand(small: &[u8], id: MessageId) -> Option<Vec<u8>> {
    if let Some((&RAW, answer)) = small.split_first() {
        return Some(answer.to_vec());
    }
    let mut answer = Vec::with_capacity(256);
    let mut bytes = small.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            ID => answer.extend(id.to_string().bytes()),
            CREATED => answer.extend(id.created().to_string().bytes()),
            EXPIRES => {
                let life = [bytes.next()?, bytes.next()?, bytes.next()?, bytes.next()?];
                let life = std::time::Duration::from_millis(u64::from(u32::from_be_bytes(life)));
                answer.extend(id.created().plus(life).to_string().bytes());
            }
            FIRST_PLAIN.. => answer.push(byte),
            word => answer.extend(words().find(|(code, _)| *code == word)?.1.bytes()),
        }
    }
    Some(answer)
}

const RAW: u8 = 0;
const ID: u8 = 1;
const CREATED: u8 = 2;
const EXPIRES: u8 = 3;
const FIRST_WORD: u8 = 4;
const FIRST_PLAIN: u8 = 0x20;

/// Only ever append: the position is the code. At most 28.
const WORDS: [&str; 9] = [
    "{\"id\":\"",
    "\",\"status\":\"queued\",\"to\":\"+",
    "\",\"encoding\":\"gsm7\",\"segments\":1,\"created_at\":\"",
    "\",\"encoding\":\"ucs2\",\"segments\":1,\"created_at\":\"",
    "\",\"expires_at\":\"",
    "\",\"provider\":\"",
    "\",\"status\":\"queued\",\"",
    "\",\"responseCode\":0,\"responseText\":\"SMS sent\",\"textLength\":",
    "\",\"timestamp\":\"",
];

fn words<'a>() -> impl Iterator<Item = (u8, &'a str)> {
    (FIRST_WORD..FIRST_PLAIN).zip(WORDS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CREATED_AT: UnixMs = UnixMs::new(1_764_000_000_007);

    fn answer(id: MessageId) -> String {
        format!(
            "{{\"id\":\"{id}\",\"status\":\"queued\",\"to\":\"+41791234567\",\"encoding\":\"gsm7\",\"segments\":1,\
             \"created_at\":\"{CREATED_AT}\",\"expires_at\":\"{}\"}}",
            CREATED_AT.plus(std::time::Duration::from_mins(5))
        )
    }

    #[test]
    fn an_answer_shrinks_to_its_number_and_little_else() {
        let id = MessageId::new(CREATED_AT, [9; 10]);
        let (full, expires) = (answer(id), CREATED_AT.plus(std::time::Duration::from_mins(5)));
        let small = shrink(full.as_bytes(), id, expires);
        assert!(small.len() <= 32, "{} bytes", small.len());
        assert_eq!(expand(&small, id).unwrap(), full.as_bytes());
    }

    #[test]
    fn a_created_time_that_the_id_does_not_carry_is_kept_in_full() {
        let id = MessageId::new(UnixMs::new(5), [9; 10]);
        let full = answer(id);
        let small = shrink(full.as_bytes(), id, CREATED_AT);
        assert_eq!(expand(&small, id).unwrap(), full.as_bytes());
    }

    #[test]
    fn a_cut_record_does_not_expand() {
        let id = MessageId::new(CREATED_AT, [9; 10]);
        assert_eq!(expand(&[EXPIRES, 0, 0], id), None);
        assert_eq!(expand(&[0x1f], id), None);
    }

    proptest! {
        #[test]
        fn any_answer_comes_back_byte_for_byte(junk in proptest::collection::vec(any::<u8>(), 0..40), text in ".{0,40}") {
            let id = MessageId::new(CREATED_AT, [9; 10]);
            for bytes in [junk, format!("{}{text}{}", answer(id), answer(id)).into_bytes()] {
                let small = shrink(&bytes, id, CREATED_AT);
                prop_assert_eq!(expand(&small, id).unwrap(), bytes);
            }
        }
    }
}
