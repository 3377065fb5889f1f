//! A graph without circles in which digits lead from node to node. Equal nodes are one node, so that a graph built from
//! its ends is the smallest there is.

use std::collections::HashMap;

/// The node from which nothing valid can be reached.
pub(crate) const NOTHING: usize = 0;

/// Where a number may end or go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// What a number that ends here is; 0 is nothing valid.
    pub(crate) verdict: u16,
    /// Where the digits lead.
    pub(crate) next: [usize; 10],
}

/// Nodes by number; each comes after those it leads to.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, usize>,
}

impl Graph {
    pub(crate) fn new() -> Self {
        let nothing = Node { verdict: 0, next: [NOTHING; 10] };
        Self { nodes: vec![nothing.clone()], known: HashMap::from([(nothing, NOTHING)]) }
    }

    /// The number of this node, which may be an old one.
    pub(crate) fn add(&mut self, node: Node) -> usize {
        *self.known.entry(node).or_insert_with_key(|node| {
            self.nodes.push(node.clone());
            self.nodes.len() - 1
        })
    }

    /// Where a digit leads.
    pub(crate) fn next(&self, node: usize, digit: usize) -> usize {
        self.nodes.get(node).and_then(|node| node.next.get(digit)).copied().unwrap_or(NOTHING)
    }

    /// What a number that ends at this node is.
    pub(crate) fn verdict(&self, node: usize) -> u16 {
        self.nodes.get(node).map_or(0, |node| node.verdict)
    }

    /// All nodes, in order of their numbers.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_nodes_are_one() {
        let mut graph = Graph::new();
        let end = Node { verdict: 7, next: [NOTHING; 10] };
        let first = graph.add(end.clone());
        assert_eq!(graph.add(end), first);
        assert_eq!(graph.add(Node { verdict: 0, next: [NOTHING; 10] }), NOTHING);
        let before = graph.add(Node { verdict: 0, next: [first; 10] });
        assert_eq!(graph.verdict(graph.next(before, 3)), 7);
        assert_eq!(graph.nodes().len(), 3);
    }
}
