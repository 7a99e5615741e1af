//! Rows and signals of others → circuit and witness of the committed form.
//!
//! | wire of the `.r1cs` | in the committed form |
//! |---|---|
//! | the constant | 1 |
//! | public signals, committed private inputs | Σ digit·2^(32k) − offset, over digits that are range-checked and bound at the border |
//! | all others that a row names | a committed wire each |
//!
//! All of them precede the challenge, so the verifying key has the constant, the challenge and the fingerprint, whatever the number of
//! public signals. A row stays a row.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ark_bn254::Fr;
use ark_ff::{One, PrimeField};
use num_bigint::BigUint;
use zkslice_circuit::gadgets::{self, Border, DigitTables};
use zkslice_circuit::{Builder, Circuit, CircuitError, ConstraintBuilder, Witness, WitnessBuilder};
use zkslice_formats::key_blob::TensorKind;

use crate::signal::{FIELD_LIMBS, LIMB_BITS};
use crate::{Combination, InteropError, R1cs, Row, Signal, SignalType, Symbol, Symbols};

pub use zkslice_circuit::gadgets::BorderValues;

/// Output of a circuit that has none: 1, since there is a proof. No signal of Circom has a name with a dash.
pub const HOLDS: &str = "proof-holds";
/// Input of a circuit that has none: any number, which tells requests apart.
pub const TAG: &str = "request-tag";

/// What a signal at the border is: a tensor that is public or committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The signal, with its type.
    pub signal: Signal,
    /// What contracts see of it.
    pub kind: TensorKind,
}

impl Port {
    pub(crate) fn kind_of_values(&self) -> SignalType {
        self.signal.kind.unwrap_or(SignalType::Field)
    }

    /// Wires of its elements; none where the circuit has no such signal.
    fn wires(&self) -> Range<usize> {
        self.signal.first_wire.map_or(0..0, |first| first..first.saturating_add(self.signal.count()))
    }
}

/// The values of one proof.
#[derive(Clone, Copy)]
struct Values<'a> {
    /// All wires.
    wires: &'a [Fr],
    /// Integers of the ports.
    integers: &'a [Vec<i64>],
    border: &'a BorderValues,
}

/// A circuit of others, with how its signals are bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCircuit {
    r1cs: R1cs,
    ports: Vec<Port>,
    private: Vec<Signal>,
}

impl ForeignCircuit {
    /// Binds a circuit's signals: public ones by words, the private inputs named in `committed` by commitments. A signal that `types` does
    /// not name may be any field element. A circuit without an output gets [`HOLDS`], one without an input to bind [`TAG`].
    ///
    /// # Errors
    /// [`InteropError::Signal`] for names that the circuit has not, and as [`ForeignCircuit::new`].
    pub fn bind(
        r1cs: R1cs,
        symbols: &Symbols,
        types: &BTreeMap<String, SignalType>,
        committed: &BTreeSet<String>,
    ) -> Result<Self, InteropError> {
        let port = |symbol: &Symbol, kind: TensorKind| {
            let of_values = types.get(&symbol.name).copied().unwrap_or(SignalType::Field);
            Port { signal: signal(symbol, Some(of_values)), kind }
        };
        let is_committed = |symbol: &&Symbol| committed.contains(&symbol.name);
        let mut ports: Vec<Port> = symbols.public_inputs.iter().map(|s| port(s, TensorKind::PublicInput)).collect();
        ports.extend(symbols.private_inputs.iter().filter(is_committed).map(|s| port(s, TensorKind::PrivateInput)));
        let own = |name: &str, kind, bits| {
            let of_values = Some(SignalType::Unsigned(bits));
            Port { signal: Signal { name: name.into(), shape: Vec::new(), first_wire: None, kind: of_values }, kind }
        };
        if ports.is_empty() {
            ports.push(own(TAG, TensorKind::PublicInput, 32));
        }
        match symbols.outputs.is_empty() {
            true => ports.push(own(HOLDS, TensorKind::Output, 1)),
            false => ports.extend(symbols.outputs.iter().map(|s| port(s, TensorKind::Output))),
        }
        let bound = |name: &&String| ports.iter().any(|port| port.signal.name == **name && port.signal.first_wire.is_some());
        if let Some(name) = types.keys().find(|name| !bound(name)) {
            let known: Vec<&str> = ports.iter().map(|port| port.signal.name.as_str()).collect();
            let reason = format!("it has a type, but is neither public nor committed; those are {}", known.join(", "));
            return Err(InteropError::signal(name, reason));
        }
        if let Some(name) = committed.iter().find(|name| symbols.private_inputs.iter().all(|s| s.name != **name)) {
            let known: Vec<&str> = symbols.private_inputs.iter().map(|s| s.name.as_str()).collect();
            let reason = format!("it cannot be committed to: it is no private input; those are {}", known.join(", "));
            return Err(InteropError::signal(name, reason));
        }
        let private = symbols.private_inputs.iter().filter(|s| !is_committed(s)).map(|s| signal(s, None)).collect();
        Self::new(r1cs, ports, private)
    }

