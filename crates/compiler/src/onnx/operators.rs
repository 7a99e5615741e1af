//! The operators that a model may use, and how a node finds its own.

use tract_onnx::pb::NodeProto;

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::{ImportError, Importer, Known, Named, node_name};

/// An ONNX operator that a model may use.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Its name in ONNX, after its domain where that is not ONNX's own.
    pub name: &'static str,
    /// In which form, for the table of `docs/operators.md`.
    pub form: &'static str,
    /// Writes a node in the float graph's operators; gives what its outputs stand for, as many as it has.
    rewrite: Rewrite,
}

type Rewrite = fn(&mut Importer<'_>, &Context<'_>, &mut Attributes<'_>) -> Result<Vec<Known>, ImportError>;

pub(super) const fn operator(name: &'static str, form: &'static str, rewrite: Rewrite) -> Operator {
    Operator { name, form, rewrite }
}

/// What a node of one output gives.
pub(super) fn one(known: Known) -> Vec<Known> {
    vec![known]
}

/// The operators, by family.
const FAMILIES: [&[Operator]; 21] = [
    super::arithmetic::OPERATORS,
    super::attention::OPERATORS,
    super::bitwise::OPERATORS,
    super::cast::OPERATORS,
    super::control::OPERATORS,
    super::conv::OPERATORS,
    super::einsum::OPERATORS,
    super::generator::OPERATORS,
    super::index::OPERATORS,
    super::learned::OPERATORS,
    super::linear::OPERATORS,
    super::logic::OPERATORS,
    super::norm::OPERATORS,
    super::pointwise::OPERATORS,
    super::pool::OPERATORS,
    super::recurrent::OPERATORS,
    super::reduce::OPERATORS,
    super::resize::OPERATORS,
    super::shape::OPERATORS,
    super::softmax::OPERATORS,
    super::sort::OPERATORS,
];

/// The supported operators, by name.
pub fn operators() -> Vec<Operator> {
    let mut all = FAMILIES.concat();
    all.sort_by_key(|operator| operator.name);
    all
}

pub(super) const TRAINING: &str = "it is in training mode; export the model for inference";

/// Whether a domain is ONNX's own, whose operators have no prefix here.
pub(super) fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

impl Importer<'_> {
    /// Imports one node; gives what its outputs stand for. `read` says which of them others read.
    pub(super) fn node(&mut self, node: &NodeProto, is_final: bool, read: Vec<bool>) -> Result<Vec<Named>, ImportError> {
        let name = node_name(node);
        let full = if is_standard(&node.domain) { node.op_type.clone() } else { format!("{}.{}", node.domain, node.op_type) };
        let Some(operator) = FAMILIES.iter().copied().flatten().find(|operator| operator.name == full) else {
            return Err(ImportError::UnknownOperator { node: name, operator: full });
        };
        let inputs = node
            .input
            .iter()
            .map(|input| {
                if input.is_empty() {
                    return Ok(None);
                }
                self.named(input)?.map(Some).ok_or_else(|| ImportError::Operator {
                    node: name.clone(),
                    operator: node.op_type.clone(),
                    reason: format!("its input `{input}` is made by no node before it"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let types = inputs.iter().map(|named: &Option<Named>| named.as_ref().and_then(|named| named.of)).collect();
        let inputs = inputs.into_iter().map(|named| named.map(|named| named.known)).collect();
        let c = Context {
            name,
            operator: &node.op_type,
            opset: self.opset,
            inputs,
            types,
            input_names: &node.input,
            outputs: &node.output,
            read,
            is_final,
        };
        let mut attributes = Attributes::new(node, self.opset)?;
        self.returned.clear();
        let mut outputs = match self.mask(&c, &mut attributes)? {
            Some(masked) => one(masked),
            None => (operator.rewrite)(self, &c, &mut attributes)?,
        };
        // What a runtime works out of floats of 32 bits is one: a Ceil or a comparison after it may hang on that.
        let are_single = c.inputs.iter().flatten().filter_map(Known::constant).filter_map(Constant::are_single);
        if are_single.reduce(|all, one| all && one) == Some(true) {
            outputs.iter_mut().for_each(Known::round_to_single);
        }
        attributes.finish()?;
        if let Some(missing) = (outputs.len()..c.read.len()).find(|&output| c.read[output]) {
            return Err(c.wrong(format!("its further output `{}` is not supported", c.outputs[missing])));
        }
        let hold = |(index, known): (usize, Known)| {
            let of = self.typed(node, &c, index, &known)?;
            Ok(Named { known: self.within_type(&c, known, of)?, of })
        };
        outputs.into_iter().enumerate().map(hold).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::operators;
    use crate::onnx::OPSETS;

    #[test]
    fn an_operator_is_there_once() {
        assert!(operators().windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn pages_say_for_which_operator_sets() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for name in ["docs/operators.md", "README.md"] {
            let sets = format!("operator sets {} to {}", OPSETS.0, OPSETS.1);
            assert!(std::fs::read_to_string(root.join(name)).unwrap().contains(&sets), "{name} must say: {sets}");
        }
    }
}
