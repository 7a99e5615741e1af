//! Operators, one function each: attributes, shapes and constants of an ONNX node become a [`FloatOp`].

use tract_onnx::pb::NodeProto;

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::{ImportError, Importer, Known, node_name};
use crate::executor::{concat, inside, transpose};
use crate::float::{FloatOp, ValueId};
use crate::model::Window;
use crate::validate::{checked_elements, limits};

/// An ONNX operator that a model may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its name in ONNX.
    pub name: &'static str,
    /// In which form, for the README's table.
    pub form: &'static str,
}

const fn operator(name: &'static str, form: &'static str) -> Operator {
    Operator { name, form }
}

/// The supported operators, by name.
pub const OPERATORS: [Operator; 25] = [
    operator("Add", "two tensors of one shape, or a tensor and a constant"),
    operator("AveragePool", "one or two window axes; `ceil_mode` where no window reaches past the padding"),
    operator("BatchNormalization", "inference, with constant parameters"),
    operator("Cast", "between floating-point types; of a constant, within integers or floating point"),
    operator("Concat", "along any axis"),
    operator("Constant", "numbers"),
    operator("Conv", "one or two window axes, constant weights; groups, strides, dilations, any padding"),
    operator("Div", "a tensor by a constant"),
    operator("Dropout", "inference: it passes its input on"),
    operator("Flatten", "at any axis"),
    operator("Gather", "on shapes, for a Reshape"),
    operator("Gemm", "constant weights; a bias, `alpha`, `beta`, `transA`, `transB`"),
    operator("GlobalAveragePool", "one or two window axes"),
    operator("Identity", "anything"),
    operator("MatMul", "a tensor and a constant matrix on its right"),
    operator("MaxPool", "one or two window axes; any padding, `ceil_mode`; without indices"),
    operator("Mul", "a tensor and a constant"),
    operator("Relu", "any tensor"),
    operator("Reshape", "to a constant shape"),
    operator("Shape", "of a fixed shape, for a Reshape"),
    operator("Softmax", "as the last node, dropped by `--drop-final-softmax`"),
    operator("Squeeze", "constant axes"),
    operator("Sub", "two tensors of one shape, or a tensor and a constant"),
    operator("Transpose", "any order"),
    operator("Unsqueeze", "constant axes"),
];

/// Their names, for errors.
pub(super) fn names() -> String {
    OPERATORS.map(|operator| operator.name).join(", ")
}

/// A node under import, for errors.
pub(super) struct Context<'a> {
    pub(super) name: String,
    pub(super) operator: &'a str,
    inputs: Vec<Option<Known>>,
    input_names: &'a [String],
}

impl Context<'_> {
    /// An error about the node.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> ImportError {
        ImportError::Operator { node: self.name.clone(), operator: self.operator.to_owned(), reason: reason.into() }
    }

    fn arity(&self, least: usize, most: usize) -> Result<(), ImportError> {
        let present = self.inputs.iter().take(least).filter(|input| input.is_some()).count();
        if present < least || self.inputs.len() > most {
            return Err(self.wrong(format!("it has {} inputs where {least} to {most} are possible", self.inputs.len())));
        }
        Ok(())
    }

    /// The value at an input, refused when it is a constant.
    fn value(&self, index: usize) -> Result<ValueId, ImportError> {
        match self.inputs.get(index).and_then(Option::as_ref) {
            Some(&Known::Value(id)) => Ok(id),
            Some(Known::Constant(_)) => Err(self.wrong(format!("its input {index} is a constant, which is not supported there"))),
            None => Err(self.wrong(format!("its input {index} is missing"))),
        }
    }

    /// The constant at an input, if the input is there.
    fn optional_constant(&self, index: usize) -> Result<Option<&Constant>, ImportError> {
        match self.inputs.get(index).and_then(Option::as_ref) {
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Value(_)) => {
                let name = self.input_names.get(index).map_or("", String::as_str);
                Err(self.wrong(format!("its input `{name}` must be a constant (an initialiser of the model)")))
            }
            None => Ok(None),
        }
    }

    fn constant(&self, index: usize) -> Result<&Constant, ImportError> {
        self.optional_constant(index)?.ok_or_else(|| self.wrong(format!("its input {index} is missing")))
    }

    fn floats<'c>(&self, constant: &'c Constant) -> Result<&'c [f64], ImportError> {
        match &constant.elements {
            Elements::Floats(list) => Ok(list),
            Elements::Ints(_) => Err(self.wrong("a weight is of integers where floating point is needed")),
        }
    }

    fn ints<'c>(&self, constant: &'c Constant) -> Result<&'c [i64], ImportError> {
        match &constant.elements {
            Elements::Ints(list) => Ok(list),
            Elements::Floats(_) => Err(self.wrong("a shape or index is of floating point where integers are needed")),
        }
    }

    fn axis(&self, axis: i64, rank: usize) -> Result<usize, ImportError> {
        let shifted = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
        shifted
            .and_then(|axis| usize::try_from(axis).ok())
            .filter(|&axis| axis < rank)
            .ok_or_else(|| self.wrong(format!("axis {axis} does not exist in a tensor of {rank} axes")))
    }
}