    /// A circuit whose signals are bound so: inputs, then outputs; `private` are inputs that only the prover sees.
    ///
    /// # Errors
    /// [`InteropError::Signal`]: a public signal that is not bound, or bound twice, or that no row uses, so that the circuit says nothing of
    /// it. [`InteropError::Malformed`]: a row that names a wire twice, which no compiler writes.
    pub fn new(r1cs: R1cs, ports: Vec<Port>, private: Vec<Signal>) -> Result<Self, InteropError> {
        let malformed = |reason: &str| Err(InteropError::malformed("circuit", reason));
        if !ports.is_sorted_by_key(|port| port.kind == TensorKind::Output) {
            return malformed("its outputs do not follow its inputs");
        }
        let inputs = ports.iter().filter(|port| port.kind != TensorKind::Output).count();
        if inputs == 0 || inputs == ports.len() {
            return malformed("it has no input or no output that is bound");
        }
        let used = used_wires(&r1cs)?;
        let mut owners = Owners::new(&r1cs);
        for port in &ports {
            let Port { signal, kind } = port;
            if signal.kind.is_none() {
                return Err(InteropError::signal(&signal.name, "it has no type"));
            }
            let is_own = match (signal.name.as_str(), kind, signal.kind) {
                (HOLDS, TensorKind::Output, Some(SignalType::Unsigned(1))) => r1cs.outputs == 0,
                (TAG, TensorKind::PublicInput, Some(SignalType::Unsigned(32))) => inputs == 1,
                _ => false,
            };
            for wire in owners.take(signal, *kind, is_own && signal.shape.is_empty())? {
                if !used[wire] {
                    let reason = "no row uses it, so a proof says nothing of it: use it in a constraint, or leave it out of the circuit";
                    return Err(InteropError::signal(&element(signal, wire), reason));
                }
            }
        }
        for signal in &private {
            owners.take(signal, TensorKind::PrivateInput, false)?;
        }
        owners.check_all()?;
        Ok(Self { r1cs, ports, private })
    }

    /// Its rows.
    pub fn r1cs(&self) -> &R1cs {
        &self.r1cs
    }

    /// What is bound: inputs, then outputs.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Inputs that only the prover sees.
    pub fn private(&self) -> &[Signal] {
        &self.private
    }

    /// The integers of all ports that a witness has; a [`TAG`] is 0.
    ///
    /// # Errors
    /// [`InteropError::Signal`] for a value that its signal's type has not; as [`R1cs::check`].
    pub fn integers(&self, witness: &[Fr]) -> Result<Vec<Vec<i64>>, InteropError> {
        self.r1cs.check(witness)?;
        let of_port = |port: &Port| {
            if port.signal.first_wire.is_none() {
                return Ok(vec![i64::from(port.kind == TensorKind::Output)]);
            }
            let of_values = port.kind_of_values();
            let mut integers = Vec::new();
            for wire in port.wires() {
                let value = of_values.integers(witness[wire]).ok_or_else(|| {
                    // A committed value is nobody's to read in a log.
                    let value = if port.kind == TensorKind::PrivateInput { String::new() } else { format!(" {}", witness[wire]) };
                    let reason = format!("its value{value} is no {of_values}; import the circuit with a wider type for it");
                    InteropError::signal(&element(&port.signal, wire), reason)
                })?;
                integers.extend(value);
            }
            Ok(integers)
        };
        self.ports.iter().map(of_port).collect()
    }

    /// The constraints.
    ///
    /// # Errors
    /// [`InteropError::Circuit`].
    pub fn circuit(&self) -> Result<Circuit, InteropError> {
        let mut builder = ConstraintBuilder::new();
        self.build(&mut builder, None)?;
        Ok(builder.finish())
    }

