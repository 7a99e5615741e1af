//! From inputs to a bundle.

use std::ops::Range;

use ark_bn254::Fr;
use ark_ff::UniformRand;
use ark_std::rand::rngs::OsRng;
use rand_core::CryptoRngCore;
use zeroize::{Zeroize as _, Zeroizing};
use zkslice_circuit::gadgets::{commitment_of, pack_values, tensor_tag};
use zkslice_circuit::{CircuitError, Witness};
use zkslice_formats::{Word, hex};
use zkslice_graph::{BorderValues, SliceValues, build_witness, execute as execute_graph};
use zkslice_groth16::{fr_from_word, fr_to_word, prove as prove_slice};
use zkslice_interop::ForeignCircuit;
use zkslice_slicer::{Package, PackageError, Slice, SliceEntry, TensorEntry, TensorKind};

use crate::ProverError;
use crate::bundle::{BUNDLE_VERSION, Bound, Bundle, SliceProof};
use crate::openings::{Opening, Openings, Salt};

/// What to prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// Known tensors: the model's inputs, and boundaries where single slices are proven.
    pub openings: Openings,
    /// Context; 0 off chain.
    pub context: Word,
    /// Owner of private inputs; 0 where there are none.
    pub owner: Word,
    /// Values of all wires, where the package holds a circuit of others; none for a model.
    pub witness: Option<Vec<Fr>>,
    /// Whether the openings hold what slices write too, and the salts that commit to it, as [`execute`] leaves them. Say so only of openings
    /// that one draws the salts of or trusts: whoever chose the salt of a tensor tests guesses of it. Otherwise openings of what a slice
    /// writes are replaced, with salts of their own.
    pub executed: bool,
}

impl Inference {
    /// An inference on integers of the model's inputs, in order (see `zkslice_graph::encode`).
    ///
    /// # Errors
    /// [`ProverError::Input`] if there are not as many inputs, or values of one, as the model has.
    pub fn of_inputs(package: &Package, inputs: Vec<Vec<i64>>) -> Result<Self, ProverError> {
        let tensors = &package.manifest().tensors;
        let expected = tensors.iter().filter(|t| t.kind.is_input()).count();
        if inputs.len() != expected {
            let reason = format!("the model has {expected} inputs, {} were given", inputs.len());
            return Err(ProverError::Input { input: package.manifest().name.clone(), reason });
        }
        let mut openings = Openings::empty(tensors.len());
        for ((tensor, slot), values) in tensors.iter().zip(&mut openings.tensors).zip(inputs) {
            if values.len() != tensor.count() {
                let reason = format!("it has {} values, {} were given", tensor.count(), values.len());
                return Err(ProverError::Input { input: tensor.name.clone(), reason });
            }
            *slot = Some(Opening { values, salt: None });
        }
        Ok(Self { openings, ..Self::default() })
    }

    /// An inference on a witness of a circuit of others: the values of all its wires.
    ///
    /// # Errors
    /// [`ProverError::Interop`] for a witness that the circuit refuses; [`ProverError::Input`] where the package holds a model.
    pub fn of_witness(package: &Package, witness: Vec<Fr>) -> Result<Self, ProverError> {
        let Some(circuit) = package.foreign() else {
            let reason = "the package holds a model, which has inputs and no witness file".into();
            return Err(ProverError::Input { input: package.manifest().name.clone(), reason });
        };
        let inputs = package.manifest().tensors.iter().filter(|t| t.kind.is_input()).count();
        let integers = circuit.integers(&witness)?;
        let mut inference = Self::of_inputs(package, integers[..inputs].to_vec())?;
        inference.witness = Some(witness);
        Ok(inference)
    }
}

/// A proven inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The bundle; complete if all slices were proven.
    pub bundle: Bundle,
    /// Everything that was computed, for the provers of further slices. Holds salts.
    pub openings: Openings,
}

