//! The real `zkslice` command, off chain: the main path, `--json`, exit codes, and what is never left behind.
//!
//! Bad input has its own file, `cli_bad_input.rs`.

use crate::scene;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::scene::{Scene, leftovers, ok, refused, run};
use alloy::sol_types::SolCall;
use npyz::WriterBuilder as _;
use serde_json::{Value, json};
use zkslice_chain::bindings::InferenceOracle::requestCall;
use zkslice_chain::constants::{VERIFIER_SELECTOR, VERIFIER_SELECTOR_0X09};
use zkslice_formats::{hex0x, keccak};
use zkslice_tests::{Ran, model, repository, zkslice};

/// An account.
const REQUESTER: &str = "0x000000000000000000000000000000000000dEaD";

fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value.as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap()).collect()
}

fn hex_word(text: &str) -> Vec<u8> {
    let bytes = hex::decode(text.strip_prefix("0x").unwrap()).unwrap();
    assert_eq!(bytes.len(), 32);
    bytes
}

/// Arg max, and the class that ONNX Runtime finds for the model's input file.
fn class(outputs: &Value) -> Option<usize> {
    let list: Vec<f64> = serde_json::from_value(outputs[0].clone()).unwrap();
    zkslice_compiler::arg_max(&list)
}

fn expected_class(name: &str) -> Option<usize> {
    let file: Value = serde_json::from_slice(&std::fs::read(model(name).join("expected.json")).unwrap()).unwrap();
    class(&file["output_data"])
}

