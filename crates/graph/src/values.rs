//! Sample and input files, and the digits that values become.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::{Encoding, Feature, Graph, Port, Scale};

/// Why values cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// The file is no JSON of the right form.
    #[error("{file} file: {reason}")]
    Json {
        /// `input` or `samples`.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Too many or too few inputs.
    #[error("{place}: `input_data` has {given} lists where the model has {expected} inputs")]
    Count {
        /// Which sample, or the input file.
        place: String,
        /// Lists given.
        given: usize,
        /// Inputs of the model.
        expected: usize,
    },
    /// A list has the wrong length.
    #[error("{place}: input `{input}` takes {expected} values, {given} were given")]
    Length {
        /// Which sample, or the input file.
        place: String,
        /// Name of the input.
        input: String,
        /// Values given.
        given: usize,
        /// Elements of the input.
        expected: usize,
    },
    /// A value is not a finite number.
    #[error("{place}: input `{input}`, element {element}: {value} is not a finite number")]
    NotFinite {
        /// Which sample, or the input file.
        place: String,
        /// Name of the input.
        input: String,
        /// Index in the flattened input.
        element: usize,
        /// The value.
        value: f64,
    },
    /// A value is none that the input takes.
    #[error("{place}: input `{input}`, element {element}: {value} {reason}")]
    Kind {
        /// Which sample, or the input file.
        place: String,
        /// Name of the input.
        input: String,
        /// Index in the flattened input.
        element: usize,
        /// The value.
        value: f64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value lies outside the range that the model was compiled for.
    #[error(
        "input `{input}`, element {element}: {value} is outside the calibrated range [{min}, {max}]; scale the input, or compile again with samples that reach as far, --input-range or a larger --margin"
    )]
    Range {
        /// Name of the input.
        input: String,
        /// Index in the flattened input.
        element: usize,
        /// The value.
        value: f64,
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
    },
}

/// What the numbers of an input or output are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Real numbers, which the integer graph approximates.
    #[default]
    Real,
    /// Integers, which the integer graph computes exactly.
    Integer,
    /// Truth values, 0 or 1, exact too.
    Boolean,
}

impl Kind {
    /// Why a finite number is none of this kind; nothing where it is one.
    pub fn refusal(self, value: f64) -> Option<&'static str> {
        match self {
            Self::Real => None,
            Self::Boolean => {
                (value != 0.0 && value != 1.0).then_some("is no truth value, which this input takes: give true or false, 1 or 0")
            }
            Self::Integer if value.fract() != 0.0 => Some("is a fraction, and this input takes integers"),
            Self::Integer => (value.abs() >= 2_f64.powi(53)).then_some("is not below 2^53, from where on integers are not told apart"),
        }
    }
}

/// The numbers of one inference: one flat list an input, in the model's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Input(pub Vec<Vec<f64>>);

/// Calibration inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples(pub Vec<Input>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputFile {
    input_data: Vec<Json>,
    /// For the reader; the model's shapes count.
    #[serde(default)]
    #[allow(dead_code)]
    input_shapes: Option<Vec<Vec<u64>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SamplesFile {
    samples: Vec<InputFile>,
}

impl Input {
    /// Parses `{"input_data": [list, …]}`: one flat or nested list of numbers, or of truth values, an input.
    ///
    /// # Errors
    /// When the bytes are no such JSON. Lengths are checked by [`encode`].
    pub fn from_json(bytes: &[u8]) -> Result<Input, ValueError> {
        let wrong = |reason: String| ValueError::Json { file: "input", reason };
        let file: InputFile = json(bytes, "{\"input_data\": [[number, …], …]}").map_err(wrong)?;
        lists(&file.input_data).map(Input).map_err(wrong)
    }
}

