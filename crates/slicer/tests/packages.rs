//! Packages on disk: the same bytes every time, and every damage or foreign key refused with the name of the file.

use crate::network;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use zkslice_formats::key_blob::bitmap;
use zkslice_formats::{hex0x, keccak};
use zkslice_graph::{Graph, VERSION};
use zkslice_groth16::VerifyingKey;
use zkslice_slicer::{
    FeatureEntry, InputMode, Package, PackageError, PackageOptions, Strategy, TensorEntry, TensorKind, layout_digest, partition, setup,
    setup_again,
};

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
    (0..package.slice_count()).try_for_each(|k| package.proving_key(k).map(drop))
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
    edit_keys(folder, |keys| keys["package"] = json!(hex0x(&keccak(&bytes))));
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
        // The same again in its place.
        create(&first, &graph(i), inputs);
        assert_eq!(files(&first), files(&second));
        // Over another, which has no keys.
        create(&first, &graph(i + 1), inputs);
        assert_ne!(files(&first), files(&second));
        create(&first, &graph(i), inputs);
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
    for (name, bytes) in files(&folder).into_iter().filter(|(name, _)| name != Path::new(".lock")) {
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
            for (version, says) in [(0, "version"), (4, "upgrade")] {
                let mut other = value.clone();
                other["version"] = json!(version);
                fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
                assert!(refused(&name, "another version").contains(says));
            }
            let mut more = value.clone();
            more["extra"] = json!(1);
            fs::write(&path, serde_json::to_vec(&more).unwrap()).unwrap();
            assert!(refused(&name, "an extra field").contains("extra"));
        } else if name.to_string_lossy().ends_with("proving.key") {
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
    bytes[8] = VERSION as u8 + 1;
    fs::write(&path, &bytes).unwrap();
    edit_manifest(&folder, |manifest| manifest["slices"][1]["graph"] = json!(hex0x(&keccak(&bytes))));
    let error = use_all(&folder).unwrap_err().to_string();
    assert!(error.contains("slices/1/graph.bin") && error.contains(&format!("version {}", VERSION + 1)), "{error}");
}

#[test]
fn keys_of_another_setup_or_circuit_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let [ours, other, foreign] = ["ours", "other", "foreign"].map(|name| place.path().join(name));
    with_keys(&ours, &graph(0), 4);
    with_keys(&other, &graph(0), 5);
    with_keys(&foreign, &graph(1), 4);
    let honest = files(&ours);
    let of = |folder: &Path, k: usize, kind: &str| key_file(&Package::open(folder).unwrap(), k, kind);
    let refused = |from: &Path, to: &Path, what: &str| {
        fs::copy(from, to).unwrap();
        assert!(use_all(&ours).is_err(), "{what}: {}", from.display());
        fs::write(to, &honest[to.strip_prefix(&ours).unwrap()]).unwrap();
    };
    for source in [&other, &foreign] {
        refused(&source.join("keys.json"), &ours.join("keys.json"), "another package's");
        ["verifying", "proving"].iter().for_each(|kind| refused(&of(source, 1, kind), &of(&ours, 1, kind), "another package's"));
    }
    ["verifying", "proving"].iter().for_each(|kind| refused(&of(&ours, 2, kind), &of(&ours, 1, kind), "another slice's"));
    use_all(&ours).unwrap();
    // Keys of two setups in one package, the manifest of the keys agreeing: one setup digest would stand for both.
    let theirs = fs::read(of(&other, 1, "verifying")).unwrap();
    fs::write(of(&ours, 1, "verifying"), &theirs).unwrap();
    edit_keys(&ours, |keys| keys["slices"][1]["verifying_key"] = json!(hex0x(&keccak(&theirs))));
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
    fs::write(key_file(&package, 1, "verifying"), plain.record()).unwrap();
    edit_keys(&folder, |keys| keys["slices"][1]["verifying_key"] = json!(hex0x(&plain.hash())));
    let error = Package::open(&folder).unwrap().verifying_keys().expect_err("a plain key").to_string();
    assert!(error.contains("1.verifying.key"), "{error}");
}

