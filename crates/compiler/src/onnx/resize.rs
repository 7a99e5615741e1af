//! Space sampled at constant places.

use super::attributes::Attributes;
use super::build::each_index;
use super::constant::Constant;
use super::context::Context;
use super::operators::{Operator, one, operator};
use super::{ImportError, Importer, Known};

pub(super) const OPERATORS: &[Operator] = &[
    operator("AffineGrid", "a constant size", |i, c, a| i.affine_grid(c, a).map(one)),
    operator("GridSample", "a constant grid; all modes", |i, c, a| i.grid_sample(c, a).map(one)),
    operator("Resize", "constant scales or sizes; all modes", |i, c, a| i.resize(c, a).map(one)),
    operator("Upsample", "constant scales; to operator set 9", |i, c, a| i.resize(c, a).map(one)),
];

/// What each output index of some axes, taken as one, reads: a weighted sum.
#[derive(Clone)]
struct Sampling {
    outputs: usize,
    /// Elements read and their weights, by output index.
    taps: Vec<(Vec<usize>, Vec<f64>)>,
}

impl Sampling {
    fn of(list: Vec<usize>) -> Sampling {
        let weights = vec![1.0; list.len()];
        Sampling { outputs: list.len(), taps: vec![(list, weights)] }
    }

    /// Two axes, the second of so many elements, as one.
    fn beside(&self, other: &Sampling, size: usize) -> Sampling {
        let mut taps = Vec::with_capacity(self.taps.len() * other.taps.len());
        for (rows, row_weights) in &self.taps {
            for (columns, column_weights) in &other.taps {
                let list = rows.iter().flat_map(|row| columns.iter().map(move |column| row * size + column)).collect();
                let weights = row_weights.iter().flat_map(|w| column_weights.iter().map(move |v| w * v)).collect();
                taps.push((list, weights));
            }
        }
        Sampling { outputs: self.outputs * other.outputs, taps }
    }
}

