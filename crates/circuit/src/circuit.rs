//! The constraint system: R1CS over BN254's scalar field with lookups, public words and one challenge.
//!
//! Rows and wires come in groups of one kind, so that the prover never needs the matrices: it knows what each row says.
//!
//! | rows | A · B = C |
//! |---|---|
//! | integer products | expressions of small wires |
//! | field products | expressions of committed wires and public inputs |
//! | lookups, by table | `inv · (χ − v) = 1` |
//! | table entries | `s_t · (χ − t) = m_t` |
//! | sums, one a table | `(Σ inv − Σ s_t) · 1 = 0` (logUp, Haböck, eprint 2022/1530) |
//! | fingerprint | `(acc_{j+1} + e_j) · χ = acc_j`, e the public inputs and then the words, acc_last = 0, acc_0 = F |
//! | public wires | `z_i · 0 = 0`: pins every public wire (`docs/proof-system.md` 8.4) |
//!
//! | wires | |
//! |---|---|
//! | P | 1, χ, F |
//! | S1, committed before the challenge | small wires, multiplicities by table, x_1…x_p, field wires |
//! | S2 | inverses by table, quotients by table, fingerprint steps |
//!
//! A circuit without lookups and words has no challenge. Then there is no fingerprint, P is 1, x_1…x_p, and S1 the rest.

use std::sync::Arc;

use ark_bn254::Fr;
use ark_ff::{One, PrimeField, Zero, batch_inversion};
use serde::{Deserialize, Serialize};

use crate::constraints::{FieldExpression, Int, MAX_TABLE_BITS, MAX_TABLES, Wire, WireKind};
use crate::witness::Witness;

/// The entries of a table, all different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entries {
    /// `0 … 2^bits − 1`.
    Range(u32),
    /// Constants: a function's arguments and values, packed.
    Constants(Arc<[i64]>),
}

impl Entries {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(bits) => 1 << bits,
            Self::Constants(list) => list.len(),
        }
    }

    /// Never, in a circuit.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry at a position.
    pub fn get(&self, position: usize) -> i64 {
        match self {
            Self::Range(_) => position as i64,
            Self::Constants(list) => list[position],
        }
    }

    /// `χ − t` for each of them.
    pub fn denominators(&self, challenge: Fr) -> Vec<Fr> {
        match self {
            Self::Range(bits) => std::iter::successors(Some(challenge), |d| Some(*d - Fr::one())).take(1 << bits).collect(),
            Self::Constants(list) => list.iter().map(|entry| challenge - Fr::from(*entry)).collect(),
        }
    }

    fn contains(&self, value: Fr) -> bool {
        let small = |value: Fr| {
            let limbs = value.into_bigint().0;
            i64::try_from(limbs[0]).ok().filter(|_| limbs[1..] == [0; 3])
        };
        match (self, small(value).or_else(|| small(-value).map(|v| -v))) {
            (_, None) => false,
            (Self::Range(bits), Some(value)) => (0..1 << bits).contains(&value),
            (Self::Constants(list), Some(value)) => list.contains(&value),
        }
    }
}

/// A table's size and the number of lookups into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Entries.
    pub entries: usize,
    /// Rows that look something up.
    pub lookups: usize,
}

/// How many wires and rows of each kind there are, and so where each one stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Public inputs x_1…x_p.
    pub publics: usize,
    /// Public words.
    pub words: usize,
    /// Small committed wires, multiplicities not counted.
    pub small: usize,
    /// Full-size committed wires.
    pub field: usize,
    /// Integer product rows.
    pub products: usize,
    /// Field product rows.
    pub field_products: usize,
    /// Tables, in the order of first use.
    pub tables: Vec<Table>,
}

impl Layout {
    /// Whether every count is one that a circuit can have. A layout that comes from outside must pass before its sums are
    /// taken, which would overflow.
    pub fn is_plausible(&self) -> bool {
        const MOST: usize = 1 << Wire::INDEX_BITS;
        let counts = [self.publics, self.words, self.small, self.field, self.products, self.field_products];
        let small = |table: &Table| (1..=1 << MAX_TABLE_BITS).contains(&table.entries) && table.lookups <= MOST;
        counts.iter().all(|count| *count <= MOST) && self.tables.len() <= MAX_TABLES && self.tables.iter().all(small)
    }

