//! Integers bit by bit.

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::types::{UNTYPED, width};
use super::{ImportError, Importer, Known, broadcast};

pub(super) const OPERATORS: &[Operator] = &[
    operator("BitShift", "of integers, by constants", |i, c, a| i.bit_shift(c, a).map(one)),
    operator("BitwiseAnd", "of integers; broadcast", |i, c, _| i.bitwise(c).map(one)),
    operator("BitwiseNot", "of integers", |i, c, _| i.bitwise_not(c).map(one)),
    operator("BitwiseOr", "of integers; broadcast", |i, c, _| i.bitwise(c).map(one)),
    operator("BitwiseXor", "of integers; broadcast", |i, c, _| i.bitwise(c).map(one)),
];

impl Importer<'_> {
    /// Bits of the integers that a node reads and gives, and whether they have a sign.
    fn integer_type(c: &Context<'_>) -> Result<(u32, bool), ImportError> {
        (c.element(0).and_then(width)).ok_or_else(|| c.wrong(UNTYPED))
    }

    fn bit_shift(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.since(11)?;
        c.arity(2, 2)?;
        let direction = a.string("direction")?.ok_or_else(|| a.wrong("direction", "is missing"))?;
        let (x, constant) = (c.known(0)?, c.constant(1)?);
        let (bits, _) = Self::integer_type(c)?;
        let by = c.ints(constant)?.iter().map(|&by| u32::try_from(by).ok().filter(|by| *by < bits.min(53))).collect::<Option<Vec<u32>>>();
        let by = by.ok_or_else(|| c.wrong(format!("it shifts {bits} bits by more than they are or can be")))?;
        let powers = |power: &dyn Fn(u32) -> u32| {
            let list = by.iter().map(|&by| 1_i64 << power(by)).collect();
            Known::Constant(Constant::ints(constant.shape.clone(), list))
        };
        let factor = powers(&|by| by);
        // What is shifted out on the left is lost; no number is as large as 2^52.
        let rest = powers(&|by| (bits - by).min(52));
        match direction.as_str() {
            "RIGHT" => self.whole_quotient(c, x, &factor, false),
            "LEFT" => {
                let lost = self.whole_quotient(c, x, &rest, false)?;
                let lost = self.product(c, &lost, &rest)?;
                let kept = self.minus(c, x, &lost)?;
                self.product(c, &kept, &factor)
            }
            other => Err(a.wrong("direction", format!("is `{other}`, which does not exist"))),
        }
    }

    fn bitwise_not(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.since(18)?;
        c.arity(1, 1)?;
        let most = match Self::integer_type(c)? {
            (_, true) => -1.0,
            (bits @ 0..=32, false) => (1_u64 << bits) as f64 - 1.0,
            (bits, false) => return Err(c.wrong(format!("its result needs {bits} bits, which are not supported"))),
        };
        self.sum(c, &[(c.known(0)?, -1.0)], most)
    }

    /// BitwiseAnd, BitwiseOr and BitwiseXor, by the sum `x + y = 2·(x and y) + (x xor y)`.
    fn bitwise(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.since(18)?;
        c.arity(2, 2)?;
        let (x, y) = (c.known(0)?, c.known(1)?);
        let (bits, signed) = Self::integer_type(c)?;
        // No number here is as large as 2^52.
        let bits = bits.min(53);
        let shape = self.common_shape(c, &[x, y])?;
        let count: usize = shape.iter().product();
        c.checked(&[count, bits as usize], "bits")?;
        let (first, second) = (self.bits(c, x, &shape, bits, signed)?, self.bits(c, y, &shape, bits, signed)?);
        let both = self.product(c, &first, &second)?;
        let mut weights: Vec<f64> = (0..bits).map(|bit| (1_i64 << bit) as f64).collect();
        if let Some(last) = weights.last_mut().filter(|_| signed) {
            *last = -*last;
        }
        let both = self.dense(c, &both, weights, vec![0.0], &[count, 1])?;
        let both = self.reshaped(c, &both, &shape)?;
        match c.operator {
            "BitwiseAnd" => Ok(both),
            "BitwiseOr" => self.sum(c, &[(x, 1.0), (y, 1.0), (&both, -1.0)], 0.0),
            _ => self.sum(c, &[(x, 1.0), (y, 1.0), (&both, -2.0)], 0.0),
        }
    }

    /// The bits of integers in two's complement, from the lowest on, by row.
    fn bits(&mut self, c: &Context<'_>, known: &Known, shape: &[usize], bits: u32, signed: bool) -> Result<Known, ImportError> {
        let (count, width) = (shape.iter().product::<usize>(), bits as usize);
        if let Known::Constant(constant) = known {
            let list = broadcast::repeat(c.ints(constant)?, &constant.shape, shape);
            let list = list.iter().flat_map(|x| (0..bits).map(move |bit| (x >> bit) & 1)).collect();
            return Ok(Known::Constant(Constant::ints(vec![count, width], list)));
        }
        let input = self.expanded(c, known, shape)?;
        let input = self.reshaped(c, &input, &[count, 1])?;
        let powers = Known::Constant(Constant::ints(vec![1, width - 1], (1..bits).map(|bit| 1_i64 << bit).collect()));
        let shifted = self.whole_quotient(c, &input, &powers, false)?;
        let shifted = self.joined(c, &[input, shifted], 1)?;
        // Beyond the last bit there is its sign, which is the bit itself negated, or nothing.
        let next: Vec<usize> = (1..width).chain([width - 1]).collect();
        let next = self.gathered(c, &shifted, 1, &next)?;
        let (mut here, mut there) = (vec![1.0; width], vec![-2.0; width]);
        (here[width - 1], there[width - 1]) = (if signed { -1.0 } else { 1.0 }, 0.0);
        self.weighted_along(c, 1, &[(&shifted, here), (&next, there)], vec![0.0])
    }
}
