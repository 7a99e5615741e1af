//! The larger of two integers, and an integer kept within bounds.

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
    if !(1..=3).contains(&limbs) || limbs * w > MAX_BITS {
        let reason = format!("{limbs} limbs of {w} bits; 1 to 3, of {MAX_BITS} bits together, are supported");
        return Err(CircuitError::Unsupported { gadget: "max".into(), reason });
    }
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
    let mut low = distance.clone();
    for limb in (1..limbs).rev() {
        let high = b.hint([&low], |[low]| Ok(low >> (limb * w)))?;
        b.lookup(w, &high)?;
        low = b.combine(&[(1, &low), (-(1 << (limb * w)), &high)], 0)?;
    }
    b.lookup(w, &low)?;
    Ok(b.larger(&m, a, c))
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
