//! Eight additions side by side with AVX-512 IFMA, whose multiplications take 52 bits of each of eight lanes.
//!
//! A number has five limbs of 52 bits, in which Montgomery's multiplication gives a·b/2^260 (Gueron and Krasnov, ARITH 2016), while
//! arkworks keeps x as x·2^256. So a product of two such numbers is 16 times too small. Where it counts, one of them is moved up by four
//! bits. In the inversion of many numbers the factors cancel out: with P_k = P_(k−1)·d_k/16, the inverse of d_k is P_(k−1)/(16·P_k).
//!
//! Numbers are reduced, below q, unless a comment says "below 2q": such a number may be multiplied, not compared or stored.
//!
//! `N` is 1 for coordinates in Fq and 2 for those in Fq2 = Fq[u]/(u² + 1).

// The only unsafe code is what the compiler cannot see: that the processor has the instructions, and the width of loads and stores.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, __m512i, __mmask8, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_add_epi64, _mm512_and_si512, _mm512_castsi256_si512,
    _mm512_castsi512_si256, _mm512_cmplt_epi64_mask, _mm512_extracti64x4_epi64, _mm512_inserti64x4, _mm512_loadu_si512,
    _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_blend_epi64, _mm512_or_si512, _mm512_permutex2var_epi64, _mm512_set_epi64,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srai_epi64, _mm512_srli_epi64, _mm512_storeu_si512,
    _mm512_sub_epi64, _mm512_testn_epi64_mask, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};
use std::array::from_fn;

use ark_bn254::{Fq, Fq2, FqConfig};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ff::{AdditiveGroup, BigInt, Field, MontConfig, One, PrimeField};
use zeroize::Zeroize;

/// Additions side by side.
pub(crate) const LANES: usize = 8;
/// Products of divisors that grow side by side, and groups of eight additions that go on side by side: a multiplication's instructions wait
/// for each other, and another's run meanwhile.
const CHAINS: usize = 2;
const BLOCK: usize = 4;
const _: () = assert!(BLOCK.is_multiple_of(CHAINS), "a group's chain is that of its place in its block");
/// Limbs of a number.
const LIMBS: usize = 5;
const BITS: u32 = 52;
const MASK: u64 = (1 << BITS) - 1;

/// Limbs of 52 bits.
const fn limbs(words: [u64; 4]) -> [u64; LIMBS] {
    let [a, b, c, d] = words;
    [a & MASK, (a >> 52 | b << 12) & MASK, (b >> 40 | c << 24) & MASK, (c >> 28 | d << 36) & MASK, d >> 16]
}

const fn twice(limbs: [u64; LIMBS]) -> [u64; LIMBS] {
    let [a, b, c, d, e] = limbs;
    [a << 1 & MASK, (b << 1 | a >> 51) & MASK, (c << 1 | b >> 51) & MASK, (d << 1 | c >> 51) & MASK, e << 1 | d >> 51]
}

const Q: [u64; LIMBS] = limbs(Fq::MODULUS.0);
const TWO_Q: [u64; LIMBS] = twice(Q);
/// −1/q modulo 2^52.
const INVERSE: u64 = <FqConfig as MontConfig<4>>::INV & MASK;

/// Whether the processor has the instructions.
pub(crate) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
}

/// A number in each lane, by limbs.
type Lanes = [__m512i; LIMBS];

/// What is kept of eight additions until the inverse is known: the product of the divisors before them, and their divisors.
#[repr(align(64))]
#[derive(Clone, Debug, Zeroize)]
pub struct Kept([[u64; LANES]; 2 * LIMBS]);

impl Kept {
    pub(crate) const EMPTY: Self = Self([[0; LANES]; 2 * LIMBS]);
}

/// A point with coordinates of `N` elements of Fq.
pub(crate) trait Point<const N: usize>: Copy {
    /// The words of x and y.
    fn words(&self) -> [[&[u64; 4]; N]; 2];
    fn words_mut(&mut self) -> [[&mut [u64; 4]; N]; 2];
    fn is_infinite(&self) -> bool;
    const INFINITY: Self;
}