/// `docs/proof-system.md` 8.2: keys with β = ±γ, whose digests all fit, prove anything; no part of a package takes them.
#[test]
fn attack_b9_keys_that_prove_anything_are_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    let package = with_keys(&folder, &graph(0), 8);
    let keys = package.verifying_keys().unwrap();
    for negative in [false, true] {
        let bad = |key: &VerifyingKey| VerifyingKey { beta: if negative { -key.gamma } else { key.gamma }, ..key.clone() };
        let place = folder.join("keys").join(&hex0x(&bad(&keys[0]).hash())[2..18]);
        for (k, bad) in keys.iter().map(bad).enumerate() {
            let setup = hex0x(&bad.setup_digest());
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join(format!("{k}.verifying.key")), bad.record()).unwrap();
            edit_keys(&folder, |keys| {
                keys["slices"][k]["verifying_key"] = json!(hex0x(&bad.hash()));
                keys["setup"] = json!(setup);
            });
        }
        let package = Package::open(&folder).unwrap();
        for error in [package.verifying_keys().unwrap_err(), package.key_blob().unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("0.verifying.key") && text.contains("β equals ±γ"), "{text}");
        }
    }
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
        ("an output's scale", Box::new(move |m| m["tensors"][output]["features"][0]["scale"] = json!(0))),
        ("an input's scale", Box::new(move |m| m["tensors"][input]["features"][0]["scale"] = json!(2))),
        ("a boundary's scale", Box::new(move |m| m["tensors"][boundary]["features"][0]["scale"] = json!(1))),
        ("an offset", Box::new(move |m| m["tensors"][boundary]["features"][0]["offset"] = json!(-3))),
        ("a pitch", Box::new(move |m| m["tensors"][output]["bits"] = json!(31))),
        ("a shape", Box::new(move |m| m["tensors"][output]["shape"] = json!([2, 1]))),
        ("a huge shape", Box::new(move |m| m["tensors"][output]["shape"] = json!([u64::MAX, u64::MAX]))),
        (
            "a boundary for an output that a slice reads",
            Box::new(move |m| {
                m["tensors"][boundary]["kind"] = json!("output");
                m["tensors"][boundary]["features"][0]["scale"] = json!(1);
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
        Package::replace(&folder, &graph, &options, json!({}))
    };
    let kinds = |package: &Package, k: usize| -> Vec<TensorKind> {
        package.manifest().slices[k].writes.iter().map(|t| package.manifest().tensors[*t].kind).collect()
    };
    let whole = with(&[]).unwrap();
    let output_slices: Vec<usize> = (0..3).filter(|k| kinds(&whole, *k).contains(&TensorKind::Output)).collect();
    assert!(output_slices.contains(&2) && output_slices.len() < 3);
    for (policy, word) in [(output_slices.clone(), bitmap(&output_slices)), (Vec::new(), [0; 32])] {
        let package = with(&policy).unwrap();
        setup_again(std::slice::from_ref(&package), &mut StdRng::seed_from_u64(7), |_, _| ()).unwrap();
        assert_eq!(package.key_blob().unwrap().bytes()[96..128], word);
        assert_eq!(Package::open(&folder).unwrap().manifest().coverage_policy, policy);
    }
    assert_eq!(bitmap(&[0, 9, 255])[..], [&[0x80][..], &[0; 29], &[2, 1]].concat());
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
    for name in ["package", "package.partial"] {
        let theirs = place.path().join(name);
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("thesis.txt"), "years of work").unwrap();
        let error = Package::create(&folder, &graph(0), &options, Value::Null).expect_err(name);
        assert!(matches!(&error, PackageError::Exists { path } if *path == theirs), "{error}");
        assert_eq!(fs::read(theirs.join("thesis.txt")).unwrap(), b"years of work");
        fs::remove_dir_all(&theirs).unwrap();
    }
    // A manifest of something else, and a package in which somebody keeps a file.
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("manifest.json"), r#"{"name": "My web app", "start_url": "/"}"#).unwrap();
    fs::write(folder.join("thesis.txt"), "years of work").unwrap();
    for replace in [Package::create, Package::replace] {
        let error = replace(&folder, &graph(0), &options, Value::Null).unwrap_err();
        assert!(matches!(&error, PackageError::Exists { path } if *path == folder), "{error}");
    }
    fs::remove_file(folder.join("manifest.json")).unwrap();
    fs::remove_file(folder.join("thesis.txt")).unwrap();
    Package::create(&folder, &graph(0), &options, Value::Null).unwrap();
    fs::write(folder.join("thesis.txt"), "years of work").unwrap();
    for replace in [Package::create, Package::replace] {
        let error = replace(&folder, &graph(1), &options, Value::Null).unwrap_err();
        assert!(matches!(&error, PackageError::Exists { path } if *path == folder.join("thesis.txt")), "{error}");
    }
    Package::create(&folder, &graph(0), &options, Value::Null).expect("the same package");
    assert_eq!(fs::read(folder.join("thesis.txt")).unwrap(), b"years of work");
    fs::remove_file(folder.join("thesis.txt")).unwrap();
    Package::create(&folder, &graph(1), &options, Value::Null).unwrap();
}

