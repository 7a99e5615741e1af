//! Recurrent layers, unrolled.

use super::attributes::Attributes;
use super::context::Context;
use super::operators::{Operator, operator};
use super::pointwise::formula;
use super::{ImportError, Importer, Known};
use crate::float::{FloatOp, Kind, Pointwise};
use zkslice_graph::limits;

pub(super) const OPERATORS: &[Operator] = &[
    operator("GRU", "constant weights and lengths; unrolled", |i, c, a| i.recurrent(c, a, Cell::Gru)),
    operator("LSTM", "constant weights and lengths; unrolled", |i, c, a| i.recurrent(c, a, Cell::Lstm)),
    operator("RNN", "constant weights and lengths; unrolled", |i, c, a| i.recurrent(c, a, Cell::Rnn)),
];

/// The kind of a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Rnn,
    Gru,
    Lstm,
}

impl Cell {
    /// Ends of the gates that go through one function.
    fn parts(self, peepholes: bool) -> &'static [usize] {
        match self {
            Cell::Rnn => &[1],
            Cell::Gru => &[2, 3],
            Cell::Lstm if peepholes => &[1, 2, 3, 4],
            Cell::Lstm => &[3, 4],
        }
    }

    /// Gates, and the functions of one direction.
    fn sizes(self) -> (usize, &'static [&'static str]) {
        match self {
            Cell::Rnn => (1, &["Tanh"]),
            Cell::Gru => (3, &["Sigmoid", "Tanh"]),
            Cell::Lstm => (4, &["Sigmoid", "Tanh", "Tanh"]),
        }
    }
}

/// What one direction computes with.
struct Direction {
    reverse: bool,
    hidden: usize,
    /// Gates that go through one function, in order.
    parts: Vec<Part>,
    /// Weights of the LSTM's cell in the gates i, o and f.
    peepholes: Option<Vec<f64>>,
    functions: Vec<Pointwise>,
    clip: Option<f64>,
    /// The GRU's `linear_before_reset`, the LSTM's `input_forget`.
    variant: bool,
}

/// Some gates of a direction. They are computed apart from the others, so that each sum flows into its function as it is.
struct Part {
    /// The input's part: a row per step and batch entry.
    inputs: Known,
    /// Weights of the state, and what is added to their product.
    weights: Vec<f64>,
    bias: Vec<f64>,
}

/// A state: of the batch entries that are not at their end yet. None is zero.
#[derive(Clone)]
struct State {
    hidden: Option<Known>,
    cell: Option<Known>,
}

/// The activation functions of recurrent layers, by their names in small letters; how many parameters each takes, and their usual values.
fn activation(name: &str, alpha: Option<f64>, beta: Option<f64>) -> Option<Pointwise> {
    let with = |name, defaults: &[Option<f64>], formula: fn(f64, &[f64]) -> f64| {
        let given = [alpha, beta];
        let parameters = defaults.iter().zip(given).map(|(default, given)| given.or(*default)).collect::<Option<Vec<f64>>>()?;
        Some(Pointwise { name, parameters, formula })
    };
    match name {
        "relu" => with("Relu", &[], |x, _| x.max(0.0)),
        "tanh" => with("Tanh", &[], formula::tanh),
        "sigmoid" => with("Sigmoid", &[], formula::sigmoid),
        "affine" => with("Affine", &[None, None], |x, p| p[0] * x + p[1]),
        "leakyrelu" => with("LeakyRelu", &[Some(0.01)], formula::leaky_relu),
        // Its usual threshold is another one to ONNX Runtime.
        "thresholdedrelu" => with("ThresholdedRelu", &[None], formula::thresholded_relu),
        "scaledtanh" => with("ScaledTanh", &[None, None], |x, p| p[0] * libm::tanh(p[1] * x)),
        "hardsigmoid" => with("HardSigmoid", &[Some(0.2), Some(0.5)], formula::hard_sigmoid),
        "elu" => with("Elu", &[Some(1.0)], formula::elu),
        "softsign" => with("Softsign", &[], formula::softsign),
        "softplus" => with("Softplus", &[], formula::softplus),
        _ => None,
    }
}

