//! Verifying keys: their record (the preimage of the key's hash), and what makes one unsafe.

use std::ops::Neg;

use ark_bn254::{Bn254, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ec::pairing::Pairing;
use zkslice_formats::{WORD_BITS, digits_per_word, keccak, push_number, tag, words_of};

use crate::points::{g1_from_words, g1_to_words, g2_from_words, g2_to_words};
use crate::{KeyError, VerifyError};

/// Which equation a key verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Groth16: A, B, C; four pairings.
    Plain,
    /// One commitment round: A, B, C1, C2 and a challenge; five pairings.
    Committed,
}

/// Public words of one tensor: `count` digits of `bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordGroup {
    /// Elements of the tensor.
    pub count: usize,
    /// Width of a digit.
    pub bits: u32,
}

impl WordGroup {
    /// Number of words.
    pub fn words(&self) -> usize {
        words_of(self.count, self.bits)
    }

    /// Bits that each word may use.
    pub fn widths(&self) -> impl Iterator<Item = u32> + '_ {
        let per_word = digits_per_word(self.bits);
        (0..self.words()).map(move |word| per_word.min(self.count - word * per_word) as u32 * self.bits)
    }
}

/// A verifying key with everything that its hash binds: form, counts, word layout and points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    /// Number of public inputs x_1…x_p.
    pub publics: usize,
    /// Layout of the public words.
    pub groups: Vec<WordGroup>,
    /// α in G1.
    pub alpha: G1Affine,
    /// β in G2.
    pub beta: G2Affine,
    /// γ in G2: the generator, or [`VerifyingKey::check`] refuses the key.
    pub gamma: G2Affine,
    /// δ1 in G2; none in the plain form.
    pub delta1: Option<G2Affine>,
    /// δ2 in G2 (plain: δ).
    pub delta2: G2Affine,
    /// IC: for the constant, χ and F; in the plain form for the constant, x_1…x_p.
    pub ic: Vec<G1Affine>,
}

const TAG: &str = "zkslice/vk/v2";
const MAX_COUNT: usize = 1 << 28;
/// Public wires that follow the challenge, in the committed form: χ (code 1) and F (code 2).
const CODES: usize = 2;

impl VerifyingKey {
    /// The form.
    pub fn form(&self) -> Form {
        if self.delta1.is_some() { Form::Committed } else { Form::Plain }
    }

    /// Number of public words.
    pub fn words(&self) -> usize {
        self.groups.iter().map(WordGroup::words).sum()
    }

    /// Number of IC points: one a wire of P.
    pub fn ic_points(&self) -> usize {
        1 + match self.form() {
            Form::Plain => self.publics,
            Form::Committed => CODES,
        }
    }

    /// The preimage of the hash, 32-byte words: tag, form, p, number of words, groups (count, bits), codes of the
    /// public wires that follow the challenge (1 = χ, 2 = F; none in the plain form), α, β, γ, [δ1,] δ2, IC. Also the key's part of a
    /// model's key blob.
    pub fn record(&self) -> Vec<u8> {
        let mut bytes = tag(TAG).to_vec();
        let number = |bytes: &mut Vec<u8>, n: usize| push_number(bytes, n as u64);
        number(&mut bytes, usize::from(self.form() == Form::Committed));
        number(&mut bytes, self.publics);
        number(&mut bytes, self.words());
        number(&mut bytes, self.groups.len());
        for group in &self.groups {
            number(&mut bytes, group.count);
            number(&mut bytes, group.bits as usize);
        }
        let codes = if self.form() == Form::Committed { CODES } else { 0 };
        number(&mut bytes, codes);
        (1..=codes).for_each(|code| number(&mut bytes, code));
        bytes.extend(g1_to_words(&self.alpha).concat());
        for point in [Some(&self.beta), Some(&self.gamma), self.delta1.as_ref(), Some(&self.delta2)].into_iter().flatten() {
            bytes.extend(g2_to_words(point).concat());
        }
        self.ic.iter().for_each(|point| bytes.extend(g1_to_words(point).concat()));
        bytes
    }

