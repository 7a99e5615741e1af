//! `zkslice export`: a project of its own, and into one that is there.

use std::fs;
use std::path::Path;

use crate::scene::{Scene, files, leftovers, ok, refused};

fn first_line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn exports() {
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    let (package, out, project) = (scene.path("pkg"), scene.path("out"), scene.path("project"));
    refused!(1, ["zkslice setup"], "export", package, "-o", out);
    ok!("setup", package);

    let exported = ok!("export", package, "-o", out);
    assert_eq!(exported["verifiers"], 2);
    assert_eq!(exported["folder"].as_str().map(Path::new), Some(out.as_path()));
    assert_eq!(first_line(&out.join("src/MlpDigitsModel.sol")), "// SPDX-License-Identifier: CC0-1.0");

    // Development keys are for no chain of Bittensor's; every other chain's contracts are the same.
    refused!(2, ["development keys", "964", "--chain-id"], "export", package, "-o", scene.path("bittensor"), "--chain-id", "964");
    assert!(!scene.path("bittensor").exists());
    let before = files(&out).into_iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    ok!("export", package, "-o", out, "--chain-id", "31337");
    assert_eq!(files(&out).into_iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);

    // One place or the other, and one of them.
    refused!(2, ["--into"], "export", package);
    refused!(2, ["--into"], "export", package, "-o", out, "--into", project);
    refused!(2, ["foundry.toml", "-o"], "export", package, "--into", project);

    fs::create_dir_all(project.join("test")).unwrap();
    fs::write(project.join("foundry.toml"), "[profile.default]\nsrc = \"contracts\"\n").unwrap();
    fs::write(project.join("test/Mine.t.sol"), "mine").unwrap();
    refused!(1, ["not an earlier export", "--into"], "export", package, "-o", project);
    refused!(2, ["SPDX", "MIT"], "export", package, "--into", project, "--license", "mine;");
    for _ in 0..2 {
        let exported = ok!("export", package, "--into", project, "--license", "MIT");
        assert_eq!(exported["folder"].as_str().map(Path::new), Some(project.join("contracts/MlpDigits").as_path()));
    }
    assert_eq!(first_line(&project.join("contracts/MlpDigits/MlpDigitsModel.sol")), "// SPDX-License-Identifier: MIT");
    assert_eq!(fs::read_to_string(project.join("test/Mine.t.sol")).unwrap(), "mine");
    let foreign = files(&project).into_iter().filter(|path| !path.starts_with(project.join("contracts/MlpDigits")));
    assert_eq!(foreign.count(), 2, "foundry.toml and the test");
    assert!(leftovers(&project).is_empty());

    // The same sources, but for their licence.
    let text = |path: &Path| fs::read_to_string(path).unwrap().split_once('\n').unwrap().1.to_owned();
    for file in ["MlpDigitsModel.sol", "MlpDigitsSlice0Verifier.sol", "MlpDigitsSlice1Verifier.sol", "PublicWords.sol"] {
        assert_eq!(text(&out.join("src").join(file)), text(&project.join("contracts/MlpDigits").join(file)), "{file}");
    }
}

/// Models whose names are alike in Solidity, or have nothing that Solidity takes, stay apart in one project.
#[test]
fn models_do_not_overwrite_each_other() {
    let scene = Scene::new();
    let project = scene.path("project");
    fs::create_dir_all(&project).unwrap();
    fs::write(project.join("foundry.toml"), "").unwrap();
    let package = |name: &str, slices: &str| {
        let (model, package) = (scene.path(&format!("{name}.onnx")), scene.path(&format!("{name}-package")));
        fs::copy(scene.model(), &model).unwrap();
        ok!("compile", model, "--samples", scene.samples(), "--slices", slices, "-o", package);
        ok!("setup", package);
        package
    };
    let export = |package: &Path| ok!("export", package, "--into", project)["folder"].as_str().unwrap().to_owned();
    let (first, second) = (package("a-b", "1"), package("a_b", "2"));
    let place = export(&first);
    let digest = ok!("inspect", first)["keys"]["model"].as_str().unwrap().to_owned();
    refused!(1, [place.as_str(), "'a-b'", &digest, "--name", "--force"], "export", second, "--into", project);
    assert_eq!(export(&first), place);
    let named = ok!("export", second, "--into", project, "--name", "Second");
    assert_eq!(named["folder"].as_str().map(Path::new), Some(project.join("src/Second").as_path()));
    refused!(2, ["'second one'", "letters"], "export", second, "--into", project, "--name", "second one");
    assert_ne!(export(&package("模型一", "1")), export(&package("模型二", "1")));
    let libraries = files(&project).into_iter().filter(|path| path.to_string_lossy().ends_with("Model.sol"));
    assert_eq!(libraries.count(), 4);
    ok!("export", second, "--into", project, "--force");
    refused!(1, ["'a_b'"], "export", first, "--into", project);
}
