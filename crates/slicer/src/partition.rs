//! Where to cut.
//!
//! Cuts lie between nodes of the topological order, so any acyclic graph can be cut: whatever crosses becomes a boundary
//! tensor, skip connections too. Among all cuts into n slices the one with the fewest rows in its largest slice is taken,
//! boundaries included; of equals the one with the fewest rows in all. That cuts where tensors are narrow. Constants cross no cut:
//! each slice has those that it reads.

use zkslice_formats::key_blob::TensorKind;
use zkslice_graph::cost::{Border, Work, cost, rows};
use zkslice_graph::{Graph, Interval, TensorId};

use crate::PackageError;
use crate::manifest::InputMode;
use crate::slices::{boundary_encoding, is_constant, is_output, sub_graph, wiring};

/// How many slices to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Exactly that many.
    Slices(usize),
    /// The fewest that keep each below so many rows.
    MaxConstraints(usize),
}

/// A partition: the nodes before which to cut, and the rows of the slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Cuts, ascending.
    pub cuts: Vec<usize>,
    /// Rows of each slice.
    pub rows: Vec<usize>,
}

/// Chooses the cuts. Deterministic.
///
/// # Errors
/// [`PackageError::Slices`], [`PackageError::TooLarge`] where the graph cannot be cut as asked.
pub fn partition(graph: &Graph, strategy: Strategy, mode: InputMode) -> Result<Partition, PackageError> {
    let intervals = graph.intervals()?;
    let last = graph.nodes.len();
    let enough = |strategy: Strategy, partition: &Partition| match strategy {
        Strategy::Slices(n) => partition.rows.len() == n,
        Strategy::MaxConstraints(limit) => partition.rows.iter().all(|rows| *rows <= limit),
    };
    let whole = rows(sub_graph(graph, 0..last, &wiring(graph, &intervals, &[], mode)?)?.bound()).total();
    let single = Partition { cuts: Vec::new(), rows: vec![whole] };
    if enough(strategy, &single) {
        return Ok(single);
    }
    let segments = Segments::new(graph, &intervals, mode);
    let points = segments.points();
    let count = points.len();
    let segment: Vec<Vec<Option<usize>>> = (0..count).map(|i| segments.rows_from(points[i], &points, usize::MAX)).collect();
    // steps[k − 1][j] = (largest, total, where the last slice begins) over partitions of nodes before points[j] into k slices.
    let mut steps: Vec<Vec<Option<(usize, usize, usize)>>> = vec![(0..count).map(|j| segment[0][j].map(|rows| (rows, rows, 0))).collect()];
    let most = match strategy {
        Strategy::Slices(n) => n,
        Strategy::MaxConstraints(_) => count - 1,
    };
    let (mut possible, mut smallest) = (1, whole);
    for k in 2..=most {
        let before = &steps[k - 2];
        let best = |j: usize| {
            let candidates = (1..j).filter_map(|i| {
                let ((largest, total, _), rows) = (before[i]?, segment[i][j]?);
                Some((rows.max(largest), total + rows, i))
            });
            candidates.min()
        };
        let step: Vec<_> = (0..count).map(best).collect();
        let Some((largest, ..)) = step[count - 1] else { break };
        steps.push(step);
        possible = k;
        smallest = smallest.min(largest);
        let mut partition = Partition { cuts: Vec::new(), rows: Vec::new() };
        let mut end = count - 1;
        for step in steps.iter().rev() {
            let Some((.., begin)) = step[end] else { break };
            partition.rows.extend(segment[begin][end]);
            partition.cuts.extend((begin > 0).then_some(points[begin]));
            end = begin;
        }
        partition.cuts.reverse();
        partition.rows.reverse();
        if enough(strategy, &partition) {
            return Ok(partition);
        }
    }
    Err(match strategy {
        Strategy::Slices(wanted) => PackageError::Slices { wanted, possible },
        Strategy::MaxConstraints(limit) => {
            let reach = segments.reach(&points, limit);
            let node = segments.stuck(&points, &reach).first().map_or(String::new(), |position| graph.nodes[*position].name.clone());
            PackageError::TooLarge { limit, smallest, node }
        }
    })
}

