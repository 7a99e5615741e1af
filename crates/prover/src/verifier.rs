//! Verification of bundles off chain: what the contract checks, in the same order.

use ark_bn254::Fr;
use zkslice_circuit::gadgets::unpack_values;
use zkslice_formats::{Word, hex0x};
use zkslice_groth16::{Proof, Statement, VerifyingKey, fr_from_word, verify};
use zkslice_slicer::{Manifest, Package, PackageError, Slot, TensorEntry, TensorKind, slots};

use crate::bundle::{Bound, Bundle};
use crate::error::BundleError;

/// What is made of a slice's proof.
type Judge<'a> = dyn FnMut(usize, &VerifyingKey, Statement, &[Word; Proof::WORDS]) -> Result<(), BundleError> + 'a;

fn holds(slice: usize, key: &VerifyingKey, statement: Statement, words: &[Word; Proof::WORDS]) -> Result<(), BundleError> {
    let failed = |source| BundleError::Proof { slice, source };
    let proof = Proof::from_words(words, key.form()).map_err(failed)?;
    verify(key, &statement, &proof).map_err(failed)
}

/// A package's verifying keys and wiring.
#[derive(Clone, Debug)]
pub struct Verifier {
    manifest: Manifest,
    keys: Vec<VerifyingKey>,
    model: Word,
}

impl Verifier {
    /// Opens the verifying keys of a package.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn new(package: &Package) -> Result<Self, PackageError> {
        // The keys that the digest was taken of, not what their files hold a moment later.
        let blob = package.key_blob()?;
        Ok(Self { manifest: package.manifest().clone(), keys: blob.keys().to_vec(), model: blob.model_digest() })
    }

    /// The model's id.
    pub fn model(&self) -> Word {
        self.model
    }

    /// Checks a complete bundle: model, wiring, every word, every proof. Returns the model's outputs as integers.
    ///
    /// # Errors
    /// [`BundleError`] naming the first thing that is wrong; [`BundleError::Partial`] where a slice has no proof.
    pub fn verify(&self, bundle: &Bundle) -> Result<Vec<Vec<i64>>, BundleError> {
        self.complete(bundle, &mut holds)
    }

    /// What each proof of a complete bundle states, and its words, by slice, for whoever verifies many of one key together. All else is
    /// checked, as [`Verifier::verify`] does.
    ///
    /// # Errors
    /// As [`Verifier::verify`], but for proofs that do not hold.
    pub fn claims(&self, bundle: &Bundle) -> Result<Vec<(Statement, [Word; Proof::WORDS])>, BundleError> {
        let mut claims = Vec::with_capacity(self.keys.len());
        self.complete(bundle, &mut |_, _, statement, words| {
            claims.push((statement, *words));
            Ok(())
        })?;
        Ok(claims)
    }

    fn complete(&self, bundle: &Bundle, judge: &mut Judge<'_>) -> Result<Vec<Vec<i64>>, BundleError> {
        self.check_model(bundle)?;
        let all = 0..self.keys.len();
        let missing: Vec<usize> = all.clone().filter(|k| bundle.proofs.iter().all(|p| p.slice != *k)).collect();
        if !missing.is_empty() {
            return Err(BundleError::Partial(missing));
        }
        if !bundle.proofs.iter().map(|p| p.slice).eq(all) {
            return Err(BundleError::Slices);
        }
        self.slices(bundle, judge)?;
        let outputs = self.manifest.tensors.iter().zip(&bundle.tensors).filter(|(t, _)| t.kind == TensorKind::Output);
        outputs.map(|(tensor, bound)| integers(tensor, &self.words(tensor, bound.as_ref())?)).collect()
    }

    /// Checks the slice proofs that a bundle holds, at least one, be it complete or not, and that it holds no tensor that none of them
    /// binds. A subset says nothing about input to output.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn verify_slices(&self, bundle: &Bundle) -> Result<(), BundleError> {
        self.slices(bundle, &mut holds)
    }

    fn slices(&self, bundle: &Bundle, judge: &mut Judge<'_>) -> Result<(), BundleError> {
        self.check_model(bundle)?;
        if bundle.tensors.len() != self.manifest.tensors.len() || !bundle.proofs.is_sorted_by(|a, b| a.slice < b.slice) {
            return Err(BundleError::Slices);
        }
        if bundle.proofs.is_empty() {
            return Err(BundleError::Partial((0..self.keys.len()).collect()));
        }
        // Whether or not a slice that is here has them among its public inputs.
        field(&bundle.context, "the context")?;
        field(&bundle.owner, "the owner")?;
        if bundle.owner != [0; 32] && self.manifest.tensors.iter().all(|t| t.kind != TensorKind::PrivateInput) {
            return Err(BundleError::Field("the owner of a model without private inputs must be 0; this one"));
        }
        let mut bound = vec![false; bundle.tensors.len()];
        for slice_proof in &bundle.proofs {
            let k = slice_proof.slice;
            let statement = self.statement(bundle, k)?;
            let (Some(key), Some(entry)) = (self.keys.get(k), self.manifest.slices.get(k)) else { return Err(BundleError::Slices) };
            entry.reads.iter().chain(&entry.writes).for_each(|t| bound[*t] = true);
            judge(k, key, statement, slice_proof.proof.as_slice().try_into().map_err(|_| BundleError::Slices)?)?;
        }
        match bundle.tensors.iter().zip(&bound).position(|(tensor, bound)| tensor.is_some() && !bound) {
            Some(t) => Err(unfit(&self.manifest.tensors[t], "no proof of the bundle binds it")),
            None => Ok(()),
        }
    }

    /// What a proof of slice `k` states, by a bundle that holds the tensors of the slice. Nothing else of the bundle is looked at, neither
    /// its model nor an owner that the slice does not read: that is for [`Verifier::verify`], once all slices are there.
    ///
    /// # Errors
    /// [`BundleError`] for a tensor that is missing or of another kind, for values that are no field elements, and for no such slice.
    pub fn statement(&self, bundle: &Bundle, k: usize) -> Result<Statement, BundleError> {
        let entry = self.manifest.slices.get(k).ok_or(BundleError::Slices)?;
        let of = |t: usize| bundle.tensors.get(t).and_then(Option::as_ref);
        let publics = slots(&self.manifest, entry)
            .into_iter()
            .map(|slot| match slot {
                Slot::Context => field(&bundle.context, "the context"),
                Slot::Owner => field(&bundle.owner, "the owner"),
                Slot::Read(t) | Slot::Written(t) => self.commitment(t, of(t)),
            })
            .collect::<Result<_, _>>()?;
        let mut words = Vec::new();
        for t in entry.reads.iter().chain(&entry.writes).filter(|t| self.manifest.tensors[**t].kind.is_public()) {
            words.extend(self.words(&self.manifest.tensors[*t], of(*t))?);
        }
        Ok(Statement { publics, words })
    }

    /// The verifying keys, by slice.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    fn check_model(&self, bundle: &Bundle) -> Result<(), BundleError> {
        if bundle.model == self.model {
            return Ok(());
        }
        Err(BundleError::Model { expected: hex0x(&self.model), found: hex0x(&bundle.model) })
    }

    fn commitment(&self, t: usize, bound: Option<&Bound>) -> Result<Fr, BundleError> {
        match bound {
            Some(Bound::Commitment(word)) => field(word, "a commitment"),
            _ => Err(unfit(&self.manifest.tensors[t], "its commitment is missing")),
        }
    }

    fn words(&self, tensor: &TensorEntry, bound: Option<&Bound>) -> Result<Vec<Fr>, BundleError> {
        match bound {
            Some(Bound::Words(words)) if words.len() == tensor.group().words() => {
                words.iter().map(|word| field(word, "a public word")).collect()
            }
            Some(Bound::Words(_)) => Err(unfit(tensor, "it has another number of words")),
            _ => Err(unfit(tensor, "its words are missing")),
        }
    }
}

