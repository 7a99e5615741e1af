//! `.zkey` files of snarkjs: keys of plain Groth16, and who contributed to their δ.
//!
//! ```text
//! file    sections: read with every check, written
//! phase2  begun from rows and powers of tau, contributed to, closed with a beacon, verified
//! prove   a witness → a proof
//! ```
//!
//! ```text
//! "zkey"  version u32 = 1, sections:
//!  1  protocol u32: 1 for Groth16
//!  2  32, q, 32, r, wires u32, public wires u32, domain u32, α1, β1, β2, γ2, δ1, δ2
//!  3  IC        4  count u32, and for each entry of A and B: matrix, row, wire u32, coefficient·R² (R = 2^256)
//!  5  A   6  B in G1   7  B in G2   8  C/δ of the private wires   9  odd Lagrange points of the double domain over δ
//! 10  hash of the circuit (64), count u32, contributions
//! ```
//!
//! The rows that pin public wires are the last of A; C is not folded. That is what snarkjs, rapidsnark and ark-circom read, and none of
//! the committed form's keys is ever written so: theirs is another basis (rule A5).

mod file;
mod phase2;
mod prove;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::AffineRepr;
use zkslice_groth16::{KeyError, VerifyingKey};

use crate::snarkjs::BeaconValue;

/// Whether an entry is of A or of B, its row, wire and coefficient.
type Coefficient = (bool, u32, u32, Fr);

/// A key of plain Groth16 in snarkjs' form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zkey {
    wires: usize,
    publics: usize,
    domain: usize,
    alpha: G1Affine,
    beta: G1Affine,
    beta2: G2Affine,
    gamma2: G2Affine,
    delta: G1Affine,
    delta2: G2Affine,
    ic: Vec<G1Affine>,
    coefficients: Vec<Coefficient>,
    a: Vec<G1Affine>,
    b1: Vec<G1Affine>,
    b2: Vec<G2Affine>,
    c: Vec<G1Affine>,
    h: Vec<G1Affine>,
    circuit_hash: [u8; 64],
    contributions: Vec<ZkeyContribution>,
}

/// What a contributor did to δ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZkeyContribution {
    /// δ after it.
    delta: G1Affine,
    s: G1Affine,
    sx: G1Affine,
    spx: G2Affine,
    transcript: [u8; 64],
    /// What the contributor is called.
    pub name: String,
    /// Value and exponent of the number of iterations of a beacon; none for a contributor.
    pub beacon: Option<BeaconValue>,
}

impl Zkey {
    /// All wires, the constant included.
    pub fn wires(&self) -> usize {
        self.wires
    }

    /// Public wires, without the constant.
    pub fn publics(&self) -> usize {
        self.publics
    }

    /// Who contributed so far.
    pub fn contributions(&self) -> &[ZkeyContribution] {
        &self.contributions
    }

    /// The key that verifies its proofs.
    ///
    /// # Errors
    /// [`KeyError::Unsafe`] for one that nobody contributed to, or with an unbound public wire.
    pub fn verifying_key(&self) -> Result<VerifyingKey, KeyError> {
        let key = VerifyingKey {
            publics: self.publics,
            groups: Vec::new(),
            alpha: self.alpha,
            beta: self.beta2,
            gamma: self.gamma2,
            delta1: None,
            delta2: self.delta2,
            ic: self.ic.clone(),
        };
        if self.delta == G1Affine::generator() || self.contributions.is_empty() {
            return Err(KeyError::Unsafe("nobody has contributed to δ, so that everybody knows it".into()));
        }
        key.check()?;
        Ok(key)
    }
}
