//! The package: what `compile` writes and `setup` adds to.
//!
//! ```text
//! manifest.json             format version, tensors (the wiring), slices, digests of the files
//! slices/<k>/graph.bin      the slice's integer graph
//! keys.json                 digests of the keys, setup digest, model digest   (after setup)
//! keys/<setup>/<k>.proving.key, <k>.verifying.key                             (after setup)
//! .lock                     whoever writes holds it
//! ```
//!
//! A package is written into a folder next to its place and put there whole; the same model and samples give the same bytes.
//! Keys are whole from the moment that `keys.json` names their setup, and were not there before: a setup that is broken off
//! leaves the earlier keys, or none.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand_core::CryptoRngCore;
use serde::{Deserialize, Serialize};
use zkslice_circuit::Circuit;
use zkslice_formats::key_blob::{MAX_SLICES, TensorKind};
use zkslice_formats::{FolderLock, NewFolder, Readers, check_version, hex, hex0x, json_version, keccak, to_json};
use zkslice_graph::{
    Binding, Encoding, ExecuteError, Feature, Graph, Input, InputSlot, Kind, Port, Scale, ValueError, build_circuit, cost, encode_tensors,
};
use zkslice_groth16::{Form, KeyError, ProvingKey, Setup, VerifyingKey, WordGroup, check_deltas};

use crate::PackageError;
use crate::blob::KeyBlob;
use crate::fit::fit;
use crate::partition::Strategy;
use crate::slices::{Slice, SliceModel, WiringTensor, slice};

const VERSION: u32 = 2;
const MANIFEST: &str = "manifest.json";
const KEYS: &str = "keys.json";
/// Version of `keys.json`; until 1 the keys lay beside the graphs.
const KEYS_VERSION: u32 = 2;
const KEYS_FOLDER: &str = "keys";
const SLICES_FOLDER: &str = "slices";

/// Whether a model's inputs are public words or commitments of their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputMode {
    /// Packed words in calldata.
    Public,
    /// Salted commitments.
    Private,
}

impl InputMode {
    pub(crate) fn kind(self) -> TensorKind {
        match self {
            Self::Public => TensorKind::PublicInput,
            Self::Private => TensorKind::PrivateInput,
        }
    }
}

/// How the circuit of a slice binds a tensor at its border.
pub(crate) trait Bound {
    fn binding(self) -> Binding;
}

impl Bound for TensorKind {
    fn binding(self) -> Binding {
        match self {
            Self::PublicInput | Self::Output => Binding::Words,
            Self::PrivateInput => Binding::Commitment { owner: true },
            Self::Boundary => Binding::Commitment { owner: false },
        }
    }
}

/// A tensor of the wiring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// Name in the model.
    pub name: String,
    /// What it is.
    pub kind: TensorKind,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Width of a digit.
    pub bits: u32,
    /// The axis along which features lie; 0 where one feature stands for all elements.
    pub axis: usize,
    /// One for all elements, or one per index of the axis; more than one for inputs only.
    pub features: Vec<FeatureEntry>,
}

/// How the elements of one feature of a tensor are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureEntry {
    /// Added to integers to make digits.
    pub offset: i64,
    /// One unit in 10^−18; 0 for a boundary.
    #[serde(with = "scale")]
    pub scale: u128,
}

/// A scale in JSON: a number below 2^64, decimal text from there on, since readers of JSON differ in how much of a larger
/// number they keep.
mod scale {
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(scale: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        match u64::try_from(*scale) {
            Ok(number) => serializer.serialize_u64(number),
            Err(_) => serializer.collect_str(scale),
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a scale: a whole number below 2^64, or from there on its decimal digits as text")]
    enum Form {
        Number(u64),
        Text(String),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(number.into()),
            Form::Text(text) => text
                .parse()
                .ok()
                .filter(|number: &u128| *number > u64::MAX.into() && number.to_string() == text)
                .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a scale from 2^64 to 2^128 in decimal digits")),
        }
    }
}

impl TensorEntry {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its digits.
    pub fn encoding(&self) -> Encoding {
        let feature = |entry: &FeatureEntry| Feature { offset: entry.offset, scale: Scale { mantissa: entry.scale.max(1) } };
        Encoding { bits: self.bits, axis: self.axis, features: self.features.iter().map(feature).collect() }
    }

    /// The feature of all elements, where there is one.
    pub fn single(&self) -> Option<FeatureEntry> {
        if let [feature] = self.features[..] { Some(feature) } else { None }
    }

    /// The integers that digits stand for.
    pub fn integers(&self, digits: &[i64]) -> Vec<i64> {
        digits.iter().zip(self.encoding().by_element(&self.shape)).map(|(digit, feature)| feature.integer(*digit)).collect()
    }