/// Where the keys of one package of several cannot be written, all have those that they had.
#[test]
fn keys_of_several_packages_come_together() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let before = with_keys(&one, &graph(0), 1).keys().unwrap().model;
    create(&two, &graph(1), InputMode::Public);
    fs::create_dir(two.join("keys.json")).unwrap();
    let packages = [&one, &two].map(|folder| Package::open(folder).unwrap());
    let kept = files(&one);
    setup_again(&packages, &mut StdRng::seed_from_u64(2), |_, _| ()).unwrap_err();
    assert_eq!((files(&one), Package::open(&one).unwrap().keys().unwrap().model), (kept, before));
    assert!(!two.join("keys").exists());
}

fn key_file(package: &Package, k: usize, kind: &str) -> PathBuf {
    package.folder().join("keys").join(&package.keys().unwrap().slices[0].verifying_key[2..18]).join(format!("{k}.{kind}.key"))
}

fn again(folder: &Path, seed: u64) -> Result<(), PackageError> {
    setup_again(&[Package::open(folder).unwrap()], &mut StdRng::seed_from_u64(seed), |_, _| ())
}

/// Keys are lost only to whoever says so: neither by a setup nor by a compilation.
#[test]
fn keys_are_not_lost() {
    let place = tempfile::tempdir().unwrap();
    let (folder, other) = (place.path().join("package"), place.path().join("other"));
    let package = with_keys(&folder, &graph(0), 1);
    let fresh = create(&other, &graph(1), InputMode::Public);
    let (before, model) = (files(&folder), package.keys().unwrap().model);
    let has_keys = |error: PackageError| {
        let text = error.to_string();
        assert!(matches!(error, PackageError::HasKeys { .. }) && text.contains(&model) && text.contains("--force"), "{text}");
        assert_eq!(files(&folder), before);
    };
    let mut rng = StdRng::seed_from_u64(2);
    has_keys(setup(&[Package::open(&folder).unwrap()], &mut rng, |_, _| ()).unwrap_err());
    // Nor do the other packages of the same call get any.
    has_keys(setup(&[Package::open(&other).unwrap(), Package::open(&folder).unwrap()], &mut rng, |_, _| ()).unwrap_err());
    assert!(matches!(fresh.keys(), Err(PackageError::NoKeys { .. })));
    let options =
        PackageOptions { name: "random".into(), inputs: InputMode::Public, strategy: Strategy::Slices(3), coverage_policy: Vec::new() };
    has_keys(Package::create(&folder, &graph(1), &options, json!({ "note": 1 })).unwrap_err());
    // The same package keeps them, however it is made, and mends what was damaged.
    for make in [Package::create, Package::replace] {
        fs::write(folder.join("slices/1/graph.bin"), "damaged").unwrap();
        assert_eq!(make(&folder, &graph(0), &options, json!({ "note": 1 })).unwrap().keys().unwrap().model, model);
        assert_eq!(files(&folder), before);
    }
    use_all(&folder).unwrap();
    // Keys of a setup that is not readable are keys, too.
    fs::write(folder.join("keys.json"), "{").unwrap();
    assert!(matches!(setup(&[Package::open(&folder).unwrap()], &mut rng, |_, _| ()).unwrap_err(), PackageError::HasKeys { .. }));
    fs::write(folder.join("keys.json"), &before[Path::new("keys.json")]).unwrap();

    again(&folder, 3).unwrap();
    use_all(&folder).unwrap();
    assert_eq!(fs::read_dir(folder.join("keys")).unwrap().count(), 1, "the earlier keys are gone");
    let replaced = Package::replace(&folder, &graph(1), &options, json!({ "note": 1 })).unwrap();
    assert!(matches!(replaced.keys(), Err(PackageError::NoKeys { .. })));
    assert_eq!(files(&folder), files(&other));
}

