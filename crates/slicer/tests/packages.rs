//! Packages on disk: the same bytes every time, and every damage or foreign key refused with the name of the file.

use crate::network;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use zkslice_graph::Graph;
use zkslice_groth16::{VerifyingKey, keccak};
use zkslice_slicer::{InputMode, Package, PackageError, PackageOptions, Strategy, TensorEntry, TensorKind, partition, setup};

/// A random graph that can be cut into three.
fn graph(skip: usize) -> Graph {
    let graphs = (1..).map(|seed: u64| network::network(&mut network::Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    let cuttable = |graph: &Graph| partition(graph, Strategy::Slices(3), InputMode::Public).is_ok();
    graphs.filter(cuttable).nth(skip).unwrap()
}

fn create(folder: &Path, graph: &Graph, inputs: InputMode) -> Package {
    let options = PackageOptions { name: "random".into(), inputs, strategy: Strategy::Slices(3), coverage_policy: Vec::new() };
    Package::create(folder, graph, &options, json!({ "note": 1 })).unwrap()
}

fn with_keys(folder: &Path, graph: &Graph, seed: u64) -> Package {
    let package = create(folder, graph, InputMode::Public);
    setup(std::slice::from_ref(&package), &mut StdRng::seed_from_u64(seed), |_, _| ()).unwrap();
    package
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Everything that a user of the package reads.
fn use_all(folder: &Path) -> Result<(), PackageError> {
    let package = Package::open(folder)?;
    package.key_blob()?;
    (0..package.slices().len()).try_for_each(|k| package.proving_key(k).map(drop))
}

/// Changes `keys.json`.
fn edit_keys(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("keys.json");
    let mut keys: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut keys);
    fs::write(path, serde_json::to_vec_pretty(&keys).unwrap()).unwrap();
}

/// Changes `manifest.json`, and has the keys follow it.
fn edit_manifest(folder: &Path, edit: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut manifest);
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    edit_keys(folder, |keys| keys["package"] = json!(format!("0x{}", hex::encode(keccak(&bytes)))));
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_same_graph_gives_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    for (i, inputs) in [InputMode::Public, InputMode::Private].into_iter().enumerate() {
        let (first, second) = (place.path().join(format!("a{i}")), place.path().join(format!("b{i}")));
        let digests = [&first, &second].map(|folder| create(folder, &graph(i), inputs).digest());
        assert_eq!(digests[0], digests[1]);
        assert_eq!(files(&first), files(&second));
        // Over an earlier package, with keys: the same again, and the keys are gone.
        let again = with_keys(&first, &graph(i), 1);
        assert!(again.keys().is_ok());
        assert!(matches!(create(&first, &graph(i), inputs).keys(), Err(PackageError::NoKeys { .. })));
        assert_eq!(files(&first), files(&second));
    }
}

#[test]
fn damaged_files_are_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    with_keys(&folder, &graph(0), 2);
    use_all(&folder).unwrap();
    let refused = |name: &Path, what: &str| {
        let error = use_all(&folder).expect_err(&format!("{}: {what} is accepted", name.display())).to_string();
        assert!(error.contains(&*name.to_string_lossy()), "{what}: '{error}' does not name {}", name.display());
        error
    };
    for (name, bytes) in files(&folder) {
        let path = folder.join(&name);
        for cut in [0, 1, 15, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            // JSON may end without its newline.
            if cut + 1 < bytes.len() || name.extension().is_none_or(|e| e != "json") {
                refused(&name, &format!("cut to {cut} bytes"));
            }
        }
        let step = (bytes.len() / 97).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 7);
            fs::write(&path, &flipped).unwrap();
            match use_all(&folder) {
                // White space in JSON, padding in a proving key and the dev mark say the same or are not read.
                Ok(()) => assert!(bytes[at].is_ascii_whitespace() || bytes[at] == 0, "{}: byte {at} is not read", name.display()),
                // The manifest's bytes are the package's digest: that the keys do not fit may be what is said.
                Err(error) if name.ends_with("manifest.json") => {
                    assert!(["manifest.json", "keys.json", "graph.bin"].iter().any(|n| error.to_string().contains(n)), "{error}");
                }
                Err(error) => {
                    assert!(error.to_string().contains(&*name.to_string_lossy()) || name.ends_with("keys.json"), "byte {at}: {error}")
                }
            }
        }
        if name.extension().is_some_and(|e| e == "json") {
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            for (version, says) in [(0, "version"), (2, "upgrade")] {
                let mut other = value.clone();
                other["version"] = json!(version);
                fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
                assert!(refused(&name, "another version").contains(says));
            }
            let mut more = value.clone();
            more["extra"] = json!(1);
            fs::write(&path, serde_json::to_vec(&more).unwrap()).unwrap();
            assert!(refused(&name, "an extra field").contains("extra"));
        } else if name.ends_with("proving.key") {
            let mut newer = bytes.clone();
            newer[8] += 1;
            fs::write(&path, &newer).unwrap();
            assert!(refused(&name, "a newer version").contains("upgrade"));
        }
        fs::remove_file(&path).unwrap();
        refused(if name.ends_with("keys.json") { Path::new("package") } else { &name }, "absence");
        fs::write(&path, &bytes).unwrap();
        use_all(&folder).unwrap();
    }
}

