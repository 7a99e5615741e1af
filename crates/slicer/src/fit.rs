//! Graphs whose nodes are too large for a slice: those in the way are computed in parts.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashSet;

use zkslice_graph::{Graph, GraphError};

use crate::PackageError;
use crate::manifest::InputMode;
use crate::partition::{Partition, Segments, Strategy, partition};
use crate::split::{Split, split};

/// Most parts of a node: no model has more slices.
const MOST_PARTS: usize = 256;
/// Nodes that are tried where several stand together in the way.
const MOST_TRIED: usize = 3;

/// Chooses the cuts of a graph, or where a limit asks for it those of the same function with nodes in parts. Deterministic.
///
/// # Errors
/// [`PackageError::Slices`], [`PackageError::TooLarge`] where the graph cannot be cut as asked.
pub fn fit(graph: &Graph, strategy: Strategy, mode: InputMode) -> Result<(Cow<'_, Graph>, Partition), PackageError> {
    let (limit, whole) = match partition(graph, strategy, mode) {
        Err(PackageError::TooLarge { limit, smallest, .. }) => (limit, smallest),
        other => return other.map(|partition| (Cow::Borrowed(graph), partition)),
    };
    let node = match in_parts(graph, limit, mode)? {
        Ok(parts) => {
            let partition = partition(&parts, strategy, mode)?;
            return Ok((Cow::Owned(parts), partition));
        }
        Err(node) => node,
    };
    // Some limit between does; 1 % more than the least is near enough.
    let (mut refused, mut smallest) = (limit, whole);
    while smallest - refused > smallest / 100 {
        let between = refused.midpoint(smallest);
        match in_parts(graph, between, mode)? {
            Ok(_) => smallest = between,
            Err(_) => refused = between,
        }
    }
    Err(PackageError::TooLarge { limit, smallest, node })
}

/// The graph with nodes in parts, so that it can be cut into slices of at most so many rows; or the node that stands in the way.
fn in_parts(graph: &Graph, limit: usize, mode: InputMode) -> Result<Result<Graph, String>, GraphError> {
    let mut graph = Cow::Borrowed(graph);
    loop {
        let intervals = graph.intervals()?;
        let segments = Segments::new(&graph, &intervals, mode);
        let points = segments.points();
        let reach = segments.reach(&points, limit);
        if reach.last().is_some_and(Option::is_some) {
            return Ok(Ok(graph.into_owned()));
        }
        let stuck = segments.stuck(&points, &reach);
        let before = Progress::new(&segments, &points, &reach, usize::MAX);
        let mut best: Option<(Progress, Graph)> = None;
        for &node in stuck.iter().take(MOST_TRIED) {
            let rows = segments.work_before(node + 1) - segments.work_before(node);
            let shape = &graph.tensors[graph.nodes[node].output].shape;
            let most = shape.iter().copied().max().unwrap_or(1).min(MOST_PARTS);
            let mut wanted = rows.div_ceil(limit.max(1)).clamp(2, most.max(2));
            let mut tried = HashSet::new();
            while rows > 0 && best.as_ref().is_none_or(|(progress, _)| !progress.passes) {
                for (axis, length) in shape.iter().enumerate().filter(|(_, length)| **length > 1) {
                    let count = wanted.min(*length);
                    if !tried.insert((axis, count)) {
                        continue;
                    }
                    let Some(Split { graph: parts, join }) = split(&graph, &intervals, node, axis, count) else { continue };
                    let intervals = parts.intervals()?;
                    let segments = Segments::new(&parts, &intervals, mode);
                    let points = segments.points();
                    let progress = Progress::new(&segments, &points, &segments.reach(&points, limit), join);
                    if progress.rows > before.rows && best.as_ref().is_none_or(|(best, _)| progress > *best) {
                        best = Some((progress, parts));
                    }
                }
                if wanted >= most {
                    break;
                }
                wanted = (wanted + (wanted / 3).max(1)).min(most);
            }
        }
        match best {
            Some((_, parts)) => graph = Cow::Owned(parts),
            None => return Ok(Err(stuck.first().map_or(String::new(), |node| graph.nodes[*node].name.clone()))),
        }
    }
}

/// How far slices lead; what leads further, or as far by less, is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    /// Whether they lead past a node, and to the end if no work is left there.
    passes: bool,
    /// Rows of the nodes that they pass, unless that is so.
    unpassed: usize,
    /// How few the slices are, and the rows of all.
    cost: Reverse<(usize, usize)>,
    /// Rows of the nodes that they pass.
    rows: usize,
}

impl Progress {
    fn new(segments: &Segments<'_>, points: &[usize], reach: &[Option<(usize, usize)>], node: usize) -> Self {
        let reached = points.iter().zip(reach).filter_map(|(point, cost)| Some((*point, (*cost)?)));
        let end = points.last().copied().unwrap_or_default();
        let left = |point: usize| segments.work_before(end) > segments.work_before(point);
        let past = reached.clone().filter(|(point, _)| *point >= node && (*point == end || left(*point)));
        let cheapest = past.map(|(_, cost)| cost).min();
        let rows = reached.clone().map(|(point, _)| segments.work_before(point)).max().unwrap_or_default();
        let cost = cheapest.or(reached.map(|(_, cost)| cost).max()).unwrap_or_default();
        Self { passes: cheapest.is_some(), unpassed: if cheapest.is_some() { 0 } else { rows }, cost: Reverse(cost), rows }
    }
}
