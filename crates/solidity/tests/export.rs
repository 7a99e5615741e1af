//! Exports: a forge project that builds, and everything that is refused.

use crate::common;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ark_bn254::{Fr, G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use tempfile::TempDir;
use zkslice_compiler::{FloatGraph, FloatNode, FloatOp, Options, Value as FloatValue, compile_float};
use zkslice_formats::{Addition, FolderLock, NewFolder, hex0x, keccak};
use zkslice_graph::{Input, Samples};
use zkslice_groth16::{Form, KeyError, VerifyingKey};
use zkslice_slicer::{InputMode, Package, PackageError, PackageOptions, Slot, Strategy, setup, slots};
use zkslice_solidity::{ExportError, ExportOptions, KeyBlobIndex, Layout, SliceVerifier, export, export_with, folder_in, slice_verifier};

use crate::common::{SMALL, cases, jobs, model, root};

fn forge(folder: &Path, arguments: &[&str]) {
    forge_with("solc", folder, arguments);
}

/// forge, with one of the compilers of `script/solc`.
fn forge_with(compiler: &str, folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(root().join("script/foundry"));
    command.arg("forge");
    let output = command.args(arguments).current_dir(folder).env("ZKSLICE_SOLC", compiler).output().unwrap();
    assert!(
        output.status.success(),
        "forge {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().into(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn exports_are_formatted_and_build() {
    let model = model(SMALL, 2, InputMode::Private);
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    export(&model.package, &out).unwrap();
    forge(&out, &["fmt", "--check"]);
    build(&out);
    assert!(out.join("out/MlpDigitsSlice1Verifier.sol/MlpDigitsSlice1Verifier.json").is_file());
}

/// With npm's compilers, the newest and the oldest, and with what `npm install` would put there.
fn build(project: &Path) {
    std::os::unix::fs::symlink(root().join("node_modules").canonicalize().unwrap(), project.join("node_modules")).unwrap();
    let solc = root().join("script/solc").canonicalize().unwrap();
    for compiler in ["solc-oldest", "solc"] {
        forge_with(compiler, project, &["build", "--force", "--offline", "--deny", "warnings", "--use", &solc.to_string_lossy()]);
    }
}

/// Its own files stay, the export's appear in one folder, and the project builds and is formatted as before.
#[test]
fn exports_go_into_an_existing_project() {
    let model = model(SMALL, 1, InputMode::Public);
    let folder = TempDir::new().unwrap();
    let project = folder.path().join("project");
    fs::create_dir(&project).unwrap();
    let no_project = folder_in(&project, &model.package, None);
    assert!(matches!(no_project, Err(ExportError::NotAProject { path, .. }) if path == project.join("foundry.toml")));
    let settings = "[profile.default]\nremappings = [\"@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/\"]\n\
                    evm_version = \"cancun\"\n[lint]\nexclude_lints = [\"incorrect-shift\"]\n";
    fs::write(project.join("foundry.toml"), settings).unwrap();
    assert_eq!(folder_in(&project, &model.package, None).unwrap(), project.join("src/MlpDigits"));
    fs::create_dir(project.join("contracts")).unwrap();
    assert_eq!(folder_in(&project, &model.package, None).unwrap(), project.join("contracts/MlpDigits"), "as forge finds sources");
    fs::create_dir(project.join("src")).unwrap();
    assert_eq!(folder_in(&project, &model.package, None).unwrap(), project.join("src/MlpDigits"));
    fs::write(project.join("foundry.toml"), "[profile.default]\nsrc = \"a/b\"\n").unwrap();
    assert_eq!(folder_in(&project, &model.package, None).unwrap(), project.join("a/b/MlpDigits"));
    fs::write(project.join("foundry.toml"), "src = ").unwrap();
    assert!(matches!(folder_in(&project, &model.package, None), Err(ExportError::Manifest { .. })));

    fs::write(project.join("foundry.toml"), settings).unwrap();
    fs::write(project.join("README.md"), "mine").unwrap();
    fs::write(
        project.join("src/Mine.sol"),
        "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.24;\n\nimport {MlpDigitsModel} from \"./MlpDigits/MlpDigitsModel.sol\";\n\n\
         contract Mine {\n    bytes32 public constant DIGEST = MlpDigitsModel.DIGEST;\n}\n",
    )
    .unwrap();
    let before = files(&project);
    let options = ExportOptions { layout: Layout::Sources, license: "MIT OR Apache-2.0".into(), ..ExportOptions::default() };
    let out = folder_in(&project, &model.package, None).unwrap();
    export_with(&model.package, &out, &options).unwrap();
    export_with(&model.package, &out, &options).unwrap();
    let after = files(&project);
    assert!(before.iter().all(|(name, bytes)| after[name] == *bytes));
    assert!(after.keys().all(|name| before.contains_key(name) || name.starts_with("src/MlpDigits")));
    let names: Vec<PathBuf> = files(&out).into_keys().collect();
    let expected = ["MlpDigitsModel.sol", "MlpDigitsSlice0Verifier.sol", "PublicWords.sol", "README.md", "key-blob.bin", "key-blob.json"];
    assert_eq!(names, expected.map(PathBuf::from));
    forge(&project, &["fmt", "--check"]);
    build(&project);

    // What is not ours in our folder's place stays.
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("PublicWords.sol"), "mine").unwrap();
    assert!(matches!(export_with(&model.package, &out, &options), Err(ExportError::Exists { .. })));
    assert_eq!(fs::read(out.join("PublicWords.sol")).unwrap(), b"mine");
}

/// No licence of this repository comes with an export.
#[test]
fn sources_say_the_licence_that_was_asked_for() {
    let model = model(SMALL, 1, InputMode::Public);
    let folder = TempDir::new().unwrap();
    for license in ["CC0-1.0", "UNLICENSED", "GPL-2.0-only WITH Classpath-exception-2.0", "(MIT OR Apache-2.0)"] {
        let out = folder.path().join("out");
        let options = ExportOptions { license: license.into(), ..ExportOptions::default() };
        export_with(&model.package, &out, &options).unwrap();
        let sources: Vec<Vec<u8>> =
            files(&out).into_iter().filter(|(name, _)| name.extension().is_some_and(|e| e == "sol")).map(|(_, bytes)| bytes).collect();
        assert_eq!(sources.len(), 3);
        for source in sources {
            let source = String::from_utf8(source).unwrap();
            assert!(source.starts_with(&format!("// SPDX-License-Identifier: {license}\n")));
            assert_eq!(source.matches("SPDX").count(), 1);
        }
    }
    for license in ["", " MIT", "MIT\ncontract Evil {}", "MIT */", &"x".repeat(101)] {
        let out = folder.path().join("refused");
        let options = ExportOptions { license: license.into(), ..ExportOptions::default() };
        assert!(matches!(export_with(&model.package, &out, &options), Err(ExportError::License { .. })), "{license}");
        assert!(!out.exists());
    }
}

/// Several slices, with and without words, a private input.
#[test]
fn exports_of_every_kind_are_formatted() {
    for (name, job) in jobs() {
        let folder = TempDir::new().unwrap();
        let out = folder.path().join(name);
        export(&job.model.package, &out).unwrap();
        forge(&out, &["fmt", "--check"]);
    }
}

#[test]
fn golden_files_are_formatted() {
    forge(&root(), &["fmt", "--check", common::GOLDEN, common::GENERATED]);
}

#[test]
fn exports_are_reproducible_and_say_what_they_hold() {
    let model = model(SMALL, 2, InputMode::Public);
    let folder = TempDir::new().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let exported = export(&model.package, &one).unwrap();
    export(&model.package, &two).unwrap();
    let written = files(&one);
    assert_eq!(written, files(&two));
    assert_eq!(exported.files, written.keys().cloned().collect::<Vec<_>>());
    // Again into the same folder.
    export(&model.package, &one).unwrap();
    assert_eq!(written, files(&one));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written");

    let index: KeyBlobIndex = serde_json::from_slice(&written[Path::new("key-blob.json")]).unwrap();
    let blob = model.package.key_blob().unwrap();
    let chunks: Vec<Vec<u8>> = index.chunks.iter().map(|chunk| hex::decode(&chunk[2..]).unwrap()).collect();
    assert_eq!(chunks.concat(), blob.bytes());
    assert_eq!(written[Path::new("key-blob.bin")], blob.bytes());
    assert_eq!(index.chunk_hashes, chunks.iter().map(|chunk| hex0x(&keccak(chunk))).collect::<Vec<_>>());
    assert_eq!(index.model_digest, hex0x(&blob.model_digest()));
}

#[test]
fn what_is_not_an_earlier_export_is_left_alone() {
    let model = model(SMALL, 1, InputMode::Public);
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("thesis.txt"), "years of work").unwrap();
    assert!(matches!(export(&model.package, &out), Err(ExportError::Exists { .. })));
    fs::write(out.join("key-blob.json"), "{}").unwrap();
    assert!(matches!(export(&model.package, &out), Err(ExportError::Exists { .. })));
    assert_eq!(fs::read(out.join("thesis.txt")).unwrap(), b"years of work");
    fs::write(folder.path().join("file"), "a file").unwrap();
    assert!(matches!(export(&model.package, &folder.path().join("file")), Err(ExportError::Exists { .. })));
}