    /// Whether the circuit has a challenge, and so a commitment round; otherwise it is plain Groth16.
    pub fn has_challenge(&self) -> bool {
        self.words > 0 || !self.tables.is_empty()
    }

    /// |P|: the constant, then χ and F, or without a challenge the public inputs.
    pub fn public_wires(&self) -> usize {
        1 + if self.has_challenge() { 2 } else { self.publics }
    }

    /// Public inputs that are committed wires: all, or without a challenge none.
    pub fn committed_publics(&self) -> usize {
        if self.has_challenge() { self.publics } else { 0 }
    }

    /// What the fingerprint is of: public inputs, then words.
    pub fn elements(&self) -> usize {
        self.committed_publics() + self.words
    }

    /// Sum of the tables' sizes.
    pub fn table_entries(&self) -> usize {
        self.tables.iter().map(|t| t.entries).sum()
    }

    /// Sum of all lookups.
    pub fn lookups(&self) -> usize {
        self.tables.iter().map(|t| t.lookups).sum()
    }

    /// Number of committed wires.
    pub fn committed_wires(&self) -> usize {
        self.small + self.table_entries() + self.committed_publics() + self.field
    }

    /// Number of private wires that follow the challenge.
    pub fn second_round_wires(&self) -> usize {
        self.lookups() + self.table_entries() + self.elements().saturating_sub(1)
    }

    /// All wires.
    pub fn wires(&self) -> usize {
        self.public_wires() + self.committed_wires() + self.second_round_wires()
    }

    /// Rows, those that pin the public wires left out.
    pub fn constraints(&self) -> usize {
        self.products + self.field_products + self.lookups() + self.table_entries() + self.tables.len() + self.elements()
    }

    /// All rows.
    pub fn rows(&self) -> usize {
        self.constraints() + self.public_wires()
    }

    /// Index of the challenge wire, where there is a challenge.
    pub const CHALLENGE_WIRE: usize = 1;

    /// Index of the fingerprint wire, where there is a challenge.
    pub const FINGERPRINT_WIRE: usize = 2;

    /// Index of x_1; the other public inputs follow.
    pub fn first_public(&self) -> usize {
        if self.has_challenge() { self.public_wires() + self.small + self.table_entries() } else { 1 }
    }

    /// First multiplicity wire.
    pub fn first_multiplicity(&self) -> usize {
        self.public_wires() + self.small
    }

    /// First second-round wire.
    pub fn first_second_round(&self) -> usize {
        self.public_wires() + self.committed_wires()
    }

    fn resolve(&self, wire: Wire) -> usize {
        match wire.kind() {
            WireKind::Public => self.first_public() + wire.index(),
            WireKind::Small => self.public_wires() + wire.index(),
            WireKind::Field => self.first_second_round() - self.field + wire.index(),
        }
    }
}

/// Which of the three matrices an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// Left factor.
    A,
    /// Right factor.
    B,
    /// Product.
    C,
}

#[derive(Clone, Debug)]
pub(crate) struct ProductRow {
    pub(crate) a: Int,
    pub(crate) b: Int,
    pub(crate) c: Int,
}

#[derive(Clone, Debug)]
pub(crate) struct FieldRow {
    pub(crate) a: FieldExpression,
    pub(crate) b: FieldExpression,
    pub(crate) c: FieldExpression,
}

/// The values of the second round's wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondRound {
    /// `1/(χ − t)` for every entry of every table.
    pub inverses: Vec<Vec<Fr>>,
    /// `m_t/(χ − t)` for every entry of every table.
    pub quotients: Vec<Vec<Fr>>,
    /// acc_{n−1} … acc_1, for n public inputs and words.
    pub steps: Vec<Fr>,
    /// acc_0 = Σ e_j·χ^(j+1).
    pub fingerprint: Fr,
}

impl Witness {
    /// What the fingerprint is of: public inputs, then words; nothing if there is no challenge.
    pub fn elements(&self) -> impl DoubleEndedIterator<Item = &Fr> {
        let has_challenge = !self.lookups.is_empty() || !self.words.is_empty();
        let publics = if has_challenge { self.publics.as_slice() } else { &[] };
        publics.iter().chain(&self.words)
    }