impl Importer<'_> {
    /// Imports one node; gives what its first output stands for.
    pub(super) fn node(&mut self, node: &NodeProto, is_final: bool) -> Result<Known, ImportError> {
        let name = node_name(node);
        if !(node.domain.is_empty() || node.domain == "ai.onnx") {
            return Err(ImportError::UnknownOperator { node: name, operator: format!("{}.{}", node.domain, node.op_type) });
        }
        if !OPERATORS.iter().any(|operator| operator.name == node.op_type) {
            return Err(ImportError::UnknownOperator { node: name, operator: node.op_type.clone() });
        }
        let inputs = node
            .input
            .iter()
            .map(|input| {
                if input.is_empty() {
                    return Ok(None);
                }
                self.known.get(input).cloned().map(Some).ok_or_else(|| ImportError::Operator {
                    node: name.clone(),
                    operator: node.op_type.clone(),
                    reason: format!("its input `{input}` is made by no node before it"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let c = Context { name, operator: &node.op_type, inputs, input_names: &node.input };
        let mut attributes = Attributes::new(node)?;
        let a = &mut attributes;
        let known = match node.op_type.as_str() {
            "Conv" => self.conv(&c, a),
            "Gemm" => self.gemm(&c, a),
            "MatMul" => self.mat_mul(&c),
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(&c),
            "BatchNormalization" => self.batch_norm(&c, a),
            "Relu" => {
                c.arity(1, 1)?;
                let input = c.value(0)?;
                let shape = self.shape(input).to_vec();
                self.push(&c, FloatOp::Relu, vec![input], shape).map(Known::Value)
            }
            "MaxPool" => self.pool(&c, a, true),
            "AveragePool" => self.pool(&c, a, false),
            "GlobalAveragePool" => self.global_average(&c),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(&c, a),
            "Transpose" => self.transpose(&c, a),
            "Concat" => self.concat(&c, a),
            "Identity" => {
                c.arity(1, 1)?;
                c.inputs[0].clone().ok_or_else(|| c.wrong("its input is missing"))
            }
            "Dropout" => {
                c.arity(1, 3)?;
                for name in ["ratio", "seed", "is_test"] {
                    a.ignore(name);
                }
                if let Some(training) = c.optional_constant(2)?
                    && c.ints(training)? != [0]
                {
                    return Err(c.wrong("it is in training mode; export the model for inference"));
                }
                c.inputs[0].clone().ok_or_else(|| c.wrong("its input is missing"))
            }
            "Softmax" => {
                c.arity(1, 1)?;
                a.ignore("axis");
                let input = c.value(0)?;
                if !is_final {
                    Err(c.wrong("a Softmax inside a model is not supported"))
                } else if !self.options.drop_final_softmax {
                    Err(ImportError::FinalSoftmax { node: c.name.clone() })
                } else {
                    Ok(Known::Value(input))
                }
            }
            "Constant" => constant(&c, a),
            "Shape" => {
                c.arity(1, 1)?;
                a.only("start", 0)?;
                let shape: Vec<i64> = match c.inputs[0].as_ref() {
                    Some(&Known::Value(id)) => self.shape(id).iter().map(|&n| n as i64).collect(),
                    Some(Known::Constant(constant)) => constant.shape.iter().map(|&n| n as i64).collect(),
                    None => return Err(c.wrong("its input is missing")),
                };
                Ok(Known::Constant(Constant { shape: vec![shape.len()], elements: Elements::Ints(shape) }))
            }
            "Gather" => gather(&c, a),
            "Cast" => {
                c.arity(1, 1)?;
                let to = a.int("to")?;
                a.ignore("saturate");
                a.ignore("round_mode");
                match (&c.inputs[0], to) {
                    (Some(known @ Known::Value(_)), Some(1 | 11)) => Ok(known.clone()),
                    (Some(Known::Constant(constant)), Some(6 | 7)) if matches!(constant.elements, Elements::Ints(_)) => {
                        Ok(Known::Constant(constant.clone()))
                    }
                    (Some(Known::Constant(constant)), Some(1 | 11)) if matches!(constant.elements, Elements::Floats(_)) => {
                        Ok(Known::Constant(constant.clone()))
                    }
                    _ => Err(c.wrong("it changes between integers and floating point, which is not supported")),
                }
            }
            _ => Err(ImportError::UnknownOperator { node: c.name.clone(), operator: node.op_type.clone() }),
        }?;
        attributes.finish()?;
        Ok(known)
    }

    /// The channels and the two window axes of an NCHW or NCL value.
    fn planes(&self, c: &Context<'_>, id: ValueId) -> Result<[usize; 3], ImportError> {
        match *self.shape(id) {
            [1, channels, width] => Ok([channels, 1, width]),
            [1, channels, height, width] => Ok([channels, height, width]),
            ref shape => Err(c.wrong(format!("its input has shape {shape:?}; [1, C, H, W] or [1, C, L] is needed"))),
        }
    }

    fn conv(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 3)?;
        let input = c.value(0)?;
        let planes = self.planes(c, input)?;
        let rank = self.shape(input).len();
        let weights = c.constant(1)?;
        let list = c.floats(weights)?;
        if weights.shape.len() != rank || list.is_empty() {
            return Err(c.wrong(format!("weights of shape {:?} do not fit an input of {rank} axes", weights.shape)));
        }
        let groups = match a.int("group")? {
            None => 1,
            Some(n) => usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| a.wrong("group", format!("is {n}")))?,
        };
        let out = weights.shape[0];
        if !planes[0].is_multiple_of(groups) || weights.shape[1] != planes[0] / groups || !out.is_multiple_of(groups) {
            return Err(c.wrong(format!("weights of shape {:?} do not fit {} channels in {groups} groups", weights.shape, planes[0])));
        }
        let kernel = &weights.shape[2..];
        if let Some(stated) = a.sizes("kernel_shape", kernel.len(), 1)?
            && stated != kernel
        {
            return Err(a.wrong("kernel_shape", format!("is {stated:?}, but the weights' kernel is {kernel:?}")));
        }
        let window = window(c, a, planes, kernel, false)?.window;
        let bias = match c.optional_constant(2)? {
            Some(bias) if bias.shape == [out] => c.floats(bias)?.to_vec(),
            Some(bias) => return Err(c.wrong(format!("a bias of shape {:?} does not fit {out} output channels", bias.shape))),
            None => vec![0.0; out],
        };
        let shape = output_shape(rank, out, &window);
        let weights = list.to_vec();
        self.push(c, FloatOp::Conv { window, groups, weights, bias }, vec![input], shape).map(Known::Value)
    }

    fn pool(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, max: bool) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let input = c.value(0)?;
        let planes = self.planes(c, input)?;
        let rank = self.shape(input).len();
        let kernel = a.sizes("kernel_shape", rank - 2, 1)?.ok_or_else(|| a.wrong("kernel_shape", "is missing"))?;
        let ceil = a.flag("ceil_mode", false)?;
        if max {
            a.only("storage_order", 0)?;
        }
        let include = !max && a.flag("count_include_pad", false)?;
        let padded = window(c, a, planes, &kernel, ceil)?;
        let shape = output_shape(rank, planes[0], &padded.window);
        for axis in 0..2 {
            let pads = [padded.window.pads[axis], padded.end[axis]];
            if pads.iter().any(|&pad| pad >= padded.window.kernel[axis] * padded.window.dilations[axis]) && pads != [0, 0] {
                return Err(c.wrong("its padding is not smaller than its kernel"));
            }
        }
        let window = padded.window.clone();
        if max {
            return self.push(c, FloatOp::MaxPool { window }, vec![input], shape).map(Known::Value);
        }
        if padded.rounded_up {
            return Err(a.wrong(
                "ceil_mode",
                "makes windows that reach past the padding, which is not supported for averages; pad the input instead",
            ));
        }
        let full = (window.kernel[0] * window.kernel[1]) as u32;
        let mut counts: Vec<u32> = vec![full];
        if !include {
            let taps = |axis: usize, position: usize| {
                let (size, offset) = (window.input[axis + 1], position * window.strides[axis]);
                let (start, end) = inside(size, window.kernel[axis], window.dilations[axis], offset, window.pads[axis]);
                (end - start) as u32
            };
            let columns: Vec<u32> = (0..window.output[1]).map(|x| taps(1, x)).collect();
            let rows = (0..window.output[0]).map(|y| taps(0, y));
            let each: Vec<u32> = rows.flat_map(|row| columns.iter().map(move |column| row * column)).collect();
            if each.contains(&0) {
                return Err(c.wrong("a window lies wholly in the padding"));
            }
            if each.iter().any(|&count| count != full) {
                counts = each;
            }
        }
        self.push(c, FloatOp::AveragePool { window, counts }, vec![input], shape).map(Known::Value)
    }

    fn global_average(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let input = c.value(0)?;
        let planes = self.planes(c, input)?;
        let rank = self.shape(input).len();
        let kernel = [planes[1], planes[2]];
        let window = Window { input: planes, output: [1, 1], kernel, strides: [1, 1], dilations: [1, 1], pads: [0, 0] };
        let shape = output_shape(rank, planes[0], &window);
        let counts = vec![(kernel[0] * kernel[1]) as u32];
        self.push(c, FloatOp::AveragePool { window, counts }, vec![input], shape).map(Known::Value)
    }

    fn gemm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 3)?;
        let alpha = a.float("alpha", 1.0)?;
        let beta = a.float("beta", 1.0)?;
        let mut input = c.value(0)?;
        let [m, k] = *self.shape(input) else {
            return Err(c.wrong(format!("its input has shape {:?} where two axes are needed", self.shape(input))));
        };
        let (mut rows, mut k) = (m, k);
        if a.flag("transA", false)? {
            input = self.push(c, FloatOp::Transpose { perm: vec![1, 0] }, vec![input], vec![k, m])?;
            (rows, k) = (k, m);
        }
        let transposed = a.flag("transB", false)?;
        let weights = c.constant(1)?;
        let list = c.floats(weights)?;
        let (by_output, n) = match *weights.shape {
            [n, inner] if transposed && inner == k => (list.to_vec(), n),
            [inner, n] if !transposed && inner == k => (transpose(&[1, 0], &[k, n], list), n),
            ref shape => return Err(c.wrong(format!("weights of shape {shape:?} do not fit an input of {k} columns"))),
        };
        let weights: Vec<f64> = by_output.into_iter().map(|w| w * alpha).collect();
        let mut bias = vec![0.0; n];
        let mut late = None;
        if let Some(constant) = c.optional_constant(2)? {
            let full: Vec<f64> = broadcast(c, constant, &[rows, n])?.into_iter().map(|b| b * beta).collect();
            if full.chunks_exact(n).all(|row| row == &full[..n]) {
                bias = full[..n].to_vec();
            } else {
                late = Some(full);
            }
        }
        let shape = vec![rows, n];
        let mut output = self.push(c, FloatOp::Dense { rows, k, n, weights, bias }, vec![input], shape.clone())?;
        if let Some(full) = late {
            output = self.affine(c, output, vec![1.0; full.len()], full)?;
        }
        Ok(Known::Value(output))
    }

    fn mat_mul(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        if let (Some(Known::Value(_)), Some(Known::Value(_))) = (&c.inputs[0], &c.inputs[1]) {
            return Err(c.wrong("a product of two tensors that depend on the input is not supported; one factor must be constant"));
        }
        let input = c.value(0).map_err(|_| c.wrong("the constant must be the right factor; transpose the product"))?;
        let weights = c.constant(1)?;
        let list = c.floats(weights)?;
        let Some((&k, leading)) = self.shape(input).split_last().filter(|(_, leading)| !leading.is_empty()) else {
            return Err(c.wrong("its input must have two axes at least"));
        };
        let [inner, n] = *weights.shape else {
            return Err(c.wrong(format!("weights of shape {:?} where two axes are needed", weights.shape)));
        };
        if inner != k {
            return Err(c.wrong(format!("weights of shape {:?} do not fit an input of {k} columns", weights.shape)));
        }
        let rows = leading.iter().product();
        let mut shape = leading.to_vec();
        shape.push(n);
        let op = FloatOp::Dense { rows, k, n, weights: transpose(&[1, 0], &[k, n], list), bias: vec![0.0; n] };
        self.push(c, op, vec![input], shape).map(Known::Value)
    }

    /// Add and Sub of tensors or constants; Mul and Div by constants.
    fn arithmetic(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        match (c.inputs[0].as_ref(), c.inputs[1].as_ref()) {
            (Some(&Known::Value(x)), Some(&Known::Value(y))) => {
                if self.shape(x) != self.shape(y) {
                    return Err(c.wrong(format!(
                        "shapes {:?} and {:?} differ; broadcasting of tensors is not supported",
                        self.shape(x),
                        self.shape(y)
                    )));
                }
                let sign = match c.operator {
                    "Add" => 1.0,
                    "Sub" => -1.0,
                    _ => {
                        return Err(
                            c.wrong("a product of two tensors that depend on the input is not supported; one factor must be constant")
                        );
                    }
                };
                let shape = self.shape(x).to_vec();
                let op = FloatOp::Affine { axis: 0, coefficients: vec![vec![1.0], vec![sign]], bias: vec![0.0] };
                self.push(c, op, vec![x, y], shape).map(Known::Value)
            }
            (Some(Known::Constant(x)), Some(Known::Constant(y))) => fold(c, x, y),
            (first, _) => {
                let left = matches!(first, Some(Known::Value(_)));
                let input = c.value(usize::from(!left))?;
                let list = broadcast(c, c.constant(usize::from(left))?, self.shape(input))?;
                let ones = |sign: f64| vec![sign; list.len()];
                let (scale, bias) = match (c.operator, left) {
                    ("Add", _) => (ones(1.0), list),
                    ("Sub", true) => (ones(1.0), list.iter().map(|b| -b).collect()),
                    ("Sub", false) => (ones(-1.0), list),
                    ("Mul", _) => {
                        let bias = vec![0.0; list.len()];
                        (list, bias)
                    }
                    (_, true) => {
                        if list.contains(&0.0) {
                            return Err(c.wrong("it divides by zero"));
                        }
                        (list.iter().map(|b| 1.0 / b).collect(), vec![0.0; list.len()])
                    }
                    _ => return Err(c.wrong("dividing a constant by a tensor is not supported")),
                };
                self.affine(c, input, scale, bias).map(Known::Value)
            }
        }
    }

    fn batch_norm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(5, 5)?;
        let epsilon = a.float("epsilon", 1e-5)?;
        a.ignore("momentum");
        a.only("training_mode", 0)?;
        a.only("spatial", 1)?;
        let input = c.value(0)?;
        let shape = self.shape(input).to_vec();
        let Some(&channels) = shape.get(1) else {
            return Err(c.wrong("its input must have a channel axis"));
        };
        let list = |index: usize| -> Result<&[f64], ImportError> {
            let constant = c.constant(index)?;
            if constant.shape != [channels] {
                return Err(c.wrong(format!("parameters of shape {:?} do not fit {channels} channels", constant.shape)));
            }
            c.floats(constant)
        };
        let (scale, shift, mean, variance) = (list(1)?, list(2)?, list(3)?, list(4)?);
        let mut factors = Vec::with_capacity(channels);
        let mut bias = Vec::with_capacity(channels);
        for channel in 0..channels {
            let factor = scale[channel] / (variance[channel] + epsilon).sqrt();
            if !factor.is_finite() {
                return Err(c.wrong(format!("channel {channel} has variance {}", variance[channel])));
            }
            factors.push(factor);
            bias.push(shift[channel] - mean[channel] * factor);
        }
        self.push(c, FloatOp::Affine { axis: 1, coefficients: vec![factors], bias }, vec![input], shape).map(Known::Value)
    }

    /// `scale·x + bias` element by element, along one axis where that is enough.
    fn affine(&mut self, c: &Context<'_>, input: ValueId, scale: Vec<f64>, bias: Vec<f64>) -> Result<ValueId, ImportError> {
        let shape = self.shape(input).to_vec();
        for axis in 0..shape.len() {
            if let (Some(scale), Some(bias)) = (along(&scale, &shape, axis), along(&bias, &shape, axis)) {
                let op = FloatOp::Affine { axis, coefficients: vec![scale], bias };
                return self.push(c, op, vec![input], shape);
            }
        }
        let flat = vec![scale.len()];
        let input = self.push(c, FloatOp::Reshape, vec![input], flat.clone())?;
        let op = FloatOp::Affine { axis: 0, coefficients: vec![scale], bias };
        let output = self.push(c, op, vec![input], flat)?;
        self.push(c, FloatOp::Reshape, vec![output], shape)
    }

    fn reshape(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let input = c.inputs.first().and_then(Option::as_ref).ok_or_else(|| c.wrong("its input is missing"))?;
        let from = match input {
            &Known::Value(id) => self.shape(id).to_vec(),
            Known::Constant(constant) => constant.shape.clone(),
        };
        let shape = match c.operator {
            "Flatten" => {
                c.arity(1, 1)?;
                let axis = a.int("axis")?.unwrap_or(1);
                let axis = if axis == from.len() as i64 { from.len() } else { c.axis(axis, from.len())? };
                vec![from[..axis].iter().product(), from[axis..].iter().product()]
            }
            "Reshape" => {
                c.arity(2, 2)?;
                let zero_is_zero = a.flag("allowzero", false)?;
                let target = c.ints(c.constant(1)?)?;
                reshaped(&from, target, zero_is_zero).ok_or_else(|| c.wrong(format!("shape {from:?} cannot become {target:?}")))?
            }
            _ => {
                let axes: Vec<i64> = match a.ints("axes")? {
                    Some(axes) => axes.to_vec(),
                    None => c.optional_constant(1)?.map(|axes| c.ints(axes)).transpose()?.unwrap_or_default().to_vec(),
                };
                c.arity(1, 2)?;
                if c.operator == "Squeeze" { squeezed(c, &from, &axes)? } else { unsqueezed(c, &from, &axes)? }
            }
        };
        match input {
            &Known::Value(id) => self.push(c, FloatOp::Reshape, vec![id], shape).map(Known::Value),
            Known::Constant(constant) => {
                if shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n)) != Some(constant.len()) {
                    return Err(c.wrong(format!("shape {from:?} cannot become {shape:?}")));
                }
                Ok(Known::Constant(Constant { shape, elements: constant.elements.clone() }))
            }
        }
    }

    fn transpose(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let from = match c.inputs[0].as_ref() {
            Some(&Known::Value(id)) => self.shape(id).to_vec(),
            Some(Known::Constant(constant)) => constant.shape.clone(),
            None => return Err(c.wrong("its input is missing")),
        };
        let perm = match a.sizes("perm", from.len(), 0)? {
            Some(perm) => perm,
            None => (0..from.len()).rev().collect(),
        };
        if (0..from.len()).any(|axis| !perm.contains(&axis)) {
            return Err(a.wrong("perm", format!("is {perm:?}, which is not a permutation")));
        }
        let shape: Vec<usize> = perm.iter().map(|&axis| from[axis]).collect();
        match &c.inputs[0] {
            Some(Known::Constant(constant)) => {
                let elements = match &constant.elements {
                    Elements::Floats(list) => Elements::Floats(transpose(&perm, &from, list)),
                    Elements::Ints(list) => Elements::Ints(transpose(&perm, &from, list)),
                };
                Ok(Known::Constant(Constant { shape, elements }))
            }
            _ => {
                let input = c.value(0)?;
                self.push(c, FloatOp::Transpose { perm }, vec![input], shape).map(Known::Value)
            }
        }
    }

    fn concat(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, usize::MAX)?;
        let axis = a.int("axis")?.ok_or_else(|| a.wrong("axis", "is missing"))?;
        let mut values = Vec::new();
        let mut constants = Vec::new();
        for input in &c.inputs {
            match input.as_ref() {
                Some(&Known::Value(id)) => values.push(id),
                Some(Known::Constant(constant)) => constants.push(constant),
                None => return Err(c.wrong("an input is missing")),
            }
        }
        let shapes: Vec<&[usize]> = if values.is_empty() {
            constants.iter().map(|constant| constant.shape.as_slice()).collect()
        } else {
            values.iter().map(|&id| self.shape(id)).collect()
        };
        if !values.is_empty() && !constants.is_empty() {
            return Err(c.wrong("joining a constant to a tensor is not supported"));
        }
        let axis = c.axis(axis, shapes[0].len())?;
        let mut shape = shapes[0].to_vec();
        for other in &shapes[1..] {
            if other.len() != shape.len() || (0..shape.len()).any(|i| i != axis && other[i] != shape[i]) {
                return Err(c.wrong(format!("shapes {:?} and {other:?} cannot be joined along axis {axis}", shapes[0])));
            }
            shape[axis] = shape[axis].checked_add(other[axis]).ok_or_else(|| c.wrong("its output is too large"))?;
        }
        if values.is_empty() {
            let ints: Option<Vec<&[i64]>> = constants
                .iter()
                .map(|constant| if let Elements::Ints(list) = &constant.elements { Some(list.as_slice()) } else { None })
                .collect();
            let elements = match ints {
                Some(ints) => Elements::Ints(concat(axis, &shapes, &ints)),
                None => {
                    let floats = constants.iter().map(|constant| c.floats(constant)).collect::<Result<Vec<_>, _>>()?;
                    Elements::Floats(concat(axis, &shapes, &floats))
                }
            };
            return Ok(Known::Constant(Constant { shape, elements }));
        }
        self.push(c, FloatOp::Concat { axis }, values, shape).map(Known::Value)
    }
}