    /// The digits of integers, or the first integer that has none: its index, and the smallest and largest that do.
    ///
    /// # Errors
    /// That integer's index, and the smallest and largest integer that have digits there.
    pub fn digits(&self, integers: &[i64]) -> Result<Vec<i64>, (usize, i64, i64)> {
        let encoding = self.encoding();
        let each = integers.iter().zip(encoding.by_element(&self.shape)).enumerate();
        each.map(|(element, (integer, feature))| {
            let (min, max) = feature.range(self.bits);
            if (min..=max).contains(integer) { Ok(feature.digit(*integer)) } else { Err((element, min, max)) }
        })
        .collect()
    }

    /// Layout of its words.
    pub fn group(&self) -> WordGroup {
        WordGroup { count: self.count(), bits: self.bits }
    }
}

/// A slice in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceEntry {
    /// keccak256 of its graph file.
    pub graph: String,
    /// Rows of its circuit.
    pub constraints: usize,
    /// Tensors read, ascending indices into [`Manifest::tensors`].
    pub reads: Vec<usize>,
    /// Tensors written, ascending.
    pub writes: Vec<usize>,
}

/// What `compile` made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format version.
    pub version: u32,
    /// Name of the model.
    pub name: String,
    /// The wiring: model inputs, model outputs, boundaries.
    pub tensors: Vec<TensorEntry>,
    /// The slices.
    pub slices: Vec<SliceEntry>,
    /// Slices that a partial bundle must prove at least, ascending; none where only whole bundles are served.
    #[serde(default)]
    pub coverage_policy: Vec<usize>,
    /// Accuracy and options, as compiled: for people. Nothing that is proven follows from it.
    pub report: serde_json::Value,
}

impl Manifest {
    /// What the numbers of an input or output are: real ones, unless the report says that they are exact.
    pub fn kind_of(&self, tensor: &TensorEntry) -> Kind {
        Kind::deserialize(&self.report["exact"][&tensor.name]).unwrap_or_default()
    }
}

/// A slice's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceKeyEntry {
    /// Hash of the verifying key.
    pub verifying_key: String,
    /// Digest of the proving key's header, which holds those of its sections.
    pub proving_key: String,
}

/// What `setup` made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyManifest {
    /// Format version.
    pub version: u32,
    /// Whether the keys were made without a ceremony.
    pub dev: bool,
    /// keccak256 of `manifest.json`: the package that the keys are for.
    pub package: String,
    /// Digest of α, β, γ.
    pub setup: String,
    /// The model's id.
    pub model: String,
    /// The slices' keys.
    pub slices: Vec<SliceKeyEntry>,
}

/// How to make a package.
#[derive(Clone, Debug)]
pub struct PackageOptions {
    /// Name of the model.
    pub name: String,
    /// Public or private inputs.
    pub inputs: InputMode,
    /// How many slices.
    pub strategy: Strategy,
    /// See [`Manifest::coverage_policy`].
    pub coverage_policy: Vec<usize>,
}

/// A package on disk, its digests checked.
#[derive(Debug)]
pub struct Package {
    folder: PathBuf,
    manifest: Manifest,
    digest: [u8; 32],
    slices: Vec<Slice>,
    /// The keys that it was first asked for: all that one package hands out are of one setup, whatever comes to the folder meanwhile.
    keys: Mutex<Option<KeyManifest>>,
}

impl Package {
    /// Cuts a graph and writes the package. Rows are counted from the circuits themselves.
    ///
    /// The same package in the folder stays, with its keys. Another one is replaced if it has no keys; anything else is not.
    ///
    /// # Errors
    /// [`PackageError::HasKeys`] for another package with keys; [`PackageError`]. Nothing half-written stays behind.
    pub fn create(folder: &Path, graph: &Graph, options: &PackageOptions, report: serde_json::Value) -> Result<Self, PackageError> {
        Self::write(folder, graph, options, report, false)
    }

    /// [`Package::create`], where another package's keys are lost.
    ///
    /// # Errors
    /// As [`Package::create`], but for the keys.
    pub fn replace(folder: &Path, graph: &Graph, options: &PackageOptions, report: serde_json::Value) -> Result<Self, PackageError> {
        Self::write(folder, graph, options, report, true)
    }

    fn write(
        folder: &Path,
        graph: &Graph,
        options: &PackageOptions,
        report: serde_json::Value,
        lose_keys: bool,
    ) -> Result<Self, PackageError> {
        check_replaceable(folder)?;
        let (graph, partition) = fit(graph, options.strategy, options.inputs)?;
        let SliceModel { wiring, slices } = slice(&graph, &partition.cuts, options.inputs)?;
        let mut files = BTreeMap::new();
        let mut entries = Vec::with_capacity(slices.len());
        for (k, slice) in slices.iter().enumerate() {
            let bytes = slice.graph.to_bytes()?;
            entries.push(SliceEntry {
                graph: hex0x(&keccak(&bytes)),
                constraints: cost::rows(slice.bound()).total(),
                reads: slice.reads.clone(),
                writes: slice.writes.clone(),
            });
            files.insert(graph_file(k), bytes);
        }
        let tensors = wiring.tensors.iter().map(|t| entry(&graph, t)).collect();
        let (name, coverage_policy) = (options.name.clone(), options.coverage_policy.clone());
        let manifest = Manifest { version: VERSION, name, tensors, slices: entries, coverage_policy, report };
        check_wiring(&manifest).map_err(|reason| PackageError::malformed(folder, reason))?;
        check_policy(&manifest).map_err(PackageError::CoveragePolicy)?;
        let bytes = to_json(&manifest).map_err(|e| PackageError::malformed(&folder.join(MANIFEST), e))?;
        files.insert(PathBuf::from(MANIFEST), bytes);
        put(folder, &files, lose_keys)?;
        Self::open(folder)
    }

