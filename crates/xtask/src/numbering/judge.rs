//! Decides as the library decides which region and kind a national number has, for all numbers at once: a product of the
//! automata of its patterns. Follows `get_number_type` and `get_region_for_number` of `rlibphonenumber` step by step.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};

use super::automaton::{Automaton, Question};
use super::graph::{Graph, NOTHING, Node};
use super::library::{Description, Plan};

/// Numbers of fewer digits are refused before any pattern is asked.
const NATIONAL_DIGITS_MIN: usize = 2;

/// E.164's limit, calling code included.
const DIGITS_MAX: usize = 15;

/// The order in which kinds are tried. `plan.rs` of `sms-core` knows them by these numbers, from 1.
const KINDS: [fn(&Plan) -> &Option<Description>; 10] = [
    |plan| &plan.premium_rate,
    |plan| &plan.toll_free,
    |plan| &plan.shared_cost,
    |plan| &plan.voip,
    |plan| &plan.personal_number,
    |plan| &plan.pager,
    |plan| &plan.uan,
    |plan| &plan.voicemail,
    |plan| &plan.fixed_line,
    |plan| &plan.mobile,
];
const FIXED_LINE: usize = 9;
const MOBILE: usize = 10;
const FIXED_LINE_OR_MOBILE: usize = 11;

/// What the library has under one calling code.
#[derive(Debug)]
pub(crate) struct CallingCode<'a> {
    /// Its digits.
    pub(crate) code: u16,
    /// In the order in which they are asked.
    pub(crate) regions: Vec<&'a Plan>,
}

impl CallingCode<'_> {
    /// Adds the graph of this calling code's national numbers to `graph` and gives its first node. See [`verdict`].
    ///
    /// # Errors
    /// When a pattern is not what the library would take.
    pub(crate) fn compile(&self, graph: &mut Graph) -> Result<usize> {
        let alone = self.regions.len() == 1;
        let world = self.regions.iter().any(|region| region.id == WORLD);
        ensure!(alone || !world, "+{} is shared by a country and an international service", self.code);
        let mut kinds = Graph::new();
        let digits_max = DIGITS_MAX - self.code.to_string().len();
        let mut regions = Vec::new();
        let mut start = Position { kinds: Vec::new(), leading: Vec::new(), prefix: Automaton::START };
        for plan in &self.regions {
            let region = Region::new(plan, digits_max).with_context(|| plan.id.clone())?;
            start.kinds.push(region.compile(&mut kinds));
            start.leading.push(Automaton::START);
            regions.push(region);
        }
        let main = self.regions.first().context("no region")?;
        let prefix = automaton(main.national_prefix_for_parsing.as_deref(), Question::FindsSome)?;
        let mut product = Product { graph, kinds, regions, prefix, known: HashMap::new() };
        Ok(product.node(&start))
    }
}

/// The id of all international services.
pub(crate) const WORLD: &str = "001";

/// What a number is, in one word: the region's place among those of its calling code, its kind, and whether a plus, the
/// calling code and these digits are read as just this number, with no national prefix found in them.
fn verdict(region: usize, kind: u16, stands: bool) -> u16 {
    u16::try_from(region).map_or(0, |region| region << 5 | kind << 1 | u16::from(stands))
}

/// The patterns of one region.
struct Region {
    general: Pattern,
    kinds: Vec<Pattern>,
    leading: Automaton,
    fixed_is_mobile: bool,
    digits_max: usize,
}

/// A pattern, and the lengths that its numbers have; none given means any.
struct Pattern {
    automaton: Automaton,
    lengths: Vec<i32>,
}

impl Region {
    fn new(plan: &Plan, digits_max: usize) -> Result<Self> {
        Ok(Self {
            general: Pattern::new(plan.general_desc.as_ref())?,
            kinds: KINDS.iter().map(|kind| Pattern::new(kind(plan).as_ref())).collect::<Result<_>>()?,
            leading: automaton(plan.leading_digits.as_deref(), Question::Starts)?,
            fixed_is_mobile: plan.same_mobile_and_fixed_line_pattern(),
            digits_max,
        })
    }

    /// The graph whose verdicts are the kinds of numbers in this region.
    fn compile(&self, graph: &mut Graph) -> usize {
        let start = vec![Automaton::START; KINDS.len() + 1];
        self.node(graph, &mut HashMap::new(), &(start, 0))
    }

