//! The package: what `compile` writes and `setup` adds to.
//!
//! ```text
//! manifest.json             format version, tensors (the wiring), slices, digests of the files
//! slices/<k>/graph.bin      the slice's integer graph; or slices/0/circuit.r1cs, a circuit of others
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

use serde::{Deserialize, Serialize};
use zkslice_circuit::Circuit;
use zkslice_formats::key_blob::TensorKind;
use zkslice_formats::{FolderLock, NewFolder, Readers, check_version, hex, hex0x, json_version, keccak, to_json};
use zkslice_graph::{Encoding, ExecuteError, Graph, Input, InputSlot, ValueError, build_circuit, cost, encode_tensors};
use zkslice_groth16::{Form, KeyError, ProvingKey, VerifyingKey, WordGroup, check_deltas};
use zkslice_interop::{ForeignCircuit, InteropError, Port, R1cs, Signal};

use crate::PackageError;
use crate::blob::KeyBlob;
use crate::fit::fit;
use crate::manifest::{
    CircuitEntry, InputMode, Manifest, SliceEntry, TensorEntry, VERSION, check_policy, check_ports, check_wiring, entry, port_entry,
};
use crate::partition::Strategy;
use crate::slices::{Slice, SliceModel, slice};

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const KEYS: &str = "keys.json";
/// Version of `keys.json`; until 1 the keys lay beside the graphs, until 2 the transcript was missing.
pub(crate) const KEYS_VERSION: u32 = 3;
const KEYS_FOLDER: &str = "keys";
const SLICES_FOLDER: &str = "slices";

/// A slice's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceKeyEntry {
    /// Hash of the verifying key.
    pub verifying_key: String,
    /// Digest of the proving key's header, which holds those of its sections.
    pub proving_key: String,
}

/// What `setup` or a ceremony made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyManifest {
    /// Format version.
    pub version: u32,
    /// Hash of the transcript of the ceremony that the keys come from; none for development keys.
    pub transcript: Option<String>,
    /// keccak256 of `manifest.json`: the package that the keys are for.
    pub package: String,
    /// Digest of α, β, γ.
    pub setup: String,
    /// The model's id.
    pub model: String,
    /// The slices' keys.
    pub slices: Vec<SliceKeyEntry>,
}

impl KeyManifest {
    /// Whether the keys were made without a ceremony.
    pub fn is_dev(&self) -> bool {
        self.transcript.is_none()
    }

    /// The transcript's hash.
    pub fn transcript_hash(&self) -> Option<[u8; 32]> {
        self.transcript.as_deref().and_then(hex::word)
    }

