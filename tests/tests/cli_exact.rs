//! Models of integers and truth values, and inputs as the ONNX model zoo has them.

use std::path::Path;

use serde_json::{Value, json};

use crate::scene::{Scene, ok, refused};

/// `kept` are the `ids` where `mask` says so, `large` says where that is more than 5, and `y` is it times `x`; all of shape [1, 4]. Made by
/// the onnx package of Python: Where, Greater, Cast and Mul, in operator set 17.
const MODEL: &str = "\
    08083aba020a250a046d61736b0a036964730a047a65726f12046b6570741a057768657265220557686572650a250a046b6570740a0466\
    69766512056c617267651a07677265617465722207477265617465720a230a046b65707412047265616c1a04636173742204436173742a\
    090a02746f1801a001020a160a047265616c0a01781201791a036d756c22034d756c120565786163742a0d080110073a010042047a6572\
    6f2a0d080110073a01054204666976655a150a03696473120e0a0c080712080a0208010a0208045a160a046d61736b120e0a0c08091208\
    0a0208010a0208045a130a0178120e0a0c080112080a0208010a02080462160a046b657074120e0a0c080712080a0208010a0208046217\
    0a056c61726765120e0a0c080912080a0208010a02080462130a0179120e0a0c080112080a0208010a02080442040a001011";

/// A tensor file of shape [1, 4]: its type, name and packed `int32_data`, `int64_data` or `float_data` (fields 5, 7 and 4).
fn tensor(kind: u8, name: &str, field: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x0a, 2, 1, 4, 0x10, kind, field << 3 | 2, data.len() as u8];
    bytes.extend(data);
    bytes.extend([0x42, name.len() as u8]);
    bytes.extend(name.as_bytes());
    bytes
}

