//! NumPy's arrays.

use std::io::{Cursor, Read};

use npyz::{DType, NpyFile, Order, TypeChar};
use zip::ZipArchive;

use crate::array::{self, Array};
use crate::{MAX_BYTES, Slot};

/// Most bytes of a header's text: NumPy's own are about a hundred.
const MAX_HEADER: usize = 4096;
/// Most brackets within brackets in a header: a shape in a dictionary has 2.
const MAX_DEPTH: usize = 4;
/// Most digits in a header: with them no product of a shape is above 10^18.
const MAX_DIGITS: usize = 18;

/// Reads a `.npy`.
pub(crate) fn array(bytes: &[u8]) -> Result<Array, String> {
    let header = check_header(bytes)?;
    let file = NpyFile::new(bytes).map_err(|e| format!("it is no .npy array: {e}"))?;
    let shape: Vec<usize> =
        file.shape().iter().map(|dim| usize::try_from(*dim)).collect::<Result<_, _>>().map_err(|_| "its shape is beyond all bounds")?;
    let count = array::count(&shape)?;
    let DType::Plain(kind) = file.dtype() else {
        return Err("its elements are records; give an array of numbers".to_owned());
    };
    let size = kind.num_bytes().unwrap_or_default();
    let held = bytes.len() - header;
    if count.checked_mul(size) != Some(held) {
        return Err(format!("its shape {shape:?} of type '{kind}' needs {} bytes, it has {held}", count.saturating_mul(size)));
    }
    let order = file.order();
    let broken = |e: std::io::Error| format!("it cannot be read: {e}");
    macro_rules! read {
        ($type:ty, $convert:expr) => {
            file.into_vec::<$type>().map_err(broken)?.into_iter().map($convert).collect()
        };
    }
    let values: Vec<f64> = match (kind.type_char(), size) {
        (TypeChar::Float, 4) => read!(f32, f64::from),
        (TypeChar::Float, 8) => read!(f64, |x| x),
        (TypeChar::Int, 1) => read!(i8, f64::from),
        (TypeChar::Int, 2) => read!(i16, f64::from),
        (TypeChar::Int, 4) => read!(i32, f64::from),
        (TypeChar::Int, 8) => read!(i64, |x| x as f64),
        (TypeChar::Uint, 1) => read!(u8, f64::from),
        (TypeChar::Uint, 2) => read!(u16, f64::from),
        (TypeChar::Uint, 4) => read!(u32, f64::from),
        (TypeChar::Uint, 8) => read!(u64, |x| x as f64),
        (TypeChar::Bool, 1) => read!(bool, |x| f64::from(u8::from(x))),
        _ => return Err(format!("its elements are of type '{kind}'; save it as float32, float64, whole numbers or truth values")),
    };
    let values = match order {
        Order::C => values,
        Order::Fortran => {
            // Stored with the axes the other way round.
            let stored: Vec<usize> = shape.iter().rev().copied().collect();
            let back: Vec<usize> = (0..shape.len()).rev().collect();
            zkslice_graph::transpose(&back, &stored, &values)
        }
    };
    Ok(Array { shape, values })
}

/// Bounds what the header's parser gets: its recursion, and the products that it makes of the shape. Returns where the data begins.
fn check_header(bytes: &[u8]) -> Result<usize, String> {
    let no = || "it is no .npy array".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(no)?;
    let (start, length) = match rest {
        [1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => return Err(no()),
    };
    let text = bytes.get(start..).and_then(|rest| rest.get(..length)).ok_or_else(no)?;
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    if length > MAX_HEADER || deepest > MAX_DEPTH || digits > MAX_DIGITS {
        return Err("its header is none of an array of numbers".to_owned());
    }
    Ok(start + length)
}

/// A zip of `.npy` files, each under its array's name.
type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

const SUFFIX: &str = ".npy";

fn open(bytes: &[u8]) -> Result<Archive<'_>, String> {
    ZipArchive::new(Cursor::new(bytes)).map_err(|e| format!("it is no .npz archive: {e}"))
}

fn names(archive: &Archive<'_>) -> Vec<String> {
    let mut names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.strip_suffix(SUFFIX)?.to_owned())).collect();
    names.sort();
    names
}

/// An array of an archive, unpacked no further than an array may be long.
fn named(archive: &mut Archive<'_>, name: &str) -> Result<Array, String> {
    let at = |reason: String| format!("array `{name}`: {reason}");
    let entry = archive.by_name(&format!("{name}{SUFFIX}")).map_err(|e| at(e.to_string()))?;
    let mut bytes = Vec::new();
    entry.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| at(e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(at(format!("it has more than {} MiB; give fewer samples", MAX_BYTES >> 20)));
    }
    array(&bytes).map_err(at)
}

/// An array of a `.npz`, if it is there.
pub(crate) fn find(bytes: &[u8], name: &str) -> Result<Option<Array>, String> {
    let mut archive = open(bytes)?;
    if names(&archive).iter().any(|found| found == name) { named(&mut archive, name).map(Some) } else { Ok(None) }
}

/// The labels in a `.npz`: its array `y`, or its only one.
pub(crate) fn labels(bytes: &[u8]) -> Result<Option<Array>, String> {
    let mut archive = open(bytes)?;
    match &names(&archive)[..] {
        [only] => named(&mut archive, only).map(Some),
        several if several.iter().any(|name| name == "y") => named(&mut archive, "y").map(Some),
        _ => Ok(None),
    }
}

/// Samples of a `.npz`: for each its inputs in order.
pub(crate) fn inputs(bytes: &[u8], slots: &[Slot]) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let mut archive = open(bytes)?;
    let names = names(&archive);
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let name_of = |slot: &Slot| match (slots, &names[..]) {
        _ if has(&slot.name) => Ok(slot.name.clone()),
        ([_], _) if has("x") => Ok("x".to_owned()),
        ([_], [only]) => Ok(only.clone()),
        _ => Err(format!("it has arrays {names:?}, none is named like input `{}`", slot.name)),
    };
    let read = |slot: &Slot| {
        let name = name_of(slot)?;
        let place = format!("array `{name}`");
        let list = named(&mut archive, &name)?.split(slot).map_err(|reason| format!("{place}: {reason}"))?;
        Ok((place, list))
    };
    array::join(slots.iter().map(read))
}