/// A window with what only import needs to know about its padding.
struct Padded {
    window: Window,
    /// Padding after, as stated.
    end: [usize; 2],
    /// Whether `ceil_mode` added an output that reaches past the padding.
    rounded_up: bool,
}

/// Reads strides, dilations, pads and auto_pad, and works the output's size out.
fn window(c: &Context<'_>, a: &mut Attributes<'_>, planes: [usize; 3], kernel: &[usize], ceil: bool) -> Result<Padded, ImportError> {
    let axes = kernel.len();
    let two = |list: Vec<usize>, fill: usize| -> [usize; 2] {
        match *list.as_slice() {
            [x] => [fill, x],
            [y, x] => [y, x],
            _ => [fill, fill],
        }
    };
    let kernel = two(kernel.to_vec(), 1);
    let strides = two(a.sizes("strides", axes, 1)?.unwrap_or_default(), 1);
    let dilations = two(a.sizes("dilations", axes, 1)?.unwrap_or_default(), 1);
    let pads = a.sizes("pads", 2 * axes, 0)?;
    let auto = a.string("auto_pad")?.unwrap_or_else(|| "NOTSET".into());
    let (mut begin, mut end) = match &pads {
        Some(pads) => (two(pads[..axes].to_vec(), 0), two(pads[axes..].to_vec(), 0)),
        None => ([0, 0], [0, 0]),
    };
    if auto != "NOTSET" && (begin, end) != ([0, 0], [0, 0]) {
        return Err(a.wrong("auto_pad", format!("is {auto} beside explicit pads")));
    }
    let mut output = [0, 0];
    let mut rounded_up = false;
    for axis in 0..2 {
        let (size, stride) = (planes[axis + 1], strides[axis]);
        let extent = (kernel[axis] - 1) * dilations[axis] + 1;
        match auto.as_str() {
            "NOTSET" | "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                let total = ((size.div_ceil(stride) - 1) * stride + extent).saturating_sub(size);
                begin[axis] = if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 };
                end[axis] = total - begin[axis];
            }
            other => return Err(a.wrong("auto_pad", format!("is `{other}`, which does not exist"))),
        }
        let room = (size + begin[axis] + end[axis]).checked_sub(extent).ok_or_else(|| {
            c.wrong(format!("its kernel reaches over {extent} elements, its padded input has {}", size + begin[axis] + end[axis]))
        })?;
        output[axis] = room / stride + 1;
        if ceil && !room.is_multiple_of(stride) && output[axis] * stride < size + begin[axis] {
            output[axis] += 1;
            rounded_up = true;
        }
    }
    let outputs = checked_elements(&[planes[0], output[0], output[1]]).map_err(|reason| c.wrong(format!("its output: {reason}")))?;
    let taps = checked_elements(&kernel).map_err(|reason| c.wrong(format!("its kernel: {reason}")))?;
    if outputs as u128 * taps as u128 > limits::MAX_WORK {
        return Err(c.wrong("it needs more operations than are allowed"));
    }
    let window = Window { input: planes, output, kernel, strides, dilations, pads: begin };
    Ok(Padded { window, end, rounded_up })
}

