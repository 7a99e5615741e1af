//! Sub-graphs of a model and the wiring between them.

use std::collections::HashSet;

use zkslice_formats::key_blob::TensorKind;
use zkslice_graph::{Binding, BoundGraph, Encoding, Graph, GraphError, Interval, Node, Op, Port, Scale, Tensor, TensorId};

use crate::manifest::InputMode;

/// A tensor that crosses a slice's border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WiringTensor {
    /// Name in the model.
    pub name: String,
    /// What it is.
    pub kind: TensorKind,
    /// Its id in the whole graph.
    pub tensor: TensorId,
    /// Its digits.
    pub encoding: Encoding,
    /// Number of elements.
    pub count: usize,
}

/// All tensors that cross a border: model inputs, model outputs, boundaries in the order of their producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// The tensors.
    pub tensors: Vec<WiringTensor>,
}

/// A slice: its graph, and the wiring tensors that its inputs and outputs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The sub-graph.
    pub graph: Graph,
    /// Wiring tensors of the graph's inputs, ascending.
    pub reads: Vec<usize>,
    /// Wiring tensors of the graph's outputs, ascending.
    pub writes: Vec<usize>,
    /// Bindings of the inputs.
    pub input_bindings: Vec<Binding>,
    /// Bindings of the outputs.
    pub output_bindings: Vec<Binding>,
}

impl Slice {
    /// The graph with its bindings.
    pub fn bound(&self) -> BoundGraph<'_> {
        BoundGraph { graph: &self.graph, inputs: &self.input_bindings, outputs: &self.output_bindings }
    }

    /// Puts a slice together from its graph and the wiring.
    pub(crate) fn new(graph: Graph, reads: Vec<usize>, writes: Vec<usize>, kinds: &[TensorKind]) -> Self {
        let bindings = |tensors: &[usize]| tensors.iter().map(|t| kinds[*t].into()).collect();
        let (input_bindings, output_bindings) = (bindings(&reads), bindings(&writes));
        Self { graph, reads, writes, input_bindings, output_bindings }
    }
}

/// A model cut into slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceModel {
    /// The wiring.
    pub wiring: Wiring,
    /// The slices, each after those it reads from.
    pub slices: Vec<Slice>,
}

/// Digits for a tensor whose values constraints keep in `interval`; `None` if they would be wider than a port may be.
pub(crate) fn boundary_encoding(interval: Interval) -> Option<Encoding> {
    const MAX_BITS: u32 = 32;
    let span = u128::try_from(interval.max.checked_sub(interval.min)?).ok()?;
    let bits = (u128::BITS - span.leading_zeros()).max(1);
    let offset = i64::try_from(interval.min.checked_neg()?).ok()?;
    // A port's offset is not negative; values that are all positive start at zero.
    let (bits, offset) = if offset < 0 { (u128::BITS - u128::try_from(interval.max).ok()?.leading_zeros(), 0) } else { (bits, offset) };
    (bits <= MAX_BITS && offset < 1 << bits).then(|| Encoding::uniform(bits, offset, Scale { mantissa: 1 }))
}

/// Whether the model hands a tensor out. Such a tensor is bound by public words and cannot be a boundary too.
pub(crate) fn is_output(graph: &Graph, tensor: TensorId) -> bool {
    graph.outputs.iter().any(|port| port.tensor == tensor)
}

/// Whether a node makes the same integers wherever it stands. Each slice has those that it reads, so that they cross no border.
pub(crate) fn is_constant(node: &Node) -> bool {
    matches!(node.op, Op::Constant(_))
}

/// Cuts a graph before the nodes `cuts` (ascending).
///
/// # Errors
/// [`GraphError`] for a graph that does not validate, or a cut through a tensor that no port can carry.
pub fn slice(graph: &Graph, cuts: &[usize], mode: InputMode) -> Result<SliceModel, GraphError> {
    let wiring = wiring(graph, &graph.intervals()?, cuts, mode)?;
    let bounds: Vec<usize> = std::iter::once(0).chain(cuts.iter().copied()).chain([graph.nodes.len()]).collect();
    let slices = bounds.windows(2).map(|range| sub_graph(graph, range[0]..range[1], &wiring)).collect::<Result<_, _>>()?;
    Ok(SliceModel { wiring, slices })
}