#[test]
fn a_newer_graph_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    with_keys(&folder, &graph(0), 3);
    let path = folder.join("slices/1/graph.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    fs::write(&path, &bytes).unwrap();
    edit_manifest(&folder, |manifest| manifest["slices"][1]["graph"] = json!(format!("0x{}", hex::encode(keccak(&bytes)))));
    let error = use_all(&folder).unwrap_err().to_string();
    assert!(error.contains("slices/1/graph.bin") && error.contains("version 2"), "{error}");
}

#[test]
fn keys_of_another_setup_or_circuit_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let [ours, other, foreign] = ["ours", "other", "foreign"].map(|name| place.path().join(name));
    with_keys(&ours, &graph(0), 4);
    with_keys(&other, &graph(0), 5);
    with_keys(&foreign, &graph(1), 4);
    let honest = files(&ours);
    for source in [&other, &foreign] {
        for file in ["keys.json", "slices/1/verifying.key", "slices/1/proving.key"] {
            fs::copy(source.join(file), ours.join(file)).unwrap();
            assert!(use_all(&ours).is_err(), "{file} of {}", source.display());
            fs::write(ours.join(file), &honest[Path::new(file)]).unwrap();
        }
    }
    // Slices of one package swapped.
    for file in ["verifying.key", "proving.key"] {
        fs::copy(ours.join("slices/2").join(file), ours.join("slices/1").join(file)).unwrap();
        assert!(use_all(&ours).is_err(), "{file} of another slice");
        fs::write(ours.join("slices/1").join(file), &honest[&Path::new("slices/1").join(file)]).unwrap();
    }
    use_all(&ours).unwrap();
    // Keys of two setups in one package, the manifest of the keys agreeing: one setup digest would stand for both.
    let theirs = fs::read(other.join("slices/1/verifying.key")).unwrap();
    fs::write(ours.join("slices/1/verifying.key"), &theirs).unwrap();
    edit_keys(&ours, |keys| keys["slices"][1]["verifying_key"] = json!(format!("0x{}", hex::encode(keccak(&theirs)))));
    let error = Package::open(&ours).unwrap().verifying_keys().expect_err("keys of two setups").to_string();
    assert!(error.contains("setup"), "{error}");
}

/// Rule B10: a slice that looks up its digits cannot be verified as plain Groth16, whose challenge would be free.
#[test]
fn attack_b10_a_plain_key_is_no_key_of_a_slice() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    let package = with_keys(&folder, &graph(0), 6);
    let committed = package.verifying_keys().unwrap().remove(1);
    assert!(committed.groups.is_empty(), "the middle slice has commitments only");
    let ic = committed.ic.iter().cycle().take(1 + committed.publics).copied().collect();
    let plain = VerifyingKey { delta1: None, ic, ..committed };
    fs::write(folder.join("slices/1/verifying.key"), plain.record()).unwrap();
    edit_keys(&folder, |keys| keys["slices"][1]["verifying_key"] = json!(format!("0x{}", hex::encode(plain.hash()))));
    let error = package.verifying_keys().expect_err("a plain key").to_string();
    assert!(error.contains("slices/1/verifying.key"), "{error}");
}