    /// Opens a package and checks every digest, every graph and the wiring.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        let path = folder.join(MANIFEST);
        let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
        check_stated_version(&path, &bytes, VERSION)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| PackageError::malformed(&path, e))?;
        let kinds: Vec<TensorKind> = manifest.tensors.iter().map(|t| t.kind).collect();
        let mut slices = Vec::with_capacity(manifest.slices.len());
        for (k, entry) in manifest.slices.iter().enumerate() {
            let path = folder.join(graph_file(k));
            let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
            if hex0x(&keccak(&bytes)) != entry.graph {
                return Err(PackageError::Digest { path });
            }
            let graph = Graph::from_bytes(&bytes).map_err(|e| PackageError::malformed(&path, e))?;
            check_ports(&manifest, entry, &graph).map_err(|reason| PackageError::malformed(&path, reason))?;
            slices.push(Slice::new(graph, entry.reads.clone(), entry.writes.clone(), &kinds));
        }
        check_wiring(&manifest).and_then(|()| check_policy(&manifest)).map_err(|reason| PackageError::malformed(&path, reason))?;
        Ok(Self { folder: folder.into(), manifest, digest: keccak(&bytes), slices, keys: Mutex::default() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Digest of the package without keys: keccak256 of its manifest.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The slices.
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// Encodes an input of floats as the integers of the model's inputs.
    ///
    /// # Errors
    /// [`ValueError`] naming the input and element that is missing, of the wrong type or out of range.
    pub fn encode(&self, input: &Input) -> Result<Vec<Vec<i64>>, ValueError> {
        let inputs: Vec<&TensorEntry> = self.manifest.tensors.iter().filter(|tensor| tensor.kind.is_input()).collect();
        let encodings: Vec<Encoding> = inputs.iter().map(|tensor| tensor.encoding()).collect();
        let slots = inputs.iter().zip(&encodings).map(|(tensor, encoding)| InputSlot {
            name: &tensor.name,
            shape: &tensor.shape,
            encoding,
            kind: self.manifest.kind_of(tensor),
        });
        encode_tensors(slots, input)
    }

    /// Runs the model on integers of its inputs, without proving anything; gives those of its outputs.
    ///
    /// # Errors
    /// [`ExecuteError`]: no proof can be made for this input.
    pub fn execute(&self, inputs: Vec<Vec<i64>>) -> Result<Vec<Vec<i64>>, ExecuteError> {
        let of =
            |wanted: fn(TensorKind) -> bool| self.manifest.tensors.iter().enumerate().filter(move |(_, t)| wanted(t.kind)).map(|(k, _)| k);
        let expected = of(TensorKind::is_input).count();
        if inputs.len() != expected {
            return Err(ExecuteError::InputCount { expected, given: inputs.len() });
        }
        let mut values: Vec<Vec<i64>> = vec![Vec::new(); self.manifest.tensors.len()];
        for (tensor, input) in of(TensorKind::is_input).zip(inputs) {
            values[tensor] = input;
        }
        for slice in &self.slices {
            let reads: Vec<Vec<i64>> = slice.reads.iter().map(|tensor| values[*tensor].clone()).collect();
            let mut computed = zkslice_graph::execute(&slice.graph, &reads)?;
            for (tensor, port) in slice.writes.iter().zip(&slice.graph.outputs) {
                values[*tensor] = std::mem::take(&mut computed[port.tensor]);
            }
        }
        Ok(of(|kind| kind == TensorKind::Output).map(|tensor| std::mem::take(&mut values[tensor])).collect())
    }

    /// Decodes the model's outputs, given as integers, into floats.
    pub fn decode(&self, outputs: &[Vec<i64>]) -> Vec<Vec<f64>> {
        let tensors = self.manifest.tensors.iter().filter(|tensor| tensor.kind == TensorKind::Output);
        tensors.zip(outputs).map(|(tensor, list)| tensor.encoding().decode(&tensor.shape, list)).collect()
    }

    /// Word groups of a slice: public tensors read, then written.
    pub fn groups(&self, slice: usize) -> Vec<WordGroup> {
        let slice = &self.slices[slice];
        let public = slice.reads.iter().chain(&slice.writes).map(|t| &self.manifest.tensors[*t]).filter(|t| t.kind.is_public());
        public.map(TensorEntry::group).collect()
    }

    /// Circuit of a slice.
    ///
    /// # Errors
    /// [`PackageError::Circuit`].
    pub fn circuit(&self, slice: usize) -> Result<Circuit, PackageError> {
        Ok(build_circuit(self.slices[slice].bound())?)
    }

    /// The keys' manifest, as it was when keys of this package were first asked for, or made.
    ///
    /// # Errors
    /// [`PackageError::NoKeys`] before `setup`; [`PackageError::Malformed`] for keys of another package.
    pub fn keys(&self) -> Result<KeyManifest, PackageError> {
        let mut known = self.known_keys();
        if let Some(keys) = known.as_ref() {
            return Ok(keys.clone());
        }
        let path = self.folder.join(KEYS);
        if !path.is_file() {
            return Err(PackageError::NoKeys { path: self.folder.clone() });
        }
        let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
        check_stated_version(&path, &bytes, KEYS_VERSION)?;
        let keys: KeyManifest = serde_json::from_slice(&bytes).map_err(|e| PackageError::malformed(&path, e))?;
        if keys.package != hex0x(&self.digest) || keys.slices.len() != self.slices.len() {
            return Err(PackageError::malformed(&path, "the keys are for another package; run `zkslice setup` again"));
        }
        // It names a folder.
        if hex::word(&keys.setup).is_none() {
            return Err(PackageError::malformed(&path, "`setup` is no digest; run `zkslice setup` again"));
        }
        Ok(known.insert(keys).clone())
    }

    fn known_keys(&self) -> MutexGuard<'_, Option<KeyManifest>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What reading a key's file came to; an absent one may have been replaced since the keys' manifest was read.
    fn of_key_file<T>(&self, manifest: &KeyManifest, result: Result<T, PackageError>) -> Result<T, PackageError> {
        result.map_err(|error| match &error {
            PackageError::Io { source, .. } | PackageError::Key(KeyError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                let now = fs::read(self.folder.join(KEYS)).ok().and_then(|bytes| serde_json::from_slice::<KeyManifest>(&bytes).ok());
                match now {
                    Some(now) if now != *manifest => PackageError::KeysReplaced { path: self.folder.clone() },
                    _ => error,
                }
            }
            _ => error,
        })
    }

    /// Verifying keys of all slices, checked against the keys' manifest and against each other.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn verifying_keys(&self) -> Result<Vec<VerifyingKey>, PackageError> {
        let manifest = self.keys()?;
        let mut keys = Vec::with_capacity(manifest.slices.len());
        for (k, entry) in manifest.slices.iter().enumerate() {
            let path = self.folder.join(verifying_key_file(&manifest.setup, k));
            let bytes = self.of_key_file(&manifest, fs::read(&path).map_err(PackageError::io(&path)))?;
            let key = VerifyingKey::from_record(&bytes).map_err(|e| PackageError::malformed(&path, e))?;
            if hex0x(&key.hash()) != entry.verifying_key {
                return Err(PackageError::Digest { path });
            }
            self.check_key(k, &key).map_err(|reason| PackageError::malformed(&path, reason))?;
            keys.push(key);
        }
        if keys.windows(2).any(|pair| pair[0].setup_digest() != pair[1].setup_digest()) {
            let path = self.folder.join(KEYS);
            return Err(PackageError::malformed(&path, "its slices' keys are of different setups; run `zkslice setup` again"));
        }
        check_deltas(&keys)?;
        Ok(keys)
    }

    /// Proving key of a slice, memory-mapped, checked against the keys' manifest.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn proving_key(&self, slice: usize) -> Result<ProvingKey, PackageError> {
        let manifest = self.keys()?;
        let path = self.folder.join(proving_key_file(&manifest.setup, slice));
        let key = self.of_key_file(&manifest, ProvingKey::open(&path).map_err(PackageError::from))?;
        let entry = &manifest.slices[slice];
        if hex0x(&key.digest()) != entry.proving_key || hex0x(key.verifying_key_hash()) != entry.verifying_key {
            return Err(PackageError::malformed(&path, "the key is from another circuit or setup; run `zkslice setup` again"));
        }
        self.check_key(slice, key.verifying_key()).map_err(|reason| PackageError::malformed(&path, reason))?;
        Ok(key)
    }

    fn check_key(&self, slice: usize, key: &VerifyingKey) -> Result<(), &'static str> {
        let publics = crate::blob::slots(&self.manifest, &self.manifest.slices[slice]).len();
        // Every slice looks up the digits that it reads, so none is plain Groth16: a plain key would leave the challenge to the prover.
        if key.form() != Form::Committed || key.publics != publics || key.groups != self.groups(slice) {
            return Err("the key is for another circuit; run `zkslice setup` again");
        }
        Ok(())
    }

    /// The key blob, checked against the keys' manifest.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn key_blob(&self) -> Result<KeyBlob, PackageError> {
        let keys = self.keys()?;
        let blob = KeyBlob::new(&self.manifest, self.verifying_keys()?, keys.dev);
        let path = self.folder.join(KEYS);
        if hex0x(&blob.model_digest()) != keys.model || hex0x(blob.setup_digest()) != keys.setup {
            return Err(PackageError::malformed(&path, "the model digest is not that of the keys; run `zkslice setup` again"));
        }
        Ok(blob)
    }
}