/// What is asked of a graph for every slice that it could have.
pub(crate) struct Segments<'a> {
    graph: &'a Graph,
    /// Intervals in the whole graph.
    intervals: &'a [Interval],
    mode: InputMode,
    /// Work of the nodes before each.
    work: Vec<Work>,
    /// For each tensor the node that makes it, and the last that reads it.
    producer: Vec<Option<usize>>,
    last_read: Vec<Option<usize>>,
}

impl<'a> Segments<'a> {
    pub(crate) fn new(graph: &'a Graph, intervals: &'a [Interval], mode: InputMode) -> Self {
        let mut work = vec![Work::none(graph)];
        let (mut producer, mut last_read) = (vec![None; graph.tensors.len()], vec![None; graph.tensors.len()]);
        for (position, node) in graph.nodes.iter().enumerate() {
            work.push(&work[position] + &Work::of(graph, node));
            producer[node.output] = Some(position);
            node.inputs.iter().for_each(|&tensor| last_read[tensor] = Some(position));
        }
        Self { graph, intervals, mode, work, producer, last_read }
    }

    /// Where a slice may begin or end: at the graph's ends, and wherever no tensor crosses that cannot be a boundary. Of more points than
    /// can be tried in pairs the narrowest of each stretch of equal work.
    pub(crate) fn points(&self) -> Vec<usize> {
        const MOST: usize = 512;
        let last = self.graph.nodes.len();
        // What crosses before each node is what crossed before the one before it, and what begins or ends there: bits, and tensors that cannot cross.
        let mut changes = vec![(0_i64, 0_i64); last + 2];
        for (tensor, made) in self.producer.iter().enumerate() {
            let (Some(made), Some(read)) = (made, self.last_read[tensor]) else { continue };
            if is_constant(&self.graph.nodes[*made]) {
                continue;
            }
            let encoding = boundary_encoding(self.intervals[tensor]).filter(|_| !is_output(self.graph, tensor));
            let bits = encoding.as_ref().map_or(0, |encoding| self.graph.tensors[tensor].len() as i64 * i64::from(encoding.bits));
            let impossible = i64::from(encoding.is_none());
            for (at, sign) in [(made + 1, 1), (read + 1, -1)] {
                changes[at].0 += sign * bits;
                changes[at].1 += sign * impossible;
            }
        }
        let (mut bits, mut impossible) = (0, 0);
        let mut possible = Vec::new();
        let all = self.work[last].rows().max(1);
        for (at, (change, before)) in changes.iter().zip(&self.work).enumerate().take(last).skip(1) {
            (bits, impossible) = (bits + change.0, impossible + change.1);
            if impossible == 0 {
                possible.push((before.rows() * MOST / all, bits, at));
            }
        }
        if possible.len() > MOST {
            possible.sort_unstable();
            possible.dedup_by_key(|(stretch, ..)| *stretch);
        }
        std::iter::once(0).chain(possible.into_iter().map(|(.., at)| at)).chain([last]).collect()
    }

    /// Rows of the nodes before one, borders and tables not counted.
    pub(crate) fn work_before(&self, position: usize) -> usize {
        self.work[position].rows()
    }

    /// How far slices of at most so many rows lead: for each of the points up to which they do, how few they are and what they have together.
    pub(crate) fn reach(&self, points: &[usize], limit: usize) -> Vec<Option<(usize, usize)>> {
        let mut reach = vec![None; points.len()];
        reach[0] = Some((0, 0));
        for from in 0..points.len() {
            let Some((slices, total)) = reach[from] else { continue };
            for (to, rows) in self.rows_from(points[from], points, limit).into_iter().enumerate() {
                let Some(rows) = rows.filter(|rows| *rows <= limit) else { continue };
                let new = (slices + 1, total + rows);
                reach[to] = Some(reach[to].map_or(new, |old| new.min(old)));
            }
        }
        reach
    }

    /// The nodes behind the last point that was reached, up to the next with work between; the most expensive first. There is one unless the
    /// end was reached.
    pub(crate) fn stuck(&self, points: &[usize], reach: &[Option<(usize, usize)>]) -> Vec<usize> {
        let last = reach.iter().rposition(Option::is_some).unwrap_or(0);
        let (from, before) = (points[last], self.work_before(points[last]));
        let to = points[last..].iter().find(|point| self.work_before(**point) > before).or(points.last()).copied().unwrap_or(from);
        let rows = |position: usize| self.work_before(position + 1) - self.work_before(position);
        let mut nodes: Vec<usize> = (from..to).collect();
        nodes.sort_by_key(|position| std::cmp::Reverse(rows(*position)));
        nodes
    }