/// While one process makes keys or writes the package, no other does.
#[test]
fn one_writer_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let (folder, other) = (place.path().join("package"), place.path().join("other"));
    create(&folder, &graph(0), InputMode::Public);
    create(&other, &graph(1), InputMode::Public);
    let open = |folder: &Path| Package::open(folder).unwrap();
    let options =
        PackageOptions { name: "random".into(), inputs: InputMode::Public, strategy: Strategy::Slices(3), coverage_policy: Vec::new() };
    let mut attempts = 0;
    setup(&[open(&folder)], &mut StdRng::seed_from_u64(1), |_, _| {
        let mut rng = StdRng::seed_from_u64(2);
        for error in [
            setup(&[open(&folder)], &mut rng, |_, _| ()).unwrap_err(),
            setup_again(&[open(&folder)], &mut rng, |_, _| ()).unwrap_err(),
            setup(&[open(&other), open(&folder)], &mut rng, |_, _| ()).unwrap_err(),
            Package::create(&folder, &graph(1), &options, Value::Null).unwrap_err(),
            Package::replace(&folder, &graph(1), &options, Value::Null).unwrap_err(),
        ] {
            assert!(matches!(&error, PackageError::Busy { path } if *path == folder), "{error}");
        }
        assert!(open(&folder).key_blob().is_err());
        attempts += 1;
    })
    .unwrap();
    assert_eq!(attempts, 3);
    use_all(&folder).unwrap();
    assert!(matches!(open(&other).keys(), Err(PackageError::NoKeys { .. })));
    assert_eq!(files(&folder).len(), 3 + 3 * 2 + 3, "manifest, keys.json, .lock; keys; graphs");
    // One call, one package twice; a package that is no longer the one that was opened.
    let error = setup(&[open(&other), open(&place.path().join("other/../other"))], &mut StdRng::seed_from_u64(3), |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let earlier = open(&other);
    create(&other, &graph(0), InputMode::Public);
    let error = setup(&[earlier], &mut StdRng::seed_from_u64(3), |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("replaced meanwhile"), "{error}");
}

/// A setup that fails or is killed leaves the keys that were there, or none; the next one clears up.
#[test]
fn a_broken_off_setup_leaves_the_keys_that_were_there() {
    let place = tempfile::tempdir().unwrap();
    let (folder, other) = (place.path().join("package"), place.path().join("other"));
    let package = create(&folder, &graph(0), InputMode::Public);
    let broken_off = |seed: u64, at: usize| {
        let run = || {
            setup_again(&[Package::open(&folder).unwrap()], &mut StdRng::seed_from_u64(seed), |done, _| assert!(done < at, "broken off"))
        };
        std::panic::catch_unwind(run).unwrap_err();
    };
    broken_off(1, 2);
    assert!(matches!(package.keys(), Err(PackageError::NoKeys { .. })));
    assert!(!folder.join("keys").exists());
    setup(&[package], &mut StdRng::seed_from_u64(2), |_, _| ()).unwrap();
    let before = files(&folder);
    (1..4).for_each(|at| broken_off(3, at));
    assert_eq!(files(&folder), before);
    // Killed, nothing is cleared up: a folder of keys that no manifest names.
    with_keys(&other, &graph(0), 3);
    let killed = fs::read_dir(other.join("keys")).unwrap().next().unwrap().unwrap();
    let left = folder.join("keys").join(killed.file_name());
    fs::rename(killed.path(), &left).unwrap();
    use_all(&folder).unwrap();
    again(&folder, 4).unwrap();
    use_all(&folder).unwrap();
    assert!(!left.exists());
    assert_eq!(fs::read_dir(folder.join("keys")).unwrap().count(), 1);
}

/// Whoever reads keys while they are replaced has those of one setup, or is told.
#[test]
fn keys_of_two_setups_do_not_mix() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("package");
    with_keys(&folder, &graph(0), 1);
    let (reader, late) = (Package::open(&folder).unwrap(), Package::open(&folder).unwrap());
    let model = reader.key_blob().unwrap().model_digest();
    let first = reader.proving_key(0).unwrap();
    again(&folder, 2).unwrap();
    // A key that is open stays what it was.
    assert_eq!(hex0x(&first.verifying_key().hash()), reader.keys().unwrap().slices[0].verifying_key);
    for error in [reader.proving_key(1).unwrap_err(), reader.key_blob().unwrap_err()] {
        assert!(matches!(&error, PackageError::KeysReplaced { path } if *path == folder), "{error}");
    }
    assert_ne!(late.key_blob().unwrap().model_digest(), model);
    late.proving_key(1).unwrap();
    // Without a setup in between, a missing file is a missing file.
    fs::remove_file(key_file(&late, 1, "proving")).unwrap();
    assert!(late.proving_key(1).unwrap_err().to_string().contains("1.proving.key"));
}

