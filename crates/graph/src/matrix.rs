//! Matrix products by loops that vectorise, every sum in the order of its terms.

use std::ops::Range;

/// Rows and columns of a tile, whose sums stay in registers.
const TILE: [usize; 2] = [4, 4];
/// Rows of a tile where the right factor is one column: enough sums to add to one while another waits.
const LINE: usize = 8;
/// Elements of the right factor that are held at a time, so that they stay in a cache.
const HELD: usize = 1 << 15;

/// What is multiplied and summed.
pub trait Number: Copy + Default {
    /// `self + x·y`, rounded twice where it is rounded.
    #[must_use]
    fn plus_product(self, x: Self, y: Self) -> Self;
}

impl Number for f64 {
    #[inline(always)]
    fn plus_product(self, x: f64, y: f64) -> f64 {
        self + x * y
    }
}

impl Number for i64 {
    #[inline(always)]
    fn plus_product(self, x: i64, y: i64) -> i64 {
        self.wrapping_add(x.wrapping_mul(y))
    }
}

/// An element of the left factor, written as another number than the sums have.
pub trait Weight<T>: Copy {
    /// The number that it is.
    fn number(self) -> T;
}

impl<T: Number> Weight<T> for T {
    #[inline(always)]
    fn number(self) -> T {
        self
    }
}

impl Weight<f64> for i64 {
    #[inline(always)]
    fn number(self) -> f64 {
        self as f64
    }
}

/// Some columns of the right factor.
#[derive(Debug)]
pub(crate) struct Columns<'a, T> {
    depth: usize,
    /// Logarithm of a panel's columns: panel by panel the columns lie row by row.
    shift: u32,
    first: usize,
    data: &'a mut [T],
}

impl<T> Columns<'_, T> {
    /// Sets the element in a row and a column; those that are not set are zero.
    #[inline(always)]
    pub(crate) fn set(&mut self, row: usize, column: usize, value: T) {
        let column = column - self.first;
        let within = column & ((1 << self.shift) - 1);
        self.data[(((column >> self.shift) * self.depth + row) << self.shift) + within] = value;
    }
}

/// The product of a matrix of `weights`, `depth` in each row, and one whose columns `fill` writes, some at a time. Every element goes to
/// `put`, by its row and its column; its terms were added one after the other to zero.
pub(crate) fn multiply<W: Weight<T>, T: Number>(
    weights: &[W],
    depth: usize,
    columns: usize,
    fill: impl FnMut(Range<usize>, &mut Columns<'_, T>),
    put: impl FnMut(usize, usize, T),
) {
    if columns == 1 {
        multiply_by::<W, T, LINE, 1>(weights, depth, columns, fill, put);
    } else {
        multiply_by::<W, T, { TILE[0] }, { TILE[1] }>(weights, depth, columns, fill, put);
    }
}

/// `[m, k] × [k, n]`, both row by row; see [`multiply`].
pub fn multiply_matrices<W: Weight<T>, T: Number>(left: &[W], right: &[T], n: usize, put: impl FnMut(usize, usize, T)) {
    let fill = |range: Range<usize>, columns: &mut Columns<'_, T>| {
        for (i, row) in right.chunks_exact(n).enumerate() {
            range.clone().for_each(|column| columns.set(i, column, row[column]));
        }
    };
    multiply(left, right.len() / n, n, fill, put);
}

fn multiply_by<W: Weight<T>, T: Number, const M: usize, const N: usize>(
    weights: &[W],
    depth: usize,
    columns: usize,
    mut fill: impl FnMut(Range<usize>, &mut Columns<'_, T>),
    mut put: impl FnMut(usize, usize, T),
) {
    let held = (HELD / depth / N).max(1) * N;
    let mut data = Vec::new();
    for first in (0..columns).step_by(held) {
        let last = columns.min(first + held);
        data.clear();
        data.resize((last - first).div_ceil(N) * N * depth, T::default());
        fill(first..last, &mut Columns { depth, shift: N.ilog2(), first, data: &mut data });
        let (panels, _) = data.as_chunks::<N>();
        for (block, rows) in weights.chunks(M * depth).enumerate() {
            for (index, panel) in panels.chunks_exact(depth).enumerate() {
                let columns = first + index * N..last.min(first + (index + 1) * N);
                let mut put_sums = |row: usize, sums: &[T; N]| columns.clone().for_each(|column| put(row, column, sums[column % N]));
                if rows.len() == M * depth {
                    let sums = tile(std::array::from_fn::<_, M, _>(|row| &rows[row * depth..][..depth]), panel);
                    sums.iter().enumerate().for_each(|(row, sums)| put_sums(block * M + row, sums));
                } else {
                    for (row, weights) in rows.chunks_exact(depth).enumerate() {
                        let [sums] = tile([weights], panel);
                        put_sums(block * M + row, &sums);
                    }
                }
            }
        }
    }
}

/// Sums of some rows and the columns of a panel. Loops over numbers, not iterators: those are not always inlined.
#[inline(always)]
#[expect(clippy::needless_range_loop)]
fn tile<W: Weight<T>, T: Number, const M: usize, const N: usize>(rows: [&[W]; M], panel: &[[T; N]]) -> [[T; N]; M] {
    let depth = panel.len();
    let mut sums = [[T::default(); N]; M];
    let mut rows = rows;
    for row in 0..M {
        rows[row] = &rows[row][..depth];
    }
    for i in 0..depth {
        for row in 0..M {
            let left = rows[row][i].number();
            for column in 0..N {
                sums[row][column] = sums[row][column].plus_product(left, panel[i][column]);
            }
        }
    }
    sums
}

/// Whether sums of `depth` products of some integers are exact in `f64`, whatever their order.
pub(crate) fn exact_as_floats(left: &[i64], right: &[i64], depth: usize) -> bool {
    // A number of so many bits is at most 2 to their count, in magnitude.
    let bits = |list: &[i64]| u64::BITS - list.iter().fold(0, |all, &x| all | (x ^ (x >> 63)) as u64).leading_zeros();
    bits(left) + bits(right) + usize::BITS - depth.leading_zeros() <= f64::MANTISSA_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size of the last tile, and more columns than are held at once.
    #[test]
    fn products_are_sums_in_order() {
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f64 / 1009.0 - 0.3;
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 1), (8, 3, 1), (9, 4, 1), (4, 6, 2), (5, 2, 4), (7, 3, 9), (6, 9000, 11)] {
            let left: Vec<f64> = (0..rows * depth).map(number).collect();
            let right = |i: usize, column: usize| number(i * columns + column + 5);
            let mut product = vec![f64::NAN; rows * columns];
            let fill = |range: Range<usize>, into: &mut Columns<'_, f64>| {
                range.for_each(|column| (0..depth).for_each(|i| into.set(i, column, right(i, column))));
            };
            multiply(&left, depth, columns, fill, |row, column, sum| product[row * columns + column] = sum);
            for (e, sum) in product.iter().enumerate() {
                let (row, column) = (e / columns, e % columns);
                let expected = (0..depth).fold(0.0, |sum, i| sum + left[row * depth + i] * right(i, column));
                assert_eq!(sum.to_bits(), expected.to_bits(), "{rows}×{depth}×{columns} at {row}, {column}");
            }
        }
    }

    #[test]
    fn floats_are_used_where_they_are_exact() {
        assert!(exact_as_floats(&[-(1 << 20), 5], &[1 << 19, -1], 4096));
        assert!(!exact_as_floats(&[1 << 20], &[1 << 20], 4096));
        assert!(!exact_as_floats(&[i64::MIN], &[0], 1) && exact_as_floats(&[0], &[0], 1));
    }
}
