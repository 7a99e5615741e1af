//! Plain keys, proofs and public inputs as the binary files of gnark 0.11 and later, for BN254.
//!
//! Numbers are 32-bit big-endian. A point is written as gnark-crypto does it, compressed (`WriteTo`) or raw (`WriteRawTo`); the first
//! two bits of its first byte tell which:
//!
//! ```text
//! 00  raw: x, y; infinity is zeros
//! 10  x alone, of the two y the lesser
//! 11  x alone, of the two y the greater
//! 01  infinity, all other bits zero
//! ```
//!
//! Coordinates are those of [`g1_to_words`] and [`g2_to_words`], whose x leaves the two bits free.

use ark_bn254::{Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use zkslice_formats::{Word, keccak};

use crate::key_file::same_exponents;
use crate::points::{element, fr_from_word, fr_to_word, g1_from_words, g1_to_words, g2_from_words, g2_to_words};
use crate::{KeyError, Proof, VerifyError, VerifyingKey};

const FLAGS: u8 = 0b1100_0000;
const INFINITY: u8 = 0b0100_0000;
const LESSER: u8 = 0b1000_0000;
const GREATER: u8 = 0b1100_0000;

fn push(bytes: &mut Vec<u8>, n: usize) {
    bytes.extend((n as u32).to_be_bytes());
}

/// A point compressed, from the words of its x.
fn compress<P: SWCurveConfig>(point: &Affine<P>, x: &[Word]) -> Vec<u8> {
    let mut bytes = x.concat();
    bytes[0] |= point.y().map_or(INFINITY, |y| if y > -y { GREATER } else { LESSER });
    bytes
}

fn g1(point: &G1Affine) -> Vec<u8> {
    compress(point, &g1_to_words(point)[..1])
}

fn g2(point: &G2Affine) -> Vec<u8> {
    compress(point, &g2_to_words(point)[..2])
}

/// A verifying key of the plain form, compressed; `None` for the committed form, which gnark has not.
///
/// gnark's file has β and δ in G1 too, which its verifier does not look at and a [`VerifyingKey`] does not hold. Both are written as the
/// point at infinity.
pub fn verifying_key(key: &VerifyingKey) -> Option<Vec<u8>> {
    if key.delta1.is_some() {
        return None;
    }
    let unknown = g1(&G1Affine::zero());
    let points = [g1(&key.alpha), unknown.clone(), g2(&key.beta), g2(&key.gamma), unknown, g2(&key.delta2)];
    let mut bytes = points.concat();
    push(&mut bytes, key.ic.len());
    key.ic.iter().for_each(|point| bytes.extend(g1(point)));
    // No wires that are committed to, and no keys of commitments.
    push(&mut bytes, 0);
    push(&mut bytes, 0);
    Some(bytes)
}

/// A proof of the plain form, compressed; `None` for the committed form.
pub fn proof(proof: &Proof) -> Option<Vec<u8>> {
    if proof.c1.is_some() {
        return None;
    }
    let mut bytes = [g1(&proof.a), g2(&proof.b), g1(&proof.c2)].concat();
    // No commitments, whose proof of knowledge is then the point at infinity.
    push(&mut bytes, 0);
    bytes.extend(g1(&G1Affine::zero()));
    Some(bytes)
}

/// Public inputs as a witness without secret values.
pub fn publics(publics: &[Fr]) -> Vec<u8> {
    let mut bytes = Vec::new();
    [publics.len(), 0, publics.len()].iter().for_each(|n| push(&mut bytes, *n));
    publics.iter().for_each(|x| bytes.extend(fr_to_word(*x)));
    bytes
}

/// What is left of a file.
struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
    /// Whether its points are; a file's first point decides it for all.
    compressed: bool,
}