fn output_shape(rank: usize, channels: usize, window: &Window) -> Vec<usize> {
    let [height, width] = window.output;
    if rank == 3 { vec![1, channels, width] } else { vec![1, channels, height, width] }
}

fn constant(c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
    c.arity(0, 0)?;
    let constant = if let Some(tensor) = a.tensor("value")? {
        // A Constant node has no folder to look in: its data is inside the model.
        Constant::decode(&c.name, tensor, None)?
    } else if let Some(value) = a.int("value_int")? {
        Constant { shape: vec![], elements: Elements::Ints(vec![value]) }
    } else if let Some(list) = a.ints("value_ints")? {
        Constant { shape: vec![list.len()], elements: Elements::Ints(list.to_vec()) }
    } else if let Some(list) = a.floats("value_floats")? {
        Constant { shape: vec![list.len()], elements: Elements::Floats(list.iter().map(|&x| x.into()).collect()) }
    } else {
        let value = a.float("value_float", f32::NAN).map_err(|_| c.wrong("it has no value of a supported kind"))?;
        Constant { shape: vec![], elements: Elements::Floats(vec![value]) }
    };
    if let Elements::Floats(list) = &constant.elements
        && list.iter().any(|x| !x.is_finite())
    {
        return Err(c.wrong("its value is not a finite number"));
    }
    Ok(Known::Constant(constant))
}

