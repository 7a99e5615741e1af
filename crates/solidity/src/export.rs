//! A forge project for a package.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tera::Context;
use zkslice_formats::{Addition, FolderLock, NewFolder, Replaced, hex0x, keccak, to_json};
use zkslice_graph::Scale;
use zkslice_groth16::{VerifyingKey, check_rows};
use zkslice_slicer::{FeatureEntry, KeyBlob, Package, Slot, TensorEntry, TensorKind, slots};

use crate::names::{LONGEST, comment, is_identifier, number, package as package_name};
use crate::verifier::{render, selector};
use crate::{ExportError, SliceVerifier, type_name};

const MODEL: &str = include_str!("../../../templates/Model.sol.tera");
const FOUNDRY: &str = include_str!("../../../templates/foundry.toml.tera");
const NPM: &str = include_str!("../../../templates/package.json.tera");
const README: &str = include_str!("../../../templates/README.md.tera");
const PUBLIC_WORDS: &str = include_str!("../../../contracts/libraries/PublicWords.sol");
/// The version of OpenZeppelin's contracts that the decoder is tested with: that of this repository.
const NPM_OF_REPOSITORY: &str = include_str!("../../../package.json");

const INDEX: &str = "key-blob.json";
const VERSION: u32 = 1;
/// What the sources say of their licence unless told otherwise: that there is nothing to observe, so that they fit into a
/// project of any licence. It holds for the text that this crate writes and for the decoder it copies.
pub const DEFAULT_LICENSE: &str = "CC0-1.0";
const LICENSE_LINE: &str = "// SPDX-License-Identifier: ";

/// What an export consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A forge project of its own, sources in `src/`.
    Project,
    /// One folder for another project's sources.
    Sources,
}

/// What to export, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    /// What the export consists of.
    pub layout: Layout,
    /// SPDX expression in the first line of every source.
    pub license: String,
    /// What contracts and their folder are named after, instead of the model.
    pub name: Option<String>,
    /// Whether an earlier export of another model may be replaced.
    pub replace: bool,
    /// Where the chains that it is for have the addition of points.
    pub addition: Addition,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { layout: Layout::Project, license: DEFAULT_LICENSE.into(), name: None, replace: false, addition: Addition::default() }
    }
}

/// `key-blob.json`: what `deploy` needs beside the blob, and what the export wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBlobIndex {
    /// Format version.
    pub version: u32,
    /// Name of the model.
    pub name: String,
    /// The model's id.
    pub model_digest: String,
    /// Digest of the setup.
    pub setup_digest: String,
    /// Whether the keys are development keys.
    pub dev: bool,
    /// Hash of each slice's verifying key.
    pub vk_hashes: Vec<String>,
    /// keccak256 of each chunk of the blob, in order: the argument of `register`.
    pub chunk_hashes: Vec<String>,
    /// The chunks: the arguments of `writeChunk`.
    pub chunks: Vec<String>,
    /// keccak256 of every other file of the export.
    pub files: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct TensorContext {
    title: String,
    shape: String,
    constant: String,
    function: String,
    count: String,
    bits: u32,
    offset: String,
    scale: String,
    decimals: u32,
    /// Offset (4 bytes) and scale (16 bytes) of each feature, where there are several.
    features: Option<String>,
    feature_count: usize,
    axis: usize,
    words: usize,
    words_num: String,
    first: String,
    output: bool,
}

/// A package's keys, checked for generation.
struct Checked {
    keys: Vec<VerifyingKey>,
    dev: bool,
    blob: KeyBlob,
}

fn check_publics(package: &Package, slice: usize, key: &VerifyingKey) -> Result<(), ExportError> {
    let circuit = package.circuit(slice)?;
    if circuit.layout().publics != key.publics {
        return Err(ExportError::PublicInputs { slice, key: key.publics, what: "circuit", expected: circuit.layout().publics });
    }
    check_rows(&circuit).map_err(|source| ExportError::UnsafeKey { slice, source })
}