    /// The witness for values of all wires, and of the ports as [`ForeignCircuit::integers`] gives them.
    ///
    /// # Errors
    /// [`InteropError::Circuit`] where there is none.
    pub fn witness(&self, wires: &[Fr], integers: &[Vec<i64>], border: &BorderValues) -> Result<Witness, InteropError> {
        if wires.len() != self.r1cs.wires || integers.len() != self.ports.len() {
            return Err(InteropError::malformed("witness", "it is of another circuit"));
        }
        let mut builder = WitnessBuilder::new();
        self.build(&mut builder, Some(Values { wires, integers, border }))?;
        Ok(builder.finish())
    }

    /// Width of the main table, and the widths that have one of their own: what takes the fewest rows.
    fn tables(&self) -> (u32, DigitTables) {
        let mut digits = Vec::new();
        for port in self.ports.iter().filter(|port| (port.signal.first_wire, port.kind) != (None, TensorKind::Output)) {
            let of_values = port.kind_of_values();
            digits.push((port.signal.count() * of_values.limbs(), of_values.digit_bits()));
            if of_values == SignalType::Field {
                digits.extend([(port.signal.count() * FIELD_LIMBS, LIMB_BITS), (port.signal.count(), 1)]);
            }
        }
        let rows = |w: u32| {
            let tables = DigitTables::choose(&digits, w);
            let lookups: usize = digits.iter().map(|(count, bits)| count * tables.rows(*bits, w)).sum();
            let widths = tables.widths(digits.iter().map(|(_, bits)| *bits), w, false);
            lookups + widths.iter().map(|width| (1 << width) + 1).sum::<usize>()
        };
        let w = (1..=16).min_by_key(|w| rows(*w)).unwrap_or(8);
        (w, DigitTables::choose(&digits, w))
    }

    fn build<B: Builder>(&self, b: &mut B, values: Option<Values<'_>>) -> Result<(), InteropError> {
        let bindings: Vec<_> = self.ports.iter().map(|port| port.kind.into()).collect();
        let mut border = Border::open(b, &bindings, values.map(|values| values.border))?;
        let (w, tables) = self.tables();
        let mut wires: Vec<Option<B::Field>> = vec![None; self.r1cs.wires];
        wires[0] = Some(b.field_constant(Fr::one()));
        for (p, port) in self.ports.iter().enumerate() {
            let digits = match (port.signal.first_wire, port.kind) {
                (None, TensorKind::Output) => vec![b.constant(1)],
                _ => self.digits(b, port, values.map(|values| values.integers[p].as_slice()), (&tables, w), &mut wires)?,
            };
            border.bind(b, bindings[p], &digits, port.kind_of_values().digit_bits())?;
        }
        for row in &self.r1cs.rows {
            for (wire, _) in row.iter().flatten() {
                let slot = &mut wires[*wire as usize];
                if slot.is_none() {
                    *slot = Some(b.field_given(values.map(|values| values.wires[*wire as usize])));
                }
            }
            let [a, x, c] = [0, 1, 2].map(|matrix: usize| {
                let terms: Vec<(Fr, &B::Field)> =
                    row[matrix].iter().filter_map(|(wire, c)| Some((*c, wires[*wire as usize].as_ref()?))).collect();
                b.field_combine(&terms, Fr::from(0u8))
            });
            b.field_row(&a, &x, &c);
        }
        Ok(())
    }

    /// The digits of a port, and the expressions of its wires.
    fn digits<B: Builder>(
        &self,
        b: &mut B,
        port: &Port,
        integers: Option<&[i64]>,
        (tables, w): (&DigitTables, u32),
        wires: &mut [Option<B::Field>],
    ) -> Result<Vec<B::Int>, InteropError> {
        let (of_values, name) = (port.kind_of_values(), port.signal.name.as_str());
        let (limbs, bits, offset) = (of_values.limbs(), of_values.digit_bits(), of_values.offset());
        let count = port.signal.count() * limbs;
        if let Some(integers) = integers.filter(|integers| integers.len() != count) {
            return Err(InteropError::signal(name, format!("it has {count} integers, {} were given", integers.len())));
        }
        let mut digits = Vec::with_capacity(count);
        for element in 0..port.signal.count() {
            let mut own = Vec::with_capacity(limbs);
            for limb in 0..limbs {
                let digit = integers.map(|integers| integers[element * limbs + limb].saturating_add(offset));
                own.push(gadgets::digit(b, digit, bits, tables, w).map_err(|error| error.at(name))?);
            }
            if of_values == SignalType::Field {
                let value = integers.map(|integers| &integers[element * limbs..][..limbs]);
                below_r(b, &own, value, (tables, w)).map_err(|error| error.at(name))?;
            }
            if let Some(first) = port.signal.first_wire {
                let sum = in_base(b, &own);
                wires[first + element] = Some(b.field_combine(&[(Fr::one(), &sum)], -Fr::from(offset)));
            }
            digits.append(&mut own);
        }
        Ok(digits)
    }
}