/// Picks from a constant along its first axis, as exporters do with shapes.
fn gather(c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
    c.arity(2, 2)?;
    a.only("axis", 0)?;
    let data = c.constant(0)?;
    let list = c.ints(data)?;
    let indices = c.constant(1)?;
    if data.shape.len() != 1 {
        return Err(c.wrong("only shapes can be gathered from"));
    }
    let picked = c.ints(indices)?.iter().map(|&index| Ok(list[c.axis(index, list.len())?])).collect::<Result<Vec<i64>, ImportError>>()?;
    Ok(Known::Constant(Constant { shape: indices.shape.clone(), elements: Elements::Ints(picked) }))
}

/// Arithmetic of two constants of one shape, or of one and a single number.
fn fold(c: &Context<'_>, x: &Constant, y: &Constant) -> Result<Known, ImportError> {
    let shape = if x.len() == 1 && y.shape.len() >= x.shape.len() { &y.shape } else { &x.shape };
    if !(x.shape == y.shape || y.len() == 1 || x.len() == 1) {
        return Err(c.wrong(format!("constants of shapes {:?} and {:?}", x.shape, y.shape)));
    }
    let count = x.len().max(y.len());
    let elements = match (&x.elements, &y.elements) {
        (Elements::Ints(x), Elements::Ints(y)) => {
            let at = |list: &[i64], i: usize| if list.len() == 1 { list[0] } else { list[i] };
            let each = |i: usize| {
                let (x, y) = (at(x, i), at(y, i));
                match c.operator {
                    "Add" => x.checked_add(y),
                    "Sub" => x.checked_sub(y),
                    "Mul" => x.checked_mul(y),
                    _ => x.checked_div(y),
                }
            };
            Elements::Ints((0..count).map(each).collect::<Option<_>>().ok_or_else(|| c.wrong("its constants overflow"))?)
        }
        _ => {
            let (x, y) = (c.floats(x)?, c.floats(y)?);
            let each = |i: usize| {
                let (x, y) = (crate::float::pick(x, i), crate::float::pick(y, i));
                match c.operator {
                    "Add" => x + y,
                    "Sub" => x - y,
                    "Mul" => x * y,
                    _ => x / y,
                }
            };
            let list: Vec<f64> = (0..count).map(each).collect();
            if list.iter().any(|x| !x.is_finite()) {
                return Err(c.wrong("its constants give no finite number"));
            }
            Elements::Floats(list)
        }
    };
    Ok(Known::Constant(Constant { shape: shape.clone(), elements }))
}

