//! Arrays of numbers, and the samples that they hold.

use crate::{MAX_VALUES, Slot};

/// An array, row-major.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Array {
    /// The samples of an input: one where the shape is the input's, with or without its leading axes of length 1, or flat; else one for
    /// each index of the first axis.
    pub(crate) fn split(self, slot: &Slot) -> Result<Vec<Vec<f64>>, String> {
        let len = slot.len();
        let fits = |shape: &[usize]| {
            let leading = slot.shape.len() - slot.inner().len();
            shape == [len] || (0..=leading).any(|from| shape == &slot.shape[from..])
        };
        if fits(&self.shape) {
            return Ok(vec![self.values]);
        }
        match self.shape.split_first() {
            Some((_, rest)) if len > 0 && fits(rest) => Ok(self.values.chunks_exact(len).map(<[f64]>::to_vec).collect()),
            _ => Err(format!(
                "an array of shape {:?} does not fit input `{}` of shape {:?}: it must have that shape, or that of several samples along a first axis",
                self.shape, slot.name, slot.shape
            )),
        }
    }
}

/// The number of values of a shape, unless it is more than memory should hold.
pub(crate) fn count(shape: &[usize]) -> Result<usize, String> {
    let count = shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim)).filter(|count| *count <= MAX_VALUES);
    count.ok_or_else(|| format!("its shape {shape:?} has more than {MAX_VALUES} values; give fewer samples"))
}

/// Samples from the lists of each input, which come with what to call them in an error: for each sample its inputs in order.
pub(crate) fn join(lists: impl Iterator<Item = Result<(String, Vec<Vec<f64>>), String>>) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let mut all: Vec<Vec<Vec<f64>>> = Vec::new();
    for (index, list) in lists.enumerate() {
        let (place, list) = list?;
        if index == 0 {
            all.resize(list.len(), Vec::new());
        }
        if list.len() != all.len() {
            return Err(format!("{place} has {} samples, those before it {}", list.len(), all.len()));
        }
        all.iter_mut().zip(list).for_each(|(sample, values)| sample.push(values));
    }
    Ok(all)
}
