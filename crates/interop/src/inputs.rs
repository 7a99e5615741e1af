//! Values of a circuit's inputs, by name, as Circom's tools take them: JSON of whole numbers, decimal text, and lists of them.

use std::collections::BTreeMap;

use ark_bn254::Fr;
use ark_ff::PrimeField;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zkslice_formats::key_blob::TensorKind;

use crate::circuit::TAG;
use crate::{ForeignCircuit, InteropError, Port, Signal, SignalType};

/// Values of inputs by name; those of an array in the order of its elements.
pub type Inputs = BTreeMap<String, Vec<Fr>>;

/// Reads `{"name": 1, "other": ["2", "-3"], …}`. Negative numbers are r − |x|, as in Circom.
///
/// # Errors
/// [`InteropError::Malformed`], [`InteropError::Signal`] for what is no whole number from −r + 1 to r − 1.
pub fn read_inputs(json: &[u8]) -> Result<Inputs, InteropError> {
    let malformed = |reason: String| InteropError::malformed("inputs", reason);
    let Entries(entries) = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
    let mut inputs = Inputs::new();
    for (name, value) in entries {
        if inputs.contains_key(&name) {
            return Err(InteropError::signal(&name, "it is given twice"));
        }
        let mut list = Vec::new();
        flatten(&value, &mut list).map_err(|wrong| {
            InteropError::signal(&name, format!("{wrong} is no whole number below r; write large ones as text of decimal digits"))
        })?;
        inputs.insert(name, list);
    }
    Ok(inputs)
}

/// Names and values in their order: a map would keep the last of one name.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of names and values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect::<Result<_, _>>().map(Entries)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn flatten<'a>(value: &'a Value, list: &mut Vec<Fr>) -> Result<(), &'a Value> {
    if let Value::Array(values) = value {
        return values.iter().try_for_each(|value| flatten(value, list));
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return Err(value),
    };
    let (digits, negative) = text.strip_prefix('-').map_or((text.as_str(), false), |digits| (digits, true));
    let is_number = !digits.is_empty() && digits.len() <= 80 && digits.bytes().all(|b| b.is_ascii_digit());
    let number = is_number.then(|| digits.parse::<Fr>().ok()).flatten().ok_or(value)?;
    // A number from r on would be read as another one.
    if number.into_bigint().to_string() != digits.trim_start_matches('0') && !digits.bytes().all(|b| b == b'0') {
        return Err(value);
    }
    list.push(if negative { -number } else { number });
    Ok(())
}

impl ForeignCircuit {
    fn input_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports().iter().filter(|port| port.kind != TensorKind::Output)
    }

    fn check_names(&self, inputs: &Inputs) -> Result<(), InteropError> {
        let signals = || self.input_ports().map(|port| &port.signal).chain(self.private());
        for (name, values) in inputs {
            let Some(signal) = signals().find(|signal| signal.name == *name) else {
                let known: Vec<&str> = signals().map(|signal| signal.name.as_str()).collect();
                return Err(InteropError::signal(name, format!("the circuit has no such input; it has {}", known.join(", "))));
            };
            if values.len() != signal.count() {
                return Err(InteropError::signal(name, format!("it has {} values, {} were given", signal.count(), values.len())));
            }
        }
        Ok(())
    }

    /// Integers of the inputs that are bound. Others may be there, and are not looked at but for their number; a [`TAG`] that is not given
    /// is 0.
    ///
    /// # Errors
    /// [`InteropError::Signal`] for an input that is missing, unknown, or of no value that its type has.
    pub fn encode(&self, inputs: &Inputs) -> Result<Vec<Vec<i64>>, InteropError> {
        self.check_names(inputs)?;
        let of_port = |port: &Port| {
            let (name, of_values) = (&port.signal.name, port.kind_of_values());
            let Some(values) = inputs.get(name) else {
                let is_tag = name == TAG && port.signal.first_wire.is_none();
                return if is_tag { Ok(vec![0]) } else { Err(InteropError::signal(name, "it is not given")) };
            };
            let integers = values.iter().map(|value| of_values.integers(*value));
            let integers = integers.collect::<Option<Vec<_>>>().map(|lists| lists.concat());
            integers.ok_or_else(|| InteropError::signal(name, format!("a value of it is no {of_values}")))
        };
        self.input_ports().map(of_port).collect()
    }

    /// Checks that a prover's own inputs are this circuit's private ones, and all of them.
    ///
    /// # Errors
    /// As [`ForeignCircuit::program_inputs`].
    pub fn check_own_inputs(&self, own: &Inputs) -> Result<(), InteropError> {
        let zeros: Vec<Vec<i64>> = self.input_ports().map(|port| vec![0; port.signal.count() * port.kind_of_values().limbs()]).collect();
        self.program_inputs(&zeros, own).map(drop)
    }

    /// All inputs as a witness program takes them: those that are bound, from their integers; the others from `own`.
    ///
    /// # Errors
    /// [`InteropError::Signal`] for a private input that `own` lacks, or a name in it that is bound or unknown.
    pub fn program_inputs(&self, integers: &[Vec<i64>], own: &Inputs) -> Result<Inputs, InteropError> {
        self.check_names(own)?;
        let mut inputs = own.clone();
        for (port, integers) in self.input_ports().zip(integers).filter(|(port, _)| port.signal.first_wire.is_some()) {
            let (name, of_values) = (&port.signal.name, port.kind_of_values());
            let values = integers.chunks(of_values.limbs()).map(|limbs| of_values.value(limbs)).collect::<Option<Vec<Fr>>>();
            let values = values.filter(|values| values.len() == port.signal.count());
            let values = values.ok_or_else(|| InteropError::signal(name, format!("its words are not those of values of {of_values}")))?;
            if inputs.insert(name.clone(), values).is_some() {
                return Err(InteropError::signal(name, "it is the request's to give, not the prover's"));
            }
        }
        match self.private().iter().find(|signal| !inputs.contains_key(&signal.name)) {
            Some(Signal { name, .. }) => Err(InteropError::signal(name, "it is private, and the prover was not given it")),
            None => Ok(inputs),
        }
    }

    /// The values of a port's elements, as decimal text: what its integers stand for.
    pub fn decode(&self, port: usize, integers: &[i64]) -> Vec<String> {
        let of_values = self.ports()[port].kind_of_values();
        let text = |limbs: &[i64]| match of_values {
            SignalType::Signed(_) => limbs.first().map_or_else(String::new, ToString::to_string),
            _ => of_values.value(limbs).map_or_else(|| "no value below r".to_owned(), |value| value.to_string()),
        };
        integers.chunks(of_values.limbs()).map(text).collect()
    }
}