impl Importer<'_> {
    /// Weighted sums along axis 1 of `[outer, size, inner]`.
    fn sampled(&mut self, c: &Context<'_>, x: &Known, sampling: &Sampling) -> Result<Known, ImportError> {
        if let [(list, weights)] = &sampling.taps[..]
            && weights.iter().all(|&w| w == 1.0)
        {
            return self.gathered(c, x, 1, list);
        }
        let mut terms: Vec<(Known, Vec<f64>)> = Vec::new();
        for (list, weights) in &sampling.taps {
            // A tap of no weight anywhere reads nothing.
            if terms.is_empty() || weights.iter().any(|&w| w != 0.0) {
                terms.push((self.gathered(c, x, 1, list)?, weights.clone()));
            }
        }
        let terms: Vec<(&Known, Vec<f64>)> = terms.iter().map(|(known, weights)| (known, weights.clone())).collect();
        self.weighted_along(c, 1, &terms, vec![0.0])
    }

    fn resize(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        let resize = Resize::read(c, a, self.shape(c.known(0)?))?;
        let mut value = c.known(0)?.clone();
        let mut shape = self.shape(&value).to_vec();
        c.checked(&resize.outputs, "output")?;
        let mut outside: Vec<Vec<bool>> = Vec::with_capacity(shape.len());
        let mut samplings: Vec<Option<Sampling>> = Vec::with_capacity(shape.len());
        for (axis, &size) in shape.iter().enumerate() {
            let (sampling, beyond) = resize.along(c, axis, size)?;
            outside.push(beyond);
            samplings.push(sampling);
        }
        // Axes side by side are sampled as one where that takes few taps: sums of sums would be rounded twice.
        let mut axis = 0;
        while axis < shape.len() {
            let Some(mut sampling) = samplings[axis].take() else {
                axis += 1;
                continue;
            };
            let (first, mut size) = (axis, shape[axis]);
            axis += 1;
            while axis < shape.len()
                && let Some(next) = &samplings[axis]
                && (2..=16).contains(&(sampling.taps.len() * next.taps.len()))
            {
                sampling = sampling.beside(next, shape[axis]);
                size *= shape[axis];
                axis += 1;
            }
            let inner = shape[axis..].iter().product();
            let flat = self.reshaped(c, &value, &[shape[..first].iter().product(), size, inner])?;
            let sampled = self.sampled(c, &flat, &sampling)?;
            shape[first..axis].copy_from_slice(&resize.outputs[first..axis]);
            value = self.reshaped(c, &sampled, &shape)?;
        }
        if outside.iter().flatten().any(|&beyond| beyond) {
            let count = c.elements(&shape)?;
            let mut sources = Vec::with_capacity(count);
            each_index(&shape, |at| {
                sources.push(if at.iter().zip(&outside).any(|(&i, outside)| outside[i]) { count } else { sources.len() });
                Ok(())
            })?;
            let fill = Known::Constant(Constant::floats(vec![], vec![resize.extrapolation]));
            value = self.moved(c, &[&value, &fill], &sources, &shape)?;
        }
        Ok(value)
    }

    /// Places of a grid after computed affine maps: a product with a constant matrix.
    fn affine_grid(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        c.since(20)?;
        let align = a.flag("align_corners", false)?;
        let theta = c.known(0)?;
        let size = c.sizes_at(1)?;
        let (n, sizes) = match (&size[..], self.shape(theta)) {
            ([n, _, sizes @ ..], &[batch, axes, columns])
                if matches!(sizes.len(), 2 | 3) && *n == batch && sizes.len() == axes && columns == axes + 1 =>
            {
                (batch, sizes)
            }
            (_, theta) => return Err(c.wrong(format!("its size {size:?} does not fit matrices of shape {theta:?}"))),
        };
        let (count, axes) = (c.elements(sizes)?, sizes.len());
        c.elements(&[n, count, axes + 1])?;
        if align && sizes.contains(&1) {
            return Err(a.wrong("align_corners", "stands beside an axis of one place, which has no two corners"));
        }
        // A place is [x, y, z, 1], the last axis first: a row of the constant matrix for each.
        let mut places = Vec::with_capacity(count * (axes + 1));
        each_index(sizes, |index| {
            places.extend(index.iter().zip(sizes).rev().map(|(&at, &size)| {
                let (at, size) = (at as f64, size as f64);
                if align { 2.0 * at / (size - 1.0) - 1.0 } else { (2.0 * at + 1.0) / size - 1.0 }
            }));
            places.push(1.0);
            Ok(())
        })?;
        let product = self.dense(c, theta, places, vec![0.0; count], &[n, axes, count])?;
        let grid = self.transposed(c, &product, &[0, 2, 1])?;
        self.reshaped(c, &grid, &[&[n], sizes, &[axes]].concat())
    }

    fn grid_sample(&mut self, c: &Context<'_>, a: &mut Attributes<'_>) -> Result<Known, ImportError> {
        c.arity(2, 2)?;
        let x = c.known(0)?;
        let shape = self.shape(x).to_vec();
        let (n, channels, sizes) = self.space(c, &shape, 3)?;
        let grid = c.constant(1)?;
        let places = match *grid.shape {
            [batch, ref places @ .., axes] if batch == n && axes == sizes.len() && places.len() == axes => places,
            ref grid => return Err(c.wrong(format!("its grid of shape {grid:?} does not fit an input of shape {shape:?}"))),
        };
        let mode = a.string("mode")?.unwrap_or_else(|| if c.opset < 20 { "bilinear".into() } else { "linear".into() });
        let padding = a.string("padding_mode")?.unwrap_or_else(|| "zeros".into());
        let align = a.flag("align_corners", false)?;
        let reach: i64 = match (mode.as_str(), c.opset < 20) {
            ("nearest", _) => 1,
            ("bilinear", true) | ("linear", false) => 2,
            ("bicubic", true) | ("cubic", false) => 4,
            _ => return Err(a.wrong("mode", format!("is `{mode}`, which does not exist"))),
        };
        if !matches!(padding.as_str(), "zeros" | "border" | "reflection") {
            return Err(a.wrong("padding_mode", format!("is `{padding}`, which does not exist")));
        }
        let outputs = [&[n, channels], places].concat();
        let (count, plane): (usize, usize) = (places.iter().product(), sizes.iter().product());
        c.elements(&outputs)?;
        let taps = (reach as usize).pow(sizes.len() as u32);
        c.checked(&[n, count, taps], "places")?;
        let list = c.floats(grid)?;
        if reach == 4 && padding == "border" {
            let beyond = |(i, &at): (usize, &f64)| {
                let size = sizes[sizes.len() - 1 - i % sizes.len()];
                let (x, least, most) = on_grid(at as f32, size, align);
                x < least || x > most
            };
            if list.iter().enumerate().any(beyond) {
                return Err(a.wrong("padding_mode", "is border beside cubic for places beyond the input, which runtimes read differently"));
            }
        }
        let mut images = Vec::with_capacity(n);
        for (image, grid) in list.chunks_exact(count * sizes.len()).enumerate() {
            let mut sampling = Sampling { outputs: count, taps: vec![(vec![0; count], vec![1.0; count]); taps] };
            for (output, place) in grid.chunks_exact(sizes.len()).enumerate() {
                // A place names the last axis first.
                let along: Vec<Vec<(usize, f64)>> =
                    sizes.iter().zip(place.iter().rev()).map(|(&size, &at)| grid_taps(at as f32, size, reach, &padding, align)).collect();
                for (tap, (indices, weights)) in sampling.taps.iter_mut().enumerate() {
                    let mut rest = tap;
                    for (&size, taps) in sizes.iter().zip(&along) {
                        let (index, weight) = taps[rest % taps.len()];
                        rest /= taps.len();
                        indices[output] = indices[output] * size + index;
                        weights[output] *= weight;
                    }
                }
            }
            let (mut starts, mut lengths) = (vec![0; shape.len()], shape.clone());
            (starts[0], lengths[0]) = (image, 1);
            let one = self.sliced(c, x, &starts, &lengths, &vec![1; shape.len()])?;
            let flat = self.reshaped(c, &one, &[channels, plane, 1])?;
            images.push(self.sampled(c, &flat, &sampling)?);
        }
        let all = self.joined(c, &images, 0)?;
        self.reshaped(c, &all, &outputs)
    }
}

