//! Samples, inputs and labels from files.
//!
//! | file | what it holds |
//! |---|---|
//! | `.npy` | one array: an input, or several along a first axis |
//! | `.npz` | such an array for each input of the model, by its name; `x` or the only array where the model has one input |
//! | `.pb` | an ONNX tensor: an input, or several along a first axis |
//! | `.csv` | one sample per row, one column for each value of the inputs, one input after the other; a first row of names is passed over |
//! | `.png`, `.jpg`, `.jpeg` | an input: an image of exactly the size that the model takes |
//! | a folder with `input_0.pb`, `input_1.pb` and so on | such a tensor for each input, which it names or whose number it has; `output_<k>.pb` may lie beside them |
//! | another folder | all of its files and of its folders of tensors, by name |
//! | any other | JSON, as [`Input::from_json`] and [`Samples::from_json`] read it |
//!
//! Text may be UTF-8 or UTF-16, with a byte order mark or without. Files are not trusted: what they announce is compared with limits and
//! with what they hold before anything is allocated for it, and values that are no finite numbers are refused by sample, input and
//! element.

mod array;
mod image;
mod numpy;
mod onnx;
mod table;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zkslice_formats::guard;
use zkslice_graph::{Input, Samples, ValueError};

use crate::array::Array;
pub use crate::image::Pixels;

/// Most bytes of a file, and of an array in a `.npz`.
const MAX_BYTES: u64 = 1 << 30;
/// Most bytes of a file of text or of packed integers, whose numbers take more memory.
const MAX_PACKED_BYTES: u64 = 1 << 28;
/// Most values of a file: a gibibyte of them.
const MAX_VALUES: usize = 1 << 27;

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Slot {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape without the leading axes of length 1: that of one sample, to those who do not count the batch.
    fn inner(&self) -> &[usize] {
        let ones = self.shape.iter().take_while(|dim| **dim == 1).count();
        &self.shape[ones..]
    }
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system cannot read it.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what its name says, or does not fit the model.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One of its values, or their number.
    #[error("{}: {source}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ValueError,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Npy,
    Npz,
    Onnx,
    Csv,
    Image,
}

impl Format {
    fn of(path: &Path) -> Self {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("npy") => Self::Npy,
            Some("npz") => Self::Npz,
            Some("pb") => Self::Onnx,
            Some("csv") => Self::Csv,
            Some("png" | "jpg" | "jpeg") => Self::Image,
            _ => Self::Json,
        }
    }

    /// Most bytes of such a file.
    fn most(self) -> u64 {
        match self {
            Self::Json | Self::Onnx | Self::Csv => MAX_PACKED_BYTES,
            Self::Npy | Self::Npz | Self::Image => MAX_BYTES,
        }
    }
}

/// What a JSON file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Json {
    Input,
    Samples,
    Either,
}

/// Whether the model's inputs must be known to read a file: JSON says itself which list is which input's.
pub fn needs_slots(path: &Path) -> bool {
    path.is_dir() || Format::of(path) != Format::Json
}

/// Reads one input.
///
/// # Errors
/// [`ReadError`], also where the file holds several.
pub fn input(path: &Path, slots: &[Slot], pixels: Pixels) -> Result<Input, ReadError> {
    let mut all = read(path, slots, pixels, Json::Input)?;
    match (all.pop(), all.len()) {
        (Some(input), 0) => Ok(input),
        (_, more) => Err(malformed(path, format!("it holds {} inputs where one is needed", more + 1))),
    }
}

/// Reads samples to calibrate with.
///
/// # Errors
/// [`ReadError`].
pub fn samples(path: &Path, slots: &[Slot], pixels: Pixels) -> Result<Samples, ReadError> {
    read(path, slots, pixels, Json::Samples).map(Samples)
}

/// Reads inputs to evaluate: as many as there are. JSON may be of either form.
///
/// # Errors
/// [`ReadError`], also for lists that are not as long as the model's inputs.
pub fn inputs(path: &Path, slots: &[Slot], pixels: Pixels) -> Result<Vec<Input>, ReadError> {
    let inputs = read(path, slots, pixels, Json::Either)?;
    for (index, Input(lists)) in inputs.iter().enumerate() {
        let place = || format!("input {index}");
        let wrong = if lists.len() == slots.len() {
            let pairs = slots.iter().zip(lists).find(|(slot, list)| slot.len() != list.len());
            pairs.map(|(slot, list)| ValueError::Length {
                place: place(),
                input: slot.name.clone(),
                given: list.len(),
                expected: slot.len(),
            })
        } else {
            Some(ValueError::Count { place: place(), given: lists.len(), expected: slots.len() })
        };
        if let Some(source) = wrong {
            return Err(ReadError::Value { path: path.to_owned(), source });
        }
    }
    Ok(inputs)
}