#[test]
fn edited_files_are_not_lost_and_others_stay() {
    let model = model(SMALL, 1, InputMode::Public);
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    export(&model.package, &out).unwrap();
    let written = files(&out);
    for own in ["src/Consumer.sol", "test/Consumer.t.sol", "notes.txt"] {
        fs::create_dir_all(out.join(own).parent().unwrap()).unwrap();
        fs::write(out.join(own), own).unwrap();
    }
    // A file that is gone comes back.
    fs::remove_file(out.join("README.md")).unwrap();
    export(&model.package, &out).unwrap();
    let now = files(&out);
    assert!(written.iter().all(|(name, bytes)| now[name] == *bytes));
    assert_eq!(now.len(), written.len() + 3);
    assert_eq!(now[Path::new("src/Consumer.sol")], b"src/Consumer.sol");

    // While another export writes there, and after one that was broken off.
    let other = NewFolder::begin(&out).unwrap().unwrap();
    assert!(matches!(export(&model.package, &out), Err(ExportError::Busy { .. })));
    drop(other);
    assert_eq!(files(&out), now);
    drop(FolderLock::take(&out).unwrap());
    export(&model.package, &out).unwrap();
    assert_eq!(files(&out), now);
    // What was set aside and not taken back is somebody's.
    let old = folder.path().join("out.old");
    fs::create_dir(&old).unwrap();
    assert!(matches!(export(&model.package, &out), Err(ExportError::Exists { path }) if path.ends_with("out.old")));
    assert_eq!((files(&out), fs::read_dir(folder.path()).unwrap().count()), (now, 2));
    fs::remove_dir(&old).unwrap();

    // A file of somebody's where the export under another name would write one.
    let named = ExportOptions { name: Some("Other".into()), ..ExportOptions::default() };
    fs::write(out.join("src/OtherModel.sol"), "theirs").unwrap();
    let now = files(&out);
    assert!(matches!(export_with(&model.package, &out, &named), Err(ExportError::Exists { path }) if path.ends_with("OtherModel.sol")));
    assert_eq!((files(&out), fs::read_dir(folder.path()).unwrap().count()), (now, 1));

    fs::write(out.join("foundry.toml"), "edited").unwrap();
    assert!(matches!(export(&model.package, &out), Err(ExportError::Edited { path }) if path.ends_with("foundry.toml")));
    assert_eq!(fs::read(out.join("foundry.toml")).unwrap(), b"edited");
}

