//! The verifier contract of one slice.

use ark_bn254::{G1Affine, G2Affine};
use serde::Serialize;
use tera::{Context, Tera};
use zkslice_formats::{Addition, digits_per_word, hex0x, keccak, tag};
use zkslice_groth16::{Form, VerifyingKey, g1_to_words, g2_to_words};

use crate::ExportError;
use crate::names::{comment, is_identifier, line, number};

const TEMPLATE: &str = include_str!("../../../templates/SliceVerifier.sol.tera");

/// Up to so many public inputs of a plain key the points of IC are named constants; more of them are one constant, read in a loop.
const MOST_UNROLLED: usize = 8;

/// What a verifier contract is made from.
#[derive(Clone, Debug)]
pub struct SliceVerifier<'a> {
    /// Name of the contract; see [`crate::type_name`].
    pub contract: String,
    /// Name of the model, for comments.
    pub model: &'a str,
    /// Index of the slice, and how many there are.
    pub slice: usize,
    /// How many slices the model has.
    pub slices: usize,
    /// Its verifying key.
    pub key: &'a VerifyingKey,
    /// What each public input is, for comments.
    pub publics: Vec<String>,
    /// What each word group is, for comments.
    pub groups: Vec<String>,
    /// Whether the key was made without a ceremony: the contract then deploys on local chains only.
    pub dev: bool,
    /// Where the chains that it is for have the addition of points.
    pub addition: Addition,
}

#[derive(Serialize)]
struct G1 {
    name: String,
    x: String,
    y: String,
}

#[derive(Serialize)]
struct G2 {
    name: &'static str,
    x1: String,
    x0: String,
    y1: String,
    y0: String,
}

#[derive(Serialize)]
struct Group {
    doc: String,
    first: usize,
    words: usize,
    count: String,
    bits: u32,
    per_word: usize,
}

/// Words `first..end` of equal width.
#[derive(Serialize, PartialEq, Eq, Debug)]
struct Range {
    first: usize,
    end: usize,
    bits: u32,
}

fn g1(name: impl Into<String>, point: &G1Affine) -> G1 {
    let [x, y] = g1_to_words(point).map(|word| hex0x(&word));
    G1 { name: name.into(), x, y }
}

fn g2(name: &'static str, point: &G2Affine) -> G2 {
    let [x1, x0, y1, y0] = g2_to_words(point).map(|word| hex0x(&word));
    G2 { name, x1, x0, y1, y0 }
}

fn ranges(key: &VerifyingKey) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for (index, bits) in key.groups.iter().flat_map(|group| group.widths()).enumerate() {
        match ranges.last_mut() {
            Some(last) if last.bits == bits => last.end = index + 1,
            _ => ranges.push(Range { first: index, end: index + 1, bits }),
        }
    }
    ranges
}

pub(crate) fn selector(signature: &str) -> String {
    hex0x(&keccak(signature.as_bytes())[..4])
}