/// Reads the labels of inputs, one per input: a `.npy`, a `.npz` (its array `y`, or its only one), or a `.csv` of one column.
///
/// # Errors
/// [`ReadError`].
pub fn labels(path: &Path) -> Result<Vec<usize>, ReadError> {
    let format = Format::of(path);
    let bytes = load(path, format.most())?;
    let values = match format {
        Format::Npy => numpy::array(&bytes),
        Format::Npz => numpy::labels(&bytes).and_then(|found| found.ok_or_else(|| "it has no array `y`".to_owned())),
        Format::Csv => table::rows(&bytes, 1).map(|rows| Array { shape: vec![rows.len()], values: rows.concat() }),
        Format::Json | Format::Onnx | Format::Image => {
            Err("labels are taken from a .npy, a .npz (its array `y`) or a .csv of one column".to_owned())
        }
    };
    values.and_then(|array| whole(&array)).map_err(|reason| malformed(path, reason))
}

/// The labels that a file of inputs has beside them: the array `y` of a `.npz`, unless the model has an input of that name. The inner
/// error says why the array is no list of classes.
///
/// # Errors
/// [`ReadError`].
pub fn labels_within(path: &Path, slots: &[Slot]) -> Result<Option<Result<Vec<usize>, String>>, ReadError> {
    if path.is_dir() || Format::of(path) != Format::Npz || slots.iter().any(|slot| slot.name == "y") {
        return Ok(None);
    }
    let bytes = load(path, MAX_BYTES)?;
    let found = numpy::find(&bytes, "y").map_err(|reason| malformed(path, reason))?;
    Ok(found.map(|array| whole(&array)))
}

fn whole(array: &Array) -> Result<Vec<usize>, String> {
    if array.shape.iter().filter(|dim| **dim != 1).count() > 1 {
        return Err(format!("labels have one axis, this array has shape {:?}; give class numbers, not one column per class", array.shape));
    }
    let label = |(index, value): (usize, &f64)| {
        let fits = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(value);
        if fits { Ok(*value as usize) } else { Err(format!("label {index} is {value}, no class number")) }
    };
    array.values.iter().enumerate().map(label).collect()
}

fn read(path: &Path, slots: &[Slot], pixels: Pixels, json: Json) -> Result<Vec<Input>, ReadError> {
    if path.is_dir() {
        return read_folder(path, slots, pixels, json);
    }
    let format = Format::of(path);
    let bytes = load(path, format.most())?;
    if format == Format::Json {
        return read_json(&bytes, json).map_err(|source| ReadError::Value { path: path.to_owned(), source });
    }
    let single = |array: fn(&[u8]) -> Result<Array, String>| {
        let list = alone(slots).and_then(|slot| array(&bytes)?.split(slot))?;
        Ok(list.into_iter().map(|x| vec![x]).collect())
    };
    // Decoders of others may panic on what they did not foresee.
    let inputs = guard(|| match format {
        Format::Json | Format::Npy => single(numpy::array),
        Format::Onnx => single(|bytes| Ok(onnx::tensor(bytes)?.1)),
        Format::Npz => numpy::inputs(&bytes, slots),
        Format::Csv => table::inputs(&bytes, slots),
        Format::Image => alone(slots).and_then(|slot| image::values(&bytes, slot, pixels)).map(|list| vec![vec![list]]),
    });
    finite(path, slots, inputs.unwrap_or_else(|panic| Err(format!("it cannot be read: {panic}"))))
}

/// What was read of a file, if all of it are finite numbers.
fn finite(path: &Path, slots: &[Slot], inputs: Result<Vec<Vec<Vec<f64>>>, String>) -> Result<Vec<Input>, ReadError> {
    let inputs = inputs.map_err(|reason| malformed(path, reason))?;
    if inputs.is_empty() {
        return Err(malformed(path, "it holds no sample"));
    }
    for (sample, lists) in inputs.iter().enumerate() {
        for (slot, list) in slots.iter().zip(lists) {
            if let Some(element) = list.iter().position(|x| !x.is_finite()) {
                let place = format!("sample {sample}");
                let source = ValueError::NotFinite { place, input: slot.name.clone(), element, value: list[element] };
                return Err(ReadError::Value { path: path.to_owned(), source });
            }
        }
    }
    Ok(inputs.into_iter().map(Input).collect())
}