impl<C: SWCurveConfig<BaseField = Fq>> Point<1> for Affine<C> {
    fn words(&self) -> [[&[u64; 4]; 1]; 2] {
        [[&self.x.0.0], [&self.y.0.0]]
    }

    fn words_mut(&mut self) -> [[&mut [u64; 4]; 1]; 2] {
        [[&mut self.x.0.0], [&mut self.y.0.0]]
    }

    fn is_infinite(&self) -> bool {
        self.is_zero()
    }

    const INFINITY: Self = Self::identity();
}

impl<C: SWCurveConfig<BaseField = Fq2>> Point<2> for Affine<C> {
    fn words(&self) -> [[&[u64; 4]; 2]; 2] {
        [[&self.x.c0.0.0, &self.x.c1.0.0], [&self.y.c0.0.0, &self.y.c1.0.0]]
    }

    fn words_mut(&mut self) -> [[&mut [u64; 4]; 2]; 2] {
        [[&mut self.x.c0.0.0, &mut self.x.c1.0.0], [&mut self.y.c0.0.0, &mut self.y.c1.0.0]]
    }

    fn is_infinite(&self) -> bool {
        self.is_zero()
    }

    const INFINITY: Self = Self::identity();
}

/// One row of four words for each lane to four vectors of a word each.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn columns(rows: [&[u64; 4]; LANES]) -> [__m512i; 4] {
    let pair = |lane: usize| {
        // SAFETY: each row has 32 bytes, and the loads need no alignment.
        let (low, high): (__m256i, __m256i) =
            unsafe { (_mm256_loadu_si256(rows[lane].as_ptr().cast()), _mm256_loadu_si256(rows[lane + 4].as_ptr().cast())) };
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    };
    let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
    let (low, high) = halves();
    let (even, odd) =
        ([_mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d)], [_mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d)]);
    let [first, third] = [low, high].map(|half| _mm512_permutex2var_epi64(even[0], half, even[1]));
    let [second, fourth] = [low, high].map(|half| _mm512_permutex2var_epi64(odd[0], half, odd[1]));
    [first, second, third, fourth]
}

/// The other way round.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn rows(columns: [__m512i; 4]) -> [[u64; 4]; LANES] {
    let [a, b, c, d] = columns;
    let (low, high) = halves();
    let (even, odd) =
        ([_mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d)], [_mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d)]);
    let [first, third] = [low, high].map(|half| _mm512_permutex2var_epi64(even[0], half, even[1]));
    let [second, fourth] = [low, high].map(|half| _mm512_permutex2var_epi64(odd[0], half, odd[1]));
    let mut rows = [[0; 4]; LANES];
    for (lane, pair) in [first, second, third, fourth].into_iter().enumerate() {
        // SAFETY: each row has 32 bytes, and the stores need no alignment.
        unsafe {
            _mm256_storeu_si256(rows[lane].as_mut_ptr().cast(), _mm512_castsi512_si256(pair));
            _mm256_storeu_si256(rows[lane + 4].as_mut_ptr().cast(), _mm512_extracti64x4_epi64::<1>(pair));
        }
    }
    rows
}

