//! What the contracts must refuse, and by which error.

use alloy::primitives::{Address, U256};
use alloy::sol_types::SolCall;
use zkslice_chain::bindings::{Fulfilment, InferenceOracle, revert_name};
use zkslice_chain::transaction::Draft;
use zkslice_chain::{Chain, ChainError};
use zkslice_prover::{Bound, Bundle};
use zkslice_slicer::{Package, TensorKind};

use super::{Narrator, Requested};
use crate::error::CliError;

/// Coverage of a bundle of all slices.
const FULL: U256 = U256::ZERO;
/// The case whose coverage is not full.
const PARTIAL: &str = "a slice left out, as its coverage says";

/// Valid bundles of two requests, to be tampered with.
pub(super) struct Cases<'a> {
    pub(super) package: &'a Package,
    pub(super) first: Bundle,
    pub(super) second: Bundle,
    /// The first is fulfilled, the second open.
    pub(super) requests: [&'a Requested; 2],
    pub(super) beneficiary: Address,
}

impl Cases<'_> {
    /// Submits each tampered bundle; returns the names of the errors.
    ///
    /// # Errors
    /// One that is accepted, or refused by another error than expected; or the honest bundle refused.
    pub(super) async fn run(&self, chain: &Chain, oracle: Address, narrator: &Narrator<'_>) -> Result<Vec<String>, CliError> {
        let [fulfilled, open] = self.requests;
        let with = |change: &dyn Fn(&mut Bundle)| {
            let mut bundle = self.second.clone();
            change(&mut bundle);
            bundle
        };
        let input = |bundle: &mut Bundle| match self.tensor(bundle, TensorKind::is_input) {
            Some(Bound::Words(words)) => words[0][31] ^= 1,
            Some(Bound::Commitment(commitment)) => commitment[31] ^= 1,
            None => {}
        };
        let output = |bundle: &mut Bundle| {
            if let Some(Bound::Words(words)) = self.tensor(bundle, |kind| kind == TensorKind::Output) {
                words[0][31] ^= 1;
            }
        };
        let swap = |bundle: &mut Bundle| {
            if let [first, .., last] = &mut bundle.proofs[..] {
                std::mem::swap(&mut first.proof, &mut last.proof);
            }
        };
        let off_curve = |bundle: &mut Bundle| {
            if let Some(y) = bundle.proofs.first_mut().and_then(|slice| slice.proof.get_mut(1)) {
                y[31] ^= 1;
            }
        };
        let partial = |bundle: &mut Bundle| drop(bundle.proofs.pop());
        // All slices but the last: no bundle's coverage is named so unless it lacks some.
        let all_but_last = (U256::from(1) << (self.second.proofs.len() - 1)) - U256::from(1);
        let input_error = match self.package.manifest().tensors[0].kind {
            TensorKind::PrivateInput => "InputCommitmentMismatch",
            _ => "InputHashMismatch",
        };
        let cases = [
            ("an output changed", open, with(&output), "InvalidBundle"),
            ("an input changed", open, with(&input), input_error),
            ("a point moved off the curve", open, with(&off_curve), "PointNotOnCurve"),
            ("two slices swapped", open, with(&swap), "InvalidBundle"),
            ("another request's bundle", open, self.first.clone(), "InvalidBundle"),
            ("a slice left out", open, with(&partial), "ProofLengthMismatch"),
            (PARTIAL, open, with(&partial), "CoverageTooLow"),
            ("a request fulfilled twice", fulfilled, self.first.clone(), "NotOpen"),
        ];
        let mut names = Vec::new();
        let single = self.second.proofs.len() == 1;
        for (what, request, bundle, expected) in cases {
            if single && ["two slices swapped", PARTIAL].contains(&what) {
                continue;
            }
            let coverage = if what == PARTIAL { all_but_last } else { FULL };
            // In private mode another request has another commitment, which the oracle sees first.
            let expected =
                if what == "another request's bundle" && input_error == "InputCommitmentMismatch" { input_error } else { expected };
            match self.submit(chain, oracle, request, &bundle, coverage, self.beneficiary).await? {
                Some(name) if name == expected => narrator.say(format!("refused, {what}: {name}")),
                Some(name) => return Err(CliError::failed(format!("{what}: refused by {name}, expected {expected}"))),
                None => return Err(CliError::failed(format!("{what}: ACCEPTED"))),
            }
            names.push(expected.to_owned());
        }
        let thief = Address::repeat_byte(0x66);
        match self.submit(chain, oracle, open, &self.second, FULL, thief).await? {
            Some(name) if name == "InvalidBundle" => narrator.say("refused, a copied bundle that pays another: InvalidBundle"),
            other => return Err(CliError::failed(format!("a copied bundle that pays another: {other:?}"))),
        }
        // The refusals mean something only if the untampered bundle passes.
        if let Some(name) = self.submit(chain, oracle, open, &self.second, FULL, self.beneficiary).await? {
            return Err(CliError::failed(format!("the untampered bundle is refused by {name}")));
        }
        Ok(names)
    }

    fn tensor<'b>(&self, bundle: &'b mut Bundle, wanted: impl Fn(TensorKind) -> bool) -> Option<&'b mut Bound> {
        let tensors = self.package.manifest().tensors.iter().zip(&mut bundle.tensors);
        tensors.filter(|(t, _)| wanted(t.kind)).find_map(|(_, bound)| bound.as_mut())
    }

    /// Simulates `fulfil`; the name of the error that refuses it, or `None`.
    async fn submit(
        &self,
        chain: &Chain,
        oracle: Address,
        request: &Requested,
        bundle: &Bundle,
        coverage: U256,
        beneficiary: Address,
    ) -> Result<Option<String>, CliError> {
        let numbers = |words: Vec<[u8; 32]>| words.into_iter().map(U256::from_be_bytes::<32>).collect();
        let fulfilment = Fulfilment {
            request: request.request.clone(),
            requester: request.requester,
            nonce: request.nonce,
            beneficiary,
            coverage,
            words: numbers(bundle.words()),
            commitments: numbers(bundle.commitments()),
            proofs: numbers(bundle.proof_words()),
        };
        let call = InferenceOracle::fulfilCall { fulfilment };
        let draft = Draft::call(oracle, call.abi_encode().into());
        match chain.simulate("fulfil", &draft.request(self.beneficiary, None)).await {
            Ok(()) => Ok(None),
            Err(ChainError::Reverted { data, .. }) => Ok(Some(revert_name(&data).unwrap_or("an unknown error").to_owned())),
            Err(error) => Err(error.into()),
        }
    }
}
