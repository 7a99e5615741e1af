//! Functions of one integer, by their tables (`docs/proof-system.md` 4).

use super::requant::{remainder, requant};
use crate::{Builder, CircuitError, Interval, TableId};

/// A function's table: entries `j + stride·f(j)` for each argument j.
#[derive(Clone, Debug)]
pub struct FunctionTable<'a> {
    id: TableId,
    first: i64,
    list: &'a [i64],
    stride: i64,
    /// The largest magnitude of an argument that f has.
    farthest: i64,
    /// Where f's values lie.
    values: Interval,
}

impl<'a> FunctionTable<'a> {
    /// The table of `f(first + i) = values[i]`.
    ///
    /// # Errors
    /// [`CircuitError::Unsupported`] without values, or unless the stride is more than twice any argument's magnitude, and with the values'
    /// below 2^62: entries are then different, and integers.
    pub fn new<B: Builder>(b: &mut B, first: i64, values: &'a [i64], stride: i64) -> Result<Self, CircuitError> {
        let unsupported = |reason: String| CircuitError::Unsupported { gadget: "function".into(), reason };
        let (Some(&lo), Some(&hi)) = (values.iter().min(), values.iter().max()) else {
            return Err(unsupported("it has no value".into()));
        };
        let last = i128::from(first) + values.len() as i128 - 1;
        let farthest = i128::from(first).abs().max(last.abs());
        let largest = i128::from(lo).abs().max(i128::from(hi).abs());
        if i128::from(stride) <= 2 * farthest || farthest + i128::from(stride) * largest >= Interval::LIMIT {
            return Err(unsupported(format!("stride {stride} for arguments in [{first}, {last}] and values in [{lo}, {hi}]")));
        }
        let entries: Vec<i64> = values.iter().zip(first..).map(|(value, argument)| argument + stride * value).collect();
        Ok(Self { id: b.table(&entries)?, first, list: values, stride, farthest: farthest as i64, values: Interval { lo, hi } })
    }
}

/// The accumulators whose argument is no farther than `farthest` from 0.
fn reach(farthest: i64, shift: u32) -> Interval {
    let half = if shift == 0 { 0 } else { 1_i128 << (shift - 1) };
    let end = i128::from(farthest) << shift;
    let within = |end: i128| end.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    Interval { lo: within(-end - half), hi: within(end + (half - 1).max(0)) }
}

/// `y = f(q)` with `q = ⌊(acc + 2^(w−1)) / 2^w⌋`, or `q = acc` without a shift, provided f has q among its arguments.
///
/// Rows (3, without a shift 2): lookup `y − min f` (makes y an integer); lookup `q + stride·y` in f's table; lookup of the remainder.
/// Wires: q (with a shift), y.
///
/// Why: y is an integer, and `q + stride·y = j + stride·f(j)` for one of f's arguments j, so `q = j + stride·(f(j) − y)` is one too, far
/// below the field's size; then the remainder makes q what acc says, and acc's interval keeps it closer to j than the stride: `f(j) = y`
/// and `j = q`.
///
/// # Errors
/// [`CircuitError::NotIntegral`], [`CircuitError::TooWide`] unless acc is proven to be an integer that cannot lead as far as the stride;
/// [`CircuitError::OutOfRange`] where f does not have q.
pub fn function<B: Builder>(b: &mut B, acc: &B::Int, f: &FunctionTable<'_>, shift: u32, w: u32) -> Result<B::Int, CircuitError> {
    super::requant::check_shift("function", shift, w)?;
    let FunctionTable { id, first, list, stride, farthest, values } = f;
    b.require_within("function", acc, reach(stride - farthest - 1, shift))?;
    if values.hi - values.lo >= 1 << w {
        let reason = format!("values in {values} spread further than the range table's {w} bits");
        return Err(CircuitError::Unsupported { gadget: "function".into(), reason });
    }
    let q = if shift == 0 { acc.clone() } else { b.hint([acc], |[acc]| Ok(requant(acc, shift)))? };
    let y = b.hint([&q], |[q]| {
        let position = q.checked_sub(*first).and_then(|position| usize::try_from(position).ok());
        position.and_then(|position| list.get(position)).copied().ok_or_else(|| CircuitError::OutOfRange {
            at: "function".into(),
            value: q,
            allowed: Interval { lo: *first, hi: first + list.len() as i64 - 1 }.to_string(),
        })
    })?;
    let above = b.combine(&[(1, &y)], -values.lo)?;
    b.lookup(w, &above)?;
    let position = b.combine(&[(1, &q)], -first)?;
    let packed = b.combine(&[(1, &q), (*stride, &y)], 0)?;
    b.lookup_entry(*id, &position, &packed)?;
    if shift != 0 {
        remainder(b, acc, &q, w)?;
    }
    Ok(b.anchored(&y, *values))
}
