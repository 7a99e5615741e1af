//! Integer intervals that constraints enforce.
//!
//! A type of their own, so that no interval that an analysis of a graph gives passes for one that constraints enforce.

use crate::CircuitError;

/// `lo ≤ value ≤ hi`, both enforced by constraints. Bounds stay below [`Interval::LIMIT`], far below the field's size, so that
/// equality in the field is equality of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Least value.
    pub lo: i64,
    /// Greatest value.
    pub hi: i64,
}

impl Interval {
    /// Above every magnitude.
    pub const LIMIT: i128 = 1 << 62;

    /// `[0, 2^bits)`.
    pub fn unsigned(bits: u32) -> Self {
        Self { lo: 0, hi: (1i64 << bits) - 1 }
    }

    /// The single value `value`.
    pub fn point(value: i64) -> Self {
        Self { lo: value, hi: value }
    }

    fn checked(lo: i128, hi: i128) -> Result<Self, CircuitError> {
        if lo <= -Self::LIMIT || hi >= Self::LIMIT {
            return Err(CircuitError::Overflow);
        }
        Ok(Self { lo: lo as i64, hi: hi as i64 })
    }

    /// Interval of `factor · x`.
    pub fn scale(self, factor: i64) -> Result<Self, CircuitError> {
        let (a, b) = (i128::from(self.lo) * i128::from(factor), i128::from(self.hi) * i128::from(factor));
        Self::checked(a.min(b), a.max(b))
    }

    /// Interval of `x · y`.
    pub fn times(self, other: Self) -> Result<Self, CircuitError> {
        let ends = [(self.lo, other.lo), (self.lo, other.hi), (self.hi, other.lo), (self.hi, other.hi)];
        let ends = ends.map(|(x, y)| i128::from(x) * i128::from(y));
        Self::checked(ends.into_iter().fold(ends[0], i128::min), ends.into_iter().fold(ends[0], i128::max))
    }

    /// Interval of `x + y`.
    pub fn plus(self, other: Self) -> Result<Self, CircuitError> {
        Self::checked(i128::from(self.lo) + i128::from(other.lo), i128::from(self.hi) + i128::from(other.hi))
    }

    /// Smallest interval that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }

    /// Whether every value of `self` is in `outer`.
    pub fn within(self, outer: Self) -> bool {
        outer.lo <= self.lo && self.hi <= outer.hi
    }

    /// Whether the value is inside.
    pub fn contains(self, value: i64) -> bool {
        self.lo <= value && value <= self.hi
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}]", self.lo, self.hi)
    }
}
