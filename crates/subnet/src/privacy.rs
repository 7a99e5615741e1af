//! Private inputs: a network sees one only if its owner has signed that it may.
//!
//! A commitment to an input names its model and its owner, so nobody else's request can be answered with it. What that leaves open is who may
//! see the input. So whoever brings an opening brings its owner's signature along: for one validator, and for requests of one model by one
//! requester to one oracle on one chain. The validator computes the context anew from the request, and refuses every other.

use alloy::primitives::{Address, B256, U256, keccak256};
use zkslice_chain::context;
use zkslice_prover::{Job, JobInput, Opening, Word};

use crate::{JobError, Signed};

pub use bindings::HandOver;

#[allow(missing_docs, missing_debug_implementations, unreachable_pub)]
mod bindings {
    alloy::sol! {
        #![sol(all_derives)]

        /// @notice The owner of private inputs lets a validator, and those who prove for it, see them. No contract reads it.
        struct HandOver {
            address validator;
            uint256 chainId;
            address oracle;
            address requester;
            bytes32 model;
            bytes32 commitments;
        }
    }
}

/// Openings of a job's private inputs, and that they may be seen.
#[derive(Clone, Debug)]
pub struct Private {
    /// What the owner has signed.
    pub hand_over: Signed<HandOver>,
    /// Which of its owner's requests it is.
    pub request: Request,
    /// One of each private input, in order.
    pub openings: Vec<Opening>,
}

/// Where a request is from, as far as its context does not follow from the hand-over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Number of the requester's request.
    pub nonce: U256,
    /// keccak256 of the request's ABI encoding.
    pub hash: B256,
    /// Whom the oracle pays.
    pub beneficiary: Address,
}

impl HandOver {
    /// Of a job of a model with these inputs, asked for by a requester at an oracle of a chain: 0 for both where no contract reads it.
    pub fn new(validator: Address, (chain_id, oracle): (u64, Address), requester: Address, model: B256, inputs: &[JobInput]) -> Self {
        Self { validator, chainId: U256::from(chain_id), oracle, requester, model, commitments: commitments(inputs) }
    }

    /// The context of a request; 0 for what no contract reads, which names neither chain nor oracle.
    fn context(&self, request: &Request) -> B256 {
        if self.chainId.is_zero() && self.oracle.is_zero() {
            return B256::ZERO;
        }
        context::context_of(self.chainId, self.oracle, self.requester, request.nonce, request.hash, request.beneficiary)
    }
}

impl Private {
    /// Whether this validator may see the job's private inputs, and the job is what they are for.
    ///
    /// # Errors
    /// [`JobError::HandOver`] says what is signed otherwise.
    pub(crate) fn check(&self, job: &Job, validator: Address) -> Result<(), JobError> {
        let signed = self.hand_over.message();
        let wrong = |what: &'static str| Err(JobError::HandOver(what));
        if self.hand_over.signer() != signed.requester {
            return wrong("it is not signed by the requester, whose input it is");
        }
        if signed.validator != validator {
            return wrong("it is for another validator");
        }
        if signed.model.0 != job.model {
            return wrong("it is for another model");
        }
        if signed.commitments != commitments(&job.inputs) {
            return wrong("it is for other commitments");
        }
        if listed(&job.inputs).next().is_none() {
            // Its bundle would name an owner, and no verifier takes that.
            return wrong("the job has no private input: leave `private` out");
        }
        if self.openings.len() != listed(&job.inputs).count() {
            return wrong("there has to be one opening for each private input");
        }
        if context::owner(signed.model, signed.requester).0 != job.owner {
            return wrong("the job names another owner");
        }
        if signed.context(&self.request).0 != job.context {
            return wrong("the job's context is of another chain, oracle or request");
        }
        Ok(())
    }
}

/// Commitments to private inputs, in order.
fn listed(inputs: &[JobInput]) -> impl Iterator<Item = &Word> {
    inputs.iter().filter_map(|input| match input {
        JobInput::Commitment(commitment) => Some(commitment),
        JobInput::Words(_) => None,
    })
}

/// keccak256 of all of them.
fn commitments(inputs: &[JobInput]) -> B256 {
    keccak256(listed(inputs).copied().collect::<Vec<Word>>().concat())
}
