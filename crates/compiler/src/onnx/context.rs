//! A node under import: its inputs, and errors about it.

use tract_onnx::pb::tensor_proto::DataType;

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::types::kind_of;
use super::{ImportError, Known};
use crate::float::Kind;
use zkslice_graph::{checked_elements, limits};

/// A node under import.
pub(super) struct Context<'a> {
    pub(super) name: String,
    pub(super) operator: &'a str,
    /// The model's operator set.
    pub(super) opset: i64,
    pub(super) inputs: Vec<Option<Known>>,
    /// Their element types, where they are known.
    pub(super) types: Vec<Option<DataType>>,
    pub(super) input_names: &'a [String],
    /// Its outputs' names, empty where one is left out.
    pub(super) outputs: &'a [String],
    /// Of its outputs those that a node or the model reads.
    pub(super) read: Vec<bool>,
    /// Whether its first output is an output of the model, and nothing else.
    pub(super) is_final: bool,
}

impl<'a> Context<'a> {
    /// For an output of the model that is a constant.
    pub(super) fn output(name: &'a str) -> Self {
        Context {
            name: name.to_owned(),
            operator: "output",
            opset: 0,
            inputs: Vec::new(),
            types: Vec::new(),
            input_names: &[],
            outputs: &[],
            read: Vec::new(),
            is_final: false,
        }
    }