impl Samples {
    /// Parses `{"samples": [{"input_data": [list, …]}, …]}`.
    ///
    /// # Errors
    /// When the bytes are no such JSON or hold no sample.
    pub fn from_json(bytes: &[u8]) -> Result<Samples, ValueError> {
        let wrong = |reason: String| ValueError::Json { file: "samples", reason };
        let file: SamplesFile = json(bytes, "{\"samples\": [{\"input_data\": [[number, …], …]}, …]}").map_err(wrong)?;
        if file.samples.is_empty() {
            return Err(wrong("it holds no sample".into()));
        }
        let read = |(index, sample): (usize, &InputFile)| {
            lists(&sample.input_data).map(Input).map_err(|reason| wrong(format!("sample {index}: {reason}")))
        };
        Ok(Samples(file.samples.iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }
}

/// Text of a file as programs write it: UTF-8 or UTF-16, with a byte order mark or without.
///
/// # Errors
/// What is wrong, where the bytes are neither.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
        text.ok()
            .filter(|_| rest.is_empty())
            .map(Cow::Owned)
            .ok_or_else(|| "it begins as UTF-16 does and is none; save it as UTF-8".to_owned())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        // Neither JSON nor a table has a NUL near its beginning.
        [first, 0, ..] if *first != 0 => wide(bytes, u16::from_le_bytes),
        [0, first, ..] if *first != 0 => wide(bytes, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| format!("it is no text in UTF-8: {e}"))
        }
    }
}

/// Parses JSON. Numbers that are not finite, which other programs write though JSON has none, become texts: so the error for one can say
/// where it stands.
fn json<T: DeserializeOwned>(bytes: &[u8], expected: &str) -> Result<T, String> {
    let text = text(bytes)?;
    let parsed = serde_json::from_str(&text).or_else(|error| match quote_non_finite(&text) {
        Some(quoted) => serde_json::from_str(&quoted),
        None => Err(error),
    });
    parsed.map_err(|error| format!("{error}; expected {expected}"))
}

/// The text with quotes around each `NaN`, `Infinity` or number beyond all that `f64` holds; `None` where there is none.
fn quote_non_finite(text: &str) -> Option<String> {
    let mut quoted = String::with_capacity(text.len() + 2);
    let mut found = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            // A text, with what is escaped in it.
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| match c {
                _ if escaped => {
                    escaped = false;
                    false
                }
                '\\' => {
                    escaped = true;
                    false
                }
                c => *c == '"',
            });
            end.map_or(rest.len(), |(at, _)| at + 1)
        } else {
            let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            match rest.find(|c| !word(c)).unwrap_or(rest.len()) {
                0 => first.len_utf8(),
                length => length,
            }
        };
        let (token, others) = rest.split_at(length);
        if is_not_finite(token) {
            found = true;
            quoted.extend(["\"", token, "\""]);
        } else {
            quoted.push_str(token);
        }
        rest = others;
    }
    found.then_some(quoted)
}

fn is_not_finite(token: &str) -> bool {
    token.parse::<f64>().is_ok_and(|number| !number.is_finite())
}