fn check(package: &Package) -> Result<Checked, ExportError> {
    let keys = package.verifying_keys()?;
    for (k, key) in keys.iter().enumerate() {
        check_publics(package, k, key)?;
    }
    Ok(Checked { keys, dev: package.keys()?.is_dev(), blob: package.key_blob()? })
}

/// What contracts are named after.
fn title(package: &Package, name: Option<&str>) -> Result<String, ExportError> {
    match name {
        Some(name) if !is_identifier(name) || name.len() > LONGEST => Err(ExportError::Name { name: name.into() }),
        Some(name) => Ok(name.into()),
        None => Ok(type_name(&package.manifest().name)),
    }
}

fn source_of(package: &Package, k: usize, title: &str, checked: &Checked, addition: Addition) -> Result<(String, String), ExportError> {
    let manifest = package.manifest();
    let (Some(entry), Some(key)) = (manifest.slices.get(k), checked.keys.get(k)) else {
        return Err(ExportError::NoSuchSlice { slice: k, slices: manifest.slices.len() });
    };
    let name = |t: usize| comment(&manifest.tensors[t].name);
    let publics = slots(manifest, entry)
        .into_iter()
        .map(|slot| match slot {
            Slot::Context => "the context: what the proof is made for".into(),
            Slot::Owner => "the owner of private inputs".into(),
            Slot::Read(t) => format!("commitment to {}, which the slice reads", name(t)),
            Slot::Written(t) => format!("commitment to {}, which the slice writes", name(t)),
        })
        .collect();
    let public = entry.reads.iter().chain(&entry.writes).filter(|t| manifest.tensors[**t].kind.is_public());
    let groups =
        public.map(|t| format!("{} {}", if manifest.tensors[*t].kind.is_input() { "input" } else { "output" }, name(*t))).collect();
    let contract = verifier_of(title, k);
    let verifier = SliceVerifier {
        contract: contract.clone(),
        model: &manifest.name,
        slice: k,
        slices: manifest.slices.len(),
        key,
        publics,
        groups,
        dev: checked.dev,
        addition,
    };
    Ok((contract, verifier.source()?))
}

/// Name of the verifier contract of a model's slice.
pub fn verifier_name(model: &str, slice: usize) -> String {
    verifier_of(&type_name(model), slice)
}

fn verifier_of(title: &str, slice: usize) -> String {
    format!("{title}Slice{slice}Verifier")
}

/// Source of the verifier contract of slice `k`, for all chains but Bittensor.
///
/// # Errors
/// [`ExportError::Package`] without keys or with keys of another circuit; [`ExportError::UnsafeKey`] and
/// [`ExportError::PublicInputs`] for keys against which proofs can be forged.
pub fn slice_verifier(package: &Package, k: usize) -> Result<String, ExportError> {
    Ok(source_of(package, k, &title(package, None)?, &check(package)?, Addition::default())?.1)
}

