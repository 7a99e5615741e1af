//! Moves of elements, whose places are constant, and what passes its input on.

use super::attributes::Attributes;
use super::build::{each_index, steps};
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, TRAINING, one, operator};
use super::{ImportError, Importer, Known, broadcast};
use zkslice_graph::limits;

pub(super) const OPERATORS: &[Operator] = &[
    operator("CenterCropPad", "to a constant shape", |i, c, a| i.center_crop_pad(c, a).map(one)),
    operator("Col2Im", "constant shapes", |i, c, a| i.col2im(c, a).map(one)),
    operator("Compress", "a constant condition", |i, c, a| i.compress(c, a).map(one)),
    operator("Concat", "along any axis", |i, c, a| i.concat(c, a).map(one)),
    operator("DepthToSpace", "both modes", |i, c, a| i.depth_to_space(c, a).map(one)),
    operator("Dropout", "inference: it passes its input on", |i, c, a| i.dropout(c, a)),
    operator("Expand", "to a constant shape", |i, c, _| i.expand_to(c).map(one)),
    operator("Flatten", "at any axis", |i, c, a| i.reshape(c, a).map(one)),
    operator("Identity", "anything", |_, c, _| {
        c.arity(1, 1)?;
        c.known(0).cloned().map(one)
    }),
    operator("Pad", "constant pads, negative ones too; all modes", |i, c, a| i.pad(c, a).map(one)),
    operator("Reshape", "to a constant shape", |i, c, a| i.reshape(c, a).map(one)),
    operator("ReverseSequence", "constant lengths", |i, c, a| i.reverse_sequence(c, a).map(one)),
    operator("Slice", "constant bounds, of any sign", |i, c, a| i.slice(c, a).map(one)),
    operator("SpaceToDepth", "any block size", |i, c, a| i.space_to_depth(c, a).map(one)),
    operator("Split", "constant lengths, or equal parts", |i, c, a| i.split(c, a)),
    operator("Squeeze", "constant axes", |i, c, a| i.reshape(c, a).map(one)),
    operator("Tile", "constant repeats", |i, c, _| i.tile(c).map(one)),
    operator("Transpose", "any order", |i, c, a| i.transpose(c, a).map(one)),
    operator("Trilu", "a constant diagonal", |i, c, a| i.trilu(c, a).map(one)),
    operator("Unsqueeze", "constant axes", |i, c, a| i.reshape(c, a).map(one)),
];

