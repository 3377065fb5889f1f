//! Which of a rule's providers can take a message, in which order, and why the others cannot. Must never ask a provider
//! anything but its descriptor.

use std::fmt::Write as _;
use std::sync::Arc;

use sms_core::store::RouteTrace;
use sms_core::{Channel, Encoding, ProviderName, Segmentation, Sender, TenantId};

use super::routed::Routed;
use crate::admission::Admitted;
use crate::measure::{Measured, Measures, explores};
use crate::plan::{Choice, Plan, Prefer, Provider, Rule};
use crate::refusal::{Code, Problem, Refusal};
use crate::render::Rendered;

/// Orders the providers that can take the message; the die draws in a split, and seldom sends a message elsewhere than
/// to the best that was measured.
///
/// # Errors
/// `test_number`, `channel_not_supported` or `no_route` when none can.
pub(crate) fn candidates(
    rendered: Rendered<'_>,
    plan: &Plan,
    dice: u32,
    measures: &dyn Measures,
) -> Result<Routed, Refusal> {
    let rule = rendered.rule();
    let need = Need::new(rendered.admitted(), rendered.sender(), Some(rendered.segmentation()));
    let lineup = Lineup::of(rule, &need, plan);
    let Some(mut order) = lineup.order(dice) else {
        return Err(lineup.refusal(rule));
    };
    let country = rendered.admitted().to().country();
    let preferred = prefer(&mut order, rule.prefer, |name| measures.of(name, country), Some(dice));
    let mut why = lineup.why(rule, order.first().copied());
    why.extend(preferred.into_iter().flat_map(|words| ["; ".to_owned(), words]));
    let trace = RouteTrace {
        rule: rule.id.clone(),
        why,
        candidates: order.into_iter().cloned().collect(),
        copies_max: rule.copies_max,
        unknown_wait: rule.unknown_wait,
    };
    Ok(Routed::new(rendered, trace))
}

/// Puts the provider first that measurements prefer; says why where they decided anything. Without a die nothing is
/// left to chance.
pub(super) fn prefer(
    order: &mut [&ProviderName],
    prefer: Prefer,
    measured: impl Fn(&ProviderName) -> Measured,
    dice: Option<u32>,
) -> Option<String> {
    let first = *order.first().filter(|_| prefer != Prefer::None && order.len() > 1)?;
    let of_first = measured(first);
    let best = order.iter().enumerate().skip(1).fold((0, of_first), |(best, of_best), (at, name)| {
        let of_name = measured(name);
        if of_name.beats(&of_best, prefer) { (at, of_name) } else { (best, of_best) }
    });
    let (mut to, mut of_to) = best;
    let explored = dice.and_then(|dice| explores(dice, order.len() - 1)).map(|other| (to + 1 + other) % order.len());
    if let Some(other) = explored {
        (to, of_to) = (other, order.get(other).map(|name| measured(name))?);
    }
    let name = *order.get(to)?;
    order.get_mut(..=to)?.rotate_right(1);
    let (words, by) = (of_to.words(prefer), prefer.as_str());
    match (explored, to) {
        (Some(_), _) => Some(format!("{name} tried to be measured by {by}")),
        (None, 0) => None,
        (None, _) => Some(format!("{name} preferred by {by}: {words}; {first}: {}", of_first.words(prefer))),
    }
}

/// What a message asks of a provider.
pub(super) struct Need<'a> {
    tenant: &'a TenantId,
    channel: Channel,
    test_number: bool,
    sender: &'a Sender,
    /// `None` while the text is not known.
    text: Option<Segmentation>,
}

impl<'a> Need<'a> {
    pub(super) fn new(admitted: &'a Admitted, sender: &'a Sender, text: Option<Segmentation>) -> Self {
        Self {
            tenant: &admitted.tenant().id,
            channel: admitted.request().channel,
            test_number: admitted.to().is_test(),
            sender,
            text,
        }
    }

    /// Why this provider cannot take the message. Whether it may be given test numbers is asked last, so that this
    /// reason means that a real number would have gone through.
    fn unmet(&self, provider: Option<&Arc<Provider>>) -> Option<Skip> {
        let Some(provider) = provider else {
            return Some(Skip::Missing);
        };
        let can = provider.instance.descriptor().capabilities;
        if provider.tenants.as_ref().is_some_and(|tenants| !tenants.contains(self.tenant)) {
            return Some(Skip::Tenant);
        }
        if !can.channels.contains(&self.channel) {
            return Some(Skip::Channel(self.channel));
        }
        if let Some(text) = self.text {
            if !can.encodings.contains(&text.encoding) {
                return Some(Skip::Encoding(text.encoding));
            }
            if text.units > can.body_units_max {
                return Some(Skip::Length { units: text.units, max: can.body_units_max });
            }
        }
        if !can.alphanumeric_sender && !self.sender.is_numeric() {
            return Some(Skip::Sender);
        }
        (self.test_number && !can.test_numbers).then_some(Skip::TestNumber)
    }
}

/// Why a provider is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Channel(Channel),
    Encoding(Encoding),
    Length { units: usize, max: usize },
    Missing,
    Sender,
    Tenant,
    TestNumber,
}

