//! The integer graph, node by node.

use super::plan::{Plan, Target};
use super::scales::Tabulated;
use super::{MOST_LOST, QuantiseError, Scales, Settings, TensorScale, at, by_plane, integers, most};
use crate::float::{FloatNode, FloatOp, Kind, ValueId};
use crate::onnx::along;
use zkslice_graph::{Affine, Constant, Divide, Encoding, Graph, Node, Op, Port, Requant, Reshape, Rounding, Scale, Tensor, TensorId};

/// A factor from which on rounding it to a whole number loses too little to matter.
const FINE_FACTOR: f64 = 512.0;

/// An emitted value.
#[derive(Clone, Debug)]
pub(super) struct Emitted {
    pub(super) tensor: TensorId,
    pub(super) scales: Scales,
    /// Bounds of its integers; `None` for an accumulator.
    pub(super) bounds: Option<(i64, i64)>,
    /// Whether it is made of products of fixed values, and so as wide as both together.
    pub(super) product: bool,
}

impl Emitted {
    /// A value whose integers lie within bounds.
    pub(super) fn fixed(tensor: TensorId, scales: Scales, bounds: (i64, i64)) -> Emitted {
        Emitted { tensor, scales, bounds: Some(bounds), product: false }
    }

    pub(super) fn accumulator(tensor: TensorId, scales: Scales) -> Emitted {
        Emitted { tensor, scales, bounds: None, product: false }
    }
}

pub(super) struct Builder<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) settings: Settings<'a>,
    pub(super) graph: Graph,
    /// For each linear value the scales of its accumulators.
    pub(super) targets: Vec<Option<Scales>>,
    /// What each value has become.
    pub(super) values: Vec<Option<Emitted>>,
    /// The same with one scale, in as many bits as the range table has, where something needed that.
    pub(super) narrowed: Vec<Option<Emitted>>,
    pub(super) scales: Vec<TensorScale>,
    /// For each node of the float graph, and then for each output, what was emitted for it.
    pub(super) nodes: Vec<std::ops::Range<usize>>,
    /// For each node that is a function its table.
    pub(super) functions: Vec<Option<Tabulated>>,
}

impl<'a> Builder<'a> {
    pub(super) fn tensor(&mut self, name: String, shape: Vec<usize>) -> TensorId {
        self.graph.tensors.push(Tensor { name, shape });
        self.graph.tensors.len() - 1
    }

    pub(super) fn node(&mut self, name: String, op: Op, inputs: Vec<TensorId>, tensor: String, shape: Vec<usize>) -> TensorId {
        let output = self.tensor(tensor, shape);
        self.graph.nodes.push(Node { name, op, inputs, output });
        output
    }

    pub(super) fn note(&mut self, tensor: TensorId, scales: &[f64]) {
        let (min, max) = scales.iter().fold((f64::INFINITY, 0.0), |(min, max): (f64, f64), &s| (min.min(s), max.max(s)));
        self.scales.push(TensorScale { tensor: self.graph.tensors[tensor].name.clone(), min, max });
    }

    pub(super) fn emit(&mut self) -> Result<(), QuantiseError> {
        for (position, &id) in self.float().inputs.iter().enumerate() {
            let value = &self.float().values[id];
            let tensor = self.tensor(value.name.clone(), value.shape.clone());
            let encoding = self.settings.inputs[position].clone();
            let scales = match encoding.single() {
                Some(feature) => vec![feature.scale.value()],
                None => encoding.by_element(&value.shape).map(|feature| feature.scale.value()).collect(),
            };
            self.note(tensor, &scales);
            self.values[id] = Some(Emitted::fixed(tensor, scales, encoding.range()));
            self.graph.inputs.push(Port { tensor, encoding });
        }
        for index in 0..self.float().nodes.len() {
            let node = &self.float().nodes[index];
            let first = self.graph.nodes.len();
            // Whoever reads a constant says at which scale.
            if !matches!(node.op, FloatOp::Constant { .. }) {
                let emitted = self.emit_node(index, node)?;
                // What turned out fixed after all (it reads moves of requantised values) needs no requantisation.
                let emitted = if self.plan.target[node.output] == Some(Target::Own) && emitted.bounds.is_none() {
                    let name = format!("{}/requant", node.name);
                    self.requantise(name, &self.float().values[node.output].name.clone(), &emitted)
                } else {
                    emitted
                };
                self.values[node.output] = Some(emitted);
            }
            self.nodes.push(first..self.graph.nodes.len());
        }
        for position in 0..self.float().outputs.len() {
            let first = self.graph.nodes.len();
            self.emit_output(position)?;
            self.nodes.push(first..self.graph.nodes.len());
        }
        Ok(())
    }