/// The packed words of a tensor's integers.
fn words(tensor: &TensorEntry, integers: &[i64]) -> Result<Vec<Fr>, ProverError> {
    if integers.len() != tensor.count() {
        let reason = format!("it has {} values, {} were given", tensor.count(), integers.len());
        return Err(ProverError::Input { input: tensor.name.clone(), reason });
    }
    let digits = tensor.digits(integers).map_err(|(element, min, max)| {
        let reason = format!("element {element} is {}, outside [{min}, {max}]", integers[element]);
        ProverError::Input { input: tensor.name.clone(), reason }
    })?;
    Ok(pack_values(&digits, tensor.bits))
}

/// The packed words of a tensor's integers, as contracts have those of public tensors.
///
/// # Errors
/// [`ProverError::Input`] for another number of values, or one that has no digit.
pub fn pack(tensor: &TensorEntry, integers: &[i64]) -> Result<Vec<Word>, ProverError> {
    Ok(words(tensor, integers)?.into_iter().map(fr_to_word).collect())
}

/// The salt of an opening, drawn where there is none.
fn salt(opening: &mut Opening, rng: &mut dyn CryptoRngCore) -> Result<Fr, ProverError> {
    if let Some(salt) = &opening.salt {
        return salt.field();
    }
    let salt = Fr::rand(rng);
    opening.salt = Some(Salt::new(salt));
    Ok(salt)
}

/// The wires of a circuit of others, whose bound inputs must be those that are asked for, and the integers of its inputs and outputs.
fn foreign_values<'a>(
    circuit: &ForeignCircuit,
    wires: Option<&'a Vec<Fr>>,
    inputs: &[Vec<i64>],
) -> Result<(&'a Vec<Fr>, Vec<Vec<i64>>), ProverError> {
    let wires = wires.ok_or(ProverError::NoWitness)?;
    let mut integers = circuit.integers(wires)?;
    for ((port, own), given) in circuit.ports().iter().zip(&mut integers).zip(inputs) {
        // The circuit knows no wire for a tag: it is what was asked for.
        if port.signal.first_wire.is_none() {
            own.clone_from(given);
        } else if own != given {
            let reason = "the witness has another value for it than was asked for".into();
            return Err(ProverError::Input { input: port.signal.name.clone(), reason });
        }
    }
    Ok((wires, integers))
}

/// The witness of a circuit of others, and its outputs.
fn foreign_witness(
    circuit: &ForeignCircuit,
    wires: Option<&Vec<Fr>>,
    inputs: &[Vec<i64>],
    border: &BorderValues,
) -> Result<(Witness, Vec<Vec<i64>>), ProverError> {
    let (wires, mut integers) = foreign_values(circuit, wires, inputs)?;
    let witness = circuit.witness(wires, &integers, border)?;
    Ok((witness, integers.split_off(inputs.len())))
}

/// Why no witness exists: what the executor says, which knows elements and what to do, or else what the circuit said.
fn refusal(slice: &Slice, inputs: &[Vec<i64>], error: CircuitError) -> ProverError {
    match execute_graph(&slice.graph, inputs) {
        Err(refused) => refused.into(),
        Ok(_) => error.into(),
    }
}

fn scalar(word: &Word, what: &str) -> Result<Fr, ProverError> {
    fr_from_word(word, what).map_err(|e| ProverError::Malformed { what: what.into(), reason: e.to_string() })
}

fn parse(text: &str, what: &str) -> Result<Word, ProverError> {
    hex::word(text).ok_or_else(|| ProverError::Malformed { what: what.into(), reason: "not 0x and 64 hexadecimal digits".into() })
}

/// What a request carries for an inference's inputs: their words or commitments. Draws salts for private inputs, and leaves them in
/// the inference's openings.
///
/// # Errors
/// [`ProverError::Input`] for a missing or unfit input.
pub fn encode_request(package: &Package, inference: &mut Inference, rng: &mut dyn CryptoRngCore) -> Result<Vec<Bound>, ProverError> {
    let owner = scalar(&inference.owner, "owner")?;
    inference.openings.tensors.resize(package.manifest().tensors.len(), None);
    let inputs = package.manifest().tensors.iter().zip(&mut inference.openings.tensors).filter(|(t, _)| t.kind.is_input());
    inputs.map(|(tensor, opening)| bind(tensor, opening.as_mut(), owner, rng)).collect()
}