/// Models whose names are alike, or two models of one name, do not take each other's place.
#[test]
fn another_models_export_is_not_replaced() {
    let (model, other) = (common::model(SMALL, 1, InputMode::Public), common::model(SMALL, 2, InputMode::Public));
    let project = TempDir::new().unwrap();
    fs::write(project.path().join("foundry.toml"), "").unwrap();
    let options = |name: Option<&str>, replace| ExportOptions {
        layout: Layout::Sources,
        name: name.map(str::to_owned),
        replace,
        ..ExportOptions::default()
    };
    let digest = |package: &Package| hex0x(&package.key_blob().unwrap().model_digest());
    let place = folder_in(project.path(), &model.package, None).unwrap();
    assert_eq!(folder_in(project.path(), &other.package, None).unwrap(), place);
    export_with(&model.package, &place, &options(None, false)).unwrap();
    let before = files(project.path());
    let error = export_with(&other.package, &place, &options(None, false)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, ExportError::OtherModel { path, .. } if *path == place), "{text}");
    assert!(text.contains(&digest(&model.package)) && text.contains("'mlp_digits'") && text.contains("--name"), "{text}");
    assert_eq!(files(project.path()), before);
    // The same model goes into its own place, and another beside it under its own name.
    export_with(&model.package, &place, &options(None, false)).unwrap();
    assert_eq!(files(project.path()), before);
    let beside = folder_in(project.path(), &other.package, Some("Second_2")).unwrap();
    export_with(&other.package, &beside, &options(Some("Second_2"), false)).unwrap();
    let library = fs::read_to_string(beside.join("Second_2Model.sol")).unwrap();
    assert!(library.contains("library Second_2Model {") && library.contains(&digest(&other.package)));
    assert!(fs::read_to_string(beside.join("Second_2Slice1Verifier.sol")).unwrap().contains("contract Second_2Slice1Verifier {"));
    assert!(before.iter().all(|(name, bytes)| files(project.path())[name] == *bytes));
    // Its own place too, if that is what is wanted; nothing of the first stays.
    export_with(&other.package, &place, &options(None, true)).unwrap();
    let names: Vec<PathBuf> = files(&place).into_keys().collect();
    assert_eq!(names.iter().filter(|name| name.to_string_lossy().contains("Verifier")).count(), 2);
    assert!(fs::read_to_string(place.join("MlpDigitsModel.sol")).unwrap().contains(&digest(&other.package)));
    for name in ["", "9lives", "a-b", "模型", "a b", &"x".repeat(65)] {
        assert!(matches!(folder_in(project.path(), &other.package, Some(name)), Err(ExportError::Name { .. })), "{name}");
        let result = export_with(&other.package, &project.path().join("refused"), &options(Some(name), false));
        assert!(matches!(result, Err(ExportError::Name { .. })), "{name}");
    }
}