fn lists(data: &[Json]) -> Result<Vec<Vec<f64>>, String> {
    data.iter()
        .enumerate()
        .map(|(index, value)| {
            let mut flat = Vec::new();
            if !value.is_array() {
                return Err(format!("input {index} is {} where a list is needed", kind(value)));
            }
            flatten(value, 0, &mut Nested::default(), &mut flat)
                .map_err(|reason| format!("input {index}, element {}: {reason}", flat.len()))?;
            Ok(flat)
        })
        .collect()
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// What is known of a nested list from the part that was read.
#[derive(Default)]
struct Nested {
    /// Length of the lists of each depth; none for what is no list.
    dims: Vec<Option<usize>>,
    /// Whether it is of truth values.
    truths: Option<bool>,
}

/// Appends the numbers of a nested list whose lists of one depth have one length. A truth value is 1 or 0, and stands among its like.
fn flatten(value: &Json, depth: usize, nested: &mut Nested, flat: &mut Vec<f64>) -> Result<(), String> {
    let length = value.as_array().map(Vec::len);
    if nested.dims.len() == depth {
        nested.dims.push(length);
    } else if nested.dims[depth] != length {
        return Err("the nested lists have different lengths".into());
    }
    let number = match value {
        Json::Array(list) => return list.iter().try_for_each(|value| flatten(value, depth + 1, nested, flat)),
        Json::Number(number) => number.as_f64().filter(|x| x.is_finite()).ok_or("it is not a finite number")?,
        Json::Bool(truth) => f64::from(u8::from(*truth)),
        Json::String(text) if is_not_finite(text) => return Err(format!("{text} is not a finite number")),
        other => return Err(format!("it is {} where a number is needed", kind(other))),
    };
    if *nested.truths.get_or_insert(value.is_boolean()) != value.is_boolean() {
        return Err(format!("it is {} among others that are none", kind(value)));
    }
    flat.push(number);
    Ok(())
}

impl Scale {
    /// The scale as a real number, to the precision of an `f64`.
    pub fn value(&self) -> f64 {
        self.mantissa as f64 / 1e18
    }

    /// The smallest scale of six significant decimals that is not below `value`, or `None` unless `value` is at least 10^−15,
    /// where a decimal of 18 places is within a thousandth of it, and at most 3.40282·10^20, the largest that 128 bits hold.
    pub fn at_least(value: f64) -> Option<Scale> {
        if !value.is_finite() || value < 1e-15 {
            return None;
        }
        let mut unit = 1_u128;
        let units = value * 1e18;
        while units / unit as f64 >= 1e6 {
            unit = unit.checked_mul(10)?;
        }
        // Division and multiplication round; a quotient that is a whole number but for that stays.
        let quotient = units / unit as f64;
        let nearest = quotient.round();
        let digits = if (quotient - nearest).abs() < 1e-7 { nearest } else { quotient.ceil() };
        (digits as u128).max(1).checked_mul(unit).map(|mantissa| Scale { mantissa })
    }
}

impl Feature {
    /// The feature of `bits` bits for numbers from `min` to `max`, zero always among them and exact.
    ///
    /// `None` when the range is not finite or its scale is no decimal of [`Scale`].
    pub fn covering(min: f64, max: f64, bits: u32) -> Option<Feature> {
        let (min, max) = (min.min(0.0), max.max(0.0));
        let top = ((1_i64 << bits) - 1) as f64;
        let mut step = if max > min { (max - min) / top } else { 1.0 / top };
        loop {
            let scale = Scale::at_least(step)?;
            let offset = (-min / scale.value()).round();
            if (max / scale.value()).round() + offset <= top {
                return Some(Feature { offset: offset as i64, scale });
            }
            step *= 1.0 + 0.5 / top;
        }
    }
}

/// Writes an input as integers (digit − offset), ready for [`crate::execute`]. A graph does not say which of its inputs are integers:
/// every number is rounded.
///
/// # Errors
/// When a list has the wrong length, or a value is not finite or rounds to an integer outside the digits' range.
pub fn encode(graph: &Graph, input: &Input) -> Result<Vec<Vec<i64>>, ValueError> {
    let tensor = |port: &'_ Port| &graph.tensors[port.tensor];
    let slot = |port| InputSlot { name: &tensor(port).name, shape: &tensor(port).shape, encoding: &port.encoding, kind: Kind::Real };
    encode_tensors(graph.inputs.iter().map(slot), input)
}

/// What is known of an input to write its numbers.
#[derive(Clone, Copy, Debug)]
pub struct InputSlot<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its digits.
    pub encoding: &'a Encoding,
    /// What its numbers are.
    pub kind: Kind,
}

/// [`encode`] by what is known of the inputs.
///
/// # Errors
/// As [`encode`], and for a number that is none of its input's kind: it is not altered.
pub fn encode_tensors<'a>(tensors: impl ExactSizeIterator<Item = InputSlot<'a>>, input: &Input) -> Result<Vec<Vec<i64>>, ValueError> {
    let place = || "input file".to_owned();
    if input.0.len() != tensors.len() {
        return Err(ValueError::Count { place: place(), given: input.0.len(), expected: tensors.len() });
    }
    let one = |(InputSlot { name, shape, encoding, kind }, list): (InputSlot<'_>, &Vec<f64>)| {
        let expected = shape.iter().product();
        if list.len() != expected {
            return Err(ValueError::Length { place: place(), input: name.to_owned(), given: list.len(), expected });
        }
        list.iter()
            .zip(encoding.by_element(shape))
            .enumerate()
            .map(|(element, (&value, feature))| {
                if !value.is_finite() {
                    return Err(ValueError::NotFinite { place: place(), input: name.to_owned(), element, value });
                }
                if let Some(reason) = kind.refusal(value) {
                    return Err(ValueError::Kind { place: place(), input: name.to_owned(), element, value, reason });
                }
                let (min, max) = feature.range(encoding.bits);
                let scale = feature.scale.value();
                let integer = (value / scale).round();
                if integer < min as f64 || integer > max as f64 {
                    let (min, max) = (min as f64 * scale, max as f64 * scale);
                    return Err(ValueError::Range { input: name.to_owned(), element, value, min, max });
                }
                Ok(integer as i64)
            })
            .collect()
    };
    tensors.zip(&input.0).map(one).collect()
}

