//! Constants: decoding of ONNX tensors, and the little arithmetic on them that exporters leave in a model.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use half::{bf16, f16};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use super::ImportError;
use zkslice_graph::checked_elements;

/// Elements of a constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Elements {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
}

impl Elements {
    /// The list, if they are floats.
    pub(super) fn floats(&self) -> Option<&[f64]> {
        match self {
            Elements::Floats(list) => Some(list),
            Elements::Ints(_) => None,
        }
    }

    /// The list, if they are integers.
    pub(super) fn ints(&self) -> Option<&[i64]> {
        match self {
            Elements::Floats(_) => None,
            Elements::Ints(list) => Some(list),
        }
    }
}

/// A tensor known at compile time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements,
}

impl Constant {
    pub(super) fn len(&self) -> usize {
        match &self.elements {
            Elements::Floats(list) => list.len(),
            Elements::Ints(list) => list.len(),
        }
    }

    /// A constant of floats.
    pub(super) fn floats(shape: Vec<usize>, list: Vec<f64>) -> Constant {
        Constant { shape, elements: Elements::Floats(list) }
    }

    /// A constant of integers.
    pub(super) fn ints(shape: Vec<usize>, list: Vec<i64>) -> Constant {
        Constant { shape, elements: Elements::Ints(list) }
    }

    /// The elements that stand in the places that `places` makes of all places, under a shape.
    pub(super) fn moved(&self, shape: Vec<usize>, places: impl FnOnce(&[usize]) -> Vec<usize>) -> Constant {
        let places = places(&(0..self.len()).collect::<Vec<_>>());
        let elements = match &self.elements {
            Elements::Floats(list) => Elements::Floats(places.into_iter().map(|place| list[place]).collect()),
            Elements::Ints(list) => Elements::Ints(places.into_iter().map(|place| list[place]).collect()),
        };
        Constant { shape, elements }
    }

    /// The one number that all elements are.
    pub(super) fn uniform(&self) -> Option<f64> {
        match &self.elements {
            Elements::Floats(list) => list.first().copied().filter(|first| list.iter().all(|x| x == first)),
            Elements::Ints(list) => list.first().filter(|first| list.iter().all(|x| x == *first)).map(|&x| x as f64),
        }
    }

    /// Whether 32 bits hold each of its floats; nothing where it is of integers.
    pub(super) fn are_single(&self) -> Option<bool> {
        match &self.elements {
            Elements::Floats(list) => Some(list.iter().all(|&x| f64::from(x as f32) == x)),
            Elements::Ints(_) => None,
        }
    }

    /// Decodes an ONNX tensor; external data is looked for inside `folder` alone, and where links in it
    /// lead. Numbers that are not finite are refused where
    /// they are used, not here: a bound may be infinite, and what nothing reads does no harm.
    pub(super) fn decode(name: &str, tensor: &TensorProto, folder: Option<&Path>) -> Result<Constant, ImportError> {
        let wrong = |reason: String| ImportError::Constant { name: name.to_owned(), reason };
        let shape: Vec<usize> = tensor
            .dims
            .iter()
            .map(|&dim| usize::try_from(dim).map_err(|_| wrong(format!("has dimension {dim}"))))
            .collect::<Result<_, _>>()?;
        // An empty constant (a shape of no axis, say) is legal.
        let count = if shape.contains(&0) { 0 } else { checked_elements(&shape).map_err(wrong)? };
        if tensor.segment.is_some() {
            return Err(wrong("is stored in segments, which is not supported".into()));
        }
        let external = tensor.data_location == Some(DataLocation::External as i32);
        let raw: Option<Vec<u8>> = if external {
            Some(external_bytes(tensor, folder).map_err(wrong)?)
        } else {
            (!tensor.raw_data.is_empty()).then(|| tensor.raw_data.clone())
        };
        let kind = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
        let floats = |list: Option<Vec<f64>>| Elements::Floats(list.unwrap_or_default());
        let ints = |list: Option<Vec<i64>>| Elements::Ints(list.unwrap_or_default());
        // Types narrower than 32 bits that are not stored raw fill one `int32_data` each.
        let halves = |read: fn(u16) -> f32| match &raw {
            Some(raw) => decode_raw(raw, |b: [u8; 2]| f64::from(read(u16::from_le_bytes(b)))),
            None => tensor.int32_data.iter().map(|&x| u16::try_from(x).ok().map(|bits| f64::from(read(bits)))).collect(),
        };
        let narrow = || Some(tensor.int32_data.iter().map(|&x| i64::from(x)).collect());
        let signed = |list: Vec<u64>| list.into_iter().map(|x| i64::try_from(x).ok()).collect::<Option<Vec<i64>>>();
        let wide = || signed(tensor.uint64_data.clone());
        let elements = match kind {
            DataType::Float => floats(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 4]| f64::from(f32::from_le_bytes(b))),
                None => Some(tensor.float_data.iter().map(|&x| f64::from(x)).collect()),
            }),
            DataType::Double => floats(match &raw {
                Some(raw) => decode_raw(raw, f64::from_le_bytes),
                None => Some(tensor.double_data.clone()),
            }),
            DataType::Float16 => floats(halves(|bits| f16::from_bits(bits).to_f32())),
            DataType::Bfloat16 => floats(halves(|bits| bf16::from_bits(bits).to_f32())),
            DataType::Int64 => ints(match &raw {
                Some(raw) => decode_raw(raw, i64::from_le_bytes),
                None => Some(tensor.int64_data.clone()),
            }),
            DataType::Int32 => ints(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 4]| i64::from(i32::from_le_bytes(b))),
                None => narrow(),
            }),
            DataType::Uint32 => ints(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 4]| i64::from(u32::from_le_bytes(b))),
                None => wide(),
            }),
            DataType::Uint64 => ints(match &raw {
                Some(raw) => decode_raw(raw, u64::from_le_bytes).and_then(signed),
                None => wide(),
            }),
            DataType::Int16 => ints(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 2]| i64::from(i16::from_le_bytes(b))),
                None => narrow(),
            }),
            DataType::Uint16 => ints(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 2]| i64::from(u16::from_le_bytes(b))),
                None => narrow(),
            }),
            DataType::Int8 => ints(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 1]| i64::from(i8::from_le_bytes(b))),
                None => narrow(),
            }),
            DataType::Uint8 => ints(match &raw {
                Some(raw) => decode_raw(raw, |b: [u8; 1]| i64::from(u8::from_le_bytes(b))),
                None => narrow(),
            }),
            DataType::Bool => ints(match &raw {
                Some(raw) => Some(raw.iter().map(|&b| i64::from(b != 0)).collect()),
                None => Some(tensor.int32_data.iter().map(|&x| i64::from(x != 0)).collect()),
            }),
            other => {
                return Err(wrong(format!(
                    "has element type {}; float, double, float16, bfloat16, bool and integers of up to 64 bits are supported",
                    other.as_str_name()
                )));
            }
        };
        let constant = Constant { shape, elements };
        if constant.len() != count {
            return Err(wrong(format!("holds {} elements where its shape {:?} asks for {count}", constant.len(), constant.shape)));
        }
        Ok(constant)
    }
}

