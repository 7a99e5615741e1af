//! A forge project for a package.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ark_bn254::Fr;
use serde::{Deserialize, Serialize};
use tera::Context;
use zkslice_groth16::{VerifyingKey, keccak};
use zkslice_slicer::{KeyBlob, Package, Slot, TensorEntry, TensorKind, slots};

use crate::names::{comment, hex0x, number, package as package_name};
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
/// Decimals in which the key blob states scales.
const DECIMALS: u32 = 18;

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
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { layout: Layout::Project, license: DEFAULT_LICENSE.into() }
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

/// The first of `public_wires` without a row of its own, `wire·0 = 0` with nothing else on it. The row keeps a copied proof
/// from being turned to another value of the wire (rule G1), and its IC from vanishing (P21).
///
/// `entries` calls back with row, matrix (0, 1, 2 for A, B, C) and wire of everything in the matrices.
fn first_unpinned(rows: usize, public_wires: usize, entries: impl FnOnce(&mut dyn FnMut(usize, usize, usize))) -> Option<usize> {
    let mut alone: Vec<Option<usize>> = vec![None; rows];
    let mut shared = vec![false; rows];
    entries(&mut |row, matrix, wire| {
        if matrix == 0 && alone[row].is_none() {
            alone[row] = Some(wire);
        } else {
            shared[row] = true;
        }
    });
    let mut pinned = vec![false; public_wires];
    for wire in alone.iter().zip(&shared).filter(|(_, shared)| !**shared).filter_map(|(wire, _)| *wire) {
        if let Some(pinned) = pinned.get_mut(wire) {
            *pinned = true;
        }
    }
    pinned.iter().position(|pinned| !pinned)
}

/// The wires that a fingerprint is made of. Wires from `committed.end` on are of the second round.
struct FingerprintWires {
    publics: Range<usize>,
    committed: Range<usize>,
    /// How many public inputs and words there are.
    elements: usize,
}

/// The first element that the fingerprint does not bind. From F on, the rows `(step + e)·χ = wire before` must follow one another, with
/// e the public inputs, each alone, and then the words, which are of committed wires; the last row has no step. A step that no row ties
/// to committed wires would be chosen to fit, and F would say nothing.
///
/// `entries` is as above, with coefficients, and is called twice.
fn first_unbound(wires: &FingerprintWires, entries: impl Fn(&mut dyn FnMut(usize, usize, usize, Fr))) -> Option<usize> {
    const CHALLENGE: usize = 1;
    const FINGERPRINT: usize = 2;
    let one = Fr::from(1u64);
    let alone = |wire| BTreeMap::from([(wire, one)]);
    let mut rows: BTreeMap<usize, [BTreeMap<usize, Fr>; 3]> = BTreeMap::new();
    entries(&mut |row, matrix, wire, _| {
        if matrix == 2 && (wire == FINGERPRINT || wire >= wires.committed.end) {
            rows.entry(row).or_default();
        }
    });
    entries(&mut |row, matrix, wire, coefficient| {
        if let Some(row) = rows.get_mut(&row) {
            *row[matrix].entry(wire).or_default() += coefficient;
        }
    });
    // A of each such row, by the wire before.
    let mut links = BTreeMap::new();
    for [a, _, c] in rows.into_values().filter(|[_, b, _]| *b == alone(CHALLENGE)) {
        if let Some((before, _)) = c.first_key_value().filter(|(before, _)| c == alone(**before)) {
            links.insert(*before, a);
        }
    }
    let mut before = FINGERPRINT;
    for j in 0..wires.elements {
        let Some(mut element) = links.remove(&before) else { return Some(j) };
        let mut steps = element.split_off(&wires.committed.end).into_iter();
        let step = steps.next();
        let ends = if j + 1 == wires.elements { step.is_none() } else { step.is_some_and(|(_, coefficient)| coefficient == one) };
        let is_element = match wires.publics.clone().nth(j) {
            Some(public) => element == alone(public),
            None => element.keys().all(|wire| *wire == 0 || wires.committed.contains(wire)),
        };
        if !ends || !is_element || steps.next().is_some() {
            return Some(j);
        }
        before = step.map_or(0, |(wire, _)| wire);
    }
    None
}