/// Makes dev keys for packages under one setup: α, β, γ shared, deltas distinct over all of them. `progress(done, all)` is
/// called after each key.
///
/// # Errors
/// [`PackageError::HasKeys`] where a package has keys; [`PackageError::Busy`] while another process writes one; [`PackageError`]. Each
/// package then has the keys that it had, or none.
pub fn setup(packages: &[Package], rng: &mut dyn CryptoRngCore, mut progress: impl FnMut(usize, usize)) -> Result<(), PackageError> {
    make_keys(packages, false, rng, &mut progress)
}

/// [`setup`], where earlier keys are lost.
///
/// # Errors
/// As [`setup`], but for earlier keys.
pub fn setup_again(packages: &[Package], rng: &mut dyn CryptoRngCore, mut progress: impl FnMut(usize, usize)) -> Result<(), PackageError> {
    make_keys(packages, true, rng, &mut progress)
}

fn make_keys(
    packages: &[Package],
    lose_keys: bool,
    rng: &mut dyn CryptoRngCore,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), PackageError> {
    let mut locks = BTreeMap::new();
    for package in packages {
        let path = package.folder.canonicalize().map_err(PackageError::io(&package.folder))?;
        if locks.contains_key(&path) {
            return Err(PackageError::malformed(&package.folder, "the package is given twice"));
        }
        locks.insert(path, lock(&package.folder)?);
        let path = package.folder.join(MANIFEST);
        if keccak(&fs::read(&path).map_err(PackageError::io(&path))?) != package.digest {
            return Err(PackageError::malformed(&path, "it was replaced meanwhile; run `zkslice setup` again"));
        }
        if !lose_keys {
            check_without_keys(&package.folder)?;
        }
    }
    let all: usize = packages.iter().map(|p| p.slices.len()).sum();
    let secrets = Setup::dev(rng);
    let mut made = Vec::new();
    let mut done = 0;
    for package in packages {
        let (mut keys, mut entries) = (Vec::new(), Vec::new());
        let mut files = NewKeys::default();
        for k in 0..package.slices.len() {
            let key = secrets.key(&package.circuit(k)?, &package.groups(k), rng)?;
            let setup = hex0x(&key.verifying_key().setup_digest());
            if k == 0 {
                files.begin(package.folder.join(keys_folder(&setup)))?;
            }
            key.save(&package.folder.join(proving_key_file(&setup, k)))?;
            let path = package.folder.join(verifying_key_file(&setup, k));
            zkslice_formats::write(&path, Readers::Umask, &key.verifying_key().record()).map_err(PackageError::io(&path))?;
            entries.push(SliceKeyEntry { verifying_key: hex0x(key.verifying_key_hash()), proving_key: hex0x(&key.digest()) });
            keys.push(key.verifying_key().clone());
            done += 1;
            progress(done, all);
        }
        made.push((keys, entries, files));
    }
    check_deltas(made.iter().flat_map(|(keys, ..)| keys))?;
    let mut manifests = Vec::new();
    let mut folders = Vec::new();
    for (package, (keys, slices, files)) in packages.iter().zip(made) {
        let blob = KeyBlob::new(&package.manifest, keys, true);
        let manifest = KeyManifest {
            version: KEYS_VERSION,
            dev: true,
            package: hex0x(&package.digest),
            setup: hex0x(blob.setup_digest()),
            model: hex0x(&blob.model_digest()),
            slices,
        };
        let path = package.folder.join(KEYS);
        let bytes = to_json(&manifest).map_err(|e| PackageError::malformed(&path, e))?;
        manifests.push((path, bytes));
        folders.push(files);
    }
    name_keys(&manifests, &mut folders)?;
    for (package, files) in packages.iter().zip(folders) {
        files.keep();
        *package.known_keys() = None;
    }
    Ok(())
}

