//! Poseidon over BN254 with circomlib's parameters (x^5, 8 full rounds; Grassi et al., eprint 2019/458).

use std::sync::OnceLock;

use ark_bn254::Fr;
use ark_ff::{One, Zero};
use light_poseidon::PoseidonParameters;
use light_poseidon::parameters::bn254_x5::get_poseidon_parameters;

use crate::{Builder, CircuitError};

/// Most inputs of one permutation: light-poseidon's constants end at width 13.
pub(crate) const MAX_INPUTS: usize = 12;

fn parameters(inputs: usize) -> Result<&'static PoseidonParameters<Fr>, CircuitError> {
    static PARAMETERS: [OnceLock<Option<PoseidonParameters<Fr>>>; MAX_INPUTS] = [const { OnceLock::new() }; MAX_INPUTS];
    let unsupported =
        || CircuitError::Unsupported { gadget: "poseidon".into(), reason: format!("{inputs} inputs; 1 to {MAX_INPUTS} are supported") };
    let cell = inputs.checked_sub(1).and_then(|i| PARAMETERS.get(i)).ok_or_else(unsupported)?;
    cell.get_or_init(|| u8::try_from(inputs + 1).ok().and_then(|width| get_poseidon_parameters::<Fr>(width).ok()))
        .as_ref()
        .ok_or_else(unsupported)
}

/// x^5: three rows, three wires. x⁴ stands on the A side alone, so that it has no point in G2, where a proof's additions cost the most; x is
/// on the B side anyway.
fn power_five<B: Builder>(b: &mut B, x: &B::Field) -> B::Field {
    let square = b.field_product(x, x);
    let fourth = b.field_product(&square, &square);
    b.field_product(&fourth, x)
}

/// `Poseidon(inputs)`: three rows an S-box, `3·(8·t + R_P)` with t = inputs + 1 (507 for twelve inputs, 243 for two).
///
/// # Errors
/// [`CircuitError::Unsupported`] unless there are 1 to 12 inputs.
pub fn hash<B: Builder>(b: &mut B, inputs: &[B::Field]) -> Result<B::Field, CircuitError> {
    let parameters = parameters(inputs.len())?;
    let width = parameters.width;
    let mut state: Vec<B::Field> = std::iter::once(b.field_constant(Fr::zero())).chain(inputs.iter().cloned()).collect();
    let rounds = parameters.full_rounds + parameters.partial_rounds;
    let half = parameters.full_rounds / 2;
    for round in 0..rounds {
        for (i, element) in state.iter_mut().enumerate() {
            *element = b.field_combine(&[(Fr::one(), element)], parameters.ark[round * width + i]);
        }
        let full = round < half || round >= half + parameters.partial_rounds;
        for element in state.iter_mut().take(if full { width } else { 1 }) {
            *element = power_five(b, element);
        }
        // Only the first element of the last state is read.
        let rows = if round + 1 == rounds { 1 } else { width };
        state = parameters.mds[..rows]
            .iter()
            .map(|row| b.field_combine(&row.iter().copied().zip(&state).collect::<Vec<_>>(), Fr::zero()))
            .collect();
    }
    Ok(state.swap_remove(0))
}

/// [`hash`] on plain values.
///
/// # Errors
/// As [`hash`].
pub fn hash_of(inputs: &[Fr]) -> Result<Fr, CircuitError> {
    hash(&mut crate::WitnessBuilder::new(), inputs)
}
