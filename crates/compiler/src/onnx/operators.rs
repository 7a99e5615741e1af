//! Operators, one function each: attributes, shapes and constants of an ONNX node become a [`FloatOp`].

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::{ImportError, Importer, Known, broadcast, node_name};
use crate::float::{FloatOp, ValueId};
use zkslice_graph::Window;
use zkslice_graph::{checked_elements, limits};
use zkslice_graph::{concat, inside, transpose};

/// Most zeros that a constant is multiplied by to become a value.
const MOST_ZEROS: usize = 1 << 16;

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
pub const OPERATORS: [Operator; 26] = [
    operator("Add", "two tensors, or a tensor and a constant; broadcast"),
    operator("AveragePool", "one or two window axes; `ceil_mode` where no window reaches past the padding"),
    operator("BatchNormalization", "inference, with constant parameters"),
    operator("Cast", "between float and double; of a constant, any that keeps its numbers"),
    operator("Clip", "constant bounds; a saturating ReLU such as Relu6"),
    operator("Concat", "along any axis"),
    operator("Constant", "numbers"),
    operator("Conv", "one or two window axes, constant weights; groups, strides, dilations, any padding"),
    operator("Div", "a tensor by a constant; broadcast"),
    operator("Dropout", "inference: it passes its input on"),
    operator("Flatten", "at any axis"),
    operator("Gather", "on shapes, for a Reshape"),
    operator("Gemm", "constant weights; a bias, `alpha`, `beta`, `transA`, `transB`"),
    operator("GlobalAveragePool", "one or two window axes"),
    operator("Identity", "anything"),
    operator("MatMul", "a tensor and a constant matrix on its right"),
    operator("MaxPool", "one or two window axes; any padding, `ceil_mode`; without indices"),
    operator("Mul", "a tensor and a constant; broadcast"),
    operator("Relu", "any tensor"),
    operator("Reshape", "to a constant shape"),
    operator("Shape", "of a fixed shape, for a Reshape"),
    operator("Softmax", "as the last node, dropped by `--drop-final-softmax`"),
    operator("Squeeze", "constant axes"),
    operator("Sub", "two tensors, or a tensor and a constant; broadcast"),
    operator("Transpose", "any order"),
    operator("Unsqueeze", "constant axes"),
];

/// Their names, for errors.
pub(super) fn names() -> String {
    OPERATORS.map(|operator| operator.name).join(", ")
}

const TRAINING: &str = "it is in training mode; export the model for inference";

/// A node under import, for errors.
pub(super) struct Context<'a> {
    pub(super) name: String,
    pub(super) operator: &'a str,
    inputs: Vec<Option<Known>>,
    input_names: &'a [String],
}

impl<'a> Context<'a> {
    /// For an output of the model that is a constant.
    pub(super) fn output(name: &'a str) -> Self {
        Context { name: name.to_owned(), operator: "output", inputs: Vec::new(), input_names: &[] }
    }

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

    fn known(&self, index: usize) -> Result<&Known, ImportError> {
        self.inputs.get(index).and_then(Option::as_ref).ok_or_else(|| self.wrong(format!("its input {index} is missing")))
    }

