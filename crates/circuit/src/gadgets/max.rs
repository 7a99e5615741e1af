//! The larger of two integers.

use crate::{Builder, CircuitError, Interval};

/// `m = max(a, c)`, provided `|a − c| < 2^(limbs·w)`.
///
/// Rows (1 + limbs): `(m − a)·(m − c) = 0`, so m is one of two integers; then `2m − a − c`, which is ±(a − c), is shown not
/// to be negative by lookups of its limbs, the high one on a wire of its own. Wires: m, and the high limb if there are two.
///
/// # Errors
/// [`CircuitError::NotIntegral`]; [`CircuitError::OutOfRange`] when the two are too far apart.
pub fn max<B: Builder>(b: &mut B, a: &B::Int, c: &B::Int, limbs: u32, w: u32) -> Result<B::Int, CircuitError> {
    if !(1..=2).contains(&limbs) {
        return Err(CircuitError::Unsupported { gadget: "max".into(), reason: format!("{limbs} limbs; 1 or 2 are supported") });
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
    if limbs == 1 {
        b.lookup(w, &distance)?;
    } else {
        let high = b.hint([&distance], |[distance]| Ok(distance >> w))?;
        b.lookup(w, &high)?;
        let low = b.combine(&[(1, &distance), (-(1 << w), &high)], 0)?;
        b.lookup(w, &low)?;
    }
    Ok(b.selected(&m, a, c))
}