/// Reads the functions of all directions: each takes its parameters from the lists, in order, if it has any.
fn functions(a: &mut Attributes<'_>, cell: Cell, directions: usize) -> Result<Vec<Pointwise>, ImportError> {
    let usual = cell.sizes().1;
    let names = a.strings("activations")?.unwrap_or_else(|| usual.repeat(directions).iter().map(|&name| name.to_owned()).collect());
    let lists = [a.floats("activation_alpha")?.unwrap_or_default(), a.floats("activation_beta")?.unwrap_or_default()];
    if names.len() != usual.len() * directions {
        return Err(a.wrong("activations", format!("names {} functions where {} are needed", names.len(), usual.len() * directions)));
    }
    let mut taken = [0, 0];
    let mut all = Vec::with_capacity(names.len());
    for name in &names {
        let lower = name.to_lowercase();
        let takes = match lower.as_str() {
            "affine" | "scaledtanh" | "hardsigmoid" => 2,
            "leakyrelu" | "thresholdedrelu" | "elu" => 1,
            _ => 0,
        };
        let [alpha, beta] = [0, 1].map(|which| {
            let next = lists[which].get(taken[which]).filter(|_| takes > which).map(|&x| f64::from(x)).filter(|x| x.is_finite());
            taken[which] += usize::from(next.is_some());
            next
        });
        let function = activation(&lower, alpha, beta);
        all.push(function.ok_or_else(|| a.wrong("activations", format!("names `{name}`, which does not exist or lacks a parameter")))?);
    }
    // A list with an entry per function could mean either: that the others' entries are passed over, or that they are taken first.
    for (which, name) in ["activation_alpha", "activation_beta"].into_iter().enumerate() {
        if taken[which] > 0 && lists[which].len() > taken[which] {
            return Err(a.wrong(name, format!("has {} numbers, where its functions take {}", lists[which].len(), taken[which])));
        }
    }
    Ok(all)
}