impl Importer<'_> {
    fn reshape(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let input = c.known(0)?;
        let from = self.shape(input).to_vec();
        let shape = match c.operator {
            "Flatten" => {
                c.arity(1, 1)?;
                let axis = a.int("axis")?.unwrap_or(1);
                let axis = if axis == from.len() as i64 { from.len() } else { c.axis(axis, from.len())? };
                vec![from[..axis].iter().product(), from[axis..].iter().product()]
            }
            "Reshape" => {
                c.arity(2, 2)?;
                a.exists("allowzero", 14..=i64::MAX)?;
                let zero_is_zero = a.flag("allowzero", false)?;
                let target = c.ints(c.constant(1)?)?;
                stated_shape(&from, target, zero_is_zero).ok_or_else(|| c.wrong(format!("its shape {from:?} cannot become {target:?}")))?
            }
            _ => {
                c.arity(1, if c.opset < 13 { 1 } else { 2 })?;
                match (c.operator, c.list(a, "axes", 1, 12)?) {
                    ("Squeeze", axes) => squeezed(c, &from, axes.as_deref())?,
                    (_, Some(axes)) => unsqueezed(c, &from, &axes)?,
                    (_, None) => return Err(c.wrong("its axes are missing")),
                }
            }
        };
        self.reshaped(c, input, &shape)
    }

    fn transpose(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let input = c.known(0)?;
        let from = self.shape(input).to_vec();
        let perm = match a.sizes("perm", from.len(), 0)? {
            Some(perm) => perm,
            None => (0..from.len()).rev().collect(),
        };
        if (0..from.len()).any(|axis| !perm.contains(&axis)) {
            return Err(a.wrong("perm", format!("is {perm:?}, which is not a permutation")));
        }
        self.transposed(c, input, &perm)
    }

    fn concat(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, usize::MAX)?;
        let axis = a.int("axis")?.ok_or_else(|| a.wrong("axis", "is missing"))?;
        let parts = c.all()?.into_iter().cloned().collect::<Vec<_>>();
        let axis = c.axis(axis, self.shape(&parts[0]).len())?;
        self.joined(c, &parts, axis)
    }

    fn slice(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(if c.opset < 10 { 1 } else { 3 }, if c.opset < 10 { 1 } else { 5 })?;
        let data = c.known(0)?;
        let from = self.shape(data).to_vec();
        let [begin, end, axes, step] =
            [("starts", 1), ("ends", 2), ("axes", 3), ("steps", 4)].map(|(name, index)| c.list(a, name, index, 9));
        let missing = || c.wrong("its starts or ends are missing");
        let (begin, end) = (begin?.ok_or_else(missing)?, end?.ok_or_else(missing)?);
        let axes = match axes? {
            Some(list) => c.axes(&list, from.len())?,
            None => (0..begin.len()).collect(),
        };
        let step = step?.unwrap_or_else(|| vec![1; axes.len()]);
        if [begin.len(), end.len(), step.len()] != [axes.len(); 3] || axes.len() > from.len() {
            return Err(c.wrong("its starts, ends, axes and steps are not as many of each"));
        }
        let (mut starts, mut lengths, mut steps) = (vec![0; from.len()], from.clone(), vec![1; from.len()]);
        for (i, &axis) in axes.iter().enumerate() {
            let (size, by) = (from[axis] as i64, step[i]);
            let bound = |x: i64, least: i64, most: i64| (if x < 0 { x + size } else { x }).clamp(least, most);
            // The first element, and how far it is to where the walk ends.
            let (start, reach) = match by {
                0 => return Err(c.wrong("its step is 0")),
                1.. => {
                    let start = bound(begin[i], 0, size);
                    (start, bound(end[i], 0, size) - start)
                }
                _ => {
                    let start = bound(begin[i], 0, (size - 1).max(0));
                    (start, start - bound(end[i], -1, size - 1))
                }
            };
            lengths[axis] = if size == 0 { 0 } else { (reach.max(0) as u64).div_ceil(by.unsigned_abs()) as usize };
            (starts[axis], steps[axis]) = (start as usize, by);
        }
        self.sliced(c, data, &starts, &lengths, &steps)
    }

    fn split(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(1, if c.opset < 13 { 1 } else { 2 })?;
        a.exists("num_outputs", 18..=i64::MAX)?;
        let data = c.known(0)?;
        let from = self.shape(data).to_vec();
        let axis = c.axis(a.int("axis")?.unwrap_or(0), from.len())?;
        let (size, count) = (from[axis], c.outputs.len());
        let stated = a.int("num_outputs")?;
        if let Some(stated) = stated.filter(|&n| usize::try_from(n) != Ok(count)) {
            return Err(a.wrong("num_outputs", format!("is {stated}, but the node has {count} outputs")));
        }
        let lengths = match c.list(a, "split", 1, 12)? {
            Some(list) => c.sizes(&list)?,
            None if size.is_multiple_of(count) => vec![size / count; count],
            None if stated.is_some() => {
                // The last part is what is left.
                let part = size.div_ceil(count);
                (0..count).map(|i| part.min(size.saturating_sub(i * part))).collect()
            }
            None => return Err(c.wrong(format!("its axis {axis} of {from:?} is not divisible into {count} equal parts"))),
        };
        if lengths.len() != count || lengths.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n)) != Some(size) {
            return Err(c.wrong(format!("its lengths {lengths:?} do not divide axis {axis} of {from:?} into {count} parts")));
        }
        let mut starts = vec![0; from.len()];
        let mut parts = Vec::with_capacity(count);
        for length in lengths {
            let mut shape = from.clone();
            shape[axis] = length;
            parts.push(self.sliced(c, data, &starts, &shape, &vec![1; from.len()])?);
            starts[axis] += length;
        }
        Ok(parts)
    }

    fn expand_to(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let data = c.known(0)?;
        let target = c.sizes_at(1)?;
        let from = self.shape(data);
        let shape =
            broadcast::shape(from, &target).ok_or_else(|| c.wrong(format!("its shapes {from:?} and {target:?} do not broadcast")))?;
        self.expanded(c, data, &shape)
    }

    fn tile(&mut self, c: &Context<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let data = c.known(0)?;
        let from = self.shape(data).to_vec();
        let repeats = c.sizes_at(1)?;
        if repeats.len() != from.len() {
            return Err(c.wrong(format!("its repeats {repeats:?} do not fit a tensor of shape {from:?}")));
        }
        let shape: Option<Vec<usize>> = from.iter().zip(&repeats).map(|(&n, &times)| n.checked_mul(times)).collect();
        let shape = shape.ok_or_else(|| c.wrong("its output is too large"))?;
        let steps = steps(&from);
        let dims: Vec<usize> = repeats.iter().zip(&from).flat_map(|(&times, &n)| [times, n]).collect();
        let strides: Vec<i64> = steps.iter().flat_map(|&step| [0, step as i64]).collect();
        self.strided(c, data, (&dims, &strides, 0), &shape)
    }

    fn pad(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(if c.opset < 11 { 1 } else { 2 }, if c.opset < 11 { 1 } else { 4 })?;
        a.exists("value", 7..=10)?;
        let mode = a.string("mode")?.unwrap_or_else(|| "constant".into());
        let value = a.float("value", 0.0)?;
        let pads = c.list(a, "pads", 1, 10)?.ok_or_else(|| c.wrong("its pads are missing"))?;
        let mut data = c.known(0)?.clone();
        let from = self.shape(&data).to_vec();
        let axes = match c.optional_constant(3)? {
            Some(list) => c.axes(c.ints(list)?, from.len())?,
            None => (0..from.len()).collect(),
        };
        if pads.len() != 2 * axes.len() || pads.iter().any(|pad| pad.unsigned_abs() > limits::MAX_ELEMENTS as u64) {
            return Err(c.wrong(format!("its pads {pads:?} do not fit {} axes", axes.len())));
        }
        let fill = c.optional(2).cloned().unwrap_or_else(|| self.number_like(&data, value));
        let (mut begin, mut end) = (vec![0; from.len()], vec![0; from.len()]);
        for (i, &axis) in axes.iter().enumerate() {
            (begin[axis], end[axis]) = (pads[i], pads[i + axes.len()]);
        }
        let cropped = |pad: i64| (-pad).max(0) as usize;
        let lengths: Option<Vec<usize>> =
            (0..from.len()).map(|axis| from[axis].checked_sub(cropped(begin[axis]) + cropped(end[axis]))).collect();
        let lengths = lengths.ok_or_else(|| c.wrong(format!("its pads {pads:?} crop more than {from:?} has")))?;
        let starts: Vec<usize> = begin.iter().map(|&pad| cropped(pad)).collect();
        data = self.sliced(c, &data, &starts, &lengths, &vec![1; from.len()])?;
        for axis in 0..from.len() {
            let [before, after] = [begin[axis], end[axis]].map(|pad| pad.max(0) as usize);
            if before + after > 0 {
                data = self.pad_axis(c, &data, axis, [before, after], (&mode, &fill))?;
            }
        }
        Ok(data)
    }

    fn pad_axis(
        &mut self,
        c: &Context<'_>,
        data: &Known,
        axis: usize,
        [before, after]: [usize; 2],
        (mode, fill): (&str, &Known),
    ) -> Result<Known, ImportError> {
        let from = self.shape(data).to_vec();
        let (size, padded) = (from[axis] as i64, from[axis] + before + after);
        let mut shape = from.clone();
        shape[axis] = padded;
        c.elements(&shape)?;
        if mode == "constant" {
            if self.count(fill) != 1 {
                return Err(c.wrong("its constant_value is not one number"));
            }
            let fill = self.reshaped(c, fill, &vec![1; from.len()])?;
            let mut parts = Vec::with_capacity(3);
            for (count, part) in [(before, &fill), (from[axis], data), (after, &fill)] {
                shape[axis] = count;
                if count > 0 {
                    parts.push(self.expanded(c, part, &shape)?);
                }
            }
            return self.joined(c, &parts, axis);
        }
        let least = match mode {
            "reflect" => before.max(after) as i64 + 1,
            "edge" | "wrap" => 1,
            _ => return Err(c.wrong(format!("its mode `{mode}` does not exist"))),
        };
        if size < least {
            return Err(c.wrong(format!("its pads {:?} need more than the {size} elements along axis {axis}", [before, after])));
        }
        let source = |position: usize| {
            let at = position as i64 - before as i64;
            let at = match mode {
                "reflect" if at < 0 => -at,
                "reflect" if at >= size => 2 * (size - 1) - at,
                "wrap" => at.rem_euclid(size),
                _ => at.clamp(0, size - 1),
            };
            at as usize
        };
        self.gathered(c, data, axis, &(0..padded).map(source).collect::<Vec<_>>())
    }

    fn center_crop_pad(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let mut data = c.known(0)?.clone();
        let from = self.shape(&data).to_vec();
        let target = c.sizes_at(1)?;
        let axes = match a.ints("axes")? {
            Some(list) => c.axes(list, from.len())?,
            None => (0..from.len()).collect(),
        };
        if target.len() != axes.len() {
            return Err(c.wrong(format!("its shape {target:?} does not fit {} axes", axes.len())));
        }
        let (mut starts, mut lengths) = (vec![0; from.len()], from.clone());
        for (&axis, &size) in axes.iter().zip(&target) {
            starts[axis] = from[axis].saturating_sub(size) / 2;
            lengths[axis] = from[axis].min(size);
        }
        data = self.sliced(c, &data, &starts, &lengths, &vec![1; from.len()])?;
        for (&axis, &size) in axes.iter().zip(&target) {
            let missing = size.saturating_sub(from[axis]);
            if missing > 0 {
                let fill = self.number_like(&data, 0.0);
                data = self.pad_axis(c, &data, axis, [missing / 2, missing - missing / 2], ("constant", &fill))?;
            }
        }
        Ok(data)
    }

    fn trilu(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 2)?;
        let upper = a.flag("upper", true)?;
        let diagonal = match c.optional_constant(1)? {
            Some(constant) => *c.ints(constant)?.first().ok_or_else(|| c.wrong("its diagonal is missing"))?,
            None => 0,
        };
        let data = c.known(0)?;
        let shape = self.shape(data).to_vec();
        let [.., height, width] = shape[..] else {
            return Err(c.wrong("its input must have two axes at least"));
        };
        let count = c.elements(&shape)?;
        let zero = self.number_like(data, 0.0);
        let source = |element: usize| {
            let (row, column) = (element / width % height, element % width);
            let from_diagonal = (column as i64 - row as i64).saturating_sub(diagonal);
            let kept = if upper { from_diagonal >= 0 } else { from_diagonal <= 0 };
            if kept { element } else { count }
        };
        let sources: Vec<usize> = (0..count).map(source).collect();
        self.moved(c, &[data, &zero], &sources, &shape)
    }

    fn depth_to_space(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        a.exists("mode", 11..=i64::MAX)?;
        let (n, depth, height, width, size) = self.blocks(c, a)?;
        let mode = a.string("mode")?.unwrap_or_else(|| "DCR".into());
        if !depth.is_multiple_of(size * size) {
            return Err(c.wrong(format!("its {depth} channels are not blocks of {size}×{size}")));
        }
        let channels = depth / (size * size);
        let (from, perm) = match mode.as_str() {
            "DCR" => ([n, size, size, channels, height, width], [0, 3, 4, 1, 5, 2]),
            "CRD" => ([n, channels, size, size, height, width], [0, 1, 4, 2, 5, 3]),
            _ => return Err(a.wrong("mode", format!("is `{mode}`, which does not exist"))),
        };
        let data = c.known(0)?;
        self.rearranged(c, data, &from, &perm, &[n, channels, height * size, width * size])
    }

    fn space_to_depth(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(1, 1)?;
        let (n, channels, height, width, size) = self.blocks(c, a)?;
        if !height.is_multiple_of(size) || !width.is_multiple_of(size) {
            return Err(c.wrong(format!("its plane of {height}×{width} is not blocks of {size}×{size}")));
        }
        let (rows, columns) = (height / size, width / size);
        let data = c.known(0)?;
        self.rearranged(
            c,
            data,
            &[n, channels, rows, size, columns, size],
            &[0, 3, 5, 1, 2, 4],
            &[n, channels * size * size, rows, columns],
        )
    }

    /// The axes of an NCHW input, and the block size.
    fn blocks(&self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<(usize, usize, usize, usize, usize), ImportError> {
        let [n, channels, height, width] = *self.shape(c.known(0)?) else {
            return Err(c.wrong("its input must have the axes N, C, H, W"));
        };
        let size = a.int("blocksize")?.unwrap_or(0);
        let size =
            usize::try_from(size).ok().filter(|n| (1..=1 << 13).contains(n)).ok_or_else(|| a.wrong("blocksize", format!("is {size}")))?;
        Ok((n, channels, height, width, size))
    }

    fn compress(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let mut data = c.known(0)?.clone();
        let axis = match a.int("axis")? {
            Some(axis) => c.axis(axis, self.shape(&data).len())?,
            None => {
                data = self.reshaped(c, &data, &[self.count(&data)])?;
                0
            }
        };
        let condition = c.ints(c.constant(1)?)?;
        let length = self.shape(&data)[axis];
        if condition.len() > length {
            return Err(c.wrong(format!("its condition has {} elements, the axis {length}", condition.len())));
        }
        let kept: Vec<usize> = (0..condition.len()).filter(|&index| condition[index] != 0).collect();
        self.gathered(c, &data, axis, &kept)
    }

    fn reverse_sequence(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let data = c.known(0)?;
        let shape = self.shape(data).to_vec();
        let (batch, time) = (a.int("batch_axis")?.unwrap_or(1), a.int("time_axis")?.unwrap_or(0));
        let (batch, time) = (c.axis(batch, shape.len())?, c.axis(time, shape.len())?);
        let lengths = c.sizes_at(1)?;
        if batch == time || lengths.len() != shape[batch] || lengths.iter().any(|&length| length > shape[time]) {
            return Err(c.wrong(format!("its lengths {lengths:?} do not fit axes {batch} and {time} of {shape:?}")));
        }
        let steps = steps(&shape);
        let mut sources = Vec::with_capacity(c.elements(&shape)?);
        each_index(&shape, |at| {
            let (length, now) = (lengths[at[batch]], at[time]);
            let element: usize = at.iter().zip(&steps).map(|(i, step)| i * step).sum();
            sources.push(if now < length { element + (length - 1 - now) * steps[time] - now * steps[time] } else { element });
            Ok(())
        })?;
        self.moved(c, &[data], &sources, &shape)
    }

    /// Blocks that lie side by side, added up where they meet.
    fn col2im(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(3, 3)?;
        let data = c.known(0)?;
        let [n, depth, windows] = *self.shape(data) else {
            return Err(c.wrong("its input must have three axes"));
        };
        let (image, kernel) = (c.sizes_at(1)?, c.sizes_at(2)?);
        let axes = image.len();
        let taps = c.checked(&kernel, "block")?;
        c.checked(&image, "image")?;
        let strides = a.sizes("strides", axes, 1)?.unwrap_or_else(|| vec![1; axes]);
        let dilations = a.sizes("dilations", axes, 1)?.unwrap_or_else(|| vec![1; axes]);
        let pads = a.sizes("pads", 2 * axes, 0)?.unwrap_or_else(|| vec![0; 2 * axes]);
        if axes != 2 && dilations.iter().any(|&n| n != 1) {
            // ONNX Runtime drops them.
            return Err(
                a.wrong("dilations", format!("beside {axes} axes are read differently by runtimes; only beside two are they supported"))
            );
        }
        let count =
            |i: usize| Some((image[i] + pads[i] + pads[i + axes]).checked_sub((kernel[i] - 1) * dilations[i] + 1)? / strides[i] + 1);
        let counts: Option<Vec<usize>> = if kernel.len() == axes { (0..axes).map(count).collect() } else { None };
        let Some(counts) = counts.filter(|counts| {
            counts.iter().try_fold(1, |product: usize, &n| product.checked_mul(n)) == Some(windows) && depth.is_multiple_of(taps)
        }) else {
            return Err(c.wrong(format!("its blocks {kernel:?} over an image {image:?} do not fit an input of {:?}", [n, depth, windows])));
        };
        let shape = [&[n, depth / taps], image.as_slice()].concat();
        let outputs = c.elements(&shape)?;
        c.checked(&[outputs, taps], "blocks on the image")?;
        let (missing, zero) = (n * depth * windows, self.number_like(data, 0.0));
        let (tap_steps, count_steps) = (steps(&kernel), steps(&counts));
        let mut parts = Vec::with_capacity(taps);
        for tap in 0..taps {
            let mut sources = Vec::with_capacity(outputs);
            each_index(&shape, |at| {
                // Which window holds the pixel at this tap.
                let window = (0..axes).try_fold(0, |window, i| {
                    let start = (at[i + 2] + pads[i]).checked_sub(tap / tap_steps[i] % kernel[i] * dilations[i])?;
                    (start.is_multiple_of(strides[i]) && start / strides[i] < counts[i])
                        .then(|| window + start / strides[i] * count_steps[i])
                });
                let plane = at[0] * depth / taps + at[1];
                sources.push(window.map_or(missing, |window| (plane * taps + tap) * windows + window));
                Ok(())
            })?;
            parts.push(self.moved(c, &[data, &zero], &sources, &shape)?);
        }
        self.sum(c, &parts.iter().map(|part| (part, 1.0)).collect::<Vec<_>>(), 0.0)
    }

    /// Dropout passes its input on; its mask is true everywhere.
    fn dropout(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Vec<Known>, ImportError> {
        c.arity(1, if c.opset < 12 { 1 } else { 3 })?;
        a.exists("ratio", 7..=11)?;
        a.exists("seed", 12..=i64::MAX)?;
        a.ignore("ratio");
        a.ignore("seed");
        if let Some(training) = c.optional_constant(2)?
            && c.ints(training)? != [0]
            && c.optional_constant(1)?.and_then(Constant::uniform) != Some(0.0)
        {
            return Err(c.wrong(TRAINING));
        }
        let input = c.known(0)?;
        let mut outputs = vec![input.clone()];
        if c.is_read(1) {
            let (shape, count) = (self.shape(input).to_vec(), self.count(input));
            outputs.push(Known::Constant(if c.opset < 10 {
                Constant::floats(shape, vec![1.0; count])
            } else {
                Constant::ints(shape, vec![1; count])
            }));
        }
        Ok(outputs)
    }
}

/// The shape that a Reshape gives: 0 copies a dimension (unless `zero_is_zero`), one −1 is worked out.
fn stated_shape(from: &[usize], target: &[i64], zero_is_zero: bool) -> Option<Vec<usize>> {
    let count: usize = from.iter().product();
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (axis, &dim) in target.iter().enumerate() {
        match dim {
            -1 if open.is_none() => {
                open = Some(axis);
                shape.push(1);
            }
            0 if !zero_is_zero => shape.push(*from.get(axis)?),
            _ => shape.push(usize::try_from(dim).ok()?),
        }
    }
    let known = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))?;
    if let Some(axis) = open {
        shape[axis] = count.checked_div(known)?;
    }
    (shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))? == count).then_some(shape)
}

/// Without axes every one of size 1 is dropped.
fn squeezed(c: &Context<'_>, from: &[usize], axes: Option<&[i64]>) -> Result<Vec<usize>, ImportError> {
    let Some(axes) = axes else {
        return Ok(from.iter().copied().filter(|&n| n != 1).collect());
    };
    if axes.is_empty() && from.contains(&1) {
        return Err(c.wrong("its list of axes is empty, which runtimes read differently; name the axes"));
    }
    let axes = axes.iter().map(|&axis| c.axis(axis, from.len())).collect::<Result<Vec<_>, _>>()?;
    if let Some(axis) = axes.iter().find(|&&axis| from[axis] != 1) {
        return Err(c.wrong(format!("its axis {axis} of {from:?} is not 1")));
    }
    Ok((0..from.len()).filter(|axis| !axes.contains(axis)).map(|axis| from[axis]).collect())
}

fn unsqueezed(c: &Context<'_>, from: &[usize], axes: &[i64]) -> Result<Vec<usize>, ImportError> {
    let rank = from.len() + axes.len();
    let axes = c.axes(axes, rank)?;
    let mut rest = from.iter();
    Ok((0..rank).filter_map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next().copied() }).collect())
}
