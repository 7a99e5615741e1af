//! Element types of ONNX values, by the rules of their operators, and integers that leave theirs.

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::context::Context;
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind};

/// Why integers whose type nothing states are refused.
pub(super) const UNTYPED: &str = "the type of its integers is not known; state it with onnx.shape_inference.infer_shapes";

/// Bits of an integer type, and whether it has a sign.
pub(super) fn width(kind: DataType) -> Option<(u32, bool)> {
    Some(match kind {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::Uint8 => (8, false),
        DataType::Uint16 => (16, false),
        DataType::Uint32 => (32, false),
        DataType::Uint64 => (64, false),
        _ => return None,
    })
}

/// The kind of numbers of a type, if it is one of numbers or truth values.
pub(super) fn kind_of(kind: DataType) -> Option<Kind> {
    match kind {
        DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16 => Some(Kind::Real),
        DataType::Bool => Some(Kind::Boolean),
        _ => width(kind).map(|_| Kind::Integer),
    }
}

/// The type of a number in an attribute.
pub(super) fn type_of(number: i64) -> Option<DataType> {
    i32::try_from(number).ok().and_then(tensor_type)
}

/// The type of a number in a tensor.
pub(super) fn tensor_type(number: i32) -> Option<DataType> {
    DataType::try_from(number).ok().filter(|kind| *kind != DataType::Undefined)
}

/// The element type that a value states.
pub(super) fn element_type(info: &pb::ValueInfoProto) -> Option<DataType> {
    let pb::type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    tensor_type(tensor.elem_type)
}

/// The element type of a node's output of an index, given those of its inputs, by the operator's rule. Nothing where that is not known:
/// an input of another type, such as indices or a shape, never stands in for one of unknown type.
pub(super) fn output_type(node: &pb::NodeProto, inputs: &[Option<DataType>], output: usize) -> Option<DataType> {
    let input = |index: usize| inputs.get(index).copied().flatten();
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let number = |name: &str| attribute(name).and_then(|attribute| type_of(attribute.i));
    let tensor = |name: &str| attribute(name)?.t.as_ref().and_then(|tensor| tensor_type(tensor.data_type));
    let inner = |name: &str, index: usize| attribute(name)?.g.as_ref()?.output.get(index).and_then(element_type);
    match (node.op_type.as_str(), output) {
        ("Cast", _) => number("to"),
        ("CastLike", _) => input(1),
        ("Constant", _) if attribute("value_int").or(attribute("value_ints")).is_some() => Some(DataType::Int64),
        ("Constant" | "ConstantOfShape", _) => tensor("value").or(Some(DataType::Float)),
        ("EyeLike", _) => number("dtype").or(input(0)),
        ("Where", _) => input(1).or(input(2)),
        ("OneHot", _) => input(2),
        ("If", _) => inner("then_branch", output),
        ("Loop", _) => inner("body", output + 1),
        ("Scan", _) => inner("body", output),
        ("Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not" | "IsInf" | "IsNaN", _)
        | ("Dropout", 1) => Some(DataType::Bool),
        ("ArgMax" | "ArgMin" | "NonZero" | "Shape" | "Size", _) | ("MaxPool" | "TopK" | "Unique", 1..) => Some(DataType::Int64),
        ("LabelEncoder", _) if attribute("values_int64s").is_some() => Some(DataType::Int64),
        ("LabelEncoder", _) => tensor("values_tensor").or(Some(DataType::Float)),
        ("LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier", 0) => Some(DataType::Int64),
        (
            "FeatureVectorizer"
            | "LinearClassifier"
            | "LinearRegressor"
            | "Normalizer"
            | "OneHotEncoder"
            | "Scaler"
            | "SVMClassifier"
            | "SVMRegressor"
            | "TreeEnsembleClassifier"
            | "TreeEnsembleRegressor",
            _,
        ) => Some(DataType::Float),
        // All inputs have one type.
        (
            "Add" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Concat" | "Div" | "Einsum" | "Gemm" | "MatMul" | "Max" | "Mean" | "Min"
            | "Mod" | "Mul" | "PRelu" | "Range" | "Sub" | "Sum",
            _,
        ) => inputs.iter().copied().flatten().next(),
        _ => input(0),
    }
}

/// What becomes of integers that an operator's results leave their type with.
enum Beyond {
    /// They wrap: the lowest bits stay.
    Wraps,
    /// Runtimes and processors differ.
    Undefined,
}

fn beyond(operator: &str) -> Option<Beyond> {
    match operator {
        "Abs" | "Add" | "CumSum" | "Einsum" | "Gemm" | "MatMul" | "Mul" | "Neg" | "ScatterElements" | "ScatterND" | "Sub" | "Sum" => {
            Some(Beyond::Wraps)
        }
        // NumPy's reductions wrap, those of ONNX Runtime stop at the largest number.
        "Pow" | "ReduceL1" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => Some(Beyond::Undefined),
        _ => None,
    }
}

impl Importer<'_> {
    /// The type of a node's output: by its operator, or as the model states it. `known` is what it stands for.
    pub(super) fn typed(
        &self,
        node: &pb::NodeProto,
        c: &Context<'_>,
        output: usize,
        known: &Known,
    ) -> Result<Option<DataType>, ImportError> {
        let agrees = |of: &DataType| match (kind_of(*of), self.kind(known)) {
            // A constant's truth values are kept as integers.
            (Some(Kind::Boolean), Kind::Integer) => known.constant().is_some(),
            (of, kind) => of == Some(kind),
        };
        let lists = [&self.proto.value_info, &self.proto.output];
        let name = c.outputs.get(output).filter(|name| !name.is_empty());
        let stated = || lists.into_iter().flatten().find(|info| Some(&info.name) == name).and_then(element_type);
        // What a subgraph gave, whose outputs need not state their types.
        let given = || match node.op_type.as_str() {
            "If" | "Scan" => self.returned.get(output).copied().flatten(),
            "Loop" => self.returned.get(output + 1).copied().flatten().or_else(|| c.element(output + 2)),
            _ => None,
        };
        let rule = output_type(node, &c.types, output).or_else(given);
        if rule.and_then(width).is_some() && self.kind(known) == Kind::Real {
            return Err(
                c.wrong("it works out real numbers, and its integers would be rounded as a runtime likes; cast them to float before it")
            );
        }
        Ok(rule.filter(agrees).or_else(|| stated().filter(agrees)).or(match self.kind(known) {
            Kind::Real => Some(DataType::Float),
            Kind::Boolean => Some(DataType::Bool),
            Kind::Integer => None,
        }))
    }

    /// An operator's result as its type holds it.
    pub(super) fn within_type(&mut self, c: &Context<'_>, known: Known, of: Option<DataType>) -> Result<Known, ImportError> {
        let Some(beyond) = beyond(c.operator).filter(|_| self.kind(&known) == Kind::Integer) else {
            return Ok(known);
        };
        let Some(of) = of else {
            return Err(c.wrong(UNTYPED));
        };
        self.held(c, &known, of, matches!(beyond, Beyond::Wraps))
    }

    /// Integers of a type: what goes beyond it wraps, or is refused.
    pub(super) fn held(&mut self, c: &Context<'_>, known: &Known, of: DataType, wraps: bool) -> Result<Known, ImportError> {
        match width(of) {
            // No integer here is as large as 64 bits.
            None | Some((64, true)) => Ok(known.clone()),
            Some((bits, signed)) => self.each(c, FloatOp::Hold { bits, signed, wraps: wraps && bits < 64 }, &[known]),
        }
    }
}