/// Writes the packages' `keys.json`: all of them, or none.
fn name_keys(manifests: &[(PathBuf, Vec<u8>)], folders: &mut [NewKeys]) -> Result<(), PackageError> {
    let earlier: Vec<Option<Vec<u8>>> = manifests.iter().map(|(path, _)| fs::read(path).ok()).collect();
    for (path, bytes) in manifests {
        let Err(error) = zkslice_formats::write(path, Readers::Umask, bytes) else { continue };
        for (((path, bytes), earlier), folder) in manifests.iter().zip(&earlier).zip(folders) {
            // A write may fail when the file is in its place already.
            if fs::read(path).ok().as_ref() != Some(bytes) {
                continue;
            }
            let back = match earlier {
                Some(earlier) => zkslice_formats::write(path, Readers::Umask, earlier),
                None => fs::remove_file(path),
            };
            if back.is_err() {
                // The new keys are named, so they stay; the earlier ones do too.
                folder.folder = None;
            }
        }
        return Err(PackageError::io(path)(error));
    }
    Ok(())
}

/// Key files that no `keys.json` names yet: dropping them removes them.
#[derive(Default)]
struct NewKeys {
    folder: Option<PathBuf>,
}

impl NewKeys {
    fn begin(&mut self, folder: PathBuf) -> Result<(), PackageError> {
        fs::create_dir_all(&folder).map_err(PackageError::io(&folder))?;
        self.folder = Some(folder);
        Ok(())
    }

