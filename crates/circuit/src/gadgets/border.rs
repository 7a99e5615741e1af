//! How tensors of digits at a circuit's border are bound to the outside.

use std::vec::IntoIter;

use ark_bn254::Fr;
use zkslice_formats::key_blob::TensorKind;

use super::{commitment, pack, tensor_tag};
use crate::{Builder, CircuitError};

/// How a tensor at a circuit's border is bound to the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Public words, bound by the fingerprint at the challenge.
    Words,
    /// A salted commitment: a public input.
    Commitment {
        /// Whether it starts from the owner too (a private input of the model).
        owner: bool,
    },
}

impl From<TensorKind> for Binding {
    fn from(kind: TensorKind) -> Self {
        match kind {
            TensorKind::PublicInput | TensorKind::Output => Self::Words,
            TensorKind::PrivateInput => Self::Commitment { owner: true },
            TensorKind::Boundary => Self::Commitment { owner: false },
        }
    }
}

/// The values that are a border's own: they belong to one inference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BorderValues {
    /// The context, x_1.
    pub context: Fr,
    /// The owner, where an input is private.
    pub owner: Fr,
    /// One salt for each commitment, in order.
    pub salts: Vec<Fr>,
}

/// A circuit's border while the circuit is built.
///
/// Public inputs, in this order: context; owner, if an input is private; one commitment for each committed tensor. Public words: those of
/// the other tensors, in order.
#[derive(Debug)]
pub struct Border<F> {
    owner: Option<F>,
    salts: IntoIter<Option<Fr>>,
    committed: usize,
}

impl<F: Clone> Border<F> {
    /// Opens a border of tensors that are bound so.
    ///
    /// # Errors
    /// [`CircuitError::Arity`] where there are not as many salts as commitments.
    pub fn open<B: Builder<Field = F>>(b: &mut B, bindings: &[Binding], values: Option<&BorderValues>) -> Result<Self, CircuitError> {
        let committed = bindings.iter().filter(|binding| **binding != Binding::Words).count();
        if let Some(values) = values.filter(|values| values.salts.len() != committed) {
            return Err(CircuitError::Arity { what: "salts", expected: committed, got: values.salts.len() });
        }
        b.public(values.map(|v| v.context));
        let owner = bindings.contains(&Binding::Commitment { owner: true }).then(|| b.public(values.map(|v| v.owner)));
        let salts: Vec<_> = (0..committed).map(|i| values.map(|v| v.salts[i])).collect();
        Ok(Self { owner, salts: salts.into_iter(), committed })
    }

    /// Binds the next tensor: digits of `bits` bits each.
    ///
    /// # Errors
    /// As [`pack`]; [`CircuitError::Arity`] for more commitments than were announced.
    pub fn bind<B: Builder<Field = F>>(&mut self, b: &mut B, binding: Binding, digits: &[B::Int], bits: u32) -> Result<(), CircuitError> {
        let words = pack(b, digits, bits)?;
        match binding {
            Binding::Words => words.iter().for_each(|word| b.public_word(word)),
            Binding::Commitment { owner: owned } => {
                let (expected, got) = (self.committed, self.committed + 1);
                let salt = self.salts.next().ok_or(CircuitError::Arity { what: "salts", expected, got })?;
                let salt = b.field_given(salt);
                let tag = tensor_tag(digits.len(), bits);
                let hash = commitment(b, &salt, tag, self.owner.as_ref().filter(|_| owned), &words)?;
                let commitment = b.public(b.value(&hash));
                b.field_equal(&hash, &commitment);
            }
        }
        Ok(())
    }
}
