//! A node computed in parts.
//!
//! Each part is a stretch of the node's output along one of its axes, and the operator that computes it (`Op::part`). What it reads is
//! computed in parts too, where that costs no row, so that the sums of a wide layer need not cross a border; elsewhere it is moved out
//! of its tensor right behind the node that makes it, so that a slice reads no more than its part. A part stands as early as what it
//! reads allows: behind the parts of the node before it. Where all parts stand, they are joined.

use std::collections::{BTreeMap, HashMap};

use zkslice_graph::{Concat, Graph, Interval, Node, Reshape, Stretch, Tensor, TensorId};

use crate::slices::{boundary_encoding, is_output};
use zkslice_graph::cost::Work;

/// Nodes behind each other that are computed in parts for one.
const MOST_DEEP: usize = 64;

/// A graph with a node in parts.
#[derive(Debug)]
pub struct Split {
    /// The graph.
    pub graph: Graph,
    /// The node that joins the parts.
    pub join: usize,
}

/// Computes a node in so many parts, at least one, along an axis of its output that is as long; none where its operator has no such parts.
/// `intervals` are the graph's. The function is the same, what it refuses too; intervals are no wider, but may be narrower where a part's are.
pub fn split(graph: &Graph, intervals: &[Interval], node: usize, axis: usize, parts: usize) -> Option<Split> {
    let mut splitter = Splitter::new(graph, intervals);
    let Node { name, output, .. } = &graph.nodes[node];
    let shape = &graph.tensors[*output].shape;
    let mut joined = Vec::with_capacity(parts);
    for part in 0..parts {
        let range = part * shape[axis] / parts..(part + 1) * shape[axis] / parts;
        let mut group = Group { part, after: 0, nodes: Vec::new(), made: HashMap::new() };
        joined.push(splitter.compute(node, &Stretch { shape: shape.clone(), axis, range }, &mut group, 0)?);
        splitter.groups.entry(group.after).or_default().extend(group.nodes);
    }
    let join = Node { name: name.clone(), op: Concat { axis }.into(), inputs: joined, output: *output };
    splitter.finish(node, join)
}

/// The nodes of one part.
struct Group {
    part: usize,
    /// They may stand before this node.
    after: usize,
    nodes: Vec<Node>,
    /// Which stretches of tensors they make.
    made: HashMap<(TensorId, Stretch), TensorId>,
}

struct Splitter<'a> {
    graph: &'a Graph,
    intervals: &'a [Interval],
    producer: Vec<Option<usize>>,
    /// How often each tensor is read.
    reads: Vec<usize>,
    tensors: Vec<Tensor>,
    /// What is moved out of tensors, and the parts, by the node before which they stand.
    moves: BTreeMap<usize, Vec<Node>>,
    groups: BTreeMap<usize, Vec<Node>>,
    moved: HashMap<(TensorId, Stretch), TensorId>,
    /// The nodes that cost rows and are computed in parts: in which.
    replaced: BTreeMap<usize, Vec<Stretch>>,
}

impl<'a> Splitter<'a> {
    fn new(graph: &'a Graph, intervals: &'a [Interval]) -> Self {
        let (mut producer, mut reads) = (vec![None; graph.tensors.len()], vec![0; graph.tensors.len()]);
        for (position, node) in graph.nodes.iter().enumerate() {
            producer[node.output] = Some(position);
            node.inputs.iter().for_each(|&tensor| reads[tensor] += 1);
        }
        let (moves, groups, moved, replaced) = Default::default();
        Self { graph, intervals, producer, reads, tensors: graph.tensors.clone(), moves, groups, moved, replaced }
    }

    /// The node before which whoever reads a tensor may stand.
    fn place(&self, tensor: TensorId) -> usize {
        self.producer[tensor].map_or(0, |position| position + 1)
    }

    fn tensor(&mut self, name: String, shape: Vec<usize>) -> TensorId {
        self.tensors.push(Tensor { name, shape });
        self.tensors.len() - 1
    }

    /// Computes a stretch of a node's output.
    fn compute(&mut self, position: usize, of: &Stretch, group: &mut Group, depth: usize) -> Option<TensorId> {
        let node = &self.graph.nodes[position];
        let part = node.op.part(&self.graph.site(node), of)?;
        let inputs = part.inputs.iter().map(|(input, stretch)| self.read(node.inputs[*input], stretch, group, depth)).collect();
        let output = self.tensor(format!("{}/part{}", self.graph.tensors[node.output].name, group.part), of.cut());
        group.nodes.push(Node { name: format!("{}/part{}", node.name, group.part), op: part.op, inputs, output });
        Some(output)
    }