/// Where on an axis a place on a grid lies, from −1 to 1, and from where to where the axis goes.
fn on_grid(at: f32, size: usize, align: bool) -> (f32, f32, f32) {
    let length = size as f32;
    if align { ((at + 1.0) / 2.0 * (length - 1.0), 0.0, length - 1.0) } else { (((at + 1.0) * length - 1.0) / 2.0, -0.5, length - 0.5) }
}

/// What one axis of a place on a grid reads, with weights; what is outside has weight 0 where padding is zeros.
fn grid_taps(at: f32, size: usize, reach: i64, padding: &str, align: bool) -> Vec<(usize, f64)> {
    let length = size as f32;
    let (mut x, least, most) = on_grid(at, size, align);
    if reach == 1 {
        x = x.round_ties_even();
    }
    if x < least || x > most {
        x = match padding {
            "border" => x.clamp(0.0, length - 1.0),
            "reflection" => reflect(x, least, most),
            _ => x,
        };
    }
    let below = x.floor();
    let ratio = f64::from(x - below);
    let (start, weights) = match reach {
        1 => (0, vec![1.0]),
        2 => (0, vec![1.0 - ratio, ratio]),
        _ => (-1, cubic(ratio, -0.75).to_vec()),
    };
    let tap = |(i, weight): (usize, f64)| {
        let index = (below as i64).saturating_add(start + i as i64);
        let inside = (0..size as i64).contains(&index);
        match padding {
            "zeros" if !inside => (0, 0.0),
            "reflection" if !inside => ((reflect(index as f32, least, most) as i64).clamp(0, size as i64 - 1) as usize, weight),
            _ => (index.clamp(0, size as i64 - 1) as usize, weight),
        }
    };
    weights.into_iter().enumerate().map(tap).collect()
}

/// A place mirrored at the borders until it is within them.
fn reflect(x: f32, least: f32, most: f32) -> f32 {
    let range = most - least;
    let (beyond, from_least) = if x < least { (least - x, true) } else { (x - most, false) };
    if range <= 0.0 || (x >= least && x <= most) {
        return x.clamp(least, most);
    }
    let times = (beyond / range).floor();
    let rest = beyond - times * range;
    // Each mirroring changes the side.
    if from_least == (times % 2.0 == 0.0) { least + rest } else { most - rest }
}