/// Wires that some row says something of.
fn used_wires(r1cs: &R1cs) -> Result<Vec<bool>, InteropError> {
    let mut used = vec![false; r1cs.wires];
    for (index, row) in r1cs.rows.iter().enumerate() {
        for combination in row {
            let mut wires: Vec<u32> = combination.iter().map(|(wire, _)| *wire).collect();
            wires.sort_unstable();
            if let Some(pair) = wires.windows(2).find(|pair| pair[0] == pair[1]) {
                let reason = format!("row {index} names wire {} twice in one sum", pair[0]);
                return Err(InteropError::malformed("circuit", reason));
            }
        }
        if !always_holds(row) {
            row.iter().flatten().for_each(|(wire, _)| used[*wire as usize] = true);
        }
    }
    Ok(used)
}

/// Which inputs and outputs are a signal's: each is one signal's, and each signal has a name of its own.
struct Owners<'a> {
    r1cs: &'a R1cs,
    names: BTreeSet<String>,
    taken: Vec<bool>,
}

impl<'a> Owners<'a> {
    fn new(r1cs: &'a R1cs) -> Self {
        Self { r1cs, names: BTreeSet::new(), taken: vec![false; 1 + r1cs.publics() + r1cs.private_inputs] }
    }

    /// The wires of a signal of a kind, taken. One that is put beside the circuit has none, if `may_have_none`.
    fn take(&mut self, signal: &Signal, kind: TensorKind, may_have_none: bool) -> Result<Range<usize>, InteropError> {
        let refused = |reason| Err(InteropError::signal(&signal.name, reason));
        // A private input that had a bound signal's name would be published as that.
        if !self.names.insert(signal.name.clone()) {
            return refused("two signals have this name");
        }
        let (publics, all) = (1 + self.r1cs.publics(), self.taken.len());
        let allowed = match kind {
            TensorKind::Output => 1..1 + self.r1cs.outputs,
            TensorKind::PublicInput => 1 + self.r1cs.outputs..publics,
            TensorKind::PrivateInput => publics..all,
            TensorKind::Boundary => 0..0,
        };
        let Some(count) = count(signal).filter(|count| *count <= self.r1cs.wires) else {
            return refused("it has more elements than the circuit has wires, or none");
        };
        let wires = match signal.first_wire {
            None if may_have_none => return Ok(0..0),
            None => None,
            Some(first) => first.checked_add(count).map(|end| first..end),
        };
        let Some(wires) = wires.filter(|wires| allowed.start <= wires.start && wires.end <= allowed.end) else {
            return refused("its wires are not those of such a signal: it is of another circuit");
        };
        if self.taken[wires.clone()].iter_mut().any(|taken| std::mem::replace(taken, true)) {
            return refused("its wires are another signal's too");
        }
        Ok(wires)
    }

    /// Refuses an input or output that is no signal's.
    fn check_all(&self) -> Result<(), InteropError> {
        match (1..self.taken.len()).find(|wire| !self.taken[*wire]) {
            Some(wire) => Err(InteropError::malformed("circuit", format!("its wire {wire}, an input or output, is no signal's"))),
            None => Ok(()),
        }
    }
}

/// `Σ digit_k · 2^(32k)`.
fn in_base<B: Builder>(b: &B, digits: &[B::Int]) -> B::Field {
    let fields: Vec<B::Field> = digits.iter().map(|digit| b.to_field(digit)).collect();
    let mut factor = Fr::one();
    let terms: Vec<(Fr, &B::Field)> = fields
        .iter()
        .map(|field| {
            let term = (factor, field);
            factor *= Fr::from(1u64 << LIMB_BITS);
            term
        })
        .collect();
    b.field_combine(&terms, Fr::from(0u8))
}

