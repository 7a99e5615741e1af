//! Convolutions.

use super::attributes::Attributes;
use super::build::{each_index, steps};
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::window::{Axis, check_work, windows};
use super::{ImportError, Importer, Known};
use crate::float::FloatOp;

pub(super) const OPERATORS: &[Operator] = &[
    operator("Conv", "one to three window axes; groups, strides, dilations, any padding", |i, c, a| i.conv(c, a).map(one)),
    operator("ConvTranspose", "one to three window axes, constant weights; all attributes", |i, c, a| i.conv_transpose(c, a).map(one)),
];

impl Importer<'_> {
    /// A convolution with constant weights `[out, in / groups, kernel..]`.
    fn convolve(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        axes: &[Axis],
        groups: usize,
        mut weights: Vec<f64>,
        bias: &[f64],
    ) -> Result<Known, ImportError> {
        let (n, channels, out) = (self.shape(x)[0], self.shape(x)[1], bias.len());
        let shape: Vec<usize> = [n, out].into_iter().chain(axes.iter().map(|axis| axis.output)).collect();
        let (depth, plane) = axes.split_at(axes.len().saturating_sub(2));
        let whole = Axis::whole(1);
        let depth = depth.first().unwrap_or(&whole);
        let taps: usize = plane.iter().map(|axis| axis.kernel).product();
        let per_group = channels / groups;
        c.checked(&[n, out, depth.output, per_group, depth.size, taps], "weights, for each image and plane of the output")?;
        if depth.size > 1 || depth.output > 1 || depth.kernel > 1 {
            // Each plane becomes a channel, which reads the planes that its windows reach.
            let mut by_plane = Vec::with_capacity(out * depth.output * per_group * depth.size * taps);
            for filter in weights.chunks_exact(per_group * depth.kernel * taps) {
                for position in 0..depth.output {
                    for kernel in filter.chunks_exact(depth.kernel * taps) {
                        let start = by_plane.len();
                        by_plane.resize(start + depth.size * taps, 0.0);
                        for (tap, weights) in kernel.chunks_exact(taps).enumerate() {
                            if let Some(source) = depth.source(position, tap) {
                                by_plane[start + source * taps..][..taps].copy_from_slice(weights);
                            }
                        }
                    }
                }
            }
            weights = by_plane;
        }
        let bias: Vec<f64> = bias.iter().flat_map(|&b| std::iter::repeat_n(b, depth.output)).collect();
        let (weights, bias, groups) = (weights.repeat(n), bias.repeat(n), groups * n);
        let out = bias.len();
        let op = |window| FloatOp::Conv { window, groups, weights, bias };
        let output = self.slide(c, x, n * channels * depth.size, plane, op, out)?;
        self.reshaped(c, &output, &shape)
    }

    fn conv(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 3)?;
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        let (_, channels, sizes) = self.space(c, &shape, 3)?;
        let weights = c.known(1)?;
        let of = self.shape(weights).to_vec();
        if of.len() != shape.len() || of.contains(&0) {
            return Err(c.wrong(format!("its weights of shape {of:?} do not fit an input of {} axes", shape.len())));
        }
        let groups = groups(a)?;
        let out = of[0];
        if !channels.is_multiple_of(groups) || of[1] != channels / groups || !out.is_multiple_of(groups) {
            return Err(c.wrong(format!("its weights of shape {of:?} do not fit {channels} channels in {groups} groups")));
        }
        let kernel = &of[2..];
        check_kernel(a, kernel)?;
        let axes = windows(c, a, sizes, kernel, false)?;
        check_work(c, out, &axes)?;
        let bias = self.constant_bias(c, out)?;
        let output = match weights {
            Known::Constant(weights) => self.convolve(c, x, &axes, groups, c.floats(weights)?.to_vec(), &bias)?,
            Known::Value(_) => self.convolve_computed(c, x, &axes, groups, weights, bias)?,
        };
        self.with_computed_bias(c, output)
    }

    /// The bias by output channel as far as it is constant, zeros where it is computed or missing.
    fn constant_bias(&self, c: &Context<'_>, out: usize) -> Result<Vec<f64>, ImportError> {
        match c.optional(2) {
            Some(bias) if self.shape(bias) != [out] => {
                Err(c.wrong(format!("its bias of shape {:?} does not fit {out} output channels", self.shape(bias))))
            }
            Some(Known::Constant(bias)) => Ok(c.floats(bias)?.to_vec()),
            _ => Ok(vec![0.0; out]),
        }
    }

    /// Adds a bias that depends on the input.
    fn with_computed_bias(&mut self, c: &Context<'_>, output: Known) -> Result<Known, ImportError> {
        let Some(bias @ Known::Value(_)) = c.optional(2) else {
            return Ok(output);
        };
        let mut along = vec![1; self.shape(&output).len()];
        along[1] = self.shape(&output)[1];
        let bias = self.reshaped(c, bias, &along)?;
        self.plus(c, &output, &bias)
    }

    /// A convolution whose weights depend on the input: a product of matrices, one of which has a column per window.
    fn convolve_computed(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        axes: &[Axis],
        groups: usize,
        weights: &Known,
        bias: Vec<f64>,
    ) -> Result<Known, ImportError> {
        let (n, channels, out) = (self.shape(x)[0], self.shape(x)[1], bias.len());
        let kernel: Vec<usize> = axes.iter().map(|axis| axis.kernel).collect();
        let outputs: Vec<usize> = axes.iter().map(|axis| axis.output).collect();
        let (taps, places): (usize, usize) = (kernel.iter().product(), outputs.iter().product());
        let sizes: Vec<usize> = axes.iter().map(|axis| axis.size).collect();
        let plane: usize = sizes.iter().product();
        let count = c.checked(&[n, channels, taps, places], "windows")?;
        let steps = steps(&sizes);
        let mut sources = Vec::with_capacity(count);
        let whole: Vec<usize> = [n * channels].into_iter().chain(kernel).chain(outputs.iter().copied()).collect();
        each_index(&whole, |at| {
            let (tap, place) = at[1..].split_at(axes.len());
            let element =
                (0..axes.len()).try_fold(at[0] * plane, |element, i| Some(element + axes[i].source(place[i], tap[i])? * steps[i]));
            sources.push(element.unwrap_or(n * channels * plane));
            Ok(())
        })?;
        let k = channels / groups * taps;
        let zero = self.number_like(x, 0.0);
        let columns = self.moved(c, &[x, &zero], &sources, &[n * groups, k, places])?;
        let weights = self.reshaped(c, weights, &[1, groups, out / groups, k])?;
        let weights = self.expanded(c, &weights, &[n, groups, out / groups, k])?;
        let op = FloatOp::MatMul { batch: n * groups, m: out / groups, k, n: places };
        let output = self.push(c, op, &[&weights, &columns], &[&[n, out], outputs.as_slice()].concat())?;
        if bias.iter().all(|&b| b == 0.0) {
            return Ok(output);
        }
        self.weighted_along(c, 1, &[(&output, vec![1.0])], bias)
    }

    /// A convolution of the input, with zeros between its elements, by the kernel turned round.
    fn conv_transpose(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 3)?;
        let mut x = c.known(0)?.clone();
        let shape = self.shape(&x).to_vec();
        let (_, channels, sizes) = self.space(c, &shape, 3)?;
        let count = sizes.len();
        let weights = c.constant(1)?;
        let (of, list) = (&weights.shape, c.floats(weights)?);
        let groups = groups(a)?;
        if of.len() != shape.len() || list.is_empty() || of[0] != channels || !channels.is_multiple_of(groups) {
            return Err(c.wrong(format!("its weights of shape {of:?} do not fit {channels} channels in {groups} groups")));
        }
        let kernel = &of[2..];
        check_kernel(a, kernel)?;
        let out = c.checked(&[of[1], groups], "channels")?;
        let strides = a.sizes("strides", count, 1)?.unwrap_or_else(|| vec![1; count]);
        let dilations = a.sizes("dilations", count, 1)?.unwrap_or_else(|| vec![1; count]);
        let extra = a.sizes("output_padding", count, 0)?.unwrap_or_else(|| vec![0; count]);
        let pads = a.sizes("pads", 2 * count, 0)?;
        let stated = a.sizes("output_shape", count, 1)?;
        let auto = a.string("auto_pad")?.unwrap_or_else(|| "NOTSET".into());
        if !matches!(auto.as_str(), "NOTSET" | "VALID" | "SAME_UPPER" | "SAME_LOWER") {
            return Err(a.wrong("auto_pad", format!("is `{auto}`, which does not exist")));
        }
        let mut axes = Vec::with_capacity(count);
        for i in 0..count {
            let size = sizes[i];
            let mut axis = Axis { size: (size - 1) * strides[i] + 1, kernel: kernel[i], dilation: dilations[i], ..Axis::whole(1) };
            let full = axis.size + extra[i] + axis.extent() - 1;
            let wanted = match (&stated, auto.starts_with("SAME")) {
                (Some(stated), _) => Some(stated[i]),
                (None, true) => Some(size * strides[i]),
                (None, false) => None,
            };
            let begin = match wanted {
                Some(wanted) => {
                    axis.output = wanted;
                    if full < wanted && stated.is_none() {
                        let reason =
                            format!("gives {wanted} outputs where {full} are made, which runtimes read differently; give pads instead");
                        return Err(a.wrong("auto_pad", reason));
                    }
                    // Where fewer are made than stated, the last ones are zeros.
                    let total = full.saturating_sub(wanted);
                    if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 }
                }
                None => {
                    let [begin, end] = pads.as_ref().map_or([0, 0], |pads| [pads[i], pads[i + count]]);
                    axis.output = full.checked_sub(begin + end).filter(|&n| n > 0).ok_or_else(|| c.wrong("its pads leave no output"))?;
                    begin
                }
            };
            // Zeros between the elements, of which the first are cut off where the padding is beyond the kernel.
            let mut from = self.shape(&x).to_vec();
            if strides[i] > 1 && size > 1 {
                let apart = strides[i];
                from.insert(i + 3, 1);
                x = self.reshaped(c, &x, &from)?;
                from[i + 3] = apart - 1;
                let zeros = self.number_like(&x, 0.0);
                let zeros = self.expanded(c, &zeros, &from)?;
                x = self.joined(c, &[x, zeros], i + 3)?;
                from.remove(i + 3);
                from[i + 2] = size * apart;
                x = self.reshaped(c, &x, &from)?;
            }
            axis.pads[0] = (axis.extent() - 1).saturating_sub(begin);
            let cut = begin.saturating_sub(axis.extent() - 1);
            axis.size = axis.size.checked_sub(cut).filter(|&n| n > 0).ok_or_else(|| c.wrong("its pads cut the whole input off"))?;
            let mut starts = vec![0; from.len()];
            (starts[i + 2], from[i + 2]) = (cut, axis.size);
            x = self.sliced(c, &x, &starts, &from, &vec![1; from.len()])?;
            axes.push(axis);
        }
        check_work(c, out, &axes)?;
        let bias = self.constant_bias(c, out)?;
        let (per_group, per_out, taps) = (channels / groups, of[1], kernel.iter().product::<usize>());
        let mut turned = Vec::with_capacity(list.len());
        for channel in 0..out {
            for source in 0..per_group {
                let start = ((channel / per_out * per_group + source) * per_out + channel % per_out) * taps;
                turned.extend(list[start..start + taps].iter().rev());
            }
        }
        let output = self.convolve(c, &x, &axes, groups, turned, &bias)?;
        self.with_computed_bias(c, output)
    }
}

fn groups(a: &mut Attributes<'_>) -> Result<usize, ImportError> {
    match a.int("group")? {
        None => Ok(1),
        Some(n) => usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| a.wrong("group", format!("is {n}"))),
    }
}

fn check_kernel(a: &mut Attributes<'_>, kernel: &[usize]) -> Result<(), ImportError> {
    match a.sizes("kernel_shape", kernel.len(), 1)? {
        Some(stated) if stated != kernel => Err(a.wrong("kernel_shape", format!("is {stated:?}, but the weights' kernel is {kernel:?}"))),
        _ => Ok(()),
    }
}
