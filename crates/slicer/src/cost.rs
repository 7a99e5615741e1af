//! What a slice costs, counted from its graph; tests hold it against the circuits.

use zkslice_circuit::gadgets::{CHAIN_WORDS, DigitTables, words_of};
use zkslice_circuit::{Binding, Layout, SliceShape};
use zkslice_graph::{Graph, Node, Op};

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

/// Rows of one node.
pub(crate) fn node_rows(graph: &Graph, node: &Node) -> usize {
    let outputs = graph.tensors[node.output].len();
    match &node.op {
        Op::Relu { shift: 0 } => 2 * outputs,
        Op::Relu { .. } => 3 * outputs,
        // Without a shift a product ties q to its argument instead of the remainder's lookup.
        Op::Requant { .. } => 2 * outputs,
        Op::Clip { min, max, limbs } => outputs * (1 + *limbs as usize) * [min, max].into_iter().flatten().count(),
        Op::MaxPool { window, limbs } => {
            let positions = (0..window.output[0]).flat_map(|y| (0..window.output[1]).map(move |x| (y, x)));
            let comparisons: usize = positions.map(|(y, x)| window.taps(y, x).count().saturating_sub(1)).sum();
            window.input[0] * comparisons * (1 + *limbs as usize)
        }
        Op::Conv(_) | Op::Dense(_) | Op::SumPool(_) | Op::Affine(_) | Op::Reshape | Op::Transpose { .. } | Op::Concat { .. } => 0,
    }
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
pub fn rows(slice: SliceShape<'_>) -> Cost {
    let graph = slice.graph;
    let w = graph.table_bits;
    let ports = |ports: &[zkslice_graph::Port]| ports.iter().map(|p| (graph.tensors[p.tensor].len(), p.encoding.bits)).collect::<Vec<_>>();
    let (inputs, outputs) = (ports(&graph.inputs), ports(&graph.outputs));
    let tables = DigitTables::choose(&inputs, w);
    let mut cost = Cost { operators: graph.nodes.iter().map(|node| node_rows(graph, node)).sum(), ..Cost::default() };
    cost.borders += inputs.iter().map(|(count, bits)| count * tables.rows(*bits, w)).sum::<usize>();
    let bindings = slice.inputs.iter().chain(slice.outputs);
    cost.borders += bindings.zip(inputs.iter().chain(&outputs)).map(|(b, (count, bits))| binding_rows(*b, *count, *bits)).sum::<usize>();
    // The context's and the owner's rows of the fingerprint.
    cost.borders += 1 + usize::from(slice.has_owner());
    let looks_up = graph.nodes.iter().any(|n| matches!(n.op, Op::Relu { .. } | Op::Requant { .. } | Op::Clip { .. } | Op::MaxPool { .. }));
    let widths = tables.widths(inputs.iter().map(|(_, bits)| *bits), w, looks_up);
    cost.tables = widths.iter().map(|bits| (1 << bits) + 1).sum();
    cost
}

/// Bytes of a proving key of the committed form, from its layout: 64 a G1 point, 128 a G2 point.
pub fn key_bytes(layout: &Layout) -> usize {
    let early = layout.public_wires() + layout.committed_wires();
    let g1 = layout.wires() + early + layout.committed_wires() + layout.second_round_wires() + layout.rows().next_power_of_two();
    64 * g1 + 128 * early
}

/// Rough seconds on two cores and bytes of memory to prove a circuit of that layout (measured: `docs/benchmarks.md`).
pub fn prove_estimate(layout: &Layout) -> (f64, usize) {
    const SECONDS_A_ROW: f64 = 6e-6;
    const BYTES_A_DOMAIN_ROW: usize = 1000;
    let domain = layout.rows().next_power_of_two();
    (domain as f64 * SECONDS_A_ROW, key_bytes(layout) + domain * BYTES_A_DOMAIN_ROW)
}