/// Weights of four neighbours, the place being `ratio` after the second.
fn cubic(ratio: f64, a: f64) -> [f64; 4] {
    [ratio + 1.0, ratio, 1.0 - ratio, 2.0 - ratio].map(|x| cubic_weight(x, a))
}

/// The weight of a neighbour at a distance.
fn cubic_weight(x: f64, a: f64) -> f64 {
    match x {
        _ if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        _ if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
        _ => 0.0,
    }
}

/// A Resize or Upsample as its attributes and constants say.
struct Resize {
    mode: String,
    coordinates: String,
    /// Empty before operator set 11, which had none.
    nearest: String,
    exclude_outside: bool,
    antialias: bool,
    cubic_a: f64,
    extrapolation: f64,
    outputs: Vec<usize>,
    /// By axis, as the `float` that runtimes compute with.
    scales: Vec<f32>,
    /// Where the region of interest starts and ends, by axis.
    regions: Vec<[f32; 2]>,
}

impl Resize {
    fn read(c: &Context<'_>, a: &mut Attributes<'_>, from: &[usize]) -> Result<Resize, ImportError> {
        let (rank, opset) = (from.len(), c.opset);
        let upsample = c.operator == "Upsample";
        if upsample && opset > 9 {
            return Err(c.wrong("it exists up to operator set 9 only; Resize replaced it"));
        }
        if !upsample {
            c.since(10)?;
        }
        let old = opset < 11;
        if old {
            c.arity(if opset < 9 { 1 } else { 2 }, if opset < 9 { 1 } else { 2 })?;
        } else {
            c.arity(1, 4)?;
        }
        a.exists("scales", 7..=8)?;
        for name in ["antialias", "axes", "keep_aspect_ratio_policy"] {
            a.exists(name, 18..=i64::MAX)?;
        }
        for name in ["coordinate_transformation_mode", "nearest_mode", "exclude_outside", "cubic_coeff_a", "extrapolation_value"] {
            a.exists(name, 11..=i64::MAX)?;
        }
        let mode = a.string("mode")?.unwrap_or_else(|| "nearest".into());
        if !(matches!(mode.as_str(), "nearest" | "linear") || mode == "cubic" && !old) {
            return Err(a.wrong("mode", format!("is `{mode}`, which does not exist")));
        }
        let coordinates =
            a.string("coordinate_transformation_mode")?.unwrap_or_else(|| if old { "asymmetric".into() } else { "half_pixel".into() });
        let exists = match coordinates.as_str() {
            "half_pixel" | "pytorch_half_pixel" | "align_corners" | "asymmetric" | "tf_crop_and_resize" => true,
            "half_pixel_symmetric" => opset >= 19,
            // Gone from operator set 13 on, but converters still write it, and runtimes read it as it was.
            "tf_half_pixel_for_nn" => true,
            _ => false,
        };
        if !exists {
            return Err(a.wrong("coordinate_transformation_mode", format!("is `{coordinates}`, which operator set {opset} does not have")));
        }
        let nearest = a.string("nearest_mode")?.unwrap_or_else(|| if old { String::new() } else { "round_prefer_floor".into() });
        if !matches!(nearest.as_str(), "" | "round_prefer_floor" | "round_prefer_ceil" | "floor" | "ceil") {
            return Err(a.wrong("nearest_mode", format!("is `{nearest}`, which does not exist")));
        }
        let policy = a.string("keep_aspect_ratio_policy")?.unwrap_or_else(|| "stretch".into());
        let axes = match a.ints("axes")? {
            Some(list) => c.axes(list, rank)?,
            None => (0..rank).collect(),
        };
        let floats = |index: usize| -> Result<Option<Vec<f32>>, ImportError> {
            let constant = c.optional_constant(index)?.filter(|constant| constant.len() > 0);
            Ok(constant.map(|constant| c.floats(constant)).transpose()?.map(|list| list.iter().map(|&x| x as f32).collect()))
        };
        let (region, scales) = match (opset, old) {
            (..9, _) => (None, a.floats("scales")?.map(<[f32]>::to_vec)),
            (_, true) => (None, floats(1)?),
            _ => (if coordinates == "tf_crop_and_resize" { floats(1)? } else { None }, floats(2)?),
        };
        let sizes = match c.optional_constant(3)?.filter(|constant| constant.len() > 0) {
            Some(sizes) => Some(c.sizes(c.ints(sizes)?)?),
            None => None,
        };
        let (mut outputs, mut by_axis) = (from.to_vec(), vec![1.0_f32; rank]);
        match (&scales, &sizes) {
            (Some(scales), None) if scales.len() == axes.len() && scales.iter().all(|&x| x > 0.0 && x.is_finite()) => {
                for (&axis, &scale) in axes.iter().zip(scales) {
                    by_axis[axis] = scale;
                    outputs[axis] = (from[axis] as f32 * scale) as usize;
                }
            }
            (None, Some(sizes)) if sizes.len() == axes.len() => {
                let ratio = |(&axis, &size): (&usize, &usize)| size as f32 / from[axis] as f32;
                let ratios: Vec<f32> = axes.iter().zip(sizes).map(ratio).collect();
                let common = match policy.as_str() {
                    "stretch" => None,
                    "not_larger" => ratios.iter().copied().reduce(f32::min),
                    "not_smaller" => ratios.iter().copied().reduce(f32::max),
                    _ => return Err(a.wrong("keep_aspect_ratio_policy", format!("is `{policy}`, which does not exist"))),
                };
                for (i, &axis) in axes.iter().enumerate() {
                    by_axis[axis] = common.unwrap_or(ratios[i]);
                    outputs[axis] = common.map_or(sizes[i], |common| (common * from[axis] as f32 + 0.5).floor() as usize);
                }
            }
            _ => return Err(c.wrong(format!("it needs one of scales and sizes, of {} numbers", axes.len()))),
        }
        let mut regions = vec![[0.0, 1.0]; rank];
        if coordinates == "tf_crop_and_resize" {
            let region = region.filter(|list| list.len() == 2 * axes.len()).ok_or_else(|| c.wrong("its region of interest is missing"))?;
            for (i, &axis) in axes.iter().enumerate() {
                regions[axis] = [region[i], region[i + axes.len()]];
            }
        }
        let exclude_outside = a.flag("exclude_outside", false)?;
        let antialias = a.flag("antialias", false)?;
        if antialias && mode == "nearest" {
            return Err(a.wrong("antialias", "is 1 beside mode nearest, which does not exist"));
        }
        let (cubic_a, extrapolation) = (a.float("cubic_coeff_a", -0.75)?, a.float("extrapolation_value", 0.0)?);
        Ok(Resize { mode, coordinates, nearest, exclude_outside, antialias, cubic_a, extrapolation, outputs, scales: by_axis, regions })
    }