/// Proves that eight limbs, each an integer below 2^32, make a number v below r.
///
/// The prover shows the limbs of r − 1 − v, also below 2^32 each, and the carry of the lower halves' sum: with r − 1 = h·2^128 + l,
///
/// ```text
/// lower(v) + lower(r − 1 − v) = l + carry·2^128        carry ∈ {0, 1}
/// upper(v) + upper(r − 1 − v) + carry = h
/// ```
///
/// All of it stays below 2^130, so that both hold for integers: v ≤ r − 1. Eight digits of 32 bits, one of 1 bit, two rows.
pub(crate) fn below_r<B: Builder>(
    b: &mut B,
    limbs: &[B::Int],
    value: Option<&[i64]>,
    (tables, w): (&DigitTables, u32),
) -> Result<(), CircuitError> {
    const HALF: usize = FIELD_LIMBS / 2;
    let number = |limbs: &[i64]| limbs.iter().rev().fold(BigUint::default(), |n, limb| (n << LIMB_BITS) + limb.unsigned_abs());
    let most = BigUint::from(Fr::MODULUS) - 1u8;
    let half = BigUint::from(1u8) << (LIMB_BITS * HALF as u32);
    let rest = match value.map(number) {
        Some(value) if value > most => {
            return Err(CircuitError::Unsupported {
                gadget: "field element".into(),
                reason: "its limbs make a number that is not below r".into(),
            });
        }
        value => value.map(|value| &most - value),
    };
    let carry = value.zip(rest.as_ref()).map(|(value, rest)| i64::from(number(&value[..HALF]) + rest % &half >= half));
    let mut rest_limbs = Vec::with_capacity(FIELD_LIMBS);
    for k in 0..FIELD_LIMBS {
        let limb = rest.as_ref().map(|rest| rest.iter_u32_digits().nth(k).map_or(0, i64::from));
        rest_limbs.push(gadgets::digit(b, limb, LIMB_BITS, tables, w)?);
    }
    let carry = gadgets::digit(b, carry, 1, tables, w)?;
    let carry = b.to_field(&carry);
    let (low, high) = (Fr::from(&most % &half), Fr::from(&most / &half));
    for (range, constant, factor) in [(0..HALF, low, -Fr::from(half)), (HALF..FIELD_LIMBS, high, Fr::one())] {
        let (own, rest) = (in_base(b, &limbs[range.clone()]), in_base(b, &rest_limbs[range]));
        let sum = b.field_combine(&[(Fr::one(), &own), (Fr::one(), &rest), (factor, &carry)], Fr::from(0u8));
        let constant = b.field_constant(constant);
        b.field_equal(&sum, &constant);
    }
    Ok(())
}

/// Elements of a signal: at least one, and a number that there can be.
fn count(signal: &Signal) -> Option<usize> {
    signal.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size)).filter(|count| *count > 0)
}

/// Whether a row holds whatever its wires are, as far as a compiler would write one: a factor is empty and so is the product, or one factor
/// is the constant and the product the other factor times it.
fn always_holds([a, b, c]: &Row) -> bool {
    let constant = |factor: &Combination| match factor[..] {
        [(0, constant)] => Some(constant),
        _ => None,
    };
    let sorted = |terms: &mut dyn Iterator<Item = (u32, Fr)>| terms.collect::<BTreeMap<u32, Fr>>();
    let is_scaled = |factor: &Combination, other: &Combination| {
        let scaled = |constant: Fr| sorted(&mut other.iter().map(|(wire, c)| (*wire, *c * constant)));
        constant(factor).is_some_and(|constant| scaled(constant) == sorted(&mut c.iter().copied()))
    };
    ((a.is_empty() || b.is_empty()) && c.is_empty()) || is_scaled(a, b) || is_scaled(b, a)
}

fn signal(symbol: &Symbol, kind: Option<SignalType>) -> Signal {
    Signal { name: symbol.name.clone(), shape: symbol.shape.clone(), first_wire: Some(symbol.first_wire), kind }
}

/// A signal's name, with the indices of the element that a wire is.
fn element(signal: &Signal, wire: usize) -> String {
    let mut rest = wire - signal.first_wire.unwrap_or(wire);
    let mut indices: Vec<usize> = Vec::new();
    for size in signal.shape.iter().rev() {
        indices.insert(0, rest % size);
        rest /= size;
    }
    indices.iter().fold(signal.name.clone(), |name, index| format!("{name}[{index}]"))
}