    /// vkHash: keccak256 of the record.
    pub fn hash(&self) -> [u8; 32] {
        keccak(&self.record())
    }

    /// Digest of the setup: keccak256(tag ‖ α ‖ β ‖ γ). Keys that share it may share pairings.
    pub fn setup_digest(&self) -> [u8; 32] {
        let mut bytes = tag("zkslice/setup/v1").to_vec();
        bytes.extend(g1_to_words(&self.alpha).concat());
        bytes.extend(g2_to_words(&self.beta).concat());
        bytes.extend(g2_to_words(&self.gamma).concat());
        keccak(&bytes)
    }

    /// Reads a record, checking every count and every point.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for anything but the exact bytes that [`VerifyingKey::record`] gives; [`KeyError::Unsafe`].
    pub fn from_record(bytes: &[u8]) -> Result<Self, KeyError> {
        let malformed = |reason: &str| KeyError::Malformed { what: "verifying key".into(), reason: reason.into() };
        let encoding = |error: VerifyError| malformed(&error.to_string());
        let (words, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(malformed("its length is no multiple of 32"));
        }
        let mut words = words.iter();
        let mut next = || words.next().ok_or_else(|| malformed("it ends early"));
        if *next()? != tag(TAG) {
            return Err(malformed("it does not start with the tag of version 2"));
        }
        let mut number = || {
            let word = next()?;
            let mut low = [0; 8];
            low.copy_from_slice(&word[24..]);
            let n = u64::from_be_bytes(low) as usize;
            if word[..24].iter().any(|b| *b != 0) || n > MAX_COUNT {
                return Err(malformed("a count is out of range"));
            }
            Ok(n)
        };
        let committed = match number()? {
            0 => false,
            1 => true,
            _ => return Err(malformed("unknown form")),
        };
        let (publics, word_count, group_count) = (number()?, number()?, number()?);
        if publics > 1 << 16 || group_count > 1 << 16 {
            return Err(malformed("a count is out of range"));
        }
        let mut groups = Vec::new();
        for _ in 0..group_count {
            let (count, bits) = (number()?, number()?);
            if count == 0 || !(1..=WORD_BITS as usize).contains(&bits) {
                return Err(malformed("a word group is empty or its digits are too wide"));
            }
            groups.push(WordGroup { count, bits: bits as u32 });
        }
        let codes = number()?;
        if codes != if committed { CODES } else { 0 } {
            return Err(malformed("its public wires after the challenge are not those of its form"));
        }
        for code in 1..=codes {
            if number()? != code {
                return Err(malformed("unknown public wire after the challenge"));
            }
        }
        let mut next_word = || words.next().copied().ok_or_else(|| malformed("it ends early"));
        let mut g1 = || g1_from_words(&[next_word()?, next_word()?], "a G1 point").map_err(encoding);
        let alpha = g1()?;
        let mut next_word = || words.next().copied().ok_or_else(|| malformed("it ends early"));
        let mut g2 = || g2_from_words(&[next_word()?, next_word()?, next_word()?, next_word()?], "a G2 point").map_err(encoding);
        let (beta, gamma) = (g2()?, g2()?);
        let delta1 = if committed { Some(g2()?) } else { None };
        let delta2 = g2()?;
        let mut next_word = || words.next().copied().ok_or_else(|| malformed("it ends early"));
        let mut g1 = || g1_from_words(&[next_word()?, next_word()?], "a G1 point").map_err(encoding);
        let ic_points = 1 + if committed { CODES } else { publics };
        let ic = (0..ic_points).map(|_| g1()).collect::<Result<_, _>>()?;
        let key = Self { publics, groups, alpha, beta, gamma, delta1, delta2, ic };
        if words.next().is_some() || key.words() != word_count || (!committed && word_count > 0) {
            return Err(malformed("its counts do not fit its length"));
        }
        key.check()?;
        Ok(key)
    }