    /// These are the package's keys now; all others, of earlier setups or of one that was killed, go.
    fn keep(mut self) {
        let Some(folder) = self.folder.take() else { return };
        for entry in folder.parent().and_then(|keys| fs::read_dir(keys).ok()).into_iter().flatten().flatten() {
            if entry.path() != folder {
                // It is in nobody's way, and goes with the next setup.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for NewKeys {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
            // Only if nothing else is in it.
            let _ = folder.parent().map(fs::remove_dir);
        }
    }
}

fn lock(folder: &Path) -> Result<FolderLock, PackageError> {
    FolderLock::take(folder).map_err(PackageError::io(folder))?.ok_or_else(|| PackageError::Busy { path: folder.into() })
}

fn check_without_keys(folder: &Path) -> Result<(), PackageError> {
    #[derive(Deserialize)]
    struct Model {
        model: String,
    }
    let path = folder.join(KEYS);
    if !path.exists() {
        return Ok(());
    }
    let model = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).map(|Model { model }| model);
    Err(PackageError::HasKeys { path: folder.into(), model: model.unwrap_or_else(|| format!("that {KEYS} does not say")) })
}

fn graph_file(slice: usize) -> PathBuf {
    PathBuf::from(format!("{SLICES_FOLDER}/{slice}/graph.bin"))
}

/// Folder of the keys of one setup, named after its digest.
fn keys_folder(setup: &str) -> PathBuf {
    Path::new(KEYS_FOLDER).join(setup.chars().skip(2).take(16).collect::<String>())
}

fn proving_key_file(setup: &str, slice: usize) -> PathBuf {
    keys_folder(setup).join(format!("{slice}.proving.key"))
}

fn verifying_key_file(setup: &str, slice: usize) -> PathBuf {
    keys_folder(setup).join(format!("{slice}.verifying.key"))
}

fn check_stated_version(path: &Path, bytes: &[u8], known: u32) -> Result<(), PackageError> {
    let stated = json_version(bytes).map_err(|e| PackageError::malformed(path, e))?;
    check_version(stated, known).map_err(|error| PackageError::Version { path: path.into(), error })
}

fn entry(graph: &Graph, tensor: &WiringTensor) -> TensorEntry {
    TensorEntry {
        name: tensor.name.clone(),
        kind: tensor.kind,
        shape: graph.tensors[tensor.tensor].shape.clone(),
        bits: tensor.encoding.bits,
        axis: tensor.encoding.axis,
        features: feature_entries(tensor.kind, &tensor.encoding),
    }
}

/// A boundary's numbers mean nothing outside: it has no scale.
fn feature_entries(kind: TensorKind, encoding: &Encoding) -> Vec<FeatureEntry> {
    let entry = |feature: &Feature| FeatureEntry {
        offset: feature.offset,
        scale: if kind == TensorKind::Boundary { 0 } else { feature.scale.mantissa },
    };
    encoding.features.iter().map(entry).collect()
}

/// A slice's ports are the manifest's tensors, names and scales included: what the model digest says of a tensor is what its slices compute.
fn check_ports(manifest: &Manifest, entry: &SliceEntry, graph: &Graph) -> Result<(), String> {
    let fits = |tensor: &TensorEntry, port: &Port| {
        tensor.bits == port.encoding.bits
            && tensor.axis == port.encoding.axis
            && tensor.features == feature_entries(tensor.kind, &port.encoding)
            && (&tensor.name, &tensor.shape) == (&graph.tensors[port.tensor].name, &graph.tensors[port.tensor].shape)
    };
    let same = |tensors: &[usize], ports: &[Port]| {
        tensors.len() == ports.len()
            && tensors.windows(2).all(|pair| pair[0] < pair[1])
            && tensors.iter().zip(ports).all(|(t, port)| manifest.tensors.get(*t).is_some_and(|tensor| fits(tensor, port)))
    };
    if same(&entry.reads, &graph.inputs) && same(&entry.writes, &graph.outputs) {
        return Ok(());
    }
    Err("its inputs or outputs are not the manifest's tensors; compile the package again".into())
}

