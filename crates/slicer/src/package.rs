//! The package: what `compile` writes and `setup` adds to.
//!
//! ```text
//! manifest.json             format version, tensors (the wiring), slices, digests of the files
//! slices/<k>/graph.bin      the slice's integer graph
//! keys.json                 digests of the keys, setup digest, model digest   (after setup)
//! slices/<k>/proving.key, verifying.key                                       (after setup)
//! ```
//!
//! A package is written into a folder next to its place and renamed there whole; the same model and samples give the same
//! bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zkslice_circuit::{Binding, Circuit, shape_of};
use zkslice_files::Readers;
use zkslice_graph::{Encoding, ExecuteError, Graph, Input, Port, Scale, Tensor, ValueError};
use zkslice_groth16::{Form, ProvingKey, Setup, VerifyingKey, WordGroup, check_deltas, keccak};

use crate::blob::KeyBlob;
use crate::partition::{Strategy, partition};
use crate::slices::{Slice, SliceModel, WiringTensor, slice};
use crate::{PackageError, cost};

const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";
const KEYS: &str = "keys.json";

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

/// What a tensor at a slice's border is. The numbers are those of the key blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorKind {
    /// A model input, public words.
    PublicInput = 1,
    /// A model input, committed.
    PrivateInput = 2,
    /// A model output, public words.
    Output = 3,
    /// Between slices, committed.
    Boundary = 4,
}

impl TensorKind {
    /// Whether it is an input of the model.
    pub fn is_input(self) -> bool {
        matches!(self, Self::PublicInput | Self::PrivateInput)
    }

    /// Whether it is bound by public words; by a commitment otherwise.
    pub fn is_public(self) -> bool {
        matches!(self, Self::PublicInput | Self::Output)
    }

