//! Files of samples, inputs and labels, as other programs write them and as none should.

#![allow(clippy::unwrap_used, clippy::float_cmp)]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use npyz::WriterBuilder as _;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use zkslice_graph::*;
use zkslice_inputs::*;

fn slot(name: &str, shape: &[usize]) -> Slot {
    Slot { name: name.into(), shape: shape.into() }
}

/// A folder for files of a test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn npy<T: npyz::AutoSerialize + Clone>(shape: &[u64], values: &[T]) -> Vec<u8> {
    ordered(shape, npyz::Order::C, values)
}

fn ordered<T: npyz::AutoSerialize + Clone>(shape: &[u64], order: npyz::Order, values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).order(order).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(values.iter().cloned()).unwrap();
    writer.finish().unwrap();
    bytes
}

fn npz(arrays: &[(&str, &[u64], Vec<f32>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ZipWriter::new(std::io::Cursor::new(&mut bytes));
    // As NumPy's `savez` and `savez_compressed` write them.
    let methods = [CompressionMethod::Stored, CompressionMethod::Deflated].into_iter().cycle();
    for ((name, shape, values), method) in arrays.iter().zip(methods) {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(&npy(shape, values)).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

fn png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
    bytes
}

fn refused(path: &Path, slots: &[Slot], words: &[&str]) {
    let error = inputs(path, slots, Pixels::Unit).unwrap_err().to_string();
    for word in words.iter().copied().chain([path.file_name().unwrap().to_str().unwrap()]) {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn arrays_are_one_input_or_several() {
    let folder = Folder::new();
    let model = [slot("x", &[1, 2, 3])];
    let values: Vec<f32> = (0..6).map(|k| k as f32).collect();
    let one = Input(vec![values.iter().map(|x| f64::from(*x)).collect()]);
    for shape in [&[1, 2, 3][..], &[2, 3], &[6]] {
        let path = folder.write("a.npy", &npy(shape, &values));
        assert_eq!(input(&path, &model, Pixels::Unit).unwrap(), one, "{shape:?}");
        assert_eq!(samples(&path, &model, Pixels::Unit).unwrap().0, std::slice::from_ref(&one));
    }
    let twice = [values.clone(), values.clone()].concat();
    for shape in [&[2, 1, 2, 3][..], &[2, 2, 3], &[2, 6]] {
        let path = folder.write("A.NPY", &npy(shape, &twice));
        assert_eq!(inputs(&path, &model, Pixels::Unit).unwrap(), [one.clone(), one.clone()], "{shape:?}");
        assert!(input(&path, &model, Pixels::Unit).unwrap_err().to_string().contains("2 inputs where one is needed"));
    }
    for shape in [&[3, 2][..], &[2, 3, 1], &[1, 1, 6], &[4, 3]] {
        let count = shape.iter().product::<u64>() as usize;
        let path = folder.write("wrong.npy", &npy(shape, &vec![0_f32; count]));
        refused(&path, &model, &["does not fit input `x` of shape [1, 2, 3]"]);
    }
    // A model of one value, as a column.
    let path = folder.write("column.npy", &npy(&[3], &[1_f32, 2.0, 3.0]));
    assert_eq!(inputs(&path, &[slot("x", &[1, 1])], Pixels::Unit).unwrap().len(), 3);
    let path = folder.write("none.npy", &npy::<f32>(&[0, 2, 3], &[]));
    refused(&path, &model, &["holds no sample"]);
}

#[test]
fn arrays_of_all_types_and_both_orders() {
    let folder = Folder::new();
    let model = [slot("x", &[2, 3])];
    let expected = [Input(vec![vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]])];
    let all = [
        npy(&[2, 3], &[0_f32, 1., 2., 3., 4., 5.]),
        npy(&[2, 3], &[0_f64, 1., 2., 3., 4., 5.]),
        npy(&[2, 3], &[0_u8, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_i8, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_u16, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_i16, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_u32, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_i32, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_u64, 1, 2, 3, 4, 5]),
        npy(&[2, 3], &[0_i64, 1, 2, 3, 4, 5]),
        ordered(&[2, 3], npyz::Order::Fortran, &[0_f32, 3., 1., 4., 2., 5.]),
    ];
    for bytes in all {
        let path = folder.write("a.npy", &bytes);
        assert_eq!(inputs(&path, &model, Pixels::Unit).unwrap(), expected);
    }
    let path = folder.write("b.npy", &npy(&[6], &[true, false, true, true, false, false]));
    assert_eq!(inputs(&path, &model, Pixels::Unit).unwrap(), [Input(vec![vec![1.0, 0.0, 1.0, 1.0, 0.0, 0.0]])]);
}

#[test]
fn arrays_that_lie_are_refused_before_memory_is_taken() {
    let folder = Folder::new();
    let model = [slot("x", &[1, 4])];
    let header = |text: &str| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend([0; 16]);
        bytes
    };
    let dict = |descr: &str, shape: &str| header(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"));
    for (bytes, words) in [
        (dict("'<f4'", "(100000000000,)"), &["more than 134217728 values"][..]),
        (dict("'<f4'", "(134217728, 1)"), &["needs 536870912 bytes, it has 16"]),
        (dict("'<f4'", "(1, 3)"), &["needs 12 bytes, it has 16"]),
        (dict("'<f4'", "(999999999, 999999999, 999999999)"), &["header is none of an array of numbers"]),
        (dict("'<f2'", "(1, 8)"), &["type '<f2'", "save it as float32"]),
        (dict("'<c8'", "(1, 2)"), &["type '<c8'"]),
        (dict("'|O'", "(4,)"), &["needs 0 bytes"]),
        (dict("'<U1'", "(4,)"), &["type '<U1'"]),
        (dict("[('a', '<f4'), ('b', '<f4')]", "(2,)"), &["records"]),
        (header(&"(".repeat(60_000)), &["header is none"]),
        (header(&"x".repeat(60_000)), &["header is none"]),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}".to_vec(), &["no .npy array"]),
        (b"\x93NUMPY\x09\x00\x02\x00{}".to_vec(), &["no .npy array"]),
        (b"\x93NUM".to_vec(), &["no .npy array"]),
        (b"1,2,3,4".to_vec(), &["no .npy array"]),
        (Vec::new(), &["no .npy array"]),
    ] {
        refused(&folder.write("lie.npy", &bytes), &model, words);
    }
    let honest = npy(&[1, 4], &[0_f32; 4]);
    for length in 0..honest.len() {
        assert!(inputs(&folder.write("cut.npy", &honest[..length]), &model, Pixels::Unit).is_err(), "{length}");
    }
}

#[test]
fn what_is_not_finite_is_named_by_its_place() {
    let folder = Folder::new();
    let model = [slot("x", &[1, 2]), slot("z", &[1])];
    let bytes = npz(&[("x", &[3, 2], vec![0.0, 1.0, 2.0, 3.0, 4.0, f32::NAN]), ("z", &[3, 1], vec![0.0; 3])]);
    refused(&folder.write("a.npz", &bytes), &model, &["sample 2: input `x`, element 1: NaN is not a finite number"]);
    refused(&folder.write("a.csv", b"1,2,3\n4,5,-inf\n"), &model, &["sample 1: input `z`, element 0: -inf is not a finite number"]);
    refused(&folder.write("b.csv", b"1e999,2,3\n"), &model, &["sample 0: input `x`, element 0: inf is not"]);
    refused(&folder.write("a.json", br#"{"input_data": [[0, NaN], [1]]}"#), &model, &["input 0, element 1: NaN is not a finite number"]);
}

#[test]
fn archives_have_an_array_for_each_input() {
    let folder = Folder::new();
    let two = [slot("left", &[1, 2]), slot("right", &[1, 1])];
    let read = |bytes: &[u8], slots: &[Slot]| inputs(&folder.write("a.npz", bytes), slots, Pixels::Unit);
    let both = [("right", &[2, 1][..], vec![5.0, 6.0]), ("left", &[2, 2], vec![1.0, 2.0, 3.0, 4.0])];
    assert_eq!(read(&npz(&both), &two).unwrap(), [Input(vec![vec![1.0, 2.0], vec![5.0]]), Input(vec![vec![3.0, 4.0], vec![6.0]])]);
    refused(&folder.write("a.npz", &npz(&both[1..])), &two, &["arrays [\"left\"]", "none is named like input `right`"]);
    let uneven = [both[1].clone(), ("right", &[3, 1], vec![0.0; 3])];
    refused(&folder.write("a.npz", &npz(&uneven)), &two, &["array `right` has 3 samples, those before it 2"]);
    // One input: by its name, as `x`, or the only one.
    let one = [slot("left", &[1, 2])];
    let other = ("y", &[2][..], vec![7.0, 8.0]);
    for name in ["left", "x"] {
        assert_eq!(read(&npz(&[(name, &[2, 2], vec![1.0, 2.0, 3.0, 4.0]), other.clone()]), &one).unwrap().len(), 2);
    }
    assert_eq!(read(&npz(&[("arr_0", &[2], vec![1.0, 2.0])]), &one).unwrap(), [Input(vec![vec![1.0, 2.0]])]);
    refused(&folder.write("a.npz", &npz(&[("a", &[2], vec![0.0; 2]), other.clone()])), &one, &["[\"a\", \"y\"]", "`left`"]);
    refused(&folder.write("a.npz", b"PK\x03\x04"), &one, &["no .npz archive"]);

    let path = folder.write("labelled.npz", &npz(&[("x", &[2, 2], vec![0.0; 4]), other]));
    assert_eq!(labels_within(&path, &one).unwrap(), Some(Ok(vec![7, 8])));
    // An input of that name, or numbers that are no classes.
    assert_eq!(labels_within(&path, &[slot("y", &[1, 2])]).unwrap(), None);
    let measured = folder.write("a.npz", &npz(&[("y", &[2], vec![0.37, 1.0])]));
    assert!(labels_within(&measured, &one).unwrap().unwrap().unwrap_err().contains("label 0 is 0.37"));
    assert_eq!(labels(&path).unwrap(), [7, 8]);
    assert_eq!(labels_within(&folder.write("a.npz", &npz(&both)), &one).unwrap(), None);
    assert!(labels(&folder.write("a.npz", &npz(&both))).is_err());
    assert_eq!(labels(&folder.write("l.npy", &npy(&[3, 1], &[1_i64, 0, 9]))).unwrap(), [1, 0, 9]);
    assert_eq!(labels(&folder.write("l.csv", b"class\n3\n1\n")).unwrap(), [3, 1]);
    for (bytes, word) in
        [(npy(&[2], &[0.5_f32, 1.0]), "label 0 is 0.5"), (npy(&[1], &[-1_i32]), "label 0 is -1"), (npy(&[2, 2], &[0_u8; 4]), "one axis")]
    {
        assert!(labels(&folder.write("l.npy", &bytes)).unwrap_err().to_string().contains(word));
    }
    assert!(labels(&folder.write("l.json", b"[1]")).unwrap_err().to_string().contains(".npy"));
}

#[test]
fn tables_have_a_sample_a_row() {
    let folder = Folder::new();
    let model = [slot("a", &[1, 2]), slot("b", &[1])];
    let expected = [Input(vec![vec![1.0, 2.5], vec![-3.0]]), Input(vec![vec![4.0, 5e-1], vec![6.0]])];
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain("1,2.5,-3\r\n4,5e-1,6\r\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for bytes in
        [&b"1,2.5,-3\n4,5e-1,6"[..], b"age,income,score\n 1 , 2.5,-3\n\n4,5e-1,6\n", b"\xef\xbb\xbf\"1\",2.5,-3\n4,5e-1,6\n", &wide]
    {
        assert_eq!(inputs(&folder.write("a.csv", bytes), &model, Pixels::Unit).unwrap(), expected);
    }
    for (text, words) in [
        ("1,2\n", &["row 1 has 2 columns where 3 are needed"][..]),
        ("1,2,3\n1,2,3,4\n", &["row 2 has 4 columns"]),
        ("1;2;3\n", &["row 1 has 1 columns", "separate them by commas"]),
        ("a,b,c\n1,2,x\n", &["row 2, column 3 (`c`): `x` is no number"]),
        ("1,2,3\n1,,3\n", &["row 2, column 2: `` is no number"]),
        ("", &["holds no sample"]),
        ("a,b,c\n", &["holds no sample"]),
        ("0,1,2\n4,5,6\n", &["row 1 counts its columns, 0 to 2", "header=False"]),
    ] {
        refused(&folder.write("bad.csv", text.as_bytes()), &model, words);
    }
    // With names above it, it is a sample.
    assert_eq!(inputs(&folder.write("a.csv", b"a,b,c\n0,1,2\n"), &model, Pixels::Unit).unwrap().len(), 1);
    for (json, word) in [(r#"{"input_data": [[1, 2]]}"#, "1 list"), (r#"{"input_data": [[1, 2], [3, 4]]}"#, "`b`")] {
        refused(&folder.write("bad.json", json.as_bytes()), &model, &[word]);
    }
    refused(&folder.write("bad.csv", b"1,2,3\n\xff,2,3\n"), &model, &["no text in UTF-8"]);
}

#[test]
fn images_fill_the_shape_of_the_input() {
    use png::{BitDepth, ColorType};
    let folder = Folder::new();
    let read = |bytes: &[u8], shape: &[usize], pixels| {
        input(&folder.write("a.png", bytes), &[slot("x", shape)], pixels).map(|input| input.0[0].clone())
    };
    let grey = png(3, 2, ColorType::Grayscale, BitDepth::Eight, &[0, 51, 102, 153, 204, 255]);
    for shape in [&[1, 1, 2, 3][..], &[1, 2, 3, 1], &[2, 3], &[1, 6], &[1, 1, 1, 2, 3]] {
        assert_eq!(read(&grey, shape, Pixels::Unit).unwrap(), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], "{shape:?}");
    }
    assert_eq!(read(&grey, &[2, 3], Pixels::Byte).unwrap(), [0.0, 51.0, 102.0, 153.0, 204.0, 255.0]);
    assert_eq!(read(&grey, &[2, 3], Pixels::Signed).unwrap()[..2], [-1.0, 2.0 * 51.0 / 255.0 - 1.0]);
    // Colours plane by plane, or pixel by pixel.
    let colour = png(2, 1, ColorType::Rgb, BitDepth::Eight, &[10, 20, 30, 40, 50, 60]);
    assert_eq!(read(&colour, &[1, 3, 1, 2], Pixels::Byte).unwrap(), [10.0, 40.0, 20.0, 50.0, 30.0, 60.0]);
    let tall = png(1, 2, ColorType::Rgb, BitDepth::Eight, &[10, 20, 30, 40, 50, 60]);
    assert_eq!(read(&tall, &[2, 1, 3], Pixels::Byte).unwrap(), [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
    // 16 bits, 1 bit, a palette would do as well; alpha only where it hides nothing.
    let dot = png(1, 1, ColorType::Grayscale, BitDepth::Sixteen, &[0x80, 0x00]);
    let deep = png(2, 1, ColorType::Grayscale, BitDepth::Sixteen, &[0x80, 0x00, 0xff, 0xff]);
    assert_eq!(read(&deep, &[2], Pixels::Unit).unwrap(), [f64::from(0x8000) / 65535.0, 1.0]);
    let bits = png(2, 1, ColorType::Grayscale, BitDepth::One, &[0b0100_0000]);
    assert_eq!(read(&bits, &[2], Pixels::Unit).unwrap(), [0.0, 1.0]);
    let opaque = png(2, 1, ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 255, 8, 255]);
    assert_eq!(read(&opaque, &[2], Pixels::Byte).unwrap(), [7.0, 8.0]);
    let clear = png(2, 1, ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 255, 8, 254]);
    for (bytes, shape, words) in [
        (&clear, &[2][..], &["transparent"][..]),
        (&dot, &[1, 1], &["no image of that size"]),
        // Leading ones are batches.
        (&colour, &[1, 2, 3], &["takes 3 by 2 pixels"]),
        (&colour, &[1, 1, 2, 3], &["takes 3 by 2 pixels"]),
        (&grey, &[1, 1, 3, 2], &["3 by 2 pixels", "`x` of shape [1, 1, 3, 2] takes 2 by 3 pixels", "as in training"]),
        (&grey, &[1, 3, 2, 3], &["is grey", "takes one that is in colour"]),
        (&colour, &[1, 1, 2], &["is in colour", "takes one that is grey"]),
        (&grey, &[1, 4, 2, 3], &["takes 2 by 4 pixels"]),
        (&grey, &[1, 4, 2, 5], &["no image of that size"]),
        (&b"GIF89a".to_vec(), &[2, 3], &["neither a PNG nor a JPEG"]),
        (&grey[..40].to_vec(), &[2, 3], &["cannot be read"]),
    ] {
        refused(&folder.write("bad.png", bytes), &[slot("x", shape)], words);
    }
    refused(&folder.write("a.png", &grey), &[slot("a", &[2, 3]), slot("b", &[2, 3])], &["the model has 2 inputs, [\"a\", \"b\"]", ".npz"]);
}

#[test]
fn jpeg_images_are_read() {
    let folder = Folder::new();
    // Two blocks, of brightness 0 and 200; one block of pure red. Written by hand: DC coefficients only.
    let path = folder.write("grey.jpg", include_bytes!("../../../tests/corpus/inputs/grey.jpg"));
    let values = input(&path, &[slot("x", &[1, 1, 8, 16])], Pixels::Byte).unwrap().0[0].clone();
    for (at, value) in values.iter().enumerate() {
        assert_eq!(*value, if at % 16 < 8 { 0.0 } else { 200.0 }, "pixel {at}");
    }
    let path = folder.write("red.JPEG", include_bytes!("../../../tests/corpus/inputs/red.jpg"));
    let values = input(&path, &[slot("x", &[1, 3, 8, 8])], Pixels::Byte).unwrap().0[0].clone();
    for (channel, expected) in [255.0, 0.0, 0.0].into_iter().enumerate() {
        assert!(values[64 * channel..][..64].iter().all(|value: &f64| (value - expected).abs() <= 3.0), "channel {channel}");
    }
    refused(&path, &[slot("x", &[1, 1, 8, 8])], &["is in colour"]);
    // The name does not matter, the content does.
    let path = folder.write("grey.png", include_bytes!("../../../tests/corpus/inputs/grey.jpg"));
    assert!(input(&path, &[slot("x", &[8, 16])], Pixels::Unit).is_ok());
}

#[test]
fn an_image_that_announces_more_than_memory_is_refused() {
    let folder = Folder::new();
    let mut bytes = png(1, 1, png::ColorType::Rgb, png::BitDepth::Eight, &[0; 3]);
    // Width and height of IHDR, and its checksum.
    bytes[16..24].copy_from_slice(&[0x40, 0, 0, 0, 0x40, 0, 0, 0]);
    refused(&folder.write("a.png", &bytes), &[slot("x", &[1, 3, 1, 1])], &["cannot be read"]);
    let mut jpeg = include_bytes!("../../../tests/corpus/inputs/grey.jpg").to_vec();
    let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    refused(&folder.write("a.jpg", &jpeg), &[slot("x", &[8, 16])], &["cannot be read"]);
}

#[test]
fn a_folder_is_all_of_its_files_by_name() {
    let folder = Folder::new();
    folder.write("set/b.npy", &npy(&[2, 2], &[3_f32, 4.0, 5.0, 6.0]));
    folder.write("set/a.csv", b"1,2\n");
    folder.write("set/.DS_Store", b"no sample");
    let model = [slot("x", &[1, 2])];
    let set = folder.0.path().join("set");
    let read = samples(&set, &model, Pixels::Unit).unwrap().0;
    assert_eq!(read.iter().map(|input| input.0[0][0]).collect::<Vec<_>>(), [1.0, 3.0, 5.0]);
    assert!(needs_slots(&set) && needs_slots(Path::new("a.CSV")) && !needs_slots(Path::new("a.json")));
    folder.write("set/c.csv", b"1\n");
    assert!(samples(&set, &model, Pixels::Unit).unwrap_err().to_string().contains("c.csv: row 1"));
    let empty = folder.0.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    refused(&empty, &model, &["holds no sample"]);
    folder.write("nested/inner/a.csv", b"1,2\n");
    assert!(samples(&folder.0.path().join("nested"), &model, Pixels::Unit).unwrap_err().to_string().contains("a folder within"));
}

#[test]
fn json_says_itself_what_it_is() {
    let folder = Folder::new();
    let one = folder.write("one.json", br#"{"input_data": [[1, 2]]}"#);
    let many = folder.write("many.json", br#"{"samples": [{"input_data": [[1, 2]]}, {"input_data": [[3, 4]]}]}"#);
    let model = [slot("x", &[1, 2])];
    assert_eq!(inputs(&one, &model, Pixels::Unit).unwrap().len(), 1);
    assert_eq!(inputs(&many, &model, Pixels::Unit).unwrap().len(), 2);
    assert!(input(&many, &[], Pixels::Unit).unwrap_err().to_string().contains("expected {\"input_data\""));
    assert!(samples(&one, &[], Pixels::Unit).unwrap_err().to_string().contains("expected {\"samples\""));
    assert!(matches!(inputs(Path::new("no/such"), &[], Pixels::Unit), Err(ReadError::Io { .. })));
}

/// Bytes in hexadecimal digits, as the onnx package of Python writes tensors.
fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn onnx_tensors_of_all_types_are_read() {
    let folder = Folder::new();
    let model = [slot("x", &[1, 2])];
    for (bytes, expected) in [
        ("0801080210014201784a080000c03f000000c0", [1.5, -2.0]),
        ("0802100122080000c03f000000c0420164", [1.5, -2.0]),
        ("080210074a100300000000000000fcffffffffffffff", [3.0, -4.0]),
        ("080210073a0b03fcffffffffffffffff014203696473", [3.0, -4.0]),
        ("080210064201614a0803000000fcffffff", [3.0, -4.0]),
        ("080210032a0b03fcffffffffffffffff01420164", [3.0, -4.0]),
        ("0802100d4201645a020304", [3.0, 4.0]),
        ("0802100942046d61736b4a020100", [1.0, 0.0]),
        ("080210092a02010042046d61736b", [1.0, 0.0]),
        ("0802100a2a05807c808003420168", [1.5, -2.0]),
        ("080210102a05c07f808003420168", [1.5, -2.0]),
        ("0802100b4201645210000000000000f83f00000000000000c0", [1.5, -2.0]),
    ] {
        let path = folder.write("a.pb", &hex(bytes));
        assert_eq!(input(&path, &model, Pixels::Unit).unwrap(), Input(vec![expected.to_vec()]), "{bytes}");
        assert!(needs_slots(&path));
    }
    refused(&folder.write("a.pb", &hex("080210073a0203054200")), &[slot("x", &[3])], &["does not fit"]);
    // 2^32 as a number of 32 bits.
    refused(&folder.write("a.pb", &hex("0801100c5a058080808010")), &[slot("x", &[1])], &["4294967296 does not fit the type"]);
    // Two samples along a first axis.
    assert_eq!(samples(&folder.write("b.PB", &hex("080210073a0203054200")), &[slot("x", &[1])], Pixels::Unit).unwrap().0.len(), 2);
}

#[test]
fn onnx_tensors_that_lie_are_refused() {
    let folder = Folder::new();
    let model = [slot("x", &[1, 2])];
    for (bytes, words) in [
        // Three values for a shape of two, and none.
        ("080210073a03010203", &["shape [2] has 2 values, it holds 3"][..]),
        ("08021007", &["has 2 values, it holds 0"]),
        ("080210014a03000000", &["3 bytes of numbers of 4 bytes"]),
        ("08ffffffffffffffffff0110074a00", &["dimension -1"]),
        ("088080808001088080808001", &["more than 134217728 values"]),
        ("08011008320161420173", &["elements are of ONNX's type 8"]),
        ("080210022a0303ac02", &["300 does not fit the type"]),
        ("0802100170013a00", &["not all in it"]),
        ("08021001", &["it holds 0"]),
        ("0a", &["no ONNX tensor"]),
        ("4a7f00", &["no ONNX tensor"]),
        ("4201ff", &["no ONNX tensor"]),
        ("0802100122080000c07f00000000", &["sample 0: input `x`, element 0: NaN is not a finite number"]),
        ("", &["elements are of ONNX's type 0"]),
    ] {
        refused(&folder.write("a.pb", &hex(bytes)), &model, words);
    }
    let two = [slot("x", &[1, 2]), slot("z", &[2])];
    refused(&folder.write("a.pb", &hex("080210073a020102")), &two, &["2 inputs", "input_0.pb to input_1.pb"]);
    assert!(labels(&folder.write("a.pb", &hex("080210073a020102"))).unwrap_err().to_string().contains("labels are taken from"));
}

#[test]
fn data_sets_give_each_input_its_tensor() {
    let folder = Folder::new();
    let model = [slot("x", &[1, 2]), slot("mask", &[2])];
    let (x, mask, unnamed) = ("0801080210014201784a080000c03f000000c0", "0802100942046d61736b4a020100", "080210073a020304");
    let set = |name: &str, files: &[(&str, &str)]| {
        files.iter().for_each(|(file, bytes)| drop(folder.write(&format!("{name}/{file}"), &hex(bytes))));
        folder.0.path().join(name)
    };
    let expected = [Input(vec![vec![1.5, -2.0], vec![1.0, 0.0]])];
    // By number, by name, and whatever else a data set has beside its inputs.
    for files in [
        &[("input_0.pb", x), ("input_1.pb", mask), ("output_0.pb", "ff"), (".DS_Store", "")][..],
        &[("input_0.pb", mask), ("input_1.pb", x)],
    ] {
        assert_eq!(inputs(&set(&format!("named{}", files.len()), files), &model, Pixels::Unit).unwrap(), expected);
    }
    let by_number = set("numbered", &[("input_0.pb", unnamed), ("input_1.pb", mask)]);
    assert_eq!(input(&by_number, &model, Pixels::Unit).unwrap().0, [[3.0, 4.0], [1.0, 0.0]]);
    let many: Vec<Slot> = (0..11).map(|k| slot(&format!("i{k}"), &[1])).collect();
    let tensors: Vec<(String, String)> = (0..11).map(|k| (format!("input_{k}.pb"), format!("080110073a01{k:02x}"))).collect();
    let tensors: Vec<(&str, &str)> = tensors.iter().map(|(file, bytes)| (file.as_str(), bytes.as_str())).collect();
    let read = input(&set("eleven", &tensors), &many, Pixels::Unit).unwrap().0;
    assert!(read.iter().enumerate().all(|(k, list)| *list == [k as f64]), "{read:?}");
    // A folder of data sets is their samples.
    set("all/test_data_set_0", &[("input_0.pb", x), ("input_1.pb", mask), ("output_0.pb", x)]);
    set("all/test_data_set_1", &[("input_0.pb", unnamed), ("input_1.pb", mask)]);
    let read = samples(&folder.0.path().join("all"), &model, Pixels::Unit).unwrap().0;
    assert_eq!(read.iter().map(|input| input.0[0][0]).collect::<Vec<_>>(), [1.5, 3.0]);

    for (name, files, words) in [
        ("short", &[("input_0.pb", x)][..], &["no input_<k>.pb is of input `mask`"][..]),
        ("twice", &[("input_0.pb", x), ("input_1.pb", x)], &["input_0.pb and input_1.pb are both of input `x`"]),
        ("mixed", &[("input_0.pb", mask), ("input_1.pb", unnamed)], &["are both of input `mask`"]),
        ("more", &[("input_0.pb", x), ("input_1.pb", mask), ("input_2.pb", unnamed)], &["input_2.pb is of no input", "has 2"]),
        ("shape", &[("input_0.pb", "080110073a0103"), ("input_1.pb", mask)], &["input_0.pb: an array of shape [1] does not fit"]),
    ] {
        refused(&set(name, files), &model, words);
    }
    let broken = set("broken", &[("input_0.pb", x), ("input_1.pb", "0a")]);
    let error = inputs(&broken, &model, Pixels::Unit).unwrap_err().to_string();
    assert!(error.contains("input_1.pb: it is no ONNX tensor"), "{error}");
    let beside = set("beside", &[("input_0.pb", x), ("input_1.pb", mask), ("input_01.pb", x)]);
    let error = inputs(&beside, &model, Pixels::Unit).unwrap_err().to_string();
    assert!(error.contains("input_01.pb: it lies beside input_0.pb"), "{error}");
}

proptest! {
    #[test]
    fn changed_files_never_panic(kind in 0..8_usize, at: proptest::sample::Index, bytes: Vec<u8>, cut in 0..8_usize) {
        let folder = Folder::new();
        let (name, mut file) = match kind {
            0 => ("a.npy", npy(&[2, 2, 3], &[0_f32; 12])),
            1 => ("a.npz", npz(&[("x", &[2, 2, 3], vec![0.5; 12]), ("y", &[2], vec![1.0; 2])])),
            2 => ("a.csv", b"a,b,c,d,e,f\n1,2,3,4,5,6\n".to_vec()),
            3 => ("a.png", png(3, 2, png::ColorType::Rgb, png::BitDepth::Eight, &[9; 18])),
            4 => ("a.jpg", include_bytes!("../../../tests/corpus/inputs/grey.jpg").to_vec()),
            5 => ("a.jpg", include_bytes!("../../../tests/corpus/inputs/red.jpg").to_vec()),
            6 => ("a.pb", hex("0801080208031001420178220c0000c03f000000c000000000220c0000803f0000004000004040")),
            _ => ("set/input_0.pb", hex("08010802080310032a06010203040506420178")),
        };
        let at = at.index(file.len());
        let end = (at + cut).min(file.len());
        file.splice(at..end, bytes);
        let mut path = folder.write(name, &file);
        if kind == 7 {
            path.pop();
        }
        for shape in [&[1, 2, 3][..], &[1, 3, 2, 3], &[1, 8, 16]] {
            if let Ok(all) = inputs(&path, &[slot("x", shape)], Pixels::Unit) {
                prop_assert!(all.iter().all(|input| input.0[0].len() == shape.iter().product::<usize>() && input.0[0].iter().all(|x| x.is_finite())));
            }
        }
        let _ = (labels(&path), labels_within(&path, &[]));
    }
}