    /// An error about the node; the reason says what "it" does, or what is wrong with "its" parts.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> ImportError {
        ImportError::Operator { node: self.name.clone(), operator: self.operator.to_owned(), reason: reason.into() }
    }

    pub(super) fn arity(&self, least: usize, most: usize) -> Result<(), ImportError> {
        let present = self.inputs.iter().take(least).filter(|input| input.is_some()).count();
        if present < least || self.inputs.len() > most {
            return Err(self.wrong(format!("it has {} inputs where {least} to {most} are possible", self.inputs.len())));
        }
        Ok(())
    }

    /// Refuses an operator that the model's operator set does not have.
    pub(super) fn since(&self, first: i64) -> Result<(), ImportError> {
        if self.opset < first {
            return Err(self.wrong(format!("it exists from operator set {first} on, and the model uses {}", self.opset)));
        }
        Ok(())
    }

    /// Whether something reads an output.
    pub(super) fn is_read(&self, output: usize) -> bool {
        self.read.get(output) == Some(&true)
    }

    /// The input of an index, if it is there.
    pub(super) fn optional(&self, index: usize) -> Option<&Known> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    pub(super) fn known(&self, index: usize) -> Result<&Known, ImportError> {
        self.optional(index).ok_or_else(|| self.missing(index))
    }

    /// The type of the floats among its inputs, where it is known.
    pub(super) fn float_type(&self) -> Option<DataType> {
        self.types.iter().copied().flatten().find(|of| kind_of(*of) == Some(Kind::Real))
    }

    /// The element type of an input, where it is known.
    pub(super) fn element(&self, index: usize) -> Option<DataType> {
        self.types.get(index).copied().flatten()
    }

    /// All inputs, none of which may be missing.
    pub(super) fn all(&self) -> Result<Vec<&Known>, ImportError> {
        (0..self.inputs.len()).map(|index| self.known(index)).collect()
    }

    /// The constant at an input, if the input is there.
    pub(super) fn optional_constant(&self, index: usize) -> Result<Option<&Constant>, ImportError> {
        match self.optional(index) {
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Value(_)) => {
                Err(self.wrong(format!("its input `{}` must be a constant (an initialiser of the model)", self.input_name(index))))
            }
            None => Ok(None),
        }
    }

    pub(super) fn constant(&self, index: usize) -> Result<&Constant, ImportError> {
        self.optional_constant(index)?.ok_or_else(|| self.missing(index))
    }

    pub(super) fn missing(&self, index: usize) -> ImportError {
        self.wrong(format!("its input {index} is missing"))
    }

    pub(super) fn input_name(&self, index: usize) -> &str {
        self.input_names.get(index).map_or("", String::as_str)
    }

    /// A constant's numbers, which must be floats, and finite.
    pub(super) fn floats<'c>(&self, constant: &'c Constant) -> Result<&'c [f64], ImportError> {
        match &constant.elements {
            Elements::Floats(list) => match list.iter().position(|x| !x.is_finite()) {
                None => Ok(list),
                Some(index) => {
                    // What was made of an input is not known by its name: the input is, and where it is not finite.
                    let found = self.inputs.iter().enumerate().find_map(|(input, known)| match known {
                        Some(Known::Constant(Constant { elements: Elements::Floats(list), .. })) => {
                            Some((self.input_name(input), list.iter().position(|x| !x.is_finite())?))
                        }
                        _ => None,
                    });
                    let (name, element) = found.unwrap_or((&self.name, index));
                    Err(self.wrong(format!(
                        "its constant `{name}` is {} at element {element}; weights must be finite numbers: train or export the model again",
                        list[index]
                    )))
                }
            },
            Elements::Ints(_) => Err(self.wrong("its weights are integers where floating point is needed")),
        }
    }

    /// A constant's numbers, whatever its type; they are finite, and integers are exact.
    pub(super) fn numbers(&self, constant: &Constant) -> Result<Vec<f64>, ImportError> {
        match &constant.elements {
            Elements::Floats(_) => self.floats(constant).map(<[f64]>::to_vec),
            Elements::Ints(list) if list.iter().all(|x| x.unsigned_abs() <= 1 << 53) => Ok(list.iter().map(|&x| x as f64).collect()),
            Elements::Ints(_) => Err(self.wrong("one of its constants is an integer beyond 2^53, which is not supported")),
        }
    }

    pub(super) fn ints<'c>(&self, constant: &'c Constant) -> Result<&'c [i64], ImportError> {
        match &constant.elements {
            Elements::Ints(list) => Ok(list),
            Elements::Floats(_) => Err(self.wrong("its shape or index is of floating point where integers are needed")),
        }
    }

    /// A list of integers that is an attribute until operator set `until` and a constant input from there on.
    pub(super) fn list(&self, a: &mut Attributes<'_>, name: &str, index: usize, until: i64) -> Result<Option<Vec<i64>>, ImportError> {
        a.exists(name, 1..=until)?;
        match a.ints(name)? {
            Some(list) => Ok(Some(list.to_vec())),
            None => Ok(self.optional_constant(index)?.map(|constant| self.ints(constant)).transpose()?.map(<[i64]>::to_vec)),
        }
    }

    /// Sizes from a list of integers.
    pub(super) fn sizes(&self, list: &[i64]) -> Result<Vec<usize>, ImportError> {
        let size = |&n: &i64| usize::try_from(n).map_err(|_| self.wrong(format!("its shape {list:?} holds a negative number")));
        list.iter().map(size).collect()
    }

    /// Sizes from the constant at an input.
    pub(super) fn sizes_at(&self, index: usize) -> Result<Vec<usize>, ImportError> {
        self.sizes(self.ints(self.constant(index)?)?)
    }

    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, ImportError> {
        from_end(axis, rank).ok_or_else(|| self.wrong(format!("its axis {axis} does not exist in a tensor of {rank} axes")))
    }

    /// The axes of a list, each there once.
    pub(super) fn axes(&self, list: &[i64], rank: usize) -> Result<Vec<usize>, ImportError> {
        let axes = list.iter().map(|&axis| self.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err(self.wrong(format!("its axes {list:?} name one twice")));
        }
        Ok(axes)
    }

    /// An index into so many elements; a negative one counts from the end.
    pub(super) fn index(&self, index: i64, length: usize) -> Result<usize, ImportError> {
        from_end(index, length).ok_or_else(|| self.wrong(format!("its index {index} is out of range for {length} elements")))
    }

    /// Number of elements of something of its own, which must be within the limits; `part` says what it is.
    pub(super) fn checked(&self, shape: &[usize], part: &str) -> Result<usize, ImportError> {
        checked_elements(shape).map_err(|reason| self.wrong(format!("its {part}: {reason}")))
    }

    /// Number of elements of an output's shape. A constant may have none.
    pub(super) fn elements(&self, shape: &[usize]) -> Result<usize, ImportError> {
        if shape.contains(&0) && shape.len() <= limits::MAX_RANK {
            return Ok(0);
        }
        self.checked(shape, "output")
    }

    /// Refuses a product of so many operations, given by its sizes.
    pub(super) fn check_work(&self, sizes: &[usize]) -> Result<(), ImportError> {
        let work = sizes.iter().fold(1_u128, |work, &size| work.saturating_mul(size as u128));
        if work > limits::MAX_WORK { Err(self.wrong("it needs more operations than are allowed")) } else { Ok(()) }
    }
}

/// An index, where a negative one counts from the end.
fn from_end(index: i64, length: usize) -> Option<usize> {
    let shifted = if index < 0 { index.checked_add_unsigned(length as u64) } else { Some(index) };
    shifted.and_then(|index| usize::try_from(index).ok()).filter(|&index| index < length)
}