fn decode_raw<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = raw.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|&chunk| read(chunk)).collect())
}

/// The bytes of a tensor that are kept in another file.
fn external_bytes(tensor: &TensorProto, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    let Some(folder) = folder else {
        return Err("is kept in another file, but the model was given as bytes".into());
    };
    let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let number = |key: &str| entry(key).map(|text| text.parse::<u64>().map_err(|_| format!("has external {key} `{text}`"))).transpose();
    let location = entry("location").ok_or("is kept in another file without a name")?;
    if Path::new(location).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("is kept in `{location}`, outside the model's folder; put the file beside the model"));
    }
    let unreadable = |error: std::io::Error| format!("is kept in `{location}`, which cannot be read: {error}");
    // The location is the model's word and stays inside the folder. Links there are its owner's own, as caches of models make them, and
    // may lead anywhere.
    let path = folder.join(location);
    let found = std::fs::metadata(&path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(format!("is kept in `{location}`, which is no file"));
    }
    let size = found.len();
    let mut file = File::open(path).map_err(unreadable)?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(format!("is kept in `{location}` at {offset}, {length} bytes long, but the file has {size} bytes"));
    }
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tract_onnx::pb::StringStringEntryProto;

    use super::*;

    fn kept_in(location: &str) -> TensorProto {
        let entry = StringStringEntryProto { key: "location".into(), value: location.into() };
        TensorProto { external_data: vec![entry], ..TensorProto::default() }
    }

    /// The model's words stay in its folder; its owner's links lead where they lead.
    #[test]
    fn links_of_a_cache_are_followed_and_locations_stay_inside() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("snapshots/main");
        fs::create_dir_all(folder.join("inner")).unwrap();
        fs::create_dir(cache.path().join("blobs")).unwrap();
        fs::write(cache.path().join("blobs/77aa"), [1, 2, 3]).unwrap();
        symlink("../../blobs/77aa", folder.join("model.onnx_data")).unwrap();
        symlink("../../blobs", folder.join("linked")).unwrap();
        for location in ["model.onnx_data", "./model.onnx_data", "linked/77aa"] {
            assert_eq!(external_bytes(&kept_in(location), Some(&folder)).unwrap(), [1, 2, 3], "{location}");
        }
        let inside = cache.path().join("blobs/77aa");
        for location in ["../../blobs/77aa", "inner/../model.onnx_data", "/etc/hostname", inside.to_str().unwrap(), ".."] {
            assert!(external_bytes(&kept_in(location), Some(&folder)).unwrap_err().contains("outside the model's folder"), "{location}");
        }
        symlink("nowhere", folder.join("broken")).unwrap();
        symlink("/dev/zero", folder.join("endless")).unwrap();
        for (location, word) in [("broken", "cannot be read"), ("linked", "no file"), ("endless", "no file"), ("", "no file")] {
            assert!(external_bytes(&kept_in(location), Some(&folder)).unwrap_err().contains(word), "{location}");
        }
    }
}