    /// Multiplicities of every table.
    pub fn multiplicities(&self) -> Vec<Vec<u32>> {
        self.lookups
            .iter()
            .map(|(entries, positions)| {
                let mut counts = vec![0; entries.len()];
                positions.iter().for_each(|position| counts[*position as usize] += 1);
                counts
            })
            .collect()
    }

    /// Computes everything that depends on the challenge; `None` if the challenge is an entry of a table (probability
    /// about 2^-230: draw another commitment).
    pub fn second_round(&self, multiplicities: &[Vec<u32>], challenge: Fr) -> Option<SecondRound> {
        let mut inverses = Vec::with_capacity(multiplicities.len());
        let mut quotients = Vec::with_capacity(multiplicities.len());
        for ((entries, _), counts) in self.lookups.iter().zip(multiplicities) {
            let mut of_table = entries.denominators(challenge);
            if of_table.iter().any(Fr::is_zero) {
                return None;
            }
            batch_inversion(&mut of_table);
            quotients.push(of_table.iter().zip(counts).map(|(inverse, m)| *inverse * Fr::from(*m)).collect());
            inverses.push(of_table);
        }
        let mut steps = Vec::with_capacity(self.publics.len() + self.words.len());
        let mut accumulator = Fr::zero();
        for element in self.elements().rev() {
            accumulator = (accumulator + element) * challenge;
            steps.push(accumulator);
        }
        steps.pop();
        Some(SecondRound { inverses, quotients, steps, fingerprint: accumulator })
    }
}

/// A row that a full assignment does not satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("constraint {row} does not hold")]
pub struct Violation {
    /// Index of the row.
    pub row: usize,
}

/// A circuit: its layout and its rows.
#[derive(Clone, Debug)]
pub struct Circuit {
    layout: Layout,
    products: Vec<ProductRow>,
    field_products: Vec<FieldRow>,
    lookups: Vec<(Entries, Vec<Int>)>,
    words: Vec<FieldExpression>,
}

impl Circuit {
    pub(crate) fn new(
        publics: usize,
        small: usize,
        field: usize,
        products: Vec<ProductRow>,
        field_products: Vec<FieldRow>,
        lookups: Vec<(Entries, Vec<Int>)>,
        words: Vec<FieldExpression>,
    ) -> Self {
        let layout = Layout {
            publics,
            words: words.len(),
            small,
            field,
            products: products.len(),
            field_products: field_products.len(),
            tables: lookups.iter().map(|(entries, rows)| Table { entries: entries.len(), lookups: rows.len() }).collect(),
        };
        Self { layout, products, field_products, lookups, words }
    }

