//! Names of a circuit's signals: Circom's `.sym`, a line for each: label, wire (−1 where the compiler left it out), component, name.

use std::collections::{BTreeMap, BTreeSet};

use crate::r1cs::UNUSED;
use crate::{InteropError, R1cs};

const WHAT: &str = ".sym file";
/// The component whose signals are the circuit's own.
const MAIN: &str = "main.";
/// Most dimensions of an array.
const MOST_AXES: usize = 16;

/// A signal of the main component: one, or an array whose wires follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Name, without `main.` and indices.
    pub name: String,
    /// Dimensions; none for a single signal.
    pub shape: Vec<usize>,
    /// Wire of the first element.
    pub first_wire: usize,
}

impl Symbol {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The inputs and outputs of a circuit, by the order of their wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbols {
    /// Outputs.
    pub outputs: Vec<Symbol>,
    /// Public inputs.
    pub public_inputs: Vec<Symbol>,
    /// Private inputs.
    pub private_inputs: Vec<Symbol>,
}

impl Symbols {
    /// Finds the names of a circuit's inputs and outputs.
    ///
    /// # Errors
    /// [`InteropError::Malformed`]: no such file, or one of another circuit.
    pub fn read(bytes: &[u8], r1cs: &R1cs) -> Result<Self, InteropError> {
        let malformed = |reason: String| InteropError::malformed(WHAT, reason);
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is no text".into()))?;
        let bound = r1cs.publics() + r1cs.private_inputs;
        // Several names may stand for one wire; those of the main component come first.
        let mut names: BTreeMap<usize, &str> = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let fields: Vec<&str> = line.splitn(4, ',').collect();
            let [label, wire, _, name] = fields[..] else {
                return Err(malformed(format!("line {} is not label, wire, component, name", number + 1)));
            };
            let wire: i64 = wire.parse().map_err(|_| malformed(format!("line {} has no wire", number + 1)))?;
            let Some(own) = name.strip_prefix(MAIN) else { continue };
            if own.chars().any(char::is_control) {
                return Err(malformed(format!("the name in line {} is none of Circom's", number + 1)));
            }
            // Labels count outputs and inputs first, as the wires do where none is left out.
            if wire < 0 && label.parse().is_ok_and(|label: usize| label <= bound) {
                return Err(InteropError::signal(own, UNUSED));
            }
            if let Some(wire) = usize::try_from(wire).ok().filter(|wire| (1..=bound).contains(wire)) {
                names.entry(wire).or_insert(own);
            }
        }
        if let Some(wire) = (1..=bound).find(|wire| !names.contains_key(wire)) {
            return Err(malformed(format!("it has no name for wire {wire}: it is of another circuit")));
        }
        let (outputs, publics) = (r1cs.outputs, r1cs.publics());
        Ok(Self {
            outputs: group(&names, 1..=outputs)?,
            public_inputs: group(&names, outputs + 1..=publics)?,
            private_inputs: group(&names, publics + 1..=bound)?,
        })
    }
}

/// A name and the indices behind it.
fn parse(name: &str) -> Option<(&str, Vec<usize>)> {
    let (mut base, mut indices) = (name, Vec::new());
    while let Some(inner) = base.strip_suffix(']') {
        let (before, index) = inner.rsplit_once('[')?;
        if indices.len() == MOST_AXES {
            return None;
        }
        indices.push(index.parse().ok()?);
        base = before;
    }
    indices.reverse();
    (!base.is_empty()).then_some((base, indices))
}

/// Arrays: names that differ in their indices only, which count up, the last one first.
fn group(names: &BTreeMap<usize, &str>, wires: std::ops::RangeInclusive<usize>) -> Result<Vec<Symbol>, InteropError> {
    let mut symbols: Vec<(Symbol, Vec<Vec<usize>>)> = Vec::new();
    if wires.is_empty() {
        return Ok(Vec::new());
    }
    for (wire, name) in names.range(wires) {
        let (base, index) =
            parse(name).ok_or_else(|| InteropError::malformed(WHAT, format!("the name `{name}` of wire {wire} cannot be read")))?;
        match symbols.last_mut().filter(|(symbol, _)| symbol.name == base && symbol.shape.len() == index.len()) {
            Some((symbol, elements)) => {
                symbol.shape.iter_mut().zip(&index).for_each(|(size, index)| *size = (*size).max(index.saturating_add(1)));
                elements.push(index);
            }
            None => {
                let shape = index.iter().map(|index| index.saturating_add(1)).collect();
                symbols.push((Symbol { name: base.to_owned(), shape, first_wire: *wire }, vec![index]));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (symbol, elements) in &symbols {
        let count = symbol.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        // As many as the shape has, each after the one before, are all of them.
        let in_order = count == Some(elements.len()) && elements.is_sorted_by(|a, b| a < b);
        if !in_order || !seen.insert(&symbol.name) {
            let reason = "its elements do not lie side by side: it is of another circuit, or of another compiler than circom 2";
            return Err(InteropError::signal(&symbol.name, reason));
        }
    }
    Ok(symbols.into_iter().map(|(symbol, _)| symbol).collect())
}
