//! Why a model cannot be imported, and what to do where an operator is missing.

use std::path::PathBuf;

use super::{OPSETS, operators};

/// Why a model cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("this is not an ONNX model ({0}); give a .onnx file")]
    NotOnnx(String),
    /// The operator set is not one that can be read.
    #[error("the model uses version {0} of the ONNX operator set; versions {min} to {max} can be read: convert it with onnx.version_converter", min = OPSETS.0, max = OPSETS.1)]
    Opset(i64),
    /// The model uses a part of ONNX that is not supported.
    #[error("the model {0}")]
    Unsupported(String),
    /// An operator that does not exist here.
    #[error("node `{node}`: operator {operator} is not supported: {}; docs/operators.md lists what is", advice(operator))]
    UnknownOperator {
        /// Name of the node.
        node: String,
        /// The operator.
        operator: String,
    },
    /// An attribute that is unknown, malformed or has a value that is not supported.
    #[error("node `{node}` ({operator}): attribute `{attribute}` {reason}")]
    Attribute {
        /// Name of the node.
        node: String,
        /// The operator.
        operator: String,
        /// The attribute.
        attribute: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An operator is used in a way that is not supported.
    #[error("node `{node}` ({operator}): {reason}")]
    Operator {
        /// Name of the node.
        node: String,
        /// The operator.
        operator: String,
        /// What is wrong.
        reason: String,
    },
    /// A constant cannot be used.
    #[error("constant `{name}`: {reason}")]
    Constant {
        /// Name of the initialiser or node.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A shape is open.
    #[error("input `{input}`: axis {axis} is open (`{dimension}`); give its size with --shape {input}=…{batch}, or export the model with a fixed size there", batch = if *axis == 0 { " or --batch 1" } else { "" })]
    Dimension {
        /// Name of the input.
        input: String,
        /// The axis.
        axis: usize,
        /// Name of the dimension, `?` when it has none.
        dimension: String,
    },
    /// An input or output cannot be used.
    #[error("{side} `{name}`: {reason}")]
    Port {
        /// `input` or `output`.
        side: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The decoder panicked.
    #[error("the model cannot be read: the decoder stopped with `{0}`; check the file with onnx.checker")]
    Panic(String),
}

/// Operators that are not supported, by family, and the nearest thing to do. A name that ends in `*` stands for all that begin with it.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["Unique", "NonMaxSuppression"],
        "how much it gives depends on the input, and shapes must be fixed: end the model before it, and do this step on its outputs",
    ),
    (
        &[
            "QuantizeLinear",
            "DequantizeLinear",
            "DynamicQuantizeLinear",
            "QLinear*",
            "ConvInteger",
            "MatMulInteger",
            "com.microsoft.QLinear*",
        ],
        "zkslice quantises a model itself: give the model of floats that this one was made from",
    ),
    (
        &["String*", "RegexFullMatch", "TfIdfVectorizer", "ai.onnx.contrib.*"],
        "text is no tensor of numbers: do this step before the model, and make its numbers an input",
    ),
    (
        &["Sequence*", "SplitToSequence", "ConcatFromSequence", "Optional*"],
        "there are tensors alone here: export the model without lists, with its loops unrolled",
    ),
    (
        &["ai.onnx.ml.TreeEnsemble*"],
        "hummingbird-ml converts trees to tensor operators: convert the model with it, with the `gemm` strategy, and export that",
    ),
    (
        &["ai.onnx.ml.ZipMap"],
        "it makes maps of its input, which is a matrix of numbers: convert the model without it, in skl2onnx with \
         options={id(model): {'zipmap': False}}",
    ),
    (&["ai.onnx.ml.*"], "write the model in tensor operators, as hummingbird-ml does, and give its inputs as numbers"),
    (
        &["Random*", "Bernoulli", "Multinomial"],
        "a proof is of one computation, which draws nothing: make the random numbers an input, or end the model before it",
    ),
    (
        &["DFT", "STFT", "MelWeightMatrix", "HannWindow", "HammingWindow", "BlackmanWindow", "ImageDecoder"],
        "do this step before the model, and make what it gives an input",
    ),
    (
        &["SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss", "ai.onnx.training.*", "ai.onnx.preview.training.*", "Gradient"],
        "it belongs to training: export the model for inference",
    ),
    (
        &["com.microsoft.*"],
        "it is ONNX Runtime's own, which its optimiser writes: give the model from before, or export it with operators of ONNX alone",
    ),
];

/// What to do about an operator that does not exist here; one of another domain has the domain before its name.
fn advice(operator: &str) -> String {
    let fits = |name: &str| name.strip_suffix('*').map_or(name == operator, |start| operator.starts_with(start));
    if let Some((_, advice)) = ADVICE.iter().find(|(names, _)| names.iter().any(|name| fits(name))) {
        return (*advice).to_owned();
    }
    if operator.contains('.') {
        return "it is of a domain of its own: export the model with operators of ONNX alone, or end it before this node".to_owned();
    }
    let small = operator.to_lowercase();
    let nearest = operators().into_iter().map(|supported| (distance(&small, &supported.name.to_lowercase()), supported.name)).min();
    match nearest {
        // One letter in four may be another.
        Some((changes, name)) if changes * 4 <= operator.chars().count() => format!("{name} is, if that is what is meant"),
        _ => "end the model before it, or write it in operators that are".to_owned(),
    }
}

/// How many letters must be put in, left out or exchanged to make one name of another.
fn distance(x: &str, y: &str) -> usize {
    let letters: Vec<char> = y.chars().collect();
    let mut row: Vec<usize> = (0..=letters.len()).collect();
    for (i, letter) in x.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in letters.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (x, y, changes) in [("", "abc", 3), ("abc", "abc", 0), ("Softmax", "Softmx", 1), ("Relu", "Elu", 2), ("Conv", "vnoC", 4)] {
            assert_eq!((distance(x, y), distance(y, x)), (changes, changes), "{x} {y}");
        }
    }

    #[test]
    fn each_missing_operator_has_something_to_do() {
        for (operator, words) in [
            ("QLinearConv", "model of floats"),
            ("com.microsoft.QLinearAdd", "model of floats"),
            ("com.microsoft.FusedMatMul", "ONNX Runtime"),
            ("ai.onnx.ml.TreeEnsembleClassifier", "gemm"),
            ("ai.onnx.ml.ZipMap", "'zipmap': False"),
            ("RandomNormalLike", "end the model before it"),
            ("Softmaxx", "Softmax is"),
            ("SofMax", "Softmax is"),
            ("com.example.Relu", "domain of its own"),
            ("DeformConv", "end the model before it"),
        ] {
            assert!(advice(operator).contains(words), "{operator}: {}", advice(operator));
        }
        // Advice is for what is missing.
        let supported = operators();
        for name in ADVICE.iter().flat_map(|(names, _)| *names) {
            assert!(supported.iter().all(|operator| operator.name != *name), "{name}");
        }
    }
}
