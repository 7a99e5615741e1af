//! ONNX tensors, one a file, as the model zoo's data sets have them.

use half::{bf16, f16};
use prost::Message;

use crate::Slot;
use crate::array::{self, Array};

/// ONNX's message of that name, as far as it matters here: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.
#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    /// A part of a larger tensor.
    #[prost(bytes = "vec", optional, tag = "3")]
    segment: Option<Vec<u8>>,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    uint64_data: Vec<u64>,
    /// 1 where the numbers are in another file.
    #[prost(int32, tag = "14")]
    data_location: i32,
}

/// Reads a tensor: its name, which may be empty, and its numbers.
pub(crate) fn tensor(bytes: &[u8]) -> Result<(String, Array), String> {
    let tensor = TensorProto::decode(bytes).map_err(|e| format!("it is no ONNX tensor: {e}"))?;
    if tensor.data_location != 0 || tensor.segment.is_some() {
        return Err("the numbers of the tensor are not all in it; save it whole".to_owned());
    }
    let dim = |dim: &i64| usize::try_from(*dim).map_err(|_| format!("the tensor has dimension {dim}"));
    let shape: Vec<usize> = tensor.dims.iter().map(dim).collect::<Result<_, _>>()?;
    let count = array::count(&shape)?;
    let values = numbers(&tensor)?;
    if values.len() != count {
        return Err(format!("the tensor's shape {shape:?} has {count} values, it holds {}", values.len()));
    }
    Ok((tensor.name, Array { shape, values }))
}

/// The numbers of a tensor, from its bytes or from the list that its type has.
fn numbers(tensor: &TensorProto) -> Result<Vec<f64>, String> {
    fn whole<const N: usize>(raw: &[u8], number: impl Fn([u8; N]) -> f64) -> Result<Vec<f64>, String> {
        let (chunks, rest) = raw.as_chunks::<N>();
        let numbers = || chunks.iter().map(|bytes| number(*bytes)).collect();
        if rest.is_empty() { Ok(numbers()) } else { Err(format!("the tensor has {} bytes of numbers of {N} bytes", raw.len())) }
    }
    // Types narrower than 32 bits fill one `int32_data` each.
    fn narrow<T: TryFrom<i32>>(tensor: &TensorProto, number: impl Fn(T) -> f64) -> Result<Vec<f64>, String> {
        let one = |x: &i32| T::try_from(*x).map(&number).map_err(|_| format!("{x} does not fit the type of the tensor's elements"));
        tensor.int32_data.iter().map(one).collect()
    }
    let raw = &tensor.raw_data[..];
    Ok(match (tensor.data_type, raw) {
        (1, []) => tensor.float_data.iter().copied().map(f64::from).collect(),
        (1, raw) => whole(raw, |x| f32::from_le_bytes(x).into())?,
        (2, []) => narrow(tensor, |x: u8| x.into())?,
        (2, raw) => whole(raw, |[x]| x.into())?,
        (3, []) => narrow(tensor, |x: i8| x.into())?,
        (3, raw) => whole(raw, |x| i8::from_le_bytes(x).into())?,
        (4, []) => narrow(tensor, |x: u16| x.into())?,
        (4, raw) => whole(raw, |x| u16::from_le_bytes(x).into())?,
        (5, []) => narrow(tensor, |x: i16| x.into())?,
        (5, raw) => whole(raw, |x| i16::from_le_bytes(x).into())?,
        (6, []) => narrow(tensor, |x: i32| x.into())?,
        (6, raw) => whole(raw, |x| i32::from_le_bytes(x).into())?,
        (7, []) => tensor.int64_data.iter().map(|x| *x as f64).collect(),
        (7, raw) => whole(raw, |x| i64::from_le_bytes(x) as f64)?,
        (9, []) => narrow(tensor, |x: i32| f64::from(u8::from(x != 0)))?,
        (9, raw) => whole(raw, |[x]| f64::from(u8::from(x != 0)))?,
        (10, []) => narrow(tensor, |x: u16| f16::from_bits(x).into())?,
        (10, raw) => whole(raw, |x| f16::from_le_bytes(x).into())?,
        (11, []) => tensor.double_data.clone(),
        (11, raw) => whole(raw, f64::from_le_bytes)?,
        (12, []) => {
            let wide =
                |x: &u64| u32::try_from(*x).map(f64::from).map_err(|_| format!("{x} does not fit the type of the tensor's elements"));
            tensor.uint64_data.iter().map(wide).collect::<Result<_, _>>()?
        }
        (13, []) => tensor.uint64_data.iter().map(|x| *x as f64).collect(),
        (12, raw) => whole(raw, |x| u32::from_le_bytes(x).into())?,
        (13, raw) => whole(raw, |x| u64::from_le_bytes(x) as f64)?,
        (16, []) => narrow(tensor, |x: u16| bf16::from_bits(x).into())?,
        (16, raw) => whole(raw, |x| bf16::from_le_bytes(x).into())?,
        (kind, _) => {
            return Err(format!(
                "the tensor's elements are of ONNX's type {kind}; float, double, float16, bfloat16, bool and integers of up to 64 bits are read"
            ));
        }
    })
}

/// The number k of `input_k.pb`.
pub(crate) fn input_number(file: &str) -> Option<usize> {
    let digits = file.strip_prefix("input_")?.strip_suffix(".pb")?;
    digits.parse().ok().filter(|number: &usize| number.to_string() == digits)
}

/// Samples of a data set's tensors, each with its number: the input that a tensor names takes it, or else the one of its number.
pub(crate) fn inputs(tensors: Vec<(usize, String, Array)>, slots: &[Slot]) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let mut arrays: Vec<Option<(usize, Array)>> = slots.iter().map(|_| None).collect();
    for (number, name, array) in tensors {
        let at = slots.iter().position(|slot| slot.name == name).unwrap_or(number);
        let Some(place) = arrays.get_mut(at) else {
            return Err(format!("input_{number}.pb is of no input: the model has {}", slots.len()));
        };
        if let Some((other, _)) = place.replace((number, array)) {
            return Err(format!("input_{other}.pb and input_{number}.pb are both of input `{}`", slots[at].name));
        }
    }
    array::join(slots.iter().zip(arrays).map(|(slot, array)| {
        let (number, array) = array.ok_or_else(|| format!("no input_<k>.pb is of input `{}`", slot.name))?;
        let place = format!("input_{number}.pb");
        let list = array.split(slot).map_err(|reason| format!("{place}: {reason}"))?;
        Ok((place, list))
    }))
}