fn check_publics(package: &Package, slice: usize, key: &VerifyingKey) -> Result<(), ExportError> {
    let circuit = package.circuit(slice)?;
    let layout = circuit.layout();
    if layout.publics != key.publics {
        return Err(ExportError::PublicInputs { slice, key: key.publics, what: "circuit", expected: layout.publics });
    }
    let entries = |entry: &mut dyn FnMut(usize, usize, usize)| circuit.visit(|row, matrix, wire, _| entry(row, matrix as usize, wire));
    if let Some(wire) = first_unpinned(layout.rows(), layout.public_wires(), entries) {
        return Err(ExportError::Unpinned { slice, wire });
    }
    let wires = FingerprintWires {
        publics: layout.first_public()..layout.first_public() + layout.publics,
        committed: layout.public_wires()..layout.first_second_round(),
        elements: layout.publics + layout.words,
    };
    match first_unbound(&wires, |entry| circuit.visit(|row, matrix, wire, c| entry(row, matrix as usize, wire, c))) {
        Some(element) => Err(ExportError::Unbound { slice, element }),
        None => Ok(()),
    }
}

fn check(package: &Package) -> Result<Checked, ExportError> {
    let keys = package.verifying_keys()?;
    for (k, key) in keys.iter().enumerate() {
        check_publics(package, k, key)?;
    }
    Ok(Checked { keys, dev: package.keys()?.dev, blob: package.key_blob()? })
}

fn source_of(package: &Package, k: usize, checked: &Checked) -> Result<(String, String), ExportError> {
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
    let contract = verifier_name(&manifest.name, k);
    let verifier = SliceVerifier {
        contract: contract.clone(),
        model: &manifest.name,
        slice: k,
        slices: manifest.slices.len(),
        key,
        publics,
        groups,
        dev: checked.dev,
    };
    Ok((contract, verifier.source()?))
}

/// Name of the verifier contract of a model's slice.
pub fn verifier_name(model: &str, slice: usize) -> String {
    format!("{}Slice{slice}Verifier", type_name(model))
}

/// Source of the verifier contract of slice `k`.
///
/// # Errors
/// [`ExportError::Package`] without keys or with keys of another circuit; [`ExportError::UnsafeKey`],
/// [`ExportError::PublicInputs`], [`ExportError::Unpinned`] and [`ExportError::Unbound`] for keys against which proofs can be forged.
pub fn slice_verifier(package: &Package, k: usize) -> Result<String, ExportError> {
    Ok(source_of(package, k, &check(package)?)?.1)
}

