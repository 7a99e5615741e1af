//! Types that the model states, and casts between them.

use half::{bf16, f16};
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Cast", "between floats of 16 to 64 bits, integers and truth values", |i, c, a| i.cast(c, a).map(one)),
    operator("CastLike", "as Cast, to the type of a tensor whose type is declared", |i, c, a| i.cast(c, a).map(one)),
];

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
    i32::try_from(number).ok().and_then(|number| DataType::try_from(number).ok())
}

/// The element type that a list of values states for a name.
pub(super) fn declared_type(list: &[pb::ValueInfoProto], name: &str) -> Option<DataType> {
    list.iter().find(|info| !name.is_empty() && info.name == name).and_then(element_type)
}

/// The element type that a value states.
pub(super) fn element_type(info: &pb::ValueInfoProto) -> Option<DataType> {
    let pb::type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    DataType::try_from(tensor.elem_type).ok().filter(|kind| *kind != DataType::Undefined)
}

impl Importer<'_> {
    /// The element type that the model states for the first of some values that it states one for.
    pub(super) fn stated_type<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Option<DataType> {
        let lists = [&self.proto.input, &self.proto.value_info, &self.proto.output];
        names.find_map(|name| {
            let stated = lists.into_iter().find_map(|list| declared_type(list, name));
            stated.or_else(|| self.initialisers.get(name).and_then(|tensor| DataType::try_from(tensor.data_type).ok()))
        })
    }

    /// Numbers without their fractions.
    pub(super) fn truncated(&mut self, c: &Context<'_>, x: &Known) -> Result<Known, ImportError> {
        self.map(c, x, "Trunc", Vec::new(), |x, _| libm::trunc(x))
    }

    /// Numbers without their fractions, as integers of a type. What the type does not hold has no value: runtimes and processors differ
    /// in what they make of it.
    fn whole(&mut self, c: &Context<'_>, x: &Known, to: DataType) -> Result<Known, ImportError> {
        let output = match width(to) {
            Some((bits, signed)) if bits <= 16 || !signed => {
                let (least, count) = (if signed { -(2_f64.powi(bits as i32 - 1)) } else { 0.0 }, 2_f64.powi(bits as i32));
                self.map(c, x, "Cast", vec![least, least + count - 1.0], |x, p| {
                    let whole = libm::trunc(x);
                    if (p[0]..=p[1]).contains(&whole) { whole } else { f64::NAN }
                })?
            }
            _ => self.truncated(c, x)?,
        };
        Ok(self.of_kind(output, Kind::Integer))
    }

    /// Cast and CastLike.
    fn cast(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        a.ignore("saturate");
        a.ignore("round_mode");
        let to = if c.operator == "CastLike" {
            c.since(15)?;
            c.arity(2, 2)?;
            let like = c.known(1)?;
            let stated = self.stated_type([c.input_name(1), c.outputs.first().map_or("", String::as_str)].into_iter());
            stated.or_else(|| match self.kind(like) {
                Kind::Real => Some(DataType::Float),
                Kind::Boolean => Some(DataType::Bool),
                // A constant of integers may be of truth values.
                Kind::Integer => like.constant().is_none().then_some(DataType::Int64),
            })
        } else {
            c.arity(1, 1)?;
            a.int("to")?.and_then(type_of)
        };
        let x = c.known(0)?;
        let from = self.kind(x);
        let Some((to, kind)) = to.and_then(|to| Some((to, kind_of(to)?))) else {
            return Err(c.wrong("it casts to a type that is not supported; floats of 16 to 64 bits, integers and truth values are"));
        };
        if let Known::Constant(constant) = x {
            let rounded = |&x: &f64| match to {
                DataType::Float16 => f16::from_f64(x).to_f64(),
                DataType::Bfloat16 => bf16::from_f64(x).to_f64(),
                _ => f64::from(x as f32),
            };
            // An infinite bound stays one, and integers of 64 bits stay exact.
            let elements = match (&constant.elements, to) {
                (Elements::Floats(list), DataType::Double) => Some(Elements::Floats(list.clone())),
                (Elements::Floats(list), _) if kind == Kind::Real => Some(Elements::Floats(list.iter().map(rounded).collect())),
                (Elements::Ints(list), DataType::Int64) => Some(Elements::Ints(list.clone())),
                (Elements::Ints(list), DataType::Float | DataType::Float16 | DataType::Bfloat16) => {
                    Some(Elements::Floats(list.iter().map(|&x| x as f64).map(|x| rounded(&x)).collect()))
                }
                (Elements::Ints(list), DataType::Int32) => Some(Elements::Ints(list.iter().map(|&x| i64::from(x as i32)).collect())),
                (Elements::Ints(list), DataType::Uint32) => Some(Elements::Ints(list.iter().map(|&x| i64::from(x as u32)).collect())),
                _ => None,
            };
            if let Some(elements) = elements {
                return Ok(Known::Constant(Constant { shape: constant.shape.clone(), elements }));
            }
        }
        let shape = self.shape(x).to_vec();
        match (from, kind) {
            (Kind::Real, Kind::Real) | (Kind::Boolean, Kind::Boolean) => Ok(x.clone()),
            (_, Kind::Boolean) => {
                let opposite = self.negated(c, x)?;
                let (first, second) = (self.step(c, x)?, self.step(c, &opposite)?);
                let output = self.sum(c, &[(&first, -1.0), (&second, -1.0)], 2.0)?;
                Ok(self.of_kind(output, kind))
            }
            (Kind::Real, Kind::Integer) => self.whole(c, x, to),
            (Kind::Integer, Kind::Integer) => self.narrowed(c, x, to),
            // The same numbers under another type.
            _ => self.push_as(c, FloatOp::Reshape, &[x], &shape, kind),
        }
    }

    /// Integers in a narrower type, which keeps their lowest bits.
    fn narrowed(&mut self, c: &Context<'_>, x: &Known, to: DataType) -> Result<Known, ImportError> {
        let from = self.stated_type([c.input_name(0)].into_iter()).and_then(width);
        let Some((bits, signed)) = width(to) else {
            return Ok(x.clone());
        };
        let fits = from.is_some_and(|(old, sign)| (old, sign) == (bits, signed) || (old < bits && (signed || !sign)));
        if fits || bits > 32 {
            // Numbers of more than 32 bits have no place in a proof.
            return Ok(x.clone());
        }
        let half = if signed { (1_i64 << (bits - 1)) as f64 } else { 0.0 };
        let moved = self.sum(c, &[(x, 1.0)], half)?;
        let size = 1_i64 << bits;
        let turns = self.whole_quotient(c, &moved, &Known::Constant(Constant::ints(Vec::new(), vec![size])), false)?;
        self.sum(c, &[(x, 1.0), (&turns, -(size as f64))], 0.0)
    }
}
