//! Constraints: expressions with the intervals that are enforced for them.

use ark_bn254::Fr;
use ark_ff::{One, Zero};
use rayon::prelude::*;

use crate::builder::ConstantTables;
use crate::circuit::{Circuit, Entries, FieldRow, ProductRow};
use crate::{Builder, CircuitError, Interval, Linear, TableId};

/// What a wire is, before all wires are counted and numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WireKind {
    /// Public inputs x_1…x_p.
    Public,
    /// Small committed wires.
    Small,
    /// Full-size committed wires.
    Field,
}

/// A wire of a circuit under construction: its kind in the two high bits, its index in the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wire(u32);

impl Wire {
    pub(crate) const INDEX_BITS: u32 = 30;
    pub(crate) fn new(kind: WireKind, index: usize) -> Self {
        assert!(index < 1 << Self::INDEX_BITS, "a slice has more than 2^30 wires of one kind");
        Self(((kind as u32) << Self::INDEX_BITS) | index as u32)
    }

    /// Kind of the wire.
    pub fn kind(self) -> WireKind {
        match self.0 >> Self::INDEX_BITS {
            0 => WireKind::Public,
            1 => WireKind::Small,
            _ => WireKind::Field,
        }
    }

    /// Index among the wires of its kind.
    pub fn index(self) -> usize {
        (self.0 & ((1 << Self::INDEX_BITS) - 1)) as usize
    }
}

/// `constant + Σ coefficient·wire` over small committed wires, with what the constraints enforce for it.
///
/// `range` is `Some` only when constraints make the value an *integer* in that interval; a fresh wire may be any field
/// element. Calibrated ranges never get here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Int {
    pub(crate) terms: Vec<(Wire, i64)>,
    pub(crate) constant: i64,
    pub(crate) range: Option<Interval>,
}

impl Int {
    fn wire(wire: Wire) -> Self {
        Self { terms: vec![(wire, 1)], constant: 0, range: None }
    }

    /// The enforced interval, if the expression is proven integral.
    pub fn range(&self) -> Option<Interval> {
        self.range
    }

    /// Number of wires in it.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether it is a constant.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

/// `constant + Σ coefficient·wire` over public inputs and committed wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldExpression {
    pub(crate) terms: Vec<(Wire, Fr)>,
    pub(crate) constant: Fr,
}

/// A [`Builder`] of constraints.
#[derive(Debug, Default)]
pub struct ConstraintBuilder {
    publics: usize,
    small: usize,
    field: usize,
    products: Vec<ProductRow>,
    field_rows: Vec<FieldRow>,
    lookups: Vec<(Entries, Vec<Int>)>,
    constants: ConstantTables,
    words: Vec<FieldExpression>,
}

/// Largest table: 2^20 rows.
pub const MAX_TABLE_BITS: u32 = 20;
/// Most tables of one circuit.
pub(crate) const MAX_TABLES: usize = 1 << 10;

impl ConstraintBuilder {
    /// An empty circuit.
    pub fn new() -> Self {
        Self::default()
    }

    /// The finished circuit.
    pub fn finish(self) -> Circuit {
        Circuit::new(self.publics, self.small, self.field, self.products, self.field_rows, self.lookups, self.words)
    }

    fn fresh(&mut self) -> Wire {
        self.small += 1;
        Wire::new(WireKind::Small, self.small - 1)
    }
}

/// `constant + Σ factor·term`, wires merged.
fn combine<'a>(terms: impl IntoIterator<Item = (i64, &'a Int)>, constant: i64) -> Result<Int, CircuitError> {
    let mut range = Some(Interval::point(constant));
    let mut sum = i128::from(constant);
    let mut wires: Vec<(Wire, i128)> = Vec::new();
    for (factor, term) in terms {
        if factor == 0 {
            continue;
        }
        range = match (range, term.range) {
            (Some(a), Some(b)) => Some(a.plus(b.scale(factor)?)?),
            _ => None,
        };
        sum += i128::from(factor) * i128::from(term.constant);
        wires.extend(term.terms.iter().map(|(wire, c)| (*wire, i128::from(*c) * i128::from(factor))));
    }
    wires.sort_unstable_by_key(|(wire, _)| *wire);
    let mut merged: Vec<(Wire, i64)> = Vec::with_capacity(wires.len());
    let mut rest = wires.into_iter().peekable();
    while let Some((wire, mut coefficient)) = rest.next() {
        while let Some((_, more)) = rest.next_if(|(next, _)| *next == wire) {
            coefficient += more;
        }
        let coefficient = small(coefficient)?;
        if coefficient != 0 {
            merged.push((wire, coefficient));
        }
    }
    merged.shrink_to_fit();
    Ok(Int { terms: merged, constant: small(sum)?, range })
}

fn small(value: i128) -> Result<i64, CircuitError> {
    if value <= -Interval::LIMIT || value >= Interval::LIMIT {
        return Err(CircuitError::Overflow);
    }
    Ok(value as i64)
}

impl Builder for ConstraintBuilder {
    type Int = Int;
    type Field = FieldExpression;

    fn constant(&self, value: i64) -> Int {
        Int { terms: Vec::new(), constant: value, range: Some(Interval::point(value)) }
    }

    fn combine(&self, terms: &[(i64, &Int)], constant: i64) -> Result<Int, CircuitError> {
        combine(terms.iter().copied(), constant)
    }

    fn linear(&self, map: &impl Linear, inputs: &[&[Int]]) -> Result<Vec<Int>, CircuitError> {
        let output = |e: usize| {
            let mut terms = Vec::new();
            let constant = map.row(e, |input, element, weight| terms.push((weight, &inputs[input][element])));
            combine(terms, constant)
        };
        (0..map.outputs()).into_par_iter().map(output).collect()
    }