/// The words that are hashed, put together by hand; and every part of them moves the digest.
#[test]
fn the_layout_digest_binds_names_and_shapes() {
    let tensor = |name: &str, kind, shape: &[usize], offset, scale| TensorEntry {
        name: name.into(),
        kind,
        shape: shape.to_vec(),
        bits: 9,
        axis: 0,
        features: vec![FeatureEntry { offset, scale }],
    };
    let tensors = [
        tensor("größe", TensorKind::PublicInput, &[2, 3], 256, u128::MAX),
        tensor("", TensorKind::Output, &[], 0, 7),
        tensor("between", TensorKind::Boundary, &[4], 5, 0),
        TensorEntry {
            axis: 1,
            features: [(1, 2), (3, 4)].map(|(offset, scale)| FeatureEntry { offset, scale }).to_vec(),
            ..tensor("table", TensorKind::PublicInput, &[1, 2], 0, 0)
        },
    ];
    let number = |n: u128| [[0; 16], n.to_be_bytes()].concat();
    let name = |text: &str| keccak(text.as_bytes()).to_vec();
    let words = [
        keccak(b"zkslice/layout/v1").to_vec(),
        [name("größe"), number(2), number(2), number(3), number(0), number(1), number(256), number(u128::MAX)].concat(),
        [name(""), number(0), number(0), number(1), number(0), number(7)].concat(),
        [name("between"), number(1), number(4), number(0), number(1), number(5), number(0)].concat(),
        [name("table"), number(2), number(1), number(2), number(1), number(2), number(1), number(2), number(3), number(4)].concat(),
    ];
    let digest = layout_digest(&tensors, None);
    assert_eq!(digest, keccak(&words.concat()));
    let edits: [fn(&mut [TensorEntry; 4]); 11] = [
        |t| t[0].name = "grosse".into(),
        |t| t[2].name = "after".into(),
        |t| t.swap(0, 1),
        |t| t[0].shape = vec![3, 2],
        |t| t[0].shape = vec![6],
        |t| t[1].shape = vec![1],
        |t| t[0].features[0].offset = 255,
        |t| t[1].features[0].scale = 8,
        |t| t[3].features[1].scale = 5,
        |t| t[3].features.swap(0, 1),
        |t| t[3].axis = 0,
    ];
    for (i, edit) in edits.iter().enumerate() {
        let mut changed = tensors.clone();
        edit(&mut changed);
        assert_ne!(layout_digest(&changed, None), digest, "{i}");
    }
    // It is the seventh word of the header.
    let place = tempfile::tempdir().unwrap();
    let package = with_keys(&place.path().join("package"), &graph(0), 3);
    assert_eq!(package.key_blob().unwrap().bytes()[192..224], layout_digest(&package.manifest().tensors, None));
}

/// Scales keep every digit in JSON, in one form each: numbers where all readers keep them, text from 2^64 on.
#[test]
fn scales_are_exact_in_json_and_in_the_key_blob() {
    let entry = |scale: u128| {
        let features = vec![FeatureEntry { offset: 512, scale }];
        TensorEntry { name: "y".into(), kind: TensorKind::Output, shape: vec![3], bits: 10, axis: 0, features }
    };
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
        assert_eq!(value["features"][0]["scale"], written);
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
        graph.outputs[0].encoding.features[0].scale.mantissa = mantissa;
        let package = with_keys(&place.path().join(i.to_string()), &graph, 3);
        let manifest = package.manifest();
        let output = manifest.tensors.iter().position(|t| t.kind == TensorKind::Output).unwrap();
        assert_eq!(manifest.tensors[output].features[0].scale, mantissa);
        // The blob: seven words, one hash per slice, six words per tensor, of which the fifth is the scale.
        let at = 32 * (7 + manifest.slices.len() + 6 * output + 4);
        let blob = package.key_blob().unwrap();
        assert_eq!(blob.bytes()[at..at + 16], [0; 16]);
        assert_eq!(blob.bytes()[at + 16..at + 32], mantissa.to_be_bytes());
        assert_eq!(blob.bytes()[at + 63], 18);
        // Another scale in the manifest is not what the slices compute.
        edit_manifest(package.folder(), |m| m["tensors"][output]["features"][0]["scale"] = json!(((1_u128 << 64) + 5).to_string()));
        let error = Package::open(package.folder()).unwrap_err().to_string();
        assert!(error.contains("graph.bin"), "{error}");
    }
}