// ------------------------------------------------------------------------------------------------ P1, P21, B9

fn generate(key: &VerifyingKey, publics: usize) -> Result<String, ExportError> {
    let publics = (0..publics).map(|j| format!("x_{j}")).collect();
    let groups = vec![String::new(); key.groups.len()];
    SliceVerifier {
        contract: "Verifier".into(),
        model: "test",
        slice: 3,
        slices: 4,
        key,
        publics,
        groups,
        dev: true,
        addition: Addition::At0x06,
    }
    .source()
}

#[test]
fn unsafe_keys_are_refused() {
    let minus = |point: G2Affine| -point;
    let other = (G2Affine::generator() * Fr::from(7u64)).into_affine();
    for case in cases() {
        let good = &case.key;
        assert!(generate(good, good.publics).is_ok());
        let mut attacks: Vec<(&str, VerifyingKey)> = Vec::new();
        let mut attack = |name, change: &dyn Fn(&mut VerifyingKey)| {
            let mut key = good.clone();
            change(&mut key);
            attacks.push((name, key));
        };
        attack("δ = γ", &|key| key.delta2 = key.gamma);
        attack("γ = δ, neither the generator", &|key| key.gamma = key.delta2);
        attack("δ = G2", &|key| key.delta2 = G2Affine::generator());
        attack("δ = −G2", &|key| key.delta2 = minus(G2Affine::generator()));
        attack("δ = β", &|key| key.delta2 = key.beta);
        attack("δ = ∞", &|key| key.delta2 = G2Affine::zero());
        attack("α = ∞", &|key| key.alpha = G1Affine::zero());
        attack("β = ∞", &|key| key.beta = G2Affine::zero());
        attack("γ = ∞", &|key| key.gamma = G2Affine::zero());
        attack("γ = −G2", &|key| key.gamma = minus(G2Affine::generator()));
        attack("γ is another point", &|key| key.gamma = other);
        attack("β = γ = G2", &|key| key.beta = G2Affine::generator());
        attack("β = −γ = −G2", &|key| key.beta = minus(G2Affine::generator()));
        attack("β = γ, neither the generator", &|key| key.gamma = key.beta);
        attack("β = G2, γ another point", &|key| (key.beta, key.gamma) = (G2Affine::generator(), other));
        attack("α = G1", &|key| key.alpha = G1Affine::generator());
        attack("α = −G1", &|key| key.alpha = -G1Affine::generator());
        if good.delta1.is_some() {
            attack("δ1 = δ2", &|key| key.delta1 = Some(key.delta2));
            attack("δ1 = −δ2", &|key| key.delta1 = Some(minus(key.delta2)));
            attack("δ1 = γ", &|key| key.delta1 = Some(key.gamma));
        }
        for i in 0..good.ic.len() {
            attack("IC = ∞", &|key| key.ic[i] = G1Affine::zero());
        }
        for (name, key) in attacks {
            let result = generate(&key, key.publics);
            let refused = matches!(result, Err(ExportError::UnsafeKey { slice: 3, source: KeyError::Unsafe(_) }));
            assert!(refused, "{}: {name}: {result:?}", case.contract);
        }
    }
}