    /// How an axis is sampled, unless it stays, and which outputs are beyond the input.
    fn along(&self, c: &Context<'_>, axis: usize, size: usize) -> Result<(Option<Sampling>, Vec<bool>), ImportError> {
        let (outputs, scale) = (self.outputs[axis], self.scales[axis]);
        let crops = self.coordinates == "tf_crop_and_resize";
        if scale == 1.0 && outputs == size && (!crops || self.regions[axis] == [0.0, 1.0]) {
            return Ok((None, vec![false; outputs]));
        }
        let by_length = matches!(self.coordinates.as_str(), "align_corners" | "tf_crop_and_resize")
            || (self.coordinates == "pytorch_half_pixel" && outputs == 1);
        if by_length && scale * size as f32 != outputs as f32 {
            return Err(c.wrong(format!(
                "its {} with a scale of {scale} along axis {axis}, whose {size} elements do not become a whole number, is read differently by runtimes; give sizes instead",
                self.coordinates
            )));
        }
        if outputs == size && ((crops && scale == 1.0) || (self.antialias && scale < 1.0)) {
            return Err(c.wrong(format!("its axis {axis} keeps its {size} elements and yet is sampled, which runtimes read differently")));
        }
        let places: Vec<f32> = (0..outputs).map(|x| self.place(axis, x as f32, size as f32)).collect();
        let beyond = places.iter().map(|&x| crops && (x < 0.0 || x > size as f32 - 1.0)).collect();
        let clamped = |index: f32| index.clamp(0.0, size as f32 - 1.0) as usize;
        if self.mode == "nearest" {
            let round = |&x: &f32| match self.nearest.as_str() {
                "ceil" => x.ceil(),
                "round_prefer_floor" => (x - 0.5).ceil(),
                "round_prefer_ceil" => (x + 0.5).floor(),
                _ => x.floor(),
            };
            if self.nearest.is_empty() && scale < 1.0 && places.iter().any(|x| x.fract() != 0.0) {
                return Err(c.wrong(
                    "it makes an image smaller by a scale that runtimes round differently; export it with operator set 11 or later",
                ));
            }
            return Ok((Some(Sampling::of(places.iter().map(round).map(clamped).collect())), beyond));
        }
        let weights: Vec<(i64, Vec<f64>)> = places.iter().map(|&x| self.weights(x, scale, size)).collect();
        let most = weights.iter().map(|(_, list)| list.len()).max().unwrap_or(1);
        c.checked(&[outputs, most], "neighbours")?;
        let tap = |tap: usize| {
            let one = |(start, list): &(i64, Vec<f64>)| match list.get(tap) {
                Some(&weight) => ((start + tap as i64).clamp(0, size as i64 - 1) as usize, weight),
                None => (0, 0.0),
            };
            weights.iter().map(one).unzip()
        };
        Ok((Some(Sampling { outputs, taps: (0..most).map(tap).collect() }), beyond))
    }

