//! Digits of exactly p bits, and words of several digits.
//!
//! Packing is injective only because each digit is an *integer in exactly `[0, 2^p)`*, p being the packing pitch
//! (rule B2). A lookup in a wider table would admit `(5 + 256, 6)` for `(5, 7)`, a scaled one alone `(5 + 16, 7 − 1/16)`.

use ark_bn254::Fr;
use ark_ff::{One, PrimeField, Zero};
use zkslice_formats::{digits_per_word, words_of};

use crate::{Builder, CircuitError, Interval};

/// Widest digit: an integer of it and its offset stay within what expressions may reach.
pub const MAX_DIGIT_BITS: u32 = 48;

/// Which widths have a table of their own, besides the model's table.
///
/// A digit narrower than the model's table takes one lookup in a table of its own width (2^p rows) or two in the
/// model's; whichever is fewer rows over all digits of the slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigitTables {
    own: Vec<u32>,
}

impl DigitTables {
    /// Chooses for digits given as `(count, bits)`, the model's table having `w` bits.
    pub fn choose(digits: &[(usize, u32)], w: u32) -> Self {
        let mut own: Vec<u32> = Vec::new();
        for (_, bits) in digits {
            let narrow = bits % w;
            if narrow == 0 || own.contains(&narrow) {
                continue;
            }
            let count: usize = digits.iter().filter(|(_, b)| b % w == narrow).map(|(count, _)| count).sum();
            if count > 1 << narrow {
                own.push(narrow);
            }
        }
        Self { own }
    }

    /// Widths of all tables that a slice uses: those of its digits, and the model's where an operator looks something up.
    pub fn widths(&self, digits: impl Iterator<Item = u32>, w: u32, operators: bool) -> Vec<u32> {
        let mut widths = self.own.clone();
        if operators || digits.into_iter().any(|bits| bits >= w || !self.own.contains(&bits)) {
            widths.push(w);
        }
        widths
    }

    /// Rows that one digit takes.
    pub fn rows(&self, bits: u32, w: u32) -> usize {
        let whole = (bits / w) as usize;
        match bits % w {
            0 => whole,
            narrow if self.own.contains(&narrow) => whole + 1,
            _ => whole + 2,
        }
    }
}

/// Proves that a fresh or given wire is an integer in exactly `[0, 2^bits)`, for `bits ≤ w`.
///
/// Rows: one lookup if a table of that width exists; else two, `d` (an integer below 2^w) and then `d·2^(w−bits)`.
fn limb<B: Builder>(b: &mut B, limb: &B::Int, bits: u32, tables: &DigitTables, w: u32) -> Result<B::Int, CircuitError> {
    if bits == w || tables.own.contains(&bits) {
        b.lookup(bits, limb)?;
        return Ok(b.anchored(limb, Interval::unsigned(bits)));
    }
    b.lookup(w, limb)?;
    let integral = b.anchored(limb, Interval::unsigned(w));
    b.require_integral("scaled lookup", &integral)?;
    let scaled = b.combine(&[(1 << (w - bits), &integral)], 0)?;
    b.lookup(w, &scaled)?;
    Ok(b.anchored(limb, Interval::unsigned(bits)))
}

/// A digit given from outside, proven to be an integer in exactly `[0, 2^bits)`: `bits/w` limbs of w bits and one of the rest.
///
/// # Errors
/// [`CircuitError::OutOfRange`] for a value that is not such a digit; [`CircuitError::Unsupported`] for 0 or more than
/// [`MAX_DIGIT_BITS`] bits.
pub fn digit<B: Builder>(b: &mut B, value: Option<i64>, bits: u32, tables: &DigitTables, w: u32) -> Result<B::Int, CircuitError> {
    if !(1..=MAX_DIGIT_BITS).contains(&bits) {
        let reason = format!("{bits} bits; 1 to {MAX_DIGIT_BITS} are supported");
        return Err(CircuitError::Unsupported { gadget: "digit".into(), reason });
    }
    if let Some(value) = value.filter(|v| !Interval::unsigned(bits).contains(*v)) {
        return Err(CircuitError::OutOfRange { at: "digit".into(), value, allowed: Interval::unsigned(bits).to_string() });
    }
    let mut terms = Vec::new();
    let mut low = 0;
    while low < bits {
        let width = w.min(bits - low);
        let wire = b.given(value.map(|v| (v >> low) & ((1 << width) - 1)));
        terms.push((1i64 << low, limb(b, &wire, width, tables, w)?));
        low += width;
    }
    let terms: Vec<_> = terms.iter().map(|(factor, limb)| (*factor, limb)).collect();
    b.combine(&terms, 0)
}

/// Packs digits, first lowest: `word = Σ digit_i · 2^(bits·i)`. No row: words are expressions.
///
/// # Errors
/// [`CircuitError::NotIntegral`], [`CircuitError::TooWide`] unless each digit is proven to be in `[0, 2^bits)`.
pub fn pack<B: Builder>(b: &B, digits: &[B::Int], bits: u32) -> Result<Vec<B::Field>, CircuitError> {
    for digit in digits {
        b.require_within("pack", digit, Interval::unsigned(bits))?;
    }
    let shift = Fr::from(1u64 << bits);
    Ok(digits
        .chunks(digits_per_word(bits))
        .map(|chunk| {
            let fields: Vec<_> = chunk.iter().map(|digit| b.to_field(digit)).collect();
            let mut factor = Fr::one();
            let terms: Vec<_> = fields
                .iter()
                .map(|field| {
                    let term = (factor, field);
                    factor *= shift;
                    term
                })
                .collect();
            b.field_combine(&terms, Fr::zero())
        })
        .collect())
}

/// [`pack`] on plain values, which must be digits.
pub fn pack_values(digits: &[i64], bits: u32) -> Vec<Fr> {
    let shift = Fr::from(1u64 << bits);
    digits
        .chunks(digits_per_word(bits))
        .map(|chunk| chunk.iter().rev().fold(Fr::zero(), |word, digit| word * shift + Fr::from(*digit)))
        .collect()
}

/// The `count` digits of packed words; `None` if there are not as many words as that takes or one has bits to spare.
pub fn unpack_values(words: &[Fr], count: usize, bits: u32) -> Option<Vec<i64>> {
    if words.len() != words_of(count, bits) {
        return None;
    }
    let per_word = digits_per_word(bits);
    let mut digits = Vec::with_capacity(count);
    for word in words {
        let limbs = word.into_bigint().0;
        let bit = |i: usize| limbs[i / 64] >> (i % 64) & 1;
        let here = per_word.min(count - digits.len());
        digits.extend((0..here).map(|d| (0..bits as usize).fold(0i64, |digit, i| digit | (bit(d * bits as usize + i) as i64) << i)));
        if (here * bits as usize..256).any(|i| bit(i) == 1) {
            return None;
        }
    }
    Some(digits)
}