    pub(crate) fn binding(self) -> Binding {
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
        Encoding { bits: self.bits, offset: self.offset, scale: Scale { mantissa: self.scale.max(1) } }
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
    /// Accuracy and options, as compiled: for people, not read back.
    pub report: serde_json::Value,
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
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl Package {
    /// Cuts a graph and writes the package. Rows are counted from the circuits themselves.
    ///
    /// # Errors
    /// [`PackageError`]; nothing half-written stays behind. An earlier package in the folder is replaced, anything else is not.
    pub fn create(folder: &Path, graph: &Graph, options: &PackageOptions, report: serde_json::Value) -> Result<Self, PackageError> {
        check_replaceable(folder)?;
        let partition = partition(graph, options.strategy, options.inputs)?;
        let SliceModel { wiring, slices } = slice(graph, &partition.cuts, options.inputs)?;
        let mut files = BTreeMap::new();
        let mut entries = Vec::with_capacity(slices.len());
        for (k, slice) in slices.iter().enumerate() {
            let bytes = slice.graph.to_bytes()?;
            entries.push(SliceEntry {
                graph: hex0x(&keccak(&bytes)),
                constraints: cost::rows(slice.shape()).total(),
                reads: slice.reads.clone(),
                writes: slice.writes.clone(),
            });
            files.insert(graph_file(k), bytes);
        }
        let tensors = wiring.tensors.iter().map(|t| entry(graph, t)).collect();
        let (name, coverage_policy) = (options.name.clone(), options.coverage_policy.clone());
        let manifest = Manifest { version: VERSION, name, tensors, slices: entries, coverage_policy, report };
        check_policy(&manifest).map_err(PackageError::CoveragePolicy)?;
        let bytes = json(&manifest).map_err(|e| PackageError::malformed(&folder.join(MANIFEST), e))?;
        files.insert(PathBuf::from(MANIFEST), bytes);
        replace_folder(folder, &files)?;
        Self::open(folder)
    }

    /// Opens a package and checks every digest, every graph and the wiring.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn open(folder: &Path) -> Result<Self, PackageError> {
        let path = folder.join(MANIFEST);
        let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
        check_version(&path, &bytes)?;
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
        Ok(Self { folder: folder.into(), manifest, digest: keccak(&bytes), slices })
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
        zkslice_graph::encode(&self.ports(TensorKind::is_input), input)
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
        zkslice_graph::decode_outputs(&self.ports(|kind| kind == TensorKind::Output), outputs)
    }

    /// A graph of nothing but the model's inputs or outputs, for encoding and decoding.
    fn ports(&self, wanted: fn(TensorKind) -> bool) -> Graph {
        let chosen: Vec<&TensorEntry> = self.manifest.tensors.iter().filter(|t| wanted(t.kind)).collect();
        let tensors = chosen.iter().map(|t| Tensor { name: t.name.clone(), shape: t.shape.clone() }).collect();
        let ports: Vec<Port> = chosen.iter().enumerate().map(|(tensor, t)| Port { tensor, encoding: t.encoding() }).collect();
        Graph { table_bits: 2, tensors, nodes: Vec::new(), inputs: ports.clone(), outputs: ports }
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
        Ok(shape_of(self.slices[slice].shape())?)
    }

    /// The keys' manifest.
    ///
    /// # Errors
    /// [`PackageError::NoKeys`] before `setup`; [`PackageError::Malformed`] for keys of another package.
    pub fn keys(&self) -> Result<KeyManifest, PackageError> {
        let path = self.folder.join(KEYS);
        if !path.is_file() {
            return Err(PackageError::NoKeys { path: self.folder.clone() });
        }
        let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
        check_version(&path, &bytes)?;
        let keys: KeyManifest = serde_json::from_slice(&bytes).map_err(|e| PackageError::malformed(&path, e))?;
        if keys.package != hex0x(&self.digest) || keys.slices.len() != self.slices.len() {
            return Err(PackageError::malformed(&path, "the keys are for another package; run `zkslice setup` again"));
        }
        Ok(keys)
    }

    /// Verifying keys of all slices, checked against the keys' manifest and against each other.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn verifying_keys(&self) -> Result<Vec<VerifyingKey>, PackageError> {
        let manifest = self.keys()?;
        let mut keys = Vec::with_capacity(manifest.slices.len());
        for (k, entry) in manifest.slices.iter().enumerate() {
            let path = self.folder.join(verifying_key_file(k));
            let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
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
        let path = self.folder.join(proving_key_file(slice));
        let key = ProvingKey::open(&path)?;
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
/// called after each key. The keys' manifests are written last, so that a broken-off setup leaves packages without keys.
///
/// # Errors
/// [`PackageError`].
pub fn setup(
    packages: &[Package],
    rng: &mut (impl ark_std::rand::RngCore + ark_std::rand::CryptoRng),
    mut progress: impl FnMut(usize, usize),
) -> Result<(), PackageError> {
    let all: usize = packages.iter().map(|p| p.slices.len()).sum();
    for package in packages {
        let path = package.folder.join(KEYS);
        if path.exists() {
            fs::remove_file(&path).map_err(PackageError::io(&path))?;
        }
    }
    let secrets = Setup::dev(rng);
    let mut made: Vec<(Vec<VerifyingKey>, Vec<SliceKeyEntry>)> = Vec::new();
    let mut done = 0;
    for package in packages {
        let (mut keys, mut entries) = (Vec::new(), Vec::new());
        for k in 0..package.slices.len() {
            let key = secrets.key(&package.circuit(k)?, &package.groups(k), rng)?;
            key.save(&package.folder.join(proving_key_file(k)))?;
            let path = package.folder.join(verifying_key_file(k));
            zkslice_files::write(&path, Readers::Umask, &key.verifying_key().record()).map_err(PackageError::io(&path))?;
            entries.push(SliceKeyEntry { verifying_key: hex0x(key.verifying_key_hash()), proving_key: hex0x(&key.digest()) });
            keys.push(key.verifying_key().clone());
            done += 1;
            progress(done, all);
        }
        made.push((keys, entries));
    }
    check_deltas(made.iter().flat_map(|(keys, _)| keys))?;
    for (package, (keys, slices)) in packages.iter().zip(made) {
        let blob = KeyBlob::new(&package.manifest, keys, true);
        let manifest = KeyManifest {
            version: VERSION,
            dev: true,
            package: hex0x(&package.digest),
            setup: hex0x(blob.setup_digest()),
            model: hex0x(&blob.model_digest()),
            slices,
        };
        let path = package.folder.join(KEYS);
        let bytes = json(&manifest).map_err(|e| PackageError::malformed(&path, e))?;
        zkslice_files::write(&path, Readers::Umask, &bytes).map_err(PackageError::io(&path))?;
    }
    Ok(())
}

fn graph_file(slice: usize) -> PathBuf {
    PathBuf::from(format!("slices/{slice}/graph.bin"))
}

fn proving_key_file(slice: usize) -> PathBuf {
    PathBuf::from(format!("slices/{slice}/proving.key"))
}

fn verifying_key_file(slice: usize) -> PathBuf {
    PathBuf::from(format!("slices/{slice}/verifying.key"))
}

fn check_version(path: &Path, bytes: &[u8]) -> Result<(), PackageError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(bytes).map_err(|e| PackageError::malformed(path, e))?;
    if version > VERSION {
        return Err(PackageError::NewerVersion { path: path.into(), found: version, known: VERSION });
    }
    if version != VERSION {
        return Err(PackageError::malformed(path, format!("there is no format version {version}")));
    }
    Ok(())
}

fn entry(graph: &Graph, tensor: &WiringTensor) -> TensorEntry {
    TensorEntry {
        name: tensor.name.clone(),
        kind: tensor.kind,
        shape: graph.tensors[tensor.tensor].shape.clone(),
        bits: tensor.encoding.bits,
        offset: tensor.encoding.offset,
        scale: if tensor.kind == TensorKind::Boundary { 0 } else { tensor.encoding.scale.mantissa },
    }
}

/// A slice's ports are the manifest's tensors, scales included: what the model digest says of a tensor is what its slices compute.
fn check_ports(manifest: &Manifest, entry: &SliceEntry, graph: &Graph) -> Result<(), String> {
    let fits = |tensor: &TensorEntry, port: &Port| {
        let unscaled = tensor.kind == TensorKind::Boundary;
        tensor.encoding() == port.encoding
            && tensor.scale == if unscaled { 0 } else { port.encoding.scale.mantissa }
            && tensor.shape == graph.tensors[port.tensor].shape
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

/// Every boundary is written once, before it is read; every output is written once and read by no slice; every input is read.
fn check_wiring(manifest: &Manifest) -> Result<(), String> {
    let order = |kind: TensorKind| match kind {
        TensorKind::PublicInput | TensorKind::PrivateInput => 0,
        TensorKind::Output => 1,
        TensorKind::Boundary => 2,
    };
    if manifest.slices.is_empty() || !manifest.tensors.is_sorted_by_key(|t| order(t.kind)) {
        return Err("its tensors are out of order or it has no slice".into());
    }
    let mut written = vec![false; manifest.tensors.len()];
    let mut read = written.clone();
    for (k, slice) in manifest.slices.iter().enumerate() {
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
    if !policy.is_sorted_by(|a, b| a < b) || policy.last().is_some_and(|k| *k >= slices.min(256)) {
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

/// Refuses a path that holds anything but a package.
fn check_replaceable(folder: &Path) -> Result<(), PackageError> {
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !folder.join(MANIFEST).is_file() && !is_empty() {
        return Err(PackageError::Exists { path: folder.into() });
    }
    Ok(())
}

/// Writes files into a new folder and puts it in the place of an earlier package, or of nothing.
fn replace_folder(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), PackageError> {
    let name = folder.file_name().ok_or_else(|| PackageError::malformed(folder, "it has no last component"))?;
    let sibling = |suffix: &str| folder.with_file_name(format!("{}.{suffix}", name.to_string_lossy()));
    let (partial, old) = (sibling("partial"), sibling("old"));
    let remove = |path: &Path| if path.exists() { fs::remove_dir_all(path).map_err(PackageError::io(path)) } else { Ok(()) };
    // What an earlier attempt left behind is a package, or part of one; anything else is somebody's.
    for path in [&partial, &old] {
        check_replaceable(path)?;
    }
    remove(&partial)?;
    let write = || {
        for (name, bytes) in files {
            let path = partial.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(PackageError::io(parent))?;
            }
            fs::write(&path, bytes).map_err(PackageError::io(&path))?;
        }
        remove(&old)?;
        if folder.exists() {
            fs::rename(folder, &old).map_err(PackageError::io(folder))?;
        }
        fs::rename(&partial, folder).map_err(PackageError::io(folder))?;
        remove(&old)
    };
    write().inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    })
}
