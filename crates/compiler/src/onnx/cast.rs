//! Types that the model states, and casts between them.

use half::{bf16, f16};
use tract_onnx::pb::tensor_proto::DataType;

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::types::{kind_of, type_of, width};
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind};

pub(super) const OPERATORS: &[Operator] = &[
    operator("Cast", "between floats of 16 to 64 bits, integers and truth values", |i, c, a| i.cast(c, a).map(one)),
    operator("CastLike", "as Cast, to the type of a tensor whose type is declared", |i, c, a| i.cast(c, a).map(one)),
];

impl Importer<'_> {
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
            c.element(1)
        } else {
            c.arity(1, 1)?;
            a.int("to")?.and_then(type_of)
        };
        let x = c.known(0)?;
        let from = self.kind(x);
        if c.operator == "CastLike" && to.is_none() {
            return Err(c.wrong("the type that it casts to is not known; state it with onnx.shape_inference.infer_shapes"));
        }
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
            (Kind::Integer, Kind::Integer) => {
                let (from, into) = (c.element(0).and_then(width), width(to));
                let fits = from
                    .zip(into)
                    .is_some_and(|((from, sign), (into, signed))| (from, sign) == (into, signed) || (from < into && (signed || !sign)));
                if fits { Ok(x.clone()) } else { self.held(c, x, to, true) }
            }
            // The same numbers under another type.
            _ => self.push_as(c, FloatOp::Reshape, &[x], &shape, kind),
        }
    }
}