fn model_library(package: &Package, title: &str, checked: &Checked) -> Result<(String, String), ExportError> {
    let manifest = package.manifest();
    let library = if title.ends_with("Model") { title.to_owned() } else { format!("{title}Model") };
    let of_kind = |kinds: fn(TensorKind) -> bool| manifest.tensors.iter().filter(move |t| kinds(t.kind)).collect::<Vec<&TensorEntry>>();
    let describe = |what: &str, index: usize, tensor: &TensorEntry, first: usize| {
        let public = tensor.kind.is_public();
        let words = if public { tensor.group().words() } else { 0 };
        let shape = tensor.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×");
        let binding = if public { "" } else { ", private" };
        let single = tensor.single().unwrap_or(FeatureEntry { offset: 0, scale: 0 });
        // An offset has at most 32 bits.
        let feature = |f: &FeatureEntry| [&(f.offset as u32).to_be_bytes()[..], &f.scale.to_be_bytes()[..]].concat();
        let features: Vec<u8> = tensor.features.iter().flat_map(feature).collect();
        TensorContext {
            title: format!("{what} {index}, {}{binding}", comment(&tensor.name)),
            shape: if shape.is_empty() { "scalar".into() } else { shape },
            constant: format!("{}_{index}", what.to_ascii_uppercase()),
            function: format!("{what}{index}"),
            count: number(tensor.count() as u64),
            bits: tensor.bits,
            offset: number(single.offset.unsigned_abs()),
            scale: number(single.scale),
            decimals: Scale::DECIMALS,
            features: tensor.single().is_none().then(|| hex::encode(&features)),
            feature_count: tensor.features.len(),
            axis: tensor.axis,
            words,
            words_num: number(words as u64),
            first: number(first as u64),
            output: tensor.kind == TensorKind::Output,
        }
    };
    let mut tensors: Vec<TensorContext> =
        of_kind(TensorKind::is_input).iter().enumerate().map(|(i, t)| describe("input", i, t, 0)).collect();
    let mut words = 0;
    for (i, tensor) in of_kind(|kind| kind == TensorKind::Output).into_iter().enumerate() {
        tensors.push(describe("output", i, tensor, words));
        words += tensor.group().words();
    }
    let mut context = Context::new();
    context.insert("model", &comment(&manifest.name));
    context.insert("library", &library);
    context.insert("digest", &hex0x(&checked.blob.model_digest()));
    context.insert("setup_digest", &hex0x(checked.blob.setup_digest()));
    context.insert("slices", &manifest.slices.len());
    context.insert("dev", &checked.dev);
    context.insert("output_words", &number(words as u64));
    context.insert("features", &tensors.iter().any(|tensor| tensor.features.is_some()));
    context.insert("tensors", &tensors);
    context.insert("layout", &checked.blob.layout().chunks(32).map(hex::encode).collect::<Vec<_>>());
    let selectors = serde_json::json!({
        "output_words": selector("OutputWordCountMismatch(uint256,uint256)"),
        "values": selector("ValueCountMismatch(uint256,uint256)"),
        "feature": selector("FeatureOutOfRange(uint256,uint256)"),
    });
    context.insert("selectors", &selectors);
    Ok((library, render(MODEL, &context)?))
}

/// A source under another licence than it came with.
fn licensed(source: &str, license: &str) -> Vec<u8> {
    let rest = source.split_once('\n').filter(|(first, _)| first.starts_with(LICENSE_LINE)).map_or(source, |(_, rest)| rest);
    format!("{LICENSE_LINE}{license}\n{rest}").into_bytes()
}

/// Whether this can stand in a comment as an SPDX expression; which licences there are is not looked at.
pub(crate) fn is_license(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || ".+-() ".contains(c);
    (1..=100).contains(&text.len()) && text.chars().all(fit) && text.trim() == text
}