fn read_json(bytes: &[u8], form: Json) -> Result<Vec<Input>, ValueError> {
    match form {
        Json::Input => Ok(vec![Input::from_json(bytes)?]),
        Json::Samples => Ok(Samples::from_json(bytes)?.0),
        Json::Either => match Input::from_json(bytes) {
            Ok(input) => Ok(vec![input]),
            // Of the two reasons, that of the form which is more likely meant.
            Err(ValueError::Json { reason, .. }) if reason.contains("unknown field `samples`") => Ok(Samples::from_json(bytes)?.0),
            Err(error) => Err(error),
        },
    }
}

/// The files of a folder, in the order of their names; hidden ones are none of it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let io = |source| ReadError::Io { path: folder.to_owned(), source };
    let mut files =
        std::fs::read_dir(folder).map_err(io)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>().map_err(io)?;
    files.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    files.sort();
    Ok(files)
}

fn input_number(file: &Path) -> Option<usize> {
    file.file_name()?.to_str().and_then(onnx::input_number)
}

/// A data set of ONNX tensors, or all files and data sets of a folder.
fn read_folder(folder: &Path, slots: &[Slot], pixels: Pixels, json: Json) -> Result<Vec<Input>, ReadError> {
    let files = files(folder)?;
    if files.iter().any(|file| input_number(file).is_some()) {
        return read_set(folder, &files, slots);
    }
    let mut all = Vec::new();
    let mut values = 0_usize;
    for file in &files {
        let is_set = || self::files(file).map(|files| files.iter().any(|file| input_number(file).is_some()));
        if file.is_dir() && !is_set()? {
            return Err(malformed(file, "it is a folder within a folder of samples, and has no input_0.pb"));
        }
        let inputs = read(file, slots, pixels, json)?;
        values += inputs.iter().flat_map(|input| &input.0).map(Vec::len).sum::<usize>();
        if values > MAX_VALUES {
            return Err(malformed(folder, format!("it holds more than {MAX_VALUES} values; give fewer samples")));
        }
        all.extend(inputs);
    }
    if all.is_empty() { Err(malformed(folder, "it holds no sample")) } else { Ok(all) }
}

/// A data set: a tensor for each input.
fn read_set(folder: &Path, files: &[PathBuf], slots: &[Slot]) -> Result<Vec<Input>, ReadError> {
    let mut tensors = Vec::new();
    for file in files {
        let Some(number) = input_number(file) else {
            let is_output = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("output_"));
            if is_output {
                continue;
            }
            return Err(malformed(file, "it lies beside input_0.pb and is no tensor of that data set; move it away"));
        };
        let bytes = load(file, Format::Onnx.most())?;
        let (name, array) = onnx::tensor(&bytes).map_err(|reason| malformed(file, reason))?;
        tensors.push((number, name, array));
        if tensors.iter().map(|(.., array)| array.values.len()).sum::<usize>() > MAX_VALUES {
            return Err(malformed(folder, format!("it holds more than {MAX_VALUES} values; give fewer samples")));
        }
    }
    // By number: `input_10.pb` comes before `input_2.pb` by name.
    tensors.sort_by_key(|(number, ..)| *number);
    finite(folder, slots, onnx::inputs(tensors, slots))
}

/// The only input of a model, for files that have no place for more.
fn alone(slots: &[Slot]) -> Result<&Slot, String> {
    match slots {
        [slot] => Ok(slot),
        _ => {
            let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
            Err(format!(
                "the model has {} inputs, {names:?}: give a .npz with an array for each, a folder with input_0.pb to input_{}.pb, a .csv, or JSON",
                slots.len(),
                slots.len().saturating_sub(1)
            ))
        }
    }
}

fn malformed(path: &Path, reason: impl Into<String>) -> ReadError {
    ReadError::Malformed { path: path.to_owned(), reason: reason.into() }
}

fn load(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > most {
        return Err(malformed(path, format!("it has more than {} MiB; give fewer samples", most >> 20)));
    }
    Ok(bytes)
}
