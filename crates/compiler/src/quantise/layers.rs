//! Linear layers.

use super::emit::{Builder, Emitted};
use super::plan::Target;
use super::{MAX_CONSTANT, MOST_LOST, QuantiseError, Scales, at, common_count, compact, integers, most, pick, spread};
use crate::float::{FloatNode, FloatOp};
use zkslice_graph::{Affine, Conv, Dense, Op, Reshape, SumPool, Window};

/// How far a fixed value may be shifted, in parts of how far it spreads: further would make what reads it wide.
const MOST_SHIFT: f64 = 16.0;
/// Part of a factor that its rounding may lose where a product of fixed values is read as it is.
const FINE_ROUNDING: f64 = 1e-6;

impl Builder<'_> {
    /// The layer's name, the name and shape of what it makes, and the scales of its accumulators.
    fn linear(&self, node: &FloatNode) -> (String, String, Vec<usize>, Scales) {
        let scales = self.targets[node.output].clone().unwrap_or_else(|| vec![1.0]);
        (node.name.clone(), self.float().values[node.output].name.clone(), self.shape(node.output).to_vec(), scales)
    }

    pub(super) fn conv(
        &mut self,
        node: &FloatNode,
        window: &Window,
        groups: usize,
        weights: &[f64],
        bias: &[f64],
    ) -> Result<Emitted, QuantiseError> {
        let (name, tensor, shape, scales) = self.linear(node);
        let name = &name;
        let (input, from) = self.planar(name, node.inputs[0], window.input[0], window.input[1] * window.input[2])?;
        let plane = window.output[0] * window.output[1];
        let taps = window.kernel[0] * window.kernel[1];
        let (per_group, out_per_group) = (window.input[0] / groups, bias.len() / groups);
        let row = per_group * taps;
        let source = |channel: usize, position: usize| channel / out_per_group * per_group + position / taps;
        let scaled: Vec<f64> = weights
            .iter()
            .enumerate()
            .map(|(position, weight)| {
                let channel = position / row;
                weight * from[source(channel, position % row)] / at(&scales, channel * plane)
            })
            .collect();
        let rows = scaled.chunks_exact(row).enumerate().map(|(channel, weights)| (weights, at(&scales, channel * plane)));
        let area = window.input[1] * window.input[2];
        let typical = |channel: usize| self.typical(node.inputs[0], &input, channel * area..(channel + 1) * area) / from[channel];
        let typical: Vec<f64> = (0..window.input[0]).map(typical).collect();
        self.check_rows(node, rows, |channel, position| typical[source(channel, position)])?;
        let weights = integers(name, scaled.into_iter())?;
        let bias = integers(name, bias.iter().enumerate().map(|(channel, b)| b / at(&scales, channel * plane)))?;
        let op = Op::Conv(Conv { window: window.clone(), groups, weights, bias });
        let tensor = self.node(name.clone(), op, vec![input.tensor], tensor, shape);
        Ok(Emitted::accumulator(tensor, scales))
    }

    pub(super) fn dense(
        &mut self,
        node: &FloatNode,
        (rows, k, n): (usize, usize, usize),
        weights: &[f64],
        bias: &[f64],
    ) -> Result<Emitted, QuantiseError> {
        let (name, tensor, shape, scales) = self.linear(node);
        let name = &name;
        let mut input = self.value(node.inputs[0])?;
        if input.product {
            input = self.narrow(node.inputs[0])?;
        }
        let mut from = spread(&input.scales, rows * k);
        if from.chunks_exact(k).any(|row| row != &from[..k]) {
            (input, _) = self.planar(name, node.inputs[0], 1, rows * k)?;
            from = spread(&input.scales, rows * k);
        }
        let scaled: Vec<f64> = weights.iter().enumerate().map(|(position, w)| w * from[position % k] / at(&scales, position / k)).collect();
        let matrix = scaled.chunks_exact(k).enumerate().map(|(column, weights)| (weights, at(&scales, column)));
        let typical = |column: usize| self.typical(node.inputs[0], &input, (0..rows).map(|row| row * k + column)) / from[column];
        let typical: Vec<f64> = (0..k).map(typical).collect();
        self.check_rows(node, matrix, |_, position| typical[position])?;
        let weights = integers(name, scaled.into_iter())?;
        let bias = integers(name, bias.iter().enumerate().map(|(column, b)| b / at(&scales, column)))?;
        let op = Op::Dense(Dense { rows, k, n, weights, bias });
        let tensor = self.node(name.clone(), op, vec![input.tensor], tensor, shape);
        Ok(Emitted::accumulator(tensor, scales))
    }

    pub(super) fn affine(
        &mut self,
        node: &FloatNode,
        axis: usize,
        coefficients: &[Vec<f64>],
        bias: &[f64],
    ) -> Result<Emitted, QuantiseError> {
        let (name, tensor, shape, mut scales) = self.linear(node);
        let (name, count) = (&name, shape.iter().product::<usize>());
        if let Some(unit) = self.compared_unit(node, coefficients)?.filter(|unit| *unit >= scales[0]) {
            scales = vec![unit / (unit / scales[0]).floor()];
        }
        let inner: usize = shape[axis + 1..].iter().product();
        let channel = |e: usize| e / inner % shape[axis];
        let mut inputs = Vec::new();
        let mut factors: Vec<Vec<f64>> = Vec::new();
        let (root, grown) = self.to_root(node.output);
        let largest = self.plan.statistics.largest(root) / most(&grown);
        let mut lost = 0.0_f64;
        if let Some(relabelled) = self.relabelled(node, coefficients, bias)? {
            return Ok(relabelled);
        }
        for (&id, list) in node.inputs.iter().zip(coefficients) {
            let mut value = self.value(id)?;
            if value.product {
                // Its factors are too small to be rounded, unless they are whole numbers as it is.
                let coarse = |e: usize| {
                    let factor = pick(list, channel(e)) * at(&value.scales, e) / at(&scales, e);
                    (factor - factor.round()).abs() > FINE_ROUNDING * factor.abs()
                };
                if (0..count).any(coarse) {
                    value = self.narrow(id)?;
                }
            }
            let factor = |e: usize| {
                let c = pick(list, channel(e));
                if value.bounds.is_none() { c.signum() } else { c * at(&value.scales, e) / at(&scales, e) }
            };
            let each: Vec<f64> = (0..count).map(factor).collect();
            if value.bounds.is_some() && largest > 0.0 {
                // Elements with scales of their own are in units of their own.
                let statistics = self.plan.statistics;
                let all = statistics.largest(id);
                let magnitude = |e: usize| if value.scales.len() > 1 { statistics.typical(id, e..e + 1) } else { all };
                let error =
                    |(e, factor): (usize, &f64)| (factor.round() - factor).abs() * magnitude(e) / at(&value.scales, e) * at(&scales, e);
                lost = each.iter().enumerate().map(error).fold(lost, |lost, error| lost.max(error / largest));
            }
            factors.push(each);
            inputs.push(value.tensor);
        }
        self.check_lost(name, lost)?;
        let bias: Vec<f64> = (0..count).map(|e| pick(bias, channel(e)) / at(&scales, e)).collect();
        self.combine(name, &tensor, &inputs, &factors, &bias, &scales)
    }

    /// What a step of each of some fixed values adds to a sum whose sign alone is looked at, if that is one number. Factors are whole then
    /// at a scale that divides it, and what is equal in the model stays equal: whole numbers and a bound that is one, say.
    fn compared_unit(&mut self, node: &FloatNode, coefficients: &[Vec<f64>]) -> Result<Option<f64>, QuantiseError> {
        if self.plan.target[node.output] != Some(Target::Sign) {
            return Ok(None);
        }
        let mut units = Vec::with_capacity(node.inputs.len());
        for (&id, list) in node.inputs.iter().zip(coefficients) {
            if self.constant(id).is_some() {
                return Ok(None);
            }
            let value = self.value(id)?;
            match (&list[..], &value.scales[..]) {
                ([factor], [scale]) if value.bounds.is_some() && !value.product => units.push(factor.abs() * scale),
                _ => return Ok(None),
            }
        }
        let first = units.first().copied().filter(|unit| *unit > 0.0);
        Ok(first.filter(|first| units.iter().all(|unit| (unit / first - 1.0).abs() < FINE_ROUNDING * FINE_ROUNDING)))
    }

    /// `factor·x + shift` of a fixed value of one scale, where the result would be requantised at once: the same integers at another scale,
    /// negated and shifted by a whole number. That rounds the shift alone, where a requantisation rounds every element.
    fn relabelled(&mut self, node: &FloatNode, coefficients: &[Vec<f64>], bias: &[f64]) -> Result<Option<Emitted>, QuantiseError> {
        let ([list], [shift], [input]) = (coefficients, bias, &node.inputs[..]) else { return Ok(None) };
        let [factor] = list[..] else { return Ok(None) };
        if factor == 0.0 || self.constant(*input).is_some() || self.plan.producer[*input].is_none() {
            return Ok(None);
        }
        let value = self.value(*input)?;
        let (Some((min, max)), [scale]) = (value.bounds, &value.scales[..]) else { return Ok(None) };
        let (scale, is_own) = (scale * factor.abs(), self.plan.target[node.output] == Some(Target::Own));
        let shift = (shift / scale).round();
        if !(is_own || value.product && shift == 0.0) || shift.abs() > (MOST_SHIFT * max.saturating_sub(min) as f64).min(MAX_CONSTANT) {
            return Ok(None);
        }
        let (sign, shift) = (factor.signum() as i64, shift as i64);
        if sign == 1 && shift == 0 {
            return Ok(Some(Emitted { scales: vec![scale], ..value }));
        }
        let ends = [sign * min, sign * max].map(|end| end.saturating_add(shift));
        let shape = self.shape(node.output).to_vec();
        let (name, tensor) = (&node.name, self.float().values[node.output].name.clone());
        let op = Affine { axis: 0, coefficients: vec![vec![sign]], bias: vec![shift] };
        let output = if shape.is_empty() {
            let flat = self.node(format!("{name}/flat"), Op::Reshape(Reshape), vec![value.tensor], format!("{tensor}/in"), vec![1]);
            let flat = self.node(name.clone(), Op::Affine(op), vec![flat], format!("{tensor}/flat"), vec![1]);
            self.node(format!("{name}/shape"), Op::Reshape(Reshape), vec![flat], tensor, shape)
        } else {
            self.node(name.clone(), Op::Affine(op), vec![value.tensor], tensor, shape)
        };
        let bounds = Some((ends[0].min(ends[1]), ends[0].max(ends[1])));
        Ok(Some(Emitted { tensor: output, scales: vec![scale], bounds, product: value.product }))
    }

    /// A linear layer of integers: it is what it says, without scales.
    pub(super) fn emit_exact(&mut self, node: &FloatNode) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let tensor = self.float().values[node.output].name.clone();
        let shape = self.shape(node.output).to_vec();
        let wrong = |reason: &str| QuantiseError::Exact { node: name.clone(), reason: reason.to_owned() };
        let inputs = node.inputs.iter().map(|&id| self.value(id)).collect::<Result<Vec<_>, _>>()?;
        let whole = |list: &[f64]| -> Result<Vec<i64>, QuantiseError> {
            if list.iter().any(|x| x.fract() != 0.0) {
                return Err(wrong("its weights are no integers, but its results must be; cast its input to floating point"));
            }
            integers(name, list.iter().copied())
        };
        let sum = |terms: &mut dyn Iterator<Item = (i64, (i64, i64))>, bias: i64| {
            terms.fold((bias, bias), |(min, max), (weight, (least, greatest))| {
                let ends = (weight.saturating_mul(least), weight.saturating_mul(greatest));
                (min.saturating_add(ends.0.min(ends.1)), max.saturating_add(ends.0.max(ends.1)))
            })
        };
        let hull = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
        let bounds: Vec<(i64, i64)> = inputs.iter().map(|input| input.bounds.unwrap_or_default()).collect();
        let (op, bounds) = match &node.op {
            FloatOp::Affine { axis, coefficients, bias } => {
                let (lists, bias) = (coefficients.iter().map(|list| whole(list)).collect::<Result<Vec<_>, _>>()?, whole(bias)?);
                let length = lists.iter().chain([&bias]).map(Vec::len).max().unwrap_or(1);
                let pick = |list: &[i64], i: usize| if list.len() == 1 { list[0] } else { list[i] };
                let element = |i: usize| sum(&mut lists.iter().zip(&bounds).map(|(list, bounds)| (pick(list, i), *bounds)), pick(&bias, i));
                let all = (0..length).map(element).reduce(hull).unwrap_or_default();
                (Op::Affine(Affine { axis: *axis, coefficients: lists, bias }), all)
            }
            FloatOp::Dense { rows, k, n, weights, bias } => {
                let (weights, bias) = (whole(weights)?, whole(bias)?);
                let row = |(weights, bias): (&[i64], &i64)| sum(&mut weights.iter().map(|weight| (*weight, bounds[0])), *bias);
                let all = weights.chunks_exact(*k).zip(&bias).map(row).reduce(hull).unwrap_or_default();
                (Op::Dense(Dense { rows: *rows, k: *k, n: *n, weights, bias }), all)
            }
            _ => return Err(wrong("this layer is supported over floating point alone; cast its input")),
        };
        let tensor = self.node(name.clone(), op, inputs.iter().map(|input| input.tensor).collect(), tensor, shape);
        Ok(Emitted::fixed(tensor, vec![1.0], bounds))
    }

    pub(super) fn average(
        &mut self,
        name: &str,
        node: &FloatNode,
        window: &Window,
        counts: &[u32],
        target: Option<Scales>,
    ) -> Result<Emitted, QuantiseError> {
        let tensor = self.float().values[node.output].name.clone();
        let shape = self.shape(node.output).to_vec();
        let common = common_count(counts);
        let multipliers: Vec<i64> = if counts.len() == 1 {
            Vec::new()
        } else {
            counts.iter().map(|&count| (common as f64 / f64::from(count)).round() as i64).collect()
        };
        let divisor = if counts.len() == 1 { u64::from(counts[0]) } else { common } as f64;
        let largest_multiplier = multipliers.iter().copied().max().unwrap_or(1);
        let pool = Op::SumPool(SumPool { window: window.clone(), multipliers });
        let value = self.value(node.inputs[0])?;
        if value.bounds.is_none() {
            let output = self.node(name.to_owned(), pool, vec![value.tensor], tensor, shape);
            return Ok(Emitted::accumulator(output, target.unwrap_or_else(|| vec![1.0])));
        }
        let (mut input, mut from) = self.planar(name, node.inputs[0], window.input[0], window.input[1] * window.input[2])?;
        let plane = window.output[0] * window.output[1];
        let count = self.float().values[node.output].len();
        let Some(mut target) = target else {
            let scales = compact(from.iter().flat_map(|&s| std::iter::repeat_n(s / divisor, plane)).collect());
            let taps = (window.kernel[0] * window.kernel[1]) as i64;
            let bounds = input.bounds.map(|(min, max)| {
                (min.min(0).saturating_mul(taps * largest_multiplier), max.max(0).saturating_mul(taps * largest_multiplier))
            });
            let output = self.node(name.to_owned(), pool, vec![input.tensor], tensor, shape);
            return Ok(Emitted { tensor: output, scales, bounds, product: false });
        };
        // The sums take one factor each, which divides by the window's count too.
        let factors = |from: &[f64], target: &[f64]| -> Vec<f64> {
            (0..count)
                .map(|e| from[e / plane] / (f64::from(counts[if counts.len() == 1 { 0 } else { e % plane }]) * at(target, e)))
                .collect()
        };
        let lost = |factors: &[f64]| factors.iter().fold(0.0_f64, |lost, factor| lost.max((factor.round() / factor - 1.0).abs()));
        if counts.len() == 1 && self.plan.target[node.output] == Some(Target::Own) {
            // Its scale is free to grow: to where the factor is a whole number, and nothing is rounded.
            let exact = |(e, factor): (usize, f64)| at(&target, e) * factor / factor.floor().max(1.0);
            target = compact(factors(&from, &target).into_iter().enumerate().map(exact).collect());
        }
        if lost(&factors(&from, &target)) > MOST_LOST {
            // The input is written finer than the result can use: it is requantised first.
            let scales = self.requant_scales(node.inputs[0], self.limit() / 2.0, false);
            if scales[0] > most(&from) {
                let accumulator = self.rescale(&format!("{name}/scale"), &input, &[scales[0] / self.limit()])?;
                input = self.requantise(format!("{name}/requant"), &format!("{name}/in"), &accumulator);
                from = vec![scales[0]; from.len()];
            }
        }
        let factors = factors(&from, &target);
        self.check_lost(name, lost(&factors))?;
        let pool = Op::SumPool(SumPool { window: window.clone(), multipliers: Vec::new() });
        let sum = self.node(name.to_owned(), pool, vec![input.tensor], format!("{tensor}/sum"), shape);
        self.combine(&format!("{name}/scale"), &tensor, &[sum], &[factors], &vec![0.0; count], &target)
    }
}