    /// Where in the input an output index lies. Runtimes compute it in `float`, which decides what is nearest.
    fn place(&self, axis: usize, x: f32, size: f32) -> f32 {
        let (scale, outputs) = (self.scales[axis], self.outputs[axis] as f32);
        match self.coordinates.as_str() {
            "asymmetric" => x / scale,
            "pytorch_half_pixel" if outputs <= 1.0 => 0.0,
            "align_corners" if outputs <= 1.0 => 0.0,
            "align_corners" => x * (size - 1.0) / (outputs - 1.0),
            "tf_half_pixel_for_nn" => (x + 0.5) / scale,
            "tf_crop_and_resize" => {
                let [start, end] = self.regions[axis];
                if outputs > 1.0 {
                    start * (size - 1.0) + (x * (end - start) * (size - 1.0)) / (outputs - 1.0)
                } else {
                    0.5 * (start + end) * (size - 1.0)
                }
            }
            "half_pixel_symmetric" => {
                let adjustment = outputs / (scale * size);
                let offset = size / 2.0 * (1.0 - adjustment);
                offset + (x + 0.5) / scale - 0.5
            }
            _ => (x + 0.5) / scale - 0.5,
        }
    }

    /// The neighbours of a place: the first one, and the weights from it on.
    fn weights(&self, x: f32, scale: f32, size: usize) -> (i64, Vec<f64>) {
        let below = f64::from(x.floor());
        let ratio = f64::from(x) - below;
        let cubic_mode = self.mode == "cubic";
        let (start, mut list): (i64, Vec<f64>) = if self.antialias && scale < 1.0 {
            let scale = f64::from(scale);
            let reach = if cubic_mode { 2.0 } else { 1.0 } / scale;
            let (start, end) = ((ratio - reach).floor() as i64, (ratio + reach).ceil() as i64);
            let weight = |i: i64| {
                let x = ((i as f64 - ratio) * scale).abs();
                if cubic_mode { cubic_weight(x, self.cubic_a) } else { (1.0 - x).max(0.0) }
            };
            (start, (start..=end).map(weight).collect())
        } else if cubic_mode {
            (-1, cubic(ratio, self.cubic_a).to_vec())
        } else {
            (0, vec![1.0 - ratio, ratio])
        };
        let start = start.saturating_add(below as i64);
        if self.exclude_outside {
            for (i, weight) in list.iter_mut().enumerate() {
                if !(0..size as i64).contains(&(start + i as i64)) {
                    *weight = 0.0;
                }
            }
        }
        if self.exclude_outside || self.antialias {
            let sum: f64 = list.iter().sum();
            list.iter_mut().for_each(|weight| *weight /= sum);
        }
        (start, list)
    }
}