/// The manifest says of a tensor exactly what its slices' graphs say, scale included; an output is nobody's input.
#[test]
fn manifests_that_bend_the_wiring_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    with_keys(&folder, &graph(0), 7);
    let honest = files(&folder);
    let restore = || honest.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    let manifest: Value = serde_json::from_slice(&honest[Path::new("manifest.json")]).unwrap();
    let of_kind = |kind: &str| manifest["tensors"].as_array().unwrap().iter().position(|t| t["kind"] == kind).unwrap();
    let (input, output, boundary) = (of_kind("public_input"), of_kind("output"), of_kind("boundary"));
    type Edit = Box<dyn Fn(&mut Value)>;
    let edits: Vec<(&str, Edit)> = vec![
        ("an output's scale", Box::new(move |m| m["tensors"][output]["scale"] = json!(0))),
        ("an input's scale", Box::new(move |m| m["tensors"][input]["scale"] = json!(2))),
        ("a boundary's scale", Box::new(move |m| m["tensors"][boundary]["scale"] = json!(1))),
        ("an offset", Box::new(move |m| m["tensors"][boundary]["offset"] = json!(-3))),
        ("a pitch", Box::new(move |m| m["tensors"][output]["bits"] = json!(31))),
        ("a shape", Box::new(move |m| m["tensors"][output]["shape"] = json!([2, 1]))),
        ("a huge shape", Box::new(move |m| m["tensors"][output]["shape"] = json!([u64::MAX, u64::MAX]))),
        (
            "a boundary for an output that a slice reads",
            Box::new(move |m| {
                m["tensors"][boundary]["kind"] = json!("output");
                m["tensors"][boundary]["scale"] = json!(1);
            }),
        ),
        ("a boundary for an input", Box::new(move |m| m["tensors"][boundary]["kind"] = json!("private_input"))),
        ("an output for a boundary", Box::new(move |m| m["tensors"][output]["kind"] = json!("boundary"))),
        (
            "a tensor that nobody uses",
            Box::new(move |m| {
                let last = m["tensors"][boundary].clone();
                m["tensors"].as_array_mut().unwrap().push(last);
            }),
        ),
        (
            "a slice twice",
            Box::new(|m| {
                let first = m["slices"][0].clone();
                m["slices"].as_array_mut().unwrap().insert(1, first);
            }),
        ),
        ("slices in another order", Box::new(|m| m["slices"].as_array_mut().unwrap().swap(0, 1))),
        ("no slice", Box::new(|m| m["slices"] = json!([]))),
        ("a tensor out of range", Box::new(|m| m["slices"][0]["reads"] = json!([999]))),
        ("a tensor read twice", Box::new(move |m| m["slices"][0]["reads"] = json!([input, input]))),
        ("a coverage policy without the output's slice", Box::new(|m| m["coverage_policy"] = json!([0]))),
    ];
    for (what, edit) in edits {
        edit_manifest(&folder, edit);
        assert!(Package::open(&folder).is_err(), "{what} is accepted");
        restore();
    }
    use_all(&folder).unwrap();
    // A policy that could be, but is not the one of the keys' model.
    edit_manifest(&folder, |m| m["coverage_policy"] = json!([2]));
    Package::open(&folder).unwrap().key_blob().unwrap_err();
}

/// Rule B6: the policy is in the digest, names the slices that put out outputs, and not all slices.
#[test]
fn coverage_policies() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    let graph = graph(0);
    let with = |coverage_policy: &[usize]| {
        let (inputs, strategy) = (InputMode::Public, Strategy::Slices(3));
        let options = PackageOptions { name: "random".into(), inputs, strategy, coverage_policy: coverage_policy.to_vec() };
        Package::create(&folder, &graph, &options, json!({}))
    };
    let kinds = |package: &Package, k: usize| -> Vec<TensorKind> {
        package.manifest().slices[k].writes.iter().map(|t| package.manifest().tensors[*t].kind).collect()
    };
    let whole = with(&[]).unwrap();
    let output_slices: Vec<usize> = (0..3).filter(|k| kinds(&whole, *k).contains(&TensorKind::Output)).collect();
    assert!(output_slices.contains(&2) && output_slices.len() < 3);
    for (policy, word) in [(output_slices.clone(), zkslice_slicer::bitmap(&output_slices)), (Vec::new(), [0; 32])] {
        let package = with(&policy).unwrap();
        setup(std::slice::from_ref(&package), &mut StdRng::seed_from_u64(7), |_, _| ()).unwrap();
        assert_eq!(package.key_blob().unwrap().bytes()[96..128], word);
        assert_eq!(Package::open(&folder).unwrap().manifest().coverage_policy, policy);
    }
    assert_eq!(zkslice_slicer::bitmap(&[0, 9, 255])[..], [&[0x80][..], &[0; 29], &[2, 1]].concat());
    let before = files(&folder);
    for refused in [&[0][..], &[0, 1], &[0, 1, 2], &[2, 2], &[2, 1], &[2, 3], &[2, usize::MAX]] {
        assert!(matches!(with(refused), Err(PackageError::CoveragePolicy(_))), "{refused:?}");
    }
    assert_eq!(files(&folder), before);
}