/// A constant of floats repeated to `shape`, as numpy broadcasts.
fn broadcast(c: &Context<'_>, constant: &Constant, shape: &[usize]) -> Result<Vec<f64>, ImportError> {
    let list = c.floats(constant)?;
    let Some(missing) = shape.len().checked_sub(constant.shape.len()) else {
        return Err(c.wrong(format!("a constant of shape {:?} does not fit {shape:?}", constant.shape)));
    };
    let from: Vec<usize> = std::iter::repeat_n(1, missing).chain(constant.shape.iter().copied()).collect();
    if from.iter().zip(shape).any(|(&a, &b)| a != 1 && a != b) {
        return Err(c.wrong(format!("a constant of shape {:?} does not fit {shape:?}", constant.shape)));
    }
    let count: usize = shape.iter().product();
    let mut output = Vec::with_capacity(count);
    for flat in 0..count {
        let (mut rest, mut index, mut step) = (flat, 0, 1);
        for axis in (0..shape.len()).rev() {
            if from[axis] != 1 {
                index += rest % shape[axis] * step;
                step *= from[axis];
            }
            rest /= shape[axis];
        }
        output.push(list[index]);
    }
    Ok(output)
}

/// The list by index of `axis` (one element when all are equal), if the elements vary along that axis alone.
pub(crate) fn along<T: Copy + PartialEq>(list: &[T], shape: &[usize], axis: usize) -> Option<Vec<T>> {
    let first = *list.first()?;
    if list.iter().all(|&x| x == first) {
        return Some(vec![first]);
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let picked: Vec<T> = (0..shape[axis]).map(|index| list[index * inner]).collect();
    list.chunks_exact(inner).enumerate().all(|(block, chunk)| chunk.iter().all(|&x| x == picked[block % shape[axis]])).then_some(picked)
}

/// The shape that a Reshape gives: 0 copies a dimension (unless `zero_is_zero`), one −1 is worked out.
fn reshaped(from: &[usize], target: &[i64], zero_is_zero: bool) -> Option<Vec<usize>> {
    let count: usize = from.iter().product();
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (axis, &dim) in target.iter().enumerate() {
        match dim {
            -1 if open.is_none() => {
                open = Some(axis);
                shape.push(1);
            }
            0 if !zero_is_zero => shape.push(*from.get(axis)?),
            _ => shape.push(usize::try_from(dim).ok().filter(|&n| n > 0)?),
        }
    }
    let known = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))?;
    if let Some(axis) = open {
        shape[axis] = count.checked_div(known)?;
    }
    (shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))? == count).then_some(shape)
}

