//! If and Loop, which constants decide, and their subgraphs.

use std::collections::HashSet;

use tract_onnx::pb;

use super::attributes::Attributes;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, operator};
use super::{ImportError, Importer, Known};

pub(super) const OPERATORS: &[Operator] = &[
    operator("If", "a constant condition", |i, c, a| i.branch(c, a)),
    operator("Loop", "a constant number of iterations", |i, c, a| i.unroll(c, a)),
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
        self.subgraph(c, graph, Vec::new())
    }

    /// The body once for each iteration.
    fn unroll(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(0, usize::MAX)?;
        let body = a.graph("body")?.ok_or_else(|| a.wrong("body", "is missing"))?;
        let first = |constant: &Constant| c.ints(constant).map(|list| list.first().copied());
        let most = c.optional_constant(0)?.map(first).transpose()?.flatten().unwrap_or(i64::MAX);
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
            let mut results = self.subgraph(c, body, given)?.into_iter();
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

    /// Imports a subgraph whose inputs stand for `given`; gives what its outputs stand for. Its names end with it.
    fn subgraph(&mut self, c: &Context<'_>, graph: &pb::GraphProto, given: Vec<Known>) -> Result<Vec<Known>, ImportError> {
        if graph.input.len() != given.len() || !graph.sparse_initializer.is_empty() {
            return Err(c.wrong(format!(
                "its subgraph has {} inputs where {} are given, or sparse initialisers",
                graph.input.len(),
                given.len()
            )));
        }
        let inner: HashSet<&String> = (graph.input.iter().map(|input| &input.name))
            .chain(graph.initializer.iter().map(|tensor| &tensor.name))
            .chain(graph.node.iter().flat_map(|node| &node.output))
            .collect();
        let hidden: Vec<(&String, Known)> = inner.iter().filter_map(|&name| Some((name, self.known.remove(name)?))).collect();
        for tensor in &graph.initializer {
            let constant = Constant::decode(&tensor.name, tensor, self.folder)?;
            self.known.insert(tensor.name.clone(), Known::Constant(constant));
        }
        self.known.extend(graph.input.iter().map(|input| input.name.clone()).zip(given));
        self.nodes(&graph.node, &graph.output.iter().map(|output| output.name.as_str()).collect(), false)?;
        let mut results = Vec::with_capacity(graph.output.len());
        for output in &graph.output {
            let made = self.known(&output.name)?;
            results.push(made.ok_or_else(|| c.wrong(format!("its subgraph's output `{}` is made by no node", output.name)))?);
        }
        self.known.retain(|name, _| !inner.contains(name));
        self.known.extend(hidden.into_iter().map(|(name, known)| (name.clone(), known)));
        Ok(results)
    }
}
