//! Attention, and the rotary embedding of positions.

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::mask::{MASKED, Mask, mask_numbers, raised};
use super::operators::{Operator, one, operator};
use super::types::width;
use super::{ImportError, Importer, Known, broadcast};
use crate::float::Kind;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Attention", "three or four axes, shared keys, masks, earlier keys and values", |i, c, a| i.attention(c, a)),
    operator("RotaryEmbedding", "constant caches and positions", |i, c, a| i.rotary(c, a).map(one)),
];

const INTEGER_MASK: &str = "its mask is of integers where truth values or floats are needed";

impl Importer<'_> {
    /// Heads as an axis: `[batch, heads, length, size]`.
    fn heads(&mut self, c: &Context<'_>, known: &Known, count: Option<usize>) -> Result<Known, ImportError> {
        match (self.shape(known), count) {
            (&[_, heads, _, _], count) if count.is_none_or(|count| count == heads) => Ok(known.clone()),
            (&[batch, length, size], Some(count)) if size.is_multiple_of(count) => {
                let split = self.reshaped(c, known, &[batch, length, count, size / count])?;
                self.transposed(c, &split, &[0, 2, 1, 3])
            }
            (shape, None) => Err(c.wrong(format!("its input has shape {shape:?}; state its number of heads, or give four axes"))),
            (shape, Some(count)) => Err(c.wrong(format!("its input of shape {shape:?} has not {count} heads"))),
        }
    }

    /// Earlier keys or values and those of the input.
    fn with_past(&mut self, c: &Context<'_>, past: usize, now: Known) -> Result<Known, ImportError> {
        let Some(past) = c.optional(past) else {
            return Ok(now);
        };
        let (before, shape) = (self.shape(past), self.shape(&now));
        if before.len() != 4 || (0..4).any(|axis| axis != 2 && before[axis] != shape[axis]) {
            return Err(c.wrong(format!("its earlier keys or values of shape {before:?} do not fit those of shape {shape:?}")));
        }
        self.joined(c, &[past.clone(), now], 2)
    }

    fn attention(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(3, if c.opset < 24 { 6 } else { 7 })?;
        a.ignore("softmax_precision");
        let mut count = |name: &str| match a.int(name)? {
            None => Ok(None),
            Some(n) => usize::try_from(n).ok().filter(|&n| n > 0).map(Some).ok_or_else(|| a.wrong(name, format!("is {n}"))),
        };
        let (heads, kv_heads) = (count("q_num_heads")?, count("kv_num_heads")?);
        let causal = a.flag("is_causal", false)?;
        let mode = a.int("qk_matmul_output_mode")?.unwrap_or(0);
        let softcap = a.float("softcap", 0.0)?;
        let flat = self.shape(c.known(0)?).len() == 3;
        let query = self.heads(c, c.known(0)?, heads)?;
        let key = self.heads(c, c.known(1)?, kv_heads)?;
        let value = self.heads(c, c.known(2)?, kv_heads)?;
        let present = [self.with_past(c, 4, key)?, self.with_past(c, 5, value)?];
        let shapes = [&query, &present[0], &present[1]].map(|known| self.shape(known).to_vec());
        let ([batch, heads, rows, size], [_, groups, columns, _], [_, _, _, out]) = (&shapes[0][..], &shapes[1][..], &shapes[2][..]) else {
            return Err(c.wrong("its inputs must have three or four axes"));
        };
        let (&batch, &heads, &rows, &size, &groups, &columns, &out) = (batch, heads, rows, size, groups, columns, out);
        if shapes[1] != [batch, groups, columns, size] || shapes[2] != [batch, groups, columns, out] || !heads.is_multiple_of(groups) {
            return Err(c.wrong(format!("its queries, keys and values of shapes {shapes:?} do not fit each other")));
        }
        let scale = a.float("scale", (1.0 / (size as f64).sqrt()) as f32)?;
        // Heads that share keys are rows of one product.
        let query = self.reshaped(c, &query, &[batch, groups, heads / groups * rows, size])?;
        let turned = self.transposed(c, &present[0], &[0, 1, 3, 2])?;
        let scores = self.matrix_product(c, &query, &turned)?;
        let shape = [batch, heads, rows, columns];
        let scores = self.reshaped(c, &scores, &shape)?;
        let mut scores = self.sum(c, &[(&scores, scale)], 0.0)?;
        let mut shown = scores.clone();

        let (mask, added) = self.attention_mask(c, &scores, &shape, causal)?;
        let adds = added.is_some() || mask.adds() || mask.bias.iter().flatten().any(|&x| x != 0.0 && x != f64::NEG_INFINITY);
        if softcap != 0.0 && adds {
            return Err(
                a.wrong("softcap", "stands beside a mask that adds numbers, which runtimes read differently; use a mask of truth values")
            );
        }
        if let Some(added) = &added {
            scores = self.plus(c, &scores, added)?;
        }
        if !(0..=3).contains(&mode) {
            return Err(a.wrong("qk_matmul_output_mode", format!("is {mode} where 0 to 3 are possible")));
        }
        if mode == 1 && c.is_read(3) {
            if softcap != 0.0 {
                return Err(a.wrong("qk_matmul_output_mode", "is 1 beside `softcap`, which runtimes read differently"));
            }
            let finite = mask.keep.is_none() && mask.bias.iter().flatten().all(|&x| x >= MASKED);
            if !finite {
                return Err(a.wrong("qk_matmul_output_mode", "is 1, which shows masked scores, and they are infinite or have no scale"));
            }
            shown = match &mask.bias {
                Some(bias) => self.weighted(c, &[(&scores, vec![1.0])], bias)?,
                None => scores.clone(),
            };
        }
        if softcap != 0.0 {
            scores = self.map(c, &scores, "Softcap", vec![softcap], |x, p| p[0] * libm::tanh(x / p[0]))?;
        }
        if mode == 2 {
            if c.is_read(3) && (mask.keep.is_some() || mask.bias.is_some() || added.is_some()) {
                return Err(a.wrong("qk_matmul_output_mode", "is 2 beside a mask, which runtimes read differently"));
            }
            shown = scores.clone();
        }
        if let Some(bias) = &mask.bias {
            scores = self.left_of_hidden(c, &scores, bias, columns)?;
        }
        let parts = self.soft_max(c, &scores, columns, &mask, false)?;
        let left = self.reshaped(c, &parts, &[batch, groups, heads / groups * rows, columns])?;
        if mode == 3 {
            shown = parts;
        }
        let product = self.matrix_product(c, &left, &present[1])?;
        let mut output = self.reshaped(c, &product, &[batch, heads, rows, out])?;
        if flat {
            output = self.transposed(c, &output, &[0, 2, 1, 3])?;
            output = self.reshaped(c, &output, &[batch, rows, heads * out])?;
        }
        let [key, value] = present;
        Ok(vec![output, key, value, shown])
    }

    /// What masks an Attention's scores, and numbers that are added to them.
    fn attention_mask(
        &mut self,
        c: &Context<'_>,
        scores: &Known,
        shape: &[usize; 4],
        causal: bool,
    ) -> Result<(Mask, Option<Known>), ImportError> {
        let [batch, _, rows, columns] = *shape;
        let past = c.optional(4).map_or(0, |past| self.shape(past).get(2).copied().unwrap_or(0));
        let mut mask = Mask::default();
        let mut added = None;
        let hide = |mask: &mut Mask, hidden: &dyn Fn(usize) -> bool| {
            let count = shape.iter().product();
            let bias = mask.bias.get_or_insert_with(|| vec![0.0; count]);
            bias.iter_mut().enumerate().filter(|(e, _)| hidden(*e)).for_each(|(_, x)| *x = f64::NEG_INFINITY);
        };
        if let Some(known) = c.optional(3) {
            // A mask that is too short leaves the columns beyond it out.
            let mut known = known.clone();
            let from = self.shape(&known).to_vec();
            let stated = from.last().copied().unwrap_or(1);
            if stated > 1 && stated < columns && self.is_masked(&known) {
                return Err(c.wrong("its computed mask is shorter than its scores; pad the mask"));
            }
            if stated > 1 && stated < columns {
                let indices: Vec<usize> = (0..columns).map(|column| column.min(stated - 1)).collect();
                known = self.gathered(c, &known, from.len() - 1, &indices)?;
                hide(&mut mask, &|e| e % columns >= stated);
            }
            if broadcast::shape(self.shape(&known), shape).as_deref() != Some(&shape[..]) {
                return Err(c.wrong(format!("its mask of shape {from:?} does not fit scores of shape {shape:?}")));
            }
            match &known {
                Known::Constant(constant) => {
                    if c.element(3).and_then(width).is_some() {
                        return Err(c.wrong(INTEGER_MASK));
                    }
                    let mut list = mask_numbers(c, constant)?;
                    // Integers are truth values, where they can be.
                    if matches!(constant.elements, Elements::Ints(_)) && list.iter().all(|&x| x == 0.0 || x == 1.0) {
                        list.iter_mut().for_each(|x| *x = if *x == 0.0 { f64::NEG_INFINITY } else { 0.0 });
                    }
                    let bias = Some(broadcast::repeat(&list, &constant.shape, shape));
                    mask = self.both(c, mask, Mask { bias, ..Mask::default() })?;
                }
                &Known::Value(id) => {
                    let wide = self.expanded(c, &known, shape)?;
                    match self.kind(&known) {
                        Kind::Boolean => mask.keep = Some(wide),
                        Kind::Real => {
                            let mut inherited = self.mask_of(c, &known, shape)?;
                            inherited.empty = raised(inherited.empty, scores, c.float_type());
                            let written = if self.is_masked(&known) { None } else { self.written_mask(c, id)? };
                            let from = self.shape(&known).to_vec();
                            let written = written.map(|written| self.expanded_mask(c, written, &from, shape)).transpose()?;
                            added = written.is_none().then_some(wide);
                            mask = self.one_after_other(c, mask, written.unwrap_or(inherited))?;
                        }
                        Kind::Integer => return Err(c.wrong(INTEGER_MASK)),
                    }
                }
            }
        }
        if causal {
            if past > 0 && rows == 1 && columns > past + 1 {
                return Err(
                    c.wrong("its one query sees keys after it, which runtimes read differently; leave `is_causal` out, or give a mask")
                );
            }
            hide(&mut mask, &|e| e % columns > e / columns % rows + past);
        }
        if causal && c.optional(6).is_some() {
            return Err(c.wrong("its `is_causal` beside lengths of keys is read differently by runtimes; give a mask instead"));
        }
        match c.optional(6) {
            Some(known) if self.shape(known) != [batch] => {
                return Err(c.wrong(format!("its lengths of shape {:?} do not fit a batch of {batch}", self.shape(known))));
            }
            Some(Known::Constant(constant)) => {
                let list = c.ints(constant)?;
                let each = shape[1..].iter().product::<usize>();
                hide(&mut mask, &|e| (e % columns) as i64 >= list[e / each]);
            }
            Some(lengths @ Known::Value(_)) => {
                // A column is kept where its number is below the length.
                let lengths = self.reshaped(c, lengths, &[batch, 1])?;
                let numbers = Known::Constant(Constant::ints(vec![1, columns], (1..=columns as i64).collect()));
                let keep = self.at_least(c, &lengths, &numbers)?;
                let keep = self.reshaped(c, &keep, &[batch, 1, 1, columns])?;
                let keep = Some(self.expanded(c, &keep, shape)?);
                mask = self.both(c, mask, Mask { keep, ..Mask::default() })?;
            }
            None => {}
        }
        Ok((mask, added))
    }

    /// Pairs of elements, turned by constant angles: a weighted sum of each element and its partner.
    fn rotary(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 4)?;
        let interleaved = a.flag("interleaved", false)?;
        let size = |value: Option<i64>| usize::try_from(value.unwrap_or(0)).ok();
        let (rotated, heads) = (size(a.int("rotary_embedding_dim")?), size(a.int("num_heads")?));
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        // Batch, positions, heads and elements, and the axes that they are at.
        let (dims, position) = match (&shape[..], heads) {
            (&[batch, heads, length, size], _) => ([batch, heads, length, size], 2),
            (&[batch, length, size], Some(heads)) if heads > 0 && size.is_multiple_of(heads) => ([batch, length, heads, size / heads], 1),
            _ => return Err(c.wrong(format!("its input has shape {shape:?}; four axes, or three and `num_heads`, are needed"))),
        };
        let size = dims[3];
        let rotated = rotated
            .map(|rotated| if rotated == 0 { size } else { rotated })
            .filter(|&rotated| rotated <= size && rotated.is_multiple_of(2));
        let rotated =
            rotated.ok_or_else(|| c.wrong(format!("it turns an odd number of elements, or more than the {size} that there are")))?;
        let half = rotated / 2;
        let (batch, length) = (dims[0], dims[position]);
        // An angle per batch, position and pair.
        let angles = |index: usize| -> Result<Vec<f64>, ImportError> {
            let constant = c.constant(index)?;
            let list = c.floats(constant)?;
            let wrong = || c.wrong(format!("its cache of shape {:?} does not fit {length} positions and {half} pairs", constant.shape));
            match (c.optional_constant(3)?, &constant.shape[..]) {
                (Some(positions), &[count, pairs]) if pairs == half && positions.shape == [batch, length] => {
                    let row = |&position: &i64| c.index(position, count).map(|row| list[row * half..(row + 1) * half].to_vec());
                    Ok(c.ints(positions)?.iter().map(row).collect::<Result<Vec<_>, _>>()?.concat())
                }
                (None, &[batches, positions, pairs]) if (batches, positions, pairs) == (batch, length, half) => Ok(list.to_vec()),
                _ => Err(wrong()),
            }
        };
        let (cosines, sines) = (angles(1)?, angles(2)?);
        let count: usize = dims.iter().product();
        let partner = |element: usize| match (element < rotated, interleaved, element < half) {
            (false, ..) => element,
            (_, true, _) => element ^ 1,
            (_, _, true) => element + half,
            _ => element - half,
        };
        let inner: usize = dims[position + 1..].iter().product();
        let factor = |e: usize| {
            let element = e % size;
            if element >= rotated {
                return (1.0, 0.0);
            }
            let (pair, first) = if interleaved { (element / 2, element.is_multiple_of(2)) } else { (element % half, element < half) };
            let angle = (e / (count / batch) * length + e / inner % length) * half + pair;
            (cosines[angle], if first { -sines[angle] } else { sines[angle] })
        };
        let (own, others): (Vec<f64>, Vec<f64>) = (0..count).map(factor).unzip();
        let partners: Vec<usize> = (0..size).map(partner).collect();
        let rows = self.reshaped(c, x, &[count / size, size])?;
        let other = self.gathered(c, &rows, 1, &partners)?;
        let turned = self.weighted(c, &[(&rows, own), (&other, others)], &[0.0])?;
        self.reshaped(c, &turned, &shape)
    }
}
