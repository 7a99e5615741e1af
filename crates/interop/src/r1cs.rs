//! Rows of a circuit: iden3's `.r1cs`.
//!
//! ```text
//! 1  bytes of an element u32, prime, wires u32, outputs u32, public inputs u32, private inputs u32, labels u64, rows u32
//! 2  rows: A, B and C, each a count u32 and as many terms: wire u32, coefficient
//! 3  label u64 of every wire        4, 5  custom gates and their uses: refused
//! ```
//!
//! Wire 0 is the constant 1; then outputs, public inputs, private inputs, and what is between.

use ark_bn254::Fr;
use ark_ff::Zero;
use rayon::prelude::*;

use crate::InteropError;
use crate::binary::{Cursor, Sections, element_bytes, field_header, write};

const WHAT: &str = ".r1cs file";
const MAGIC: [u8; 4] = *b"r1cs";
/// Circom leaves a private input out of the wires if no row uses it, and counts it all the same.
pub(crate) const UNUSED: &str = "a private input that no row uses has no wire; use it in a constraint, or leave it out of the circuit";
/// Bytes of a term.
const TERM: usize = 36;

/// `Σ coefficient·wire`.
pub type Combination = Vec<(u32, Fr)>;

/// `A·B = C`.
pub type Row = [Combination; 3];

/// A circuit's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct R1cs {
    /// All wires, the constant included.
    pub wires: usize,
    /// Outputs: wires 1, 2, …
    pub outputs: usize,
    /// Public inputs: the wires that follow.
    pub public_inputs: usize,
    /// Private inputs: the wires that follow.
    pub private_inputs: usize,
    /// The rows.
    pub rows: Vec<Row>,
}

impl R1cs {
    /// Reads a file.
    ///
    /// # Errors
    /// [`InteropError::Malformed`]: another prime, custom gates, a wire that does not exist, a file that ends early or late.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InteropError> {
        let sections = Sections::read(WHAT, MAGIC, 1, bytes)?;
        let mut header = sections.one(1)?;
        header.field()?;
        let [wires, outputs, public_inputs, private_inputs] =
            [header.number()?, header.number()?, header.number()?, header.number()?].map(|n| n as usize);
        let _labels = header.long()?;
        let rows = header.number()? as usize;
        header.end()?;
        if outputs + public_inputs + private_inputs >= wires {
            return Err(InteropError::malformed(WHAT, format!("it has fewer wires than inputs and outputs: {UNUSED}")));
        }
        // A label for each wire, which the file has to be as long for.
        let labels: usize = sections.all(3).map(<[u8]>::len).sum();
        if wires.checked_mul(8) != Some(labels) {
            return Err(InteropError::malformed(WHAT, format!("it has not a label for each of {wires} wires")));
        }
        // Their sections begin with a count.
        if sections.all(4).chain(sections.all(5)).any(|section| section.iter().take(4).any(|byte| *byte != 0)) {
            return Err(InteropError::malformed(WHAT, "it uses custom gates, which are no rows: compile the circuit without them"));
        }
        let mut cursor = sections.one(2)?;
        let mut list = Vec::new();
        for _ in 0..rows {
            let mut row = Row::default();
            for combination in &mut row {
                *combination = read_combination(&mut cursor, wires)?;
            }
            list.push(row);
        }
        cursor.end()?;
        Ok(Self { wires, outputs, public_inputs, private_inputs, rows: list })
    }

    /// The file's bytes, without labels.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = field_header();
        for count in [self.wires, self.outputs, self.public_inputs, self.private_inputs] {
            header.extend((count as u32).to_le_bytes());
        }
        header.extend((self.wires as u64).to_le_bytes());
        header.extend((self.rows.len() as u32).to_le_bytes());
        let mut rows = Vec::new();
        for combination in self.rows.iter().flatten() {
            rows.extend((combination.len() as u32).to_le_bytes());
            for (wire, coefficient) in combination {
                rows.extend(wire.to_le_bytes());
                rows.extend(element_bytes(*coefficient));
            }
        }
        let labels = (0..self.wires as u64).flat_map(u64::to_le_bytes).collect();
        write(MAGIC, 1, &[(1, header), (2, rows), (3, labels)])
    }

    /// Public wires, without the constant.
    pub fn publics(&self) -> usize {
        self.outputs + self.public_inputs
    }

    /// Checks the values of all wires.
    ///
    /// # Errors
    /// [`InteropError::Malformed`] for other than as many values as there are wires, or a first one that is not 1;
    /// [`InteropError::Row`] for the first row that does not hold.
    pub fn check(&self, witness: &[Fr]) -> Result<(), InteropError> {
        if witness.len() != self.wires || witness.first() != Some(&Fr::from(1u8)) {
            let reason = match witness.len() == self.wires {
                true => "its first value is not 1".to_owned(),
                false => format!("it has {} values, the circuit {} wires: it is of another circuit", witness.len(), self.wires),
            };
            return Err(InteropError::malformed("witness", reason));
        }
        let value = |combination: &Combination| combination.iter().map(|(wire, c)| *c * witness[*wire as usize]).sum::<Fr>();
        let fails = |[a, b, c]: &Row| value(a) * value(b) != value(c);
        match self.rows.par_iter().position_first(fails) {
            Some(row) => Err(InteropError::Row { row }),
            None => Ok(()),
        }
    }
}

fn read_combination(cursor: &mut Cursor<'_>, wires: usize) -> Result<Combination, InteropError> {
    let count = cursor.count(TERM)?;
    let mut terms = Vec::with_capacity(count);
    for _ in 0..count {
        let (wire, coefficient) = (cursor.number()?, cursor.element()?);
        if wire as usize >= wires {
            return Err(InteropError::malformed(WHAT, format!("a row names wire {wire} of {wires}")));
        }
        if !coefficient.is_zero() {
            terms.push((wire, coefficient));
        }
    }
    Ok(terms)
}