/// The first and the second pair of words of each half of two vectors.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn halves() -> (__m512i, __m512i) {
    (_mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2))
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn split(words: [__m512i; 4]) -> Lanes {
    let [a, b, c, d] = words;
    let mask = _mm512_set1_epi64(MASK as i64);
    [
        _mm512_and_si512(a, mask),
        _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<52>(a), _mm512_slli_epi64::<12>(b)), mask),
        _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<40>(b), _mm512_slli_epi64::<24>(c)), mask),
        _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64::<28>(c), _mm512_slli_epi64::<36>(d)), mask),
        _mm512_srli_epi64::<16>(d),
    ]
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn join(lanes: Lanes) -> [__m512i; 4] {
    let [a, b, c, d, e] = lanes;
    [
        _mm512_or_si512(a, _mm512_slli_epi64::<52>(b)),
        _mm512_or_si512(_mm512_srli_epi64::<12>(b), _mm512_slli_epi64::<40>(c)),
        _mm512_or_si512(_mm512_srli_epi64::<24>(c), _mm512_slli_epi64::<28>(d)),
        _mm512_or_si512(_mm512_srli_epi64::<36>(d), _mm512_slli_epi64::<16>(e)),
    ]
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn all(number: [u64; LIMBS]) -> Lanes {
    number.map(|limb| _mm512_set1_epi64(limb as i64))
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn keep(kept: &mut [[u64; LANES]], lanes: Lanes) {
    for (to, limb) in kept.iter_mut().zip(lanes) {
        // SAFETY: each row has 64 bytes, and the stores need no alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), limb) };
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn kept(kept: &[[u64; LANES]]) -> Lanes {
    // SAFETY: each row has 64 bytes, and the loads need no alignment.
    from_fn(|limb| unsafe { _mm512_loadu_si512(kept[limb].as_ptr().cast()) })
}

/// Limbs of 52 bits of limbs that are sums or differences of such; the number is not negative, or only its top limb is.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn carried(mut lanes: Lanes) -> Lanes {
    let mask = _mm512_set1_epi64(MASK as i64);
    for limb in 0..LIMBS - 1 {
        lanes[limb + 1] = _mm512_add_epi64(lanes[limb + 1], _mm512_srai_epi64::<BITS>(lanes[limb]));
        lanes[limb] = _mm512_and_si512(lanes[limb], mask);
    }
    lanes
}

/// a·b/2^260 modulo q, of numbers below 2^260. At most a·b/2^260 + q, where 2^260 is more than 84 q: below 2q for a·b below 84 q².
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn product(a: &Lanes, b: &Lanes) -> Lanes {
    let (q, inverse, zero) = (all(Q), _mm512_set1_epi64(INVERSE as i64), _mm512_setzero_si512());
    let mut sum = [zero; LIMBS + 1];
    for limb in a {
        for k in 0..LIMBS {
            sum[k] = _mm512_madd52lo_epu64(sum[k], *limb, b[k]);
        }
        let times = _mm512_madd52lo_epu64(zero, sum[0], inverse);
        for k in 0..LIMBS {
            sum[k] = _mm512_madd52lo_epu64(sum[k], times, q[k]);
        }
        // Its low 52 bits are zero now.
        let carry = _mm512_srli_epi64::<BITS>(sum[0]);
        for k in 0..LIMBS {
            sum[k] = _mm512_madd52hi_epu64(sum[k + 1], *limb, b[k]);
            sum[k] = _mm512_madd52hi_epu64(sum[k], times, q[k]);
        }
        sum[0] = _mm512_add_epi64(sum[0], carry);
        sum[LIMBS] = zero;
    }
    let [a, b, c, d, e, _] = sum;
    carried([a, b, c, d, e])
}

/// Sixteen times as much.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn sixteen(a: &Lanes) -> Lanes {
    let mask = _mm512_set1_epi64(MASK as i64);
    let below = |limb: usize| _mm512_srli_epi64::<48>(a[limb]);
    from_fn(|limb| {
        let moved = _mm512_and_si512(_mm512_slli_epi64::<4>(a[limb]), mask);
        if limb == 0 { moved } else { _mm512_or_si512(moved, below(limb - 1)) }
    })
}

/// Less `by` where it is not below it.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn less(a: Lanes, by: [u64; LIMBS]) -> Lanes {
    let by = all(by);
    let difference = carried(from_fn(|limb| _mm512_sub_epi64(a[limb], by[limb])));
    let below = _mm512_cmplt_epi64_mask(difference[LIMBS - 1], _mm512_setzero_si512());
    from_fn(|limb| _mm512_mask_blend_epi64(below, difference[limb], a[limb]))
}

/// a + b, not carried.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn plus(a: &Lanes, b: &Lanes) -> Lanes {
    from_fn(|limb| _mm512_add_epi64(a[limb], b[limb]))
}

/// a − b, not carried.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn minus(a: &Lanes, b: &Lanes) -> Lanes {
    from_fn(|limb| _mm512_sub_epi64(a[limb], b[limb]))
}

/// a − b, below 2q.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn difference<const N: usize>(a: &[Lanes; N], b: &[Lanes; N]) -> [Lanes; N] {
    from_fn(|k| carried(plus(&minus(&a[k], &b[k]), &all(Q))))
}