/// What contracts see of a tensor, of which the salt is drawn where there is none.
fn bind(tensor: &TensorEntry, opening: Option<&mut Opening>, owner: Fr, rng: &mut dyn CryptoRngCore) -> Result<Bound, ProverError> {
    let opening = opening.ok_or_else(|| ProverError::Input { input: tensor.name.clone(), reason: "it was not given".into() })?;
    let words = words(tensor, &opening.values)?;
    if tensor.kind.is_public() {
        return Ok(Bound::Words(words.into_iter().map(fr_to_word).collect()));
    }
    let (salt, tag) = (salt(opening, rng)?, tensor_tag(tensor.count(), tensor.bits));
    let owner = (tensor.kind == TensorKind::PrivateInput).then_some(owner);
    Ok(Bound::Commitment(fr_to_word(commitment_of(salt, tag, owner, &words)?)))
}

/// Computes an inference by the integer executor, or takes it from the witness of a circuit of others, and proves nothing: the values of
/// all tensors, the salts of those that are committed, and what contracts see of each. From the inference as it is then every slice can be
/// [proven](prove) apart, in any order. Of one that was executed before, nothing changes.
///
/// # Errors
/// [`ProverError::Execute`] where the input saturates a node; [`ProverError::Input`] for a missing or unfit input, and for an executed
/// inference whose openings hold other values than are computed. The inference is then as it was.
pub fn execute(package: &Package, inference: &mut Inference, rng: &mut dyn CryptoRngCore) -> Result<Vec<Bound>, ProverError> {
    let manifest = package.manifest();
    let owner = scalar(&inference.owner, "owner")?;
    let mut openings = inference.openings.clone();
    openings.tensors.resize(manifest.tensors.len(), None);
    for (k, slice) in manifest.slices.iter().enumerate() {
        let outputs = outputs(package, &openings, inference.witness.as_ref(), k)?;
        for (t, values) in slice.writes.iter().zip(outputs) {
            write(&manifest.tensors[*t], &mut openings.tensors[*t], values, inference.executed)?;
        }
    }
    let tensors = manifest.tensors.iter().zip(&mut openings.tensors);
    let bound = tensors.map(|(t, opening)| bind(t, opening.as_mut(), owner, rng)).collect::<Result<_, _>>()?;
    (inference.openings, inference.executed) = (openings, true);
    Ok(bound)
}

/// Computes one slice of an inference from the openings of what it reads, and commits to what it writes with `salts`, one for each
/// committed tensor in their order: what contracts see of each of its tensors, by the tensor's place in the wiring. From the inference as it
/// is then the slice can be [proven](prove), with these salts.
///
/// # Errors
/// [`ProverError::Missing`] and [`ProverError::Input`] for tensors that it reads and that are not there, lack a salt or do not fit, and for
/// another number of salts; [`ProverError::Execute`] where a node saturates. The inference is then as it was.
pub fn execute_slice(package: &Package, inference: &mut Inference, k: usize, salts: &[Word]) -> Result<Vec<(usize, Bound)>, ProverError> {
    let manifest = package.manifest();
    let owner = scalar(&inference.owner, "owner")?;
    scalar(&inference.context, "context")?;
    let slice = slice_of(package, k)?;
    let mut openings = inference.openings.clone();
    openings.tensors.resize(manifest.tensors.len(), None);
    let outputs = outputs(package, &openings, inference.witness.as_ref(), k)?;
    let input = |t: usize, reason: &str| ProverError::Input { input: manifest.tensors[t].name.clone(), reason: reason.into() };
    let mut salts = salts.iter();
    for (t, values) in slice.writes.iter().zip(outputs) {
        let salt = match manifest.tensors[*t].kind.is_public() {
            true => None,
            false => Some(Salt::new(scalar(salts.next().ok_or_else(|| input(*t, "it has no salt"))?, "salt")?)),
        };
        openings.tensors[*t] = Some(Opening { values, salt });
    }
    if salts.next().is_some() {
        let reason = format!("slice {k} commits to fewer tensors than there are salts");
        return Err(ProverError::Malformed { what: "salts".into(), reason });
    }
    let mut bound = Vec::new();
    for t in slice.reads.iter().chain(&slice.writes) {
        let tensor = &manifest.tensors[*t];
        let opening = openings.tensors[*t].as_mut().filter(|opening| tensor.kind.is_public() || opening.salt.is_some());
        // Draws nothing: salts are there.
        bound.push((*t, bind(tensor, Some(opening.ok_or_else(|| input(*t, "it has no salt"))?), owner, &mut OsRng)?));
    }
    (inference.openings, inference.executed) = (openings, true);
    Ok(bound)
}

