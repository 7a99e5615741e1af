//! The examples of docs/contracts.md: the page's tests on the mock, and its contracts on the real oracle with real proofs of the demo's
//! model, in a forge project as the page sets it up.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use zkslice_tests::{model, repository, zkslice};

use crate::scene::{Scene, ok};

/// The page's blocks of Solidity, by the file that their first line names, and its first remappings.
fn page() -> BTreeMap<String, String> {
    let text = fs::read_to_string(repository().join("docs/contracts.md")).unwrap();
    let blocks = text.split("```").skip(1).step_by(2);
    let mut files = BTreeMap::new();
    for block in blocks {
        let (language, body) = block.split_once('\n').unwrap();
        let name = match language {
            "solidity" => body.lines().next().unwrap().strip_prefix("// ").unwrap(),
            "text remappings.txt" => "remappings.txt",
            _ => continue,
        };
        assert!(files.insert(name.to_owned(), body.to_owned()).is_none(), "{name} twice");
    }
    files
}

#[test]
fn examples_act_on_real_proofs() {
    let scene = Scene::of("demo");
    let (project, package) = (scene.path("project"), scene.path("package"));
    // The name that `make demo` gives the model.
    let named = scene.path("demo-model.onnx");
    fs::copy(scene.model(), &named).unwrap();
    ok!("compile", named, "--samples", scene.samples(), "--slices", "3", "--input", "public", "-o", package);
    ok!("setup", package);

    fs::create_dir_all(project.join("node_modules/@zkslice")).unwrap();
    fs::create_dir_all(project.join("lib")).unwrap();
    symlink(repository().join("contracts"), project.join("node_modules/@zkslice/contracts")).unwrap();
    symlink(repository().join("node_modules/@openzeppelin"), project.join("node_modules/@openzeppelin")).unwrap();
    symlink(repository().join("node_modules/@uniswap/v4-core/lib/forge-std"), project.join("lib/forge-std")).unwrap();
    let toml = "[profile.default]\nsrc = \"src\"\nout = \"out\"\nlibs = [\"lib\"]\nffi = true\nfs_permissions = [{ access = \"read\", path = \"./\" }]\n";
    fs::write(project.join("foundry.toml"), toml).unwrap();
    for (name, text) in page() {
        let path = project.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::copy(repository().join("tests/page/Real.t.sol"), project.join("test/Real.t.sol")).unwrap();
    ok!("export", package, "--into", project);

    // What the tests call, several at once, each with a context: it gives the bundle.
    let script = format!(
        "folder=$(mktemp -d '{}/XXXXXX') && '{}' prove '{}' --input '{}' --context \"$1\" -o \"$folder/bundle.json\" >&2 && cat \"$folder/bundle.json\"\n",
        scene.path("").display(),
        zkslice().display(),
        package.display(),
        scene.input().display(),
    );
    let prove = scene.write("prove.sh", script.as_bytes());

    let expected: Value = serde_json::from_slice(&fs::read(model("demo").join("expected.json")).unwrap()).unwrap();
    let scores: Vec<f64> = expected["output_data"][0].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let class = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    forge(&project, &prove, class);
}

fn forge(project: &Path, prove: &Path, class: usize) {
    let format = Command::new(repository().join("script/forge")).args(["fmt", "--check", "--root"]).arg(project).output().unwrap();
    assert!(format.status.success(), "{}", String::from_utf8_lossy(&format.stdout));
    let ran = Command::new(repository().join("script/forge"))
        .args(["test", "--offline", "--root"])
        .arg(project)
        .env("FOUNDRY_SOLC", repository().join("script/solc"))
        .env("PAGE_PROVE", prove)
        .env("PAGE_CLASS", class.to_string())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{text}");
    let real = fs::read_to_string(repository().join("tests/page/Real.t.sol")).unwrap();
    let tests: usize = page().values().chain([&real]).map(|text| text.matches("function test").count()).sum();
    assert!(text.contains(&format!("{tests} tests passed, 0 failed")), "not {tests} tests: {text}");
}
