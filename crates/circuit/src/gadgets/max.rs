//! Comparisons: the larger of two integers, bounds, signs, equality with each of several numbers.

use super::arithmetic::multiply;
use crate::{Builder, CircuitError, Interval};

/// A distance has at most so many bits, well below the field's.
const MAX_BITS: u32 = 60;

/// `m = max(a, c)`, provided `|a − c| < 2^(limbs·w)`.
///
/// Rows (1 + limbs): `(m − a)·(m − c) = 0`, so m is one of two integers; then `2m − a − c`, which is ±(a − c), is shown not
/// to be negative by lookups of its limbs, all but the lowest on wires of their own. Wires: m, and these limbs.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::OutOfRange`] when the two are too far apart.
pub fn max<B: Builder>(b: &mut B, a: &B::Int, c: &B::Int, limbs: u32, w: u32) -> Result<B::Int, CircuitError> {
    check_limbs("max", limbs, w)?;
    b.require_integral("max", a)?;
    b.require_integral("max", c)?;
    let allowed = Interval::unsigned(limbs * w);
    let m = b.hint([a, c], |[a, c]| {
        let distance = (i128::from(a) - i128::from(c)).abs();
        if distance <= i128::from(allowed.hi) {
            return Ok(a.max(c));
        }
        Err(CircuitError::OutOfRange { at: "max".into(), value: i64::try_from(distance).unwrap_or(i64::MAX), allowed: allowed.to_string() })
    })?;
    let (above_a, above_c) = (b.combine(&[(1, &m), (-1, a)], 0)?, b.combine(&[(1, &m), (-1, c)], 0)?);
    let zero = b.constant(0);
    b.product(&above_a, &above_c, &zero)?;
    let distance = b.combine(&[(2, &m), (-1, a), (-1, c)], 0)?;
    not_negative(b, &distance, limbs, w)?;
    Ok(b.larger(&m, a, c))
}

/// Shows that an expression is an integer in `[0, 2^(limbs·w))`, by lookups of its limbs, all but the lowest on wires of their own.
pub(super) fn not_negative<B: Builder>(b: &mut B, value: &B::Int, limbs: u32, w: u32) -> Result<(), CircuitError> {
    let mut low = value.clone();
    for limb in (1..limbs).rev() {
        let high = b.hint([&low], |[low]| Ok(low >> (limb * w)))?;
        b.lookup(w, &high)?;
        low = b.combine(&[(1, &low), (-(1 << (limb * w)), &high)], 0)?;
    }
    b.lookup(w, &low)
}

/// Refuses numbers of limbs that together are too wide.
pub(super) fn check_limbs(gadget: &'static str, limbs: u32, w: u32) -> Result<(), CircuitError> {
    if !(1..=3).contains(&limbs) || limbs * w > MAX_BITS {
        let reason = format!("{limbs} limbs of {w} bits; 1 to 3, of {MAX_BITS} bits together, are supported");
        return Err(CircuitError::Unsupported { gadget: gadget.into(), reason });
    }
    Ok(())
}

/// `s = 1` where `x ≥ 0`, else 0, provided `x` is in `[−2^(limbs·w), 2^(limbs·w))`.
///
/// Rows (2 + limbs): `s·(s − 1) = 0`, `s·x = t`; then `2t − x − 1 + s`, which is x or −x − 1, is shown not to be negative. Wires: s, t,
/// the limbs.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::OutOfRange`] when x is too large.
pub fn step<B: Builder>(b: &mut B, x: &B::Int, limbs: u32, w: u32) -> Result<B::Int, CircuitError> {
    check_limbs("step", limbs, w)?;
    b.require_integral("step", x)?;
    let s = b.hint([x], |[x]| Ok(i64::from(x >= 0)))?;
    let s = bit(b, &s)?;
    let t = multiply(b, &s, x)?;
    let distance = b.combine(&[(2, &t), (-1, x), (1, &s)], -1)?;
    not_negative(b, &distance, limbs, w)?;
    Ok(s)
}

/// One row: a wire is 0 or 1.
fn bit<B: Builder>(b: &mut B, wire: &B::Int) -> Result<B::Int, CircuitError> {
    let (less, zero) = (b.combine(&[(1, wire)], -1)?, b.constant(0));
    b.product(wire, &less, &zero)?;
    Ok(b.anchored(wire, Interval::unsigned(1)))
}

/// `count` bits, the one at `x` set, provided x is in `[0, count)`.
///
/// Rows (count + 2): each is a bit, their sum is 1, and `Σ i·bit_i = x`. Wires: the bits.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::OutOfRange`] when x is no index.
pub fn one_hot<B: Builder>(b: &mut B, x: &B::Int, count: usize) -> Result<Vec<B::Int>, CircuitError> {
    if count == 0 || count > 1 << 26 {
        return Err(CircuitError::Unsupported { gadget: "one-hot".into(), reason: format!("{count} bits; 1 to 2^26 are supported") });
    }
    b.require_integral("one-hot", x)?;
    let allowed = Interval { lo: 0, hi: count as i64 - 1 };
    let mut bits = Vec::with_capacity(count);
    for i in 0..count as i64 {
        let wire = b.hint([x], |[x]| {
            if allowed.contains(x) {
                Ok(i64::from(x == i))
            } else {
                Err(CircuitError::OutOfRange { at: "one-hot".into(), value: x, allowed: allowed.to_string() })
            }
        })?;
        bits.push(bit(b, &wire)?);
    }
    let (one, zero) = (b.constant(1), b.constant(0));
    let ones: Vec<_> = bits.iter().map(|bit| (1, bit)).collect();
    let sum = b.combine(&ones, -1)?;
    b.product(&sum, &one, &zero)?;
    let mut weighted: Vec<_> = bits.iter().enumerate().map(|(i, bit)| (i as i64, bit)).collect();
    weighted.push((-1, x));
    let place = b.combine(&weighted, 0)?;
    b.product(&place, &one, &zero)?;
    Ok(bits)
}

/// `min(max(x, least), most)`, a bound being left out where there is none; x is less than `2^(limbs·w)` away from both.
///
/// Rows ((1 + limbs) per bound): each is a [`max`], the upper one of the negated numbers.
///
/// # Errors
/// As [`max`].
pub fn clip<B: Builder>(b: &mut B, x: &B::Int, least: Option<i64>, most: Option<i64>, limbs: u32, w: u32) -> Result<B::Int, CircuitError> {
    let mut x = x.clone();
    if let Some(least) = least {
        let bound = b.constant(least);
        x = max(b, &x, &bound, limbs, w)?;
    }
    if let Some(most) = most {
        let (bound, negated) = (b.constant(-most), b.combine(&[(-1, &x)], 0)?);
        let y = max(b, &negated, &bound, limbs, w)?;
        x = b.combine(&[(-1, &y)], 0)?;
    }
    Ok(x)
}