#[test]
fn keys_with_other_public_inputs_are_refused() {
    let mut without = cases()[3].key.clone();
    without.publics = 0;
    without.ic.truncate(1);
    assert!(matches!(generate(&without, 0), Err(ExportError::PublicInputs { key: 0, .. })), "there is always a context");
    for case in cases() {
        let key = &case.key;
        let refused = |key: &VerifyingKey, publics| matches!(generate(key, publics), Err(ExportError::PublicInputs { slice: 3, .. }));
        assert!(refused(key, key.publics + 1) && refused(key, key.publics - 1), "the wiring has another number");
        let mut fewer = key.clone();
        fewer.ic.pop();
        assert!(refused(&fewer, key.publics), "IC is short");
        if key.form() == Form::Plain {
            let more = VerifyingKey { publics: key.publics + 1, ..key.clone() };
            assert!(refused(&more, more.publics), "p without its point");
        }
        let mut none = key.clone();
        none.ic.clear();
        assert!(refused(&none, key.publics), "no IC at all");
    }
}

#[test]
fn packages_without_keys_or_with_others_are_refused() {
    let (one, two) = (model(SMALL, 1, InputMode::Public), model(SMALL, 2, InputMode::Public));
    assert!(matches!(slice_verifier(&one.package, 1), Err(ExportError::NoSuchSlice { slice: 1, slices: 1 })));
    let key = |package: &Package, k: usize| {
        package.folder().join("keys").join(&package.keys().unwrap().slices[0].verifying_key[2..18]).join(format!("{k}.verifying.key"))
    };
    // Another slice's key in this slice's place.
    fs::copy(key(&two.package, 1), key(&two.package, 0)).unwrap();
    assert!(matches!(slice_verifier(&two.package, 0), Err(ExportError::Package(_))));
    fs::remove_file(one.package.folder().join("keys.json")).unwrap();
    let out = one.package.folder().join("out");
    let keyless = Package::open(one.package.folder()).unwrap();
    assert!(matches!(export(&keyless, &out), Err(ExportError::Package(PackageError::NoKeys { .. }))));
    assert!(!out.exists());
}