    /// An output's port: as it stands where its integers fit digits, requantised to a scale of its own otherwise.
    fn emit_output(&mut self, position: usize) -> Result<(), QuantiseError> {
        let (name, id) = &self.float().outputs[position];
        let (id, bits) = (*id, self.settings.table_bits);
        let largest = self.plan.statistics.largest(id);
        let scale_error = || QuantiseError::Scale { side: "output", name: name.clone(), magnitude: largest };
        let mut value = self.value(id)?;
        let exact = self.kind(id) != Kind::Real;
        if exact {
            value = self.within_digits(id, value)?;
        }
        let fits = |(min, max): (i64, i64), bits: u32| max.saturating_sub(min.min(0)) < 1 << bits;
        if let (Some(bounds), [scale]) = (value.bounds, &value.scales[..])
            && fits(bounds, if exact { 32 } else { bits })
        {
            let scale = Scale::at_least(*scale).ok_or_else(scale_error)?;
            let offset = bounds.0.min(0).saturating_neg();
            let bits = (bounds.1.saturating_add(offset).max(offset) as u64).checked_ilog2().map_or(1, |log| log + 1);
            // A tensor is one output once, and no input.
            let taken = |port: &Port| port.tensor == value.tensor;
            if self.graph.inputs.iter().chain(&self.graph.outputs).any(taken) {
                let shape = self.shape(id).to_vec();
                value.tensor = self.node(format!("{name}/copy"), Op::Reshape(Reshape), vec![value.tensor], name.clone(), shape);
            }
            self.graph.outputs.push(Port { tensor: value.tensor, encoding: Encoding::uniform(bits, offset, scale) });
            return Ok(());
        }
        let root = self.float().values[id].name.clone();
        if value.product {
            value = self.narrow(id)?;
        }
        let (accumulator, scale) = if value.bounds.is_none() {
            // The accumulator's scale is the output's by 2^w exactly, so this is the same decimal again.
            let scale = Scale::at_least(value.scales[0] * self.limit());
            (value, scale)
        } else {
            let scale = self.output_scale(position, 1.0)?;
            (self.rescale(&format!("{root}/scale"), &value, &[scale.value() / self.limit()])?, Some(scale))
        };
        let scale = scale.ok_or_else(scale_error)?;
        let requantised = self.requantise(format!("{name}/requant"), name, &accumulator);
        let encoding = Encoding::uniform(bits, 1 << (bits - 1), scale);
        self.graph.outputs.push(Port { tensor: requantised.tensor, encoding });
        Ok(())
    }

    /// Integers of which every one fits a digit: divided by one where they could be too many, which shows that they are not.
    fn within_digits(&mut self, id: ValueId, value: Emitted) -> Result<Emitted, QuantiseError> {
        let Some((min, max)) = value.bounds else { return Ok(value) };
        if max.saturating_sub(min.min(0)) < 1 << 32 {
            return Ok(value);
        }
        let name = &self.float().values[id].name;
        let (least, greatest) = self.plan.statistics.extremes(id);
        let room = self.limit() - (greatest - least) - 1.0;
        if room < 0.0 {
            let reason = format!("its integers from {least} to {greatest} do not fit {} bits", self.settings.table_bits);
            return Err(QuantiseError::Exact { node: name.clone(), reason });
        }
        let least = (least - (room / 2.0).floor()) as i64;
        let shape = self.shape(id).to_vec();
        let one =
            self.node(format!("{name}/one"), Op::Constant(Constant { values: vec![1] }), Vec::new(), format!("{name}/one"), shape.clone());
        let op = Op::Divide(Divide { factor: 1, rounding: Rounding::Down, least, limbs: 1, least_divisor: 1 });
        let tensor = self.node(format!("{name}/range"), op, vec![value.tensor, one], name.clone(), shape);
        Ok(Emitted::fixed(tensor, vec![1.0], (least, least + (1 << self.settings.table_bits) - 1)))
    }