    /// Numbers of wires and rows.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Calls `visit(row, matrix, wire, coefficient)` for every non-zero entry, in a fixed order; an entry may come in
    /// several parts that add up.
    pub fn visit(&self, mut visit: impl FnMut(usize, Matrix, usize, Fr)) {
        let layout = &self.layout;
        let mut row = 0;
        for product in &self.products {
            for (matrix, expression) in [(Matrix::A, &product.a), (Matrix::B, &product.b), (Matrix::C, &product.c)] {
                self.visit_int(expression, |wire, c| visit(row, matrix, wire, c));
            }
            row += 1;
        }
        for product in &self.field_products {
            for (matrix, expression) in [(Matrix::A, &product.a), (Matrix::B, &product.b), (Matrix::C, &product.c)] {
                self.visit_field(expression, |wire, c| visit(row, matrix, wire, c));
            }
            row += 1;
        }
        let (one, minus_one) = (Fr::one(), -Fr::one());
        let challenge = Layout::CHALLENGE_WIRE;
        let first_inverse = layout.first_second_round();
        let first_quotient = first_inverse + layout.lookups();
        let mut inverse = first_inverse;
        for (_, rows) in &self.lookups {
            for value in rows {
                visit(row, Matrix::A, inverse, one);
                visit(row, Matrix::B, challenge, one);
                self.visit_int(value, |wire, c| visit(row, Matrix::B, wire, -c));
                visit(row, Matrix::C, 0, one);
                inverse += 1;
                row += 1;
            }
        }
        let mut entry = 0;
        for (entries, _) in &self.lookups {
            for position in 0..entries.len() {
                visit(row, Matrix::A, first_quotient + entry, one);
                visit(row, Matrix::B, challenge, one);
                let t = entries.get(position);
                if t != 0 {
                    visit(row, Matrix::B, 0, -Fr::from(t));
                }
                visit(row, Matrix::C, layout.first_multiplicity() + entry, one);
                entry += 1;
                row += 1;
            }
        }
        let (mut inverse, mut quotient) = (first_inverse, first_quotient);
        for table in &layout.tables {
            for _ in 0..table.lookups {
                visit(row, Matrix::A, inverse, one);
                inverse += 1;
            }
            for _ in 0..table.entries {
                visit(row, Matrix::A, quotient, minus_one);
                quotient += 1;
            }
            visit(row, Matrix::B, 0, one);
            row += 1;
        }
        let first_step = first_quotient + layout.table_entries();
        for j in 0..layout.elements() {
            if j > 0 {
                visit(row, Matrix::A, first_step + j - 1, one);
            }
            // From the last word down to x_1.
            match self.words.iter().rev().nth(j) {
                Some(word) => self.visit_field(word, |wire, c| visit(row, Matrix::A, wire, c)),
                None => visit(row, Matrix::A, layout.first_public() + layout.elements() - 1 - j, one),
            }
            visit(row, Matrix::B, challenge, one);
            let result = if j + 1 == layout.elements() { Layout::FINGERPRINT_WIRE } else { first_step + j };
            visit(row, Matrix::C, result, one);
            row += 1;
        }
        for wire in 0..layout.public_wires() {
            visit(row, Matrix::A, wire, one);
            row += 1;
        }
        debug_assert_eq!(row, layout.rows());
    }

    fn visit_int(&self, expression: &Int, mut visit: impl FnMut(usize, Fr)) {
        if expression.constant != 0 {
            visit(0, Fr::from(expression.constant));
        }
        for (wire, coefficient) in &expression.terms {
            visit(self.layout.resolve(*wire), Fr::from(*coefficient));
        }
    }

    fn visit_field(&self, expression: &FieldExpression, mut visit: impl FnMut(usize, Fr)) {
        if !expression.constant.is_zero() {
            visit(0, expression.constant);
        }
        for (wire, coefficient) in &expression.terms {
            visit(self.layout.resolve(*wire), *coefficient);
        }
    }

    /// Number of non-zero entries.
    pub fn non_zeros(&self) -> usize {
        let mut count = 0;
        self.visit(|_, _, _, _| count += 1);
        count
    }

    /// The full assignment of a witness and a challenge (`None`: see [`Witness::second_round`]).
    pub fn assignment(&self, witness: &Witness, challenge: Fr) -> Option<Vec<Fr>> {
        let multiplicities = witness.multiplicities();
        let second = witness.second_round(&multiplicities, challenge)?;
        let mut z = vec![Fr::one()];
        match self.layout.has_challenge() {
            true => z.extend([challenge, second.fingerprint]),
            false => z.extend(&witness.publics),
        }
        z.extend(witness.small.iter().map(|v| Fr::from(*v)));
        z.extend(multiplicities.iter().flatten().map(|m| Fr::from(*m)));
        if self.layout.has_challenge() {
            z.extend(&witness.publics);
        }
        z.extend(&witness.field);
        for ((_, values), inverses) in witness.lookups.iter().zip(&second.inverses) {
            z.extend(values.iter().map(|v| inverses[*v as usize]));
        }
        z.extend(second.quotients.iter().flatten());
        z.extend(&second.steps);
        Some(z)
    }

    /// Values of A, B and C in every row under a full assignment.
    pub fn evaluate(&self, z: &[Fr]) -> [Vec<Fr>; 3] {
        let mut values = [(); 3].map(|()| vec![Fr::zero(); self.layout.rows()]);
        self.visit(|row, matrix, wire, c| values[matrix as usize][row] += c * z[wire]);
        values
    }