fn model_library(package: &Package, checked: &Checked) -> Result<(String, String), ExportError> {
    let manifest = package.manifest();
    let name = type_name(&manifest.name);
    let library = if name.ends_with("Model") { name } else { format!("{name}Model") };
    let of_kind = |kinds: fn(TensorKind) -> bool| manifest.tensors.iter().filter(move |t| kinds(t.kind)).collect::<Vec<&TensorEntry>>();
    let describe = |what: &str, index: usize, tensor: &TensorEntry, first: usize| {
        let public = tensor.kind.is_public();
        let words = if public { tensor.group().words() } else { 0 };
        let shape = tensor.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×");
        let binding = if public { "" } else { ", private" };
        TensorContext {
            title: format!("{what} {index}, {}{binding}", comment(&tensor.name)),
            shape: if shape.is_empty() { "scalar".into() } else { shape },
            constant: format!("{}_{index}", what.to_ascii_uppercase()),
            function: format!("{what}{index}"),
            count: number(tensor.count() as u64),
            bits: tensor.bits,
            offset: number(tensor.offset.unsigned_abs()),
            scale: number(tensor.scale),
            decimals: DECIMALS,
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
    context.insert("tensors", &tensors);
    context.insert("layout", &checked.blob.layout().chunks(32).map(hex::encode).collect::<Vec<_>>());
    context.insert(
        "selectors",
        &serde_json::json!({
            "output_words": selector("OutputWordCountMismatch(uint256,uint256)"),
            "values": selector("ValueCountMismatch(uint256,uint256)"),
        }),
    );
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
fn files(package: &Package, options: &ExportOptions) -> Result<BTreeMap<String, Vec<u8>>, ExportError> {
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
    let checked = check(package)?;
    let manifest = package.manifest();
    let npm: Npm = serde_json::from_str(NPM_OF_REPOSITORY)?;
    let mut files = BTreeMap::new();
    let mut verifiers = Vec::new();
    for k in 0..manifest.slices.len() {
        let (contract, source) = source_of(package, k, &checked)?;
        files.insert(format!("{folder}{contract}.sol"), licensed(&source, &options.license));
        verifiers.push(contract);
    }
    let (library, source) = model_library(package, &checked)?;
    files.insert(format!("{folder}{library}.sol"), licensed(&source, &options.license));
    files.insert(format!("{folder}PublicWords.sol"), licensed(PUBLIC_WORDS, &options.license));
    files.insert("key-blob.bin".into(), checked.blob.bytes().to_vec());

    let mut context = Context::new();
    context.insert("model", &comment(&manifest.name).trim_matches('"'));
    context.insert("package", &package_name(&manifest.name));
    context.insert("openzeppelin", &npm.dependencies.get("@openzeppelin/contracts"));
    context.insert("verifiers", &verifiers);
    context.insert("library", &library);
    context.insert("slices", &manifest.slices.len());
    context.insert("dev", &checked.dev);
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
    let mut bytes = serde_json::to_vec_pretty(&index)?;
    bytes.push(b'\n');
    files.insert(INDEX.into(), bytes);
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

/// The folder for a package's sources in a forge project: named after the model, among the project's sources.
///
/// # Errors
/// [`ExportError::NotAProject`] without a `foundry.toml` that can be read; [`ExportError::Manifest`] if it is no TOML.
pub fn folder_in(project: &Path, package: &Package) -> Result<PathBuf, ExportError> {
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
    Ok(project.join(sources).join(type_name(&package.manifest().name)))
}

/// Writes a verifier contract a slice, the model's library, the decoder it uses, the key blob and its chunks: as a forge
/// project, or for one. Formatted as `forge fmt` does by default. The same package gives the same bytes.
///
/// The folder appears whole. One of an earlier export is replaced; files that are not of the export stay.
///
/// # Errors
/// As [`slice_verifier`]; [`ExportError::Exists`] for a folder that is not an earlier export, [`ExportError::Edited`] for
/// one with a changed file; [`ExportError::License`]. Nothing half-written stays behind.
pub fn export_with(package: &Package, out: &Path, options: &ExportOptions) -> Result<Exported, ExportError> {
    let files = files(package, options)?;
    let earlier = earlier(out)?;
    let name = out.file_name().ok_or_else(|| ExportError::Exists { path: out.into() })?.to_string_lossy();
    let sibling = |suffix: &str| out.with_file_name(format!("{name}.{suffix}"));
    let (partial, old) = (sibling("partial"), sibling("old"));
    let write = || {
        remove(&partial)?;
        // An existing project may have no sources yet.
        if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
        }
        for (name, bytes) in &files {
            let path = partial.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
            }
            fs::write(&path, bytes).map_err(ExportError::io(&path))?;
        }
        if out.exists() {
            // What an export that was broken off has set aside is not ours to delete.
            if old.exists() {
                return Err(ExportError::Exists { path: old.clone() });
            }
            fs::rename(out, &old).map_err(ExportError::io(out))?;
        }
        fs::rename(&partial, out).map_err(|source| {
            // Back to what was there.
            let _ = fs::rename(&old, out);
            ExportError::io(out)(source)
        })
    };
    write().inspect_err(|_| {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
    })?;
    if old.exists() {
        carry(&old, out, Path::new(""), &earlier)?;
        remove(&old)?;
    }
    Ok(Exported { files: files.into_keys().map(PathBuf::from).collect() })
}

fn remove(path: &Path) -> Result<(), ExportError> {
    if path.exists() { fs::remove_dir_all(path).map_err(ExportError::io(path)) } else { Ok(()) }
}

/// Names of an earlier export's files, unedited; empty if the folder is not there or empty.
fn earlier(out: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let exists = || ExportError::Exists { path: out.into() };
    if !out.exists() || (out.is_dir() && fs::read_dir(out).map_err(ExportError::io(out))?.next().is_none()) {
        return Ok(Vec::new());
    }
    let index = fs::read(out.join(INDEX)).map_err(|_| exists())?;
    let index: KeyBlobIndex = serde_json::from_slice(&index).map_err(|_| exists())?;
    for (name, digest) in &index.files {
        let path = out.join(name);
        if fs::read(&path).is_ok_and(|bytes| hex0x(&keccak(&bytes)) != *digest) {
            return Err(ExportError::Edited { path });
        }
    }
    Ok(index.files.into_keys().chain([INDEX.into()]).map(PathBuf::from).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn unpinned(entries: &[(usize, usize, usize)]) -> Option<usize> {
        first_unpinned(4, 2, |entry| entries.iter().for_each(|(row, matrix, wire)| entry(*row, *matrix, *wire)))
    }

    /// G1: a public wire that only occurs beside others, or in B or C, is not pinned.
    #[test]
    fn public_wires_need_rows_of_their_own() {
        assert_eq!(unpinned(&[(0, 0, 0), (1, 0, 1), (2, 0, 5), (2, 1, 1), (2, 2, 0)]), None);
        assert_eq!(unpinned(&[(0, 0, 0)]), Some(1));
        assert_eq!(unpinned(&[(0, 0, 0), (1, 0, 1), (1, 0, 5)]), Some(1));
        assert_eq!(unpinned(&[(0, 0, 0), (1, 0, 1), (1, 1, 0)]), Some(1));
        assert_eq!(unpinned(&[(0, 0, 0), (1, 1, 1)]), Some(1));
        assert_eq!(unpinned(&[(0, 2, 0), (1, 0, 1)]), Some(0));
    }

    type Entry = (usize, usize, usize, i64);

    /// Two public inputs, wires 5 and 6, and two words, wire 3 and 1 + 2·(wire 4), with steps 7, 8 and 9; before them the rows of a table
    /// of two entries, wires 10 and 11, whose first also has χ alone in B.
    const FINGERPRINT_ROWS: [Entry; 24] = [
        (0, 0, 10, 1),
        (0, 1, 1, 1),
        (0, 2, 3, 1),
        (1, 0, 11, 1),
        (1, 1, 1, 1),
        (1, 1, 0, -1),
        (1, 2, 4, 1),
        (2, 0, 0, 1),
        (2, 0, 4, 2),
        (2, 1, 1, 1),
        (2, 2, 9, 1),
        (3, 0, 9, 1),
        (3, 0, 3, 1),
        (3, 1, 1, 1),
        (3, 2, 8, 1),
        (4, 0, 8, 1),
        (4, 0, 6, 1),
        (4, 1, 1, 1),
        (4, 2, 7, 1),
        (5, 0, 7, 1),
        (5, 0, 5, 1),
        (5, 1, 1, 1),
        (5, 2, 2, 1),
        (6, 0, 2, 1),
    ];

    fn unbound(entries: &[Entry]) -> Option<usize> {
        let wires = FingerprintWires { publics: 5..7, committed: 3..7, elements: 4 };
        first_unbound(&wires, |entry| entries.iter().for_each(|(row, matrix, wire, c)| entry(*row, *matrix, *wire, Fr::from(*c))))
    }

    /// B5: a public input that no row of the fingerprint holds, or not it alone, could be any.
    #[test]
    fn public_inputs_need_the_fingerprint() {
        let rows = FINGERPRINT_ROWS;
        assert_eq!(unbound(&rows), None);
        let instead = |at: usize, entry: Entry| {
            let mut rows = rows.to_vec();
            rows[at] = entry;
            unbound(&rows)
        };
        let beside = |entry: Entry| unbound(&[rows.as_slice(), &[entry]].concat());
        // x_1: missing, another wire, scaled, beside another; x_1 in the place of x_2.
        assert_eq!(unbound(&rows.iter().filter(|entry| **entry != (5, 0, 5, 1)).copied().collect::<Vec<_>>()), Some(0));
        assert_eq!(instead(20, (5, 0, 4, 1)), Some(0));
        assert_eq!(instead(20, (5, 0, 5, 2)), Some(0));
        assert_eq!(beside((5, 0, 3, 1)), Some(0));
        assert_eq!(beside((5, 0, 0, 1)), Some(0));
        assert_eq!(instead(16, (4, 0, 5, 1)), Some(1));
        // Steps: another coefficient, a second one, one at the end, one that leads nowhere, or back.
        assert_eq!(instead(19, (5, 0, 7, 2)), Some(0));
        assert_eq!(beside((5, 0, 11, 1)), Some(0));
        assert_eq!(beside((2, 0, 10, 1)), Some(3));
        assert_eq!(instead(15, (4, 0, 11, 1)), Some(2));
        assert_eq!(instead(15, (4, 0, 7, 1)), Some(2));
        // Not times χ, or not χ alone; not F, or not F alone.
        assert_eq!(instead(21, (5, 1, 0, 1)), Some(0));
        assert_eq!(beside((5, 1, 5, 1)), Some(0));
        assert_eq!(instead(22, (5, 2, 2, 2)), Some(0));
        assert_eq!(beside((5, 2, 0, 1)), Some(0));
        // Words of χ or F.
        assert_eq!(instead(12, (3, 0, 1, 1)), Some(2));
        assert_eq!(instead(8, (2, 0, 2, 1)), Some(3));
    }
}
