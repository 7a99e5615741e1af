//! Windows that slide over space.
//!
//! The graph's windows move over two axes of one image. Batches and a third axis are written as channels of it.

use super::attributes::Attributes;
use super::context::Context;
use super::{ImportError, Importer, Known};
use crate::float::FloatOp;
use zkslice_graph::{Window, inside};

/// Windows along one axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) output: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// Padding before and after, as stated.
    pub(super) pads: [usize; 2],
}

impl Axis {
    /// Windows of one element, each where it is.
    pub(super) fn whole(size: usize) -> Axis {
        Axis { size, output: size, kernel: 1, stride: 1, dilation: 1, pads: [0, 0] }
    }

    /// Elements that a kernel reaches over.
    pub(super) fn extent(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// What a tap of a window reads, unless that is padding.
    pub(super) fn source(&self, position: usize, tap: usize) -> Option<usize> {
        (position * self.stride + tap * self.dilation).checked_sub(self.pads[0]).filter(|&source| source < self.size)
    }

    /// Taps of a window that lie inside the input.
    pub(super) fn taps(&self, position: usize) -> usize {
        let (start, end) = inside(self.size, self.kernel, self.dilation, position * self.stride, self.pads[0]);
        end - start
    }

    /// Taps of a window that lie inside the input or its padding.
    pub(super) fn padded_taps(&self, position: usize) -> usize {
        let end = self.pads[0] + self.size + self.pads[1];
        end.saturating_sub(position * self.stride).div_ceil(self.dilation).min(self.kernel)
    }
}

/// The window over up to two axes.
fn window(channels: usize, axes: &[Axis]) -> Window {
    let one = Axis::whole(1);
    let (y, x) = match axes {
        [y, x] => (y, x),
        [x] => (&one, x),
        _ => (&one, &one),
    };
    Window {
        input: [channels, y.size, x.size],
        output: [y.output, x.output],
        kernel: [y.kernel, x.kernel],
        strides: [y.stride, x.stride],
        dilations: [y.dilation, x.dilation],
        pads: [y.pads[0], x.pads[0]],
    }
}

/// Reads strides, dilations, pads and auto_pad, and works the output's size out.
pub(super) fn windows(
    c: &Context<'_>,
    a: &mut Attributes<'_>,
    sizes: &[usize],
    kernel: &[usize],
    ceil: bool,
) -> Result<Vec<Axis>, ImportError> {
    let count = sizes.len();
    let strides = a.sizes("strides", count, 1)?.unwrap_or_else(|| vec![1; count]);
    let dilations = a.sizes("dilations", count, 1)?.unwrap_or_else(|| vec![1; count]);
    let pads = a.sizes("pads", 2 * count, 0)?.unwrap_or_else(|| vec![0; 2 * count]);
    let auto = a.string("auto_pad")?.unwrap_or_else(|| "NOTSET".into());
    if auto != "NOTSET" && pads.iter().any(|&pad| pad != 0) {
        return Err(a.wrong("auto_pad", format!("is {auto} beside explicit pads")));
    }
    let mut axes = Vec::with_capacity(count);
    for i in 0..count {
        let (size, stride) = (sizes[i], strides[i]);
        let mut axis = Axis { size, output: 0, kernel: kernel[i], stride, dilation: dilations[i], pads: [pads[i], pads[i + count]] };
        let extent = axis.extent();
        match auto.as_str() {
            "NOTSET" | "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                let Some(total) = ((size.div_ceil(stride) - 1) * stride + extent).checked_sub(size) else {
                    // Runtimes differ: ONNX Runtime crops the input, others pad by nothing.
                    let reason = format!(
                        "is {auto}, but stride {stride} leaps over elements that the kernel of {extent} does not reach; give pads instead"
                    );
                    return Err(a.wrong("auto_pad", reason));
                };
                let begin = if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 };
                axis.pads = [begin, total - begin];
            }
            other => return Err(a.wrong("auto_pad", format!("is `{other}`, which does not exist"))),
        }
        if ceil && auto == "VALID" {
            return Err(a.wrong("auto_pad", "is VALID beside ceil_mode, which runtimes read differently; give pads instead"));
        }
        if auto.starts_with("SAME") && axis.dilation != 1 && c.operator != "Conv" {
            return Err(c.wrong("its auto_pad SAME beside dilations is read differently by runtimes; give pads instead"));
        }
        let padded = size + axis.pads[0] + axis.pads[1];
        let room = padded
            .checked_sub(extent)
            .ok_or_else(|| c.wrong(format!("its kernel reaches over {extent} elements, its padded input has {padded}")))?;
        axis.output = room / stride + 1;
        if ceil && !room.is_multiple_of(stride) && axis.output * stride < size + axis.pads[0] {
            axis.output += 1;
        }
        axes.push(axis);
    }
    Ok(axes)
}

/// Refuses windows that take more operations than are allowed.
pub(super) fn check_work(c: &Context<'_>, channels: usize, axes: &[Axis]) -> Result<(), ImportError> {
    let outputs: Vec<usize> = std::iter::once(channels).chain(axes.iter().map(|axis| axis.output)).collect();
    let kernel: Vec<usize> = axes.iter().map(|axis| axis.kernel).collect();
    c.check_work(&[c.checked(&outputs, "output")?, c.checked(&kernel, "kernel")?])
}

impl Importer<'_> {
    /// Batch, channels and window axes of an input.
    pub(super) fn space<'s>(&self, c: &Context<'_>, shape: &'s [usize], most: usize) -> Result<(usize, usize, &'s [usize]), ImportError> {
        match shape {
            [n, channels, space @ ..] if !space.is_empty() && space.len() <= most => Ok((*n, *channels, space)),
            _ => Err(c.wrong(format!("its input has shape {shape:?}; [N, C] and one to {most} further axes are needed"))),
        }
    }

    /// An operator over windows of one or two axes of so many channels.
    pub(super) fn slide(
        &mut self,
        c: &Context<'_>,
        x: &Known,
        channels: usize,
        axes: &[Axis],
        op: impl FnOnce(Window) -> FloatOp,
        out: usize,
    ) -> Result<Known, ImportError> {
        let shape = |channels: usize, size: fn(&Axis) -> usize| [1, channels].into_iter().chain(axes.iter().map(size)).collect::<Vec<_>>();
        let x = self.reshaped(c, x, &shape(channels, |axis| axis.size))?;
        self.push(c, op(window(channels, axes)), &[&x], &shape(out, |axis| axis.output))
    }
}
