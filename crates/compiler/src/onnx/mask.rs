//! The masks of scores before a soft max, as exporters write them out.
//!
//! A mask is an addition of large negative numbers to scores before a soft max. Those numbers would set the scale of all scores, so a
//! sum or choice with such numbers on its way to a soft max is not computed: the mask is kept beside the scores, and the soft max
//! leaves out what it masks.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto};

use super::attributes::Attributes;
use super::constant::{Constant, Elements};
use super::context::Context;
use super::types::type_of;
use super::{ImportError, Importer, Known, broadcast};
use crate::float::{FloatOp, Kind, ValueId, held_range};

/// A sum so far below its row's largest leaves a soft max nothing: it is a mask's, not a score's.
/// The classic number is −10,000, and scores are smaller by far.
pub(super) const MASKED: f64 = -9e3;

/// What is left out of a soft max, and what is added to its scores.
#[derive(Clone, Default)]
pub(super) struct Mask {
    /// Added to each score; what is below [`MASKED`] under its row's largest leaves the score out.
    pub(super) bias: Option<Vec<f64>>,
    /// A truth value per score: whether it is kept.
    pub(super) keep: Option<Known>,
    /// What a row gives of which no truth value keeps anything.
    pub(super) empty: Empty,
}

impl Mask {
    /// Whether what it hides by truth values is hidden by adding numbers.
    pub(super) fn adds(&self) -> bool {
        self.keep.is_some() && self.empty != Empty::Zeros
    }
}

/// What a soft max gives of a row that keeps nothing.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Empty {
    /// Zeros: what Attention says of such a row.
    #[default]
    Zeros,
    /// Equal parts: all its scores are one number, or lost beside it.
    Even { number: f64 },
    /// As if it kept everything: all its scores are lower by one number, beside which they stay what they are.
    Whole,
    /// No proof. Two masks hide it and which of them hides more decides; or floats round its scores beside a number; or all are -inf.
    Refused,
}

/// What is left of scores to which a mask adds a number, as floats of a type round the sum.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Scores,
    Nothing,
    Part,
}

/// The largest number of 16 bits.
const LARGEST_HALF: f64 = 65_504.0;

/// Scores are surely smaller.
const LARGEST_SCORE: f64 = 32_768.0;

/// What floats of a type keep of scores beside a number.
fn left_beside(number: f64, of: Option<DataType>) -> Left {
    let digits = match of {
        Some(DataType::Double) => 53,
        Some(DataType::Float16) => 11,
        Some(DataType::Bfloat16) => 8,
        _ => 24,
    };
    let spacing = 2_f64.powf(number.abs().log2().floor() + 1.0 - f64::from(digits));
    if !number.is_finite() || of == Some(DataType::Float16) && number.abs() > LARGEST_HALF {
        Left::Part
    } else if spacing <= 1.0 / 128.0 {
        Left::Scores
    } else if spacing >= 2.0 * LARGEST_SCORE {
        Left::Nothing
    } else {
        Left::Part
    }
}

/// What a row gives that a computed mask hides by adding a number to all its scores.
fn lowered(number: f64, of: Option<DataType>) -> Empty {
    match left_beside(number, of) {
        Left::Scores => Empty::Whole,
        Left::Nothing => Empty::Even { number },
        Left::Part => Empty::Refused,
    }
}

/// What a row gives that a computed mask hides when it and something else are added.
pub(super) fn raised(empty: Empty, addend: &Known, of: Option<DataType>) -> Empty {
    match (empty, addend.constant().map(Constant::uniform)) {
        (Empty::Even { number }, Some(Some(constant))) => Empty::Even { number: number + constant },
        (Empty::Even { number }, _) if left_beside(number, of) != Left::Nothing => Empty::Refused,
        _ => empty,
    }
}

/// The input of Attention that masks its scores.
const ATTENTION_MASK: usize = 3;

/// Whether a Cast gives floats, which leave a number what it is.
fn to_float(node: &NodeProto) -> bool {
    let floats = [DataType::Float, DataType::Double, DataType::Float16, DataType::Bfloat16];
    node.attribute.iter().any(|attribute| attribute.name == "to" && floats.iter().any(|&kind| attribute.i == i64::from(kind as i32)))
}

