//! What the `zkslice` command refuses off chain: each case with its words (what, where, how to mend) and its exit code.

use crate::scene;
use std::path::{Path, PathBuf};

use crate::scene::{Scene, files, ok, refused, run};
use serde_json::{Value, json};
use zkslice_formats::{hex0x, keccak};
use zkslice_prover::{Bundle, Verifier};
use zkslice_slicer::Package;
use zkslice_tests::{Random, repository};

/// Two packages of one setup, `one` and `two` (slices), with their bundles and openings.
fn proven() -> Scene {
    let scene = Scene::new();
    scene.compile("one", 1, "public");
    scene.compile("two", 2, "public");
    ok!("setup", scene.path("one"), scene.path("two"));
    for name in ["one", "two"] {
        let (bundle, openings) = (scene.path(&format!("{name}.json")), scene.path(&format!("{name}.openings")));
        ok!("prove", scene.path(name), "--input", scene.input(), "-o", bundle, "--openings", openings);
    }
    scene
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

/// Changes a JSON file in place.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}

#[test]
fn models() {
    let scene = Scene::new();
    let bad = repository().join("crates/compiler/tests/fixtures/bad");
    let output = scene.path("package");
    let cases: &[(&str, &[&str])] = &[
        ("operator", &["operator.onnx", "`n_y`", "RandomNormalLike", "docs/operators.md"]),
        ("attribute", &["attribute.onnx", "`n_y`", "Conv", "`sparsity`"]),
        ("open_axis", &["open_axis.onnx", "`x`", "axis 2", "`height`"]),
        ("nan", &["nan.onnx", "`w`", "element 0", "NaN", "train or export the model again"]),
        ("external_parent", &["external_parent.onnx", "`w`", "outside the model's folder"]),
    ];
    for (name, words) in cases {
        let file = bad.join(format!("{name}.onnx"));
        refused!(2, *words, "compile", file, "--samples", scene.samples(), "-o", output);
        refused!(2, *words, "inspect", file);
    }
    let text = scene.write("text.onnx", b"this is no model");
    for file in [&text, &scene.write("empty.onnx", b""), &scene.samples()] {
        let name = file.file_name().unwrap().to_str().unwrap();
        refused!(2, [name, "not an ONNX model", "give a .onnx file"], "compile", file, "--samples", scene.samples(), "-o", output);
    }
    refused!(2, ["text.onnx", "not an ONNX model"], "inspect", text);
    refused!(2, ["absent.onnx", "no such file"], "compile", scene.path("absent.onnx"), "--samples", scene.samples(), "-o", output);
    let folder = refused!(2, ["Is a directory"], "compile", scene.path(""), "--samples", scene.samples(), "-o", output);
    assert_eq!(folder.matches(scene.path("").to_str().unwrap()).count(), 1, "named once: {folder}");
    assert!(!output.exists());
}

#[test]
fn samples_and_options() {
    let scene = Scene::new();
    let output = scene.path("package");
    let compile = |samples: &Path, code, words: &[&str], options: &[&str]| {
        let mut args: Vec<PathBuf> =
            vec!["compile".into(), scene.model(), "--samples".into(), samples.into(), "-o".into(), output.clone(), "--json".into()];
        args.extend(options.iter().map(PathBuf::from));
        scene::refusal(zkslice_tests::run(&args), code, words)
    };
    let short = scene.write("short.json", br#"{"samples": [{"input_data": [[0.5, 0.5]]}]}"#);
    compile(&short, 2, &["short.json", "sample 0", "takes 64 values, 2 were given"], &[]);
    compile(&scene.input(), 2, &["input.json", "expected `samples`", "\"samples\": ["], &[]);
    compile(&scene.path("absent"), 2, &["absent: No such file"], &[]);
    compile(&scene.write("none.json", br#"{"samples": []}"#), 2, &["none.json", "holds no sample"], &[]);
    compile(&scene.model(), 2, &["model.onnx", "samples file"], &[]);
    let nan = scene.write("nan.json", br#"{"samples": [{"input_data": [[0]]}, {"input_data": [[0, NaN]]}]}"#);
    compile(&nan, 2, &["nan.json", "sample 1: input 0, element 1: NaN is not a finite number"], &[]);
    compile(&scene.write("short.csv", b"1,2,3\n"), 2, &["short.csv", "row 1 has 3 columns where 64 are needed"], &[]);
    for (options, words) in [
        (&["--slices", "0"][..], &["--slices", "at least 1"][..]),
        (&["--slices", "99"], &["cannot cut into 99 slices", "at most 2", "ask for fewer"]),
        (&["--slices", "-1"], &["Usage"]),
        (&["--max-constraints", "0"], &["--max-constraints", "at least 1"]),
        (&["--max-constraints", "5"], &["below 5 constraints", "node `", "raise --max-constraints"]),
        (&["--slices", "2", "--max-constraints", "5"], &["cannot be used with"]),
        (&["--bits", "99"], &["99 bits", "--bits", "8 to 16"]),
        (&["--bits", "7"], &["7 bits", "--bits", "8 to 16"]),
        (&["--table-bits", "10"], &["--table-bits"]),
        (&["--input-bits", "0"], &["input bits", "1 to 16"]),
        (&["--margin", "0.5"], &["margin 0.5", "1 to 1024"]),
        (&["--margin", "NaN"], &["margin NaN"]),
        (&["--inner-margin", "0.5"], &["inner margin 0.5", "1 to 1024"]),
        (&["--max-error", "-1"], &["must not be negative"]),
        (&["--max-error", "NaN%"], &["must not be negative"]),
        (&["--max-error", "little"], &["'little' is no number and no percentage"]),
        (&["--min-agreement", "101%"], &["--min-agreement", "1.01", "0 to 1"]),
        (&["--min-agreement", "-1"], &["--min-agreement", "0 to 1"]),
        (&["--input", "secret"], &["secret", "public, private"]),
    ] {
        compile(&scene.samples(), 2, words, options);
    }
    compile(
        &scene.samples(),
        1,
        &["model.onnx", "allowed is 0.0001", "missed by", "comes nearer than 16 bits", "node `", "--max-error"],
        &["--max-error", "0.0001"],
    );
    assert!(!output.exists());
}

#[test]
fn an_output_folder_that_is_no_package_is_left_alone() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("mine")).unwrap();
    scene.write("mine/thesis.tex", b"years of work");
    scene.write("file", b"years of work");
    for name in ["mine", "file"] {
        let words = [name, "already exists and is not an earlier package", "choose another folder"];
        refused!(2, words, "compile", scene.model(), "--samples", scene.samples(), "-o", scene.path(name));
    }
    for path in ["mine/thesis.tex", "file"] {
        assert_eq!(std::fs::read(scene.path(path)).unwrap(), b"years of work");
    }
    std::fs::create_dir(scene.path("empty")).unwrap();
    scene.compile("empty", 1, "public");
}

#[test]
fn inputs() {
    let scene = proven();
    let values = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut values = vec![json!(0.5); 64];
        change(&mut values);
        json!({ "input_data": [values] }).to_string()
    };
    let deep = format!("{{\"input_data\": [{}{}]}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: &[(String, &[&str])] = &[
        (values(&|v| v.truncate(63)), &["input `input` takes 64 values, 63 were given"]),
        (values(&|v| v.push(json!(0))), &["takes 64 values, 65 were given"]),
        (values(&|v| v[7] = json!(1.5)), &["`input`, element 7", "1.5 is outside the calibrated range [0, 1", "scale the input"]),
        (values(&|v| v[8] = json!(-0.1)), &["element 8", "outside the calibrated range"]),
        (values(&|v| v[9] = json!(1e300)), &["element 9", "outside the calibrated range"]),
        (values(&|v| v[3] = json!("0.5")), &["input 0, element 3", "a text where a number is needed"]),
        (values(&|v| v[3] = json!(null)), &["element 3", "null where a number is needed"]),
        (values(&|v| v[3] = json!(true)), &["element 3", "a truth value"]),
        (values(&|v| v[3] = json!({})), &["element 3", "an object"]),
        (values(&|v| v[3] = json!([0.5])), &["element 3", "different lengths"]),
        (r#"{"input_data": [[[0.5, 0.5], [0.5]]]}"#.into(), &["different lengths"]),
        (r#"{"input_data": [0.5]}"#.into(), &["input 0 is a number where a list is needed"]),
        (r#"{"input_data": []}"#.into(), &["0 lists where the model has 1"]),
        (r#"{"input_data": [[], []]}"#.into(), &["2 lists where the model has 1"]),
        (r#"{"input_data": {"input": [1]}}"#.into(), &["expected a sequence"]),
        (r#"{"data": [[1]]}"#.into(), &["unknown field `data`", "{\"input_data\": [[number"]),
        (r#"{"input_data": [[1]], "input_data": [[1]]}"#.into(), &["duplicate field"]),
        (r#"{"input_data": [[1e999]]}"#.into(), &["input 0, element 0: 1e999 is not a finite number"]),
        (values(&|v| v[5] = json!("NaN")).replace("\"NaN\"", "NaN"), &["input 0, element 5: NaN is not a finite number"]),
        (values(&|v| v[6] = json!("x")).replace("\"x\"", "-Infinity"), &["input 0, element 6: -Infinity is not a finite number"]),
        ("0.5, 0.5".into(), &["expected {\"input_data\""]),
        (String::new(), &["EOF"]),
        (deep, &["recursion limit exceeded"]),
    ];
    for (text, words) in cases {
        let input = scene.write("bad.json", text.as_bytes());
        let words: Vec<&str> = words.iter().copied().chain(["bad.json"]).collect();
        let output = scene.path("never.json");
        refused!(2, words, "prove", scene.path("one"), "--input", input, "-o", output);
        refused!(2, words, "encode", scene.path("one"), "--input", input);
        assert!(!output.exists());
    }
    refused!(2, ["absent.json: No such file"], "encode", scene.path("one"), "--input", scene.path("absent.json"));
}

/// In range, but beyond what calibration saw further inside.
#[test]
fn an_input_that_saturates_a_node_is_refused() {
    let scene = Scene::new();
    ok!("compile", scene.model(), "--samples", scene.samples(), "--inner-margin", "1.05", "-o", scene.path("package"));
    ok!("setup", scene.path("package"));
    let mut random = Random(1);
    let output = scene.path("bundle.json");
    let found = (0..50).find_map(|_| {
        let values: Vec<f64> = (0..64).map(|_| f64::from(random.number() as u8 & 1)).collect();
        let input = scene.write("noise.json", json!({ "input_data": [values] }).to_string().as_bytes());
        let ran = run!("prove", scene.path("package"), "--input", input, "-o", output, "--json");
        (ran.code != Some(0)).then_some(ran)
    });
    let error = scene::refusal(found.expect("noise saturates"), 2, &["node `", "outside the calibrated range", "cannot be proven"]);
    assert!(!error.contains("panic"));
}

#[test]
fn options_of_the_prover() {
    let scene = proven();
    let (one, two, output) = (scene.path("one"), scene.path("two"), scene.path("never.json"));
    refused!(2, ["--slice 9", "slices 0 to 0"], "prove", one, "--input", scene.input(), "--slice", "9", "-o", output);
    for threads in ["0", "100000"] {
        refused!(2, ["--threads", "1 to 1024"], "prove", one, "--input", scene.input(), "--threads", threads, "-o", output);
    }
    // Nor is a file of another kind replaced, nor a pipe read to its end.
    let other = scene.write("notes.json", b"{}");
    refused!(2, ["not an earlier bundle"], "prove", one, "--input", scene.input(), "-o", other);
    refused!(2, ["not an earlier file of openings"], "prove", one, "--input", scene.input(), "--openings", other, "-o", output);
    refused!(2, ["name one file"], "prove", one, "--input", scene.input(), "--openings", output, "-o", output);
    assert_eq!(std::fs::read(&other).unwrap(), b"{}");
    let pipe = scene.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    refused!(1, ["no regular file"], "prove", one, "--input", scene.input(), "-o", pipe);
    refused!(2, ["slice 1", "'/Relu_output_0'", "--boundary"], "prove", two, "--input", scene.input(), "--slice", "1", "-o", output);
    refused!(2, ["--slice"], "prove", two, "--boundary", scene.path("two.openings"), "-o", output);
    refused!(2, ["--input"], "prove", two, "-o", output);
    for (word, words) in [
        ("0xzz", "hexadecimal digits"),
        ("0x", "hexadecimal digits"),
        (&format!("0x1{}", "0".repeat(64)), "64"),
        (&format!("0x{}", "f".repeat(64)), "not below the order r"),
    ] {
        refused!(2, ["--context", words], "prove", one, "--input", scene.input(), "--context", word, "-o", output);
        refused!(2, ["--requester"], "encode", one, "--input", scene.input(), "--requester", word);
    }
    // Openings.
    let boundary = |name: &str, text: &str, words: &[&str]| {
        let file = scene.write(name, text.as_bytes());
        let words: Vec<&str> = words.iter().copied().chain([name]).collect();
        refused!(2, words, "prove", two, "--slice", "1", "--boundary", file, "-o", output);
    };
    let honest = std::fs::read_to_string(scene.path("two.openings")).unwrap();
    boundary("input.json", r#"{"input_data": [[1]]}"#, &["not a file of openings", "missing field `version`"]);
    boundary("other.json", &std::fs::read_to_string(scene.path("one.openings")).unwrap(), &["it has 2 tensors, the package 3"]);
    boundary("newer.json", &honest.replacen("\"version\":1", "\"version\":2", 1), &["version 2", "upgrade zkslice"]);
    boundary("cut.json", &honest[..honest.len() - 9], &["not a file of openings", "EOF"]);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&honest).unwrap();
        change(&mut value["tensors"][2]);
        scene.write("changed.json", value.to_string().as_bytes())
    };
    type Case<'a> = (&'a [&'a str], &'a dyn Fn(&mut Value));
    let cases: [Case<'_>; 6] = [
        (&["/Relu_output_0", "32 elements, 31 were given"], &|t| {
            t["values"].as_array_mut().unwrap().pop();
        }),
        (&["/Relu_output_0", "element 3", "1024"], &|t| t["values"][3] = json!(1024)),
        (&["/Relu_output_0", "element 3"], &|t| t["values"][3] = json!(i64::MIN)),
        (&["/Relu_output_0", "element 3"], &|t| t["values"][3] = json!(i64::MAX)),
        (&["salt"], &|t| t["salt"] = json!(format!("0x{}", "f".repeat(64)))),
        (&["reads tensor '/Relu_output_0'", "--boundary"], &|t| *t = Value::Null),
    ];
    for (words, change) in cases {
        refused!(2, words, "prove", two, "--slice", "1", "--boundary", changed(change), "-o", output);
    }
    assert!(!output.exists());
}

#[test]
fn packages_with_a_missing_or_changed_file() {
    let scene = proven();
    let (whole, bundle) = (scene.path("two"), scene.path("two.json"));
    let damaged = scene.path("damaged");
    let fresh = |name: &str| {
        let _ = std::fs::remove_dir_all(&damaged);
        copy(&whole, &damaged);
        damaged.join(name)
    };
    // What needs the file, and what it says without it.
    let names = files(&whole).into_iter().map(|path| path.strip_prefix(&whole).unwrap().display().to_string());
    let names: Vec<String> = names.filter(|name| name != ".lock").collect();
    assert_eq!(names.len(), 8);
    for name in &names {
        let file = fresh(name);
        let proving = name.ends_with("proving.key");
        let attempt = |words: &[&str]| {
            if proving {
                refused!(2, words, "prove", damaged, "--input", scene.input(), "-o", scene.path("never.json"));
            } else {
                refused!(2, words, "verify", damaged, bundle);
            }
        };
        std::fs::remove_file(&file).unwrap();
        let words = match name.as_str() {
            "keys.json" => ["no keys", "run `zkslice setup", ""],
            "manifest.json" => ["manifest.json", "no package here", "zkslice compile"],
            _ if name.ends_with(".key") => [name, "missing", "zkslice setup"],
            _ => [name, "missing", "compile the package again"],
        };
        attempt(&words);
        // Bytes at the front, at the back and between.
        let bytes = std::fs::read(whole.join(name)).unwrap();
        let stride = if proving { bytes.len() / 7 } else { bytes.len() / 13 };
        for at in (0..bytes.len()).step_by(stride).chain([bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 2;
            std::fs::write(&file, changed).unwrap();
            let ran = if proving {
                run!("prove", damaged, "--input", scene.input(), "-o", scene.path("never.json"), "--json")
            } else {
                run!("verify", damaged, bundle, "--json")
            };
            // keys.json also holds digests of the proving keys, which only proving reads; padding of a key is nobody's.
            let unread = ran.code == Some(0) && (proving || name == "keys.json");
            if unread && name == "keys.json" {
                refused!(2, [], "prove", damaged, "--input", scene.input(), "-o", scene.path("never.json"));
            } else if !unread {
                assert!(ran.code == Some(2), "{name}, byte {at}: {ran:?}");
                assert!(ran.json()["error"].as_str().unwrap().len() > 20 && !ran.stderr.contains("panicked"), "{ran:?}");
            }
        }
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        attempt(&[]);
        std::fs::write(&file, &bytes).unwrap();
        ok!("verify", damaged, bundle);
    }
    // What a user sees of the commonest.
    let graph = fresh("slices/1/graph.bin");
    std::fs::write(&graph, std::fs::read(whole.join("slices/0/graph.bin")).unwrap()).unwrap();
    refused!(2, ["slices/1/graph.bin", "does not match its digest", "compile the package again"], "inspect", damaged);
    edit(&fresh("manifest.json"), |manifest| manifest["tensors"][1]["features"][0]["scale"] = json!(1));
    refused!(2, ["slices/1/graph.bin", "not the manifest's tensors", "compile the package again"], "inspect", damaged);
    edit(&fresh("manifest.json"), |manifest| manifest["name"] = json!("another"));
    refused!(2, ["keys.json", "another package", "run `zkslice setup` again"], "verify", damaged, bundle);
    refused!(2, ["there is no package here"], "verify", scene.path("absent"), bundle);
    refused!(2, ["there is no package here"], "inspect", scene.path(""));
    refused!(2, ["there is no package here"], "setup", whole, scene.path("absent"));
    ok!("verify", whole, bundle);
}

#[test]
fn keys_of_another_circuit_or_setup() {
    let scene = proven();
    let (two, mixed) = (scene.path("two"), scene.path("mixed"));
    copy(&two, &scene.path("again"));
    ok!("setup", scene.path("again"), "--force");
    let key = |package: &str, slice: usize, kind: &str| scene.path(package).join(scene::key(&scene.path(package), slice, kind));
    let swap = |from: &Path, to: &str| {
        let _ = std::fs::remove_dir_all(&mixed);
        copy(&two, &mixed);
        std::fs::copy(from, mixed.join(to)).unwrap();
    };
    let output = scene.path("never.json");
    let ours = scene::key(&two, 0, "proving");
    for foreign in [key("again", 0, "proving"), key("two", 1, "proving"), key("one", 0, "proving")] {
        swap(&foreign, &ours);
        refused!(
            2,
            [ours.as_str(), "another circuit or setup", "run `zkslice setup` again"],
            "prove",
            mixed,
            "--input",
            scene.input(),
            "-o",
            output
        );
    }
    let ours = scene::key(&two, 0, "verifying");
    for foreign in [key("again", 0, "verifying"), key("two", 1, "verifying"), key("one", 0, "verifying")] {
        swap(&foreign, &ours);
        refused!(2, [ours.as_str()], "verify", mixed, scene.path("two.json"));
    }
    swap(&scene.path("one/keys.json"), "keys.json");
    refused!(2, ["keys.json", "another package", "run `zkslice setup` again"], "verify", mixed, scene.path("two.json"));
    swap(&scene.path("again/keys.json"), "keys.json");
    refused!(2, ["0.verifying.key", "missing"], "verify", mixed, scene.path("two.json"));
    // A whole other setup is a model of its own: the bundle of the old one is not valid for it.
    refused!(1, ["model 0x"], "verify", scene.path("again"), scene.path("two.json"));
    assert!(!output.exists());
}

#[test]
fn newer_format_versions() {
    let scene = proven();
    let (two, newer, bundle) = (scene.path("two"), scene.path("newer"), scene.path("two.json"));
    let fresh = || {
        let _ = std::fs::remove_dir_all(&newer);
        copy(&two, &newer);
    };
    fresh();
    // Fields that this build does not know do not hide that.
    edit(&newer.join("manifest.json"), |m| (m["version"], m["more"]) = (json!(3), json!(true)));
    refused!(2, ["manifest.json", "format version 3", "up to 2", "upgrade zkslice"], "inspect", newer);
    fresh();
    edit(&newer.join("keys.json"), |m| (m["version"], m["more"]) = (json!(4), json!(true)));
    refused!(2, ["keys.json", "format version 4", "upgrade zkslice"], "verify", newer, bundle);
    edit(&newer.join("keys.json"), |m| m["version"] = json!(1));
    refused!(2, ["keys.json", "format version 1", "no longer read", "setup --force"], "verify", newer, bundle);
    fresh();
    let graph = newer.join("slices/0/graph.bin");
    let mut bytes = std::fs::read(&graph).unwrap();
    for (version, words) in [(5, ["version 5", "use a newer zkslice"]), (3, ["version 3", "compile the model again"])] {
        bytes[8] = version;
        std::fs::write(&graph, &bytes).unwrap();
        edit(&newer.join("manifest.json"), |m| m["slices"][0]["graph"] = json!(hex0x(&keccak(&bytes))));
        refused!(2, words, "inspect", newer);
    }
    fresh();
    let key = newer.join(scene::key(&newer, 0, "proving"));
    let mut bytes = std::fs::read(&key).unwrap();
    for (version, words) in [(5, ["format version 5", "upgrade zkslice"]), (3, ["format version 3", "run `zkslice setup` again"])] {
        bytes[8] = version;
        std::fs::write(&key, &bytes).unwrap();
        let words: Vec<&str> = ["0.proving.key"].into_iter().chain(words).collect();
        refused!(2, words, "prove", newer, "--input", scene.input(), "-o", scene.path("never.json"));
    }
    edit(&bundle, |b| (b["version"], b["more"]) = (json!(2), json!(true)));
    refused!(2, ["two.json", "format version 2", "upgrade zkslice"], "verify", two, bundle);
    refused!(2, ["two.json", "format version 2", "upgrade zkslice"], "inspect", bundle);
}

#[test]
fn bundles() {
    let scene = proven();
    let (one, two) = (scene.path("one"), scene.path("two"));
    let bundle = Bundle::from_json(&std::fs::read(scene.path("two.json")).unwrap()).unwrap();
    let save = |name: &str, change: &dyn Fn(&mut Bundle)| {
        let mut changed = bundle.clone();
        change(&mut changed);
        scene.write(name, &changed.to_json().unwrap())
    };
    refused!(
        1,
        ["slices [1] have no proof", "proves nothing"],
        "verify",
        two,
        save("partial.json", &|b| {
            b.proofs.pop();
        })
    );
    refused!(1, ["slices [0, 1] have no proof"], "verify", two, save("none.json", &|b| b.proofs.clear()));
    refused!(2, ["in order"], "verify", two, save("swapped.json", &|b| b.proofs.swap(0, 1)));
    refused!(2, ["in order"], "verify", two, save("twice.json", &|b| b.proofs.push(b.proofs[1].clone())));
    refused!(
        1,
        ["slice 0"],
        "verify",
        two,
        save("moved.json", &|b| (b.proofs[0].proof, b.proofs[1].proof) = (b.proofs[1].proof.clone(), b.proofs[0].proof.clone()))
    );
    refused!(2, ["'input'"], "verify", two, save("unbound.json", &|b| b.tensors[0] = None));
    refused!(1, ["slice 0"], "verify", two, save("context.json", &|b| b.context[31] = 1));
    refused!(1, ["model 0x"], "verify", two, save("model.json", &|b| b.model[0] ^= 1));
    refused!(2, ["owner"], "verify", two, save("owner.json", &|b| b.owner[31] = 1));
    let text = std::fs::read_to_string(scene.path("one.json")).unwrap();
    let not_canonical = [
        text.replace("0x2", "0X2"),
        format!("{text}\n"),
        text.trim_end().to_owned(),
        text.replace("  ", "\t"),
        text.replacen("{", "{ ", 1),
    ];
    for text in not_canonical.iter().filter(|changed| **changed != text) {
        let path = scene.write("other.json", text.as_bytes());
        refused!(2, ["other.json"], "verify", one, path);
    }
    for text in ["", "{}", "[]", "null", "{\"version\": 1}", "{\"version\": \"1\"}", "\u{feff}{}"] {
        let path = scene.write("other.json", text.as_bytes());
        refused!(2, ["other.json", "not a bundle"], "verify", one, path);
        refused!(2, ["other.json", "not a bundle"], "inspect", path);
    }
    refused!(2, ["absent.json: No such file"], "verify", one, scene.path("absent.json"));
}

/// Packages of one setup, each other's bundles: that is what is said, whatever else is wrong, too.
#[test]
fn bundles_of_another_package() {
    let scene = proven();
    refused!(1, ["model 0x"], "verify", scene.path("two"), scene.path("one.json"));
    refused!(1, ["model 0x"], "verify", scene.path("one"), scene.path("two.json"));
}

/// There is no format version 0: what says so was not written by any zkslice, or has changed.
#[test]
fn format_version_zero() {
    let scene = proven();
    let zero = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let zeroed = |text: String, version: &str| text.replacen(version, &version.replace(['1', '2', '3'], "0"), 1);
        let changed = ["\"version\": 1", "\"version\":1", "\"version\": 2", "\"version\": 3"].into_iter().fold(text.clone(), zeroed);
        assert_ne!(text, changed);
        std::fs::write(path, changed).unwrap();
    };
    let (two, bundle, openings) = (scene.path("two"), scene.path("two.json"), scene.path("two.openings"));
    zero(&openings);
    refused!(2, ["two.openings", "version 0"], "prove", two, "--slice", "1", "--boundary", openings, "-o", scene.path("never.json"));
    zero(&bundle);
    refused!(2, ["two.json", "version 0"], "verify", two, bundle);
    zero(&two.join("keys.json"));
    refused!(2, ["keys.json", "version 0"], "verify", two, bundle);
    zero(&two.join("manifest.json"));
    refused!(2, ["manifest.json", "version 0"], "inspect", two);
}

/// Every byte of a bundle counts: whatever is changed, `verify` fails. All of them through the library, some through the command.
#[test]
fn bundles_with_any_byte_changed() {
    let scene = proven();
    let mut random = Random(7);
    for name in ["one", "two"] {
        let package = Package::open(&scene.path(name)).unwrap();
        let verifier = Verifier::new(&package).unwrap();
        let bytes = std::fs::read(scene.path(&format!("{name}.json"))).unwrap();
        assert!(verifier.verify(&Bundle::from_json(&bytes).unwrap()).is_ok());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] = match (random.number() % 4, bytes[at]) {
                // A digit for a digit, so that what is read differs, and not only how it is written.
                (0..=2, b'0'..=b'9' | b'a'..=b'f') => *b"0123456789abcdef".get(random.below(16)).unwrap(),
                (_, byte) => byte ^ (1 << random.below(8)),
            };
            if changed[at] == bytes[at] {
                changed[at] = b'!';
            }
            let valid = Bundle::from_json(&changed).is_ok_and(|bundle| verifier.verify(&bundle).is_ok());
            assert!(!valid, "byte {at}: {:?} for {:?}", changed[at] as char, bytes[at] as char);
            if at % 41 == 0 {
                let path = scene.write("changed.json", &changed);
                let code = run!("verify", scene.path(name), path, "--json").code;
                assert!(matches!(code, Some(1 | 2)), "byte {at}: {code:?}");
            }
        }
    }
}