    /// The constant at an input, if the input is there.
    fn optional_constant(&self, index: usize) -> Result<Option<&Constant>, ImportError> {
        match self.inputs.get(index).and_then(Option::as_ref) {
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Value(_)) => {
                Err(self.wrong(format!("its input `{}` must be a constant (an initialiser of the model)", self.input_name(index))))
            }
            None => Ok(None),
        }
    }

    fn input_name(&self, index: usize) -> &str {
        self.input_names.get(index).map_or("", String::as_str)
    }

    fn constant(&self, index: usize) -> Result<&Constant, ImportError> {
        self.optional_constant(index)?.ok_or_else(|| self.wrong(format!("its input {index} is missing")))
    }

    fn floats<'c>(&self, constant: &'c Constant) -> Result<&'c [f64], ImportError> {
        match &constant.elements {
            Elements::Floats(list) => match list.iter().position(|x| !x.is_finite()) {
                None => Ok(list),
                Some(index) => {
                    let is_it = |input: &Option<Known>| matches!(input, Some(Known::Constant(known)) if std::ptr::eq(known, constant));
                    let name = self.inputs.iter().position(is_it).map_or(self.name.as_str(), |input| self.input_name(input));
                    Err(self.wrong(format!(
                        "element {index} of constant `{name}` is {}; weights must be finite numbers: train or export the model again",
                        list[index]
                    )))
                }
            },
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
    /// Imports one node; gives what its first output stands for. Of its further outputs `read` are read by others.
    pub(super) fn node(&mut self, node: &NodeProto, is_final: bool, read: &[&str]) -> Result<Known, ImportError> {
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
                self.known(input)?.map(Some).ok_or_else(|| ImportError::Operator {
                    node: name.clone(),
                    operator: node.op_type.clone(),
                    reason: format!("its input `{input}` is made by no node before it"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let c = Context { name, operator: &node.op_type, inputs, input_names: &node.input };
        let outputs = node.output.iter().filter(|name| !name.is_empty()).count();
        if c.operator == "BatchNormalization" && self.opset < 14 && outputs > 1 {
            // Until operator set 13 it is the outputs that say so, read or not.
            return Err(c.wrong(TRAINING));
        }
        if let Some(name) = read.first() {
            return Err(c.wrong(format!("its further output `{name}` is not supported")));
        }
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
                let input = self.value(&c, 0)?;
                let shape = self.shape(input).to_vec();
                self.push(&c, FloatOp::Relu, vec![input], shape).map(Known::Value)
            }
            "Clip" => self.clip(&c, a),
            "MaxPool" => self.pool(&c, a, true),
            "AveragePool" => self.pool(&c, a, false),
            "GlobalAveragePool" => self.global_average(&c),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(&c, a),
            "Transpose" => self.transpose(&c, a),
            "Concat" => self.concat(&c, a),
            "Identity" => {
                c.arity(1, 1)?;
                c.known(0).cloned()
            }
            "Dropout" => self.dropout(&c, a),
            "Softmax" => self.softmax(&c, a, is_final),
            "Constant" => constant(&c, a, self.opset),
            "Shape" => {
                c.arity(1, 1)?;
                a.exists("start", self.opset, 15..=i64::MAX)?;
                a.only("start", 0)?;
                let shape: Vec<i64> = self.shape_of(c.known(0)?).iter().map(|&n| n as i64).collect();
                Ok(Known::Constant(Constant::ints(vec![shape.len()], shape)))
            }
            "Gather" => gather(&c, a),
            "Cast" => cast(&c, a),
            _ => Err(ImportError::UnknownOperator { node: c.name.clone(), operator: node.op_type.clone() }),
        }?;
        attributes.finish()?;
        Ok(known)
    }

    /// The value at an input; a constant becomes one.
    fn value(&mut self, c: &Context<'_>, index: usize) -> Result<ValueId, ImportError> {
        match c.known(index)? {
            &Known::Value(id) => Ok(id),
            Known::Constant(constant) => self.materialise(c, constant),
        }
    }

    /// A constant as a value: zero times the first input, plus the constant. Integer graphs have no other constants; the product
    /// costs no constraint. A product with a matrix takes elements with scales of their own.
    pub(super) fn materialise(&mut self, c: &Context<'_>, constant: &Constant) -> Result<ValueId, ImportError> {
        let bias = c.floats(constant)?.to_vec();
        let (n, &input) = (bias.len(), self.graph.inputs.first().ok_or_else(|| c.wrong("it depends on no input of the model"))?);
        let mut k = self.graph.values[input].len();
        let mut row = self.push(c, FloatOp::Reshape, vec![input], vec![1, k])?;
        if k.saturating_mul(n) > MOST_ZEROS {
            // By way of one zero, so that the matrices stay small.
            let dense = FloatOp::Dense { rows: 1, k, n: 1, weights: vec![0.0; k], bias: vec![0.0] };
            row = self.push(c, dense, vec![row], vec![1, 1])?;
            k = 1;
        }
        let dense = FloatOp::Dense { rows: 1, k, n, weights: vec![0.0; k * n], bias };
        let flat = self.push(c, dense, vec![row], vec![1, n])?;
        self.push(c, FloatOp::Reshape, vec![flat], constant.shape.clone())
    }

    fn shape_of<'k>(&'k self, known: &'k Known) -> &'k [usize] {
        match known {
            Known::Value(id) => self.shape(*id),
            Known::Constant(constant) => &constant.shape,
        }
    }

    /// A value repeated to a shape that its own broadcasts to.
    fn expand(&mut self, c: &Context<'_>, mut input: ValueId, shape: &[usize]) -> Result<ValueId, ImportError> {
        let mut from = self.shape(input).to_vec();
        if from.len() < shape.len() {
            from = std::iter::repeat_n(1, shape.len() - from.len()).chain(from).collect();
            input = self.push(c, FloatOp::Reshape, vec![input], from.clone())?;
        }
        for axis in (0..shape.len()).rev() {
            if from[axis] != shape[axis] {
                from[axis] = shape[axis];
                input = self.push(c, FloatOp::Concat { axis }, vec![input; shape[axis]], from.clone())?;
            }
        }
        Ok(input)
    }

    /// Bounds are attributes until operator set 10, constants from there on; one as large as a float may be is none.
    fn clip(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, if self.opset < 11 { 1 } else { 3 })?;
        a.exists("min", self.opset, 7..=10)?;
        a.exists("max", self.opset, 7..=10)?;
        let input = self.value(c, 0)?;
        let mut bounds = [a.float("min", f32::MIN)?, a.float("max", f32::MAX)?];
        for (index, bound) in bounds.iter_mut().enumerate() {
            match c.optional_constant(index + 1)?.map(|constant| &constant.elements) {
                None => {}
                Some(Elements::Floats(list)) if list.len() == 1 && !list[0].is_nan() => *bound = list[0],
                Some(_) => return Err(c.wrong(format!("its bound `{}` is not one number", c.input_name(index + 1)))),
            }
        }
        let [min, max] = bounds.map(|bound| if bound.abs() >= f64::from(f32::MAX) { bound * f64::INFINITY } else { bound });
        if min > max || min == f64::INFINITY || max == f64::NEG_INFINITY {
            return Err(c.wrong(format!("its bounds {min} and {max} are not in order")));
        }
        let op = match (min, max) {
            (f64::NEG_INFINITY, f64::INFINITY) => return Ok(Known::Value(input)),
            (0.0, f64::INFINITY) => FloatOp::Relu,
            _ => FloatOp::Clip { min, max },
        };
        let shape = self.shape(input).to_vec();
        self.push(c, op, vec![input], shape).map(Known::Value)
    }

    fn dropout(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, if self.opset < 12 { 1 } else { 3 })?;
        a.exists("ratio", self.opset, 7..=11)?;
        a.exists("seed", self.opset, 12..=i64::MAX)?;
        a.ignore("ratio");
        a.ignore("seed");
        if let Some(training) = c.optional_constant(2)?
            && c.ints(training)? != [0]
        {
            return Err(c.wrong(TRAINING));
        }
        c.known(0).cloned()
    }

    /// A Softmax that only makes an output is dropped where that keeps each row's order of values.
    fn softmax(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, is_final: bool) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let input = self.value(c, 0)?;
        let shape = self.shape(input);
        // Until operator set 12 everything from the axis on is one row.
        let (axis, rows_from_axis) = match (a.int("axis")?, self.opset < 13) {
            (axis, true) => (axis.unwrap_or(1), true),
            (axis, false) => (axis.unwrap_or(-1), false),
        };
        let axis = c.axis(axis, shape.len())?;
        let last = shape[shape.len() - 1];
        let row = if rows_from_axis { shape[axis..].iter().product() } else { shape[axis] };
        let along_last = if rows_from_axis { row == last } else { axis + 1 == shape.len() };
        if !is_final {
            Err(c.wrong("a Softmax inside a model is not supported"))
        } else if row == 1 {
            Err(c.wrong("its row has one element, so it gives 1 whatever the input; remove it, or export the model without it"))
        } else if !along_last {
            Err(c.wrong(format!("it runs along axis {axis} of {shape:?}, not along the last alone, which is not supported")))
        } else if !self.options.drop_final_softmax {
            Err(ImportError::FinalSoftmax { node: c.name.clone() })
        } else {
            Ok(Known::Value(input))
        }
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
        let input = self.value(c, 0)?;
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
        let input = self.value(c, 0)?;
        let planes = self.planes(c, input)?;
        let rank = self.shape(input).len();
        a.exists("ceil_mode", self.opset, 10..=i64::MAX)?;
        a.exists("dilations", self.opset, if max { 10 } else { 19 }..=i64::MAX)?;
        a.exists("storage_order", self.opset, 8..=i64::MAX)?;
        let kernel = a.sizes("kernel_shape", rank - 2, 1)?.ok_or_else(|| a.wrong("kernel_shape", "is missing"))?;
        let ceil = a.flag("ceil_mode", false)?;
        if max {
            a.only("storage_order", 0)?;
        }
        let include = !max && a.flag("count_include_pad", false)?;
        let padded = window(c, a, planes, &kernel, ceil)?;
        if padded.same && padded.window.dilations != [1, 1] {
            return Err(c.wrong("auto_pad SAME beside dilations is read differently by runtimes; give pads instead"));
        }
        let shape = output_shape(rank, planes[0], &padded.window);
        let taps = |axis: usize, position: usize| {
            let window = &padded.window;
            let (size, offset) = (window.input[axis + 1], position * window.strides[axis]);
            let (start, end) = inside(size, window.kernel[axis], window.dilations[axis], offset, window.pads[axis]);
            (end - start) as u32
        };
        for axis in 0..2 {
            let pads = [padded.window.pads[axis], padded.end[axis]];
            if pads.iter().any(|&pad| pad >= padded.window.kernel[axis]) && pads != [0, 0] {
                return Err(c.wrong(format!(
                    "its padding {pads:?} is not smaller than its kernel {}, which runtimes refuse",
                    padded.window.kernel[axis]
                )));
            }
            if (0..padded.window.output[axis]).any(|position| taps(axis, position) == 0) {
                return Err(c.wrong("a window lies wholly in the padding"));
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
            let columns: Vec<u32> = (0..window.output[1]).map(|x| taps(1, x)).collect();
            let rows = (0..window.output[0]).map(|y| taps(0, y));
            let each: Vec<u32> = rows.flat_map(|row| columns.iter().map(move |column| row * column)).collect();
            if each.iter().any(|&count| count != full) {
                counts = each;
            }
        }
        self.push(c, FloatOp::AveragePool { window, counts }, vec![input], shape).map(Known::Value)
    }

    fn global_average(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let input = self.value(c, 0)?;
        let planes = self.planes(c, input)?;
        let rank = self.shape(input).len();
        let kernel = [planes[1], planes[2]];
        let window = Window { input: planes, output: [1, 1], kernel, strides: [1, 1], dilations: [1, 1], pads: [0, 0] };
        let shape = output_shape(rank, planes[0], &window);
        let counts = vec![(kernel[0] * kernel[1]) as u32];
        self.push(c, FloatOp::AveragePool { window, counts }, vec![input], shape).map(Known::Value)
    }

    fn gemm(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(if self.opset < 11 { 3 } else { 2 }, 3)?;
        let alpha = a.float("alpha", 1.0)?;
        let beta = a.float("beta", 1.0)?;
        let mut input = self.value(c, 0)?;
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
        checked_elements(&[rows, n]).map_err(|reason| c.wrong(format!("its output: {reason}")))?;
        let weights: Vec<f64> = by_output.into_iter().map(|w| w * alpha).collect();
        let mut bias = vec![0.0; n];
        let mut late = None;
        if let Some(constant) = c.optional_constant(2)? {
            // Unidirectional: the bias broadcasts to the product's shape, never the other way round.
            if broadcast::shape(&constant.shape, &[rows, n]).as_deref() != Some(&[rows, n]) {
                return Err(c.wrong(format!("a bias of shape {:?} does not fit a product of {:?}", constant.shape, [rows, n])));
            }
            let full = broadcast::repeat(c.floats(constant)?, &constant.shape, &[rows, n]);
            let full: Vec<f64> = full.into_iter().map(|b| b * beta).collect();
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
        if let (Known::Value(_), Known::Value(_)) = (c.known(0)?, c.known(1)?) {
            return Err(c.wrong("a product of two tensors that depend on the input is not supported; one factor must be constant"));
        }
        if let (Known::Constant(_), Known::Constant(_)) = (c.known(0)?, c.known(1)?) {
            return Err(c.wrong("a product of two constants is not supported; fold it, for instance with onnxsim"));
        }
        if let (Known::Constant(_), Known::Value(_)) = (c.known(0)?, c.known(1)?) {
            return Err(c.wrong("the constant must be the right factor; transpose the product"));
        }
        let input = self.value(c, 0)?;
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
        let (first, second) = (c.known(0)?, c.known(1)?);
        let (x, y) = (self.shape_of(first), self.shape_of(second));
        let shape = broadcast::shape(x, y).ok_or_else(|| c.wrong(format!("shapes {x:?} and {y:?} do not broadcast")))?;
        checked_elements(&shape).map_err(|reason| c.wrong(format!("its output: {reason}")))?;
        match (first, second) {
            (&Known::Value(x), &Known::Value(y)) => {
                let sign = match c.operator {
                    "Add" => 1.0,
                    "Sub" => -1.0,
                    _ => {
                        return Err(
                            c.wrong("a product of two tensors that depend on the input is not supported; one factor must be constant")
                        );
                    }
                };
                // An axis to write the sum along, where the tensors have none.
                let along = if shape.is_empty() { vec![1] } else { shape.clone() };
                let (x, y) = (self.expand(c, x, &along)?, self.expand(c, y, &along)?);
                let op = FloatOp::Affine { axis: 0, coefficients: vec![vec![1.0], vec![sign]], bias: vec![0.0] };
                let sum = self.push(c, op, vec![x, y], along.clone())?;
                let sum = if along == shape { sum } else { self.push(c, FloatOp::Reshape, vec![sum], shape)? };
                Ok(Known::Value(sum))
            }
            (Known::Constant(x), Known::Constant(y)) => fold(c, x, y, shape),
            (&Known::Value(input), Known::Constant(constant)) | (Known::Constant(constant), &Known::Value(input)) => {
                let left = matches!(first, Known::Value(_));
                let list = broadcast::repeat(c.floats(constant)?, &constant.shape, &shape);
                let input = self.expand(c, input, &shape)?;
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
        a.exists("spatial", self.opset, 7..=8)?;
        a.exists("training_mode", self.opset, 14..=i64::MAX)?;
        if a.flag("training_mode", false)? {
            return Err(c.wrong(TRAINING));
        }
        a.only("spatial", 1)?;
        let input = self.value(c, 0)?;
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
        let input = c.known(0)?;
        let from = self.shape_of(input).to_vec();
        let shape = match c.operator {
            "Flatten" => {
                c.arity(1, 1)?;
                let axis = a.int("axis")?.unwrap_or(1);
                let axis = if axis == from.len() as i64 { from.len() } else { c.axis(axis, from.len())? };
                vec![from[..axis].iter().product(), from[axis..].iter().product()]
            }
            "Reshape" => {
                c.arity(2, 2)?;
                a.exists("allowzero", self.opset, 14..=i64::MAX)?;
                let zero_is_zero = a.flag("allowzero", false)?;
                let target = c.ints(c.constant(1)?)?;
                reshaped(&from, target, zero_is_zero).ok_or_else(|| c.wrong(format!("shape {from:?} cannot become {target:?}")))?
            }
            _ => {
                a.exists("axes", self.opset, 7..=12)?;
                c.arity(1, if self.opset < 13 { 1 } else { 2 })?;
                let axes: Option<Vec<i64>> = match a.ints("axes")? {
                    Some(axes) => Some(axes.to_vec()),
                    None => c.optional_constant(1)?.map(|axes| c.ints(axes)).transpose()?.map(<[i64]>::to_vec),
                };
                match (c.operator, axes) {
                    ("Squeeze", axes) => squeezed(c, &from, axes.as_deref())?,
                    (_, Some(axes)) => unsqueezed(c, &from, &axes)?,
                    (_, None) => return Err(c.wrong("its axes are missing")),
                }
            }
        };
        match input {
            &Known::Value(id) => self.push(c, FloatOp::Reshape, vec![id], shape).map(Known::Value),
            Known::Constant(constant) => constant
                .reshaped(shape.clone())
                .map(Known::Constant)
                .ok_or_else(|| c.wrong(format!("shape {from:?} cannot become {shape:?}"))),
        }
    }

    fn transpose(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let from = self.shape_of(c.known(0)?).to_vec();
        let perm = match a.sizes("perm", from.len(), 0)? {
            Some(perm) => perm,
            None => (0..from.len()).rev().collect(),
        };
        if (0..from.len()).any(|axis| !perm.contains(&axis)) {
            return Err(a.wrong("perm", format!("is {perm:?}, which is not a permutation")));
        }
        let shape: Vec<usize> = perm.iter().map(|&axis| from[axis]).collect();
        match c.known(0)? {
            Known::Constant(constant) => {
                let elements = match &constant.elements {
                    Elements::Floats(list) => Elements::Floats(transpose(&perm, &from, list)),
                    Elements::Ints(list) => Elements::Ints(transpose(&perm, &from, list)),
                };
                Ok(Known::Constant(Constant { shape, elements }))
            }
            &Known::Value(input) => self.push(c, FloatOp::Transpose { perm }, vec![input], shape).map(Known::Value),
        }
    }

    fn concat(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, usize::MAX)?;
        let axis = a.int("axis")?.ok_or_else(|| a.wrong("axis", "is missing"))?;
        let all = (0..c.inputs.len()).map(|index| c.known(index)).collect::<Result<Vec<_>, _>>()?;
        let constants: Option<Vec<&Constant>> =
            all.iter().map(|known| if let Known::Constant(constant) = known { Some(constant) } else { None }).collect();
        let shapes: Vec<Vec<usize>> = all.iter().map(|known| self.shape_of(known).to_vec()).collect();
        let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let axis = c.axis(axis, shapes[0].len())?;
        let mut shape = shapes[0].to_vec();
        for other in &shapes[1..] {
            if other.len() != shape.len() || (0..shape.len()).any(|i| i != axis && other[i] != shape[i]) {
                return Err(c.wrong(format!("shapes {:?} and {other:?} cannot be joined along axis {axis}", shapes[0])));
            }
            shape[axis] = shape[axis].checked_add(other[axis]).ok_or_else(|| c.wrong("its output is too large"))?;
        }
        if let Some(constants) = constants {
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
        let values = (0..c.inputs.len()).map(|index| self.value(c, index)).collect::<Result<Vec<_>, _>>()?;
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
    /// Whether the padding follows from `auto_pad`.
    same: bool,
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
                let Some(total) = ((size.div_ceil(stride) - 1) * stride + extent).checked_sub(size) else {
                    // Runtimes differ: ONNX Runtime crops the input, others pad by nothing.
                    return Err(a.wrong(
                        "auto_pad",
                        format!("is {auto}, but stride {stride} leaps over elements that the kernel of {extent} does not reach; give pads instead"),
                    ));
                };
                begin[axis] = if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 };
                end[axis] = total - begin[axis];
            }
            other => return Err(a.wrong("auto_pad", format!("is `{other}`, which does not exist"))),
        }
        if ceil && auto == "VALID" {
            return Err(a.wrong("auto_pad", "is VALID beside ceil_mode, which runtimes read differently; give pads instead"));
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
    Ok(Padded { window, end, rounded_up, same: auto.starts_with("SAME") })
}

fn output_shape(rank: usize, channels: usize, window: &Window) -> Vec<usize> {
    let [height, width] = window.output;
    if rank == 3 { vec![1, channels, width] } else { vec![1, channels, height, width] }
}

fn constant(c: &Context<'_>, a: &mut Attributes<'_>, opset: i64) -> Result<Known, ImportError> {
    c.arity(0, 0)?;
    for name in ["value_int", "value_ints", "value_float", "value_floats"] {
        a.exists(name, opset, 12..=i64::MAX)?;
    }
    let constant = if let Some(tensor) = a.tensor("value")? {
        // A Constant node has no folder to look in: its data is inside the model.
        Constant::decode(&c.name, tensor, None)?
    } else if let Some(value) = a.int("value_int")? {
        Constant::ints(vec![], vec![value])
    } else if let Some(list) = a.ints("value_ints")? {
        Constant::ints(vec![list.len()], list.to_vec())
    } else if let Some(list) = a.floats("value_floats")? {
        Constant::floats(vec![list.len()], list.iter().map(|&x| x.into()).collect())
    } else {
        let value = a.float("value_float", f32::NAN).map_err(|_| c.wrong("it has no value of a supported kind"))?;
        Constant::floats(vec![], vec![value])
    };
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
    Ok(Known::Constant(Constant::ints(indices.shape.clone(), picked)))
}

/// Changes a constant's element type; leaves a value of floats as it is.
fn cast(c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
    c.arity(1, 1)?;
    let to = a.int("to")?.and_then(|to| i32::try_from(to).ok()).and_then(|to| DataType::try_from(to).ok());
    a.ignore("saturate");
    a.ignore("round_mode");
    let refused = || c.wrong("it changes between types that are not supported; floats of 32 and 64 bits, and constants' integers, are");
    let constant = match (c.known(0)?, to) {
        (known @ Known::Value(_), Some(DataType::Float | DataType::Double)) => return Ok(known.clone()),
        (Known::Constant(constant), _) => constant,
        _ => return Err(refused()),
    };
    let elements = match (&constant.elements, to) {
        (Elements::Floats(list), Some(DataType::Float)) => Elements::Floats(list.iter().map(|&x| f64::from(x as f32)).collect()),
        (Elements::Floats(list), Some(DataType::Double)) => Elements::Floats(list.clone()),
        (Elements::Ints(list), Some(DataType::Float)) => Elements::Floats(list.iter().map(|&x| f64::from(x as f32)).collect()),
        (Elements::Ints(list), Some(DataType::Double)) => Elements::Floats(list.iter().map(|&x| x as f64).collect()),
        (Elements::Ints(list), Some(DataType::Int64)) => Elements::Ints(list.clone()),
        (Elements::Ints(list), Some(DataType::Int32)) if list.iter().all(|&x| i32::try_from(x).is_ok()) => Elements::Ints(list.clone()),
        _ => return Err(refused()),
    };
    Ok(Known::Constant(Constant { shape: constant.shape.clone(), elements }))
}

/// Arithmetic of two constants, broadcast to `shape`.
fn fold(c: &Context<'_>, x: &Constant, y: &Constant, shape: Vec<usize>) -> Result<Known, ImportError> {
    let elements = match (&x.elements, &y.elements) {
        (Elements::Ints(left), Elements::Ints(right)) => {
            let (left, right) = (broadcast::repeat(left, &x.shape, &shape), broadcast::repeat(right, &y.shape, &shape));
            let each = left.iter().zip(&right).map(|(x, &y)| match c.operator {
                "Add" => x.checked_add(y),
                "Sub" => x.checked_sub(y),
                "Mul" => x.checked_mul(y),
                _ => x.checked_div(y),
            });
            Elements::Ints(each.collect::<Option<_>>().ok_or_else(|| c.wrong("its constants overflow, or it divides by zero"))?)
        }
        _ => {
            let (left, right) = (broadcast::repeat(c.floats(x)?, &x.shape, &shape), broadcast::repeat(c.floats(y)?, &y.shape, &shape));
            let each = left.iter().zip(&right).map(|(x, y)| match c.operator {
                "Add" => x + y,
                "Sub" => x - y,
                "Mul" => x * y,
                _ => x / y,
            });
            let list: Vec<f64> = each.collect();
            if list.iter().any(|x| !x.is_finite()) {
                return Err(c.wrong("its constants give no finite number"));
            }
            Elements::Floats(list)
        }
    };
    Ok(Known::Constant(Constant { shape, elements }))
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

/// Without axes every one of size 1 is dropped.
fn squeezed(c: &Context<'_>, from: &[usize], axes: Option<&[i64]>) -> Result<Vec<usize>, ImportError> {
    let Some(axes) = axes else {
        return Ok(from.iter().copied().filter(|&n| n != 1).collect());
    };
    if axes.is_empty() && from.contains(&1) {
        return Err(c.wrong("its list of axes is empty, which runtimes read differently; name the axes"));
    }
    let axes = axes.iter().map(|&axis| c.axis(axis, from.len())).collect::<Result<Vec<_>, _>>()?;
    if let Some(axis) = axes.iter().find(|&&axis| from[axis] != 1) {
        return Err(c.wrong(format!("axis {axis} of {from:?} is not 1")));
    }
    Ok((0..from.len()).filter(|axis| !axes.contains(axis)).map(|axis| from[axis]).collect())
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
    use crate::onnx::OPSETS;

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
