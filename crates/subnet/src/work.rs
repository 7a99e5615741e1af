//! What a slice needs to be proven elsewhere, and how its prover knows that it is what the assignment states.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use zkslice_groth16::fr_from_word;
use zkslice_prover::{Bound, Inference, Opening, Openings, ProverError, Salt, Word, execute_slice, pack, unpack};
use zkslice_slicer::{Package, SliceEntry, TensorEntry};

use crate::messages::Assignment;
use crate::score::units;
use crate::wire::{Read, Work};

/// Domain tag of statements.
const STATEMENT: &str = "zkslice/network/statement/v1";

/// Why work is declined: the assignment states something else, or it cannot be proven.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The package is of another model, or has not the slice.
    #[error("the assignment is of model {0}, slice {1}, which the package does not hold")]
    Model(B256, u16),
    /// A number of parts, or a hash, is not as it has to be.
    #[error("{0} of the work are not what the assignment states")]
    Parts(&'static str),
    /// A tensor has another commitment, or other words, than the work lists.
    #[error("tensor '{0}' is not bound as the work lists it")]
    Tensor(String),
    /// The slice cannot be executed on what it reads.
    #[error(transparent)]
    Slice(#[from] ProverError),
}

/// Slices that a proof of slice `k` covers, as `verifyBundle` is told: 0 where the model has one slice only.
pub fn coverage(slices: usize, k: u16) -> U256 {
    if slices == 1 { U256::ZERO } else { U256::ONE << usize::from(k) }
}

/// What `verifyBundle` is given, in one hash: tag, model, context, owner, coverage, and the hashes of all public words and commitments.
pub fn statement(model: B256, coverage: U256, [context, owner]: [B256; 2], [words, commitments]: [B256; 2]) -> B256 {
    keccak256((keccak256(STATEMENT), model, context, owner, coverage, words, commitments).abi_encode_params())
}

/// Hashes of all public words and of all commitments of a model whose tensors are bound so.
pub fn hashes<'a>(bound: impl IntoIterator<Item = &'a Bound>) -> [B256; 2] {
    let (words, commitments) = lists(bound);
    [hash_of(&words), hash_of(&commitments)]
}

/// All public words, and all commitments, in wiring order.
fn lists<'a>(bound: impl IntoIterator<Item = &'a Bound>) -> (Vec<B256>, Vec<B256>) {
    let (mut words, mut commitments) = (Vec::new(), Vec::new());
    for bound in bound {
        match bound {
            Bound::Words(of_tensor) => words.extend(of_tensor.iter().map(B256::from)),
            Bound::Commitment(commitment) => commitments.push(B256::from(commitment)),
        }
    }
    (words, commitments)
}

fn hash_of(words: &[B256]) -> B256 {
    keccak256(words.concat())
}

fn is_public(package: &Package, t: usize) -> bool {
    package.manifest().tensors[t].kind.is_public()
}

