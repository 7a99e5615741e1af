//! Plain keys and proofs as the JSON of snarkjs and Circom tools.

use ark_bn254::{Fq, Fq2, Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use ark_ff::{One, PrimeField, Zero};
use serde_json::{Value, json};

use crate::points::{fr_to_word, g1_to_words, g2_to_words};
use crate::{KeyError, Proof, VerifyingKey, g1_from_words, g2_from_words};

fn g1(point: &G1Affine) -> Value {
    let (x, y) = point.xy().unwrap_or((Fq::zero(), Fq::one()));
    json!([x.to_string(), y.to_string(), if point.is_zero() { "0" } else { "1" }])
}

fn g2(point: &G2Affine) -> Value {
    let (x, y) = point.xy().unwrap_or((Fq2::zero(), Fq2::one()));
    let pair = |value: Fq2| json!([value.c0.to_string(), value.c1.to_string()]);
    json!([pair(x), pair(y), if point.is_zero() { ["0", "0"] } else { ["1", "0"] }])
}

/// A verifying key of the plain form; `None` for the committed form, which snarkjs has not.
pub fn verifying_key(key: &VerifyingKey) -> Option<Value> {
    if key.delta1.is_some() {
        return None;
    }
    Some(json!({
        "protocol": "groth16",
        "curve": "bn128",
        "nPublic": key.publics,
        "vk_alpha_1": g1(&key.alpha),
        "vk_beta_2": g2(&key.beta),
        "vk_gamma_2": g2(&key.gamma),
        "vk_delta_2": g2(&key.delta2),
        "IC": key.ic.iter().map(g1).collect::<Vec<_>>(),
    }))
}

/// A proof of the plain form; `None` for the committed form.
pub fn proof(proof: &Proof) -> Option<Value> {
    if proof.c1.is_some() {
        return None;
    }
    Some(json!({ "protocol": "groth16", "curve": "bn128", "pi_a": g1(&proof.a), "pi_b": g2(&proof.b), "pi_c": g1(&proof.c2) }))
}

/// Public inputs.
pub fn publics(publics: &[Fr]) -> Value {
    publics.iter().map(ToString::to_string).collect::<Vec<_>>().into()
}

/// A proof and its public inputs as arguments of a verifier contract that snarkjs generated: what `snarkjs zkey export soliditycalldata`
/// prints.
pub fn calldata(proof: &Proof, publics: &[Fr]) -> String {
    let list = |words: &[[u8; 32]]| words.iter().map(|word| format!("\"0x{}\"", hex(word))).collect::<Vec<_>>().join(", ");
    let (b, publics) = (g2_to_words(&proof.b), publics.iter().map(|x| fr_to_word(*x)).collect::<Vec<_>>());
    let publics = publics.iter().map(|word| format!("\"0x{}\"", hex(word))).collect::<Vec<_>>().join(",");
    let (a, c) = (list(&g1_to_words(&proof.a)), list(&g1_to_words(&proof.c2)));
    format!("[{a}],[[{}],[{}]],[{c}],[{publics}]", list(&b[..2]), list(&b[2..]))
}

fn hex(word: &[u8; 32]) -> String {
    word.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn malformed(what: &'static str) -> KeyError {
    KeyError::Foreign { tool: "snarkjs", what, reason: "it is not the JSON that snarkjs writes for Groth16 over bn128".into() }
}

fn coordinate(value: &Value, what: &'static str) -> Result<Fq, KeyError> {
    let text =
        value.as_str().filter(|s| !s.is_empty() && s.len() < 80 && s.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| malformed(what))?;
    let parsed: Fq = text.parse().map_err(|()| malformed(what))?;
    if parsed.into_bigint().to_string() == text { Ok(parsed) } else { Err(malformed(what)) }
}

fn read_g1(value: &Value, what: &'static str) -> Result<G1Affine, KeyError> {
    let point = G1Affine::new_unchecked(coordinate(&value[0], what)?, coordinate(&value[1], what)?);
    if *value == g1(&G1Affine::zero()) {
        return Ok(G1Affine::zero());
    }
    let point = g1_from_words(&g1_to_words(&point), what).map_err(|_| malformed(what))?;
    // Only the form that is written: projective coordinates have z = 1.
    if *value == g1(&point) { Ok(point) } else { Err(malformed(what)) }
}

fn read_g2(value: &Value, what: &'static str) -> Result<G2Affine, KeyError> {
    let pair = |value: &Value| Ok::<_, KeyError>(Fq2::new(coordinate(&value[0], what)?, coordinate(&value[1], what)?));
    let point = G2Affine::new_unchecked(pair(&value[0])?, pair(&value[1])?);
    if *value == g2(&G2Affine::zero()) {
        return Ok(G2Affine::zero());
    }
    let point = g2_from_words(&g2_to_words(&point), what).map_err(|_| malformed(what))?;
    if *value == g2(&point) { Ok(point) } else { Err(malformed(what)) }
}

/// Reads a verifying key that snarkjs wrote.
///
/// # Errors
/// [`KeyError::Foreign`]; [`KeyError::Unsafe`] for one without a second phase (δ = generator) or with an unbound input.
pub fn read_verifying_key(value: &Value) -> Result<VerifyingKey, KeyError> {
    let what = "verifying key";
    let ic = value["IC"].as_array().ok_or_else(|| malformed(what))?;
    let ic = ic.iter().map(|point| read_g1(point, what)).collect::<Result<Vec<_>, _>>()?;
    if value["protocol"] != "groth16" || value["curve"] != "bn128" || ic.is_empty() || value["nPublic"] != ic.len() - 1 {
        return Err(malformed(what));
    }
    let key = VerifyingKey {
        publics: ic.len() - 1,
        groups: Vec::new(),
        alpha: read_g1(&value["vk_alpha_1"], what)?,
        beta: read_g2(&value["vk_beta_2"], what)?,
        gamma: read_g2(&value["vk_gamma_2"], what)?,
        delta1: None,
        delta2: read_g2(&value["vk_delta_2"], what)?,
        ic,
    };
    key.check()?;
    Ok(key)
}

/// Reads a proof that snarkjs wrote.
///
/// # Errors
/// [`KeyError::Foreign`].
pub fn read_proof(value: &Value) -> Result<Proof, KeyError> {
    let what = "proof";
    if value["protocol"] != "groth16" || value["curve"] != "bn128" {
        return Err(malformed(what));
    }
    Ok(Proof { a: read_g1(&value["pi_a"], what)?, b: read_g2(&value["pi_b"], what)?, c1: None, c2: read_g1(&value["pi_c"], what)? })
}

/// Reads public inputs that snarkjs wrote.
///
/// # Errors
/// [`KeyError::Foreign`] unless each is a decimal number below r.
pub fn read_publics(value: &Value) -> Result<Vec<Fr>, KeyError> {
    let what = "public inputs";
    let list = value.as_array().ok_or_else(|| malformed(what))?;
    list.iter()
        .map(|x| {
            let text = x.as_str().ok_or_else(|| malformed(what))?;
            let parsed: Fr = text.parse().map_err(|()| malformed(what))?;
            if parsed.into_bigint().to_string() == text { Ok(parsed) } else { Err(malformed(what)) }
        })
        .collect()
}
