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
    /// Least divisor: at least 1.
    pub least_divisor: i64,
}

impl Division {
    /// Quotient, remainder, and what the remainder lacks to its greatest: `⌊factor·x / y⌋`, or with `nearest`
    /// `⌊(2·factor·x + y) / 2y⌋`. None where y is below the least divisor. Wraps where these numbers leave `i64`, which no checked
    /// graph reaches.
    pub fn quotient(&self, x: i64, y: i64) -> Option<(i64, i64, i64)> {
        if y < self.least_divisor.max(1) {
            return None;
        }
        let dividend = x.wrapping_mul(self.factor);
        let (dividend, divisor) = if self.nearest { (dividend.wrapping_mul(2).wrapping_add(y), y.wrapping_mul(2)) } else { (dividend, y) };
        let remainder = dividend.checked_rem_euclid(divisor)?;
        Some((dividend.div_euclid(divisor), remainder, divisor - 1 - remainder))
    }
}

/// The quotient of x and y (see [`Division::quotient`]), provided y is no less than the least divisor, the quotient in
/// `[least, least + 2^w)`, and the remainder and what it lacks to its greatest below `2^(limbs·w)`.
///
/// Rows (2 + 2·limbs), d being the divisor y or 2y: lookup `q − least` (makes q an integer); `(d/y·q)·y = dividend − r`; r and `d − 1 − r`
/// are shown not to be negative, which leaves one q, and no y below 1. Another `limbs` for a least divisor above 1 show that y is no less.
/// Wires: q, r, the limbs.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::Overflow`]; [`CircuitError::OutOfRange`] where there is no such quotient.
pub fn divide<B: Builder>(b: &mut B, x: &B::Int, y: &B::Int, division: &Division, w: u32) -> Result<B::Int, CircuitError> {
    let Division { factor, nearest, least, limbs, least_divisor } = *division;
    check_limbs("divide", limbs, w)?;
    if !(1..1 << 61).contains(&factor) || !(1..1 << 61).contains(&least_divisor) || least.unsigned_abs() >= 1 << 61 {
        let reason = format!("factor {factor} or least divisor {least_divisor} is outside [1, 2^61), or quotient {least} beyond 2^61");
        return Err(CircuitError::Unsupported { gadget: "divide".into(), reason });
    }
    b.require_integral("divide", x)?;
    b.require_integral("divide", y)?;
    let refused =
        |y: i64| CircuitError::OutOfRange { at: "divide".into(), value: y, allowed: format!("[{least_divisor}, 2^{})", limbs * w) };
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
    if least_divisor > 1 {
        let above = b.combine(&[(1, y)], -least_divisor)?;
        not_negative(b, &above, limbs, w)?;
    }
    let multiple = b.combine(&[(twice, &q)], 0)?;
    let rest = b.combine(&[(twice * factor, x), (twice - 1, y), (-1, &r)], 0)?;
    b.product(&multiple, y, &rest)?;
    // The product's interval is that of integers far below the field's size.
    b.times(&rest, &multiple, y)?;
    Ok(q)
}

/// How a root is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// What the number is multiplied by: at least 1.
    pub factor: i64,
    /// Least root, from 0 to 2^31.
    pub least: i64,
}

impl Root {
    /// Greatest least root: its square stays far below the field's size.
    pub const MOST: i64 = 1 << 31;

    /// `⌊√(factor·x)⌋`, how far its square is below `factor·x`, and how far that is from the last number with this root. None where x is
    /// negative. Wraps where these numbers leave `i64`, which no checked graph reaches.
    pub fn root(&self, x: i64) -> Option<(i64, i64, i64)> {
        let square = x.wrapping_mul(self.factor);
        let root = square.checked_isqrt()?;
        let above = square - root * root;
        Some((root, above, 2 * root - above))
    }
}

/// `y = ⌊√(factor·x)⌋`, provided x is not negative and `y − least`, `factor·x − y²` and `y² + 2y − factor·x` are in `[0, 2^w)`.
///
/// Rows (4): lookup `y − least`; `y·y = factor·x − d`; lookups d and `2y − d`: both ends are strict, so that no other root fits.
/// Wires: y, d.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::Overflow`]; [`CircuitError::OutOfRange`] where there is no such root.
pub fn sqrt<B: Builder>(b: &mut B, x: &B::Int, root: &Root, w: u32) -> Result<B::Int, CircuitError> {
    let Root { factor, least } = *root;
    if factor < 1 || !(0..=Root::MOST).contains(&least) {
        let reason = format!("factor {factor} is below 1, or least root {least} outside [0, {}]", Root::MOST);
        return Err(CircuitError::Unsupported { gadget: "square root".into(), reason });
    }
    b.require_integral("square root", x)?;
    let square = b.combine(&[(factor, x)], 0)?;
    let refused = |x: i64| CircuitError::OutOfRange { at: "square root".into(), value: x, allowed: "numbers that are not negative".into() };
    let y = b.hint([x], |[x]| root.root(x).map(|(y, ..)| y).ok_or_else(|| refused(x)))?;
    let above = b.combine(&[(1, &y)], -least)?;
    b.lookup(w, &above)?;
    let y = b.anchored(&y, Interval { lo: least, hi: least + (1 << w) - 1 });
    let d = b.hint([x], |[x]| root.root(x).map(|(_, d, _)| d).ok_or_else(|| refused(x)))?;
    b.lookup(w, &d)?;
    let d = b.anchored(&d, Interval::unsigned(w));
    let below = b.combine(&[(2, &y), (-1, &d)], 0)?;
    b.lookup(w, &below)?;
    let rest = b.combine(&[(1, &square), (-1, &d)], 0)?;
    b.product(&y, &y, &rest)?;
    Ok(y)
}
