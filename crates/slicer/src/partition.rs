//! Where to cut.
//!
//! Cuts lie between nodes of the topological order, so any acyclic graph can be cut: whatever crosses becomes a boundary
//! tensor, skip connections too. Among all cuts into n slices the one with the fewest rows in its largest slice is taken,
//! boundaries included; of equals the one with the fewest rows in all. That cuts where tensors are narrow.

use zkslice_graph::{Graph, TensorId};

use crate::PackageError;
use crate::cost::rows;
use crate::package::InputMode;
use crate::slices::{boundary_encoding, crossing, is_output, sub_graph, wiring};

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
    let whole = rows(sub_graph(graph, 0..last, &wiring(graph, &intervals, &[], mode)?)?.shape()).total();
    let enough = |strategy: Strategy, partition: &Partition| match strategy {
        Strategy::Slices(n) => partition.rows.len() == n,
        Strategy::MaxConstraints(limit) => partition.rows.iter().all(|rows| *rows <= limit),
    };
    // Rows of the slice of nodes `from..to`, boundaries included; none if it can be no slice.
    let rows_of = |from: usize, to: usize| {
        let cuts: Vec<usize> = [from, to].into_iter().filter(|at| *at != 0 && *at != last).collect();
        let slice = sub_graph(graph, from..to, &wiring(graph, &intervals, &cuts, mode).ok()?).ok()?;
        Some(rows(slice.shape()).total())
    };
    let single = Partition { cuts: Vec::new(), rows: vec![whole] };
    if enough(strategy, &single) {
        return Ok(single);
    }
    let crosses = |t: &TensorId| !is_output(graph, *t) && boundary_encoding(intervals[*t]).is_some();
    let encodable = |at: &usize| crossing(graph, *at).iter().all(crosses);
    let has_work = |range: std::ops::Range<usize>| graph.nodes[range].iter().any(|node| crate::cost::node_rows(graph, node) > 0);
    // A cut right after another with no row between them would make an empty slice.
    let mut points = vec![0];
    points.extend((1..last).filter(encodable));
    points.push(last);
    let count = points.len();
    let mut segment = vec![vec![None; count]; count];
    for i in 0..count {
        for j in i + 1..count {
            if has_work(points[i]..points[j]) {
                segment[i][j] = rows_of(points[i], points[j]);
            }
        }
    }
    // best[j] = (largest, total, cuts) over partitions of nodes before points[j] into k slices.
    type Best = Option<(usize, usize, Vec<usize>)>;
    let mut best: Vec<Best> = (0..count).map(|j| segment[0][j].map(|rows| (rows, rows, vec![]))).collect();
    let most = match strategy {
        Strategy::Slices(n) => n,
        Strategy::MaxConstraints(_) => count - 1,
    };
    let (mut possible, mut smallest) = (1, whole);
    for k in 2..=most {
        best = (0..count)
            .map(|j| {
                let candidates = (1..j).filter_map(|i| {
                    let (largest, total, cuts) = best[i].as_ref()?;
                    let rows = segment[i][j]?;
                    let mut cuts = cuts.clone();
                    cuts.push(points[i]);
                    Some((rows.max(*largest), total + rows, cuts))
                });
                candidates.min()
            })
            .collect();
        let Some((largest, _, cuts)) = &best[count - 1] else { break };
        possible = k;
        smallest = smallest.min(*largest);
        let bounds: Vec<usize> = std::iter::once(0).chain(cuts.iter().copied()).chain([last]).collect();
        let rows = bounds.windows(2).filter_map(|b| rows_of(b[0], b[1])).collect();
        let partition = Partition { cuts: cuts.clone(), rows };
        if enough(strategy, &partition) {
            return Ok(partition);
        }
    }
    Err(match strategy {
        Strategy::Slices(wanted) => PackageError::Slices { wanted, possible },
        Strategy::MaxConstraints(limit) => PackageError::TooLarge { limit, smallest },
    })
}
