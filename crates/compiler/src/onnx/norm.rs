//! Normalisations.

use super::attributes::Attributes;
use super::context::Context;
use super::operators::{Operator, TRAINING, one, operator};
use super::{ImportError, Importer, Known, broadcast};
use crate::float::{FloatOp, Kind};

pub(super) const OPERATORS: &[Operator] = &[
    operator("BatchNormalization", "inference, with parameters that are constant or computed", |i, c, a| i.batch_norm(c, a).map(one)),
    operator("GroupNormalization", "any tensor", |i, c, a| i.group_norm(c, a).map(one)),
    operator("InstanceNormalization", "any tensor", |i, c, a| i.instance_norm(c, a).map(one)),
    operator("LRN", "any tensor", |i, c, a| i.lrn(c, a).map(one)),
    operator("LayerNormalization", "any tensor; mean and deviation too", |i, c, a| i.layer_norm(c, a)),
    operator("LpNormalization", "along any axis; `p` 1 or 2", |i, c, a| i.lp_norm(c, a).map(one)),
    operator("MeanVarianceNormalization", "along any axes", |i, c, a| i.mean_variance(c, a).map(one)),
    operator("RMSNormalization", "any tensor", |i, c, a| i.rms_norm(c, a).map(one)),
];

impl Importer<'_> {
    /// Rows `[n, k]` without their means, and the means `[n, 1]`.
    fn centred(&mut self, c: &Context<'_>, rows: &Known) -> Result<(Known, Known), ImportError> {
        let k = self.row_sizes(rows).1;
        let mean = self.row_sums(c, rows, 1.0 / k as f64)?;
        Ok((self.minus(c, rows, &mean)?, mean))
    }

    /// By row `√(scale·Σx² + added)`.
    fn root_of_squares(&mut self, c: &Context<'_>, rows: &Known, scale: f64, added: f64) -> Result<Known, ImportError> {
        let mut squares = self.row_squares(c, rows)?;
        if scale != 1.0 || added != 0.0 {
            squares = self.sum(c, &[(&squares, scale)], added)?;
        }
        self.each(c, FloatOp::Sqrt, &[&squares])
    }

    /// Rows divided by their deviation, without their mean first where `centre` says so, under the shape of `x`; and means and deviations.
    fn normalised(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        length: usize,
        epsilon: f64,
        centre: bool,
    ) -> Result<(Known, Option<Known>, Known), ImportError> {
        let shape = self.shape(x).to_vec();
        let mut rows = self.reshaped(c, x, &[self.count(x) / length, length])?;
        let mut mean = None;
        if centre {
            let (centred, of) = self.centred(c, &rows)?;
            (rows, mean) = (centred, Some(of));
        }
        let deviation = self.root_of_squares(c, &rows, 1.0 / length as f64, epsilon)?;
        let quotient = self.ratio(c, &rows, &deviation, 0.0)?;
        Ok((self.reshaped(c, &quotient, &shape)?, mean, deviation))
    }

    /// `scale·x + shift`, both broadcast to the shape of x.
    fn scaled(&mut self, c: &Context<'_>, x: &Known, scale: &Known, shift: Option<&Known>) -> Result<Known, ImportError> {
        let shape = self.shape(x).to_vec();
        for known in [Some(scale), shift].into_iter().flatten() {
            let from = self.shape(known);
            if broadcast::shape(from, &shape).as_ref() != Some(&shape) {
                return Err(c.wrong(format!("its parameters of shape {from:?} do not fit {shape:?}")));
            }
        }
        let list = |known: &Known| match known {
            Known::Constant(constant) => c.numbers(constant).map(|list| Some(broadcast::repeat(&list, &constant.shape, &shape))),
            Known::Value(_) => Ok(None),
        };
        // Constants are one step, and none where they change nothing.
        let factors = list(scale)?;
        let added = shift.map(list).transpose()?.flatten();
        let mut x = if factors.is_some() { x.clone() } else { self.product(c, x, scale)? };
        if factors.iter().flatten().any(|&f| f != 1.0) || added.iter().flatten().any(|&b| b != 0.0) {
            let (factors, added) = (factors.unwrap_or_else(|| vec![1.0]), added.unwrap_or_else(|| vec![0.0]));
            x = self.weighted(c, &[(&x, factors)], &added)?;
        }
        match shift {
            Some(shift @ Known::Value(_)) => self.plus(c, &x, shift),
            _ => Ok(x),
        }
    }

    /// A parameter that must be a list of one number per channel, along axis 1 of `rank` axes.
    fn by_channel(&mut self, c: &Context<'_>, index: usize, channels: usize, rank: usize) -> Result<Known, ImportError> {
        let known = c.known(index)?;
        if self.shape(known) != [channels] {
            return Err(c.wrong(format!("its parameters of shape {:?} do not fit {channels} channels", self.shape(known))));
        }
        let mut shape = vec![1; rank - 1];
        shape[0] = channels;
        self.reshaped(c, known, &shape)
    }

    fn batch_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(5, 5)?;
        if c.opset < 14 && c.outputs.iter().filter(|name| !name.is_empty()).count() > 1 {
            // Until operator set 13 it is the outputs that say so, read or not.
            return Err(c.wrong(TRAINING));
        }
        let epsilon = a.float("epsilon", 1e-5)?;
        a.ignore("momentum");
        a.exists("spatial", 7..=8)?;
        a.exists("training_mode", 14..=i64::MAX)?;
        if a.flag("training_mode", false)? {
            return Err(c.wrong(TRAINING));
        }
        a.only("spatial", 1)?;
        let x = c.known(0)?;
        let Some(&channels) = self.shape(x).get(1) else {
            return Err(c.wrong("its input must have a channel axis"));
        };
        if (1..5).any(|index| c.optional(index).is_some_and(|known| known.constant().is_none())) {
            return self.computed_batch_norm(c, x, channels, epsilon);
        }
        let list = |index: usize| -> Result<&[f64], ImportError> {
            let constant = c.constant(index)?;
            if constant.shape != [channels] {
                return Err(c.wrong(format!("its parameters of shape {:?} do not fit {channels} channels", constant.shape)));
            }
            c.floats(constant)
        };
        let (scale, shift, mean, variance) = (list(1)?, list(2)?, list(3)?, list(4)?);
        let mut factors = Vec::with_capacity(channels);
        let mut bias = Vec::with_capacity(channels);
        for channel in 0..channels {
            let factor = scale[channel] / (variance[channel] + epsilon).sqrt();
            if !factor.is_finite() {
                return Err(c.wrong(format!("its channel {channel} has variance {}", variance[channel])));
            }
            factors.push(factor);
            bias.push(shift[channel] - mean[channel] * factor);
        }
        let output = self.weighted_along(c, 1, &[(x, factors)], bias)?;
        Ok(self.of_kind(output, Kind::Real))
    }

    /// With parameters that the model computes, as converters write a layer norm: `scale·(x − mean) / √(variance + ε) + shift`.
    fn computed_batch_norm(&mut self, c: &Context<'_>, x: &Known, channels: usize, epsilon: f64) -> Result<Known, ImportError> {
        let rank = self.shape(x).len();
        let mut parameter = |index: usize| self.by_channel(c, index, channels, rank);
        let (scale, shift, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
        let variance = self.sum(c, &[(&variance, 1.0)], epsilon)?;
        let deviation = self.each(c, FloatOp::Sqrt, &[&variance])?;
        let centred = self.minus(c, x, &mean)?;
        let x = self.real_quotient(c, &centred, &deviation)?;
        self.scaled(c, &x, &scale, Some(&shift))
    }

    /// The shape of an input with batch, channels and more axes.
    fn with_channels(&self, c: &Context<'_>, x: &Known) -> Result<Vec<usize>, ImportError> {
        let shape = self.shape(x);
        if shape.len() < 2 {
            return Err(c.wrong(format!("its input has shape {shape:?}; a batch axis and a channel axis are needed")));
        }
        Ok(shape.to_vec())
    }

    fn instance_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 3)?;
        let epsilon = a.float("epsilon", 1e-5)?;
        let x = c.known(0)?;
        let shape = self.with_channels(c, x)?;
        let (x, ..) = self.normalised(c, x, shape[2..].iter().product(), epsilon, true)?;
        let scale = self.by_channel(c, 1, shape[1], shape.len())?;
        let shift = self.by_channel(c, 2, shape[1], shape.len())?;
        self.scaled(c, &x, &scale, Some(&shift))
    }

    /// Scale and bias are by group until operator set 20, by channel from there on.
    fn group_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 3)?;
        let epsilon = a.float("epsilon", 1e-5)?;
        a.ignore("stash_type");
        let groups = a.int("num_groups")?.ok_or_else(|| a.wrong("num_groups", "is missing"))?;
        let x = c.known(0)?;
        let shape = self.with_channels(c, x)?;
        let groups = usize::try_from(groups)
            .ok()
            .filter(|&groups| groups > 0 && shape[1].is_multiple_of(groups))
            .ok_or_else(|| a.wrong("num_groups", format!("is {groups}, which does not divide {} channels", shape[1])))?;
        let length = shape[1..].iter().product::<usize>() / groups;
        let (x, ..) = self.normalised(c, x, length, epsilon, true)?;
        let (channels, inner) = if c.opset < 21 { (groups, vec![shape[0], groups, length]) } else { (shape[1], shape.clone()) };
        let x = self.reshaped(c, &x, &inner)?;
        let scale = self.by_channel(c, 1, channels, inner.len())?;
        let shift = self.by_channel(c, 2, channels, inner.len())?;
        let x = self.scaled(c, &x, &scale, Some(&shift))?;
        self.reshaped(c, &x, &shape)
    }

    fn layer_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(2, 3)?;
        let epsilon = a.float("epsilon", 1e-5)?;
        a.ignore("stash_type");
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        let axis = c.axis(a.int("axis")?.unwrap_or(-1), shape.len())?;
        let (x, mean, deviation) = self.normalised(c, x, shape[axis..].iter().product(), epsilon, true)?;
        let mut outputs = vec![self.scaled(c, &x, c.known(1)?, c.optional(2))?];
        let ones = [&shape[..axis], &vec![1; shape.len() - axis]].concat();
        if let Some(mean) = mean.filter(|_| c.is_read(1) || c.is_read(2)) {
            outputs.push(self.reshaped(c, &mean, &ones)?);
        }
        if c.is_read(2) {
            let deviation = self.reshaped(c, &deviation, &ones)?;
            let one = self.number_like(&deviation, 1.0);
            outputs.push(self.ratio(c, &one, &deviation, 0.0)?);
        }
        Ok(outputs)
    }

    fn rms_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let epsilon = a.float("epsilon", 1e-5)?;
        a.ignore("stash_type");
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        let axis = c.axis(a.int("axis")?.unwrap_or(-1), shape.len())?;
        let (x, ..) = self.normalised(c, x, shape[axis..].iter().product(), epsilon, false)?;
        self.scaled(c, &x, c.known(1)?, None)
    }

    fn lp_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let power = a.int("p")?.unwrap_or(2);
        let x = c.known(0)?;
        let axis = c.axis(a.int("axis")?.unwrap_or(-1), self.shape(x).len())?;
        let of = self.rows(c, x, &[axis])?;
        if !matches!(power, 1 | 2) {
            return Err(a.wrong("p", format!("is {power} where 1 or 2 is needed")));
        }
        let output = self.unit_rows(c, &of.rows, power)?;
        self.restored(c, &of, &output)
    }

    /// Each row divided by its sum of magnitudes (1) or its length (2); a row of zeros stays one.
    pub(super) fn unit_rows(&mut self, c: &Context<'_>, rows: &Known, power: i64) -> Result<Known, ImportError> {
        let magnitude = self.magnitude(c, rows)?;
        let magnitudes = self.row_sums(c, &magnitude, 1.0)?;
        // A length is rounded, and may be 0 where its row is not: only a sum of magnitudes tells.
        let negative = self.negated(c, &magnitudes)?;
        let norm = if power == 1 { magnitudes } else { self.root_of_squares(c, rows, 1.0, 0.0)? };
        let is_zero = self.step(c, &negative)?;
        let norm = self.plus(c, &norm, &is_zero)?;
        self.ratio(c, rows, &norm, 0.0)
    }

    fn mean_variance(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let mut axes = c.axes(a.ints("axes")?.unwrap_or(&[0, 2, 3]), self.shape(x).len())?;
        axes.sort_unstable();
        let of = self.rows(c, x, &axes)?;
        let (centred, _) = self.centred(c, &of.rows)?;
        let k = self.row_sizes(&centred).1;
        let deviation = self.root_of_squares(c, &centred, 1.0 / k as f64, 0.0)?;
        let deviation = self.sum(c, &[(&deviation, 1.0)], 1e-9)?;
        let output = self.ratio(c, &centred, &deviation, 0.0)?;
        self.restored(c, &of, &output)
    }

    /// Each element divided by a power of the squares of its neighbours in the channel axis.
    fn lrn(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let (alpha, beta, bias) = (a.float("alpha", 1e-4)?, a.float("beta", 0.75)?, a.float("bias", 1.0)?);
        let size = a.int("size")?.and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
        let size = size.ok_or_else(|| a.wrong("size", "is missing or not positive"))?;
        let x = c.known(0)?;
        let channels = self.with_channels(c, x)?[1];
        c.checked(&[channels, channels], "channels")?;
        let of = self.rows(c, x, &[1])?;
        let squares = self.each(c, FloatOp::Product, &[&of.rows, &of.rows])?;
        let (before, after) = ((size - 1) / 2, size / 2);
        let near = |output: usize, input: usize| input + before >= output && input <= output.saturating_add(after);
        let weight = |e: usize| if near(e / channels, e % channels) { alpha / size as f64 } else { 0.0 };
        let weights = (0..channels * channels).map(weight).collect();
        let shape = self.shape(&of.rows).to_vec();
        let sums = self.dense(c, &squares, weights, vec![bias; channels], &shape)?;
        let factor = self.power_of(c, &sums, -beta)?;
        let output = self.product(c, &of.rows, &factor)?;
        self.restored(c, &of, &output)
    }
}
