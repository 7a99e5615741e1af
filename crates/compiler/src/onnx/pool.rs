//! Pools, and what undoes them.

use super::attributes::Attributes;
use super::build::{each_index, steps};
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::window::{Axis, check_work, windows};
use super::{ImportError, Importer, Known};
use crate::float::FloatOp;
use zkslice_graph::limits;

pub(super) const OPERATORS: &[Operator] = &[
    operator("AveragePool", "one to three window axes; any padding, `ceil_mode`, dilations", |i, c, a| i.pool(c, a)),
    operator("GlobalAveragePool", "any number of window axes", |i, c, a| i.global_pool(c, a).map(one)),
    operator("GlobalLpPool", "any number of window axes", |i, c, a| i.global_pool(c, a).map(one)),
    operator("GlobalMaxPool", "any number of window axes", |i, c, a| i.global_pool(c, a).map(one)),
    operator("LpPool", "one to three window axes; any padding, `ceil_mode`, dilations", |i, c, a| i.pool(c, a)),
    operator("MaxPool", "one to three window axes; any padding, `ceil_mode`, dilations, indices", |i, c, a| i.pool(c, a)),
    operator("MaxUnpool", "constant indices", |i, c, a| i.max_unpool(c, a).map(one)),
];

impl Importer<'_> {
    fn pool(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(1, 1)?;
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        let (n, channels, sizes) = self.space(c, &shape, 3)?;
        let (max, average) = (c.operator == "MaxPool", c.operator == "AveragePool");
        let since = |max_pool, average_pool, lp_pool| {
            if max {
                max_pool
            } else if average {
                average_pool
            } else {
                lp_pool
            }
        };
        a.exists("ceil_mode", since(10, 10, 18)..=i64::MAX)?;
        a.exists("dilations", since(10, 19, 18)..=i64::MAX)?;
        a.exists("storage_order", 8..=i64::MAX)?;
        let kernel = a.sizes("kernel_shape", sizes.len(), 1)?.ok_or_else(|| a.wrong("kernel_shape", "is missing"))?;
        let ceil = a.flag("ceil_mode", false)?;
        let by_column = max && a.flag("storage_order", false)?;
        let include = average && a.flag("count_include_pad", false)?;
        let power = if max || average { 1 } else { a.int("p")?.unwrap_or(2) };
        let axes = windows(c, a, sizes, &kernel, ceil)?;
        check_work(c, n.saturating_mul(channels), &axes)?;
        for axis in &axes {
            if axis.pads.iter().any(|&pad| pad >= axis.kernel) && axis.pads != [0, 0] {
                return Err(
                    c.wrong(format!("its padding {:?} is not smaller than its kernel {}, which runtimes refuse", axis.pads, axis.kernel))
                );
            }
            if (0..axis.output).any(|position| axis.taps(position) == 0) {
                return Err(c.wrong("its window lies wholly in the padding"));
            }
        }
        let output: Vec<usize> = [n, channels].into_iter().chain(axes.iter().map(|axis| axis.output)).collect();
        let (depth, plane) = axes.split_at(axes.len().saturating_sub(2));
        // A third axis is pooled after the other two, which makes the same windows.
        let whole = Axis::whole(plane.iter().map(|axis| axis.output).product());
        let along_depth: Option<[Axis; 2]> = depth.first().map(|depth| [depth.clone(), whole]);
        let planes = n * channels * depth.first().map_or(1, |depth| depth.size);
        if max {
            let mut pooled = self.slide(c, x, planes, plane, |window| FloatOp::MaxPool { window }, planes)?;
            if let Some(axes) = &along_depth {
                pooled = self.slide(c, &pooled, n * channels, axes, |window| FloatOp::MaxPool { window }, n * channels)?;
            }
            let mut results = vec![self.reshaped(c, &pooled, &output)?];
            if c.is_read(1) {
                results.push(self.largest_at(c, x, &axes, &output, by_column)?);
            }
            return Ok(results);
        }
        let mut counts = vec![1_u32];
        if average {
            counts = axes.iter().fold(vec![1], |counts, axis| {
                let along = |position| if include { axis.padded_taps(position) } else { axis.taps(position) } as u32;
                let along: Vec<u32> = (0..axis.output).map(along).collect();
                counts.iter().flat_map(|&count| along.iter().map(move |&more| count * more)).collect()
            });
            counts = if counts.iter().all(|&count| count == counts[0]) { vec![counts[0]] } else { counts };
        }
        let terms = if average { x.clone() } else { self.magnitudes_to(c, x, power)? };
        let first = if along_depth.is_some() { vec![1] } else { counts.clone() };
        let mut pooled = self.slide(c, &terms, planes, plane, |window| FloatOp::AveragePool { window, counts: first }, planes)?;
        if let Some(axes) = &along_depth {
            pooled = self.slide(c, &pooled, n * channels, axes, |window| FloatOp::AveragePool { window, counts }, n * channels)?;
        }
        let pooled = self.reshaped(c, &pooled, &output)?;
        Ok(one(if average { pooled } else { self.root(c, &pooled, power)? }))
    }

    /// `|x|^p`.
    fn magnitudes_to(&mut self, c: &Context<'_>, x: &Known, p: i64) -> Result<Known, ImportError> {
        match p {
            1 => self.magnitude(c, x),
            2 => self.each(c, FloatOp::Product, &[x, x]),
            3.. => self.map(c, x, "Magnitude power", vec![p as f64], |x, p| libm::pow(libm::fabs(x), p[0])),
            _ => Err(c.wrong(format!("its p is {p}; from 1 on it is a norm"))),
        }
    }

    /// The root of a sum of such powers.
    fn root(&mut self, c: &Context<'_>, x: &Known, p: i64) -> Result<Known, ImportError> {
        match p {
            1 => Ok(x.clone()),
            2 => self.each(c, FloatOp::Sqrt, &[x]),
            _ => self.map(c, x, "Root", vec![p as f64], |x, p| libm::pow(x.max(0.0), 1.0 / p[0])),
        }
    }

    /// Where in the input the largest element of each window stands, the first of several.
    fn largest_at(&mut self, c: &Context<'_>, x: &Known, axes: &[Axis], output: &[usize], by_column: bool) -> Result<Known, ImportError> {
        let sizes: Vec<usize> = axes.iter().map(|axis| axis.size).collect();
        let kernel: Vec<usize> = axes.iter().map(|axis| axis.kernel).collect();
        let (plane, taps): (usize, usize) = (sizes.iter().product(), kernel.iter().product());
        let count: usize = output.iter().product();
        c.checked(&[count, taps], "windows")?;
        let row_steps = steps(&sizes);
        let turned: Vec<usize> = steps(&sizes.iter().rev().copied().collect::<Vec<_>>()).into_iter().rev().collect();
        let named_steps = if by_column { &turned } else { &row_steps };
        // By tap what each window reads, and what that is called; where a tap is padding the window's first one again.
        let (mut sources, mut names) = (vec![Vec::with_capacity(count); taps], vec![Vec::with_capacity(count); taps]);
        each_index(output, |at| {
            let start = (at[0] * output[1] + at[1]) * plane;
            let mut found = Vec::with_capacity(taps);
            each_index(&kernel, |tap| {
                let place: Option<Vec<usize>> = (0..axes.len()).map(|i| axes[i].source(at[i + 2], tap[i])).collect();
                found.extend(place.map(|place| {
                    let along = |steps: &[usize]| start + place.iter().zip(steps).map(|(i, step)| i * step).sum::<usize>();
                    (along(&row_steps), along(named_steps) as i64)
                }));
                Ok(())
            })?;
            for tap in 0..taps {
                let (source, name) = found.get(tap).copied().unwrap_or(found[0]);
                sources[tap].push(source);
                names[tap].push(name);
            }
            Ok(())
        })?;
        let mut most: Option<(Known, Known)> = None;
        for (sources, names) in sources.into_iter().zip(names) {
            let tap = self.moved(c, &[x], &sources, &[count])?;
            let name = Known::Constant(Constant::ints(vec![count], names));
            most = Some(match most {
                None => (tap, name),
                Some((largest, at)) => {
                    let stays = self.at_least(c, &largest, &tap)?;
                    let moves = self.not(c, &stays)?;
                    let apart = self.minus(c, &name, &at)?;
                    let by = self.product(c, &moves, &apart)?;
                    (self.maximum(c, &largest, &tap)?, self.plus(c, &at, &by)?)
                }
            });
        }
        let (_, at) = most.ok_or_else(|| c.wrong("its kernel has no element"))?;
        self.reshaped(c, &at, output)
    }

    fn global_pool(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let power = if c.operator == "GlobalLpPool" { Some(a.int("p")?.unwrap_or(2)) } else { None };
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        let (n, channels, sizes) = self.space(c, &shape, limits::MAX_RANK)?;
        let (first, last) = sizes.split_at(sizes.len() - 1);
        let axes: Vec<Axis> = [first, last]
            .iter()
            .filter(|axes| !axes.is_empty())
            .map(|axes| axes.iter().product())
            .map(|size| Axis { size, kernel: size, ..Axis::whole(1) })
            .collect();
        let mut output = vec![1; shape.len()];
        (output[0], output[1]) = (n, channels);
        let count = c.checked(sizes, "kernel")?;
        let op = |window| match c.operator {
            "GlobalMaxPool" => FloatOp::MaxPool { window },
            "GlobalAveragePool" => FloatOp::AveragePool { window, counts: vec![count as u32] },
            _ => FloatOp::AveragePool { window, counts: vec![1] },
        };
        let terms = power.map_or_else(|| Ok(x.clone()), |power| self.magnitudes_to(c, x, power))?;
        let pooled = self.slide(c, &terms, n * channels, &axes, op, n * channels)?;
        let pooled = self.reshaped(c, &pooled, &output)?;
        power.map_or_else(|| Ok(pooled.clone()), |power| self.root(c, &pooled, power))
    }

    fn max_unpool(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 3)?;
        let data = c.known(0)?;
        let from = self.shape(data).to_vec();
        let (n, channels, sizes) = self.space(c, &from, limits::MAX_RANK)?;
        let count = sizes.len();
        let indices = c.constant(1)?;
        if indices.shape != from {
            return Err(c.wrong(format!("its indices of shape {:?} do not fit an input of shape {from:?}", indices.shape)));
        }
        let kernel = a.sizes("kernel_shape", count, 1)?.ok_or_else(|| a.wrong("kernel_shape", "is missing"))?;
        let strides = a.sizes("strides", count, 1)?.unwrap_or_else(|| vec![1; count]);
        let pads = a.sizes("pads", 2 * count, 0)?.unwrap_or_else(|| vec![0; 2 * count]);
        let mut shape = vec![n, channels];
        for i in 0..count {
            let size = ((sizes[i] - 1) * strides[i] + kernel[i]).checked_sub(pads[i] + pads[i + count]);
            shape.push(size.ok_or_else(|| c.wrong("its pads leave no output"))?);
        }
        let length = c.checked(&shape, "output")?;
        let elements: usize = from.iter().product();
        let mut sources = vec![elements; length];
        for (element, &index) in c.ints(indices)?.iter().enumerate() {
            sources[c.index(index, length)?] = element;
        }
        if let Some(stated) = c.optional_constant(2)? {
            let stated = c.sizes(c.ints(stated)?)?;
            if stated.len() != shape.len() || stated.iter().zip(&shape).any(|(large, small)| large < small) {
                return Err(c.wrong(format!("its output_shape {stated:?} is smaller than {shape:?}, which its attributes give")));
            }
            // The indices count in the smaller output.
            let steps = steps(&shape);
            let mut larger = Vec::with_capacity(c.elements(&stated)?);
            each_index(&stated, |at| {
                let within = at.iter().zip(&shape).all(|(i, size)| i < size);
                larger.push(if within { sources[at.iter().zip(&steps).map(|(i, step)| i * step).sum::<usize>()] } else { elements });
                Ok(())
            })?;
            (sources, shape) = (larger, stated);
        }
        let zero = self.number_like(data, 0.0);
        self.moved(c, &[data, &zero], &sources, &shape)
    }
}
