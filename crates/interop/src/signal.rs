//! How a public or committed signal is written in digits.
//!
//! Contracts, commitments and bundles know tensors of digits of at most 48 bits. A wider signal takes several: limbs of 32 bits, the lowest
//! first, along one more axis. A signal that may be any field element takes eight of them, and the circuit proves that they make a
//! number below r: otherwise x and x + r would be two ways to write one signal.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use ark_bn254::Fr;
use ark_ff::{BigInteger, PrimeField, Zero};
use serde::{Deserialize, Serialize};
use zkslice_circuit::gadgets::MAX_DIGIT_BITS;

/// Bits of a limb.
pub(crate) const LIMB_BITS: u32 = 32;
/// Limbs of a field element.
pub(crate) const FIELD_LIMBS: usize = 8;
/// Widest signal in limbs that has no r to stay below.
const MAX_LIMBED_BITS: u32 = 224;

/// What values a signal may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SignalType {
    /// `u<bits>`: 0 … 2^bits − 1.
    Unsigned(u32),
    /// `i<bits>`: −2^(bits−1) … 2^(bits−1) − 1, as Circom writes negative numbers: r − |x|.
    Signed(u32),
    /// `field`: anything below r.
    Field,
}

impl SignalType {
    /// Digits of one signal.
    pub fn limbs(self) -> usize {
        match self {
            Self::Unsigned(bits) if bits > MAX_DIGIT_BITS => (bits / LIMB_BITS) as usize,
            Self::Unsigned(_) | Self::Signed(_) => 1,
            Self::Field => FIELD_LIMBS,
        }
    }

    /// Bits of a digit.
    pub fn digit_bits(self) -> u32 {
        match self {
            Self::Unsigned(bits) if bits > MAX_DIGIT_BITS => LIMB_BITS,
            Self::Unsigned(bits) | Self::Signed(bits) => bits,
            Self::Field => LIMB_BITS,
        }
    }

    /// Added to an integer to make its digit.
    pub fn offset(self) -> i64 {
        match self {
            Self::Signed(bits) => 1 << (bits - 1),
            Self::Unsigned(_) | Self::Field => 0,
        }
    }

    /// The integers of a signal's value: itself, or its limbs. `None` if it is out of range.
    pub fn integers(self, value: Fr) -> Option<Vec<i64>> {
        let fits = |value: Fr, bits: u32| value.into_bigint().num_bits() <= bits;
        let small = |value: Fr| value.into_bigint().0[0] as i64;
        match self {
            Self::Unsigned(bits) if bits <= MAX_DIGIT_BITS => fits(value, bits).then(|| vec![small(value)]),
            Self::Signed(bits) => {
                let digit = value + Fr::from(self.offset());
                fits(digit, bits).then(|| vec![small(digit) - self.offset()])
            }
            Self::Unsigned(bits) if !fits(value, bits) => None,
            Self::Unsigned(_) | Self::Field => {
                let limbs = value.into_bigint().0.into_iter().flat_map(|limb| [limb & u64::from(u32::MAX), limb >> LIMB_BITS]);
                Some(limbs.take(self.limbs()).map(|limb| limb as i64).collect())
            }
        }
    }

    /// The value that integers stand for: the inverse of [`SignalType::integers`]. `None` for integers that are no value's.
    pub fn value(self, integers: &[i64]) -> Option<Fr> {
        let shift = Fr::from(1u64 << LIMB_BITS);
        let value = integers.iter().rev().fold(Fr::zero(), |value, limb| value * shift + Fr::from(*limb));
        // Limbs from r on come to another value, and that has other limbs.
        (self.integers(value).as_deref() == Some(integers)).then_some(value)
    }
}

impl Display for SignalType {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsigned(bits) => write!(f, "u{bits}"),
            Self::Signed(bits) => write!(f, "i{bits}"),
            Self::Field => write!(f, "field"),
        }
    }
}

impl FromStr for SignalType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "'{text}' is no type of a signal: u1 to u48, u64, u96, u128, u160, u192, u224, i2 to i48, or field, which any signal fits"
            )
        };
        let parsed = match text.split_at_checked(1) {
            _ if text == "field" => Self::Field,
            Some(("u", bits)) => Self::Unsigned(bits.parse().map_err(|_| unknown())?),
            Some(("i", bits)) => Self::Signed(bits.parse().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        };
        let exists = match parsed {
            Self::Unsigned(bits) => {
                (1..=MAX_DIGIT_BITS).contains(&bits) || (bits.is_multiple_of(LIMB_BITS) && (1..=MAX_LIMBED_BITS).contains(&bits))
            }
            Self::Signed(bits) => (2..=MAX_DIGIT_BITS).contains(&bits),
            Self::Field => true,
        };
        // One text for each.
        if exists && parsed.to_string() == text { Ok(parsed) } else { Err(unknown()) }
    }
}

impl TryFrom<String> for SignalType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SignalType> for String {
    fn from(kind: SignalType) -> Self {
        kind.to_string()
    }
}

/// A signal, or an array of signals whose wires follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Name in the circuit.
    pub name: String,
    /// Dimensions; none for a single signal.
    pub shape: Vec<usize>,
    /// Wire of the first element; none for a tensor that the circuit itself has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_wire: Option<usize>,
    /// What values each element may take; none for one that nobody but the prover sees.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<SignalType>,
}

impl Signal {
    /// Number of signals.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Dimensions of the tensor that holds its integers.
    pub fn tensor_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        let limbs = self.kind.map_or(1, SignalType::limbs);
        if limbs > 1 || shape.is_empty() {
            shape.push(limbs);
        }
        shape
    }
}
