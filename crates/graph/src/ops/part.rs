//! Parts of a node: the same operator over a stretch of its output.

use std::ops::Range;

use super::{Op, Site, View};

/// Some elements of a tensor: those whose index along an axis is in a range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The tensor's shape, or another of as many elements.
    pub shape: Vec<usize>,
    /// An axis of it.
    pub axis: usize,
    /// Indices along that axis; at least one.
    pub range: Range<usize>,
}

impl Stretch {
    /// All elements of a tensor.
    pub(crate) fn whole(shape: &[usize]) -> Self {
        // A tensor without axes has one element.
        let shape = if shape.is_empty() { vec![1] } else { shape.to_vec() };
        let range = 0..shape[0];
        Self { shape, axis: 0, range }
    }

    /// A stretch along an axis.
    pub(crate) fn along(shape: &[usize], axis: usize, range: Range<usize>) -> Self {
        Self { shape: shape.to_vec(), axis, range }
    }

    /// Elements from one index of the axis to the next.
    fn inner(&self) -> usize {
        self.shape[self.axis + 1..].iter().product()
    }

    /// Whether it is all elements.
    pub fn is_whole(&self) -> bool {
        self.range == (0..self.shape[self.axis])
    }

    /// The shape of its elements alone.
    pub fn cut(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[self.axis] = self.range.len();
        shape
    }

    /// The same elements as a stretch along an axis of another shape of the tensor, if they are one.
    pub fn under(&self, shape: &[usize]) -> Option<Self> {
        if self.is_whole() {
            return Some(Self::whole(shape));
        }
        let (inner, outer) = (self.inner(), self.shape[..self.axis].iter().product::<usize>());
        let ends = [self.range.start * inner, self.range.end * inner];
        let fits = |axis: &usize| {
            let below: usize = shape[axis + 1..].iter().product();
            shape[..*axis].iter().product::<usize>() == outer && ends.iter().all(|end| end.is_multiple_of(below))
        };
        // Among axes of length 1 the last one before the elements is meant.
        let axis = (0..shape.len()).rev().find(fits)?;
        let below: usize = shape[axis + 1..].iter().product();
        Some(Self::along(shape, axis, ends[0] / below..ends[1] / below))
    }

    /// The move that takes it from its tensor.
    pub fn view(&self) -> View {
        let (inner, length) = (self.inner(), self.shape[self.axis]);
        let outer: usize = self.shape[..self.axis].iter().product();
        View {
            dims: vec![outer, self.range.len(), inner],
            strides: vec![(length * inner) as i64, inner as i64, 1],
            first: self.range.start * inner,
        }
    }
}

/// An operator that computes a stretch of a node's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The operator.
    pub op: Op,
    /// What it reads: which of the node's inputs, and what of it.
    pub inputs: Vec<(usize, Stretch)>,
}

impl Part {
    /// Of an operator that computes each element from those in its place.
    pub(crate) fn element_wise(op: Op, site: &Site<'_>, of: &Stretch) -> Self {
        Self { op, inputs: (0..site.inputs.len()).map(|input| (input, of.clone())).collect() }
    }

    /// Of an operator of one input.
    pub(crate) fn reading(op: impl Into<Op>, input: Stretch) -> Self {
        Self { op: op.into(), inputs: vec![(0, input)] }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ops::view;

    /// The elements of a stretch, by their places.
    fn places(stretch: &Stretch) -> Vec<usize> {
        let inner = stretch.inner();
        let count: usize = stretch.shape.iter().product();
        (0..count).filter(|place| stretch.range.contains(&(place / inner % stretch.shape[stretch.axis]))).collect()
    }

    #[test]
    fn stretches_are_the_same_elements_under_every_shape() {
        let shapes: [&[usize]; 9] =
            [&[24], &[1, 24], &[2, 3, 4], &[1, 2, 3, 4], &[6, 4], &[2, 12], &[2, 1, 12, 1], &[24, 1, 1], &[1, 1, 4, 6]];
        let mut found = 0;
        for shape in shapes {
            for (axis, &length) in shape.iter().enumerate() {
                for start in 0..length {
                    for end in start + 1..=length {
                        let stretch = Stretch::along(shape, axis, start..end);
                        let all: Vec<usize> = (0..24).collect();
                        let View { dims, strides, first } = stretch.view();
                        assert_eq!(view(&dims, &strides, first, &all), places(&stretch));
                        assert_eq!(stretch.cut().iter().product::<usize>(), places(&stretch).len());
                        for other in shapes {
                            // Any stretch of the other shape that has these elements is found.
                            let is_one = (0..other.len()).any(|axis| {
                                (0..other[axis]).any(|start| {
                                    (start + 1..=other[axis])
                                        .any(|end| places(&Stretch::along(other, axis, start..end)) == places(&stretch))
                                })
                            });
                            let under = stretch.under(other);
                            assert_eq!(under.is_some(), is_one, "{stretch:?} under {other:?}: {under:?}");
                            if let Some(under) = under {
                                assert_eq!(places(&under), places(&stretch), "{stretch:?} under {other:?}");
                                found += 1;
                            }
                        }
                    }
                }
            }
        }
        assert!(found > 1000, "{found}");
        assert_eq!(Stretch::whole(&[]).cut(), [1]);
    }
}
