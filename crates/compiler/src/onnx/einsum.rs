//! Einsum, in terms of matrix products.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::Attributes;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known};

pub(super) const OPERATORS: &[Operator] =
    &[operator("Einsum", "any equation: `...`, indices that repeat, any number of factors", |i, c, a| i.einsum(c, a).map(one))];

impl Importer<'_> {
    /// An Einsum takes its factors one by one: what no later factor and no output needs is summed at once.
    fn einsum(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, usize::MAX)?;
        let equation = a.string("equation")?.ok_or_else(|| a.wrong("equation", "is missing"))?;
        let text: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
        let (left, right) = text.split_once("->").map_or((text.as_str(), None), |(left, right)| (left, Some(right)));
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != c.inputs.len() {
            return Err(c.wrong(format!("its equation `{text}` has {} factors where it has {} inputs", terms.len(), c.inputs.len())));
        }
        let unreadable =
            |term: &str| c.wrong(format!("its equation `{text}` has a term `{term}` that does not fit its factor, or cannot be read"));
        let mut spare = 0;
        let mut factors = Vec::with_capacity(terms.len());
        for (index, term) in terms.iter().enumerate() {
            let known = c.known(index)?.clone();
            let rank = self.shape(&known).len();
            let labels =
                labels(term, |letters| rank.checked_sub(letters)).filter(|labels| labels.len() == rank).ok_or_else(|| unreadable(term))?;
            spare = spare.max(labels.iter().filter(|&&label| label >= ELLIPSIS).count());
            factors.push((known, labels));
        }
        let output = match right {
            Some(term) => labels(term, |_| Some(spare)).ok_or_else(|| unreadable(term))?,
            None => {
                // All indices that are there once, by alphabet, after those that `...` stands for.
                let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
                for &label in factors.iter().flat_map(|(_, labels)| labels) {
                    *counts.entry(label).or_default() += 1;
                }
                let once = counts.into_iter().filter(|&(label, count)| count == 1 && label < ELLIPSIS).map(|(label, _)| label);
                (0..spare).rev().map(|axis| ELLIPSIS + axis).chain(once).collect()
            }
        };
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for (known, labels) in &factors {
            for (&label, &size) in labels.iter().zip(self.shape(known)) {
                let all = sizes.entry(label).or_insert(size);
                if *all != size && *all != 1 && size != 1 {
                    return Err(c.wrong(format!("its equation `{text}` has an index of sizes {all} and {size}")));
                }
                *all = size.max(*all);
            }
        }
        let distinct: BTreeSet<usize> = output.iter().copied().collect();
        let reaches = |axis: usize| distinct.contains(&(ELLIPSIS + axis));
        if distinct.len() != output.len() || distinct.iter().any(|label| !sizes.contains_key(label)) || !(0..spare).all(reaches) {
            return Err(c.wrong(format!("its equation `{text}` has an output that does not follow from its factors")));
        }
        let mut all: Option<(Known, Vec<usize>)> = None;
        for index in 0..factors.len() {
            let needed: BTreeSet<usize> = factors[index + 1..].iter().flat_map(|(_, labels)| labels).chain(&output).copied().collect();
            let (known, labels) = self.einsum_factor(c, &factors[index].0, &factors[index].1, &sizes)?;
            all = Some(match all {
                None => self.einsum_sum(c, &known, &labels, |label| needed.contains(&label))?,
                Some((before, others)) => {
                    let (before, others) =
                        self.einsum_sum(c, &before, &others, |label| needed.contains(&label) || labels.contains(&label))?;
                    let (known, labels) =
                        self.einsum_sum(c, &known, &labels, |label| needed.contains(&label) || others.contains(&label))?;
                    self.einsum_pair(c, (&before, &others), (&known, &labels), &needed)?
                }
            });
        }
        let (known, labels) = all.ok_or_else(|| c.wrong("it has no input"))?;
        // A factor's index of size 1 was dropped where it is longer elsewhere, never from all.
        let perm: Option<Vec<usize>> = output.iter().map(|label| labels.iter().position(|other| other == label)).collect();
        let perm =
            perm.filter(|perm| perm.len() == labels.len()).ok_or_else(|| c.wrong(format!("its equation `{text}` cannot be read")))?;
        self.transposed(c, &known, &perm)
    }

    /// A factor with each index once: the diagonal where one repeats, and none that it only broadcasts along.
    fn einsum_factor(
        &mut self,
        c: &Context<'_>,
        known: &Known,
        labels: &[usize],
        sizes: &BTreeMap<usize, usize>,
    ) -> Result<(Known, Vec<usize>), ImportError> {
        let shape = self.shape(known).to_vec();
        let mut axes: Vec<(usize, usize, i64)> = Vec::new();
        let mut step = 1_i64;
        for (&label, &size) in labels.iter().zip(&shape).rev() {
            match axes.iter_mut().find(|axis| axis.0 == label) {
                Some(axis) if axis.1 == size => axis.2 += step,
                Some(axis) => return Err(c.wrong(format!("its equation repeats an index of sizes {} and {size} in one factor", axis.1))),
                None => axes.push((label, size, step)),
            }
            step *= size as i64;
        }
        axes.reverse();
        axes.retain(|(label, size, _)| *size > 1 || sizes.get(label) == Some(&1));
        let dims: Vec<usize> = axes.iter().map(|axis| axis.1).collect();
        let strides: Vec<i64> = axes.iter().map(|axis| axis.2).collect();
        Ok((self.strided(c, known, (&dims, &strides, 0), &dims)?, axes.iter().map(|axis| axis.0).collect()))
    }

    /// Sums along the indices that are not kept.
    fn einsum_sum(
        &mut self,
        c: &Context<'_>,
        known: &Known,
        labels: &[usize],
        keep: impl Fn(usize) -> bool,
    ) -> Result<(Known, Vec<usize>), ImportError> {
        let (kept, summed): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&axis| keep(labels[axis]));
        if summed.is_empty() {
            return Ok((known.clone(), labels.to_vec()));
        }
        let count: usize = summed.iter().map(|&axis| self.shape(known)[axis]).product();
        let shape: Vec<usize> = kept.iter().map(|&axis| self.shape(known)[axis]).collect();
        let left = kept.iter().map(|&axis| labels[axis]).collect();
        let moved = self.transposed(c, known, &[kept, summed].concat())?;
        let sum = self.dense(c, &moved, vec![1.0; count], vec![0.0], &shape)?;
        Ok((sum, left))
    }

    /// The product of two factors, summed along what both have and nothing further needs.
    fn einsum_pair(
        &mut self,
        c: &Context<'_>,
        (x, labels_x): (&Known, &[usize]),
        (y, labels_y): (&Known, &[usize]),
        needed: &BTreeSet<usize>,
    ) -> Result<(Known, Vec<usize>), ImportError> {
        let of = |labels: &[usize], has: &dyn Fn(usize) -> bool| labels.iter().copied().filter(|&label| has(label)).collect::<Vec<usize>>();
        let batch = of(labels_x, &|label| labels_y.contains(&label) && needed.contains(&label));
        let inner = of(labels_x, &|label| labels_y.contains(&label) && !needed.contains(&label));
        let rows = of(labels_x, &|label| !labels_y.contains(&label));
        let columns = of(labels_y, &|label| !labels_x.contains(&label));
        let size = |i: &Self, known: &Known, labels: &[usize], wanted: &[usize]| -> Vec<usize> {
            let at = |label: &usize| labels.iter().position(|other| other == label);
            wanted.iter().filter_map(at).map(|axis| i.shape(known)[axis]).collect()
        };
        let full = [size(self, x, labels_x, &batch), size(self, x, labels_x, &rows), size(self, y, labels_y, &columns)];
        let [b, m, n]: [usize; 3] = [0, 1, 2].map(|group| full[group].iter().product());
        let k: usize = size(self, x, labels_x, &inner).iter().product();
        let order = |labels: &[usize], wanted: [&[usize]; 3]| -> Vec<usize> {
            wanted.iter().copied().flatten().filter_map(|label| labels.iter().position(|other| other == label)).collect()
        };
        let x = self.transposed(c, x, &order(labels_x, [&batch, &rows, &inner]))?;
        let y = self.transposed(c, y, &order(labels_y, [&batch, &inner, &columns]))?;
        let x = self.reshaped(c, &x, &[b, m, k])?;
        let y = self.reshaped(c, &y, &[b, k, n])?;
        let product = if inner.is_empty() { self.product(c, &x, &y)? } else { self.matrix_product(c, &x, &y)? };
        let product = self.reshaped(c, &product, &full.concat())?;
        Ok((product, [batch, rows, columns].concat()))
    }
}

/// Labels from here on are the axes that `...` stands for, counted from the last one.
const ELLIPSIS: usize = 0x11_0000;

/// The indices of one term of an Einsum; `spare` says by the number of its letters how many axes `...` stands for.
fn labels(term: &str, spare: impl Fn(usize) -> Option<usize>) -> Option<Vec<usize>> {
    let (before, after) = term.split_once("...").map_or((term, None), |(before, after)| (before, Some(after)));
    let letters =
        |part: &str| part.chars().map(|letter| letter.is_ascii_alphabetic().then_some(letter as usize)).collect::<Option<Vec<usize>>>();
    let mut list = letters(before)?;
    if let Some(after) = after {
        let after = letters(after)?;
        list.extend((0..spare(list.len() + after.len())?).rev().map(|axis| ELLIPSIS + axis));
        list.extend(after);
    }
    Some(list)
}
