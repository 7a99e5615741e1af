//! Constants: ranges, fills, shapes of tensors.

use super::attributes::Attributes;
use super::build::steps;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::types::{kind_of, type_of};
use super::{ImportError, Importer, Known};
use crate::float::Kind;
use zkslice_graph::limits;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Constant", "numbers", |_, c, a| constant(c, a).map(one)),
    operator("ConstantOfShape", "a constant shape", |_, c, a| constant_of_shape(c, a).map(one)),
    operator("EyeLike", "of a fixed shape", |i, c, a| i.eye_like(c, a).map(one)),
    operator("NonZero", "of a constant", |_, c, _| non_zero(c).map(one)),
    operator("Range", "constant bounds", |_, c, _| range(c).map(one)),
    operator("Shape", "of a fixed shape", |i, c, a| i.shape_of(c, a).map(one)),
    operator("Size", "of a fixed shape", |i, c, _| {
        c.arity(1, 1)?;
        let count = i.count(c.known(0)?);
        Ok(one(Known::Constant(Constant::ints(vec![], vec![count as i64]))))
    }),
];

impl Importer<'_> {
    /// Shape.
    fn shape_of(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        a.exists("start", 15..=i64::MAX)?;
        a.exists("end", 15..=i64::MAX)?;
        let shape = self.shape(c.known(0)?);
        let rank = shape.len() as i64;
        let bound = |x: i64| (if x < 0 { x + rank } else { x }).clamp(0, rank) as usize;
        let (start, end) = (bound(a.int("start")?.unwrap_or(0)), bound(a.int("end")?.unwrap_or(rank)));
        let list: Vec<i64> = shape[start..end.max(start)].iter().map(|&n| n as i64).collect();
        Ok(Known::Constant(Constant::ints(vec![list.len()], list)))
    }

    /// A matrix of ones on a diagonal.
    fn eye_like(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let input = c.known(0)?;
        let [rows, columns] = *self.shape(input) else {
            return Err(c.wrong("its input must have two axes"));
        };
        let diagonal = a.int("k")?.unwrap_or(0);
        let is_real = match a.int("dtype")? {
            Some(number) => type_of(number).and_then(kind_of) == Some(Kind::Real),
            None => self.is_real(input),
        };
        let count = c.elements(&[rows, columns])?;
        let list = (0..count).map(|i| i64::from((i % columns) as i64 - (i / columns) as i64 == diagonal));
        let shape = vec![rows, columns];
        Ok(Known::Constant(if is_real {
            Constant::floats(shape, list.map(|x| x as f64).collect())
        } else {
            Constant::ints(shape, list.collect())
        }))
    }
}

fn constant(c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
    c.arity(0, 0)?;
    for name in ["value_int", "value_ints", "value_float", "value_floats"] {
        a.exists(name, 12..=i64::MAX)?;
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

fn constant_of_shape(c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
    c.arity(1, 1)?;
    let shape = c.sizes_at(0)?;
    let count = c.elements(&shape)?;
    let value = match a.tensor("value")? {
        Some(tensor) => Constant::decode(&c.name, tensor, None)?,
        None => Constant::floats(vec![1], vec![0.0]),
    };
    if value.len() != 1 {
        return Err(a.wrong("value", "is not one number"));
    }
    Ok(Known::Constant(value.moved(shape, |_| vec![0; count])))
}

fn non_zero(c: &Context<'_>) -> Result<Known, ImportError> {
    c.arity(1, 1)?;
    let constant = c.constant(0)?;
    let found: Vec<usize> = match &constant.elements {
        Elements::Floats(list) => (0..list.len()).filter(|&i| list[i] != 0.0).collect(),
        Elements::Ints(list) => (0..list.len()).filter(|&i| list[i] != 0).collect(),
    };
    let steps = steps(&constant.shape);
    let mut list = Vec::with_capacity(found.len() * constant.shape.len());
    for (&size, &step) in constant.shape.iter().zip(&steps) {
        list.extend(found.iter().map(|&element| (element / step % size) as i64));
    }
    Ok(Known::Constant(Constant::ints(vec![constant.shape.len(), found.len()], list)))
}

fn range(c: &Context<'_>) -> Result<Known, ImportError> {
    c.arity(3, 3)?;
    let bounds = [c.constant(0)?, c.constant(1)?, c.constant(2)?];
    if bounds.iter().any(|bound| bound.len() != 1) {
        return Err(c.wrong("its bounds are not one number each"));
    }
    let count = |count: f64| {
        let count = count.ceil().max(0.0);
        if count <= limits::MAX_ELEMENTS as f64 {
            Ok(count as usize)
        } else {
            Err(c.wrong("its bounds and its step give too many elements"))
        }
    };
    Ok(Known::Constant(match bounds.map(|bound| &bound.elements) {
        [Elements::Ints(start), Elements::Ints(end), Elements::Ints(step)] => {
            let (start, end, step) = (i128::from(start[0]), i128::from(end[0]), i128::from(step[0]));
            if step == 0 {
                return Err(c.wrong("its step is 0"));
            }
            // Rounded up, away from the start.
            let count = count(((end - start + step - step.signum()) / step) as f64)?;
            Constant::ints(vec![count], (0..count as i128).map(|i| (start + i * step) as i64).collect())
        }
        _ => {
            let [start, end, step] = [c.floats(bounds[0])?[0], c.floats(bounds[1])?[0], c.floats(bounds[2])?[0]];
            let count = count((end - start) / step)?;
            Constant::floats(vec![count], (0..count).map(|i| start + i as f64 * step).collect())
        }
    }))
}