    /// Refuses a key under which proofs can be forged (`docs/proof-system.md` 8.2): what [`Self::check_points`] refuses, and α that has
    /// the exponent of ±β or ± a δ, which stand in the other group: with δ1 = α, `A = L, B = G2, C1 = −[β]₁, C2 = 0` satisfies the
    /// equation for every statement. Four pairings.
    ///
    /// # Errors
    /// [`KeyError::Unsafe`].
    pub fn check(&self) -> Result<(), KeyError> {
        self.check_points()?;
        let alpha = Bn254::pairing(self.alpha, G2Affine::generator());
        let others = [(Some(&self.beta), "β"), (self.delta1.as_ref(), "δ1"), (Some(&self.delta2), "δ2")];
        for (point, name) in others {
            if let Some(point) = point
                && let other = Bn254::pairing(G1Affine::generator(), point)
                && (alpha == other || alpha == -other)
            {
                return Err(KeyError::Unsafe(format!("α has the exponent of ±{name}")));
            }
        }
        Ok(())
    }

    /// Refuses a point at infinity, γ that is not the generator, α or β that is ± the generator, and what [`check_deltas`] refuses.
    ///
    /// With β = ±γ, whatever the rest of the key, A = α ± L, B = β, C1 = C2 = 0 satisfies the equation for every statement.
    ///
    /// # Errors
    /// [`KeyError::Unsafe`].
    pub fn check_points(&self) -> Result<(), KeyError> {
        let unsafe_if = |bad: bool, reason: &str| if bad { Err(KeyError::Unsafe(reason.into())) } else { Ok(()) };
        unsafe_if(self.alpha.is_zero() || self.beta.is_zero() || self.gamma.is_zero(), "α, β or γ is the point at infinity")?;
        unsafe_if(same(&self.beta, &self.gamma), "β equals ±γ: any statement can be proven")?;
        unsafe_if(same(&self.beta, &G2Affine::generator()), "β equals ±the generator")?;
        unsafe_if(same(&self.alpha, &G1Affine::generator()), "α equals ±the generator")?;
        unsafe_if(self.gamma != G2Affine::generator(), "γ is not the generator")?;
        if let Some(i) = self.ic.iter().position(AffineRepr::is_zero) {
            return Err(KeyError::Unsafe(format!("IC point {i} is the point at infinity: a public wire is bound to nothing")));
        }
        check_deltas([self])
    }
}

/// Whether two points are equal up to sign.
fn same<P: AffineRepr + Neg<Output = P>>(a: &P, b: &P) -> bool {
    a == b || *a == -*b
}

/// Over all keys that share α and β: every δ is finite, none is ± another, ±β, ±γ or ± the generator.
///
/// One equal pair makes another circuit's columns free wires: a full break that no test within one key sees (rule B9).
///
/// # Errors
/// [`KeyError::Unsafe`] naming the pair.
pub fn check_deltas<'a>(keys: impl IntoIterator<Item = &'a VerifyingKey>) -> Result<(), KeyError> {
    let mut seen: Vec<(G2Affine, String)> = vec![(G2Affine::generator(), "the generator".into())];
    for (k, key) in keys.into_iter().enumerate() {
        for (delta, name) in [(key.delta1.as_ref(), "δ1"), (Some(&key.delta2), "δ2")] {
            let Some(delta) = delta else { continue };
            let name = format!("{name} of key {k}");
            if delta.is_zero() {
                return Err(KeyError::Unsafe(format!("{name} is the point at infinity")));
            }
            let fixed = [(key.gamma, "γ"), (key.beta, "β")];
            if let Some((_, other)) = fixed.iter().find(|(point, _)| same(point, delta)) {
                return Err(KeyError::Unsafe(format!("{name} equals ±{other}")));
            }
            if let Some((_, other)) = seen.iter().find(|(point, _)| same(point, delta)) {
                return Err(KeyError::Unsafe(format!("{name} equals ±{other}")));
            }
            seen.push((*delta, name));
        }
    }
    Ok(())
}