/// Every file of an export.
fn files(package: &Package, options: &ExportOptions, checked: &Checked) -> Result<BTreeMap<String, Vec<u8>>, ExportError> {
    #[derive(Deserialize)]
    struct Npm {
        dependencies: BTreeMap<String, String>,
    }
    if !is_license(&options.license) {
        return Err(ExportError::License { license: options.license.clone() });
    }
    let (project, folder) = match options.layout {
        Layout::Project => (true, "src/"),
        Layout::Sources => (false, ""),
    };
    let title = title(package, options.name.as_deref())?;
    let manifest = package.manifest();
    let npm: Npm = serde_json::from_str(NPM_OF_REPOSITORY)?;
    let mut files = BTreeMap::new();
    let mut verifiers = Vec::new();
    for k in 0..manifest.slices.len() {
        let (contract, source) = source_of(package, k, &title, checked, options.addition)?;
        files.insert(format!("{folder}{contract}.sol"), licensed(&source, &options.license));
        verifiers.push(contract);
    }
    let (library, source) = model_library(package, &title, checked)?;
    files.insert(format!("{folder}{library}.sol"), licensed(&source, &options.license));
    files.insert(format!("{folder}PublicWords.sol"), licensed(PUBLIC_WORDS, &options.license));
    files.insert("key-blob.bin".into(), checked.blob.bytes().to_vec());

    let mut context = Context::new();
    context.insert("model", &comment(&manifest.name).trim_matches('"'));
    context.insert("package", &package_name(options.name.as_deref().unwrap_or(&manifest.name)));
    context.insert("openzeppelin", &npm.dependencies.get("@openzeppelin/contracts"));
    context.insert("verifiers", &verifiers);
    context.insert("library", &library);
    context.insert("slices", &manifest.slices.len());
    context.insert("dev", &checked.dev);
    context.insert("ecadd", &options.addition.address());
    context.insert("digest", &hex0x(&checked.blob.model_digest()));
    context.insert("setup_digest", &hex0x(checked.blob.setup_digest()));
    context.insert("project", &project);
    context.insert("folder", folder);
    context.insert("license", &options.license);
    let texts: &[(&str, &str)] =
        if project { &[("foundry.toml", FOUNDRY), ("package.json", NPM), ("README.md", README)] } else { &[("README.md", README)] };
    for &(name, template) in texts {
        files.insert(name.into(), render(template, &context)?.into_bytes());
    }

    let index = KeyBlobIndex {
        version: VERSION,
        name: manifest.name.clone(),
        model_digest: hex0x(&checked.blob.model_digest()),
        setup_digest: hex0x(checked.blob.setup_digest()),
        dev: checked.dev,
        vk_hashes: checked.keys.iter().map(|key| hex0x(&key.hash())).collect(),
        chunk_hashes: checked.blob.chunks().map(|chunk| hex0x(&keccak(chunk))).collect(),
        chunks: checked.blob.chunks().map(hex0x).collect(),
        files: files.iter().map(|(name, bytes)| (name.clone(), hex0x(&keccak(bytes)))).collect(),
    };
    files.insert(INDEX.into(), to_json(&index)?);
    Ok(files)
}

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The files, relative to the folder.
    pub files: Vec<PathBuf>,
}

/// Writes a forge project with the default options: see [`export_with`].
///
/// # Errors
/// As [`export_with`].
pub fn export(package: &Package, out: &Path) -> Result<Exported, ExportError> {
    export_with(package, out, &ExportOptions::default())
}

/// The folder for a package's sources in a forge project: named after the model, or as it is to be named, among the project's sources.
///
/// # Errors
/// [`ExportError::Name`]; [`ExportError::NotAProject`] without a `foundry.toml` that can be read; [`ExportError::Manifest`] if it is no TOML.
pub fn folder_in(project: &Path, package: &Package, name: Option<&str>) -> Result<PathBuf, ExportError> {
    let title = title(package, name)?;
    let path = project.join("foundry.toml");
    let text = fs::read_to_string(&path).map_err(|source| ExportError::NotAProject { path: path.clone(), source })?;
    let settings: toml::Table = toml::from_str(&text).map_err(|source| ExportError::Manifest { path, source: Box::new(source) })?;
    let profile = settings.get("profile").and_then(|profiles| profiles.get("default"));
    let sources = match profile.and_then(|profile| profile.get("src")).and_then(toml::Value::as_str) {
        Some(sources) => sources,
        // As forge does.
        None if !project.join("src").is_dir() && project.join("contracts").is_dir() => "contracts",
        None => "src",
    };
    Ok(project.join(sources).join(title))
}