#[test]
fn main_path() {
    let scene = Scene::new();
    let mut constraints = Vec::new();
    for (name, slices, input) in [("one", 1, "public"), ("two", 2, "public"), ("hidden", 2, "private")] {
        let compiled = scene.compile(name, slices, input);
        let rows: Vec<u64> = compiled["slices"].as_array().unwrap().iter().map(|s| s["constraints"].as_u64().unwrap()).collect();
        assert_eq!(rows.len(), slices);
        assert_eq!(compiled["constraints"], rows.iter().sum::<u64>());
        constraints.push(compiled["constraints"].as_u64().unwrap());
    }
    // Commitments at the boundary, then at the input, cost rows.
    assert!(constraints.is_sorted_by(|a, b| a < b), "{constraints:?}");

    // Several packages share one setup; each is a model of its own.
    let setup = ok!("setup", scene.path("one"), scene.path("two"), scene.path("hidden"));
    assert!(setup["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(strings(&setup["packages"], "setup").into_iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(strings(&setup["packages"], "model").into_iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(setup["packages"].as_array().unwrap().iter().all(|package| package["dev"] == true));

    let mut all_outputs = Vec::new();
    for name in ["one", "two", "hidden"] {
        let bundle = scene.path(&format!("{name}.json"));
        let proven = ok!("prove", scene.path(name), "--input", scene.input(), "-o", bundle, "--threads", "1");
        assert!(proven["seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(proven["bundle"].as_str().map(Path::new), Some(bundle.as_path()));
        let verified = ok!("verify", scene.path(name), bundle);
        assert_eq!(verified["valid"], true);
        assert_eq!(verified["outputs"], proven["outputs"]);
        assert_eq!(class(&verified["outputs"]), expected_class("mlp_digits"));
        all_outputs.push(verified["outputs"].clone());
    }
    // How a model is cut and whether its input is hidden does not change what it computes.
    assert!(all_outputs.iter().all(|outputs| *outputs == all_outputs[0]));

    // A context and a requester are part of what is proven; proofs of one inference share no word.
    let bound = scene.path("bound.json");
    ok!("prove", scene.path("hidden"), "--input", scene.input(), "--context", "0x7", "--requester", REQUESTER, "-o", bound);
    assert_eq!(ok!("verify", scene.path("hidden"), bound)["valid"], true);
    let described = ok!("inspect", bound);
    assert_eq!(described["context"], format!("0x{:064x}", 7));
    assert_eq!(leftovers(&scene.path("")), Vec::<String>::new());
}

#[test]
fn three_slices_one_after_the_other() {
    let scene = Scene::of("lenet5_avg");
    let package = scene.path("lenet");
    assert_eq!(scene.compile("lenet", 3, "public")["slices"].as_array().unwrap().len(), 3);
    ok!("setup", package);
    let whole = ok!("prove", package, "--input", scene.input(), "-o", scene.path("whole.json"), "--openings", scene.path("all.json"));
    assert_eq!(class(&whole["outputs"]), expected_class("lenet5_avg"));

    // Each slice by a prover of its own, which gets the openings of the one before. What it is not to see is taken out.
    let opened = |slice: usize| scene.path(&format!("{slice}.openings"));
    let first = ok!("prove", package, "--input", scene.input(), "--slice", "0", "--openings", opened(0), "-o", scene.path("0.json"));
    assert_eq!((&first["outputs"], &first["slices"]), (&Value::Null, &1.into()));
    for slice in 1..3 {
        let mut openings: Value = serde_json::from_slice(&std::fs::read(opened(slice - 1)).unwrap()).unwrap();
        openings["tensors"][0] = Value::Null;
        std::fs::write(opened(slice - 1), openings.to_string()).unwrap();
        let (number, output) = (slice.to_string(), scene.path(&format!("{slice}.json")));
        ok!("prove", package, "--slice", number, "--boundary", opened(slice - 1), "--openings", opened(slice), "-o", output);
        refused!(1, ["partial bundle", "no proof"], "verify", package, output);
    }
    // The parts fit together: the boundary that one slice wrote is the one that the next has read.
    let [first, second, third, joined] = ["0.json", "1.json", "2.json", "joined.json"].map(|name| scene.path(name));
    let two = ok!("join", package, third, first, "-o", joined);
    assert_eq!((&two["slices"], &two["missing"]), (&2.into(), &serde_json::json!([1])));
    assert_eq!(ok!("join", package, joined, second, "-o", joined)["missing"], serde_json::json!([]));
    assert_eq!(ok!("verify", package, joined)["outputs"], whole["outputs"]);
    refused!(2, ["1.json", "slice 1 is proven twice"], "join", package, joined, second, "-o", joined);
    // A part of another inference: its boundary has another salt.
    refused!(2, ["2.json", "differs"], "join", package, scene.path("whole.json"), third, "-o", joined);
}

#[test]
fn encode_gives_what_a_request_carries() {
    let scene = Scene::new();
    scene.compile("public", 1, "public");
    scene.compile("private", 1, "private");
    let encoded = ok!("encode", scene.path("public"), "--input", scene.input());
    let words: Vec<u8> = encoded["inputs"][0]["words"].as_array().unwrap().iter().flat_map(|w| hex_word(w.as_str().unwrap())).collect();
    assert_eq!(words.len(), 3 * 32, "64 digits of 8 bits, 31 to a word");
    assert_eq!(encoded["inputs"][0]["hash"], hex0x(&keccak(&words)));

    assert_eq!(encoded["calldata"], Value::Null);

    // The call that requests, ready to be sent.
    ok!("setup", scene.path("public"), scene.path("private"));
    refused!(2, ["--deadline 5 is over"], "encode", scene.path("public"), "--input", scene.input(), "--deadline", "5");
    let relative = ok!("encode", scene.path("public"), "--input", scene.input(), "--deadline", "+3600");
    let encoded = ok!("encode", scene.path("public"), "--input", scene.input(), "--deadline", "4000000000", "--fee", "7");
    let call = hex::decode(&encoded["calldata"].as_str().unwrap()[2..]).unwrap();
    let call = requestCall::abi_decode(&call).unwrap();
    assert_eq!(call.words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect::<Vec<u8>>(), words);
    assert_eq!(call.request_.inputs.iter().map(ToString::to_string).collect::<Vec<_>>(), [encoded["inputs"][0]["hash"].as_str().unwrap()]);
    assert_eq!((call.request_.deadline, call.request_.fee.to::<u64>()), (4_000_000_000, 7));
    let bytes = hex::decode(&relative["calldata"].as_str().unwrap()[2..]).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let deadline = requestCall::abi_decode(&bytes).unwrap().request_.deadline;
    assert!((now + 3540..=now + 3600).contains(&deadline), "{deadline}");
    assert_eq!((call.request_.verifier, call.request_.minCoverage.to::<u64>()), (VERIFIER_SELECTOR, 0));
    for (chain_id, selector) in [("1", VERIFIER_SELECTOR), ("964", VERIFIER_SELECTOR_0X09), ("945", VERIFIER_SELECTOR_0X09)] {
        let at = ["--deadline", "4000000000", "--chain-id", chain_id];
        let encoded = ok!("encode", scene.path("public"), "--input", scene.input(), at[0], at[1], at[2], at[3]);
        let call = hex::decode(&encoded["calldata"].as_str().unwrap()[2..]).unwrap();
        assert_eq!(requestCall::abi_decode(&call).unwrap().request_.verifier, selector, "{chain_id}");
    }
    let model = ok!("inspect", scene.path("public"))["keys"]["model"].clone();
    assert_eq!(call.request_.modelDigest.to_string(), model.as_str().unwrap());

    let mut commitments = BTreeSet::new();
    let private = scene.path("private");
    for _ in 0..2 {
        let encoded = ok!("encode", private, "--input", scene.input(), "--requester", REQUESTER, "--openings", scene.path("openings"));
        let commitment = encoded["inputs"][0]["commitment"].as_str().unwrap().to_owned();
        hex_word(&commitment);
        let opening: Value = serde_json::from_slice(&std::fs::read(encoded["inputs"][0]["opening"].as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(opening["values"].as_array().unwrap().len(), 64);
        hex_word(opening["salt"].as_str().unwrap());
        commitments.insert(commitment);
    }
    assert_eq!(commitments.len(), 2, "a fresh salt each time");
    refused!(2, ["'input' is private", "--openings"], "encode", private, "--input", scene.input(), "--requester", REQUESTER);
    refused!(2, ["private", "--requester"], "encode", private, "--input", scene.input(), "--openings", scene.path("openings"));
    assert_eq!(scene::files(&scene.path("openings")).len(), 2);
}

/// A model that serves partial bundles, and a request that asks for one.
#[test]
fn coverage_is_part_of_model_and_request() {
    let scene = Scene::new();
    let pkg = scene.path("pkg");
    let compile = |policy: &str| {
        let cut = ["--slices", "2", "--coverage-policy", policy];
        run!("compile", scene.model(), "--samples", scene.samples(), cut[0], cut[1], cut[2], cut[3], "-o", pkg, "--json")
    };
    for (policy, says) in [("0", "lacks slice 1"), ("0,1", "every slice"), ("1,2", "slices below 2")] {
        scene::refusal(compile(policy), 2, &["coverage policy", says]);
    }
    scene::succeeded(compile("1"));
    scene.compile("whole", 2, "public");
    ok!("setup", pkg, scene.path("whole"));
    let encode = |package: &Path, slices: &str| {
        run!("encode", package, "--input", scene.input(), "--deadline", "4000000000", "--min-coverage", slices, "--json")
    };
    for (slices, word) in [("1", 2u64), ("0,1", 0)] {
        let encoded = scene::succeeded(encode(&pkg, slices));
        let calldata = hex::decode(&encoded["calldata"].as_str().unwrap()[2..]).unwrap();
        assert_eq!(requestCall::abi_decode(&calldata).unwrap().request_.minCoverage.to::<u64>(), word);
    }
    for (slices, says) in [("0", "slice 1 is missing"), ("1,1", "ascending"), ("1,2", "ascending")] {
        scene::refusal(encode(&pkg, slices), 2, &["--min-coverage", says]);
    }
    scene::refusal(encode(&scene.path("whole"), "1"), 2, &["--coverage-policy"]);
}

#[test]
fn inspect_describes_models_packages_and_bundles() {
    let scene = Scene::new();
    let compiled = scene.compile("package", 2, "public");
    let described = ok!("inspect", scene.model());
    assert_eq!((&described["kind"], described["nodes"].as_array().unwrap().len()), (&"model".into(), 3));

    let described = ok!("inspect", scene.path("package"));
    assert_eq!((&described["kind"], &described["keys"]), (&"package".into(), &Value::Null));
    let slices = described["slices"].as_array().unwrap();
    for (slice, compiled) in slices.iter().zip(compiled["slices"].as_array().unwrap()) {
        assert_eq!(slice["constraints"], compiled["constraints"], "estimated and counted rows");
        assert!(slice["key_bytes"].as_u64().unwrap() > 0 && slice["estimated_seconds"].as_f64().unwrap() > 0.0);
        assert!(slice["estimated_bytes"].as_u64().unwrap() > 0);
    }
    let setup = ok!("setup", scene.path("package"));
    let described = ok!("inspect", scene.path("package"));
    assert_eq!(described["keys"]["model"], setup["packages"][0]["model"]);
    for (slice, bytes) in slices.iter().zip(setup["packages"][0]["key_bytes"].as_array().unwrap()) {
        let (estimated, real) = (slice["key_bytes"].as_f64().unwrap(), bytes.as_f64().unwrap());
        assert!((0.9..=1.0).contains(&(estimated / real)), "key of {real} bytes, {estimated} estimated");
    }
    scene.prove("package", "bundle.json");
    let described = ok!("inspect", scene.path("bundle.json"));
    assert_eq!(described["kind"], "bundle");
    assert_eq!((&described["slices"], &described["proof_bytes"]), (&serde_json::json!([0, 1]), &640.into()));
    assert_eq!(described["model"], setup["packages"][0]["model"]);
    for path in [scene.model(), scene.path("package"), scene.path("bundle.json")] {
        assert!(run!("inspect", path).stdout.lines().count() > 2);
    }
}

#[test]
fn doctor_says_what_is_missing() {
    let ran = run!("doctor", "--json");
    let found = ran.json();
    assert_eq!(ran.code, Some(i32::from(found["ok"] != true)));
    for finding in found["findings"].as_array().unwrap() {
        assert!(finding["found"].is_string() || finding["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{finding}");
    }
    let lines = run!("doctor").stdout;
    assert_eq!(lines.lines().count(), found["findings"].as_array().unwrap().len());
    // Without anything on the path everything is missing, and said to be.
    let bare: Ran =
        Command::new(zkslice()).args(["doctor", "--json"]).env("PATH", "").current_dir(std::env::temp_dir()).output().unwrap().into();
    assert_eq!((bare.code, &bare.json()["ok"]), (Some(1), &false.into()));
    for finding in bare.json()["findings"].as_array().unwrap().iter().filter(|finding| finding["found"].is_null()) {
        assert!(finding["mend"].as_str().is_some_and(|mend| mend.contains("install") || mend.contains("make toolchain")), "{finding}");
    }
}

/// The lock file has foundry's tools for each platform that `script/foundry` names; on any other, doctor says so in one line.
#[cfg(unix)]
#[test]
fn doctor_knows_the_platforms_of_foundry() {
    use std::os::unix::fs::PermissionsExt as _;

    let script = std::fs::read_to_string(repository().join("script/foundry")).unwrap();
    let platforms: Vec<&str> =
        script.split("platform=").skip(1).map(|rest| rest.split_whitespace().next().unwrap()).filter(|name| name.contains('-')).collect();
    assert_eq!(platforms.len(), 4, "{platforms:?}");
    let lock: serde_json::Value = serde_json::from_slice(&std::fs::read(repository().join("package-lock.json")).unwrap()).unwrap();
    for platform in platforms {
        for tool in ["anvil", "cast", "forge"] {
            let package = &lock["packages"][format!("node_modules/@foundry-rs/{tool}-{platform}")];
            assert!(package["optional"] == true && package["integrity"].is_string(), "{tool}-{platform}: {package}");
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("script/foundry", &script);
    write("bin/uname", "#!/bin/sh\ncase $1 in -s) echo FreeBSD ;; *) echo riscv64 ;; esac\n");
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
    let ran: Ran = Command::new(zkslice()).arg("doctor").env("PATH", path).current_dir(folder.path()).output().unwrap().into();
    let line = "missing  anvil       needed for the demo and end-to-end tests: no anvil is published for FreeBSD on riscv64: use Linux or macOS, \
                on x86-64 or arm64";
    assert!(ran.stdout.lines().any(|said| said == line), "{}", ran.stdout);
}

#[test]
fn every_command_has_help_with_examples() {
    let help = run!("--help");
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let commands: Vec<&str> = help
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(char::is_alphabetic))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for command in ["compile", "setup", "encode", "run", "prove", "verify", "fixture", "request", "relay", "result", "inspect", "doctor"] {
        assert!(commands.contains(&command), "{commands:?}");
    }
    for command in commands.into_iter().filter(|command| *command != "help") {
        let help = run!(command, "--help");
        assert_eq!(help.code, Some(0), "{command}");
        let (_, examples) = help.stdout.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has no example"));
        assert!(examples.contains(&format!("zkslice {command}")), "{command}: {examples}");
        assert!(help.stdout.contains("--json"), "{command}");
    }
    assert!(run!("--version").stdout.starts_with("zkslice "));
}

/// Words that begin with `--` in a text.
fn options_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("--").filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let name = text[at + 2..].split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).next()?;
        (name.starts_with(|c: char| c.is_ascii_lowercase()) && !before.is_some_and(|c| c == '-' || c.is_alphanumeric())).then_some(name)
    })
}

/// The text literals of Rust source that are not in its tests or comments.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let mut all = Vec::new();
    let mut rest = code.as_str();
    while let Some(start) = rest.find('"') {
        let raw = rest[..start].ends_with("r#");
        let character = rest[..start].ends_with('\'') && rest[start + 1..].starts_with('\'');
        rest = &rest[start + 1..];
        if character {
            continue;
        }
        let end = if raw {
            rest.find("\"#")
        } else {
            let mut escaped = false;
            rest.find(|c| {
                let end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                end
            })
        };
        let end = end.unwrap_or(rest.len());
        all.push(rest[..end].to_owned());
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    all
}

/// An error that tells of an option which is not there sends its reader in circles.
#[test]
fn messages_name_only_options_that_exist() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let help = run!("--help").stdout;
    let commands: Vec<String> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|line| line.starts_with(char::is_alphabetic))?.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let options = |args: &[&str]| -> BTreeSet<String> {
        let help = zkslice_tests::run(args.iter().chain(&["--help"])).stdout;
        let defined = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        defined.filter_map(|line| options_in(line).next().map(str::to_owned)).collect()
    };
    for command in commands.iter().filter(|command| *command != "help") {
        let mut all = options(&[command.as_str()]);
        let below: &[&str] = match command.as_str() {
            "deployments" => &["check"],
            "bench" => &["verify"],
            "weights" => &["deploy", "register", "show"],
            "plain" => &["begin", "contribute", "close", "verify", "key", "prove", "calldata", "convert"],
            "ceremony" => &["import", "begin", "contribute", "serve", "close", "show", "verify", "finish", "check"],
            _ => &[],
        };
        below.iter().for_each(|step| all.extend(options(&[command.as_str(), step])));
        known.insert(command.clone(), all);
    }
    let everywhere: BTreeSet<&String> = known.values().flatten().collect();
    // Of the programs that messages and examples name beside ours.
    let others = [
        "prime",
        "wasm",
        "match-contract",
        "ignore-scripts",
        "rpc-url",
        "private-key",
        "port",
        "chain-id",
        "silent",
        "release",
        "hardfork",
        "slots-in-an-epoch",
    ];
    let mut files: Vec<_> = scene::files(&zkslice_tests::repository().join("crates"));
    files.retain(|path| path.extension().is_some_and(|e| e == "rs") && path.components().any(|part| part.as_os_str() == "src"));
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in &files {
        for literal in literals(&std::fs::read_to_string(file).unwrap()) {
            for option in options_in(&literal) {
                seen += 1;
                if !everywhere.contains(&option.to_owned()) && !others.contains(&option) {
                    wrong.push(format!("{}: --{option} in {literal:?}", file.display()));
                }
            }
            // `zkslice command … --option`: the option must be that command's.
            for (at, _) in literal.match_indices("zkslice ") {
                let rest = &literal[at + 8..];
                let line =
                    rest.split(['`', '\n', '&', '|', ';', ':', ')']).next().unwrap_or_default().split("\\n").next().unwrap_or_default();
                let Some(own) = line.split_whitespace().next().and_then(|command| known.get(command)) else { continue };
                for option in options_in(line).filter(|option| !own.contains(*option)) {
                    wrong.push(format!("{}: --{option} is no option of the command in {line:?}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 50, "only {seen} options seen");
}

/// Without `--json` results are text; either way errors go to standard error alone, but for the object.
#[test]
fn streams_and_exit_codes() {
    let scene = Scene::new();
    let text = run!("compile", scene.model(), "--samples", scene.samples(), "-o", scene.path("package"));
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    assert!(text.stdout.contains("constraints") && serde_json::from_str::<Value>(&text.stdout).is_err());
    let failed = run!("prove", scene.path("package"), "--input", scene.input(), "-o", scene.path("bundle.json"));
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(2), ""));
    assert!(failed.stderr.contains("zkslice setup"));
    // Bad usage, too, is one object.
    for usage in [&["prove", "--json"][..], &["frobnicate", "--json"], &["--json"], &["verify", "a", "b", "c", "--json"]] {
        let ran = zkslice_tests::run(usage);
        assert_eq!(ran.code, Some(2), "{usage:?}");
        assert_eq!(ran.json()["exit_code"], 2, "{usage:?}");
        assert!(ran.stderr.contains("Usage:"), "{usage:?}");
    }
    // A reader that has gone, or a full disk behind standard output, is no panic.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran: Ran =
        Command::new(zkslice()).arg("inspect").arg(scene.path("package")).stdout(full).stderr(Stdio::piped()).output().unwrap().into();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("standard output") && !ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// What `compile` prints of nodes: the costliest and the worst, or all, and below what no node has; the rows are those of the circuits.
#[test]
fn the_table_of_nodes_adds_up() {
    let scene = Scene::of("tblock_d64s8");
    let compile = |more: &[&str]| {
        let mut command = Command::new(zkslice());
        command.arg("compile").arg(scene.model()).arg("--samples").arg(scene.samples()).args(["--slices", "2", "-o"]);
        let ran: Ran = command.arg(scene.path("package")).args(more).output().unwrap().into();
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    };
    let value = compile(&["--json"]).json();
    let number = |of: &Value| of.as_u64().unwrap();
    let nodes = value["nodes"].as_array().unwrap();
    let of_nodes: u64 = nodes.iter().map(|node| number(&node["rows"])).sum();
    assert_eq!(of_nodes + number(&value["borders"]) + number(&value["tables"]), number(&value["constraints"]));
    assert!(number(&value["report"]["rows"]) < number(&value["constraints"]), "as one slice it has fewer rows");
    let worst = nodes.iter().max_by(|a, b| a["error"].as_f64().unwrap().total_cmp(&b["error"].as_f64().unwrap())).unwrap();
    let costliest = nodes.iter().max_by_key(|node| number(&node["rows"])).unwrap();
    for (options, lines) in [(&[][..], 12..=14), (&["--nodes"], nodes.len()..=nodes.len())] {
        let text = compile(options).stdout;
        // The numbers stand at fixed places, names are cut before them.
        let shown = text.lines().skip_while(|line| !line.starts_with("  node ")).skip(1).take_while(|line| !line.starts_with("  most of"));
        let columns = |line: &str, from: usize, to: usize| line.chars().take(to).skip(from).collect::<String>().trim().to_owned();
        let table: Vec<(String, u64)> = shown.map(|line| (columns(line, 2, 42), columns(line, 62, 72).parse().unwrap())).collect();
        let [rows @ .., (all, sum)] = &table[..] else { panic!("{text}") };
        assert_eq!((all.as_str(), *sum), ("all", number(&value["constraints"])), "{text}");
        assert_eq!(rows.iter().map(|(_, rows)| rows).sum::<u64>(), *sum, "{text}");
        let named = rows.iter().filter(|(name, _)| nodes.iter().any(|node| node["node"].as_str().unwrap().starts_with(name))).count();
        assert!(lines.contains(&named), "{named} nodes: {text}");
        for node in [worst, costliest] {
            assert!(rows.iter().any(|(name, _)| node["node"].as_str().unwrap().starts_with(name)), "{text}");
        }
        assert!(text.contains("tables (2^") && text.contains("most of the error arises at"), "{text}");
        assert_eq!(text.contains("others (--nodes)"), options.is_empty(), "{text}");
    }
}

/// Writes a `.npy` of float32.
fn npy(path: &Path, shape: &[u64], values: &[f32]) {
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(std::fs::File::create(path).unwrap()).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
}

/// Whatever form a file of samples or inputs has, the package and the words are the same.
#[test]
fn samples_and_inputs_of_every_form() {
    let scene = Scene::new();
    let read = |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let list = |value: &Value| -> Vec<f32> {
        let flat: Vec<Value> = value["input_data"][0].as_array().unwrap().clone();
        let flat = flat.iter().flat_map(|x| x.as_array().cloned().unwrap_or_else(|| vec![x.clone()]));
        flat.map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let samples: Vec<Vec<f32>> = read(&scene.samples())["samples"].as_array().unwrap().iter().map(list).collect();
    let (count, size) = (samples.len() as u64, samples[0].len() as u64);
    let text = |rows: &[Vec<f32>]| -> String {
        rows.iter().map(|row| row.iter().map(|x| f64::from(*x).to_string()).collect::<Vec<_>>().join(",") + "\n").collect()
    };
    let wide = |text: &str| -> Vec<u8> { [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect() };
    npy(&scene.path("samples.npy"), &[count, size], &samples.concat());
    scene.write("samples.csv", text(&samples).as_bytes());
    let folder = scene.path("folder");
    std::fs::create_dir(&folder).unwrap();
    npy(&folder.join("a.npy"), &[1, size], &samples[0]);
    std::fs::write(folder.join("b.csv"), text(&samples[1..])).unwrap();
    // float32 throughout, as arrays have it.
    let json = json!({ "samples": samples.iter().map(|row| json!({ "input_data": [row.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()] })).collect::<Vec<_>>() });
    scene.write("samples.json", json.to_string().as_bytes());
    scene.write("bom.json", &[b"\xef\xbb\xbf", json.to_string().as_bytes()].concat());
    scene.write("utf16.json", &wide(&json.to_string()));
    let compile = |name: &str| ok!("compile", scene.model(), "--samples", scene.path(name), "-o", scene.path("pkg"))["digest"].clone();
    let digest = compile("samples.json");
    for name in ["samples.npy", "samples.csv", "folder", "bom.json", "utf16.json"] {
        assert_eq!(compile(name), digest, "{name}");
    }

    let input = list(&read(&scene.input()));
    npy(&scene.path("input.npy"), &[1, size], &input);
    scene.write("input.csv", text(std::slice::from_ref(&input)).as_bytes());
    let words = |path: &Path| run!("encode", scene.path("pkg"), "--input", path, "--words").stdout;
    let expected = words(&scene.input());
    assert!(expected.starts_with("[0x") && expected.ends_with("]\n"), "{expected}");
    for name in ["input.npy", "input.csv"] {
        assert_eq!(words(&scene.path(name)), expected, "{name}");
    }
    refused!(2, ["samples.npy", "inputs where one is needed"], "encode", scene.path("pkg"), "--input", scene.path("samples.npy"));
}

/// Either way `run` compares with the outputs that the package has.
#[test]
fn a_softmax_at_the_end_is_computed_or_left_out() {
    let scene = Scene::new();
    let fixtures = repository().join("crates/compiler/tests/fixtures");
    let model = fixtures.join("softmax.onnx");
    let fixture: Value = serde_json::from_slice(&std::fs::read(fixtures.join("softmax.json")).unwrap()).unwrap();
    let samples = scene.write("samples.json", json!({ "samples": fixture["samples"] }).to_string().as_bytes());
    let computed = ok!("compile", model, "--samples", samples, "-o", scene.path("computed"));
    let left_out = ok!("compile", model, "--samples", samples, "--drop-final-softmax", "-o", scene.path("left_out"));
    let sites = |compiled: &Value, name: &str| compiled["report"]["sites"][name].as_u64().unwrap();
    assert!(sites(&computed, "functions") >= 3 && sites(&computed, "products") >= 3 && sites(&left_out, "functions") == 0);
    assert_eq!(ok!("inspect", model)["nodes"].as_array().unwrap().len(), 2);
    for name in ["computed", "left_out"] {
        let ran = ok!("run", scene.path(name), "--inputs", samples, "--model", model);
        let number = |key: &str| ran["outputs"][0][key].as_f64().unwrap();
        assert!(number("largest_error") < 0.05 * number("largest_output"), "{name}: {ran}");
        let sum: f64 = ran["answers"][0][0].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).sum();
        assert_eq!((sum - 1.0).abs() < 0.05, name == "computed", "{sum}");
    }
}

/// The integer model against the float model and the labels, input by input; nothing is proven, no key is needed.
#[test]
fn run_evaluates_held_out_inputs() {
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    let heldout = zkslice_tests::model("mlp_digits").join("heldout.npz");
    let inputs = zkslice_tests::heldout("mlp_digits");
    let ran = ok!("run", scene.path("pkg"), "--inputs", heldout, "--model", scene.model());
    assert_eq!(ran["inputs"].as_u64().unwrap() as usize, inputs.len());
    let output = &ran["outputs"][0];
    assert_eq!((&ran["reference"], &output["name"]), (&json!("tract"), &json!("output")));
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(0.0 < number(&output["mean_error"]) && number(&output["mean_error"]) < number(&output["largest_error"]));
    assert!(number(&output["largest_error"]) < 0.1 * number(&output["largest_output"]) && number(&output["agreement"]) > 0.95);
    // Labels of the archive, counted here once more.
    let answers = ran["answers"].as_array().unwrap();
    let done: Vec<_> = answers.iter().zip(&inputs).filter(|(answer, _)| !answer.is_null()).collect();
    assert_eq!(answers.len() - done.len(), ran["refused"].as_u64().unwrap() as usize);
    let right = done.iter().filter(|(answer, (_, label))| class(answer) == Some(*label)).count();
    assert!((number(&ran["labels"]["agreement"]) - right as f64 / done.len() as f64).abs() < 1e-12);
    assert!(number(&ran["labels"]["model_agreement"]) > 0.8);

    // Refusals: how many, the first few, and why.
    let far: Vec<f32> = [vec![0.5; 64], vec![9.0; 64], vec![0.5; 64]].concat();
    npy(&scene.path("far.npy"), &[3, 64], &far);
    scene.write("labels.csv", b"class\n1\n2\n3\n");
    let ran = ok!("run", scene.path("pkg"), "--inputs", scene.path("far.npy"), "--labels", scene.path("labels.csv"));
    assert_eq!((&ran["refused"], &ran["refusals"][0]["input"], &ran["answers"][1]), (&json!(1), &json!(1), &Value::Null));
    assert!(ran["refusals"][0]["reason"].as_str().unwrap().contains("element 0: 9 is outside"), "{ran}");
    assert_eq!(ran["answers"][0], ran["answers"][2]);
    let text = run!("run", scene.path("pkg"), "--inputs", scene.path("far.npy")).stdout;
    assert!(text.contains("3 inputs, 1 refused") && text.contains("input 0, output: ["), "{text}");

    scene.write("labels.csv", b"1\n2\n");
    refused!(
        2,
        ["2 labels and 3 inputs"],
        "run",
        scene.path("pkg"),
        "--inputs",
        scene.path("far.npy"),
        "--labels",
        scene.path("labels.csv")
    );
    scene.write("labels.csv", b"1\n2\n10\n");
    refused!(
        2,
        ["label 10 of input 2", "10 values"],
        "run",
        scene.path("pkg"),
        "--inputs",
        scene.path("far.npy"),
        "--labels",
        scene.path("labels.csv")
    );
    let other = Scene::of("lenet5_avg");
    refused!(2, ["not the model of the package"], "run", scene.path("pkg"), "--inputs", scene.path("far.npy"), "--model", other.model());
}

/// A model as a cache of models keeps it: links with its name to files that are called after their content.
#[test]
fn a_linked_model_has_the_name_of_its_link() {
    let scene = Scene::new();
    for name in ["blobs", "snapshots", "net"] {
        std::fs::create_dir(scene.path(name)).unwrap();
    }
    std::fs::copy(scene.model(), scene.path("blobs/9c0f")).unwrap();
    for link in ["snapshots/digits.onnx", "net/model.onnx"] {
        std::os::unix::fs::symlink("../blobs/9c0f", scene.path(link)).unwrap();
    }
    let name = |path: &Path| ok!("compile", path, "--samples", scene.samples(), "-o", scene.path("pkg"))["name"].clone();
    assert_eq!(name(&scene.path("snapshots/digits.onnx")), "digits");
    assert_eq!(name(&scene.path("net/model.onnx")), "net");
    assert_eq!(name(&scene.path("snapshots/../net/model.onnx")), "net");
}

#[test]
fn completions_and_manual_pages_have_every_command() {
    let help = run!("--help").stdout;
    let commands: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| name.starts_with(char::is_alphabetic))
        .collect();
    for shell in ["bash", "zsh", "fish"] {
        let script = run!("completions", shell);
        assert_eq!(script.code, Some(0));
        assert!(commands.iter().all(|command| script.stdout.contains(command)), "{shell}");
    }
    refused!(2, ["possible values", "bash"], "completions", "csh");
    let scene = Scene::new();
    let pages = ok!("man", "-o", scene.path("man"))["pages"].as_array().unwrap().len();
    assert_eq!(pages, commands.iter().filter(|command| **command != "help").count() + 1);
    let page = std::fs::read_to_string(scene.path("man/zkslice-prove.1")).unwrap();
    assert!(page.contains(".TH zkslice-prove 1") && page.contains("\\-\\-input"), "{page}");
}

/// `zkslice inspect pkg | head -1`: whoever stops reading has had enough.
#[test]
fn a_reader_that_goes_is_no_error() {
    let scene = Scene::new();
    scene.compile("pkg", 2, "public");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran: Ran =
        Command::new(zkslice()).arg("inspect").arg(scene.path("pkg")).stdout(writer).stderr(Stdio::piped()).output().unwrap().into();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    // Nor does it break an error off that cannot be read.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran: Ran =
        Command::new(zkslice()).arg("inspect").arg(scene.path("none")).stderr(writer).stdout(Stdio::piped()).output().unwrap().into();
    assert_eq!(ran.code, Some(2));
}

/// All files below a folder with their bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    scene::files(folder)
        .into_iter()
        .map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn compiling_is_deterministic() {
    for (name, slices, input, goal) in [("mlp_digits", "2", "private", "0.2%"), ("lenet5_max", "3", "public", "1%")] {
        let scene = Scene::of(name);
        for (threads, output) in [("1", "first"), ("2", "second"), ("7", "second")] {
            // The third replaces the second in its place.
            let mut command = Command::new(zkslice());
            command.env("RAYON_NUM_THREADS", threads).arg("compile").arg(scene.model()).arg("--samples").arg(scene.samples());
            command.args(["--slices", slices, "--input", input, "--json", "-o"]).arg(scene.path(output));
            let ran: Ran = command.args(["--max-error", goal]).output().unwrap().into();
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
        let first = contents(&scene.path("first"));
        assert_eq!(first.len(), 2 + slices.parse::<usize>().unwrap(), "the manifest, the lock, the graphs");
        assert!(first == contents(&scene.path("second")), "{name}: packages differ");
        assert_eq!(leftovers(&scene.path("")), Vec::<String>::new());
    }
}

/// Runs the command with a limit on the size of each file that it writes, as on a full disk: the write fails midway.
fn limited(blocks: u32, args: &[&std::ffi::OsStr]) -> Ran {
    // Ignored signals stay ignored across exec; else the kernel would end the process at the limit. A block has 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    Command::new("sh").arg("-c").arg(script).arg("sh").arg(zkslice()).args(args).arg("--json").output().unwrap().into()
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let scene = Scene::new();
    let failed = |ran: Ran, file: &str| {
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let error = ran.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(file) && error.contains("File too large"), "{error}");
        assert_eq!(leftovers(&scene.path("")), Vec::<String>::new());
    };
    let args: [std::ffi::OsString; 6] =
        ["compile".into(), scene.model().into(), "--samples".into(), scene.samples().into(), "-o".into(), scene.path("package").into()];
    let args: Vec<&std::ffi::OsStr> = args.iter().map(AsRef::as_ref).collect();
    failed(limited(4, &args), "graph.bin");
    assert!(!scene.path("package").exists());
    // An earlier package stays as it is.
    scene.compile("package", 2, "public");
    let before = contents(&scene.path("package"));
    failed(limited(4, &args), "graph.bin");
    assert!(before == contents(&scene.path("package")));

    let package = scene.path("package");
    failed(limited(100, &["setup".as_ref(), package.as_ref()]), "proving.key");
    assert!(!package.join("keys.json").exists() && !package.join("keys").exists());
    refused!(2, ["no keys", "zkslice setup"], "verify", package, scene.path("none.json"));
    ok!("setup", package);
    // A setup that fails leaves the keys that were there.
    let before = contents(&package);
    failed(limited(100, &["setup".as_ref(), package.as_ref(), "--force".as_ref()]), "proving.key");
    assert!(before == contents(&package));

    let (input, bundle) = (scene.input(), scene.path("bundle.json"));
    failed(
        limited(1, &["prove".as_ref(), package.as_ref(), "--input".as_ref(), input.as_ref(), "-o".as_ref(), bundle.as_ref()]),
        "bundle.json",
    );
    assert!(!bundle.exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let scene = Scene::new();
    scene.compile("package", 1, "public");
    let file = scene.write("file", b"no folder");
    let before = leftovers(&scene.path(""));
    refused!(1, ["file/package"], "compile", scene.model(), "--samples", scene.samples(), "-o", file.join("package"));
    ok!("setup", scene.path("package"));
    refused!(1, ["file/bundle.json"], "prove", scene.path("package"), "--input", scene.input(), "-o", file.join("bundle.json"));
    refused!(1, ["missing/bundle.json"], "prove", scene.path("package"), "--input", scene.input(), "-o", scene.path("missing/bundle.json"));
    refused!(1, ["Is a directory"], "prove", scene.path("package"), "--input", scene.input(), "-o", scene.path("package"));
    assert_eq!(leftovers(&scene.path("")), before);
}

/// Keys are lost only to `--force`, and the same model's compilation keeps them.
#[test]
fn keys_are_not_lost() {
    let scene = Scene::new();
    let (package, other) = (scene.path("package"), scene.path("other"));
    scene.compile("package", 1, "public");
    scene.compile("other", 1, "public");
    let model = ok!("setup", package)["packages"][0]["model"].as_str().unwrap().to_owned();
    scene.prove("package", "bundle.json");
    let before = contents(&package);
    refused!(2, ["package", "keys of model", &model, "--force"], "setup", package);
    refused!(2, ["package", "keys of model", &model, "--force"], "setup", other, package);
    assert!(!other.join("keys.json").exists());
    assert_eq!(scene.compile("package", 1, "public")["kept_keys_of"], model.as_str());
    let ran = run!("compile", scene.model(), "--samples", scene.samples(), "--slices", "1", "-o", package);
    assert!(ran.code == Some(0) && ran.stdout.contains("its keys stay") && ran.stdout.contains(&model), "{ran:?}");
    let another = ["--slices", "2"];
    let compile = |force: &[&str]| {
        let mut command = Command::new(zkslice());
        command.arg("compile").arg(scene.model()).arg("--samples").arg(scene.samples()).args(another).args(force);
        Ran::from(command.arg("--json").arg("-o").arg(&package).output().unwrap())
    };
    scene::refusal(compile(&[]), 2, &["package", "keys of model", &model, "--force"]);
    assert!(before == contents(&package));
    ok!("verify", package, scene.path("bundle.json"));
    let again = ok!("setup", package, "--force");
    assert_ne!(again["packages"][0]["model"], model.as_str());
    refused!(1, ["model 0x"], "verify", package, scene.path("bundle.json"));
    assert_eq!(scene::succeeded(compile(&["--force"]))["kept_keys_of"], Value::Null);
    refused!(2, ["no keys"], "verify", package, scene.path("bundle.json"));
}

/// Two setups of one package at once: one makes keys, the other says in one line that it cannot.
#[test]
fn two_setups_at_once() {
    let scene = Scene::of("lenet5_avg");
    scene.compile("package", 3, "public");
    let package = scene.path("package");
    let start =
        || Command::new(zkslice()).arg("setup").arg(&package).arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ran = [start(), start()].map(|child| Ran::from(child.wait_with_output().unwrap()));
    ran.sort_by_key(|ran| ran.code);
    assert_eq!(ran[0].code, Some(0), "{}", ran[0].stderr);
    let [_, late] = ran;
    // The other came while the first was at it, or, on a busy machine, when it was done.
    let (code, words) =
        if late.code == Some(1) { (1, ["another zkslice is writing this package"]) } else { (2, ["it holds the keys of model"]) };
    scene::refusal(late, code, &words);
    scene.prove("package", "bundle.json");
    ok!("verify", package, scene.path("bundle.json"));
}

/// A process that is killed leaves either no output or a whole one; the next run clears up behind it.
#[test]
fn a_killed_process_leaves_no_half_output() {
    let scene = Scene::of("lenet5_avg");
    let package = scene.path("package");
    let kill = |args: &[&std::ffi::OsStr], after: u64| {
        let mut child = Command::new(zkslice()).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        // It may have finished by itself.
        let _ = child.kill();
        child.wait().unwrap();
    };
    let (file, samples) = (scene.model(), scene.samples());
    let compile: [&std::ffi::OsStr; 8] = [
        "compile".as_ref(),
        file.as_ref(),
        "--samples".as_ref(),
        samples.as_ref(),
        "--slices".as_ref(),
        "3".as_ref(),
        "-o".as_ref(),
        package.as_ref(),
    ];
    for after in [5, 60, 120, 140, 150, 160] {
        kill(&compile, after);
        if package.exists() {
            ok!("inspect", package);
        }
    }
    scene.compile("package", 3, "public");
    for after in [20, 200, 700] {
        kill(&["setup".as_ref(), package.as_ref()], after);
        let ran = run!("encode", package, "--input", scene.input(), "--json");
        assert_eq!(ran.code, Some(0), "the package is whole: {}", ran.stderr);
        if package.join("keys.json").exists() {
            scene.prove("package", "early.json");
        }
    }
    ok!("setup", package, "--force");
    // Over keys: the earlier or the new ones are there, whole, at any moment.
    for after in [150, 900, 1300] {
        kill(&["setup".as_ref(), package.as_ref(), "--force".as_ref()], after);
        scene.prove("package", "early.json");
    }
    ok!("setup", package, "--force");
    assert_eq!(std::fs::read_dir(package.join("keys")).unwrap().count(), 1, "what the killed ones left is gone");
    let (input, bundle) = (scene.input(), scene.path("bundle.json"));
    for after in [30, 150, 400] {
        kill(&["prove".as_ref(), package.as_ref(), "--input".as_ref(), input.as_ref(), "-o".as_ref(), bundle.as_ref()], after);
        if bundle.exists() {
            ok!("verify", package, bundle);
        }
    }
    scene.prove("package", "bundle.json");
    ok!("verify", package, bundle);
    assert_eq!(leftovers(&scene.path("")), Vec::<String>::new());
}

/// Whoever read what a node says may go: it works on, and ends when it is told to.
#[test]
fn nobody_reads_what_a_node_says() {
    let scene = Scene::new();
    let key = scene.secret("miner.key", &"07".repeat(32));
    let mut command = Command::new(zkslice());
    command.args(["miner", "--validator", "http://127.0.0.1:1", "--models"]).arg(scene.path("models"));
    command.arg("--key-file").arg(key).arg("--folder").arg(scene.path("miner"));
    // With nobody at that address it says that it waits.
    let mut miner = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(miner.stderr.take());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(miner.try_wait().unwrap(), None, "it has ended");
    let pid = miner.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    assert!(miner.wait().unwrap().success());
}