impl SliceVerifier<'_> {
    /// The contract's source.
    ///
    /// # Errors
    /// [`ExportError::UnsafeKey`] for a key in which γ, a δ or the generator coincide or a point is at infinity;
    /// [`ExportError::DevKeys`] for development keys and chains that are not local; [`ExportError::Name`] for a contract name that is no
    /// identifier; [`ExportError::PublicInputs`] if the key's points are not as many as its public inputs, or their descriptions.
    pub fn source(&self) -> Result<String, ExportError> {
        let Self { key, slice, .. } = *self;
        let mismatch = |key: usize, what, expected| ExportError::PublicInputs { slice, key, what, expected };
        if !is_identifier(&self.contract) {
            return Err(ExportError::Name { name: self.contract.clone() });
        }
        if self.dev && self.addition != Addition::At0x06 {
            return Err(ExportError::DevKeys);
        }
        let committed = key.form() == Form::Committed;
        if key.ic.len() != key.ic_points() {
            return Err(mismatch(key.ic.len(), "form, in points of IC,", key.ic_points()));
        }
        if key.publics == 0 {
            return Err(mismatch(0, "contract at least", 1));
        }
        if self.publics.len() != key.publics {
            return Err(mismatch(key.publics, "wiring", self.publics.len()));
        }
        if self.groups.len() != key.groups.len() || (!committed && !key.groups.is_empty()) {
            return Err(mismatch(key.groups.len(), "wiring's word groups", self.groups.len()));
        }
        key.check().map_err(|source| ExportError::UnsafeKey { slice, source })?;

        let (p, n) = (key.publics, key.words());
        let rolled = !committed && p > MOST_UNROLLED;
        let mut g1s = vec![g1("ALPHA", &key.alpha), g1("IC0", &key.ic[0])];
        if committed {
            g1s.extend([g1("CHI", &key.ic[1]), g1("FINGERPRINT", &key.ic[2])]);
        } else if !rolled {
            g1s.extend((1..=p).map(|j| g1(format!("IC{j}"), &key.ic[j])));
        }
        let mut g2s = vec![g2("BETA", &key.beta), g2("GAMMA", &key.gamma)];
        g2s.extend(key.delta1.as_ref().map(|delta| g2("DELTA1", delta)));
        g2s.push(g2(if committed { "DELTA2" } else { "DELTA" }, &key.delta2));
        let mut first = 0;
        let groups: Vec<Group> = key
            .groups
            .iter()
            .zip(&self.groups)
            .map(|(group, doc)| {
                let words = group.words();
                first += words;
                Group {
                    doc: line(doc),
                    first: first - words,
                    words,
                    count: number(group.count as u64),
                    bits: group.bits,
                    per_word: digits_per_word(group.bits),
                }
            })
            .collect();
        let proof_words = if committed { 10 } else { 8 };
        let pairs = if committed { 5 } else { 4 };
        let hex = |bytes: usize| format!("{bytes:#04x}");
        let at = |words: usize| hex(32 * words);

        let mut context = Context::new();
        context.insert("contract", &self.contract);
        context.insert("model", &comment(self.model));
        context.insert("slice", &slice);
        context.insert("slices", &self.slices);
        context.insert("dev", &self.dev);
        context.insert("ecadd", &self.addition.address());
        context.insert("bittensor", &Addition::BITTENSOR);
        context.insert("committed", &committed);
        context.insert("rolled", &rolled);
        context.insert("p", &p);
        context.insert("n", &n);
        context.insert("p_num", &number(p as u64));
        context.insert("n_num", &number(n as u64));
        context.insert("proof_words", &proof_words);
        context.insert("pair_count", &pairs);
        context.insert("pairing_words", &(6 * pairs));
        context.insert("pairing_bytes", &at(6 * pairs));
        context.insert("calldata_bytes", &number(4 + 32 * (p + n + proof_words) as u64));
        context.insert("publics", &self.publics.iter().map(|text| line(text)).collect::<Vec<_>>());
        context.insert("groups", &groups);
        context.insert("ranges", &ranges(key));
        context.insert("unrolled", &(1..=p).collect::<Vec<_>>());
        context.insert("ic_words", &key.ic[1..].iter().flat_map(g1_to_words).map(hex::encode).collect::<Vec<_>>());
        context.insert("g1", &g1s);
        context.insert("g2", &g2s);
        context.insert("vk_hash", &hex0x(&key.hash()));
        context.insert("challenge_tag", &hex0x(&tag("zkslice/challenge/v2")));
        context.insert(
            "at",
            &serde_json::json!({
                "x_bytes": at(p), "n": at(3 + p), "w": at(4 + p), "w_bytes": at(n), "elements_bytes": at(p + n), "c1": at(4 + p + n), "end": at(6 + p + n),
            }),
        );
        context.insert(
            "selectors",
            &serde_json::json!({
                "calldata": selector("CalldataLengthMismatch(uint256,uint256)"),
                "public_input": selector("PublicInputOutOfRange(uint256)"),
                "word": selector("WordOutOfRange(uint256,uint256)"),
                "coordinate": selector("CoordinateOutOfRange(uint256)"),
                "precompile": selector("PrecompileFailed(address)"),
                "proof": selector("ProofInvalid()"),
                "self_test": selector("SelfTestFailed(address)"),
                "dev": selector("DevKeysRefused(uint256)"),
                "at_6": selector("AdditionIsAt0x06(uint256)"),
                "at_9": selector("AdditionIsAt0x09(uint256)"),
            }),
        );
        Ok(render(TEMPLATE, &context)?)
    }
}

/// Renders without HTML escapes; the templates are constants of this crate.
pub(crate) fn render(template: &str, context: &Context) -> tera::Result<String> {
    Tera::one_off(template, context, false)
}
