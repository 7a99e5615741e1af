//! If, Loop and Scan, whose course is constant, and their subgraphs.

use std::collections::HashSet;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, operator};
use super::types::{element_type, tensor_type};
use super::{ImportError, Importer, Known, Named, mask};

pub(super) const OPERATORS: &[Operator] = &[
    operator("If", "a constant condition", |i, c, a| i.branch(c, a)),
    operator("Loop", "a constant number of iterations", |i, c, a| i.unroll(c, a)),
    operator("Scan", "any number of states and of inputs to scan; from operator set 9 on", |i, c, a| i.scan(c, a)),
];

impl Importer<'_> {
    /// The branch that a constant condition decides for.
    fn branch(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(1, 1)?;
        let &[condition] = c.ints(c.constant(0)?)? else {
            return Err(c.wrong("its condition is not one truth value"));
        };
        let (then, otherwise) = (a.graph("then_branch")?, a.graph("else_branch")?);
        let chosen = if condition == 0 { otherwise } else { then };
        let graph = chosen.ok_or_else(|| c.wrong("its branch is missing"))?;
        self.subgraph(c, graph, Vec::new(), &[])
    }

    /// The body once for each iteration.
    fn unroll(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(0, usize::MAX)?;
        let body = a.graph("body")?.ok_or_else(|| a.wrong("body", "is missing"))?;
        let first = |constant: &Constant| c.ints(constant).map(|list| list.first().copied());
        let most = c.optional_constant(0)?.map(first).transpose()?.flatten().unwrap_or(i64::MAX);
        for (input, output) in body.input.iter().skip(2).zip(body.output.iter().skip(1)) {
            self.same_type(c, &output.name, element_type(input), element_type(output))?;
        }
        // An iteration's number, whether the loop goes on, and what is carried.
        let types = [&[Some(DataType::Int64), Some(DataType::Bool)], c.types.get(2..).unwrap_or_default()].concat();
        let mut goes_on = c.optional_constant(1)?.map(first).transpose()?.flatten() != Some(0);
        let mut carried = (2..c.inputs.len()).map(|index| c.known(index).cloned()).collect::<Result<Vec<_>, _>>()?;
        let scans = (body.output.len().checked_sub(1 + carried.len())).ok_or_else(|| c.wrong("its body has too few outputs"))?;
        let mut collected: Vec<Vec<Known>> = vec![Vec::new(); scans];
        let mut iteration = 0;
        while goes_on && iteration < most {
            self.count_import()?;
            let mut given =
                vec![Known::Constant(Constant::ints(vec![], vec![iteration])), Known::Constant(Constant::ints(vec![], vec![1]))];
            given.append(&mut carried);
            let mut results = self.subgraph(c, body, given, &types)?.into_iter();
            goes_on = match results.next() {
                Some(Known::Constant(constant)) => c.ints(&constant)?.first().is_some_and(|&x| x != 0),
                _ => return Err(c.wrong("its number of iterations depends on the input, which is not supported")),
            };
            carried.extend(results.by_ref().take(c.inputs.len().saturating_sub(2)));
            for (list, known) in collected.iter_mut().zip(results) {
                let shape = [&[1], self.shape(&known)].concat();
                list.push(self.reshaped(c, &known, &shape)?);
            }
            iteration += 1;
        }
        for list in collected {
            carried.push(match list[..] {
                [] => Known::Constant(Constant::floats(vec![0], Vec::new())),
                _ => self.joined(c, &list, 0)?,
            });
        }
        Ok(carried)
    }

    /// The body once for each slice of what is scanned.
    fn scan(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.since(9)?;
        let body = a.graph("body")?.ok_or_else(|| a.wrong("body", "is missing"))?;
        let scanned = a.int("num_scan_inputs")?.unwrap_or(0);
        let states = usize::try_from(scanned).ok().filter(|&n| n > 0).and_then(|n| c.inputs.len().checked_sub(n));
        let states = states.ok_or_else(|| a.wrong("num_scan_inputs", format!("is {scanned} of {} inputs", c.inputs.len())))?;
        let kept = body.output.len().checked_sub(states).ok_or_else(|| c.wrong("its body has too few outputs"))?;
        let mut list = |name: &str, count: usize| match a.ints(name)? {
            None => Ok(vec![0; count]),
            Some(list) if list.len() == count => Ok(list.to_vec()),
            Some(list) => Err(a.wrong(name, format!("has {} numbers where {count} are needed", list.len()))),
        };
        for (input, output) in body.input.iter().zip(&body.output).take(states) {
            self.same_type(c, &output.name, element_type(input), element_type(output))?;
        }
        let inputs = c.inputs.len() - states;
        let (axes, directions) = (list("scan_input_axes", inputs)?, list("scan_input_directions", inputs)?);
        let (output_axes, output_directions) = (list("scan_output_axes", kept)?, list("scan_output_directions", kept)?);
        let mut carried = (0..states).map(|index| c.known(index).cloned()).collect::<Result<Vec<_>, _>>()?;
        let mut sources = Vec::with_capacity(inputs);
        for (index, axis) in axes.into_iter().enumerate() {
            let known = c.known(states + index)?;
            let axis = c.axis(axis, self.shape(known).len())?;
            sources.push((known, axis, self.shape(known)[axis]));
        }
        let length = sources[0].2;
        if sources.iter().any(|source| source.2 != length) {
            return Err(c.wrong("the inputs that it scans differ in length"));
        }
        let mut collected: Vec<Vec<Known>> = vec![Vec::new(); kept];
        for iteration in 0..length {
            self.count_import()?;
            let mut given = std::mem::take(&mut carried);
            for (&(known, axis, _), &direction) in sources.iter().zip(&directions) {
                let index = if direction == 0 { iteration } else { length - 1 - iteration };
                let part = self.gathered(c, known, axis, &[index])?;
                let mut shape = self.shape(&part).to_vec();
                shape.remove(axis);
                given.push(self.reshaped(c, &part, &shape)?);
            }
            let mut results = self.subgraph(c, body, given, &c.types)?.into_iter();
            carried.extend(results.by_ref().take(states));
            for (list, known) in collected.iter_mut().zip(results) {
                list.push(known);
            }
        }
        for ((mut list, axis), direction) in collected.into_iter().zip(output_axes).zip(output_directions) {
            let Some(first) = list.first() else { return Err(c.wrong("it scans nothing")) };
            let axis = c.axis(axis, self.shape(first).len() + 1)?;
            for known in &mut list {
                let mut shape = self.shape(known).to_vec();
                shape.insert(axis, 1);
                *known = self.reshaped(c, known, &shape)?;
            }
            if direction != 0 {
                list.reverse();
            }
            carried.push(self.joined(c, &list, axis)?);
        }
        Ok(carried)
    }

    /// Refuses two types for one value of a subgraph.
    fn same_type(&self, c: &Context<'_>, name: &str, one: Option<DataType>, other: Option<DataType>) -> Result<(), ImportError> {
        match (one, other) {
            (Some(one), Some(other)) if one != other => {
                Err(c.wrong(format!("its subgraph's `{name}` is of type {} and of type {}", one.as_str_name(), other.as_str_name())))
            }
            _ => Ok(()),
        }
    }

    /// Imports a subgraph whose inputs stand for `given`, of these types; gives what its outputs stand for, and leaves their types in
    /// `returned`. Its names end with it.
    fn subgraph(
        &mut self,
        c: &Context<'_>,
        graph: &pb::GraphProto,
        given: Vec<Known>,
        types: &[Option<DataType>],
    ) -> Result<Vec<Known>, ImportError> {
        if graph.input.len() != given.len() || !graph.sparse_initializer.is_empty() {
            return Err(c.wrong(format!(
                "its subgraph has {} inputs where {} are given, or sparse initialisers",
                graph.input.len(),
                given.len()
            )));
        }
        // Types that are stated are those that come in and go out: else integers would wrap where no runtime lets them.
        for (index, input) in graph.input.iter().enumerate() {
            self.same_type(c, &input.name, types[index], element_type(input))?;
        }
        let inner: HashSet<&String> = (graph.input.iter().map(|input| &input.name))
            .chain(graph.initializer.iter().map(|tensor| &tensor.name))
            .chain(graph.node.iter().flat_map(|node| &node.output))
            .collect();
        let hidden: Vec<(&String, Named)> = inner.iter().filter_map(|&name| Some((name, self.names.remove(name)?))).collect();
        for tensor in &graph.initializer {
            let constant = Constant::decode(&tensor.name, tensor, self.folder)?;
            self.count_read(constant.len())?;
            let named = Named { known: Known::Constant(constant), of: tensor_type(tensor.data_type) };
            self.names.insert(tensor.name.clone(), named);
        }
        for ((input, known), &of) in graph.input.iter().zip(given).zip(types) {
            self.names.insert(input.name.clone(), Named { known, of: element_type(input).or(of) });
        }
        // A subgraph may use the names of the model's scores for something else, and has scores of its own.
        let scores = std::mem::replace(&mut self.scores, mask::scores(graph));
        self.nodes(&graph.node, &graph.output.iter().map(|output| output.name.as_str()).collect(), false)?;
        self.scores = scores;
        let mut results = Vec::with_capacity(graph.output.len());
        let mut returned = Vec::with_capacity(graph.output.len());
        for output in &graph.output {
            let made = self.named(&output.name)?;
            let made = made.ok_or_else(|| c.wrong(format!("its subgraph's output `{}` is made by no node", output.name)))?;
            self.same_type(c, &output.name, made.of, element_type(output))?;
            results.push(made.known);
            returned.push(made.of);
        }
        self.returned = returned;
        self.names.retain(|name, _| !inner.contains(name));
        self.names.extend(hidden.into_iter().map(|(name, named)| (name.clone(), named)));
        Ok(results)
    }
}