/// Only an earlier package, or nothing, is replaced; neighbours that happen to have the working names are left alone.
#[test]
fn other_peoples_folders_are_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    let options =
        PackageOptions { name: "random".into(), inputs: InputMode::Public, strategy: Strategy::Slices(3), coverage_policy: Vec::new() };
    for name in ["package", "package.old", "package.partial"] {
        let theirs = place.path().join(name);
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("thesis.txt"), "years of work").unwrap();
        let error = Package::create(&folder, &graph(0), &options, Value::Null).expect_err(name);
        assert!(matches!(&error, PackageError::Exists { path } if *path == theirs), "{error}");
        assert_eq!(fs::read(theirs.join("thesis.txt")).unwrap(), b"years of work");
        fs::remove_dir_all(&theirs).unwrap();
    }
    Package::create(&folder, &graph(0), &options, Value::Null).unwrap();
}

/// Scales keep every digit in JSON, in one form each: numbers where all readers keep them, text from 2^64 on.
#[test]
fn scales_are_exact_in_json_and_in_the_key_blob() {
    let entry = |scale: u128| TensorEntry { name: "y".into(), kind: TensorKind::Output, shape: vec![3], bits: 10, offset: 512, scale };
    let most = u128::MAX.to_string();
    for (scale, written) in [
        (1, json!(1)),
        (63_849_600_000_000_000, json!(63_849_600_000_000_000_u64)),
        (u64::MAX.into(), json!(u64::MAX)),
        (1 << 64, json!("18446744073709551616")),
        (1_953_130_000_000_000_000_000, json!("1953130000000000000000")),
        (u128::MAX, json!(most)),
    ] {
        let value = serde_json::to_value(entry(scale)).unwrap();
        assert_eq!(value["scale"], written);
        assert_eq!(serde_json::from_value::<TensorEntry>(value).unwrap(), entry(scale));
        let text = serde_json::to_string(&entry(scale)).unwrap();
        assert_eq!(serde_json::from_str::<TensorEntry>(&text).unwrap(), entry(scale));
    }
    let text = serde_json::to_string(&entry(1)).unwrap();
    for scale in ["-1", "1.0", "1e3", "18446744073709551616", "null", r#""1""#, r#""18446744073709551615""#, r#""+18446744073709551616""#] {
        let changed = text.replace(r#""scale":1"#, &format!(r#""scale":{scale}"#));
        let error = serde_json::from_str::<TensorEntry>(&changed).expect_err(scale).to_string();
        assert!(error.contains("a scale"), "{scale}: {error}");
    }
    for scale in ["018446744073709551616", "340282366920938463463374607431768211456", "18446744073709551616 ", ""] {
        let changed = text.replace(r#""scale":1"#, &format!(r#""scale":"{scale}""#));
        assert!(serde_json::from_str::<TensorEntry>(&changed).is_err(), "{scale}");
    }

    let place = tempfile::tempdir().unwrap();
    for (i, mantissa) in [u128::from(u64::MAX), 1 << 64, u128::MAX].into_iter().enumerate() {
        let mut graph = graph(0);
        graph.outputs[0].encoding.scale.mantissa = mantissa;
        let package = with_keys(&place.path().join(i.to_string()), &graph, 3);
        let manifest = package.manifest();
        let output = manifest.tensors.iter().position(|t| t.kind == TensorKind::Output).unwrap();
        assert_eq!(manifest.tensors[output].scale, mantissa);
        // The blob: six words, a hash a slice, six words a tensor, of which the fifth is the scale.
        let at = 32 * (6 + manifest.slices.len() + 6 * output + 4);
        let blob = package.key_blob().unwrap();
        assert_eq!(blob.bytes()[at..at + 16], [0; 16]);
        assert_eq!(blob.bytes()[at + 16..at + 32], mantissa.to_be_bytes());
        assert_eq!(blob.bytes()[at + 63], 18);
        // Another scale in the manifest is not what the slices compute.
        edit_manifest(package.folder(), |m| m["tensors"][output]["scale"] = json!(((1_u128 << 64) + 5).to_string()));
        let error = Package::open(package.folder()).unwrap_err().to_string();
        assert!(error.contains("graph.bin"), "{error}");
    }
}
