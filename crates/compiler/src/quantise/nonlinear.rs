//! Operators that cost rows.

use super::emit::{Builder, Emitted};
use super::plan::{Consumer, is_move};
use super::{MOST_LOST, QuantiseError, Scales, compact, integers};
use crate::float::{FloatNode, FloatOp, Kind, ValueId, held_range};
use zkslice_graph::{
    Affine, Clip, Constant, Divide, Function, MatMul, MaxPool, Maximum, OneHot, Op, Product, Relu, Reshape, Rounding, Sqrt, Step, Table,
    Window,
};

/// A divisor that is rounded to a whole number from here on loses too little of the quotient to matter.
const FINE_DIVISOR: f64 = 1.0 / MOST_LOST;

impl Builder<'_> {
    pub(super) fn emit_node(&mut self, index: usize, node: &FloatNode) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let tensor = self.float().values[node.output].name.clone();
        let shape = self.shape(node.output).to_vec();
        let exact = self.kind(node.output) != Kind::Real;
        self.check_kinds(node)?;
        match &node.op {
            FloatOp::Conv { .. } | FloatOp::Dense { .. } | FloatOp::Affine { .. } | FloatOp::AveragePool { .. } if exact => {
                self.emit_exact(node)
            }
            FloatOp::Conv { window, groups, weights, bias } => self.conv(node, window, *groups, weights, bias),
            FloatOp::Dense { rows, k, n, weights, bias } => self.dense(node, (*rows, *k, *n), weights, bias),
            FloatOp::Affine { axis, coefficients, bias } => self.affine(node, *axis, coefficients, bias),
            FloatOp::AveragePool { window, counts } => {
                let target = self.targets[node.output].clone();
                self.average(name, node, window, counts, target)
            }
            FloatOp::Relu => self.relu(node, tensor, shape),
            FloatOp::Clip { min, max } => self.clip(node, (*min, *max), tensor, shape),
            FloatOp::MaxPool { window } => self.max_pool(node, window, tensor, shape),
            FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::Concat { .. } | FloatOp::View { .. } | FloatOp::Gather { .. } => {
                let target = self.targets[node.output].clone();
                self.emit_move(name, node, tensor, shape, target)
            }
            FloatOp::Map(_) => self.map(index, node, tensor, shape),
            FloatOp::Product => self.product(node, Op::Product(Product), 1, tensor, shape),
            &FloatOp::MatMul { batch, m, k, n } => self.product(node, Op::MatMul(MatMul { batch, m, k, n }), k, tensor, shape),
            &FloatOp::Divide { least_divisor } => self.divide(node, least_divisor, tensor, shape),
            FloatOp::Sqrt => self.sqrt(node, tensor, shape),
            FloatOp::Maximum => self.maximum(node, tensor, shape),
            FloatOp::Step => self.step(node, tensor, shape),
            &FloatOp::Hold { bits, signed, wraps } => self.hold(node, held_range(bits, signed), wraps, tensor, shape),
            FloatOp::OneHot { count } => {
                let input = self.value(node.inputs[0])?;
                let tensor = self.node(name.clone(), Op::OneHot(OneHot { count: *count }), vec![input.tensor], tensor, shape);
                Ok(Emitted::fixed(tensor, vec![1.0], (0, 1)))
            }
            FloatOp::Constant { .. } => self.value(node.output),
        }
    }

    /// Integers come of integers alone, but where an operator makes them: what was rounded before has no exact result.
    fn check_kinds(&self, node: &FloatNode) -> Result<(), QuantiseError> {
        let reads_reals = node.inputs.iter().any(|&id| self.kind(id) == Kind::Real);
        let makes_integers = match &node.op {
            FloatOp::Map(_) | FloatOp::Step => false,
            FloatOp::OneHot { .. } => true,
            _ => self.kind(node.output) != Kind::Real,
        };
        if reads_reals && makes_integers {
            let reason = "it takes real numbers for integers; round them before, by Floor, Round or Cast".to_owned();
            return Err(QuantiseError::Exact { node: node.name.clone(), reason });
        }
        Ok(())
    }

    fn relu(&mut self, node: &FloatNode, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let mut input = self.value(node.inputs[0])?;
        let top = (1_i64 << self.settings.table_bits) - 1;
        if let Some((min, max)) = input.bounds {
            if min >= 0 {
                return Ok(input);
            }
            if input.product {
                input = self.narrow(node.inputs[0])?;
            } else if self.kind(node.output) == Kind::Real && (min < -top || max > top) {
                let scales = self.requant_scales(node.inputs[0], self.limit(), false);
                input = self.rescale(&format!("{name}/scale"), &input, &[scales[0] / self.limit()])?;
            }
        }
        if let Some((min, max)) = input.bounds.filter(|(min, max)| self.kind(node.output) != Kind::Real && (*min < -top || *max > top)) {
            // Integers beyond the table: the larger one of them and zero.
            let zero = Op::Constant(Constant { values: vec![0] });
            let zero = self.node(format!("{name}/zero"), zero, Vec::new(), format!("{name}/zero"), shape.clone());
            let limbs = self.limbs_of(max.max(min.saturating_neg())).min(3);
            let output = self.node(name.clone(), Op::Maximum(Maximum { limbs }), vec![input.tensor, zero], tensor, shape);
            return Ok(Emitted::fixed(output, vec![1.0], (0, max.max(0))));
        }
        let (shift, factor) = if input.bounds.is_some() { (0, 1.0) } else { (self.settings.table_bits, self.limit()) };
        let scales: Scales = input.scales.iter().map(|s| s * factor).collect();
        let output = self.node(name.clone(), Op::Relu(Relu { shift }), vec![input.tensor], tensor, shape);
        self.note(output, &scales);
        Ok(Emitted::fixed(output, scales, (0, top)))
    }

    fn max_pool(&mut self, node: &FloatNode, window: &Window, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let value = self.value(node.inputs[0])?;
        let (input, scales) = if value.bounds.is_none() {
            let scales = self.targets[node.output].clone().unwrap_or_else(|| value.scales.clone());
            (value, scales)
        } else {
            let (value, from) = self.planar(name, node.inputs[0], window.input[0], window.input[1] * window.input[2])?;
            let plane = window.output[0] * window.output[1];
            let scales = from.iter().flat_map(|&s| std::iter::repeat_n(s, plane)).collect();
            (value, compact(scales))
        };
        let limbs = match input.bounds {
            Some((min, max)) if max - min < 1 << self.settings.table_bits => 1,
            _ => 2,
        };
        let op = Op::MaxPool(MaxPool { window: window.clone(), limbs });
        let tensor = self.node(name.clone(), op, vec![input.tensor], tensor, shape);
        Ok(Emitted { tensor, scales, bounds: input.bounds, product: false })
    }

    /// A function by its table: of an accumulator, or of a fixed value whose integers are few enough to be arguments as they stand.
    fn map(&mut self, index: usize, node: &FloatNode, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let Some(mut tabulated) = self.functions[index].clone() else { return self.value(node.inputs[0]) };
        let mut input = self.value(node.inputs[0])?;
        let mut shift = self.settings.table_bits;
        if let Some((min, max)) = input.bounds {
            if input.scales.len() > 1 {
                input = self.narrow(node.inputs[0])?;
            }
            let scale = input.scales[0];
            let few = max.saturating_sub(min) < 1 << self.settings.table_bits;
            if scale == tabulated.scale {
                shift = 0;
            } else if few && !tabulated.shared && !input.product {
                // A table of its own, over the value's integers.
                let argument = self.argument(&[index]);
                tabulated = self.tabulate(&argument.within(min as f64 * scale, max as f64 * scale), scale)?;
                shift = 0;
            } else {
                let wanted = tabulated.scale / self.limit();
                let coarse = input.scales.iter().any(|from| (from / wanted).round() < 512.0);
                if coarse {
                    input = self.narrow(node.inputs[0])?;
                }
                input = self.rescale(&format!("{name}/scale"), &input, &[wanted])?;
            }
        }
        let function = self.function(tabulated.first, tabulated.values);
        let bounds = self.graph.functions[function].range();
        let output = self.node(name.clone(), Op::Table(Table { function, shift }), vec![input.tensor], tensor, shape);
        let scales = vec![tabulated.output_scale];
        self.note(output, &scales);
        Ok(Emitted::fixed(output, scales, bounds))
    }

    /// The graph's function of these values, with the largest stride that fits: it then serves whatever leads to it.
    fn function(&mut self, first: i64, values: Vec<i64>) -> usize {
        let found = self.graph.functions.iter().position(|function| function.first == first && function.values == values);
        if let Some(index) = found {
            return index;
        }
        let largest = values.iter().fold(0, |most, value| most.max(value.unsigned_abs())) + (1 << self.settings.table_bits);
        let stride = 1_i64 << ((1_u64 << 60) / largest).max(1).ilog2();
        self.graph.functions.push(Function { first, values, stride });
        self.graph.functions.len() - 1
    }

    /// A product of two fixed values, or sums of `terms` of them.
    fn product(&mut self, node: &FloatNode, op: Op, terms: usize, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let (x, y) = (self.narrow(node.inputs[0])?, self.narrow(node.inputs[1])?);
        let ((a, b), (c, d)) = (x.bounds.unwrap_or_default(), y.bounds.unwrap_or_default());
        let ends = [a.saturating_mul(c), a.saturating_mul(d), b.saturating_mul(c), b.saturating_mul(d)];
        let terms = terms as i64;
        let bounds = ends
            .iter()
            .fold((i64::MAX, i64::MIN), |(min, max), end| (min.min(end.saturating_mul(terms)), max.max(end.saturating_mul(terms))));
        let scale = x.scales[0] * y.scales[0];
        let tensor = self.node(node.name.clone(), op, vec![x.tensor, y.tensor], tensor, shape);
        // A product with a truth value is no wider than the other factor.
        let bit = [self.kind(node.inputs[0]), self.kind(node.inputs[1])].contains(&Kind::Boolean) && terms == 1;
        let product = self.kind(node.output) == Kind::Real && !bit;
        Ok(Emitted { tensor, scales: vec![scale], bounds: Some(bounds), product })
    }

    /// `x·factor / y·divisor`, the whole numbers chosen so that the quotient fits the table's bits.
    fn divide(&mut self, node: &FloatNode, least_made: f64, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let w = self.settings.table_bits;
        let (least_seen, most_seen) = self.plan.statistics.extremes(node.output);
        if self.kind(node.output) != Kind::Real {
            let x = self.value(node.inputs[0])?;
            let (min, max) = x.bounds.unwrap_or_default();
            if let Some(&[divisor, ref others @ ..]) = self.constant(node.inputs[1])
                && others.iter().all(|other| *other == divisor)
                && divisor >= 1.0
                && min.div_euclid(divisor as i64) == max.div_euclid(divisor as i64)
            {
                // Whatever the dividend is, the quotient is one number.
                let quotient = min.div_euclid(divisor as i64);
                let op = Op::Constant(Constant { values: vec![quotient] });
                return Ok(Emitted::fixed(self.node(name.clone(), op, Vec::new(), tensor, shape), vec![1.0], (quotient, quotient)));
            }
            let y = self.value(node.inputs[1])?;
            let least = if max.saturating_sub(min) < 1 << w {
                // The quotient is no larger than the dividend.
                min.min(0)
            } else {
                let room = self.limit() - 1.0 - (most_seen - least_seen);
                if room < 0.0 {
                    let reason = format!("its quotients from {least_seen} to {most_seen} do not fit {w} bits");
                    return Err(QuantiseError::Exact { node: name.clone(), reason });
                }
                least_seen as i64 - (room / 2.0) as i64
            };
            let limbs = self.limbs_of(y.bounds.unwrap_or_default().1).min(3);
            let op = Op::Divide(Divide { factor: 1, rounding: Rounding::Down, least, limbs, least_divisor: 1 });
            let tensor = self.node(name.clone(), op, vec![x.tensor, y.tensor], tensor, shape);
            return Ok(Emitted::fixed(tensor, vec![1.0], (least, least + (1 << w) - 1)));
        }
        let x = self.single(node.inputs[0])?;
        let mut y = self.single(node.inputs[1])?;
        if self.limbs_of(y.bounds.unwrap_or_default().1) > 2 {
            y = self.narrow(node.inputs[1])?;
        }
        let signed = x.bounds.is_none_or(|(min, _)| min < 0);
        let levels = if signed { self.limit() / 2.0 } else { self.limit() };
        let wanted = self.requant_scales(node.output, levels - 1.0, false)[0];
        let (from, by) = (x.scales[0], y.scales[0]);
        let ratio = from / (by * wanted);
        let (factor, divisor) = if ratio >= 1.0 { (ratio.floor(), 1.0) } else { (1.0, (1.0 / ratio).ceil()) };
        let scales = vec![from * divisor / (by * factor)];
        let whole = integers(name, [factor, divisor].into_iter())?;
        let (min, max) = y.bounds.unwrap_or_default();
        // What is beyond the divisors that the samples let expect is refused.
        let most = max.min((self.requant_scales(node.inputs[1], 1.0, false)[0] / by).ceil() as i64);
        let known = min.max((least_made / by) as i64);
        let least_divisor = match self.least_divisor(node.inputs[1], by, FINE_DIVISOR) {
            least if least > known => least,
            _ => 1,
        };
        if whole[1] > 1 {
            let op = Affine { axis: 0, coefficients: vec![vec![whole[1]]], bias: vec![0] };
            let flat = vec![shape.iter().product()];
            let reshaped = self.node(format!("{name}/flat"), Op::Reshape(Reshape), vec![y.tensor], format!("{name}/flat"), flat.clone());
            let scaled = self.node(format!("{name}/by"), Op::Affine(op), vec![reshaped], format!("{name}/by"), flat);
            y.tensor = self.node(format!("{name}/shape"), Op::Reshape(Reshape), vec![scaled], format!("{name}/divisor"), shape.clone());
        }
        let limbs = self.limbs_of(most.saturating_mul(whole[1]).saturating_mul(2));
        let least = if signed { -(1_i64 << (w - 1)) } else { 0 };
        let op =
            Op::Divide(Divide { factor: whole[0], rounding: Rounding::Nearest, least, limbs, least_divisor: least_divisor * whole[1] });
        let tensor = self.node(name.clone(), op, vec![x.tensor, y.tensor], tensor, shape);
        self.note(tensor, &scales);
        Ok(Emitted::fixed(tensor, scales, (least, least + (1 << w) - 1)))
    }

    /// The least integer of a divisor at some scale that is accurate enough, or half of the least on the samples where they go below.
    fn least_divisor(&self, id: ValueId, scale: f64, accurate: f64) -> i64 {
        if self.kind(id) != Kind::Real || self.constant(id).is_some() {
            return 1;
        }
        let seen = self.plan.statistics.extremes(id).0 / scale;
        (0.5 * seen).floor().clamp(1.0, accurate.ceil()) as i64
    }

    /// Whether a value is divided by, as it stands or once it is moved.
    fn is_divisor(&self, id: ValueId) -> bool {
        self.plan.consumers[id].iter().any(|consumer| {
            let Consumer::Node(index) = *consumer else { return false };
            let reader = &self.float().nodes[index];
            matches!(reader.op, FloatOp::Divide { .. }) && reader.inputs[1] == id || is_move(&reader.op) && self.is_divisor(reader.output)
        })
    }

    /// A fixed value with one scale, however wide.
    fn single(&mut self, id: usize) -> Result<Emitted, QuantiseError> {
        let value = self.value(id)?;
        if value.scales.len() == 1 && value.bounds.is_some() { Ok(value) } else { self.narrow(id) }
    }

    /// The root of `x·factor`, the whole number chosen so that the root has the table's bits but one.
    fn sqrt(&mut self, node: &FloatNode, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let wanted = self.requant_scales(node.output, self.limit() / 2.0 - 1.0, false)[0];
        let mut x = self.single(node.inputs[0])?;
        if x.scales[0] < wanted * wanted {
            x = self.narrow(node.inputs[0])?;
        }
        let factor = (x.scales[0] / (wanted * wanted)).floor().max(1.0);
        let factor = integers(name, std::iter::once(factor))?[0];
        let scales = vec![(x.scales[0] / factor as f64).sqrt()];
        let least = if self.is_divisor(node.output) {
            // A unit of x is half a unit of the root by as many roots as there are in the factor.
            self.least_divisor(node.output, scales[0], FINE_DIVISOR.max((factor as f64 * FINE_DIVISOR / 4.0).sqrt()))
        } else {
            0
        };
        let tensor = self.node(name.clone(), Op::Sqrt(Sqrt { factor, least }), vec![x.tensor], tensor, shape);
        self.note(tensor, &scales);
        Ok(Emitted::fixed(tensor, scales, (least, least + (1 << self.settings.table_bits) - 1)))
    }

    /// Compared at one scale: that of both, or of the one that is no constant, or one that suits the larger.
    fn maximum(&mut self, node: &FloatNode, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let exact = self.kind(node.output) != Kind::Real;
        let constant = [a, b].map(|id| self.constant(id).is_some());
        let (mut x, mut y) = match constant {
            [false, true] => {
                let x = self.narrow(a)?;
                let y = self.constant_at(b, x.scales[0])?;
                (x, y)
            }
            [true, false] => {
                let y = self.narrow(b)?;
                (self.constant_at(a, y.scales[0])?, y)
            }
            _ => (self.narrow(a)?, self.narrow(b)?),
        };
        let mut scale = x.scales[0];
        if scale != y.scales[0] && !exact {
            let of = |id: usize, builder: &Self| builder.requant_scales(id, builder.limit() / 2.0, false)[0];
            scale = of(a, self).max(of(b, self)).max(scale.max(y.scales[0]) / 2.0);
            for (value, side) in [(&mut x, "left"), (&mut y, "right")] {
                if value.scales[0] != scale {
                    let accumulator = self.rescale(&format!("{name}/{side}"), value, &[scale / self.limit()])?;
                    *value = self.requantise(format!("{name}/{side}/requant"), &format!("{name}/{side}/in"), &accumulator);
                }
            }
        }
        let ((a, b), (c, d)) = (x.bounds.unwrap_or_default(), y.bounds.unwrap_or_default());
        let limbs = self.limbs_of(b.max(d).saturating_sub(a.min(c))).min(3);
        let tensor = self.node(name.clone(), Op::Maximum(Maximum { limbs }), vec![x.tensor, y.tensor], tensor, shape);
        Ok(Emitted::fixed(tensor, vec![scale], (a.max(c), b.max(d))))
    }

    /// A sign needs no scale: an accumulator is looked at as it stands.
    fn step(&mut self, node: &FloatNode, tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let x = self.value(node.inputs[0])?;
        let limbs = match x.bounds {
            Some((min, max)) => self.limbs_of(max.max(min.saturating_neg())).min(3),
            None => 3,
        };
        let limbs = if limbs * self.settings.table_bits > 60 { 60 / self.settings.table_bits } else { limbs };
        let tensor = self.node(node.name.clone(), Op::Step(Step { limbs }), vec![x.tensor], tensor, shape);
        Ok(Emitted::fixed(tensor, vec![1.0], (0, 1)))
    }

    /// Integers of a type. Those that it holds whatever the input is stand as they are; of others the turns are taken away.
    fn hold(
        &mut self,
        node: &FloatNode,
        (least, size): (f64, f64),
        wraps: bool,
        tensor: String,
        shape: Vec<usize>,
    ) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let x = self.value(node.inputs[0])?;
        let (min, max) = x.bounds.unwrap_or((i64::MIN, i64::MAX));
        let turns = |x: i64| ((x as f64 - least) / size).floor();
        let (first, last) = (turns(min), turns(max));
        if (first, last) == (0.0, 0.0) {
            return Ok(x);
        }
        let wrong = |reason: String| QuantiseError::Exact { node: name.clone(), reason };
        let exact = 2_f64.powi(53);
        if !wraps || (min as f64) < -exact || max as f64 > exact || last - first >= self.limit() {
            return Err(wrong(format!(
                "its integers may be {min} to {max}, and their type holds {least} to {}; state how far its inputs go (--input-range)",
                least + size - 1.0
            )));
        }
        let limbs = self.limbs_of(size as i64 - 1);
        if limbs > 3 {
            return Err(wrong(format!(
                "its integers may wrap, which takes three numbers of {} bits or more bits (--bits)",
                self.settings.table_bits
            )));
        }
        let flat = vec![shape.iter().product()];
        let reshape = |builder: &mut Self, from, part: &str, shape: &[usize]| {
            builder.node(format!("{name}/{part}"), Op::Reshape(Reshape), vec![from], format!("{tensor}/{part}"), shape.to_vec())
        };
        let from = reshape(self, x.tensor, "flat", &flat);
        let affine = |coefficients: Vec<Vec<i64>>, bias: f64| Op::Affine(Affine { axis: 0, coefficients, bias: vec![bias as i64] });
        let moved = self.node(format!("{name}/moved"), affine(vec![vec![1]], -least), vec![from], format!("{tensor}/moved"), flat.clone());
        let divisor = Op::Constant(Constant { values: vec![size as i64; flat[0]] });
        let divisor = self.node(format!("{name}/size"), divisor, Vec::new(), format!("{tensor}/size"), flat.clone());
        let divide = Op::Divide(Divide { factor: 1, rounding: Rounding::Down, least: first as i64, limbs, least_divisor: 1 });
        let turned = self.node(format!("{name}/turns"), divide, vec![moved, divisor], format!("{tensor}/turns"), flat.clone());
        let held = affine(vec![vec![1], vec![-(size as i64)]], 0.0);
        let held = self.node(format!("{name}/held"), held, vec![from, turned], format!("{tensor}/held"), flat);
        let output = self.node(name.clone(), Op::Reshape(Reshape), vec![held], tensor.clone(), shape);
        // That a quotient is the whole one shows in no other way: for whoever reads this, it may be any that fits its table.
        let most = first as i64 + (1 << self.settings.table_bits) - 1;
        let (size, first) = (size as i64, first as i64);
        Ok(Emitted::fixed(
            output,
            vec![1.0],
            (min.saturating_sub(size.saturating_mul(most)), max.saturating_sub(size.saturating_mul(first))),
        ))
    }

    /// Bounds as integers of the value's scale; values that cannot reach them pass.
    fn clip(&mut self, node: &FloatNode, bounds: (f64, f64), tensor: String, shape: Vec<usize>) -> Result<Emitted, QuantiseError> {
        let name = &node.name;
        let mut value = self.value(node.inputs[0])?;
        if value.product {
            value = self.narrow(node.inputs[0])?;
        } else if value.scales.len() > 1 {
            // One bound for all elements needs one scale for all.
            let scales = self.requant_scales(node.inputs[0], self.limit() / 2.0, false);
            if value.bounds.is_none() {
                value = self.requantise(format!("{name}/requant"), &format!("{name}/in"), &value);
            }
            let accumulator = self.rescale(&format!("{name}/scale"), &value, &[scales[0] / self.limit()])?;
            value = self.requantise(format!("{name}/in"), &format!("{name}/in"), &accumulator);
        }
        let scale = value.scales[0];
        let integer = |bound: f64| -> Result<Option<i64>, QuantiseError> {
            if bound.is_infinite() { Ok(None) } else { integers(name, std::iter::once(bound / scale)).map(|list| list.first().copied()) }
        };
        let (mut min, mut max) = (integer(bounds.0)?, integer(bounds.1)?);
        let largest = self.plan.statistics.largest(node.output);
        let lost = [bounds.0, bounds.1].into_iter().filter(|bound| bound.is_finite() && largest > 0.0);
        self.check_lost(name, lost.map(|bound| ((bound / scale).round() * scale - bound).abs() / largest).fold(0.0, f64::max))?;
        let mut result = value.bounds;
        if let Some((least, most)) = value.bounds {
            min = min.filter(|min| *min > least);
            max = max.filter(|max| *max < most);
            let within = |x: i64| x.max(min.unwrap_or(x)).min(max.unwrap_or(x));
            result = Some((within(least), within(most)));
            if min.is_none() && max.is_none() {
                return Ok(value);
            }
        }
        let limbs = match value.bounds {
            Some((least, most)) => {
                // A bound may lie beyond what the value can be.
                let (least, most) = [min, max].into_iter().flatten().fold((least, most), |(a, b), bound| (a.min(bound), b.max(bound)));
                if most.saturating_sub(least) < 1 << self.settings.table_bits { 1 } else { 3 }
            }
            None => 3,
        };
        let output = self.node(name.clone(), Op::Clip(Clip { min, max, limbs }), vec![value.tensor], tensor, shape);
        Ok(Emitted { tensor: output, scales: value.scales, bounds: result, product: false })
    }
}
