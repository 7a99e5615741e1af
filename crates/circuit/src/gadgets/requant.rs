//! Requantisation and ReLU.
//!
//! With the table's width w as the shift, `acc + 2^(w−1) = 2^w·q + ρ` and one unscaled lookup of ρ: the remainder needs
//! no scaling (`docs/proof-system.md` 4).

use crate::{Builder, CircuitError, Interval};

/// `⌊(x + 2^(shift−1)) / 2^shift⌋`: division by a power of two, halves rounded up; the identity when `shift` is 0.
///
/// `shift` must be below 63. Wraps where `x + 2^(shift−1)` leaves `i64`, which no checked graph reaches.
pub fn requant(x: i64, shift: u32) -> i64 {
    if shift == 0 { x } else { x.wrapping_add(1 << (shift - 1)) >> shift }
}

pub(super) fn check_shift(gadget: &'static str, shift: u32, table_bits: u32) -> Result<(), CircuitError> {
    if shift == 0 || shift == table_bits {
        return Ok(());
    }
    Err(CircuitError::Unsupported {
        gadget: gadget.into(),
        reason: format!("shift {shift} is neither 0 nor the table's width {table_bits}"),
    })
}

fn saturated(at: &'static str, value: i64, allowed: Interval) -> CircuitError {
    CircuitError::OutOfRange { at: at.into(), value, allowed: allowed.to_string() }
}

/// One row: looks up `acc + 2^(w−1) − 2^w·q`, which ties q to acc once q is known to be a small integer.
pub(super) fn remainder<B: Builder>(b: &mut B, acc: &B::Int, q: &B::Int, w: u32) -> Result<(), CircuitError> {
    let remainder = b.combine(&[(1, acc), (-(1 << w), q)], 1 << (w - 1))?;
    b.lookup(w, &remainder)
}

/// `q = ⌊(acc + 2^(w−1)) / 2^w⌋ ∈ [−2^(w−1), 2^(w−1))`.
///
/// Rows (2): lookup `q + 2^(w−1)` (unscaled: makes q an integer), lookup of the remainder. Wires: q.
///
/// # Errors
/// [`CircuitError::NotIntegral`] for an accumulator not proven integral; [`CircuitError::OutOfRange`] on saturation.
pub fn requantise<B: Builder>(b: &mut B, acc: &B::Int, shift: u32, w: u32) -> Result<B::Int, CircuitError> {
    check_shift("requantise", shift, w)?;
    b.require_integral("requantise", acc)?;
    let half = 1i64 << (w - 1);
    let allowed = Interval { lo: -half, hi: half - 1 };
    let q = b.hint([acc], |[acc]| {
        let q = requant(acc, shift);
        if allowed.contains(q) { Ok(q) } else { Err(saturated("requantise", q, allowed)) }
    })?;
    let unsigned = b.combine(&[(1, &q)], half)?;
    b.lookup(w, &unsigned)?;
    if shift == 0 {
        let difference = b.combine(&[(1, acc), (-1, &q)], 0)?;
        let (one, zero) = (b.constant(1), b.constant(0));
        b.product(&difference, &one, &zero)?;
    } else {
        remainder(b, acc, &q, w)?;
    }
    Ok(b.anchored(&q, allowed))
}

/// `y = max(q, 0)` with `q = ⌊(acc + 2^(w−1)) / 2^w⌋`, or `q = acc` without a shift; `|q| < 2^w`.
///
/// Rows (3, without a shift 2): `y·(y − q) = 0`; lookup `2y − q`, which is |q| and makes q an integer whichever of 0 and q
/// is y; lookup of the remainder. Wires: q (with a shift), y.
///
/// # Errors
/// As [`requantise`].
pub fn relu<B: Builder>(b: &mut B, acc: &B::Int, shift: u32, w: u32) -> Result<B::Int, CircuitError> {
    check_shift("relu", shift, w)?;
    b.require_integral("relu", acc)?;
    let limit = (1i64 << w) - 1;
    let allowed = Interval { lo: -limit, hi: limit };
    let in_range = |q: i64| if allowed.contains(q) { Ok(q) } else { Err(saturated("relu", q, allowed)) };
    let q = if shift == 0 { acc.clone() } else { b.hint([acc], |[acc]| in_range(requant(acc, shift)))? };
    let y = b.hint([&q], |[q]| in_range(q).map(|q| q.max(0)))?;
    let negative_part = b.combine(&[(1, &y), (-1, &q)], 0)?;
    let zero = b.constant(0);
    b.product(&y, &negative_part, &zero)?;
    let magnitude = b.combine(&[(2, &y), (-1, &q)], 0)?;
    b.lookup(w, &magnitude)?;
    if shift != 0 {
        remainder(b, acc, &q, w)?;
    }
    Ok(b.anchored(&y, Interval { lo: 0, hi: limit }))
}
