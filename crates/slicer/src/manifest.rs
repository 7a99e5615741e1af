//! The manifest: the tensors of the wiring, the slices, and what a wiring must be.

use serde::{Deserialize, Serialize};
use zkslice_formats::key_blob::{MAX_SLICES, TensorKind};
use zkslice_graph::{Encoding, Feature, Graph, Kind, Port, Scale};
use zkslice_groth16::WordGroup;
use zkslice_interop::{Port as CircuitPort, Signal, SignalType};

use crate::slices::WiringTensor;

pub(crate) const VERSION: u32 = 2;

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
    /// keccak256 of its graph file; in a circuit's package, of the `.r1cs` file.
    pub graph: String,
    /// Rows of its circuit.
    pub constraints: usize,
    /// Tensors read, ascending indices into [`Manifest::tensors`].
    pub reads: Vec<usize>,
    /// Tensors written, ascending.
    pub writes: Vec<usize>,
}

/// What a package has where it holds a circuit of others in place of a model. Its rows alone say what it computes: no executor stands
/// beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitEntry {
    /// The signals that the tensors are, in their order.
    pub signals: Vec<Signal>,
    /// Inputs that only the prover sees, bound by nothing outside of the proof.
    pub private: Vec<Signal>,
}

/// What `compile` or `import` made.
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
    /// The circuit, where the package holds one in place of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitEntry>,
    /// Accuracy and options, as compiled: for people. Nothing that is proven follows from it.
    pub report: serde_json::Value,
}

impl Manifest {
    /// What the numbers of an input or output are: real ones, unless the report says that they are exact.
    pub fn kind_of(&self, tensor: &TensorEntry) -> Kind {
        if self.circuit.is_some() {
            return Kind::Integer;
        }
        Kind::deserialize(&self.report["exact"][&tensor.name]).unwrap_or_default()
    }
}

pub(crate) fn entry(graph: &Graph, tensor: &WiringTensor) -> TensorEntry {
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

/// The tensor that a circuit's port is: its integers mean themselves.
pub(crate) fn port_entry(port: &CircuitPort) -> TensorEntry {
    let of_values = port.signal.kind.unwrap_or(SignalType::Field);
    TensorEntry {
        name: port.signal.name.clone(),
        kind: port.kind,
        shape: port.signal.tensor_shape(),
        bits: of_values.digit_bits(),
        axis: 0,
        features: vec![FeatureEntry { offset: of_values.offset(), scale: 10u128.pow(Scale::DECIMALS) }],
    }
}

/// A slice's ports are the manifest's tensors, names and scales included: what the model digest says of a tensor is what its slices compute.
pub(crate) fn check_ports(manifest: &Manifest, entry: &SliceEntry, graph: &Graph) -> Result<(), String> {
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
pub(crate) fn check_wiring(manifest: &Manifest) -> Result<(), String> {
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
pub(crate) fn check_policy(manifest: &Manifest) -> Result<(), String> {
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
            circuit: None,
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