/// Every boundary is written once, before it is read; every output is written once and read by no slice; every input is read. What the
/// registry asks of a wiring, so that no package is made that cannot be registered.
fn check_wiring(manifest: &Manifest) -> Result<(), String> {
    let order = |kind: TensorKind| match kind {
        TensorKind::PublicInput | TensorKind::PrivateInput => 0,
        TensorKind::Output => 1,
        TensorKind::Boundary => 2,
    };
    if manifest.slices.is_empty() || !manifest.tensors.is_sorted_by_key(|t| order(t.kind)) {
        return Err("its tensors are out of order or it has no slice".into());
    }
    if manifest.slices.len() > MAX_SLICES {
        return Err(format!("it has {} slices, and contracts take at most {MAX_SLICES}: cut into fewer", manifest.slices.len()));
    }
    if !manifest.tensors.iter().any(|t| t.kind.is_input()) || manifest.tensors.iter().all(|t| t.kind != TensorKind::Output) {
        return Err("it has no input or no output".into());
    }
    let mut written = vec![false; manifest.tensors.len()];
    let mut read = written.clone();
    for (k, slice) in manifest.slices.iter().enumerate() {
        let commitments = slice.reads.iter().chain(&slice.writes).filter(|t| !manifest.tensors[**t].kind.is_public());
        if !commitments.is_sorted_by(|a, b| a < b) {
            return Err(format!("slice {k} writes a boundary that comes before one that it reads"));
        }
        for t in &slice.reads {
            if manifest.tensors[*t].kind == TensorKind::Output {
                return Err(format!("slice {k} reads tensor {t}, which is an output"));
            }
            if !manifest.tensors[*t].kind.is_input() && !written[*t] {
                return Err(format!("slice {k} reads tensor {t} before a slice writes it"));
            }
            read[*t] = true;
        }
        for t in &slice.writes {
            if manifest.tensors[*t].kind.is_input() || std::mem::replace(&mut written[*t], true) {
                return Err(format!("slice {k} writes tensor {t}, which is an input or written already"));
            }
        }
    }
    for (t, tensor) in manifest.tensors.iter().enumerate() {
        let bound = match tensor.kind {
            TensorKind::PublicInput | TensorKind::PrivateInput => read[t],
            TensorKind::Output => written[t],
            TensorKind::Boundary => read[t] && written[t],
        };
        if !bound {
            return Err(format!("no slice uses tensor {t} ('{}')", tensor.name));
        }
    }
    Ok(())
}

/// A policy names some slices, not all, and among them those that put out outputs: what a partial bundle hands out is then at least
/// what those slices computed (rule B6).
fn check_policy(manifest: &Manifest) -> Result<(), String> {
    let policy = &manifest.coverage_policy;
    if policy.is_empty() {
        return Ok(());
    }
    let slices = manifest.slices.len();
    if !policy.is_sorted_by(|a, b| a < b) || policy.last().is_some_and(|k| *k >= slices) {
        return Err(format!("the coverage policy {policy:?} is not an ascending list of slices below {slices}"));
    }
    if policy.len() == slices {
        return Err("the coverage policy names every slice: leave it out, whole bundles are always served".into());
    }
    let is_output = |t: &usize| manifest.tensors[*t].kind == TensorKind::Output;
    match (0..slices).find(|k| manifest.slices[*k].writes.iter().any(is_output) && !policy.contains(k)) {
        Some(k) => Err(format!("the coverage policy lacks slice {k}, which writes an output: nothing would prove it")),
        None => Ok(()),
    }
}

/// Refuses a path that holds no package. Many projects have a `manifest.json`; a package's has slices and tensors.
fn check_replaceable(folder: &Path) -> Result<(), PackageError> {
    #[derive(Deserialize)]
    struct Package {
        #[serde(rename = "slices")]
        _slices: Vec<serde::de::IgnoredAny>,
        #[serde(rename = "tensors")]
        _tensors: Vec<serde::de::IgnoredAny>,
    }
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    let is_package = || fs::read(folder.join(MANIFEST)).is_ok_and(|bytes| serde_json::from_slice::<Package>(&bytes).is_ok());
    if folder.exists() && !is_empty() && !is_package() {
        return Err(PackageError::Exists { path: folder.into() });
    }
    Ok(())
}

/// Refuses a package in whose folder something else is: it would go with the package.
fn check_nothing_else(folder: &Path) -> Result<(), PackageError> {
    let own = [MANIFEST, KEYS, SLICES_FOLDER, KEYS_FOLDER, FolderLock::FILE];
    for entry in fs::read_dir(folder).map_err(PackageError::io(folder))? {
        let name = entry.map_err(PackageError::io(folder))?.file_name();
        if !own.iter().any(|own| name == *own) && !is_partial(&name) {
            return Err(PackageError::Exists { path: folder.join(name) });
        }
    }
    Ok(())
}

/// Whether a file is what a killed writer of a package's own files left.
fn is_partial(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".partial") && [MANIFEST, KEYS].iter().any(|own| name.starts_with(own))
}