/// The product, of one that is below 1.05q and one below 2q.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn times<const N: usize>(a: &[Lanes; N], b: &[Lanes; N]) -> [Lanes; N] {
    // 16.8q · 2q is below 84 q², so these products are below 2q.
    let moved: [Lanes; N] = from_fn(|k| sixteen(&a[k]));
    let low = product(&moved[0], &b[0]);
    if N == 1 {
        return [less(low, Q); N];
    }
    let high = product(&moved[1], &b[1]);
    let mixed = product(&carried(plus(&moved[0], &moved[1])), &carried(plus(&b[0], &b[1])));
    // A product is at least a·b/2^260 and less than q above it, and (a0 + a1)·(b0 + b1) exceeds a0·b0 + a1·b1 by a0·b1 + a1·b0, of which the
    // sixteenfold is below 84 q²: so mixed − low − high is above −2q and below 2q, as low − high is.
    let real = carried(plus(&minus(&low, &high), &all(TWO_Q)));
    let imaginary = carried(plus(&minus(&mixed, &plus(&low, &high)), &all(TWO_Q)));
    from_fn(|k| reduced(if k == 0 { real } else { imaginary }))
}

/// The square of a reduced one.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn square<const N: usize>(a: &[Lanes; N]) -> [Lanes; N] {
    if N == 1 {
        return times(a, a);
    }
    let (low, high) = (&a[0], &a[1]);
    // 32q · 2q is below 84 q².
    let real = product(&sixteen(&carried(plus(low, high))), &carried(plus(&minus(low, high), &all(Q))));
    let imaginary = product(&sixteen(low), high);
    from_fn(|k| if k == 0 { less(real, Q) } else { reduced(carried(plus(&imaginary, &imaginary))) })
}

/// From below 4q.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn reduced(a: Lanes) -> Lanes {
    less(less(a, TWO_Q), Q)
}

/// What is inverted to divide by a number below 2q: the number, or its norm in Fq over sixteen. Below 3q.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn divisor<const N: usize>(a: &[Lanes; N]) -> Lanes {
    if N == 1 { a[0] } else { carried(plus(&product(&a[0], &a[0]), &product(&a[1], &a[1]))) }
}

/// The inverse of a number below 2q, from that of its [`divisor`], a product of numbers below 2q. Below 1.05q, as such products are.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn inverse<const N: usize>(a: &[Lanes; N], of_divisor: &Lanes) -> [Lanes; N] {
    if N == 1 {
        return [*of_divisor; N];
    }
    let opposite = carried(minus(&all(TWO_Q), &a[1]));
    from_fn(|k| product(if k == 0 { &a[0] } else { &opposite }, of_divisor))
}

/// Eight pairs of points, or fewer: the last one stands in the lanes that are left.
#[derive(Clone, Copy)]
struct Pairs<const N: usize> {
    /// x and y of each.
    left: [[Lanes; N]; 2],
    right: [[Lanes; N]; 2],
    /// Pairs of which no line through both gives the sum: one is infinite, or they are opposite.
    special: __mmask8,
    /// Pairs of one point.
    same: __mmask8,
}

impl<const N: usize> Pairs<N> {
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn none() -> Self {
        let zeros = [[[_mm512_setzero_si512(); LIMBS]; N]; 2];
        Self { left: zeros, right: zeros, special: 0, same: 0 }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn read<P: Point<N>>(left: &[P], right: &[P]) -> Self {
        let last = left.len().min(right.len()).min(LANES) - 1;
        let (left, right): ([&P; LANES], [&P; LANES]) = (from_fn(|lane| &left[lane.min(last)]), from_fn(|lane| &right[lane.min(last)]));
        let mut infinite = 0;
        for lane in 0..LANES {
            infinite |= u8::from(left[lane].is_infinite() || right[lane].is_infinite()) << lane;
        }
        let ([x, y], [other_x, other_y]) = (words(&left), words(&right));
        let no_line = equal(&x, &other_x) & !infinite;
        let (mut special, mut same) = (infinite, 0);
        if no_line != 0 {
            let none = [[_mm512_setzero_si512(); 4]; N];
            same = no_line & equal(&y, &other_y) & !equal(&y, &none);
            special |= no_line & !same;
        }
        let mut pairs = Self { special, same, ..Self::none() };
        for k in 0..N {
            pairs.left[0][k] = split(x[k]);
            pairs.left[1][k] = split(y[k]);
            pairs.right[0][k] = split(other_x[k]);
            pairs.right[1][k] = split(other_y[k]);
        }
        pairs
    }

    /// What the slope is over, below 2q: 1 where it has no meaning.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn run(&self) -> [Lanes; N] {
        let mut run = difference(&self.right[0], &self.left[0]);
        if self.same != 0 {
            let mut twice = self.left[1];
            for number in &mut twice {
                *number = carried(plus(number, number));
            }
            run = chosen(self.same, &run, &twice);
        }
        if self.special != 0 {
            let mut one = [[_mm512_setzero_si512(); LIMBS]; N];
            one[0][0] = _mm512_set1_epi64(1);
            run = chosen(self.special, &run, &one);
        }
        run
    }