/// The tensors that cross a border when a graph is cut before the nodes `cuts`.
pub(crate) fn wiring(graph: &Graph, intervals: &[Interval], cuts: &[usize], mode: InputMode) -> Result<Wiring, GraphError> {
    let mut wiring = Wiring::default();
    let mut add = |port: &Port, kind: TensorKind| {
        let tensor = &graph.tensors[port.tensor];
        wiring.tensors.push(WiringTensor {
            name: tensor.name.clone(),
            kind,
            tensor: port.tensor,
            encoding: port.encoding.clone(),
            count: tensor.len(),
        });
    };
    graph.inputs.iter().for_each(|port| add(port, mode.kind()));
    graph.outputs.iter().for_each(|port| add(port, TensorKind::Output));
    let mut last_read = vec![0; graph.tensors.len()];
    for (position, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&tensor| last_read[tensor] = position);
    }
    for (position, node @ Node { output: tensor, .. }) in graph.nodes.iter().enumerate() {
        if is_constant(node) || !cuts.iter().any(|&at| position < at && at <= last_read[*tensor]) {
            continue;
        }
        if is_output(graph, *tensor) {
            return Err(GraphError::Tensor {
                tensor: *tensor,
                reason: "it is an output of the model that a later slice would read; cut elsewhere".into(),
            });
        }
        let encoding = boundary_encoding(intervals[*tensor])
            .ok_or_else(|| GraphError::Tensor { tensor: *tensor, reason: "its values are too wide to cross a slice's border".into() })?;
        add(&Port { tensor: *tensor, encoding }, TensorKind::Boundary);
    }
    Ok(wiring)
}

/// The slice of the nodes in `range`.
///
/// A boundary's digits hold its interval in the whole graph, rounded up to whole bits; within the slice that reads it values may be
/// as large as the digits. Where that lets them outgrow the digits of a tensor that the slice writes, there is no such slice.
pub(crate) fn sub_graph(graph: &Graph, range: std::ops::Range<usize>, wiring: &Wiring) -> Result<Slice, GraphError> {
    let kinds: Vec<TensorKind> = wiring.tensors.iter().map(|t| t.kind).collect();
    let last = range.end == graph.nodes.len();
    let within = &graph.nodes[range.clone()];
    let produced: HashSet<TensorId> = within.iter().map(|node| node.output).collect();
    let produced = |t: TensorId| produced.contains(&t);
    let read: HashSet<TensorId> = within.iter().flat_map(|node| &node.inputs).copied().collect();
    let read = |t: TensorId| read.contains(&t);
    // Wherever the whole graph has its constants, the slice has those that it reads or hands out.
    let constants = graph.nodes[..range.start].iter().filter(|node| is_constant(node) && read(node.output));
    let own = within.iter().filter(|node| !is_constant(node) || read(node.output) || is_output(graph, node.output));
    let nodes: Vec<&Node> = constants.chain(own).collect();
    // An output that is an input passes through the last slice.
    let passes =
        |t: TensorId| last && graph.outputs.iter().any(|port| port.tensor == t) && graph.inputs.iter().any(|port| port.tensor == t);
    let of_kind = |wanted: fn(TensorKind) -> bool, keep: &dyn Fn(TensorId) -> bool| -> Vec<usize> {
        wiring.tensors.iter().enumerate().filter(|(_, t)| wanted(t.kind) && keep(t.tensor)).map(|(i, _)| i).collect()
    };
    let mut reads = of_kind(TensorKind::is_input, &|t| read(t) || passes(t));
    reads.extend(of_kind(|k| k == TensorKind::Boundary, &|t| read(t) && !produced(t)));
    let mut writes = of_kind(|k| k == TensorKind::Output, &|t| produced(t) || passes(t));
    writes.extend(of_kind(|k| k == TensorKind::Boundary, &produced));

    let mut ids: Vec<TensorId> = reads.iter().map(|i| wiring.tensors[*i].tensor).chain(nodes.iter().map(|node| node.output)).collect();
    ids.sort_unstable();
    let local = |t: TensorId| {
        ids.binary_search(&t)
            .map_err(|_| GraphError::Tensor { tensor: t, reason: "a slice reads it, but no slice before writes it".into() })
    };
    let port =
        |i: &usize| Ok::<_, GraphError>(Port { tensor: local(wiring.tensors[*i].tensor)?, encoding: wiring.tensors[*i].encoding.clone() });
    let sub = Graph {
        table_bits: graph.table_bits,
        tensors: ids.iter().map(|t| Tensor { ..graph.tensors[*t].clone() }).collect(),
        nodes: nodes
            .iter()
            .map(|node| {
                let inputs = node.inputs.iter().map(|t| local(*t)).collect::<Result<_, _>>()?;
                Ok(Node { name: node.name.clone(), op: node.op.clone(), inputs, output: local(node.output)? })
            })
            .collect::<Result<_, GraphError>>()?,
        inputs: reads.iter().map(port).collect::<Result<_, _>>()?,
        outputs: writes.iter().map(port).collect::<Result<_, _>>()?,
        functions: graph.functions.clone(),
    };
    sub.validate()?;
    Ok(Slice::new(sub, reads, writes, &kinds))
}