/// A model's name is a stranger's text.
#[test]
fn names_cannot_break_out() {
    let case = &cases()[0];
    let name = "x\n*/ contract Evil {} /* @dev \u{202e}";
    let verifier = SliceVerifier {
        contract: zkslice_solidity::verifier_name(name, 0),
        model: name,
        slice: 0,
        slices: 1,
        key: &case.key,
        publics: vec!["x\nfunction f() external {}".into(); case.key.publics],
        groups: vec!["\r\u{2028}y".into(); case.key.groups.len()],
        dev: true,
        addition: Addition::At0x06,
    };
    let source = verifier.source().unwrap();
    assert!(source.contains("x_function f()") && !source.contains('\r') && !source.contains('\u{2028}'));
    assert!(matches!(SliceVerifier { contract: "A {} contract B".into(), ..verifier }.source(), Err(ExportError::Name { .. })));
    assert!(source.contains("contract XContractEvilDevSlice0Verifier {"));
    assert!(source.lines().filter(|line| line.contains("Evil")).all(|line| line.starts_with("///") || line.starts_with("contract X")));
    assert!(!source.contains("*/") && !source.contains('\u{202e}'));
}

/// The descriptions are in the order of the slots.
#[test]
fn public_inputs_are_described_in_slot_order() {
    let model = model(SMALL, 2, InputMode::Private);
    let manifest = model.package.manifest();
    let source = slice_verifier(&model.package, 0).unwrap();
    let slots = slots(manifest, &manifest.slices[0]);
    assert_eq!(slots, [Slot::Context, Slot::Owner, Slot::Read(0), Slot::Written(2)]);
    let positions: Vec<usize> = ["[0] the context", "[1] the owner", "[2] commitment to \"input\"", "[3] commitment to"]
        .iter()
        .map(|text| source.find(text).unwrap())
        .collect();
    assert!(positions.is_sorted());
}

/// An input whose features have offsets and scales of their own: the library gives each, and compiles.
#[test]
fn features_are_in_the_library() {
    let value = |name: &str, n: usize| FloatValue::new(name, vec![1, n]);
    let dense = FloatOp::Dense { rows: 1, k: 3, n: 1, weights: vec![1e-3, 2.0, -0.5], bias: vec![0.5] };
    let float = FloatGraph {
        values: vec![value("x", 3), value("y", 1)],
        nodes: vec![FloatNode { name: "dense".into(), op: dense, inputs: vec![0], output: 1 }],
        inputs: vec![0],
        outputs: vec![("y".into(), 1)],
    };
    let row = |s: usize| vec![500.0 + 31.0 * (s * 7 % 16) as f64, -0.2 + 0.03 * (s * 5 % 16) as f64, 0.01 * (s * 3 % 16) as f64];
    let samples = Samples((0..16).map(|s| Input(vec![row(s)])).collect());
    let (graph, _) = compile_float(float, Some(&samples), &Options::default()).unwrap();
    let folder = TempDir::new().unwrap();
    let options =
        PackageOptions { name: "table".into(), inputs: InputMode::Public, strategy: Strategy::Slices(1), coverage_policy: Vec::new() };
    let package = Package::create(&folder.path().join("package"), &graph, &options, serde_json::Value::Null).unwrap();
    setup(std::slice::from_ref(&package), &mut common::rng(3), |_, _| ()).unwrap();
    let project = folder.path().join("project");
    export(&package, &project).unwrap();
    let checks: String = graph.inputs[0]
        .encoding
        .features
        .iter()
        .enumerate()
        .map(|(i, f)| {
            format!(
                "        (offset, scale) = TableModel.input0Feature({i});\n        require(offset == {} && scale == {});\n",
                f.offset, f.scale.mantissa
            )
        })
        .collect();
    fs::create_dir_all(project.join("test")).unwrap();
    fs::write(
        project.join("test/Features.t.sol"),
        format!(
            "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.24;\n\nimport {{TableModel}} from \"../src/TableModel.sol\";\n\ncontract FeaturesTest {{\n    \
             function test_FeaturesAreTheManifests() public pure {{\n        uint256 offset;\n        uint256 scale;\n{checks}    }}\n}}\n"
        ),
    )
    .unwrap();
    forge(&project, &["fmt", "--check", "src"]);
    build(&project);
    let solc = root().join("script/solc").canonicalize().unwrap();
    forge(&project, &["test", "--offline", "--use", &solc.to_string_lossy()]);
}