    fn hint<const N: usize>(&mut self, _: [&Int; N], _: impl FnOnce([i64; N]) -> Result<i64, CircuitError>) -> Result<Int, CircuitError> {
        Ok(Int::wire(self.fresh()))
    }

    fn given(&mut self, _: Option<i64>) -> Int {
        Int::wire(self.fresh())
    }

    fn product(&mut self, a: &Int, b: &Int, c: &Int) -> Result<(), CircuitError> {
        self.products.push(ProductRow { a: a.clone(), b: b.clone(), c: c.clone() });
        Ok(())
    }

    fn lookup(&mut self, bits: u32, value: &Int) -> Result<(), CircuitError> {
        if bits == 0 || bits > MAX_TABLE_BITS {
            return Err(CircuitError::Unsupported {
                gadget: "lookup".into(),
                reason: format!("a table of {bits} bits; 1 to {MAX_TABLE_BITS} are supported"),
            });
        }
        match self.lookups.iter_mut().find(|(entries, _)| matches!(entries, Entries::Range(width) if *width == bits)) {
            Some((_, rows)) => rows.push(value.clone()),
            None => self.lookups.push((Entries::Range(bits), vec![value.clone()])),
        }
        Ok(())
    }

    fn table(&mut self, entries: &[i64]) -> Result<TableId, CircuitError> {
        if let Some(known) = self.constants.get(entries) {
            return Ok(known);
        }
        let mut sorted = entries.to_vec();
        sorted.sort_unstable();
        if entries.is_empty() || entries.len() > 1 << MAX_TABLE_BITS || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            let reason = format!("{} entries; 1 to 2^{MAX_TABLE_BITS} different ones are supported", entries.len());
            return Err(CircuitError::Unsupported { gadget: "table".into(), reason });
        }
        self.constants.add(&mut self.lookups, entries)
    }

    fn lookup_entry(&mut self, table: TableId, _: &Int, value: &Int) -> Result<(), CircuitError> {
        self.lookups[table.0].1.push(value.clone());
        Ok(())
    }

    fn anchored(&self, value: &Int, interval: Interval) -> Int {
        Int { range: Some(interval), ..value.clone() }
    }

    fn require_integral(&self, gadget: &'static str, value: &Int) -> Result<(), CircuitError> {
        value.range.map(|_| ()).ok_or(CircuitError::NotIntegral { gadget })
    }

    fn require_within(&self, gadget: &'static str, value: &Int, limit: Interval) -> Result<(), CircuitError> {
        let range = value.range.ok_or(CircuitError::NotIntegral { gadget })?;
        if range.within(limit) {
            return Ok(());
        }
        Err(CircuitError::TooWide { gadget, interval: range.to_string(), limit: limit.to_string() })
    }

    fn times(&self, value: &Int, a: &Int, b: &Int) -> Result<Int, CircuitError> {
        let range = a.range.zip(b.range).map(|(a, b)| a.times(b)).transpose()?;
        Ok(Int { range, ..value.clone() })
    }

    fn larger(&self, value: &Int, a: &Int, b: &Int) -> Int {
        let range = a.range.zip(b.range).map(|(a, b)| Interval { lo: a.lo.max(b.lo), hi: a.hi.max(b.hi) });
        Int { range, ..value.clone() }
    }

    fn public(&mut self, _: Option<Fr>) -> FieldExpression {
        self.publics += 1;
        FieldExpression { terms: vec![(Wire::new(WireKind::Public, self.publics - 1), Fr::one())], constant: Fr::zero() }
    }

    fn field_constant(&self, value: Fr) -> FieldExpression {
        FieldExpression { terms: Vec::new(), constant: value }
    }

    fn to_field(&self, value: &Int) -> FieldExpression {
        let terms = value.terms.iter().map(|(wire, c)| (*wire, Fr::from(*c))).collect();
        FieldExpression { terms, constant: Fr::from(value.constant) }
    }

    fn field_combine(&self, terms: &[(Fr, &FieldExpression)], constant: Fr) -> FieldExpression {
        let mut sum = constant;
        let mut wires: Vec<(Wire, Fr)> = Vec::new();
        for (factor, term) in terms {
            sum += *factor * term.constant;
            wires.extend(term.terms.iter().map(|(wire, c)| (*wire, *c * factor)));
        }
        wires.sort_unstable_by_key(|(wire, _)| *wire);
        wires.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        wires.retain(|(_, c)| !c.is_zero());
        FieldExpression { terms: wires, constant: sum }
    }

    fn field_given(&mut self, _: Option<Fr>) -> FieldExpression {
        self.field += 1;
        FieldExpression { terms: vec![(Wire::new(WireKind::Field, self.field - 1), Fr::one())], constant: Fr::zero() }
    }

    fn field_product(&mut self, a: &FieldExpression, b: &FieldExpression) -> FieldExpression {
        let c = self.field_given(None);
        self.field_row(a, b, &c);
        c
    }

    fn value(&self, _: &FieldExpression) -> Option<Fr> {
        None
    }

    fn field_row(&mut self, a: &FieldExpression, b: &FieldExpression, c: &FieldExpression) {
        self.field_rows.push(FieldRow { a: a.clone(), b: b.clone(), c: c.clone() });
    }

    fn field_equal(&mut self, a: &FieldExpression, b: &FieldExpression) {
        let difference = self.field_combine(&[(Fr::one(), a), (-Fr::one(), b)], Fr::zero());
        let (one, zero) = (self.field_constant(Fr::one()), self.field_constant(Fr::zero()));
        self.field_row(&difference, &one, &zero);
    }

    fn public_word(&mut self, word: &FieldExpression) {
        self.words.push(word.clone());
    }
}