impl Skip {
    pub(super) fn words(self) -> String {
        match self {
            Self::Channel(channel) => format!("does not serve channel {}", channel.as_str()),
            Self::Encoding(encoding) => format!("does not carry {encoding}"),
            Self::Length { units, max } => format!("takes {max} units at most, the text has {units}"),
            Self::Missing => "is not configured".to_owned(),
            Self::Sender => "does not take a sender of letters".to_owned(),
            Self::Tenant => "is not for this tenant".to_owned(),
            Self::TestNumber => "must not be given test numbers; only a mock provider may".to_owned(),
        }
    }
}

/// The providers of a rule, in the order written, each with its weight or the reason why it is left out.
pub(super) struct Lineup<'p> {
    entries: Vec<(&'p ProviderName, Result<u32, Skip>)>,
    split: bool,
}

impl<'p> Lineup<'p> {
    pub(super) fn of(rule: &'p Rule, need: &Need<'_>, plan: &Plan) -> Self {
        let judge = |name, weight| match need.unmet(plan.providers.get(name)) {
            Some(skip) => (name, Err(skip)),
            None => (name, Ok(weight)),
        };
        match &rule.choice {
            Choice::Split(list) => {
                Self { entries: list.iter().map(|(name, weight)| judge(name, *weight)).collect(), split: true }
            }
            Choice::Use(list) => Self { entries: list.iter().map(|name| judge(name, 0)).collect(), split: false },
        }
    }

    pub(super) fn entries(&self) -> &[(&'p ProviderName, Result<u32, Skip>)] {
        &self.entries
    }

    /// Who may take the message, whatever the die shows: as written, or heaviest first.
    pub(super) fn ranked(&self) -> Vec<(&'p ProviderName, u32)> {
        let mut fit: Vec<_> = self.entries.iter().filter_map(|(name, fit)| Some((*name, (*fit).ok()?))).collect();
        if self.split {
            fit.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight)); // stable: equal weights stay as written
        }
        fit
    }

    /// Sum of the weights of those who fit; 0 when nothing is drawn.
    pub(super) fn weights(&self) -> u64 {
        self.entries.iter().filter_map(|(_, fit)| fit.ok()).map(u64::from).sum()
    }

    /// The order of attempts; `None` when nobody fits. In a split the die puts one first, the weights of those who do
    /// not fit falling to the others.
    fn order(&self, dice: u32) -> Option<Vec<&'p ProviderName>> {
        let mut fit = self.ranked();
        let mut drawn = (u128::from(dice) * u128::from(self.weights())) >> u32::BITS;
        let first = fit.iter().position(|(_, weight)| {
            let hit = drawn < u128::from(*weight);
            drawn = drawn.saturating_sub(u128::from(*weight));
            hit
        });
        if let Some(first) = first.and_then(|at| fit.get_mut(..=at)) {
            first.rotate_right(1);
        }
        (!fit.is_empty()).then(|| fit.into_iter().map(|(name, _)| name).collect())
    }

    fn skips(&self) -> impl Iterator<Item = (&'p ProviderName, Skip)> {
        self.entries.iter().filter_map(|(name, fit)| Some((*name, fit.err()?)))
    }

    /// One sentence for people.
    fn why(&self, rule: &Rule, first: Option<&ProviderName>) -> String {
        let mut why = format!("rule `{}` matched", rule.id);
        let by = if self.split { " by weight" } else { "" };
        if let Some(first) = first {
            write!(why, "; {first} first{by}").unwrap_or_default(); // writing to a String cannot fail
        }
        for (name, skip) in self.skips() {
            write!(why, "; {name} {}", skip.words()).unwrap_or_default();
        }
        why
    }

    /// Why nobody can take the message.
    pub(super) fn refusal(&self, rule: &Rule) -> Refusal {
        let reasons: Vec<String> = self.skips().map(|(name, skip)| format!("{name} {}", skip.words())).collect();
        let detail = format!("No provider of rule `{}` can take this message: {}.", rule.id, reasons.join("; "));
        if self.skips().any(|(_, skip)| skip == Skip::TestNumber) {
            return Problem::new(
                Code::TestNumber,
                "to",
                "The number is a test number (+44 7700 900000 to 900999), and this route has no mock provider.",
                "Send to a real number, or add a provider of kind \"mock\" to the route.",
            )
            .into();
        }
        let serves = |skip| !matches!(skip, Skip::Channel(_) | Skip::Missing | Skip::Tenant);
        let lacks_channel = self.skips().any(|(_, skip)| matches!(skip, Skip::Channel(_)));
        if lacks_channel && !self.skips().any(|(_, skip)| serves(skip)) {
            return Problem::new(
                Code::ChannelNotSupported,
                "channel",
                detail,
                "Ask for another channel, or add a provider that serves this one to the route.",
            )
            .into();
        }
        Problem::new(
            Code::NoRoute,
            "",
            detail,
            "Change what the reasons name, or add a provider to the route that can take such messages.",
        )
        .into()
    }
}
