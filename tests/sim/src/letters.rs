//! What a provider says of a message that it took, and when: in time, too early, twice, out of order, against itself,
//! hours late, or not at all.

use sms_core::{DeliveryState, MessageId, ProviderName, Receipt};

use crate::luck::Luck;
use crate::plan::STRANGER;
use crate::world::{Letter, World};

/// An hour.
const HOUR_MS: u64 = 3_600_000;

/// Puts the receipts of a message on their way.
pub(crate) fn write(world: &World, provider: &ProviderName, ids: (MessageId, &str), luck: &mut Luck) {
    use DeliveryState::{Delivered, Expired, Pending, Undelivered};
    let unheard = || DeliveryState::Unrecognised("ODD".to_owned());
    let states: Vec<DeliveryState> = match luck.between(0..20) {
        0..9 => vec![Delivered],
        9 => vec![Delivered, Delivered, Delivered],
        10 => vec![Delivered, Undelivered],
        11 => vec![Undelivered, Delivered],
        12 => vec![Pending, Delivered],
        13 => vec![Delivered, Pending],
        14 => vec![unheard(), Undelivered],
        15 => vec![Expired, Delivered],
        16 => vec![Expired],
        17 => vec![Undelivered],
        18 => vec![Pending],
        _ => Vec::new(),
    };
    let now = world.clock.ms();
    // Before the answer, usually soon, now and then hours late.
    let mut at = now
        + match luck.between(0..20) {
            0..4 => luck.between(0..5),
            4..18 => luck.between(100..6_000),
            18 => luck.between(6_000..30_000),
            _ => HOUR_MS + luck.between(0..2 * HOUR_MS),
        };
    let by_callback = luck.chance(60);
    for state in states {
        let receipt = receipt(ids, state, luck);
        world.post(at, Letter { provider: provider.clone(), receipt, by_callback });
        at += luck.pick(&[0, 0, 1, 30, 2_000, 9_000]);
    }
    if luck.chance(3) {
        let receipt = receipt((ids.0, "nobody-knows-it"), Delivered, &mut Luck::about(0, "by upstream id", 1));
        let receipt = Receipt { message: None, ..receipt };
        world.post(at, Letter { provider: provider.clone(), receipt, by_callback });
    }
}

/// A provider that never had the message says that it was delivered.
pub(crate) fn spoof(world: &World, message: MessageId, upstream_id: &str, luck: &mut Luck) {
    let receipt = receipt((message, upstream_id), DeliveryState::Delivered, luck);
    world.post(
        world.clock.ms(),
        Letter { provider: ProviderName::new(STRANGER), receipt, by_callback: luck.chance(50) },
    );
}

/// Some quote our id, some theirs, some both.
fn receipt((message, upstream_id): (MessageId, &str), state: DeliveryState, luck: &mut Luck) -> Receipt {
    let which = luck.between(0..3);
    let ours = which != 0 || upstream_id.is_empty();
    let theirs = if which == 1 { "" } else { upstream_id };
    Receipt {
        message: ours.then_some(message),
        upstream_id: theirs.to_owned(),
        state,
        provider_code: None,
        at: None,
        part: None,
    }
}