/// Writes one verifier contract per slice, the model's library, the decoder it uses, the key blob and its chunks: as a forge
/// project, or for one. Formatted as `forge fmt` does by default. The same package gives the same bytes.
///
/// The folder appears whole. One of an earlier export of the same model is replaced; files that are not of the export stay.
///
/// # Errors
/// As [`slice_verifier`]; [`ExportError::Exists`] for a folder that is not an earlier export, [`ExportError::OtherModel`] for one of another
/// model, unless that may be replaced, [`ExportError::Edited`] for one with a changed file; [`ExportError::License`] and
/// [`ExportError::Name`]; [`ExportError::Busy`] while another export writes there. Nothing half-written stays behind.
pub fn export_with(package: &Package, out: &Path, options: &ExportOptions) -> Result<Exported, ExportError> {
    let checked = check(package)?;
    let files = files(package, options, &checked)?;
    let model = (!options.replace).then(|| hex0x(&checked.blob.model_digest()));
    // Before anything is made in a folder that is somebody else's.
    earlier(out, model.as_deref())?;
    out.file_name().ok_or_else(|| ExportError::Exists { path: out.into() })?;
    let failed = |error: Error| match error.kind() {
        // What an export that was broken off has set aside is not ours to delete.
        ErrorKind::AlreadyExists => ExportError::Exists { path: error.to_string().into() },
        _ => ExportError::io(out)(error),
    };
    // An existing project may have no sources yet.
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
    }
    let new = NewFolder::begin(out).map_err(failed)?.ok_or_else(|| ExportError::Busy { path: out.into() })?;
    let earlier = earlier(out, model.as_deref())?;
    // A foreign file where a new one belongs, while everything is as it was.
    let foreign = |name: &&String| !earlier.iter().any(|own| own == Path::new(name.as_str())) && out.join(name).exists();
    if let Some(name) = files.keys().find(foreign) {
        return Err(ExportError::Exists { path: out.join(name) });
    }
    for (name, bytes) in &files {
        let path = new.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
        }
        fs::write(&path, bytes).map_err(ExportError::io(&path))?;
    }
    let Replaced { lock, place, earlier: old } = new.put_beside().map_err(failed)?;
    if let Some(old) = old {
        carry(&old, &place, Path::new(""), &earlier)?;
        fs::remove_dir_all(&old).map_err(ExportError::io(&old))?;
    }
    lock.remove(&place).map_err(ExportError::io(&place))?;
    Ok(Exported { files: files.into_keys().map(PathBuf::from).collect() })
}

/// Names of an earlier export's files, unedited; empty if the folder is not there or empty. Of that model only, where one is given.
fn earlier(out: &Path, model: Option<&str>) -> Result<Vec<PathBuf>, ExportError> {
    let exists = || ExportError::Exists { path: out.into() };
    if !out.exists() || (out.is_dir() && fs::read_dir(out).map_err(ExportError::io(out))?.next().is_none()) {
        return Ok(Vec::new());
    }
    let index = fs::read(out.join(INDEX)).map_err(|_| exists())?;
    let index: KeyBlobIndex = serde_json::from_slice(&index).map_err(|_| exists())?;
    if model.is_some_and(|model| model != index.model_digest) {
        return Err(ExportError::OtherModel { path: out.into(), name: index.name, digest: index.model_digest });
    }
    for (name, digest) in &index.files {
        let path = out.join(name);
        if fs::read(&path).is_ok_and(|bytes| hex0x(&keccak(&bytes)) != *digest) {
            return Err(ExportError::Edited { path });
        }
    }
    // An export that was broken off at its very end leaves its lock.
    Ok(index.files.into_keys().chain([INDEX.into(), FolderLock::FILE.into()]).map(PathBuf::from).collect())
}

/// Moves what the earlier export did not write from the old folder to the new one.
fn carry(old: &Path, new: &Path, folder: &Path, exported: &[PathBuf]) -> Result<(), ExportError> {
    let from = old.join(folder);
    for entry in fs::read_dir(&from).map_err(ExportError::io(&from))? {
        let name = folder.join(entry.map_err(ExportError::io(&from))?.file_name());
        let target = new.join(&name);
        if exported.contains(&name) {
            continue;
        }
        if exported.iter().any(|file| file.starts_with(&name)) {
            carry(old, new, &name, exported)?;
        } else if target.exists() {
            // A new file of the export has the name of a foreign one, which stays in the old folder.
            return Err(ExportError::Exists { path: old.join(&name) });
        } else {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
            }
            fs::rename(old.join(&name), &target).map_err(ExportError::io(&target))?;
        }
    }
    Ok(())
}
