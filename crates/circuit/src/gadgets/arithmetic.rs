//! Products, quotients and roots of integers.

use super::max::{check_limbs, not_negative};
use crate::{Builder, CircuitError, Interval};

/// `x·y`.
///
/// Rows (1): the product. Wires: it.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::Overflow`] when it may leave ±2^62.
pub fn multiply<B: Builder>(b: &mut B, x: &B::Int, y: &B::Int) -> Result<B::Int, CircuitError> {
    b.require_integral("product", x)?;
    b.require_integral("product", y)?;
    let z = b.hint([x, y], |[x, y]| x.checked_mul(y).ok_or(CircuitError::Overflow))?;
    b.product(x, y, &z)?;
    b.times(&z, x, y)
}

/// How two integers are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// What the dividend is multiplied by: at least 1.
    pub factor: i64,
    /// Whether the quotient is the nearest integer, halves up, and not the one below.
    pub nearest: bool,
    /// Least quotient; there are 2^w of them.
    pub least: i64,
    /// Lookups that a remainder takes: 1 to 3.
    pub limbs: u32,
}

impl Division {
    /// Quotient, remainder, and what the remainder lacks to its greatest: `⌊factor·x / y⌋`, or with `nearest`
    /// `⌊(2·factor·x + y) / 2y⌋`. None unless y is positive. Wraps where these numbers leave `i64`, which no checked graph reaches.
    pub fn quotient(&self, x: i64, y: i64) -> Option<(i64, i64, i64)> {
        if y < 1 {
            return None;
        }
        let dividend = x.wrapping_mul(self.factor);
        let (dividend, divisor) = if self.nearest { (dividend.wrapping_mul(2).wrapping_add(y), y.wrapping_mul(2)) } else { (dividend, y) };
        let remainder = dividend.checked_rem_euclid(divisor)?;
        Some((dividend.div_euclid(divisor), remainder, divisor - 1 - remainder))
    }
}

/// The quotient of x and y (see [`Division::quotient`]), provided y is positive, the quotient in `[least, least + 2^w)`, and the remainder
/// and what it lacks to its greatest below `2^(limbs·w)`.
///
/// Rows (2 + 2·limbs), d being the divisor y or 2y: lookup `q − least` (makes q an integer); `(d/y·q)·y = dividend − r`; r and `d − 1 − r`
/// are shown not to be negative, which leaves one q, and no y below 1. Wires: q, r, the limbs.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::Overflow`]; [`CircuitError::OutOfRange`] where there is no such quotient.
pub fn divide<B: Builder>(b: &mut B, x: &B::Int, y: &B::Int, division: &Division, w: u32) -> Result<B::Int, CircuitError> {
    let Division { factor, nearest, least, limbs } = *division;
    check_limbs("divide", limbs, w)?;
    if !(1..1 << 61).contains(&factor) || least.unsigned_abs() >= 1 << 61 {
        let reason = format!("factor {factor} is outside [1, 2^61), or quotient {least} beyond 2^61");
        return Err(CircuitError::Unsupported { gadget: "divide".into(), reason });
    }
    b.require_integral("divide", x)?;
    b.require_integral("divide", y)?;
    let refused = |y: i64| CircuitError::OutOfRange { at: "divide".into(), value: y, allowed: format!("[1, 2^{})", limbs * w) };
    let q = b.hint([x, y], |[x, y]| division.quotient(x, y).map(|(q, _, _)| q).ok_or_else(|| refused(y)))?;
    let r = b.hint([x, y], |[x, y]| division.quotient(x, y).map(|(_, r, _)| r).ok_or_else(|| refused(y)))?;
    let above = b.combine(&[(1, &q)], -least)?;
    b.lookup(w, &above)?;
    let q = b.anchored(&q, Interval { lo: least, hi: least + (1 << w) - 1 });
    not_negative(b, &r, limbs, w)?;
    let r = b.anchored(&r, Interval::unsigned(limbs * w));
    let twice = if nearest { 2 } else { 1 };
    let lack = b.combine(&[(twice, y), (-1, &r)], -1)?;
    not_negative(b, &lack, limbs, w)?;
    let multiple = b.combine(&[(twice, &q)], 0)?;
    let rest = b.combine(&[(twice * factor, x), (twice - 1, y), (-1, &r)], 0)?;
    b.product(&multiple, y, &rest)?;
    // The product's interval is that of integers far below the field's size.
    b.times(&rest, &multiple, y)?;
    Ok(q)
}

/// `y = ⌊√(factor·x)⌋`, provided x is not negative and y, `factor·x − y²` and `y² + 2y − factor·x` are below `2^w`.
///
/// Rows (4): lookup y; `y·y = factor·x − d`; lookups d and `2y − d`: both ends are strict, so that no other root fits. Wires: y, d.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::Overflow`]; [`CircuitError::OutOfRange`] where there is no such root.
pub fn sqrt<B: Builder>(b: &mut B, x: &B::Int, factor: i64, w: u32) -> Result<B::Int, CircuitError> {
    if factor < 1 {
        return Err(CircuitError::Unsupported { gadget: "square root".into(), reason: format!("factor {factor} is below 1") });
    }
    b.require_integral("square root", x)?;
    let square = b.combine(&[(factor, x)], 0)?;
    let refused = |x: i64| CircuitError::OutOfRange { at: "square root".into(), value: x, allowed: "numbers that are not negative".into() };
    let y = b.hint([&square], |[x]| x.checked_isqrt().ok_or_else(|| refused(x)))?;
    b.lookup(w, &y)?;
    let y = b.anchored(&y, Interval::unsigned(w));
    let d = b.hint([&square, &y], |[x, y]| Ok(x - y * y))?;
    b.lookup(w, &d)?;
    let d = b.anchored(&d, Interval::unsigned(w));
    let above = b.combine(&[(2, &y), (-1, &d)], 0)?;
    b.lookup(w, &above)?;
    let rest = b.combine(&[(1, &square), (-1, &d)], 0)?;
    b.product(&y, &y, &rest)?;
    Ok(y)
}