/// Names of values that nothing but a Softmax, or an Attention as its mask, reads, directly or through Add, Where and what changes nothing.
pub(super) fn scores(graph: &GraphProto) -> HashSet<String> {
    fn inner<'a>(graph: &'a GraphProto, names: &mut HashSet<&'a str>) {
        for node in &graph.node {
            names.extend(node.input.iter().map(String::as_str));
            node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)).for_each(|graph| inner(graph, names));
        }
        names.extend(graph.output.iter().map(|output| output.name.as_str()));
    }
    let mut scores: HashSet<&str> = HashSet::new();
    let mut others: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    for node in graph.node.iter().rev() {
        let made = |scores: &HashSet<&str>, others: &HashSet<&str>| {
            node.output.len() == 1 && scores.contains(node.output[0].as_str()) && !others.contains(node.output[0].as_str())
        };
        let first = match node.op_type.as_str() {
            "Softmax" => 0,
            "Add" | "Identity" if made(&scores, &others) => 0,
            "Cast" if made(&scores, &others) && to_float(node) => 0,
            "Where" if made(&scores, &others) => 1,
            _ => usize::MAX,
        };
        for (index, name) in node.input.iter().enumerate() {
            if index >= first || node.op_type == "Attention" && index == ATTENTION_MASK {
                scores.insert(name)
            } else {
                others.insert(name)
            };
        }
        node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)).for_each(|graph| inner(graph, &mut others));
    }
    scores.difference(&others).map(|&name| name.to_owned()).collect()
}

/// The numbers of a mask: they may be infinite below.
pub(super) fn mask_numbers(c: &Context<'_>, constant: &Constant) -> Result<Vec<f64>, ImportError> {
    let list: Vec<f64> = match &constant.elements {
        Elements::Floats(list) => list.clone(),
        Elements::Ints(list) => list.iter().map(|&x| x as f64).collect(),
    };
    if list.iter().any(|&x| x.is_nan() || x == f64::INFINITY) {
        return Err(c.wrong("its constant to add or choose is infinite or not a number"));
    }
    Ok(list)
}

/// A sum of constants or a choice among them of which some are infinite below, as masks are made: no other operator takes these.
fn constant_mask(c: &Context<'_>) -> Result<Option<Constant>, ImportError> {
    let constants: Option<Vec<&Constant>> = c.inputs.iter().map(|input| input.as_ref().and_then(Known::constant)).collect();
    let Some((choice, x, y)) = (match (c.operator, constants.as_deref()) {
        ("Add", Some(&[x, y])) => Some((None, x, y)),
        ("Where", Some(&[choice, x, y])) => Some((Some(choice), x, y)),
        _ => None,
    }) else {
        return Ok(None);
    };
    let is_infinite = |constant: &Constant| matches!(&constant.elements, Elements::Floats(list) if list.contains(&f64::NEG_INFINITY));
    let shape = broadcast::shape(&x.shape, &y.shape)
        .and_then(|shape| choice.map_or(Some(shape.clone()), |choice| broadcast::shape(&choice.shape, &shape)));
    let Some(shape) = shape.filter(|_| is_infinite(x) || is_infinite(y)) else {
        return Ok(None);
    };
    c.checked(&shape, "output")?;
    let (left, right) =
        (broadcast::repeat(&mask_numbers(c, x)?, &x.shape, &shape), broadcast::repeat(&mask_numbers(c, y)?, &y.shape, &shape));
    let pairs = left.iter().zip(&right);
    let list = match choice {
        Some(choice) => {
            let bits = broadcast::repeat(c.ints(choice)?, &choice.shape, &shape);
            pairs.zip(bits).map(|((&x, &y), bit)| if bit == 0 { y } else { x }).collect()
        }
        None => pairs.map(|(x, y)| x + y).collect(),
    };
    Ok(Some(Constant::floats(shape, list)))
}