    /// What the folder of its files is called after.
    pub(crate) fn first_key(&self) -> &str {
        self.slices.first().map_or("", |slice| &slice.verifying_key)
    }
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

/// What a package proves.
#[derive(Debug)]
enum Contents {
    /// A model's slices.
    Slices(Vec<Slice>),
    /// A circuit of others: one slice.
    Circuit(Box<ForeignCircuit>),
}

/// A package on disk, its digests checked.
#[derive(Debug)]
pub struct Package {
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) digest: [u8; 32],
    contents: Contents,
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
        let manifest = Manifest { version: VERSION, name, tensors, slices: entries, coverage_policy, circuit: None, report };
        check_policy(&manifest).map_err(PackageError::CoveragePolicy)?;
        Self::put(folder, &manifest, files, lose_keys)
    }

    /// Writes the package of a circuit of others, whose `.r1cs` file is kept as it is: whoever compiles the circuit can compare them.
    /// `lose_keys` is for a package that has some.
    ///
    /// # Errors
    /// As [`Package::create`].
    pub fn import(
        folder: &Path,
        name: &str,
        circuit: &ForeignCircuit,
        r1cs: &[u8],
        report: serde_json::Value,
        lose_keys: bool,
    ) -> Result<Self, PackageError> {
        check_replaceable(folder)?;
        let tensors: Vec<TensorEntry> = circuit.ports().iter().map(port_entry).collect();
        let (reads, writes) = (0..tensors.len()).partition(|t| tensors[*t].kind.is_input());
        let constraints = circuit.circuit()?.layout().constraints();
        let manifest = Manifest {
            version: VERSION,
            name: name.into(),
            tensors,
            slices: vec![SliceEntry { graph: hex0x(&keccak(r1cs)), constraints, reads, writes }],
            coverage_policy: Vec::new(),
            circuit: Some(CircuitEntry {
                signals: circuit.ports().iter().map(|port| port.signal.clone()).collect(),
                private: circuit.private().to_vec(),
            }),
            report,
        };
        Self::put(folder, &manifest, BTreeMap::from([(circuit_file(), r1cs.to_vec())]), lose_keys)
    }

    fn put(folder: &Path, manifest: &Manifest, mut files: BTreeMap<PathBuf, Vec<u8>>, lose_keys: bool) -> Result<Self, PackageError> {
        check_wiring(manifest).map_err(|reason| PackageError::malformed(folder, reason))?;
        let bytes = to_json(manifest).map_err(|e| PackageError::malformed(&folder.join(MANIFEST), e))?;
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
        let read = |k: usize, name: PathBuf| {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(PackageError::io(&path))?;
            if hex0x(&keccak(&bytes)) != manifest.slices[k].graph {
                return Err(PackageError::Digest { path });
            }
            Ok((path, bytes))
        };
        let contents = match &manifest.circuit {
            Some(circuit) => {
                let (slices, tensors) = (manifest.slices.len(), manifest.tensors.len());
                if slices != 1 || circuit.signals.len() != tensors {
                    let reason = format!("a circuit is one slice, with a signal for each tensor; it has {slices}, and {tensors} tensors");
                    return Err(PackageError::malformed(&path, reason));
                }
                let (file, bytes) = read(0, circuit_file())?;
                let port = |(tensor, signal): (&TensorEntry, &Signal)| Port { signal: signal.clone(), kind: tensor.kind };
                let ports = manifest.tensors.iter().zip(&circuit.signals).map(port).collect();
                let malformed = |e: InteropError| PackageError::malformed(&file, e);
                let r1cs = R1cs::from_bytes(&bytes).map_err(malformed)?;
                let foreign = ForeignCircuit::new(r1cs, ports, circuit.private.clone()).map_err(malformed)?;
                let (reads, writes): (Vec<_>, Vec<_>) = (0..tensors).partition(|t| manifest.tensors[*t].kind.is_input());
                let entry = &manifest.slices[0];
                if !foreign.ports().iter().map(port_entry).eq(manifest.tensors.iter().cloned())
                    || (&entry.reads, &entry.writes) != (&reads, &writes)
                {
                    return Err(PackageError::malformed(&path, "its tensors are not the circuit's signals; import the circuit again"));
                }
                Contents::Circuit(Box::new(foreign))
            }
            None => {
                let kinds: Vec<TensorKind> = manifest.tensors.iter().map(|t| t.kind).collect();
                let mut slices = Vec::with_capacity(manifest.slices.len());
                for (k, entry) in manifest.slices.iter().enumerate() {
                    let (path, bytes) = read(k, graph_file(k))?;
                    let graph = Graph::from_bytes(&bytes).map_err(|e| PackageError::malformed(&path, e))?;
                    check_ports(&manifest, entry, &graph).map_err(|reason| PackageError::malformed(&path, reason))?;
                    slices.push(Slice::new(graph, entry.reads.clone(), entry.writes.clone(), &kinds));
                }
                Contents::Slices(slices)
            }
        };
        check_wiring(&manifest).and_then(|()| check_policy(&manifest)).map_err(|reason| PackageError::malformed(&path, reason))?;
        Ok(Self { folder: folder.into(), digest: keccak(&bytes), manifest, contents, keys: Mutex::default() })
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

    /// The model's slices; none where the package holds a circuit of others.
    pub fn slices(&self) -> &[Slice] {
        match &self.contents {
            Contents::Slices(slices) => slices,
            Contents::Circuit(_) => &[],
        }
    }

    /// The circuit of others, where the package holds one in place of a model.
    pub fn foreign(&self) -> Option<&ForeignCircuit> {
        match &self.contents {
            Contents::Slices(_) => None,
            Contents::Circuit(circuit) => Some(circuit),
        }
    }

    /// Number of slices, and so of keys and proofs.
    pub fn slice_count(&self) -> usize {
        self.manifest.slices.len()
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
        if self.foreign().is_some() {
            return Err(ExecuteError::NoGraph);
        }
        let expected = of(TensorKind::is_input).count();
        if inputs.len() != expected {
            return Err(ExecuteError::InputCount { expected, given: inputs.len() });
        }
        let mut values: Vec<Vec<i64>> = vec![Vec::new(); self.manifest.tensors.len()];
        for (tensor, input) in of(TensorKind::is_input).zip(inputs) {
            values[tensor] = input;
        }
        for slice in self.slices() {
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
        let slice = &self.manifest.slices[slice];
        let public = slice.reads.iter().chain(&slice.writes).map(|t| &self.manifest.tensors[*t]).filter(|t| t.kind.is_public());
        public.map(TensorEntry::group).collect()
    }

    /// Circuit of a slice.
    ///
    /// # Errors
    /// [`PackageError::Circuit`].
    pub fn circuit(&self, slice: usize) -> Result<Circuit, PackageError> {
        match &self.contents {
            Contents::Slices(slices) => Ok(build_circuit(slices[slice].bound())?),
            Contents::Circuit(circuit) => Ok(circuit.circuit()?),
        }
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
        if keys.package != hex0x(&self.digest) || keys.slices.len() != self.slice_count() {
            return Err(PackageError::malformed(&path, "the keys are for another package; run `zkslice setup` again"));
        }
        // The first names a folder.
        let digests = keys.slices.iter().flat_map(|slice| [&slice.verifying_key, &slice.proving_key]);
        if digests.chain([&keys.setup, &keys.model]).chain(&keys.transcript).any(|digest| hex::word(digest).is_none()) {
            return Err(PackageError::malformed(&path, "something in it is no digest; run `zkslice setup` again"));
        }
        Ok(known.insert(keys).clone())
    }

    pub(crate) fn known_keys(&self) -> MutexGuard<'_, Option<KeyManifest>> {
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
            let path = self.folder.join(verifying_key_file(manifest.first_key(), k));
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
        let path = self.folder.join(proving_key_file(manifest.first_key(), slice));
        let key = self.of_key_file(&manifest, ProvingKey::open(&path).map_err(PackageError::from))?;
        let entry = &manifest.slices[slice];
        let of_transcript = key.transcript().copied() == manifest.transcript_hash();
        if hex0x(&key.digest()) != entry.proving_key || hex0x(key.verifying_key_hash()) != entry.verifying_key || !of_transcript {
            return Err(PackageError::malformed(&path, "the key is from another circuit or setup; run `zkslice setup` again"));
        }
        self.check_key(slice, key.verifying_key()).map_err(|reason| PackageError::malformed(&path, reason))?;
        Ok(key)
    }

    pub(crate) fn check_key(&self, slice: usize, key: &VerifyingKey) -> Result<(), &'static str> {
        let publics = crate::blob::slots(&self.manifest, &self.manifest.slices[slice]).len();
        // Every slice looks up the digits that it reads, so none is plain Groth16: a plain key would leave the challenge to the prover.
        if key.form() != Form::Committed || key.publics != publics || key.groups != self.groups(slice) {
            return Err("the key is for another circuit; run `zkslice setup` again");
        }
        Ok(())
    }

    /// Its files, relative to its folder, and of which slice each proving key is; `keys.json` comes last, since it says that the keys are
    /// there. Those are the names that they have, whether they are there or not.
    ///
    /// # Errors
    /// [`PackageError`]: it has no keys.
    pub fn files(&self) -> Result<Vec<(PathBuf, Option<usize>)>, PackageError> {
        let keys = self.keys()?;
        let first = keys.first_key();
        let mut files = vec![(PathBuf::from(MANIFEST), None)];
        for k in 0..self.slice_count() {
            files.push((if self.foreign().is_some() { circuit_file() } else { graph_file(k) }, None));
            files.push((verifying_key_file(first, k), None));
            files.push((proving_key_file(first, k), Some(k)));
        }
        files.push((PathBuf::from(KEYS), None));
        Ok(files)
    }

    /// The key blob that these keys of its slices give, whatever keys it has.
    ///
    /// # Errors
    /// [`PackageError::Malformed`] for keys that are not those of its slices.
    pub fn key_blob_of(&self, keys: &[ProvingKey]) -> Result<KeyBlob, PackageError> {
        let wrong = |reason: &str| PackageError::malformed(&self.folder, reason);
        if keys.len() != self.slice_count() {
            return Err(wrong("there are more or fewer keys than it has slices"));
        }
        for (k, key) in keys.iter().enumerate() {
            self.check_key(k, key.verifying_key()).map_err(wrong)?;
        }
        let is_dev = keys.iter().any(|key| key.transcript().is_none());
        Ok(KeyBlob::new(&self.manifest, keys.iter().map(|key| key.verifying_key().clone()).collect(), is_dev))
    }

    /// The key blob, checked against the keys' manifest.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn key_blob(&self) -> Result<KeyBlob, PackageError> {
        let keys = self.keys()?;
        let blob = KeyBlob::new(&self.manifest, self.verifying_keys()?, keys.is_dev());
        let path = self.folder.join(KEYS);
        if hex0x(&blob.model_digest()) != keys.model || hex0x(blob.setup_digest()) != keys.setup {
            return Err(PackageError::malformed(&path, "the model digest is not that of the keys; run `zkslice setup` again"));
        }
        Ok(blob)
    }
}