    /// The slope of the line through both, from its divisor's inverse.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn slope(&self, of_divisor: &Lanes) -> [Lanes; N] {
        let mut rise = difference(&self.right[1], &self.left[1]);
        if self.same != 0 {
            let mut tangent = square(&self.left[0]);
            for number in &mut tangent {
                *number = less(carried(plus(number, &plus(number, number))), Q);
            }
            rise = chosen(self.same, &rise, &tangent);
        }
        times(&inverse(&self.run(), of_divisor), &rise)
    }

    /// The sums' x.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn third(&self, slope: &[Lanes; N]) -> [Lanes; N] {
        let mut third = square(slope);
        for (k, number) in third.iter_mut().enumerate() {
            let sum = plus(&self.left[0][k], &self.right[0][k]);
            *number = reduced(carried(plus(&minus(number, &sum), &all(TWO_Q))));
        }
        third
    }

    /// The sums' y.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn mirrored(&self, slope: &[Lanes; N], third: &[Lanes; N]) -> [Lanes; N] {
        let fall = times(slope, &difference(&self.left[0], third));
        let mut mirrored = difference(&fall, &self.left[1]);
        for number in &mut mirrored {
            *number = less(*number, Q);
        }
        mirrored
    }
}

/// The words of x and y.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn words<P: Point<N>, const N: usize>(points: &[&P; LANES]) -> [[[__m512i; 4]; N]; 2] {
    let mut words = [[[_mm512_setzero_si512(); 4]; N]; 2];
    for (coordinate, words) in words.iter_mut().enumerate() {
        for (k, words) in words.iter_mut().enumerate() {
            let mut of_lanes = [points[0].words()[coordinate][k]; LANES];
            for (row, point) in of_lanes.iter_mut().zip(points) {
                *row = point.words()[coordinate][k];
            }
            *words = columns(of_lanes);
        }
    }
    words
}

/// Where all words are equal.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn equal<const N: usize>(a: &[[__m512i; 4]; N], b: &[[__m512i; 4]; N]) -> __mmask8 {
    let mut different = _mm512_setzero_si512();
    for k in 0..N {
        for word in 0..4 {
            different = _mm512_or_si512(different, _mm512_xor_si512(a[k][word], b[k][word]));
        }
    }
    _mm512_testn_epi64_mask(different, different)
}

/// `b` in the lanes of the mask.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn chosen<const N: usize>(mask: __mmask8, a: &[Lanes; N], b: &[Lanes; N]) -> [Lanes; N] {
    from_fn(|k| from_fn(|limb| _mm512_mask_blend_epi64(mask, a[k][limb], b[k][limb])))
}

/// One over each number, which is below 2q and not zero.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn inverses(products: &[Lanes; CHAINS]) -> [Lanes; CHAINS] {
    let numbers = products.map(|lanes| rows(join(less(lanes, Q))).map(|words| Fq::new_unchecked(BigInt(words))));
    let mut before = [[Fq::one(); LANES]; CHAINS];
    let mut product = Fq::one();
    for (before, number) in before.as_flattened_mut().iter_mut().zip(numbers.as_flattened()) {
        *before = product;
        product *= number;
    }
    let mut inverse = product.inverse().unwrap_or(Fq::ZERO);
    let mut inverses = [[[0; 4]; LANES]; CHAINS];
    for ((to, before), number) in inverses.as_flattened_mut().iter_mut().zip(before.as_flattened()).zip(numbers.as_flattened()).rev() {
        *to = (inverse * before).0.0;
        inverse *= number;
    }
    inverses.map(|inverses| split(columns(inverses.each_ref())))
}

