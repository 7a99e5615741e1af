//! Circuits without a challenge: plain Groth16, by ark-groth16, byte-compatible with it and with snarkjs.

use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::PrimeGroup;
use ark_ff::{One, UniformRand};
use ark_groth16::{Groth16, Proof as ArkProof, ProvingKey as ArkProvingKey, VerifyingKey as ArkVerifyingKey};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, SynthesisError, Variable};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use rand_core::CryptoRngCore;
use zkslice_circuit::Circuit;

use crate::key_file::same_exponents;
use crate::{KeyError, ProvingKey, VerifyingKey};

pub(crate) type ArkKey = ArkProvingKey<Bn254>;

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

/// Columns of the matrices at τ as ark-groth16's reduction has them, the rows that it adds included.
#[cfg(test)]
pub(crate) fn columns(circuit: &Circuit, tau: Fr) -> Result<[Vec<Fr>; 3], KeyError> {
    use ark_groth16::r1cs_to_qap::{LibsnarkReduction, R1CSToQAP};
    use ark_poly::GeneralEvaluationDomain;
    use ark_relations::gr1cs::{ConstraintSystem, OptimizationGoal, SynthesisMode};
    let cs = ConstraintSystem::new_ref();
    cs.set_optimization_goal(OptimizationGoal::Constraints);
    cs.set_mode(SynthesisMode::Setup);
    Synthesis { circuit, assignment: None }.generate_constraints(cs.clone()).map_err(arkworks)?;
    cs.finalize();
    let (a, b, c, ..) = LibsnarkReduction::instance_map_with_evaluation::<Fr, GeneralEvaluationDomain<Fr>>(cs, &tau).map_err(arkworks)?;
    Ok([a, b, c])
}

/// ark-groth16's key, with α, β and δ given and γ = 1. Its τ is drawn by ark-groth16.
pub(crate) fn setup(circuit: &Circuit, [alpha, beta, delta]: [Fr; 3], mut rng: &mut dyn CryptoRngCore) -> Result<ArkKey, KeyError> {
    Groth16::<Bn254>::generate_parameters_with_qap(
        Synthesis { circuit, assignment: None },
        alpha,
        beta,
        Fr::one(),
        delta,
        G1Projective::generator(),
        G2Projective::generator(),
        &mut rng,
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

pub(crate) fn to_bytes(key: &ArkKey) -> Result<Vec<u8>, KeyError> {
    let mut bytes = Vec::new();
    key.serialize_uncompressed(&mut bytes).map_err(arkworks)?;
    Ok(bytes)
}

pub(crate) fn prove(
    file: &ProvingKey,
    circuit: &Circuit,
    assignment: &[Fr],
    rng: &mut dyn CryptoRngCore,
) -> Result<ArkProof<Bn254>, KeyError> {
    // Unchecked: the file's digest was verified on opening, and the proof is verified before it leaves the prover.
    let key = ArkKey::deserialize_uncompressed_unchecked(file.plain()).map_err(arkworks)?;
    // The points that blind the proof are those of the verifying key: see `Blinding`.
    let vk = file.verifying_key();
    let pairs = [(key.beta_g1, vk.beta), (key.delta_g1, vk.delta2)];
    let on_curve = pairs.iter().all(|(point, _)| point.is_on_curve());
    if verifying_key(&key.vk, vk.publics) != *vk || !on_curve || !same_exponents(&pairs, &file.digest()) {
        return Err(KeyError::unblinded("proving key"));
    }
    let (r, s) = (Fr::rand(rng), Fr::rand(rng));
    Groth16::<Bn254>::create_proof_with_reduction(Synthesis { circuit, assignment: Some(assignment) }, &key, r, s).map_err(arkworks)
}

fn arkworks(error: impl std::fmt::Display) -> KeyError {
    KeyError::Arkworks(error.to_string())
}