impl Importer<'_> {
    /// The numbers of an optional constant, which must have a shape.
    fn weights_at(&self, c: &Context<'_>, index: usize, shape: &[usize]) -> Result<Option<Vec<f64>>, ImportError> {
        match c.optional_constant(index)? {
            Some(constant) if constant.shape == shape => c.floats(constant).map(<[f64]>::to_vec).map(Some),
            Some(constant) => Err(c.wrong(format!("its input {index} has shape {:?} where {shape:?} is needed", constant.shape))),
            None => Ok(None),
        }
    }

    /// By direction the initial state at an input, `[batch, hidden]`; none where it is missing or zero.
    fn initial(&mut self, c: &Context<'_>, index: usize, shape: [usize; 3], by_batch: bool) -> Result<Vec<Option<Known>>, ImportError> {
        let [directions, batch, hidden] = shape;
        let none = vec![None; directions];
        let Some(known) = c.optional(index) else {
            return Ok(none);
        };
        let stated = if by_batch { [batch, directions, hidden] } else { shape };
        if self.shape(known) != stated {
            return Err(c.wrong(format!("its initial state has shape {:?} where {stated:?} is needed", self.shape(known))));
        }
        if let Known::Constant(constant) = known
            && c.floats(constant)?.iter().all(|&x| x == 0.0)
        {
            return Ok(none);
        }
        let state = if by_batch { self.transposed(c, known, &[1, 0, 2])? } else { known.clone() };
        let part = |direction: usize| {
            let walk: (&[usize], &[i64], usize) = (&[batch * hidden], &[1], direction * batch * hidden);
            self.strided(c, &state, walk, &[batch, hidden]).map(Some)
        };
        (0..directions).map(part).collect()
    }

    fn recurrent(&mut self, c: &Context<'_>, a: &mut Attributes<'_>, cell: Cell) -> Result<Vec<Known>, ImportError> {
        c.arity(3, if cell == Cell::Lstm { 8 } else { 6 })?;
        let directions: &[bool] = match a.string("direction")?.as_deref().unwrap_or("forward") {
            "forward" => &[false],
            "reverse" => &[true],
            "bidirectional" => &[false, true],
            other => return Err(a.wrong("direction", format!("is `{other}`, which does not exist"))),
        };
        let count = directions.len();
        a.exists("layout", 14..=i64::MAX)?;
        let by_batch = a.flag("layout", false)?;
        let variant = match cell {
            Cell::Rnn => false,
            Cell::Gru => a.flag("linear_before_reset", false)?,
            Cell::Lstm => a.flag("input_forget", false)?,
        };
        let clip = a.float("clip", f32::MAX)?;
        let clip = (clip < f64::from(f32::MAX)).then_some(clip);
        if clip.is_some_and(|clip| clip <= 0.0) {
            return Err(a.wrong("clip", "is not positive"));
        }
        let functions = functions(a, cell, count)?;
        let (gates, usual) = cell.sizes();

        let mut x = c.known(0)?.clone();
        let &[first, second, size] = self.shape(&x) else {
            return Err(c.wrong(format!("its input has shape {:?} where three axes are needed", self.shape(&x))));
        };
        let (length, batch) = if by_batch { (second, first) } else { (first, second) };
        if by_batch {
            x = self.transposed(c, &x, &[1, 0, 2])?;
        }
        let hidden = c.constant(2)?.shape.last().copied().unwrap_or(0);
        if a.int("hidden_size")?.is_some_and(|stated| usize::try_from(stated) != Ok(hidden))
            || hidden == 0
            || hidden > limits::MAX_ELEMENTS / 8
        {
            return Err(a.wrong("hidden_size", format!("is not the {hidden} that its weights have")));
        }
        let weights = self.weights_at(c, 1, &[count, gates * hidden, size])?.ok_or_else(|| c.missing(1))?;
        let recurrence = self.weights_at(c, 2, &[count, gates * hidden, hidden])?.ok_or_else(|| c.missing(2))?;
        let bias = self.weights_at(c, 3, &[count, 2 * gates * hidden])?.unwrap_or_else(|| vec![0.0; count * 2 * gates * hidden]);
        let peepholes = if cell == Cell::Lstm { self.weights_at(c, 7, &[count, 3 * hidden])? } else { None };
        let lengths: Vec<usize> = match c.optional_constant(4)? {
            Some(constant) if constant.shape == [batch] => c.ints(constant)?.iter().filter_map(|&n| usize::try_from(n).ok()).collect(),
            Some(constant) => return Err(c.wrong(format!("its lengths of shape {:?} do not fit a batch of {batch}", constant.shape))),
            None => vec![length; batch],
        };
        if lengths.len() != batch || lengths.iter().any(|n| !(1..=length).contains(n)) {
            return Err(c.wrong(format!("its sequences must have 1 to {length} steps")));
        }
        let hidden_states = self.initial(c, 5, [count, batch, hidden], by_batch)?;
        let cell_states = if cell == Cell::Lstm { self.initial(c, 6, [count, batch, hidden], by_batch)? } else { vec![None; count] };

        let width = gates * hidden;
        let mut every = Vec::with_capacity(count);
        let mut last = [Vec::new(), Vec::new()];
        for (index, &reverse) in directions.iter().enumerate() {
            let (of_input, of_state) = bias[index * 2 * width..(index + 1) * 2 * width].split_at(width);
            // What is added to the state's product goes to the input's, but where the GRU multiplies it by a gate first.
            let late = if cell == Cell::Gru && variant { 2 * hidden } else { width };
            let mut parts = Vec::with_capacity(4);
            let mut from = 0;
            for gate in cell.parts(peepholes.is_some()) {
                let rows = from..gate * hidden;
                from = rows.end;
                let added: Vec<f64> = rows.clone().map(|e| of_input[e] + if e < late { of_state[e] } else { 0.0 }).collect();
                let of = |list: &[f64], k: usize| list[(index * width + rows.start) * k..(index * width + rows.end) * k].to_vec();
                let inputs = self.dense(c, &x, of(&weights, size), added, &[length * batch, rows.len()])?;
                let bias = rows.clone().map(|e| if e < late { 0.0 } else { of_state[e] }).collect();
                parts.push(Part { inputs: self.of_kind(inputs, Kind::Real), weights: of(&recurrence, hidden), bias });
            }
            let direction = Direction {
                reverse,
                hidden,
                parts,
                peepholes: peepholes.as_ref().map(|list| list[index * 3 * hidden..(index + 1) * 3 * hidden].to_vec()),
                functions: functions[index * usual.len()..(index + 1) * usual.len()].to_vec(),
                clip,
                variant,
            };
            let state = State { hidden: hidden_states[index].clone(), cell: cell_states[index].clone() };
            let (states, ends) = self.unroll_direction(c, cell, &direction, state, &lengths, length)?;
            every.push(states);
            for (all, end) in last.iter_mut().zip(ends) {
                all.push(end);
            }
        }
        let mut outputs = Vec::with_capacity(3);
        let states = self.joined(c, &every, 1)?;
        let states = self.reshaped(c, &states, &[length, count, batch, hidden])?;
        outputs.push(if by_batch { self.transposed(c, &states, &[2, 0, 1, 3])? } else { states });
        for ends in last.into_iter().filter(|ends| !ends.is_empty()) {
            let ends = self.joined(c, &ends, 0)?;
            let ends = self.reshaped(c, &ends, &[count, batch, hidden])?;
            outputs.push(if by_batch { self.transposed(c, &ends, &[1, 0, 2])? } else { ends });
        }
        Ok(outputs)
    }

    /// All states of a direction, `[length, batch, hidden]` with zeros beyond each sequence's end, and the last ones.
    fn unroll_direction(
        &mut self,
        c: &Context<'_>,
        cell: Cell,
        direction: &Direction,
        mut state: State,
        lengths: &[usize],
        length: usize,
    ) -> Result<(Known, Vec<Known>), ImportError> {
        let (batch, hidden) = (lengths.len(), direction.hidden);
        let mut active: Vec<usize> = (0..batch).collect();
        // Where each step's and entry's state is among all that were computed; zeros follow these.
        let total: usize = lengths.iter().sum();
        let mut places = vec![total; length * batch];
        let mut ends = vec![0; batch];
        let mut computed = [Vec::new(), Vec::new()];
        let mut done = 0;
        for step in 0..lengths.iter().copied().max().unwrap_or(0) {
            let going: Vec<usize> = (0..active.len()).filter(|&row| step < lengths[active[row]]).collect();
            if going.len() < active.len() {
                active = going.iter().map(|&row| active[row]).collect();
                for part in [&mut state.hidden, &mut state.cell].into_iter().flatten() {
                    *part = self.gathered(c, part, 0, &going)?;
                }
            }
            let time = |entry: usize| if direction.reverse { lengths[entry] - 1 - step } else { step };
            let indices: Vec<usize> = active.iter().map(|&entry| time(entry) * batch + entry).collect();
            let mut inputs = Vec::with_capacity(direction.parts.len());
            for part in &direction.parts {
                inputs.push(self.gathered(c, &part.inputs, 0, &indices)?);
            }
            state = match cell {
                Cell::Rnn => self.rnn_step(c, direction, &inputs, &state)?,
                Cell::Gru => self.gru_step(c, direction, &inputs, &state)?,
                Cell::Lstm => self.lstm_step(c, direction, &inputs, &state)?,
            };
            computed[0].extend(state.hidden.clone());
            computed[1].extend(state.cell.clone());
            for (row, &entry) in active.iter().enumerate() {
                places[time(entry) * batch + entry] = done + row;
                ends[entry] = done + row;
            }
            done += active.len();
        }
        let mut last = Vec::with_capacity(2);
        let mut states = Vec::with_capacity(2);
        for list in computed.into_iter().filter(|list| !list.is_empty()) {
            let all = self.joined(c, &list, 0)?;
            last.push(self.gathered(c, &all, 0, &ends)?);
            states.push(all);
        }
        let mut all = states.swap_remove(0);
        if total < length * batch {
            let zeros = self.number_like(&all, 0.0);
            let zeros = self.expanded(c, &zeros, &[1, hidden])?;
            all = self.joined(c, &[all, zeros], 0)?;
        }
        let all = self.gathered(c, &all, 0, &places)?;
        Ok((self.reshaped(c, &all, &[length, batch, hidden])?, last))
    }

    /// Some of the gates, by their indices.
    fn gates(&mut self, c: &Context<'_>, x: &Known, hidden: usize, gates: std::ops::Range<usize>) -> Result<Known, ImportError> {
        let rows = self.row_sizes(x).0;
        self.sliced(c, x, &[0, gates.start * hidden], &[rows, gates.len() * hidden], &[1, 1])
    }

    /// The state's share of a part.
    fn of_state(&mut self, c: &Context<'_>, state: &Known, part: &Part) -> Result<Known, ImportError> {
        let rows = self.row_sizes(state).0;
        self.dense(c, state, part.weights.clone(), part.bias.clone(), &[rows, part.bias.len()])
    }

    /// What a part's gates sum up of input and state.
    fn sums(&mut self, c: &Context<'_>, part: &Part, input: &Known, state: Option<&Known>) -> Result<Known, ImportError> {
        let of_state = state.map(|state| self.of_state(c, state, part)).transpose()?;
        self.plus_some(c, input, of_state.as_ref())
    }

    /// `x + y`, where there is a y.
    fn plus_some(&mut self, c: &Context<'_>, x: &Known, y: Option<&Known>) -> Result<Known, ImportError> {
        y.map_or_else(|| Ok(x.clone()), |y| self.plus(c, x, y))
    }

    /// A function of the layer, by its index.
    fn apply(&mut self, c: &Context<'_>, direction: &Direction, function: usize, x: &Known) -> Result<Known, ImportError> {
        let function = &direction.functions[function];
        match (function.name, &function.parameters[..]) {
            ("Relu", _) => self.relu(c, x),
            ("Affine", &[scale, shift]) => self.sum(c, &[(x, scale)], shift),
            _ => self.each(c, FloatOp::Map(vec![function.clone()]), &[x]),
        }
    }

    /// A function of what a gate sums up, clipped first where the layer clips.
    fn activate(&mut self, c: &Context<'_>, direction: &Direction, function: usize, x: &Known) -> Result<Known, ImportError> {
        match direction.clip {
            Some(clip) => {
                let clipped = self.each(c, FloatOp::Clip { min: -clip, max: clip }, &[x])?;
                self.apply(c, direction, function, &clipped)
            }
            None => self.apply(c, direction, function, x),
        }
    }

    fn rnn_step(&mut self, c: &Context<'_>, d: &Direction, inputs: &[Known], state: &State) -> Result<State, ImportError> {
        let sum = self.sums(c, &d.parts[0], &inputs[0], state.hidden.as_ref())?;
        Ok(State { hidden: Some(self.activate(c, d, 0, &sum)?), cell: None })
    }

    /// Gates z, r and h: `(1 − z)·h + z·H = h + z·(H − h)`.
    fn gru_step(&mut self, c: &Context<'_>, d: &Direction, inputs: &[Known], state: &State) -> Result<State, ImportError> {
        let n = d.hidden;
        let sum = self.sums(c, &d.parts[0], &inputs[0], state.hidden.as_ref())?;
        let gates = self.activate(c, d, 0, &sum)?;
        let (update, reset) = (self.gates(c, &gates, n, 0..1)?, self.gates(c, &gates, n, 1..2)?);
        let part = &d.parts[1];
        let through = match &state.hidden {
            // With `linear_before_reset` the gate r multiplies the state's product, else the state.
            Some(hidden) if d.variant => {
                let product = self.of_state(c, hidden, part)?;
                Some(self.product(c, &reset, &product)?)
            }
            Some(hidden) => {
                let kept = self.product(c, &reset, hidden)?;
                Some(self.of_state(c, &kept, part)?)
            }
            None if part.bias.iter().any(|&b| b != 0.0) => Some(self.weighted_along(c, 1, &[(&reset, part.bias.clone())], vec![0.0])?),
            None => None,
        };
        let sum = self.plus_some(c, &inputs[1], through.as_ref())?;
        let fresh = self.activate(c, d, 1, &sum)?;
        let change = match &state.hidden {
            Some(hidden) => self.minus(c, hidden, &fresh)?,
            None => self.negated(c, &fresh)?,
        };
        let change = self.product(c, &update, &change)?;
        Ok(State { hidden: Some(self.plus(c, &fresh, &change)?), cell: None })
    }

    /// Gates i, o, f and c.
    fn lstm_step(&mut self, c: &Context<'_>, d: &Direction, inputs: &[Known], state: &State) -> Result<State, ImportError> {
        let n = d.hidden;
        let gate = |i: &mut Self, part: usize| i.sums(c, &d.parts[part], &inputs[part], state.hidden.as_ref());
        // A gate with the part of the cell in it: 0, 1 and 2 are i, o and f.
        let peep = |i: &mut Self, part: usize, cell: Option<&Known>| {
            let sum = gate(i, part)?;
            let (Some(cell), Some(weights)) = (cell, &d.peepholes) else {
                return Ok(sum);
            };
            i.weighted_along(c, 1, &[(&sum, vec![1.0]), (cell, weights[part * n..(part + 1) * n].to_vec())], vec![0.0])
        };
        let (entry, out, forget) = if d.peepholes.is_none() {
            // One function of three gates.
            let sums = gate(self, 0)?;
            let gates = self.activate(c, d, 0, &sums)?;
            (self.gates(c, &gates, n, 0..1)?, Some(self.gates(c, &gates, n, 1..2)?), self.gates(c, &gates, n, 2..3)?)
        } else {
            let [entry, forget] = [peep(self, 0, state.cell.as_ref())?, peep(self, 2, state.cell.as_ref())?];
            (self.activate(c, d, 0, &entry)?, None, self.activate(c, d, 0, &forget)?)
        };
        let candidate = gate(self, d.parts.len() - 1)?;
        let candidate = self.activate(c, d, 1, &candidate)?;
        let fresh = self.product(c, &entry, &candidate)?;
        let kept = match &state.cell {
            Some(cell) => {
                let forget = if d.variant { self.sum(c, &[(&entry, -1.0)], 1.0)? } else { forget };
                Some(self.product(c, &forget, cell)?)
            }
            None => None,
        };
        let cell = self.plus_some(c, &fresh, kept.as_ref())?;
        let out = match out {
            Some(out) => out,
            None => {
                let out = peep(self, 1, Some(&cell))?;
                self.activate(c, d, 0, &out)?
            }
        };
        // The clip is of what gates sum up; runtimes take the cell as it is.
        let shown = self.apply(c, d, 2, &cell)?;
        Ok(State { hidden: Some(self.product(c, &out, &shown)?), cell: Some(cell) })
    }
}
