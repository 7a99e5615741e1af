//! Circuits without a challenge: plain Groth16, by ark-groth16, byte-compatible with it and with snarkjs.

use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::PrimeGroup;
use ark_ff::{One, UniformRand};
use ark_groth16::{Groth16, Proof as ArkProof, ProvingKey as ArkProvingKey, VerifyingKey as ArkVerifyingKey};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, SynthesisError, Variable};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use ark_std::rand::{CryptoRng, RngCore};
use zkslice_circuit::Circuit;

use crate::{KeyError, ProvingKey, VerifyingKey};

/// A circuit without a challenge, as ark-relations sees it. The rows that pin public wires are left to ark-groth16's
/// own reduction, which adds the same ones.
struct Synthesis<'a> {
    circuit: &'a Circuit,
    assignment: Option<&'a [Fr]>,
}

impl ConstraintSynthesizer<Fr> for Synthesis<'_> {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> Result<(), SynthesisError> {
        let layout = self.circuit.layout();
        let value = |wire: usize| self.assignment.map(|z| z[wire]).ok_or(SynthesisError::AssignmentMissing);
        let mut variables = vec![Variable::One];
        for wire in 1..layout.public_wires() {
            variables.push(cs.new_input_variable(|| value(wire))?);
        }
        for wire in layout.public_wires()..layout.wires() {
            variables.push(cs.new_witness_variable(|| value(wire))?);
        }
        let mut rows = vec![[const { Vec::new() }; 3]; layout.constraints()];
        self.circuit.visit(|row, matrix, wire, coefficient| {
            if let Some(row) = rows.get_mut(row) {
                row[matrix as usize].push((coefficient, variables[wire]));
            }
        });
        for row in rows {
            let [a, b, c] = row.map(LinearCombination);
            cs.enforce_r1cs_constraint(|| a, || b, || c)?;
        }
        Ok(())
    }
}

/// ark-groth16's key, with α, β and δ given and γ = 1. Its τ is drawn by ark-groth16.
pub(crate) fn setup(circuit: &Circuit, [alpha, beta, delta]: [Fr; 3], rng: &mut (impl RngCore + CryptoRng)) -> Result<ArkProvingKey<Bn254>, KeyError> {
    Groth16::<Bn254>::generate_parameters_with_qap(
        Synthesis { circuit, assignment: None },
        alpha,
        beta,
        Fr::one(),
        delta,
        G1Projective::generator(),
        G2Projective::generator(),
        rng,
    )
    .map_err(arkworks)
}

pub(crate) fn verifying_key(key: &ArkVerifyingKey<Bn254>, publics: usize) -> VerifyingKey {
    VerifyingKey {
        publics,
        groups: Vec::new(),
        alpha: key.alpha_g1,
        beta: key.beta_g2,
        gamma: key.gamma_g2,
        delta1: None,
        delta2: key.delta_g2,
        ic: key.gamma_abc_g1.clone(),
    }
}

pub(crate) fn to_bytes(key: &ArkProvingKey<Bn254>) -> Result<Vec<u8>, KeyError> {
    let mut bytes = Vec::new();
    key.serialize_uncompressed(&mut bytes).map_err(arkworks)?;
    Ok(bytes)
}

pub(crate) fn prove(key: &ProvingKey, circuit: &Circuit, assignment: &[Fr], rng: &mut (impl RngCore + CryptoRng)) -> Result<ArkProof<Bn254>, KeyError> {
    // Unchecked: the file's digest was verified on opening, and the proof is verified before it leaves the prover.
    let key = ArkProvingKey::<Bn254>::deserialize_uncompressed_unchecked(key.plain()).map_err(arkworks)?;
    let (r, s) = (Fr::rand(rng), Fr::rand(rng));
    Groth16::<Bn254>::create_proof_with_reduction(Synthesis { circuit, assignment: Some(assignment) }, &key, r, s).map_err(arkworks)
}

fn arkworks(error: impl std::fmt::Display) -> KeyError {
    KeyError::Arkworks(error.to_string())
}