    pub(super) fn kind(&self, id: ValueId) -> Kind {
        self.float().values[id].kind
    }

    /// What an emitted value has become; every value is emitted before it is read. A constant is written at a scale of its own.
    pub(super) fn value(&mut self, id: ValueId) -> Result<Emitted, QuantiseError> {
        if let Some(value) = &self.values[id] {
            return Ok(value.clone());
        }
        let list = self.constant(id).unwrap_or_default();
        let largest = list.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let scale = match self.kind(id) {
            Kind::Real if largest > 0.0 => largest / (self.limit() / 2.0 - 1.0),
            _ => 1.0,
        };
        // One for each reader, beside it: a constant that crosses the border of a slice costs as much as any other tensor there.
        self.constant_at(id, scale)
    }

    /// The numbers of a value that is a constant.
    pub(super) fn constant(&self, id: ValueId) -> Option<&'a [f64]> {
        match &self.float().nodes[self.plan.producer[id]?].op {
            FloatOp::Constant { values } => Some(values),
            _ => None,
        }
    }

    /// A constant at a scale that suits what stands beside it.
    pub(super) fn constant_at(&mut self, id: ValueId, scale: f64) -> Result<Emitted, QuantiseError> {
        let list = self.constant(id).unwrap_or_default();
        let value = &self.float().values[id];
        let values = integers(&value.name, list.iter().map(|x| x / scale))?;
        let bounds = values.iter().fold((i64::MAX, i64::MIN), |(min, max), &x| (min.min(x), max.max(x)));
        let tensor = self.node(value.name.clone(), Op::Constant(Constant { values }), Vec::new(), value.name.clone(), value.shape.clone());
        Ok(Emitted::fixed(tensor, vec![scale], bounds))
    }

    /// A fixed value with one scale, in as many bits as the range table has.
    pub(super) fn narrow(&mut self, id: ValueId) -> Result<Emitted, QuantiseError> {
        if let Some(value) = &self.narrowed[id] {
            return Ok(value.clone());
        }
        let value = self.value(id)?;
        let narrow = value.bounds.is_some_and(|(min, max)| max.saturating_sub(min) < 2 << self.settings.table_bits);
        let narrowed =
            if value.scales.len() == 1 && (narrow || self.kind(id) != Kind::Real) { value } else { self.requantised(id, &value)? };
        self.narrowed[id] = Some(narrowed.clone());
        Ok(narrowed)
    }

    /// A value requantised to one scale for all its elements. The factor of a wide value is a whole number, and the scale follows from it:
    /// rounding it would lose too much.
    fn requantised(&mut self, id: ValueId, value: &Emitted) -> Result<Emitted, QuantiseError> {
        let name = self.float().values[id].name.clone();
        let wanted = self.requant_scales(id, self.limit() / 2.0, false)[0];
        let factor = value.scales.iter().fold(f64::INFINITY, |least, scale| least.min(scale * self.limit() / wanted));
        // A factor that leaves no integer too large is right whatever the samples show.
        let largest = value.bounds.map_or(f64::INFINITY, |(min, max)| max.max(min.saturating_neg()) as f64);
        let factor = factor.max(((self.limit() / 2.0 - 1.0) * self.limit() / largest).floor());
        let [scale] = value.scales[..] else {
            let accumulator = self.rescale(&format!("{name}/scale"), value, &[wanted / self.limit()])?;
            return Ok(self.requantise(format!("{name}/narrow"), &format!("{name}/narrow"), &accumulator));
        };
        let accumulator = if value.bounds.is_none() {
            value.clone()
        } else if factor >= FINE_FACTOR {
            self.rescale(&format!("{name}/scale"), value, &[wanted / self.limit()])?
        } else if factor >= 1.0 {
            self.rescale(&format!("{name}/scale"), value, &[scale / factor.floor()])?
        } else {
            return self.divided(id, value, scale, wanted);
        };
        Ok(self.requantise(format!("{name}/narrow"), &format!("{name}/narrow"), &accumulator))
    }

    /// A value so wide that no requantisation reaches its scale: divided by a constant.
    fn divided(&mut self, id: ValueId, value: &Emitted, scale: f64, wanted: f64) -> Result<Emitted, QuantiseError> {
        let name = self.float().values[id].name.clone();
        let shape = self.shape(id).to_vec();
        let divisor = integers(&name, std::iter::once((wanted / scale).ceil()))?[0];
        let half = 1_i64 << (self.settings.table_bits - 1);
        let limbs = self.limbs_of(divisor.saturating_mul(2));
        let op = Op::Divide(Divide { factor: 1, rounding: Rounding::Nearest, least: -half, limbs, least_divisor: 1 });
        let constant = Op::Constant(Constant { values: vec![divisor] });
        let divisor_tensor = self.node(format!("{name}/divisor"), constant, Vec::new(), format!("{name}/divisor"), shape.clone());
        let tensor = self.node(format!("{name}/narrow"), op, vec![value.tensor, divisor_tensor], format!("{name}/narrow"), shape);
        let scales = vec![scale * divisor as f64];
        self.note(tensor, &scales);
        Ok(Emitted::fixed(tensor, scales, (-half, half - 1)))
    }

    /// Table lookups that numbers from 0 to `most` take, each in as many limbs.
    pub(super) fn limbs_of(&self, most: i64) -> u32 {
        let bits = (most.max(1) as u64).ilog2() + 1;
        bits.div_ceil(self.settings.table_bits)
    }

    pub(super) fn requantise(&mut self, node: String, tensor: &str, accumulator: &Emitted) -> Emitted {
        let shift = self.settings.table_bits;
        let shape = self.graph.tensors[accumulator.tensor].shape.clone();
        let output = self.node(node, Op::Requant(Requant { shift }), vec![accumulator.tensor], tensor.to_owned(), shape);
        let scales: Scales = accumulator.scales.iter().map(|s| s * self.limit()).collect();
        self.note(output, &scales);
        let half = 1_i64 << (shift - 1);
        Emitted::fixed(output, scales, (-half, half - 1))
    }

    /// A fixed value as an accumulator of the given scales.
    pub(super) fn rescale(&mut self, name: &str, value: &Emitted, scales: &[f64]) -> Result<Emitted, QuantiseError> {
        let count = self.graph.tensors[value.tensor].len();
        let factors: Vec<f64> = (0..count).map(|e| at(&value.scales, e) / at(scales, e)).collect();
        // Elements that come to one scale are parts of one range: what rounding loses of a small one is little of that.
        let largest = most(&factors);
        let whole = |factor: f64| if scales.len() == 1 { largest } else { factor };
        let lost = factors.iter().fold(0.0_f64, |lost, &factor| lost.max((factor.round() - factor).abs() / whole(factor)));
        self.check_lost(name, lost)?;
        self.combine(name, name, &[value.tensor], &[factors], &vec![0.0; count], scales)
    }

    /// Refuses constants whose rounding loses more of the result's range than [`MOST_LOST`].
    pub(super) fn check_lost(&self, node: &str, lost: f64) -> Result<(), QuantiseError> {
        if lost > MOST_LOST {
            return Err(QuantiseError::Lost { node: node.to_owned(), lost, table_bits: self.settings.table_bits });
        }
        Ok(())
    }

    /// What rounding the rows of a matrix product loses of its result's range, on the average of the samples: the errors of
    /// weights (exact, in accumulator units of the scale beside them) at inputs as large as `typical` says, in units of their scale.
    pub(super) fn check_rows<'w>(
        &self,
        node: &FloatNode,
        rows: impl Iterator<Item = (&'w [f64], f64)>,
        typical: impl Fn(usize, usize) -> f64,
    ) -> Result<(), QuantiseError> {
        let (root, grown) = self.to_root(node.output);
        // A function's arguments are as fine as its table, however few of them this node gives it.
        let argument = match self.plan.target[root] {
            Some(Target::Argument(reader)) => self.functions[reader].as_ref().map(Tabulated::farthest),
            _ => None,
        };
        let largest = argument.unwrap_or_else(|| self.plan.statistics.largest(root));
        if largest <= 0.0 {
            return Ok(());
        }
        let lost = rows.enumerate().map(|(row, (weights, scale))| {
            let error = |(position, weight): (usize, &f64)| ((weight.round() - weight) * typical(row, position)).powi(2);
            weights.iter().enumerate().map(error).sum::<f64>().sqrt() * scale * grown.get(row).copied().unwrap_or(most(&grown)) / largest
        });
        self.check_lost(&node.name, lost.fold(0.0, f64::max))
    }

    /// The root of the mean square of some elements of a fixed value; of all of them where they have one scale, unless it is an
    /// input, whose features may be in units of their own all the same.
    pub(super) fn typical(&self, id: ValueId, value: &Emitted, elements: impl Iterator<Item = usize>) -> f64 {
        if value.scales.len() > 1 || self.plan.producer[id].is_none() {
            self.plan.statistics.typical(id, elements)
        } else {
            self.plan.statistics.typical(id, 0..self.float().values[id].len())
        }
    }

    /// `Σ factors_k[e]·in_k[e] + bias[e]` as an accumulator, with the constants rounded and written as shortly as they allow.
    pub(super) fn combine(
        &mut self,
        node: &str,
        tensor: &str,
        inputs: &[TensorId],
        factors: &[Vec<f64>],
        bias: &[f64],
        scales: &[f64],
    ) -> Result<Emitted, QuantiseError> {
        let shape = self.graph.tensors[inputs[0]].shape.clone();
        let factors = factors.iter().map(|list| integers(node, list.iter().copied())).collect::<Result<Vec<_>, _>>()?;
        let bias = integers(node, bias.iter().copied())?;
        let emitted = |tensor| Emitted::accumulator(tensor, scales.to_vec());
        for axis in 0..shape.len() {
            let coefficients: Option<Vec<Vec<i64>>> = factors.iter().map(|list| along(list, &shape, axis)).collect();
            if let (Some(coefficients), Some(bias)) = (coefficients, along(&bias, &shape, axis)) {
                let op = Op::Affine(Affine { axis, coefficients, bias });
                return Ok(emitted(self.node(node.to_owned(), op, inputs.to_vec(), tensor.to_owned(), shape)));
            }
        }
        let flat = vec![bias.len()];
        let reshaped: Vec<TensorId> = inputs
            .iter()
            .map(|&input| self.node(format!("{node}/flatten"), Op::Reshape(Reshape), vec![input], format!("{tensor}/flat"), flat.clone()))
            .collect();
        let op = Op::Affine(Affine { axis: 0, coefficients: factors, bias });
        let output = self.node(node.to_owned(), op, reshaped, format!("{tensor}/flat"), flat);
        Ok(emitted(self.node(format!("{node}/shape"), Op::Reshape(Reshape), vec![output], tensor.to_owned(), shape)))
    }

    /// A fixed value whose scales are one a plane of `inner` elements; requantised to one scale where they are not.
    pub(super) fn planar(&mut self, name: &str, id: ValueId, planes: usize, inner: usize) -> Result<(Emitted, Vec<f64>), QuantiseError> {
        let value = self.value(id)?;
        if value.product {
            let value = self.narrow(id)?;
            let scales = vec![value.scales[0]; planes];
            return Ok((value, scales));
        }
        if let Some(scales) = by_plane(&value.scales, planes, inner) {
            return Ok((value, scales));
        }
        let scales = self.requant_scales(id, self.limit() / 2.0, false);
        let accumulator = self.rescale(&format!("{name}/scale"), &value, &[scales[0] / self.limit()])?;
        let value = self.requantise(format!("{name}/requant"), &format!("{name}/in"), &accumulator);
        Ok((value, vec![scales[0]; planes]))
    }
}