fn floats(values: [f32; 4]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The data sets of a scene: ids, masks and numbers of several samples, in the folder of the model zoo.
fn data_sets(scene: &Scene, folder: &str, count: u8) {
    for k in 0..count {
        let set = scene.path(folder).join(format!("test_data_set_{k}"));
        std::fs::create_dir_all(&set).unwrap();
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(set.join(name), bytes).unwrap();
        // By number, by name, and by number again.
        write("input_0.pb", tensor(7, "", 7, &[k, 9, 2 * k, 12]));
        write("input_1.pb", tensor(1, "x", 4, &floats([f32::from(k) / 8.0, 1.0, -1.0, 0.5])));
        write("input_2.pb", tensor(9, "mask", 5, &[1, k % 2, 1, 1]));
        write("output_0.pb", tensor(7, "kept", 7, &[0; 4]));
    }
}

fn json_input(scene: &Scene, ids: Value, mask: Value) -> std::path::PathBuf {
    scene.write("input.json", json!({ "input_data": [ids, mask, [0.5, 1.0, -1.0, 0.5]] }).to_string().as_bytes())
}

#[test]
fn integers_and_truth_values_are_exact_from_file_to_proof() {
    let scene = Scene::new();
    let model = scene.write("exact.onnx", &hex::decode(MODEL).unwrap());
    data_sets(&scene, "sets", 8);
    let package = scene.path("package");
    let compiled = ok!("compile", model, "--samples", scene.path("sets"), "-o", package);
    assert_eq!(compiled["report"]["exact"], json!({ "ids": "integer", "kept": "integer", "large": "boolean", "mask": "boolean" }));
    // Samples as JSON give the same package.
    let samples: Vec<Value> = (0..8)
        .map(|k| json!({ "input_data": [[k, 9, 2 * k, 12], [true, k % 2 == 1, true, true], [f64::from(k) / 8.0, 1.0, -1.0, 0.5]] }))
        .collect();
    let samples = scene.write("samples.json", json!({ "samples": samples }).to_string().as_bytes());
    assert_eq!(ok!("compile", model, "--samples", samples, "-o", scene.path("again"))["digest"], compiled["digest"]);

    ok!("setup", package);
    let expected = [json!([3, 0, 6, 12]), json!([false, false, true, true])];
    let input = json_input(&scene, json!([3, 9, 6, 12]), json!([true, false, true, true]));
    let bundle = scene.path("bundle.json");
    let proven = ok!("prove", package, "--input", input, "-o", bundle);
    assert_eq!(proven["outputs"].as_array().unwrap()[..2], expected);
    assert!(proven["outputs"][2][3].as_f64().unwrap() > 5.5, "{proven}");
    let words = |path: &Path| ok!("encode", package, "--input", path)["inputs"].clone();
    let from_json = words(&input);
    let set = scene.path("sets/test_data_set_3");
    std::fs::write(set.join("input_2.pb"), tensor(9, "mask", 5, &[1, 0, 1, 1])).unwrap();
    std::fs::write(set.join("input_1.pb"), tensor(1, "x", 4, &floats([0.5, 1.0, -1.0, 0.5]))).unwrap();
    assert_eq!(words(&set), from_json);
    assert_eq!(ok!("prove", package, "--input", set, "-o", bundle)["outputs"], proven["outputs"]);
    assert_eq!(ok!("verify", package, bundle)["outputs"], proven["outputs"]);
    assert_eq!(ok!("run", package, "--inputs", set)["answers"][0], proven["outputs"]);
    let text = crate::scene::run!("verify", package, bundle).stdout;
    assert!(text.contains("kept: [3, 0, 6, 12]") && text.contains("large: [false, false, true, true]"), "{text}");
}

#[test]
fn numbers_that_are_none_of_an_exact_input_are_refused() {
    let scene = Scene::new();
    let model = scene.write("exact.onnx", &hex::decode(MODEL).unwrap());
    data_sets(&scene, "sets", 8);
    let package = scene.path("package");
    ok!("compile", model, "--samples", scene.path("sets"), "-o", package);
    ok!("setup", package);
    let (ids, mask) = (json!([3, 9, 6, 12]), json!([1, 0, 1, 1]));
    for (ids, mask, words) in [
        (json!([3, 9, 2.5, 12]), mask.clone(), "input `ids`, element 2: 2.5 is a fraction"),
        (json!([3, 9, 6, 9_007_199_254_740_993_u64]), mask.clone(), "input `ids`, element 3: 9007199254740992 is not below 2^53"),
        (json!([true, 9, 6, 12]), mask, "among others that are none"),
        (ids.clone(), json!([0, 0.5, 0, 0]), "input `mask`, element 1: 0.5 is no truth value"),
        (ids, json!([0, 2, 0, 0]), "input `mask`, element 1: 2 is no truth value"),
    ] {
        let input = json_input(&scene, ids, mask);
        refused!(2, [words, "input.json"], "prove", package, "--input", input, "-o", scene.path("never.json"));
        refused!(2, [words, "input.json"], "encode", package, "--input", input);
        if words.starts_with("input") {
            let ran = ok!("run", package, "--inputs", input);
            assert!(ran["refused"] == 1 && ran["refusals"][0]["reason"].as_str().unwrap().contains(words), "{ran}");
            let samples = json!({ "samples": [serde_json::from_slice::<Value>(&std::fs::read(&input).unwrap()).unwrap()] });
            let samples = scene.write("samples.json", samples.to_string().as_bytes());
            let words = ["samples.json", "sample 0", words];
            refused!(2, words, "compile", model, "--samples", samples, "-o", scene.path("none"));
        }
    }
    let broken = scene.path("sets/test_data_set_5/input_1.pb");
    std::fs::write(&broken, b"no tensor").unwrap();
    let words = ["test_data_set_5", "input_1.pb", "no ONNX tensor"];
    refused!(2, words, "compile", model, "--samples", scene.path("sets"), "-o", scene.path("none"));
    assert!(!scene.path("none").exists() && !scene.path("never.json").exists());
}