fn slice_of(package: &Package, k: usize) -> Result<&SliceEntry, ProverError> {
    let slices = &package.manifest().slices;
    slices.get(k).ok_or_else(|| {
        let reason = format!("slice {k} does not exist, the package has {}", slices.len());
        ProverError::Malformed { what: "--slice".into(), reason }
    })
}

/// The values of what a slice writes.
fn outputs(package: &Package, openings: &Openings, witness: Option<&Vec<Fr>>, k: usize) -> Result<Vec<Vec<i64>>, ProverError> {
    let inputs = values_read(package, openings, k)?;
    if let Some(circuit) = package.foreign() {
        return Ok(foreign_values(circuit, witness, &inputs)?.1.split_off(inputs.len()));
    }
    let graph = &package.slices()[k].graph;
    let all = execute_graph(graph, &inputs)?;
    Ok(graph.outputs.iter().map(|port| all[port.tensor].clone()).collect())
}

/// The values of what a slice reads.
fn values_read(package: &Package, openings: &Openings, k: usize) -> Result<Vec<Vec<i64>>, ProverError> {
    let manifest = package.manifest();
    let missing = |t: usize| ProverError::Missing { slice: k, tensor: manifest.tensors[t].name.clone() };
    let reads = manifest.slices[k].reads.iter();
    reads.map(|t| openings.tensors[*t].as_ref().map(|o| o.values.clone()).ok_or_else(|| missing(*t))).collect()
}

/// Notes what a slice computed. Of an executed inference the opening is there, with its salt.
fn write(tensor: &TensorEntry, opening: &mut Option<Opening>, values: Vec<i64>, executed: bool) -> Result<(), ProverError> {
    match opening {
        Some(known) if executed && known.values != values => {
            let reason = "its opening holds other values than are computed from the inputs: they are of another inference".into();
            Err(ProverError::Input { input: tensor.name.clone(), reason })
        }
        Some(_) if executed => Ok(()),
        _ => {
            *opening = Some(Opening { values, salt: None });
            Ok(())
        }
    }
}

/// Proves some slices of an inference, in order. `progress(slice)` is called before each.
///
/// Salts are drawn for every tensor that is written, and for inputs that have none: fresh for each inference and boundary (rule G6). Those of
/// an [executed](Inference::executed) inference are there already.
///
/// # Errors
/// [`ProverError::Execute`] where the input saturates a node; [`ProverError::Missing`] where a slice's reads are not known;
/// [`ProverError::Input`] where the openings of an executed inference hold other values than are computed.
pub fn prove(
    package: &Package,
    inference: Inference,
    slices: Range<usize>,
    rng: &mut dyn CryptoRngCore,
    mut progress: impl FnMut(usize),
) -> Result<Proven, ProverError> {
    prove_slices(package, inference, slices, rng, &mut progress)
}