    /// For each of the points the rows of the slice of the nodes from `from` to there; none where there is no such slice, or it
    /// would have no row, no input or no output, or where its nodes alone have more rows than `most`.
    fn rows_from(&self, from: usize, points: &[usize], most: usize) -> Vec<Option<usize>> {
        let tensors = self.graph.tensors.len();
        let mut walk = Walk { from, local: self.intervals.to_vec(), read: vec![false; tensors], reads: Vec::new(), made: Vec::new() };
        let mut at = from;
        let mut possible = true;
        let rows = |&to: &usize| {
            while possible && at < to {
                possible = self.take(at, &mut walk).is_some();
                at += 1;
            }
            possible = possible && self.work_before(to).saturating_sub(self.work_before(from)) <= most;
            (possible && from < to).then(|| self.rows_to(to, &mut walk)).flatten()
        };
        points.iter().map(rows).collect()
    }

    /// Takes a node into the slice; none where its values could outgrow what circuits hold.
    ///
    /// A boundary's digits hold its interval in the whole graph, rounded up to whole bits: in a slice that reads it values may be
    /// as large as the digits, and what follows from them wider than in the whole graph. Elsewhere it is what it is there.
    fn take(&self, position: usize, walk: &mut Walk) -> Option<()> {
        let node = &self.graph.nodes[position];
        for &tensor in &node.inputs {
            let made = self.producer[tensor];
            let constant = made.is_some_and(|position| is_constant(&self.graph.nodes[position]));
            if made >= Some(walk.from) || constant || std::mem::replace(&mut walk.read[tensor], true) {
                continue;
            }
            let count = self.graph.tensors[tensor].len();
            if made.is_none() {
                let port = self.graph.inputs.iter().find(|port| port.tensor == tensor)?;
                walk.reads.push(Border { binding: self.mode.kind().into(), count, bits: port.encoding.bits });
                continue;
            }
            let encoding = boundary_encoding(self.intervals[tensor])?;
            let (min, max) = encoding.range();
            walk.local[tensor] = Interval { min: min.into(), max: max.into() };
            walk.reads.push(Border { binding: TensorKind::Boundary.into(), count, bits: encoding.bits });
        }
        if node.inputs.iter().any(|&tensor| walk.local[tensor] != self.intervals[tensor]) {
            let inputs: Vec<Interval> = node.inputs.iter().map(|&tensor| walk.local[tensor]).collect();
            walk.local[node.output] = node.op.check(&self.graph.site(node), &inputs).ok()?.interval;
        }
        if !is_constant(node) || is_output(self.graph, node.output) {
            walk.made.push(node.output);
        }
        Some(())
    }

    /// Rows of the slice that ends before node `to`; none where a value may not fit the digits of a tensor that it writes.
    fn rows_to(&self, to: usize, walk: &mut Walk) -> Option<usize> {
        // What no node from there on reads, no node of a longer slice's followers reads either.
        walk.made.retain(|&tensor| is_output(self.graph, tensor) || self.last_read[tensor] >= Some(to));
        let write = |&tensor: &TensorId| {
            let (kind, encoding) = match self.graph.outputs.iter().find(|port| port.tensor == tensor) {
                Some(port) => (TensorKind::Output, port.encoding.clone()),
                None => (TensorKind::Boundary, boundary_encoding(self.intervals[tensor])?),
            };
            let ((min, max), values) = (encoding.range(), walk.local[tensor]);
            let fits = values.min >= min.into() && values.max <= max.into();
            fits.then(|| Border { binding: kind.into(), count: self.graph.tensors[tensor].len(), bits: encoding.bits })
        };
        let writes = walk.made.iter().map(write).collect::<Option<Vec<_>>>()?;
        let work = &self.work[to] - &self.work[walk.from];
        (work.rows() > 0 && !walk.reads.is_empty() && !writes.is_empty()).then(|| cost(self.graph, &work, &walk.reads, &writes).total())
    }
}

/// A slice that grows node by node.
struct Walk {
    /// Its first node.
    from: usize,
    /// Intervals in it.
    local: Vec<Interval>,
    /// Which tensors it reads from outside, and as what.
    read: Vec<bool>,
    reads: Vec<Border>,
    /// Tensors that it makes and that may be read after it.
    made: Vec<TensorId>,
}