/// Puts a package of these files in the place of an earlier package, or of nothing.
fn put(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>, lose_keys: bool) -> Result<(), PackageError> {
    let write = |within: &Path, name: &Path, bytes: &[u8]| {
        let path = within.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(PackageError::io(parent))?;
        }
        zkslice_formats::write(&path, Readers::Umask, bytes).map_err(PackageError::io(&path))
    };
    let manifest = folder.join(MANIFEST);
    // Held until the new package is in its place, with a lock of its own.
    let _earlier = if manifest.is_file() { Some(lock(folder)?) } else { None };
    if let Ok(earlier) = fs::read(&manifest) {
        if files.get(Path::new(MANIFEST)) == Some(&earlier) {
            let changed = |(name, bytes): &(&PathBuf, &Vec<u8>)| fs::read(folder.join(name)).ok().as_ref() != Some(*bytes);
            return files.iter().filter(changed).try_for_each(|(name, bytes)| write(folder, name, bytes));
        }
        if !lose_keys {
            check_without_keys(folder)?;
        }
    }
    if folder.exists() {
        check_nothing_else(folder)?;
    }
    let new = match NewFolder::begin(folder) {
        Ok(Some(new)) => new,
        Ok(None) => return Err(PackageError::Busy { path: folder.into() }),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(PackageError::Exists { path: error.to_string().into() }),
        Err(error) => return Err(PackageError::io(folder)(error)),
    };
    files.iter().try_for_each(|(name, bytes)| write(new.path(), name, bytes))?;
    new.put().map_err(PackageError::io(folder)).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An input, an output, and boundaries; slices by what they read and write.
    fn wiring(kinds: &[TensorKind], slices: &[(&[usize], &[usize])]) -> Manifest {
        let tensor = |kind: &TensorKind| TensorEntry {
            name: "t".into(),
            kind: *kind,
            shape: vec![1],
            bits: 8,
            axis: 0,
            features: vec![FeatureEntry { offset: 0, scale: u128::from(*kind != TensorKind::Boundary) }],
        };
        let slice = |(reads, writes): &(&[usize], &[usize])| SliceEntry {
            graph: String::new(),
            constraints: 0,
            reads: reads.to_vec(),
            writes: writes.to_vec(),
        };
        Manifest {
            version: VERSION,
            name: "wiring".into(),
            tensors: kinds.iter().map(tensor).collect(),
            slices: slices.iter().map(slice).collect(),
            coverage_policy: Vec::new(),
            report: serde_json::Value::Null,
        }
    }

    /// What the registry refuses of a wiring is refused here: `tests/solidity/ModelRegistry.t.sol` has the same cases.
    #[test]
    fn wirings_that_the_registry_would_refuse() {
        use TensorKind::{Boundary as B, Output as O, PublicInput as I};
        check_wiring(&wiring(&[I, O, B, B], &[(&[0], &[2]), (&[2], &[3]), (&[2, 3], &[1])])).unwrap();
        let refused = |kinds: &[TensorKind], slices: &[(&[usize], &[usize])], says: &str| {
            let error = check_wiring(&wiring(kinds, slices)).unwrap_err();
            assert!(error.contains(says), "{error}");
        };
        refused(&[I, O, B], &[(&[0], &[2]), (&[0], &[1])], "no slice uses tensor 2");
        refused(&[I, O, B], &[(&[0], &[1])], "no slice uses tensor 2");
        refused(&[I, I, O], &[(&[0], &[2])], "no slice uses tensor 1");
        refused(&[I, O, O], &[(&[0], &[1])], "no slice uses tensor 2");
        refused(&[I, O, B, B], &[(&[0], &[3]), (&[3], &[2]), (&[2], &[1])], "slice 1 writes a boundary that comes before");
        refused(&[I, O, B], &[(&[2], &[1]), (&[0], &[2])], "before a slice writes it");
        refused(&[I, O, B], &[(&[0], &[2]), (&[0, 2], &[2]), (&[2], &[1])], "comes before");
        refused(&[I, O, B], &[(&[0], &[2]), (&[0], &[2]), (&[2], &[1])], "written already");
        refused(&[O], &[(&[], &[0])], "no input or no output");
        refused(&[I], &[(&[0], &[])], "no input or no output");
        let many = |n: usize| {
            let mut kinds = vec![I, O];
            kinds.extend(vec![B; n - 1]);
            let mut manifest = wiring(&kinds, &[(&[0], &[2])]);
            let entry = |reads: usize, writes: usize| SliceEntry { reads: vec![reads], writes: vec![writes], ..manifest.slices[0].clone() };
            let rest: Vec<_> = (1..n).map(|k| entry(k + 1, if k + 1 == n { 1 } else { k + 2 })).collect();
            manifest.slices.extend(rest);
            check_wiring(&manifest)
        };
        many(256).unwrap();
        assert!(many(257).unwrap_err().contains("at most 256"));
    }
}