fn squeezed(c: &Context<'_>, from: &[usize], axes: &[i64]) -> Result<Vec<usize>, ImportError> {
    let axes = axes.iter().map(|&axis| c.axis(axis, from.len())).collect::<Result<Vec<_>, _>>()?;
    if let Some(axis) = axes.iter().find(|&&axis| from[axis] != 1) {
        return Err(c.wrong(format!("axis {axis} of {from:?} is not 1")));
    }
    let dropped = |axis: usize| if axes.is_empty() { from[axis] == 1 } else { axes.contains(&axis) };
    Ok((0..from.len()).filter(|&axis| !dropped(axis)).map(|axis| from[axis]).collect())
}

fn unsqueezed(c: &Context<'_>, from: &[usize], axes: &[i64]) -> Result<Vec<usize>, ImportError> {
    let rank = from.len() + axes.len();
    let axes = axes.iter().map(|&axis| c.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = from.iter();
    let shape: Vec<usize> = (0..rank).filter_map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next().copied() }).collect();
    if shape.len() == rank { Ok(shape) } else { Err(c.wrong("it names an axis twice")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::OPERATORS;
    use crate::import::OPSETS;

    /// The README has this table, and says which operator sets it is for.
    #[test]
    fn readme_has_the_table() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
        let rows: String = OPERATORS.iter().map(|operator| format!("| {} | {} |\n", operator.name, operator.form)).collect();
        let table = format!("| operator | in which form |\n|---|---|\n{rows}\n");
        assert!(readme.contains(&table), "README.md's table of operators must be\n{table}");
        let sets = format!("Operator sets {} to {}", OPSETS.0, OPSETS.1);
        assert!(readme.contains(&sets), "README.md must say: {sets}");
        assert!(OPERATORS.is_sorted_by_key(|operator| operator.name));
    }
}
