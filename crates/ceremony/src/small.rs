//! Small circuits that tests hold ceremonies for.
#![allow(clippy::unwrap_used)]

use ark_bn254::Fr;
use zkslice_ceremony::{CeremonyError, Subject};
use zkslice_circuit::{Builder, Circuit, ConstraintBuilder, gadgets};
use zkslice_groth16::WordGroup;

/// y = relu(40·x − 300), x and y as public words of so many bits.
pub(crate) fn build<B: Builder>(b: &mut B, bits: u32, x: Option<i64>) {
    b.public(x.map(|_| Fr::from(9)));
    let x = gadgets::digit(b, x, bits, &gadgets::DigitTables::default(), bits).unwrap();
    let acc = b.combine(&[(40, &x)], -300).unwrap();
    let y = gadgets::relu(b, &acc, bits, bits).unwrap();
    for value in [x, y] {
        let word = gadgets::pack(b, &[value], bits).unwrap();
        b.public_word(&word[0]);
    }
}

/// A subject of a ceremony.
pub(crate) struct Small {
    pub(crate) name: String,
    pub(crate) bits: u32,
}

impl Subject for Small {
    fn name(&self) -> &str {
        &self.name
    }

    fn groups(&self) -> Vec<WordGroup> {
        vec![WordGroup { count: 1, bits: self.bits }; 2]
    }

    fn circuit(&self) -> Result<Circuit, CeremonyError> {
        let mut shape = ConstraintBuilder::new();
        build(&mut shape, self.bits, None);
        Ok(shape.finish())
    }
}

/// Two circuits, of 2^6 and 2^7 rows.
pub(crate) fn circuits() -> [Small; 2] {
    [Small { name: "five".into(), bits: 5 }, Small { name: "six".into(), bits: 6 }]
}