    /// Checks a full assignment row by row.
    ///
    /// # Errors
    /// The first row that does not hold.
    pub fn check(&self, z: &[Fr]) -> Result<(), Violation> {
        let [a, b, c] = self.evaluate(z);
        match (0..self.layout.rows()).find(|row| a[*row] * b[*row] != c[*row]) {
            Some(row) => Err(Violation { row }),
            None => Ok(()),
        }
    }

    /// Whether some second round completes these committed wires, for an adversary who fills in multiplicities, inverses
    /// and quotients as best he can: every product holds and every looked-up value is an entry of its table. The logUp
    /// identity makes this equivalent to satisfying the rows, but for a probability of about 2^-230 over the challenge.
    pub fn completable(&self, publics: &[Fr], small: &[Fr], field: &[Fr]) -> bool {
        let int = |e: &Int| e.terms.iter().fold(Fr::from(e.constant), |sum, (wire, c)| sum + Fr::from(*c) * small[wire.index()]);
        let full = |e: &FieldExpression| self.field_value(e, publics, small, field);
        self.products.iter().all(|row| int(&row.a) * int(&row.b) == int(&row.c))
            && self.field_products.iter().all(|row| full(&row.a) * full(&row.b) == full(&row.c))
            && self.lookups.iter().all(|(entries, rows)| rows.iter().all(|e| entries.contains(int(e))))
    }

    /// The public words that these committed wires stand for.
    pub fn words(&self, publics: &[Fr], small: &[Fr], field: &[Fr]) -> Vec<Fr> {
        self.words.iter().map(|word| self.field_value(word, publics, small, field)).collect()
    }

    fn field_value(&self, expression: &FieldExpression, publics: &[Fr], small: &[Fr], field: &[Fr]) -> Fr {
        expression.terms.iter().fold(expression.constant, |sum, (wire, c)| {
            let value = match wire.kind() {
                WireKind::Public => publics[wire.index()],
                WireKind::Small => small[wire.index()],
                WireKind::Field => field[wire.index()],
            };
            sum + *c * value
        })
    }

    /// Every assignment of the small wires modulo a small prime that starts with `fixed` and that products and lookups accept: for
    /// exhaustive searches. A row is looked at as soon as its last wire has a value.
    pub fn solutions_modulo(&self, fixed: &[u64], prime: u64) -> Vec<Vec<u64>> {
        let reduced = |t: i64| t.rem_euclid(prime as i64) as u64;
        let value = |e: &Int, wires: &[u64]| {
            e.terms.iter().fold(reduced(e.constant), |sum, (wire, c)| (sum + reduced(*c) * wires[wire.index()]) % prime)
        };
        let tables: Vec<Vec<bool>> = self
            .lookups
            .iter()
            .map(|(entries, _)| {
                let mut known = vec![false; prime as usize];
                (0..entries.len()).for_each(|i| known[reduced(entries.get(i)) as usize] = true);
                known
            })
            .collect();
        let products = self.products.iter().map(|row| (vec![&row.a, &row.b, &row.c], None));
        let lookups = self.lookups.iter().zip(&tables).flat_map(|((_, rows), known)| rows.iter().map(move |e| (vec![e], Some(known))));
        // Rows by how many wires must have values before they say something.
        let mut rows: Vec<Vec<_>> = vec![Vec::new(); self.layout.small + 1];
        for (expressions, known) in products.chain(lookups) {
            let last = expressions.iter().flat_map(|e| &e.terms).map(|(wire, _)| wire.index() + 1).max();
            rows[last.unwrap_or(0).max(fixed.len())].push((expressions, known));
        }
        let hold = |wires: &[u64]| {
            rows[wires.len()].iter().all(|(expressions, known)| {
                let values: Vec<u64> = expressions.iter().map(|e| value(e, wires)).collect();
                match (known, &values[..]) {
                    (Some(known), [v]) => known[*v as usize],
                    (_, [a, b, c]) => a * b % prime == *c,
                    _ => false,
                }
            })
        };
        let mut found = vec![fixed.to_vec()];
        found.retain(|wires| hold(wires));
        for _ in fixed.len()..self.layout.small {
            let longer = found.iter().flat_map(|wires| (0..prime).map(move |next| [&wires[..], &[next]].concat()));
            found = longer.filter(|wires| hold(wires)).collect();
        }
        found
    }
}