impl Encoding {
    /// The real numbers that the integers of a tensor of that shape stand for.
    pub fn decode(&self, shape: &[usize], integers: &[i64]) -> Vec<f64> {
        integers.iter().zip(self.by_element(shape)).map(|(&integer, feature)| integer as f64 * feature.scale.value()).collect()
    }
}

/// The real numbers that the output integers stand for, one list per output. `outputs` are in the graph's output order.
pub fn decode_outputs(graph: &Graph, outputs: &[Vec<i64>]) -> Vec<Vec<f64>> {
    graph.outputs.iter().zip(outputs).map(|(port, list)| port.encoding.decode(&graph.tensors[port.tensor].shape, list)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_six_decimals_and_never_shrink() {
        assert_eq!(Scale::at_least(0.1), Some(Scale { mantissa: 100_000_000_000_000_000 }));
        assert_eq!(Scale::at_least(1.0 / 255.0), Some(Scale { mantissa: 3_921_570_000_000_000 }));
        assert_eq!(Scale::at_least(0.0), None);
        assert_eq!(Scale::at_least(f64::NAN), None);
        assert_eq!(Scale::at_least(f64::INFINITY), None);
        assert_eq!(Scale::at_least(1e-15), Some(Scale { mantissa: 1000 }));
        assert_eq!(Scale::at_least(9.9e-16), None);
    }

    #[test]
    fn scales_reach_as_far_as_128_bits() {
        // Around 2^64 units, where they once ended.
        for (value, mantissa) in [
            (18.4, 18_400_000_000_000_000_000),
            (18.4467, 18_446_700_000_000_000_000),
            (18.446_744_1, 18_446_800_000_000_000_000),
            (19.0, 19_000_000_000_000_000_000),
            (1e6, 1_000_000_000_000_000_000_000_000),
            (3.40282e20, 340_282_000_000_000_000_000_000_000_000_000_000_000),
        ] {
            assert_eq!(Scale::at_least(value), Some(Scale { mantissa }), "{value}");
        }
        for value in [3.402_821e20, 3.5e20, 1e30, 1e300, f64::MAX] {
            assert_eq!(Scale::at_least(value), None, "{value}");
        }
    }

    /// Quantisation finds an output's scale a second time from the accumulator's: it must be the same decimal.
    #[test]
    fn scales_are_found_again_from_their_value() {
        for power in -12..=20 {
            for digits in [1.0, 1.234_56, 1.999_999, 2.5, 3.333_333, 3.402_82] {
                let value = digits * 10_f64.powi(power);
                let scale = Scale::at_least(value).unwrap();
                assert!(scale.value() >= value * (1.0 - 1e-12) && scale.value() <= value * (1.0 + 1.1e-5), "{value} {scale:?}");
                assert_eq!(Scale::at_least(scale.value()), Some(scale), "{value}");
                assert_eq!(Scale::at_least(scale.value() / 1024.0 * 1024.0), Some(scale), "{value}");
            }
        }
    }

    #[test]
    fn encodings_cover_their_range_with_exact_zero() {
        for (min, max) in [(0.0, 1.0), (-1.0, 1.0), (-0.3, 2.7), (-5.0, -1.0), (2.0, 3.0), (0.0, 0.0)] {
            let feature = Feature::covering(min, max, 8).unwrap();
            let (least, most) = feature.range(8);
            let scale = feature.scale.value();
            assert!((min / scale).round() >= least as f64 && (max / scale).round() <= most as f64, "{feature:?}");
            assert!(min < 0.0 || feature.offset == 0);
        }
    }

    #[test]
    fn text_is_read_as_programs_write_it() {
        let plain = r#"{"input_data": [[1, 2.5, "ä𝄞"]]}"#;
        let wide = |unit: fn(u16) -> [u8; 2], mark: &[u8]| [mark.to_vec(), plain.encode_utf16().flat_map(unit).collect()].concat();
        for bytes in [
            plain.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", plain.as_bytes()].concat(),
            wide(u16::to_le_bytes, b"\xff\xfe"),
            wide(u16::to_be_bytes, b"\xfe\xff"),
            wide(u16::to_le_bytes, b""),
            wide(u16::to_be_bytes, b""),
        ] {
            assert_eq!(text(&bytes).unwrap(), plain);
        }
        for bytes in [&b"\xff\xfe{"[..], b"\xfe\xff\xdc\x00", b"{\0\x00\xd8", b"\x80"] {
            assert!(text(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(text(b"").unwrap(), "");
    }

    #[test]
    fn what_is_not_finite_is_named_by_its_place() {
        for (number, shown) in
            [("NaN", "NaN"), ("-Infinity", "-Infinity"), ("Infinity", "Infinity"), ("nan", "nan"), ("1e999", "1e999"), ("-1E999", "-1E999")]
        {
            let list = format!(r#"{{"input_data": [[0], [1, [2], {number}, 3]]}}"#).replace("[2]", "2");
            let error = Input::from_json(list.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("input file: input 1, element 2: {shown} is not a finite number"));
            let samples = format!(r#"{{"samples": [{{"input_data": [[1]]}}, {list}]}}"#);
            let error = Samples::from_json(samples.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("samples file: sample 1: input 1, element 2: {shown} is not a finite number"));
        }
        // Texts stay what they are, quotes in them too.
        assert_eq!(quote_non_finite(r#"{"NaN \" NaN": ["a\\", NaN]}"#).unwrap(), r#"{"NaN \" NaN": ["a\\", "NaN"]}"#);
        assert_eq!(quote_non_finite(r#"{"NaN": [1e9, null, true, "Infinity"#), None);
    }

    #[test]
    fn exact_inputs_take_what_they_are() {
        let encoding = Encoding::uniform(32, 1 << 31, Scale { mantissa: 10_u128.pow(Scale::DECIMALS) });
        let encoded = |kind: Kind, value: f64| {
            let slot = InputSlot { name: "n", shape: &[2], encoding: &encoding, kind };
            encode_tensors(std::iter::once(slot), &Input(vec![vec![0.0, value]])).map_err(|error| error.to_string())
        };
        for (kind, value) in [(Kind::Integer, -3.0), (Kind::Integer, 2_147_483_647.0), (Kind::Boolean, 1.0), (Kind::Boolean, -0.0)] {
            assert_eq!(encoded(kind, value), Ok(vec![vec![0, value as i64]]));
        }
        assert_eq!(encoded(Kind::Real, 2.5), Ok(vec![vec![0, 3]]));
        for (kind, value, says) in [
            (Kind::Integer, 2.5, "input `n`, element 1: 2.5 is a fraction, and this input takes integers"),
            (Kind::Integer, 1e-9, "0.000000001 is a fraction"),
            (Kind::Integer, 9_007_199_254_740_993.0, "is not below 2^53"),
            (Kind::Integer, -9_007_199_254_740_992.0, "is not below 2^53"),
            (Kind::Integer, 9_007_199_254_740_991.0, "outside the calibrated range"),
            (Kind::Boolean, 0.5, "0.5 is no truth value"),
            (Kind::Boolean, 2.0, "2 is no truth value"),
        ] {
            let error = encoded(kind, value).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn json_is_read_flat_or_nested() {
        assert_eq!(Input::from_json(br#"{"input_data": [[true, false], [[0], [1]]]}"#).unwrap().0, [[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(Input::from_json(br#"{"input_data": [[1, 2.5], [[3], [4]]]}"#).unwrap().0, [[1.0, 2.5], [3.0, 4.0]]);
        for text in [
            r#"{"input_data": [[1, true]]}"#,
            r#"{"input_data": [[false, 0]]}"#,
            r#"{"input_data": [[1, "2"]]}"#,
            r#"{"input_data": [[1, null]]}"#,
            r#"{"input_data": [[1, NaN]]}"#,
            r#"{"input_data": [[1, 1e999]]}"#,
            r#"{"input_data": [[[1], 2]]}"#,
            r#"{"input_data": [[[1], [2, 3]]]}"#,
            r#"{"input_data": 1}"#,
            r#"{"input_data": [1]}"#,
            r#"{"data": [[1]]}"#,
            r#"{"input_data": [[1]], "more": 1}"#,
            "",
        ] {
            assert!(Input::from_json(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Samples::from_json(br#"{"samples": []}"#).is_err());
        assert_eq!(Samples::from_json(br#"{"samples": [{"input_data": [[1]]}]}"#).unwrap().0.len(), 1);
    }
}