impl Work {
    /// For slice `k` of an executed inference, whose tensors are bound so. Whoever is paid for it gets the public words in any case, to show a
    /// contract the whole statement.
    ///
    /// # Errors
    /// [`WorkError::Model`] for no such slice; [`WorkError::Tensor`] for a tensor without its opening or salt.
    pub fn of<'a>(
        package: &Package,
        inference: &Inference,
        bound: impl IntoIterator<Item = &'a Bound>,
        k: u16,
        assignment: B256,
        is_paid: bool,
    ) -> Result<Self, WorkError> {
        let manifest = package.manifest();
        let slice = manifest.slices.get(usize::from(k)).ok_or_else(|| WorkError::Model(B256::from(package.digest()), k))?;
        let tensor = |t: usize| -> Result<(&TensorEntry, &Opening), WorkError> {
            let entry = &manifest.tensors[t];
            let opening = inference.openings.tensors.get(t).and_then(Option::as_ref);
            let has_salt = |opening: &&Opening| entry.kind.is_public() || opening.salt.is_some();
            opening.filter(has_salt).map(|opening| (entry, opening)).ok_or_else(|| WorkError::Tensor(entry.name.clone()))
        };
        let salt = |opening: &Opening| opening.salt.map(|salt| B256::from(salt.word()));
        let mut reads = Vec::with_capacity(slice.reads.len());
        for t in &slice.reads {
            let (entry, opening) = tensor(*t)?;
            let words = pack(entry, &opening.values)?.into_iter().map(B256::from).collect();
            reads.push(Read { words, salt: salt(opening).filter(|_| !entry.kind.is_public()) });
        }
        let mut salts = Vec::new();
        for t in slice.writes.iter().filter(|t| !is_public(package, **t)) {
            salts.extend(salt(tensor(*t)?.1));
        }
        let (mut words, commitments) = lists(bound);
        let words_hash = hash_of(&words);
        // Others' words are none of this prover's business.
        if !is_paid && slice.reads.iter().chain(&slice.writes).all(|t| !is_public(package, *t)) {
            words.clear();
        }
        let (context, owner) = (B256::from(inference.context), B256::from(inference.owner));
        Ok(Self { assignment, context, owner, reads, salts, commitments, words, words_hash })
    }

    /// The inference to prove the assignment's slice of: it has been executed, every tensor of the slice is bound as is stated, and the
    /// statement is one that contracts take. `model` is the digest of the package's model with its keys, `hash` the EIP-712 hash of the
    /// assignment, and `miner` whoever asks.
    ///
    /// # Errors
    /// [`WorkError`] says what is not as it is stated.
    pub fn check(
        &self,
        package: &Package,
        model: B256,
        assignment: &Assignment,
        hash: B256,
        miner: Address,
    ) -> Result<Inference, WorkError> {
        let (manifest, k) = (package.manifest(), assignment.slice);
        let unknown = || WorkError::Model(assignment.model, k);
        let slice = manifest.slices.get(usize::from(k)).filter(|_| assignment.model == model).ok_or_else(unknown)?;
        if (self.assignment, assignment.miner) != (hash, miner) {
            return Err(WorkError::Parts("the miner or the assignment's hash"));
        }
        if assignment.units != units(slice.constraints.next_power_of_two() as u64) {
            return Err(WorkError::Parts("the units"));
        }
        // Off chain a context may be 0; whoever pays answers a contract, which refuses that.
        if assignment.price > 0 && self.context.is_zero() {
            return Err(WorkError::Parts("the context"));
        }
        self.check_words(package, slice, assignment.price > 0)?;
        let committed = manifest.tensors.iter().filter(|tensor| !tensor.kind.is_public()).count();
        let is_reduced = |word: &B256| fr_from_word(&word.0, "a commitment").is_ok();
        if self.commitments.len() != committed || !self.commitments.iter().all(is_reduced) {
            return Err(WorkError::Parts("the commitments"));
        }
        if self.reads.len() != slice.reads.len() {
            return Err(WorkError::Parts("the tensors that are read"));
        }
        let hashes = [self.words_hash, hash_of(&self.commitments)];
        if statement(assignment.model, coverage(manifest.slices.len(), k), [self.context, self.owner], hashes) != assignment.statement {
            return Err(WorkError::Parts("the hashes"));
        }
        let mut openings = Openings::empty(manifest.tensors.len());
        for (t, read) in slice.reads.iter().zip(&self.reads) {
            let tensor = &manifest.tensors[*t];
            let wrong = || WorkError::Tensor(tensor.name.clone());
            let words: Vec<Word> = read.words.iter().map(|word| word.0).collect();
            let values = unpack(tensor, &words).map_err(|_| wrong())?;
            if read.salt.is_some() == tensor.kind.is_public() {
                return Err(wrong());
            }
            let salt = read.salt.map(|salt| Salt::from_word(salt.0)).transpose()?;
            openings.tensors[*t] = Some(Opening { values, salt });
        }
        let mut inference = Inference { openings, context: self.context.0, owner: self.owner.0, ..Inference::default() };
        let salts: Vec<Word> = self.salts.iter().map(|salt| salt.0).collect();
        for (t, bound) in execute_slice(package, &mut inference, usize::from(k), &salts)? {
            if !self.lists(package, t, &bound) {
                return Err(WorkError::Tensor(manifest.tensors[t].name.clone()));
            }
        }
        Ok(inference)
    }

    /// Where there have to be words, they are those of all public tensors, and each is one of its tensor's.
    fn check_words(&self, package: &Package, slice: &SliceEntry, is_paid: bool) -> Result<(), WorkError> {
        let wrong = || WorkError::Parts("the words");
        if !is_paid && slice.reads.iter().chain(&slice.writes).all(|t| !is_public(package, *t)) {
            return if self.words.is_empty() { Ok(()) } else { Err(wrong()) };
        }
        let words: Vec<Word> = self.words.iter().map(|word| word.0).collect();
        let mut rest = words.as_slice();
        for tensor in package.manifest().tensors.iter().filter(|tensor| tensor.kind.is_public()) {
            let (own, others) = rest.split_at_checked(tensor.group().words()).ok_or_else(wrong)?;
            unpack(tensor, own).map_err(|_| wrong())?;
            rest = others;
        }
        if rest.is_empty() && hash_of(&self.words) == self.words_hash { Ok(()) } else { Err(wrong()) }
    }

    /// Whether it lists a tensor so.
    fn lists(&self, package: &Package, t: usize, bound: &Bound) -> bool {
        let before = &package.manifest().tensors[..t];
        match bound {
            Bound::Commitment(commitment) => {
                let at = before.iter().filter(|tensor| !tensor.kind.is_public()).count();
                self.commitments.get(at).is_some_and(|listed| listed.0 == *commitment)
            }
            Bound::Words(words) => {
                let at: usize = before.iter().filter(|tensor| tensor.kind.is_public()).map(|tensor| tensor.group().words()).sum();
                self.words.get(at..at + words.len()).is_some_and(|listed| listed.iter().map(|word| word.0).eq(words.iter().copied()))
            }
        }
    }
}
