//! The table as `sms-core` reads it (`msisdn/plan.rs` there): words of 16 bits, little-endian, to be read where they lie.
//!
//! Word 0 says where the nodes begin. Words 1 to 2000 are two for each calling code from 0 to 999: its first node, and
//! where its regions stand. Then come the regions, two letters each, and the nodes: a verdict (`judge::verdict`) and the
//! ten nodes that the digits lead to. Node 0 leads nowhere.

use std::fmt;

use anyhow::{Context as _, Result, ensure};

use super::graph::{Graph, Node};
use super::judge::WORLD;

const CODES: usize = 1000;

/// Regions under one calling code; the verdict has five bits for their number.
const REGIONS_MAX: usize = 32;

/// A table that is being made.
#[derive(Debug)]
pub(crate) struct Table {
    codes: Vec<[u16; 2]>,
    regions: Vec<u16>,
    nodes: Vec<u16>,
}

impl Default for Table {
    fn default() -> Self {
        Self { codes: vec![[0; 2]; CODES], regions: Vec::new(), nodes: Vec::new() }
    }
}

impl Table {
    /// Adds a calling code whose national numbers begin at node `first`.
    ///
    /// # Errors
    /// When it does not fit.
    pub(crate) fn add<'a>(&mut self, code: u16, first: usize, regions: impl Iterator<Item = &'a str>) -> Result<()> {
        let at = 1 + 2 * CODES + self.regions.len();
        let before = self.regions.len();
        for region in regions {
            let letters = if region == WORLD { "ZZ" } else { region };
            let letters: [u8; 2] = letters.as_bytes().try_into().with_context(|| format!("region {region}"))?;
            self.regions.push(u16::from_le_bytes(letters));
        }
        ensure!(self.regions.len() - before <= REGIONS_MAX, "+{code} has more regions than a verdict can tell apart");
        let entry = self.codes.get_mut(usize::from(code)).with_context(|| format!("calling code {code}"))?;
        *entry = [word(first)?, word(at)?];
        Ok(())
    }

    /// Adds the nodes.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn close(&mut self, graph: &Graph) -> Result<()> {
        for Node { verdict, next } in graph.nodes() {
            self.nodes.push(*verdict);
            for node in next {
                self.nodes.push(word(*node)?);
            }
        }
        word(self.nodes_at())?;
        Ok(())
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let first = u16::try_from(self.nodes_at()).unwrap_or_default(); // `close` has made sure
        let words = std::iter::once(&first).chain(self.codes.as_flattened()).chain(&self.regions).chain(&self.nodes);
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    fn nodes_at(&self) -> usize {
        1 + 2 * CODES + self.regions.len()
    }
}

fn word(number: usize) -> Result<u16> {
    u16::try_from(number).context("the table has outgrown its words of 16 bits")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} regions, {} nodes", self.regions.len(), self.nodes.len() / 11)
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::NOTHING;
    use super::*;

    #[test]
    fn words_stand_where_the_reader_looks() {
        let mut graph = Graph::new();
        let end = graph.add(Node { verdict: 9, next: [NOTHING; 10] });
        let mut table = Table::default();
        table.add(7, end, ["RU", WORLD].into_iter()).unwrap();
        table.close(&graph).unwrap();
        let words: Vec<u16> =
            table.bytes().chunks(2).map(|pair| u16::from_le_bytes(pair.try_into().unwrap())).collect();
        assert_eq!(words.len(), 2003 + 22);
        assert_eq!((words[0], words[15], words[16]), (2003, 1, 2001));
        assert_eq!((words[2001].to_le_bytes(), words[2002].to_le_bytes()), (*b"RU", *b"ZZ"));
        assert_eq!(words[2003..], [[0; 11], [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut table = Table::default();
        assert!(table.add(1000, 1, ["DE"].into_iter()).is_err());
        assert!(table.add(1, 70_000, ["DE"].into_iter()).is_err());
        assert!(table.add(1, 1, ["DEU"].into_iter()).is_err());
        assert!(table.add(1, 1, std::iter::repeat_n("DE", 33)).is_err());
    }
}