impl<'a> Reader<'a> {
    fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes, compressed: bytes.first().is_some_and(|first| first & FLAGS != 0) }
    }

    fn malformed(&self, reason: impl ToString) -> KeyError {
        KeyError::Foreign { tool: "gnark", what: self.what, reason: reason.to_string() }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or_else(|| self.malformed("it ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn words<const N: usize>(&mut self) -> Result<[Word; N], KeyError> {
        let mut words = [[0; 32]; N];
        for word in &mut words {
            *word = self.take()?;
        }
        Ok(words)
    }

    fn number(&mut self) -> Result<usize, KeyError> {
        Ok(u32::from_be_bytes(self.take()?) as usize)
    }

    /// A number of items that follow, none shorter than a word: no more than the file has bytes for.
    fn count(&mut self) -> Result<usize, KeyError> {
        let n = self.number()?;
        if n > self.rest.len() / 32 { Err(self.malformed(format!("it ends before the {n} items that it announces"))) } else { Ok(n) }
    }

    fn zero(&mut self, reason: &str) -> Result<(), KeyError> {
        if self.number()? == 0 { Ok(()) } else { Err(self.malformed(reason)) }
    }

    fn end(&self) -> Result<(), KeyError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("bytes follow its end")) }
    }

    /// The point whose x these words are, with their flags.
    fn decompress<P: SWCurveConfig, const N: usize>(
        &self,
        mut words: [Word; N],
        name: &str,
        x: impl Fn(&[Word; N]) -> Result<P::BaseField, VerifyError>,
    ) -> Result<Affine<P>, KeyError> {
        let flags = words[0][0] & FLAGS;
        words[0][0] &= !FLAGS;
        if flags == INFINITY {
            let clear = words.concat().iter().all(|byte| *byte == 0);
            return if clear { Ok(Affine::zero()) } else { Err(self.malformed(format!("{name} is infinity with other bits set"))) };
        }
        if flags & LESSER == 0 {
            return Err(self.malformed(format!("{name} is raw, but the first point is compressed")));
        }
        let x = x(&words).map_err(|error| self.malformed(error))?;
        let (lesser, greater) =
            Affine::<P>::get_ys_from_x_unchecked(x).ok_or_else(|| self.malformed(format!("{name} is not on its curve")))?;
        let point = Affine::new_unchecked(x, if flags == GREATER { greater } else { lesser });
        if point.is_in_correct_subgroup_assuming_on_curve() {
            Ok(point)
        } else {
            Err(self.malformed(format!("{name} is not in the subgroup of order r")))
        }
    }

    fn g1(&mut self, name: &str) -> Result<G1Affine, KeyError> {
        if self.compressed {
            let words = self.words()?;
            return self.decompress(words, name, |[x]| element(x, name));
        }
        g1_from_words(&self.words()?, name).map_err(|error| self.malformed(error))
    }

    fn g2(&mut self, name: &str) -> Result<G2Affine, KeyError> {
        if self.compressed {
            let words = self.words()?;
            return self.decompress(words, name, |[x1, x0]| Ok(Fq2::new(element(x0, name)?, element(x1, name)?)));
        }
        g2_from_words(&self.words()?, name).map_err(|error| self.malformed(error))
    }
}

/// Reads a verifying key that gnark wrote, compressed or raw. β and δ in G1 are either at infinity or those of G2.
///
/// # Errors
/// [`KeyError::Foreign`], also for a key with commitments: their proofs prove by another equation; [`KeyError::Unsafe`] as
/// [`VerifyingKey::check`] has it: γ of `groth16.Setup` is random, and its keys are refused; that of gnark's `mpcsetup` is the generator.
pub fn read_verifying_key(bytes: &[u8]) -> Result<VerifyingKey, KeyError> {
    let mut file = Reader::new("verifying key", bytes);
    let (alpha, beta1) = (file.g1("α")?, file.g1("β in G1")?);
    let (beta, gamma) = (file.g2("β")?, file.g2("γ")?);
    let (delta1, delta) = (file.g1("δ in G1")?, file.g2("δ")?);
    let ic = (0..file.count()?).map(|i| file.g1(&format!("IC point {i}"))).collect::<Result<Vec<_>, _>>()?;
    let publics = ic.len().checked_sub(1).ok_or_else(|| file.malformed("it has no IC points"))?;
    file.zero("it has commitments, which are not supported")?;
    file.zero("it has keys of commitments, which are not supported, or gnark before 0.11 wrote it")?;
    file.end()?;
    let mut pairs = vec![(beta1, beta), (delta1, delta)];
    pairs.retain(|(point, _)| !point.is_zero());
    if !same_exponents(&pairs, &keccak(bytes)) {
        return Err(file.malformed("β or δ in G1 is not that of G2"));
    }
    if gamma != G2Affine::generator() {
        return Err(file.malformed("γ is not the generator: `groth16.Setup` draws it at random; keys of `mpcsetup` are read"));
    }
    let key = VerifyingKey { publics, groups: Vec::new(), alpha, beta, gamma, delta1: None, delta2: delta, ic };
    key.check()?;
    Ok(key)
}

/// Reads a proof that gnark wrote, compressed or raw. It may end after C: gnark before 0.9 has nothing more, and who cuts a proof to what
/// a contract takes cuts there.
///
/// # Errors
/// [`KeyError::Foreign`], also for a proof with commitments.
pub fn read_proof(bytes: &[u8]) -> Result<Proof, KeyError> {
    let mut file = Reader::new("proof", bytes);
    let proof = Proof { a: file.g1("A")?, b: file.g2("B")?, c1: None, c2: file.g1("C")? };
    if !file.rest.is_empty() {
        file.zero("it has commitments, which are not supported")?;
        if !file.g1("the proof of knowledge")?.is_zero() {
            return Err(file.malformed("it has a proof of knowledge of no commitment"));
        }
        file.end()?;
    }
    Ok(proof)
}

/// Reads public inputs that gnark wrote: a witness of public values alone.
///
/// # Errors
/// [`KeyError::Foreign`], also for a value that is not below r and for a witness with secret values.
pub fn read_publics(bytes: &[u8]) -> Result<Vec<Fr>, KeyError> {
    let mut file = Reader::new("public inputs", bytes);
    let publics = file.number()?;
    file.zero("secret values are among them")?;
    if file.count()? != publics {
        return Err(file.malformed("their two counts differ"));
    }
    let values = (0..publics)
        .map(|i| fr_from_word(&file.take()?, &format!("public input {i}")).map_err(|error| file.malformed(error)))
        .collect::<Result<_, _>>()?;
    file.end()?;
    Ok(values)
}
