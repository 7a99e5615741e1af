//! Images.

use std::io::Cursor;

use png::{BitDepth, Decoder, Transformations};
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::Slot;

/// Most pixels along a side, and most bytes of an image in memory.
const MAX_SIDE: usize = 16_384;
const MAX_IMAGE_BYTES: usize = 1 << 29;

/// An image as it was stored.
struct Image {
    width: usize,
    height: usize,
    /// Numbers of a pixel: 1 or 3, and one more if it has an alpha channel.
    channels: usize,
    alpha: bool,
    /// The brightest value.
    most: u16,
    /// Pixel after pixel.
    values: Vec<u16>,
}

/// The numbers that a pixel's darkest and brightest value become; those between lie evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pixels {
    /// 0 and 1.
    #[default]
    Unit,
    /// 0 and 255.
    Byte,
    /// −1 and 1.
    Signed,
}

/// How a model takes an image.
struct Form {
    height: usize,
    width: usize,
    channels: usize,
    /// Whether a channel's pixels come together, or a pixel's channels.
    planar: bool,
}

/// The forms that a shape can mean: [C, H, W], [H, W, C], [H, W] or flat, C being 1 or 3.
fn forms(slot: &Slot, width: usize, height: usize) -> Vec<Form> {
    let colours = |channels: usize| channels == 1 || channels == 3;
    match *slot.inner() {
        [c, h, w] => {
            let mut found = Vec::new();
            if colours(c) {
                found.push(Form { height: h, width: w, channels: c, planar: true });
            }
            if colours(w) {
                found.push(Form { height: c, width: h, channels: w, planar: false });
            }
            found
        }
        [h, w] => vec![Form { height: h, width: w, channels: 1, planar: true }],
        // Flat: grey, of the image's own size if that is as large.
        [n] if Some(n) == width.checked_mul(height) => vec![Form { height, width, channels: 1, planar: true }],
        _ => Vec::new(),
    }
}

/// The values of a PNG or JPEG image, in the layout that the input's shape says.
pub(crate) fn values(bytes: &[u8], slot: &Slot, pixels: Pixels) -> Result<Vec<f64>, String> {
    let image = match bytes {
        [0x89, b'P', b'N', b'G', ..] => read_png(bytes),
        [0xff, 0xd8, ..] => read_jpeg(bytes),
        _ => return Err("it is neither a PNG nor a JPEG image".to_owned()),
    };
    let image = image.map_err(|e| format!("the image cannot be read: {e}"))?;
    let (width, height) = (image.width, image.height);
    let all = forms(slot, width, height);
    let Some(form) = all.iter().find(|form| (form.width, form.height) == (width, height)) else {
        let sizes: Vec<String> = all.iter().map(|form| format!("{} by {} pixels", form.width, form.height)).collect();
        let wanted = if sizes.is_empty() { "no image of that size".to_owned() } else { sizes.join(" or ") };
        return Err(format!(
            "the image has {width} by {height} pixels, input `{}` of shape {:?} takes {wanted}; make it that size as in training",
            slot.name, slot.shape
        ));
    };
    let channels = image.channels - usize::from(image.alpha);
    if channels != form.channels {
        let of = |n| if n == 1 { "grey" } else { "in colour" };
        let (is, takes) = (of(channels), of(form.channels));
        return Err(format!("the image is {is}, input `{}` of shape {:?} takes one that is {takes}", slot.name, slot.shape));
    }
    if image.alpha && image.values.iter().skip(channels).step_by(image.channels).any(|alpha| *alpha < image.most) {
        return Err("the image is transparent in places; save it without an alpha channel".to_owned());
    }
    let most = f64::from(image.most);
    let value = |pixel: usize, channel: usize| {
        let raw = f64::from(image.values[pixel * image.channels + channel]);
        match pixels {
            Pixels::Unit => raw / most,
            Pixels::Byte => 255.0 * raw / most,
            Pixels::Signed => 2.0 * raw / most - 1.0,
        }
    };
    let count = width * height;
    Ok(if form.planar {
        (0..channels * count).map(|at| value(at % count, at / count)).collect()
    } else {
        (0..channels * count).map(|at| value(at / channels, at % channels)).collect()
    })
}

fn read_png(bytes: &[u8]) -> Result<Image, String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_IMAGE_BYTES });
    // Palettes become colours, and fewer than 8 bits become 8.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().filter(|size| *size <= MAX_IMAGE_BYTES && width.max(height) <= MAX_SIDE);
    let mut bytes = vec![0; size.ok_or_else(|| format!("it has {width} by {height} pixels, which is too large"))?];
    let frame = reader.next_frame(&mut bytes).map_err(|e| e.to_string())?;
    let (channels, alpha) = match frame.color_type {
        png::ColorType::Grayscale => (1, false),
        png::ColorType::GrayscaleAlpha => (2, true),
        png::ColorType::Rgb => (3, false),
        png::ColorType::Rgba => (4, true),
        png::ColorType::Indexed => return Err("its palette is broken".to_owned()),
    };
    let (most, values) = match frame.bit_depth {
        BitDepth::Sixteen => (u16::MAX, bytes.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()),
        _ => (u8::MAX.into(), bytes.into_iter().map(u16::from).collect()),
    };
    whole(Image { width, height, channels, alpha, most, values })
}

fn read_jpeg(bytes: &[u8]) -> Result<Image, String> {
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| e.to_string())?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    decoder.set_options(options.jpeg_set_out_colorspace(if grey { ColorSpace::Luma } else { ColorSpace::RGB }));
    let (width, height) = decoder.dimensions().ok_or("it has no size")?;
    let size = decoder.output_buffer_size().filter(|size| *size <= MAX_IMAGE_BYTES);
    let mut bytes = vec![0; size.ok_or_else(|| format!("it has {width} by {height} pixels, which is too large"))?];
    decoder.decode_into(&mut bytes).map_err(|e| e.to_string())?;
    let values = bytes.into_iter().map(u16::from).collect();
    whole(Image { width, height, channels: if grey { 1 } else { 3 }, alpha: false, most: u8::MAX.into(), values })
}

/// An image that has all of its pixels.
fn whole(image: Image) -> Result<Image, String> {
    let wanted = image.width.checked_mul(image.height).and_then(|count| count.checked_mul(image.channels));
    if wanted == Some(image.values.len()) { Ok(image) } else { Err("it lacks pixels".to_owned()) }
}