    /// A stretch of a tensor, in the shape that it is read in.
    fn read(&mut self, tensor: TensorId, stretch: &Stretch, group: &mut Group, depth: usize) -> TensorId {
        let Tensor { name, shape } = &self.graph.tensors[tensor];
        let found = if stretch.is_whole() {
            group.after = group.after.max(self.place(tensor));
            tensor
        } else if let Some(own) = stretch.under(shape)
            && let Some(made) = self.computed(tensor, &own, group, depth)
        {
            made
        } else {
            let place = self.place(tensor);
            group.after = group.after.max(place);
            let key = (tensor, stretch.clone());
            match self.moved.get(&key) {
                Some(moved) => *moved,
                None => {
                    let name = format!("{name}/part{}", group.part);
                    let moved = self.tensor(name.clone(), stretch.cut());
                    let node = Node { name, op: stretch.view().into(), inputs: vec![tensor], output: moved };
                    self.moves.entry(place).or_default().push(node);
                    self.moved.insert(key, moved);
                    moved
                }
            }
        };
        if self.tensors[found].shape == stretch.cut() {
            return found;
        }
        let name = format!("{name}/part{}", group.part);
        let output = self.tensor(name.clone(), stretch.cut());
        group.nodes.push(Node { name, op: Reshape.into(), inputs: vec![found], output });
        output
    }

    /// A stretch of a tensor by its own node in parts, where that costs nothing: the node costs no row, or what it makes is too wide to
    /// cross a border and nobody else reads it.
    fn computed(&mut self, tensor: TensorId, stretch: &Stretch, group: &mut Group, depth: usize) -> Option<TensorId> {
        let key = (tensor, stretch.clone());
        if let Some(made) = group.made.get(&key) {
            return Some(*made);
        }
        let position = self.producer[tensor].filter(|_| depth < MOST_DEEP)?;
        let free = Work::of(self.graph, &self.graph.nodes[position]).rows() == 0;
        let bound = boundary_encoding(self.intervals[tensor]).is_none() && self.reads[tensor] == 1 && !is_output(self.graph, tensor);
        if !free && !bound {
            return None;
        }
        let made = self.compute(position, stretch, group, depth + 1)?;
        if !free {
            self.replaced.entry(position).or_default().push(stretch.clone());
        }
        group.made.insert(key, made);
        Some(made)
    }

    /// The graph with everything in its place. None where a node that costs rows would be computed twice in part, or not wholly, or where
    /// the graph would outgrow what graphs may be.
    fn finish(mut self, node: usize, join: Node) -> Option<Split> {
        for (position, stretches) in &mut self.replaced {
            stretches.sort_by_key(|stretch| stretch.range.start);
            let axis = stretches[0].axis;
            let mut end = 0;
            for stretch in stretches.iter() {
                if stretch.axis != axis || stretch.range.start != std::mem::replace(&mut end, stretch.range.end) {
                    return None;
                }
            }
            if end != self.graph.tensors[self.graph.nodes[*position].output].shape[axis] {
                return None;
            }
        }
        let mut own: Vec<Option<Node>> = self.graph.nodes.iter().cloned().map(Some).collect();
        own[node] = Some(join);
        let mut reads = vec![0; self.tensors.len()];
        let all = own.iter().flatten().chain(self.moves.values().flatten()).chain(self.groups.values().flatten());
        all.flat_map(|node| &node.inputs).for_each(|&tensor| reads[tensor] += 1);
        // What its parts stand for, and what nobody reads any more.
        for position in (0..own.len()).rev() {
            let tensor = self.graph.nodes[position].output;
            let unread = reads[tensor] == 0 && self.reads[tensor] > 0 && !is_output(self.graph, tensor);
            if unread && let Some(dead) = own[position].take() {
                dead.inputs.iter().for_each(|&tensor| reads[tensor] -= 1);
            }
        }
        let mut nodes = Vec::new();
        let mut at = 0;
        for (position, own) in own.into_iter().enumerate() {
            nodes.extend(self.moves.remove(&position).into_iter().chain(self.groups.remove(&position)).flatten());
            if position == node {
                at = nodes.len();
            }
            nodes.extend(own);
        }
        let Graph { table_bits, inputs, outputs, functions, .. } = self.graph;
        let (inputs, outputs, functions) = (inputs.clone(), outputs.clone(), functions.clone());
        let graph = without_unmade(Graph { table_bits: *table_bits, tensors: self.tensors, nodes, inputs, outputs, functions });
        graph.validate().ok()?;
        Some(Split { graph, join: at })
    }
}

/// The graph without the tensors that no node makes.
fn without_unmade(mut graph: Graph) -> Graph {
    let mut made = vec![false; graph.tensors.len()];
    graph.inputs.iter().for_each(|port| made[port.tensor] = true);
    graph.nodes.iter().for_each(|node| made[node.output] = true);
    let before = |count: &mut usize, made: &bool| {
        let id = *count;
        *count += usize::from(*made);
        Some(id)
    };
    let ids: Vec<TensorId> = made.iter().scan(0, before).collect();
    let mut keep = made.into_iter();
    graph.tensors.retain(|_| keep.next() == Some(true));
    for node in &mut graph.nodes {
        node.output = ids[node.output];
        node.inputs.iter_mut().for_each(|tensor| *tensor = ids[*tensor]);
    }
    graph.inputs.iter_mut().chain(&mut graph.outputs).for_each(|port| port.tensor = ids[port.tensor]);
    graph
}