pub(crate) fn lock(folder: &Path) -> Result<FolderLock, PackageError> {
    FolderLock::take(folder).map_err(PackageError::io(folder))?.ok_or_else(|| PackageError::Busy { path: folder.into() })
}

pub(crate) fn check_without_keys(folder: &Path) -> Result<(), PackageError> {
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

fn circuit_file() -> PathBuf {
    PathBuf::from(format!("{SLICES_FOLDER}/0/circuit.r1cs"))
}

fn graph_file(slice: usize) -> PathBuf {
    PathBuf::from(format!("{SLICES_FOLDER}/{slice}/graph.bin"))
}

/// Folder of the keys of one setup, named after the first.
pub(crate) fn keys_folder(first_key: &str) -> PathBuf {
    Path::new(KEYS_FOLDER).join(first_key.chars().skip(2).take(16).collect::<String>())
}

pub(crate) fn proving_key_file(first_key: &str, slice: usize) -> PathBuf {
    keys_folder(first_key).join(format!("{slice}.proving.key"))
}

pub(crate) fn verifying_key_file(first_key: &str, slice: usize) -> PathBuf {
    keys_folder(first_key).join(format!("{slice}.verifying.key"))
}

fn check_stated_version(path: &Path, bytes: &[u8], known: u32) -> Result<(), PackageError> {
    let stated = json_version(bytes).map_err(|e| PackageError::malformed(path, e))?;
    check_version(stated, known).map_err(|error| PackageError::Version { path: path.into(), error })
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