// Not generic, so that it is compiled here, with this crate's settings, and once.
fn prove_slices(
    package: &Package,
    mut inference: Inference,
    slices: Range<usize>,
    rng: &mut dyn CryptoRngCore,
    progress: &mut dyn FnMut(usize),
) -> Result<Proven, ProverError> {
    let manifest = package.manifest();
    let model = parse(&package.keys()?.model, "keys.json: model")?;
    let (context, owner) = (scalar(&inference.context, "context")?, scalar(&inference.owner, "owner")?);
    inference.openings.tensors.resize(manifest.tensors.len(), None);
    let mut tensors: Vec<Option<Bound>> = vec![None; manifest.tensors.len()];
    let mut proofs = Vec::new();
    for k in slices {
        progress(k);
        let slice = slice_of(package, k)?;
        let missing = |t: usize| ProverError::Missing { slice: k, tensor: manifest.tensors[t].name.clone() };
        let inputs = values_read(package, &inference.openings, k)?;
        // Salts of the tensors read, then of those written: drawn where there is none.
        let read: Vec<usize> = slice.reads.iter().copied().filter(|t| !manifest.tensors[*t].kind.is_public()).collect();
        let written: Vec<usize> = slice.writes.iter().copied().filter(|t| !manifest.tensors[*t].kind.is_public()).collect();
        let mut salts = Vec::with_capacity(read.len() + written.len());
        for t in &read {
            let opening = inference.openings.tensors[*t].as_mut().ok_or_else(|| missing(*t))?;
            salts.push(salt(opening, rng)?);
        }
        for t in &written {
            salts.push(match &mut inference.openings.tensors[*t] {
                Some(known) if inference.executed => salt(known, rng)?,
                _ => Fr::rand(rng),
            });
        }
        let mut border = BorderValues { context, owner, salts };
        let (witness, outputs) = match package.foreign() {
            Some(circuit) => foreign_witness(circuit, inference.witness.as_ref(), &inputs, &border)?,
            None => {
                let (slice, mut values) = (&package.slices()[k], SliceValues { inputs, border: border.clone() });
                let built = build_witness(slice.bound(), &values).map_err(|error| refusal(slice, &values.inputs, error));
                values.inputs.zeroize();
                values.border.salts.zeroize();
                built?
            }
        };
        let witness = Zeroizing::new(witness);
        for (t, values) in slice.writes.iter().zip(outputs) {
            write(&manifest.tensors[*t], &mut inference.openings.tensors[*t], values, inference.executed)?;
        }
        let first = witness.publics.len() - border.salts.len();
        for ((t, salt), commitment) in read.iter().chain(&written).zip(&border.salts).zip(&witness.publics[first..]) {
            let opening = inference.openings.tensors[*t].as_mut().ok_or_else(|| missing(*t))?;
            opening.salt = Some(Salt::new(*salt));
            tensors[*t] = Some(Bound::Commitment(fr_to_word(*commitment)));
        }
        for t in slice.reads.iter().chain(&slice.writes).filter(|t| manifest.tensors[**t].kind.is_public()) {
            let opening = inference.openings.tensors[*t].as_ref().ok_or_else(|| missing(*t))?;
            tensors[*t] = Some(Bound::Words(words(&manifest.tensors[*t], &opening.values)?.into_iter().map(fr_to_word).collect()));
        }
        let key = package.proving_key(k)?;
        let circuit = || {
            package.circuit(k).map_err(|error| match error {
                PackageError::Circuit(error) => error,
                other => CircuitError::Unsupported { gadget: format!("slice {k}"), reason: other.to_string() },
            })
        };
        let proof = prove_slice(&key, &witness, circuit, rng).map_err(|source| ProverError::Slice { slice: k, source })?;
        border.salts.zeroize();
        proofs.push(SliceProof { slice: k, proof: proof.to_words().to_vec() });
    }
    let bundle = Bundle { version: BUNDLE_VERSION, model, context: inference.context, owner: inference.owner, tensors, proofs };
    Ok(Proven { bundle, openings: inference.openings })
}