/// Adds to each point the other one at its place: both lists of one length, with one of `rows` for each eight points.
pub(crate) fn add<P: Point<N>, const N: usize>(rows: &mut [Kept], left: &mut [P], right: &[P]) {
    assert!(is_supported(), "AVX-512 IFMA");
    assert!(left.len() == right.len() && rows.len() == left.len().div_ceil(LANES), "a row for each eight pairs");
    // SAFETY: the processor has the instructions.
    unsafe { add_all(rows, left, right) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn add_all<P: Point<N>, const N: usize>(rows: &mut [Kept], left: &mut [P], right: &[P]) {
    let mut products = [split(columns([&Fq::one().0.0; LANES])); CHAINS];
    for (group, ((left, right), Kept(row))) in left.chunks(LANES).zip(right.chunks(LANES)).zip(rows.iter_mut()).enumerate() {
        let divisor = divisor(&Pairs::read(left, right).run());
        let product_of = &mut products[group % CHAINS];
        keep(&mut row[..LIMBS], *product_of);
        keep(&mut row[LIMBS..], divisor);
        *product_of = product(product_of, &divisor);
    }
    let mut inverses = inverses(&products);
    let blocks = left.chunks_mut(BLOCK * LANES).zip(right.chunks(BLOCK * LANES)).zip(rows.chunks(BLOCK));
    blocks.rev().for_each(|((left, right), rows)| finish(&mut inverses, rows, left, right));
}

/// The second half of the additions of a block: `inverses` are those of the products up to its last ones, and then up to those before it.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn finish<P: Point<N>, const N: usize>(inverses: &mut [Lanes; CHAINS], rows_of: &[Kept], left: &mut [P], right: &[P]) {
    let zeros = [_mm512_setzero_si512(); LIMBS];
    let mut of_divisors = [zeros; BLOCK];
    for (group, Kept(row)) in rows_of.iter().enumerate().rev() {
        let inverse = &mut inverses[group % CHAINS];
        of_divisors[group] = product(inverse, &kept(&row[..LIMBS]));
        *inverse = product(inverse, &kept(&row[LIMBS..]));
    }
    let (mut pairs, mut slopes, mut thirds) = ([Pairs::none(); BLOCK], [[zeros; N]; BLOCK], [[zeros; N]; BLOCK]);
    for (group, (left, right)) in left.chunks(LANES).zip(right.chunks(LANES)).enumerate() {
        pairs[group] = Pairs::read(left, right);
        slopes[group] = pairs[group].slope(&of_divisors[group]);
    }
    for group in 0..rows_of.len() {
        thirds[group] = pairs[group].third(&slopes[group]);
    }
    for (group, (left, right)) in left.chunks_mut(LANES).zip(right.chunks(LANES)).enumerate() {
        let (pairs, third) = (&pairs[group], &thirds[group]);
        let sums = [*third, pairs.mirrored(&slopes[group], third)].map(|coordinate| coordinate.map(|number| rows(join(number))));
        for (lane, (left, right)) in left.iter_mut().zip(right).enumerate() {
            if pairs.special >> lane & 1 == 0 {
                for (to, from) in left.words_mut().into_iter().zip(&sums) {
                    to.into_iter().zip(from).for_each(|(to, from)| *to = from[lane]);
                }
            } else if left.is_infinite() {
                *left = *right;
            } else if !right.is_infinite() {
                *left = P::INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::{BigInteger, UniformRand};
    use ark_std::rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// Elements whose words are at an end: of the field, of a limb of either size, of a carry.
    fn elements() -> Vec<Fq> {
        let words = |words: [u64; 4]| Fq::new_unchecked(BigInt(words));
        let mut top = Fq::MODULUS;
        top.sub_with_borrow(&BigInt::from(1u64));
        let mut elements = vec![Fq::ZERO, Fq::one(), -Fq::one(), words(top.0), words([1, 0, 0, 0]), words([u64::MAX, 0, 0, 0])];
        for bit in (0..253).step_by(13).chain([51, 52, 53, 103, 104, 155, 156, 207, 208, 253]) {
            let mut power = BigInt::<4>::from(1u64);
            power <<= bit;
            let mut below = power;
            below.sub_with_borrow(&BigInt::from(1u64));
            elements.extend([words(power.0), words(below.0), -words(power.0), -words(below.0)]);
        }
        let mut rng = StdRng::seed_from_u64(3);
        elements.extend((0..40).map(|_| Fq::rand(&mut rng)));
        elements
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn lanes(elements: &[Fq; LANES]) -> Lanes {
        split(columns(elements.each_ref().map(|element| &element.0.0)))
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn elements_of(lanes: Lanes) -> [Fq; LANES] {
        rows(join(lanes)).map(|words| {
            assert!(BigInt(words) < Fq::MODULUS, "reduced");
            Fq::new_unchecked(BigInt(words))
        })
    }

    /// Every pair of elements, in every lane; each with another one in Fq2.
    #[test]
    fn arithmetic_is_that_of_arkworks() {
        if !is_supported() {
            return;
        }
        // SAFETY: the processor has the instructions.
        unsafe { check_arithmetic() }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn check_arithmetic() {
        let elements = elements();
        let pick = |at: usize| -> [Fq; LANES] { from_fn(|lane| elements[(at + lane) % elements.len()]) };
        for (at, step) in (0..elements.len()).flat_map(|at| (0..elements.len()).map(move |step| (at, step))) {
            let [a0, a1, b0, b1] = [pick(at), pick(at + 2 * step + 5), pick(at + step), pick(at + 3 * step + 1)];
            let [x0, x1, y0, y1] = [lanes(&a0), lanes(&a1), lanes(&b0), lanes(&b1)];
            assert_eq!(elements_of(x0), a0);
            assert_eq!(elements_of(times(&[x0], &[y0])[0]), from_fn::<_, LANES, _>(|k| a0[k] * b0[k]));
            assert_eq!(elements_of(square(&[x0])[0]), a0.map(|a| a.square()));
            assert_eq!(elements_of(less(difference(&[x0], &[y0])[0], Q)), from_fn::<_, LANES, _>(|k| a0[k] - b0[k]));
            let (a, b): ([Fq2; LANES], [Fq2; LANES]) = (from_fn(|k| Fq2::new(a0[k], a1[k])), from_fn(|k| Fq2::new(b0[k], b1[k])));
            let of = |lanes: [Lanes; 2]| {
                let [real, imaginary] = lanes.map(|lanes| elements_of(lanes));
                from_fn::<_, LANES, _>(|k| Fq2::new(real[k], imaginary[k]))
            };
            let (x, y) = ([x0, x1], [y0, y1]);
            assert_eq!(of(times(&x, &y)), from_fn(|k| a[k] * b[k]));
            assert_eq!(of(square(&x)), a.map(|a| a.square()));
            // The greatest that a factor may be: q more.
            let above = difference(&x, &y);
            assert_eq!(of(times(&y, &above)), from_fn(|k| b[k] * (a[k] - b[k])));
            check_division::<1>(&[above[0]], from_fn(|k| Fq2::new(a0[k] - b0[k], Fq::ZERO)));
            check_division::<2>(&above, from_fn(|k| a[k] - b[k]));
        }
    }

    /// The inverse times the number is one, and nothing where there is none.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn check_division<const N: usize>(numbers: &[Lanes; N], expected: [Fq2; LANES]) {
        if expected.contains(&Fq2::ZERO) {
            return;
        }
        let divisor = divisor(numbers);
        let one = split(columns([&Fq::one().0.0; LANES]));
        // One divisor of each chain, as in a sum of two groups.
        for of_product in inverses(&[product(&one, &divisor); CHAINS]) {
            let [real, imaginary] = from_fn(|k| match inverse(numbers, &product(&of_product, &one)).get(k) {
                Some(part) => elements_of(less(*part, Q)),
                None => [Fq::ZERO; LANES],
            });
            assert_eq!(from_fn::<_, LANES, _>(|k| Fq2::new(real[k], imaginary[k]) * expected[k]), [Fq2::one(); LANES]);
        }
    }
}