    fn node(&self, graph: &mut Graph, known: &mut HashMap<At, usize>, at: &At) -> usize {
        if let Some(node) = known.get(at) {
            return *node;
        }
        let (states, length) = at;
        let mut next = [NOTHING; 10];
        if *length < self.digits_max {
            for (digit, next) in next.iter_mut().enumerate() {
                let states = self.patterns().zip(states).map(|(pattern, state)| pattern.automaton.next(*state, digit));
                *next = self.node(graph, known, &(states.collect(), length + 1));
            }
        }
        let node = graph.add(Node { verdict: self.kind(states, *length), next });
        known.insert(at.clone(), node);
        node
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        std::iter::once(&self.general).chain(&self.kinds)
    }

    /// 0 for none: the library's `Unknown`.
    fn kind(&self, states: &[usize], length: usize) -> u16 {
        let matches: Vec<bool> =
            self.patterns().zip(states).map(|(pattern, state)| pattern.matches(*state, length)).collect();
        let matches = |kind: usize| matches.get(kind).copied().unwrap_or_default();
        if length < NATIONAL_DIGITS_MIN || !matches(0) {
            return 0;
        }
        let kind = match (1..=MOBILE).find(|kind| matches(*kind)).unwrap_or_default() {
            FIXED_LINE if self.fixed_is_mobile || matches(MOBILE) => FIXED_LINE_OR_MOBILE,
            MOBILE if self.fixed_is_mobile => 0,
            kind => kind,
        };
        u16::try_from(kind).unwrap_or_default()
    }
}

/// A state of each pattern, and the digits so far.
type At = (Vec<usize>, usize);

impl Pattern {
    fn new(description: Option<&Description>) -> Result<Self> {
        let pattern = description.and_then(|description| description.national_number_pattern.as_deref());
        let lengths = description.map(|description| description.possible_length.clone()).unwrap_or_default();
        Ok(Self { automaton: automaton(pattern, Question::Whole)?, lengths })
    }

    fn matches(&self, state: usize, length: usize) -> bool {
        let possible =
            self.lengths.is_empty() || self.lengths.iter().any(|possible| usize::try_from(*possible) == Ok(length));
        possible && self.automaton.says_yes(state)
    }
}

fn automaton(pattern: Option<&str>, question: Question) -> Result<Automaton> {
    pattern.map_or_else(|| Ok(Automaton::never()), |pattern| Automaton::new(pattern, question))
}

/// All regions of a calling code side by side.
struct Product<'a> {
    graph: &'a mut Graph,
    kinds: Graph,
    regions: Vec<Region>,
    prefix: Automaton,
    known: HashMap<Position, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Position {
    kinds: Vec<usize>,
    leading: Vec<usize>,
    prefix: usize,
}

impl Product<'_> {
    fn node(&mut self, position: &Position) -> usize {
        if position.kinds.iter().all(|kind| *kind == NOTHING) {
            return NOTHING;
        }
        if let Some(node) = self.known.get(position) {
            return *node;
        }
        let next = std::array::from_fn(|digit| {
            let leading = self.regions.iter().zip(&position.leading);
            let next = Position {
                kinds: position.kinds.iter().map(|kind| self.kinds.next(*kind, digit)).collect(),
                leading: leading.map(|(region, state)| region.leading.next(*state, digit)).collect(),
                prefix: self.prefix.next(position.prefix, digit),
            };
            self.node(&next)
        });
        let node = Node { verdict: self.verdict(position), next };
        let node = self.graph.add(node);
        self.known.insert(position.clone(), node);
        node
    }

    /// The first region that has the number's leading digits or knows its kind is the number's region.
    fn verdict(&self, position: &Position) -> u16 {
        let alone = self.regions.len() == 1;
        let regions = self.regions.iter().zip(&position.leading).zip(&position.kinds);
        let judged = regions
            .map(|((region, leading), kind)| (alone || region.leading.says_yes(*leading), self.kinds.verdict(*kind)));
        match judged.enumerate().find(|(_, (led, kind))| *led || *kind != 0) {
            Some((region, (_, kind))) if kind != 0 => verdict(region, kind, !self.prefix.says_yes(position.prefix)),
            Some(_) | None => 0,
        }
    }
}