/// The integers behind the packed words of a model's outputs, as `InferenceFulfilled` has them: those of one output after those of
/// the other.
///
/// # Errors
/// [`BundleError`]: there are more or fewer words than the outputs have, or one is none of theirs.
pub fn unpack_outputs(package: &Package, words: &[Word]) -> Result<Vec<Vec<i64>>, BundleError> {
    let mut rest = words;
    let mut outputs = Vec::new();
    let mut tensors = package.manifest().tensors.iter().filter(|t| t.kind == TensorKind::Output).peekable();
    while let Some(tensor) = tensors.next() {
        let (own, others) = rest.split_at_checked(tensor.group().words()).ok_or_else(|| unfit(tensor, "its words are missing"))?;
        if tensors.peek().is_none() && !others.is_empty() {
            return Err(unfit(tensor, "it has another number of words"));
        }
        outputs.push(unpack(tensor, own)?);
        rest = others;
    }
    Ok(outputs)
}

/// The integers behind a tensor's packed words.
///
/// # Errors
/// [`BundleError`]: there are more or fewer words than the tensor has, or one is none of its.
pub fn unpack(tensor: &TensorEntry, words: &[Word]) -> Result<Vec<i64>, BundleError> {
    if words.len() != tensor.group().words() {
        return Err(unfit(tensor, "it has another number of words"));
    }
    integers(tensor, &words.iter().map(|word| field(word, "a word")).collect::<Result<Vec<_>, _>>()?)
}

fn integers(tensor: &TensorEntry, words: &[Fr]) -> Result<Vec<i64>, BundleError> {
    let digits = unpack_values(words, tensor.count(), tensor.bits).ok_or_else(|| unfit(tensor, "a word has bits to spare"))?;
    Ok(tensor.integers(&digits))
}

fn field(word: &Word, what: &'static str) -> Result<Fr, BundleError> {
    fr_from_word(word, what).map_err(|_| BundleError::Field(what))
}

fn unfit(tensor: &TensorEntry, reason: &str) -> BundleError {
    BundleError::Tensor { tensor: tensor.name.clone(), reason: reason.into() }
}
