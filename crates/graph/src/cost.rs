//! What a slice costs, counted from its graph; tests hold it against the circuits.

use std::ops::{Add, Sub};

use zkslice_circuit::gadgets::{CHAIN_WORDS, DigitTables};
use zkslice_formats::words_of;

use crate::{Binding, BoundGraph, Graph, Node, Port};

/// Rows of a circuit by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rows of the operators.
    pub operators: usize,
    /// Rows of digits read, commitments, and the fingerprint.
    pub borders: usize,
    /// Rows of the tables and their sums.
    pub tables: usize,
}

impl Cost {
    /// All rows.
    pub fn total(&self) -> usize {
        self.operators + self.borders + self.tables
    }
}

/// What nodes cost by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Product rows.
    products: usize,
    /// Lookups in the model's range table.
    lookups: usize,
    /// Lookups of each of the graph's functions.
    functions: Vec<usize>,
}

impl Work {
    /// Of one node of a validated graph.
    pub fn of(graph: &Graph, node: &Node) -> Self {
        let site = graph.site(node);
        let mut functions = vec![0; graph.functions.len()];
        if let Some((function, lookups)) = node.op.function(&site) {
            functions[function] = lookups;
        }
        Self { products: node.op.products(&site), lookups: node.op.lookups(&site), functions }
    }

    /// Of no node.
    pub fn none(graph: &Graph) -> Self {
        Self { functions: vec![0; graph.functions.len()], ..Self::default() }
    }

    /// Rows of the work, tables not counted.
    pub fn rows(&self) -> usize {
        self.products + self.lookups + self.functions.iter().sum::<usize>()
    }

    fn with(&self, other: &Self, each: impl Fn(usize, usize) -> usize) -> Self {
        let functions = self.functions.iter().zip(&other.functions).map(|(a, b)| each(*a, *b)).collect();
        Self { products: each(self.products, other.products), lookups: each(self.lookups, other.lookups), functions }
    }
}

impl Add for &Work {
    type Output = Work;

    fn add(self, other: Self) -> Work {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for &Work {
    type Output = Work;

    fn sub(self, other: Self) -> Work {
        self.with(other, |a, b| a - b)
    }
}

/// A tensor at a slice's border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// What binds it.
    pub binding: Binding,
    /// Its elements.
    pub count: usize,
    /// Bits of each one's digit.
    pub bits: u32,
}

/// Rows that bind a packed tensor, its digits not counted.
fn binding_rows(binding: Binding, count: usize, bits: u32) -> usize {
    let words = words_of(count, bits);
    match binding {
        Binding::Words => words,
        // Poseidon of two or three inputs, then one of twelve for every block of words, the equality, and the fingerprint's row.
        Binding::Commitment { owner } => (if owner { 264 } else { 243 }) + 507 * words.div_ceil(CHAIN_WORDS) + 2,
    }
}

/// Rows of a slice.
pub fn rows(slice: BoundGraph<'_>) -> Cost {
    let graph = slice.graph;
    let borders = |ports: &[Port], bindings: &[Binding]| -> Vec<Border> {
        let border = |(port, binding): (&Port, &Binding)| Border {
            binding: *binding,
            count: graph.tensors[port.tensor].len(),
            bits: port.encoding.bits,
        };
        ports.iter().zip(bindings).map(border).collect()
    };
    let work = graph.nodes.iter().fold(Work::none(graph), |sum, node| &sum + &Work::of(graph, node));
    cost(graph, &work, &borders(&graph.inputs, slice.inputs), &borders(&graph.outputs, slice.outputs))
}

/// Rows of a slice of a graph that does so much work between these borders.
pub fn cost(graph: &Graph, work: &Work, inputs: &[Border], outputs: &[Border]) -> Cost {
    let w = graph.table_bits;
    let digits: Vec<_> = inputs.iter().map(|border| (border.count, border.bits)).collect();
    let tables = DigitTables::choose(&digits, w);
    let widths = tables.widths(digits.iter().map(|(_, bits)| *bits), w, work.lookups > 0);
    let reads: usize = digits.iter().map(|(count, bits)| count * tables.rows(*bits, w)).sum();
    let bound: usize = inputs.iter().chain(outputs).map(|border| binding_rows(border.binding, border.count, border.bits)).sum();
    let has_owner = inputs.iter().chain(outputs).any(|border| matches!(border.binding, Binding::Commitment { owner: true }));
    let used = graph.functions.iter().zip(&work.functions).filter(|(_, lookups)| **lookups > 0);
    let functions = used.map(|(function, _)| function.values.len() + 1);
    Cost {
        operators: work.rows(),
        // One for the context's row of the fingerprint, one for the owner's.
        borders: reads + bound + 1 + usize::from(has_owner),
        tables: widths.iter().map(|bits| (1 << bits) + 1).sum::<usize>() + functions.sum::<usize>(),
    }
}