impl Importer<'_> {
    /// What an Add or Where gives whose constant, or whose inputs, mask scores, and what passes these on; none where it is to be computed.
    pub(super) fn mask(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Option<Known>, ImportError> {
        if let ("Cast" | "Identity", Some(known)) = (c.operator, c.optional(0))
            && self.is_masked(known)
        {
            let to = a.int("to")?.and_then(type_of);
            a.ignore("saturate");
            a.ignore("round_mode");
            return if to == Some(DataType::Float16) { self.in_halves(c, known).map(Some) } else { Ok(Some(known.clone())) };
        }
        match constant_mask(c)? {
            Some(constant) => Ok(Some(Known::Constant(constant))),
            None => self.score_mask(c),
        }
    }

    /// Masked scores as floats of 16 bits, whose numbers end at 65,504: beyond, a row that is hidden whole has no soft max.
    fn in_halves(&mut self, c: &Context<'_>, known: &Known) -> Result<Known, ImportError> {
        let shape = self.shape(known).to_vec();
        let mask = self.mask_of(c, known, &shape)?;
        let hidden = |row: &[f64]| row.iter().all(|&x| x < -LARGEST_HALF);
        if let Some(row) = mask.bias.iter().flat_map(|bias| bias.chunks_exact(shape.last().copied().unwrap_or(1))).position(hidden) {
            return Err(c.wrong(format!("its mask hides all of row {row} by numbers beyond {LARGEST_HALF}, which are infinite in float16")));
        }
        match mask.empty {
            Empty::Even { number } if number < -LARGEST_HALF => self.with_mask(c, known, Mask { empty: Empty::Refused, ..mask }),
            _ => Ok(known.clone()),
        }
    }

    pub(super) fn is_masked(&self, known: &Known) -> bool {
        matches!(known, Known::Value(id) if self.masks.contains_key(id))
    }

    /// Scores that an Add or Where masks.
    fn score_mask(&mut self, c: &Context<'_>) -> Result<Option<Known>, ImportError> {
        let is_score = c.outputs.len() == 1 && self.scores.contains(c.outputs[0].as_str());
        let inputs: Vec<&Known> = c.inputs.iter().flatten().collect();
        let is_mask = |known: &Known| match known.constant().map(|constant| &constant.elements) {
            Some(Elements::Floats(list)) => list.iter().any(|&x| x < MASKED),
            _ => false,
        };
        if !is_score || inputs.iter().all(|known| known.constant().is_some()) {
            return Ok(None);
        }
        if let ("Add", &[x, y]) = (c.operator, &inputs[..]) {
            for (scores, mask) in [(x, y), (y, x)] {
                if let &Known::Value(id) = mask
                    && let Some(mask) = self.written_mask(c, id)?
                {
                    return self.with_written_mask(c, scores, id, mask);
                }
            }
        }
        if !inputs.iter().any(|known| self.is_masked(known) || is_mask(known)) {
            return Ok(None);
        }
        let shape = inputs.iter().try_fold(Vec::new(), |shape, known| broadcast::shape(&shape, self.shape(known)));
        let Some(shape) = shape else {
            return Ok(None);
        };
        c.checked(&shape, "output")?;
        match (c.operator, &inputs[..]) {
            ("Add", &[x, y]) => self.masked_sum(c, [x, y], &shape).map(Some),
            ("Where", &[Known::Constant(condition), x, y]) => {
                let Elements::Ints(list) = &condition.elements else {
                    return Ok(None);
                };
                let first: Vec<bool> = broadcast::repeat(list, &condition.shape, &shape).iter().map(|&bit| bit != 0).collect();
                self.masked_choice(c, &first, [x, y], &shape)
            }
            ("Where", &[condition, x, y]) => self.masked_where(c, condition, [x, y], &shape),
            _ => Ok(None),
        }
    }

    /// Scores under a name of their own, with what masks them.
    fn with_mask(&mut self, c: &Context<'_>, scores: &Known, mask: Mask) -> Result<Known, ImportError> {
        let scores = self.value(c, scores)?;
        let (shape, kind) = (self.graph.values[scores].shape.clone(), self.graph.values[scores].kind);
        let masked = self.append(c, FloatOp::Reshape, vec![scores], shape, kind)?;
        self.masks.insert(masked, mask);
        Ok(Known::Value(masked))
    }

    /// A mask over the shape that its own, `from`, broadcasts to.
    pub(super) fn expanded_mask(&mut self, c: &Context<'_>, mask: Mask, from: &[usize], shape: &[usize]) -> Result<Mask, ImportError> {
        let bias = mask.bias.map(|bias| broadcast::repeat(&bias, from, shape));
        let keep = mask.keep.map(|keep| self.expanded(c, &keep, shape)).transpose()?;
        Ok(Mask { bias, keep, empty: mask.empty })
    }

    /// The mask of an input, over the shape that it broadcasts to.
    pub(super) fn mask_of(&mut self, c: &Context<'_>, known: &Known, shape: &[usize]) -> Result<Mask, ImportError> {
        let mask = match known {
            Known::Value(id) => self.masks.get(id).cloned(),
            Known::Constant(_) => None,
        };
        let from = self.shape(known).to_vec();
        mask.map_or_else(|| Ok(Mask::default()), |mask| self.expanded_mask(c, mask, &from, shape))
    }

    fn masked_sum(&mut self, c: &Context<'_>, inputs: [&Known; 2], shape: &[usize]) -> Result<Known, ImportError> {
        let mut all = Mask::default();
        let mut values = Vec::new();
        for (known, addend) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] {
            let mask = match known {
                Known::Constant(constant) => {
                    let bias = broadcast::repeat(&mask_numbers(c, constant)?, &constant.shape, shape);
                    Mask { bias: Some(bias), ..Mask::default() }
                }
                Known::Value(_) => {
                    values.push(self.expanded(c, known, shape)?);
                    let mask = self.mask_of(c, known, shape)?;
                    Mask { empty: raised(mask.empty, addend, c.float_type()), ..mask }
                }
            };
            all = self.one_after_other(c, all, mask)?;
        }
        let mut sum = if let [x, y] = &values[..] { self.plus(c, x, y)? } else { values[0].clone() };
        if let Some(bias) = &all.bias {
            sum = self.left_of_hidden(c, &sum, bias, shape.last().copied().unwrap_or(1))?;
        }
        self.with_mask(c, &sum, all)
    }

    /// Scores as floats leave them in rows of which a constant mask of finite numbers hides everything: there they are lost beside a
    /// large number, and stay beside a small one.
    pub(super) fn left_of_hidden(&mut self, c: &Context<'_>, scores: &Known, bias: &[f64], length: usize) -> Result<Known, ImportError> {
        let mut factors = Vec::with_capacity(bias.len());
        for (index, row) in bias.chunks_exact(length).enumerate() {
            let most = row.iter().fold(f64::NEG_INFINITY, |most, &x| most.max(x));
            let left = if most < MASKED && most.is_finite() { left_beside(most, c.float_type()) } else { Left::Scores };
            if left == Left::Part {
                return Err(c.wrong(format!(
                    "its mask hides all of row {index} by {most}, beside which floats round scores; hide with -10000, or leave a score"
                )));
            }
            factors.extend(std::iter::repeat_n(if left == Left::Nothing { 0.0 } else { 1.0 }, length));
        }
        if factors.iter().all(|&factor| factor == 1.0) { Ok(scores.clone()) } else { self.weighted(c, &[(scores, factors)], &[0.0]) }
    }

    /// The mask that a value is, where it is worked out of truth values and has two numbers, one of which masks. Integers from outside
    /// count as truth values, and are held to being 0 or 1.
    pub(super) fn written_mask(&mut self, c: &Context<'_>, id: ValueId) -> Result<Option<Mask>, ImportError> {
        // The value is factor·bit + added, and the moves lead from the bits to it.
        let (mut factor, mut added, mut at) = (1.0, 0.0, id);
        let mut found = None;
        let mut moves: Vec<(FloatOp, usize, Vec<usize>)> = Vec::new();
        let mut held = Vec::new();
        loop {
            if self.graph.values[at].kind != Kind::Real {
                found = Some((factor, added, at, moves.len()));
            }
            let Some(node) = self.graph.nodes.iter().rev().find(|node| node.output == at) else { break };
            match (&node.op, &node.inputs[..]) {
                (FloatOp::Affine { coefficients, bias, .. }, &[input]) => {
                    let ([scale], [shift]) = (&coefficients[0][..], &bias[..]) else { break };
                    (factor, added, at) = (factor * scale, added + factor * shift, input);
                }
                (&FloatOp::Hold { bits, signed, .. }, &[input]) => {
                    held.push((held_range(bits, signed), factor, added));
                    at = input;
                }
                (
                    FloatOp::Reshape | FloatOp::Transpose { .. } | FloatOp::View { .. } | FloatOp::Gather { .. } | FloatOp::Concat { .. },
                    inputs,
                ) if inputs.iter().all(|input| *input == inputs[0]) => {
                    moves.push((node.op.clone(), inputs.len(), self.graph.values[at].shape.clone()));
                    at = inputs[0];
                }
                _ => break,
            }
        }
        let Some((factor, added, bits, count)) = found else { return Ok(None) };
        let (low, high) = (added, factor + added);
        // What a type of integers holds must hold both numbers: none of them wraps.
        let fits = |&((least, size), factor, added): &((f64, f64), f64, f64)| {
            [low, high].iter().all(|number| (0.0..size).contains(&((number - added) / factor - least)))
        };
        if low.min(high) >= MASKED || low.max(high) < MASKED || !held.iter().all(fits) {
            return Ok(None);
        }
        let mut keep = Known::Value(bits);
        if self.kind(&keep) == Kind::Integer {
            let shape = self.shape(&keep).to_vec();
            let hot = self.push(c, FloatOp::OneHot { count: 2 }, &[&keep], &[&shape[..], &[2]].concat())?;
            keep = self.strided(c, &hot, (&[shape.iter().product()], &[2], 1), &shape)?;
        }
        if high < low {
            keep = self.not(c, &keep)?;
        }
        for (op, inputs, shape) in moves.into_iter().take(count).rev() {
            keep = self.push(c, op, &vec![&keep; inputs], &shape)?;
        }
        let shown = low.max(high);
        let bias = (shown != 0.0).then(|| vec![shown; self.count(&keep)]);
        Ok(Some(Mask { bias, keep: Some(keep), empty: lowered(low.min(high), c.float_type()) }))
    }

    fn with_written_mask(&mut self, c: &Context<'_>, scores: &Known, id: ValueId, mask: Mask) -> Result<Option<Known>, ImportError> {
        let from = self.graph.values[id].shape.clone();
        let Some(shape) = broadcast::shape(self.shape(scores), &from) else {
            return Ok(None);
        };
        let before = self.mask_of(c, scores, &shape)?;
        let mask = self.expanded_mask(c, mask, &from, &shape)?;
        let all = self.one_after_other(c, mask, before)?;
        let scores = self.expanded(c, scores, &shape)?;
        self.with_mask(c, &scores, all).map(Some)
    }

    /// What two masks of numbers that add up leave.
    pub(super) fn one_after_other(&mut self, c: &Context<'_>, x: Mask, y: Mask) -> Result<Mask, ImportError> {
        let hides = |mask: &Mask| mask.keep.is_some() || mask.bias.iter().flatten().any(|&x| x < MASKED);
        let refused = hides(&x) && hides(&y) && (x.keep.is_some() || y.keep.is_some());
        let both = self.both(c, x, y)?;
        Ok(if refused { Mask { empty: Empty::Refused, ..both } } else { both })
    }

    /// What two masks leave.
    pub(super) fn both(&mut self, c: &Context<'_>, x: Mask, y: Mask) -> Result<Mask, ImportError> {
        let bias = match (x.bias, y.bias) {
            (Some(x), Some(y)) => Some(x.iter().zip(&y).map(|(x, y)| x + y).collect()),
            (x, y) => x.or(y),
        };
        let empty = if x.keep.is_some() { x.empty } else { y.empty };
        let keep = match (x.keep, y.keep) {
            (Some(x), Some(y)) => {
                let both = self.product(c, &x, &y)?;
                Some(self.of_kind(both, Kind::Boolean))
            }
            (x, y) => x.or(y),
        };
        Ok(Mask { bias, keep, empty })
    }

    /// A choice by constants between scores and numbers: the first input where `first` says so.
    fn masked_choice(
        &mut self,
        c: &Context<'_>,
        first: &[bool],
        inputs: [&Known; 2],
        shape: &[usize],
    ) -> Result<Option<Known>, ImportError> {
        let (scores, constant, chosen): (&Known, &Constant, Vec<bool>) = match inputs {
            [scores @ Known::Value(_), Known::Constant(constant)] => (scores, constant, first.to_vec()),
            [Known::Constant(constant), scores @ Known::Value(_)] => (scores, constant, first.iter().map(|bit| !bit).collect()),
            [x, y] if self.is_masked(x) || self.is_masked(y) => {
                return Err(c.wrong("it chooses between masked scores and others; apply its choice before the mask"));
            }
            _ => return Ok(None),
        };
        let numbers = broadcast::repeat(&mask_numbers(c, constant)?, &constant.shape, shape);
        let mask = self.mask_of(c, scores, shape)?;
        if mask.keep.is_some() && !chosen.iter().all(|&bit| bit) {
            return Err(c.wrong("it chooses among scores that a computed mask hides; apply its choice before the mask"));
        }
        let before = mask.bias.unwrap_or_else(|| vec![0.0; numbers.len()]);
        let bias: Vec<f64> =
            chosen.iter().zip(before.iter().zip(&numbers)).map(|(&score, (&old, &new))| if score { old } else { new }).collect();
        let mut scores = self.expanded(c, scores, shape)?;
        // A number takes the place of a score where the soft max may see it: where it is no mask's, or a row has nothing else.
        let length = shape.last().copied().unwrap_or(1);
        let visible = chosen.iter().zip(&numbers).any(|(&score, &number)| !score && number >= MASKED)
            || bias.chunks_exact(length).any(|row| row.iter().all(|&number| number < MASKED));
        if visible {
            let factors: Vec<f64> = chosen.iter().map(|&score| if score { 1.0 } else { 0.0 }).collect();
            scores = self.weighted(c, &[(&scores, factors)], &[0.0])?;
        }
        self.with_mask(c, &scores, Mask { bias: Some(bias), ..mask }).map(Some)
    }

    /// A choice by computed truth values between scores and a number that masks.
    fn masked_where(
        &mut self,
        c: &Context<'_>,
        condition: &Known,
        inputs: [&Known; 2],
        shape: &[usize],
    ) -> Result<Option<Known>, ImportError> {
        let hides = |known: &Known| match known.constant().map(|constant| &constant.elements) {
            Some(Elements::Floats(list)) => list.iter().all(|&x| x < MASKED),
            _ => false,
        };
        let (scores, number, keeps_first) = match inputs.map(hides) {
            [false, true] => (inputs[0], inputs[1], true),
            [true, false] => (inputs[1], inputs[0], false),
            _ if inputs.iter().any(|known| self.is_masked(known)) => {
                return Err(c.wrong("it chooses between masked scores and others; apply its choice before the mask"));
            }
            _ => return Ok(None),
        };
        let uniform = |known: &Known| known.constant().and_then(Constant::uniform);
        let empty = match (uniform(number).filter(|number| number.is_finite()), uniform(scores)) {
            (Some(number), Some(score)) => lowered(number - score, c.float_type()),
            (Some(number), None) => Empty::Even { number },
            // One number hides more than another, or all are infinite.
            (None, _) => Empty::Refused,
        };
        let mut keep = self.expanded(c, condition, shape)?;
        if !keeps_first {
            keep = self.not(c, &keep)?;
        }
        let before = self.mask_of(c, scores, shape)?;
        let mask = self.one_after_other(c, Mask { bias: None, keep: Some(keep), empty }, before)?;
        let scores = self.expanded(c, scores, shape)?;
        self.with_mask(c, &scores, mask).map(Some)
    }
}
