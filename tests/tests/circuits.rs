//! Circuits that Circom compiled, through the same oracle as models.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ark_bn254::{Bn254, Fr};
use ark_ff::{PrimeField, UniformRand};
use ark_std::rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use zkslice_ceremony::Zkey;
use zkslice_circuit::gadgets::hash_of;
use zkslice_groth16::{Proof, snarkjs};
use zkslice_interop::{R1cs, read_wtns, write_wtns};
use zkslice_slicer::Package;
use zkslice_tests::repository;

use crate::chain::signer;
use crate::requests::{World, block_on};
use crate::scene::{Scene, leftovers, ok, refusal, refused, run, succeeded};

fn node(folder: &Path, arguments: &[&str]) {
    let output = Command::new("node").args(arguments).current_dir(folder).output().expect("node runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
}

fn snarkjs() -> String {
    repository().join("node_modules/snarkjs/build/cli.cjs").display().to_string()
}

/// A circuit of `tests/circuits`, compiled.
struct Compiled {
    name: &'static str,
    folder: tempfile::TempDir,
}

impl Compiled {
    fn new(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Circom looks for what a circuit includes beside its own working directory only.
        let source = format!("tests/circuits/{name}.circom");
        let into = folder.path().display().to_string();
        node(repository(), &["node_modules/circom2/cli.js", &source, "--r1cs", "--sym", "--wasm", "-l", "node_modules", "-o", &into]);
        Self { name, folder }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("{}{suffix}", self.name))
    }

    fn wasm(&self) -> PathBuf {
        self.folder.path().join(format!("{0}_js/{0}.wasm", self.name))
    }

    /// What makes a witness from a file of inputs.
    fn program(&self) -> String {
        format!("node {} wtns calculate {}", snarkjs(), self.wasm().display())
    }

    /// The same without Node.
    fn own_program(&self) -> String {
        format!("{} witness {}", zkslice_tests::zkslice().display(), self.wasm().display())
    }

    /// Makes the witness with snarkjs and with our command: the same bytes.
    fn witness(&self, inputs: &Value) -> Vec<u8> {
        let folder = self.folder.path();
        std::fs::write(folder.join("input.json"), inputs.to_string()).unwrap();
        let wasm = self.wasm();
        node(folder, &[&snarkjs(), "wtns", "calculate", wasm.to_str().unwrap(), "input.json", "theirs.wtns"]);
        ok!("witness", wasm, folder.join("input.json"), folder.join("ours.wtns"));
        let [ours, theirs] = ["ours.wtns", "theirs.wtns"].map(|name| std::fs::read(folder.join(name)).unwrap());
        assert!(ours == theirs, "{}: not the witness of snarkjs", self.name);
        ours
    }

    fn import(&self, package: &Path, arguments: &[&str]) -> Value {
        let mut command = Command::new(zkslice_tests::zkslice());
        command.args(["import", "--json", "-o"]).arg(package).arg(self.path(".r1cs")).arg("--sym").arg(self.path(".sym"));
        succeeded(command.args(arguments).output().unwrap().into())
    }
}

fn text(value: Fr) -> String {
    value.to_string()
}

/// A leaf's secret, and its way to the root of a tree of 2^16 leaves.
struct Membership {
    private: Value,
    public: Value,
    nullifier: Fr,
}

fn membership(secret: u64) -> Membership {
    let mut random = StdRng::seed_from_u64(secret);
    let hash = |a: Fr, b: Fr| hash_of(&[a, b]).unwrap();
    let (secret, scope) = (Fr::from(secret), Fr::from(77u64));
    let mut node = hash_of(&[secret]).unwrap();
    let (mut siblings, mut path) = (Vec::new(), Vec::new());
    for _ in 0..16 {
        let (sibling, right) = (Fr::from(random.r#gen::<u64>()), random.r#gen::<bool>());
        node = if right { hash(sibling, node) } else { hash(node, sibling) };
        siblings.push(text(sibling));
        path.push(u8::from(right));
    }
    let public = json!({ "root": text(node), "scope": text(scope) });
    let private = json!({ "secret": text(secret), "siblings": siblings, "path": path });
    Membership { private, public, nullifier: hash(secret, scope) }
}

/// A call of a node that is waited for.
fn rpc(world: &World, method: &'static str, parameters: Value) -> Value {
    block_on(world.anvil.rpc(method, parameters))
}

fn receipt(world: &World, transaction: &Value) -> Value {
    let ask = || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        rpc(world, "eth_getTransactionReceipt", json!([transaction]))
    };
    std::iter::repeat_with(ask).take(200).find(|receipt| !receipt.is_null()).expect("the transaction is mined")
}

fn gas(receipt: &Value) -> u64 {
    u64::from_str_radix(receipt["gasUsed"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// Whoever is asked whether a root has a member of theirs answers without showing which: the request has root and scope, the prover all else.
#[test]
fn a_membership_is_proven_through_the_oracle() {
    let circuit = Compiled::new("membership");
    let scene = Scene::new();
    let imported = circuit.import(&scene.path("pkg"), &[]);
    assert_eq!(imported["private"], json!(["secret", "siblings", "path"]));
    let (inspected, shown) = (ok!("inspect", scene.path("pkg")), run!("inspect", scene.path("pkg")).stdout);
    assert_eq!(inspected["circuit"]["signals"][0]["type"], "field");
    assert!(shown.contains("circuit 'membership'") && shown.contains("its rows alone say what it computes"), "{shown}");
    ok!("setup", scene.path("pkg"));
    let member = membership(5);
    let input = scene.write("request.json", member.public.to_string().as_bytes());
    scene.write("mine.json", member.private.to_string().as_bytes());
    let mut inputs = member.public.clone();
    inputs.as_object_mut().unwrap().extend(member.private.as_object().unwrap().clone());
    circuit.witness(&inputs);
    let world = World::with(scene, &["pkg"]);
    let made = succeeded(world.request("pkg", &["--input", input.to_str().unwrap(), "--fee", "0.01 ether"]));
    let id = made["request"].as_str().unwrap();
    let circuits = format!(
        "models = []\nconfirmations = 0\n[[circuits]]\npackage = \"pkg\"\nwitness_program = \"{}\"\ninputs = \"mine.json\"\n",
        circuit.own_program()
    );
    let config = world.relayer(&circuits);
    let relayed = ok!("relay", "--config", config, "--once");
    assert!(relayed["events"].to_string().contains("Done"), "{relayed}");
    let done = world.result_of("pkg", id);
    assert_eq!((&done["status"], &done["outputs"]), (&json!("fulfilled"), &json!([[text(member.nullifier)]])));

    // A root without this member: no witness, no proof, and the relayer goes on.
    let mut other = member.public.clone();
    other["root"] = json!("1");
    let input = world.scene.write("request.json", other.to_string().as_bytes());
    succeeded(world.request("pkg", &["--input", input.to_str().unwrap(), "--fee", "0.01 ether", "--deadline", "+60"]));
    let input = world.scene.write("again.json", member.public.to_string().as_bytes());
    let again = succeeded(world.request("pkg", &["--input", input.to_str().unwrap(), "--fee", "0.01 ether"]));
    let relayed = run!("relay", "--config", world.relayer(&circuits), "--once");
    assert_eq!(world.result_of("pkg", again["request"].as_str().unwrap())["status"], "fulfilled", "{relayed:?}");

    // Without what makes witnesses, with it for a model, or with a secret too few, a relayer does not start.
    world.scene.compile("model", 1, "public");
    ok!("setup", world.scene.path("model"));
    let model = world.relayer("[[circuits]]\npackage = \"model\"\nwitness_program = \"true\"\n");
    refused!(2, ["holds a model"], "relay", "--config", model, "--once");
    let models = world.relayer("models = [\"pkg\"]\n");
    refused!(2, ["witness"], "relay", "--config", models, "--once");
    let mut few = member.private.clone();
    few.as_object_mut().unwrap().remove("secret");
    world.scene.write("mine.json", few.to_string().as_bytes());
    refused!(2, ["'secret'"], "relay", "--config", world.relayer(&circuits), "--once");
}

/// Return, deepest fall and whether both keep to limits, of signals that stay behind a commitment of whoever asks.
#[test]
fn metrics_of_committed_ticks_are_proven_through_the_oracle() {
    let circuit = Compiled::new("metrics");
    let scene = Scene::new();
    let types = ["tick=i32", "least_return=i40", "most_drawdown=u40", "total_return=i40", "drawdown=u40", "passes=u1"];
    let mut arguments = vec!["--commit", "tick"];
    types.iter().for_each(|of_values| arguments.extend(["--type", of_values]));
    circuit.import(&scene.path("pkg"), &arguments);
    ok!("setup", scene.path("pkg"));
    let mut random = StdRng::seed_from_u64(1);
    let mut ticks: Vec<i64> = (0..254).map(|_| random.gen_range(-900..1000)).collect();
    ticks.extend([i64::from(i32::MIN), i64::from(i32::MAX)]);
    let (mut equity, mut peak, mut fall) = (0i64, 0, 0);
    for tick in &ticks {
        equity += tick;
        peak = peak.max(equity);
        fall = fall.max(peak - equity);
    }
    let limits = [(equity, fall, 1), (equity + 1, fall, 0), (equity, fall - 1, 0)];
    let world = World::with(scene, &["pkg"]);
    let config = world.relayer(&format!(
        "confirmations = 0\nopenings = \"openings\"\n[[circuits]]\npackage = \"pkg\"\nwitness_program = \"{}\"\n",
        circuit.program()
    ));
    let mut ids = Vec::new();
    for (least, most, _) in limits {
        let asked = json!({ "tick": ticks, "least_return": least, "most_drawdown": most });
        circuit.witness(&asked);
        let input = world.scene.write("input.json", asked.to_string().as_bytes());
        let folder = world.scene.path("openings");
        let arguments = ["--input", input.to_str().unwrap(), "--openings", folder.to_str().unwrap(), "--fee", "0.01 ether"];
        ids.push(succeeded(world.request("pkg", &arguments))["request"].as_str().unwrap().to_owned());
    }
    ok!("relay", "--config", config, "--once");
    for (id, (_, _, passes)) in ids.iter().zip(limits) {
        let expected = json!([[equity.to_string()], [fall.to_string()], [passes.to_string()]]);
        assert_eq!(world.result_of("pkg", id)["outputs"], expected);
    }
}

/// Weights from committed scores, from a witness file, and what a forger tries with one.
#[test]
fn weights_are_proven_from_a_witness_file() {
    let circuit = Compiled::new("weights");
    let scene = Scene::new();
    let package = scene.path("pkg");
    circuit.import(&package, &["--type", "weight=u16", "--type", "score=u32", "--commit", "score"]);
    // Importing the same circuit again changes nothing; other types are another package.
    let manifest = std::fs::read(package.join("manifest.json")).unwrap();
    ok!("setup", package);
    circuit.import(&package, &["--type", "weight=u16", "--type", "score=u32", "--commit", "score"]);
    assert_eq!(std::fs::read(package.join("manifest.json")).unwrap(), manifest);
    refused!(2, ["holds the keys", "--force"], "import", circuit.path(".r1cs"), "--sym", circuit.path(".sym"), "-o", package);
    let scores: Vec<u64> = (0..16).map(|i| 1_000_003 * i + 7).collect();
    let asked = json!({ "score": scores });
    let input = scene.write("input.json", asked.to_string().as_bytes());
    let witness = scene.write("witness.wtns", &circuit.witness(&asked));
    let requester = "0x00000000000000000000000000000000000000aa";
    let bundle = scene.path("bundle.json");
    let proven = ok!("prove", package, "--witness", witness, "--requester", requester, "-o", bundle);
    let weights: Vec<String> = scores.iter().map(|score| (score * 65535 / scores[15]).to_string()).collect();
    assert_eq!(proven["outputs"], json!([weights]));
    assert_eq!(ok!("verify", package, bundle)["outputs"], json!([weights]));
    // The same by a program, which makes the same witness.
    for program in [circuit.program(), circuit.own_program()] {
        let by_program = ok!("prove", package, "--input", input, "--witness-program", program, "--requester", requester, "-o", bundle);
        assert_eq!(by_program["outputs"], proven["outputs"]);
        assert_eq!(ok!("verify", package, bundle)["outputs"], proven["outputs"]);
    }
    // A command that is asked to stop takes the program with it, and what that has started.
    let pids = scene.path("pids");
    let slow =
        scene.write("slow", format!("#!/bin/sh\nsleep 321 &\necho $$ $! > {}.part\nmv {0}.part {0}\nwait\n", pids.display()).as_bytes());
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(zkslice_tests::zkslice());
    command.arg("prove").arg(&package).arg("--input").arg(&input).arg("--witness-program").arg(&slow);
    let mut running = command.arg("-o").arg(scene.path("never.json")).stderr(std::process::Stdio::null()).spawn().unwrap();
    let wait = |done: &mut dyn FnMut() -> bool| {
        let tries = std::iter::repeat_with(|| std::thread::sleep(std::time::Duration::from_millis(20))).take(1_000);
        assert!(tries.into_iter().any(|()| done()), "it goes on");
    };
    wait(&mut || pids.exists());
    assert!(Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap().success());
    wait(&mut || running.try_wait().unwrap().is_some_and(|status| !status.success()));
    for pid in std::fs::read_to_string(&pids).unwrap().split_whitespace() {
        // One that has ended, and that nobody waited for yet, has no command line.
        wait(&mut || std::fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty()));
    }
    assert!(!scene.path("never.json").exists());
    let no_wasm = format!("{} witness {}", zkslice_tests::zkslice().display(), input.display());
    refused!(
        1,
        ["it said", "it is no wasm"],
        "prove",
        package,
        "--input",
        input,
        "--witness-program",
        no_wasm,
        "-o",
        scene.path("no.json")
    );

    let values = read_wtns(&std::fs::read(&witness).unwrap()).unwrap();
    for (wire, says) in [(1, "row"), (17, "row"), (values.len() - 1, "row")] {
        let mut forged = values.clone();
        forged[wire] += Fr::from(1u64);
        let path = scene.write("forged.wtns", &write_wtns(&forged));
        refused!(2, [says], "prove", package, "--witness", path, "--requester", requester, "-o", scene.path("no.json"));
    }
    assert!(!scene.path("no.json").exists());
    let path = scene.write("forged.wtns", &write_wtns(&values[1..]));
    refused!(2, ["another circuit"], "prove", package, "--witness", path, "-o", scene.path("no.json"));
    refused!(2, ["--witness"], "prove", package, "--input", input, "-o", scene.path("no.json"));
    refused!(2, ["no model to run"], "run", package, "--inputs", input);
    // A file of the package that has changed.
    let file = package.join("slices/0/circuit.r1cs");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    refused!(2, ["does not match its digest"], "verify", package, bundle);
}

/// Two packages with one circuit and the same tensors, whose signals are read in two ways, are two models: otherwise one bundle would show
/// two results under one digest.
#[test]
fn attack_b10_types_are_in_the_digest() {
    let scene = Scene::new();
    let source = b"pragma circom 2.0.0; template T() { signal input x[8]; signal output y[8]; for (var i = 0; i < 8; i++) { y[i] <== x[i] * x[i]; } } component main {public [x]} = T();";
    let source = scene.write("wide.circom", source);
    let into = scene.path(".").display().to_string();
    node(repository(), &["node_modules/circom2/cli.js", source.to_str().unwrap(), "--r1cs", "--sym", "-o", &into]);
    let package = scene.path("pkg");
    ok!("import", scene.path("wide.r1cs"), "--sym", scene.path("wide.sym"), "--type", "x=u8", "--type", "y=u32", "-o", package);
    ok!("setup", package);
    let digest = |folder: &Path| Package::open(folder).and_then(|package| package.key_blob()).map(|blob| blob.model_digest());
    let own = digest(&package).unwrap();
    // The same words, read as one signal of eight limbs, of a circuit that has such a one.
    let square = |wire: u32| [vec![(wire, Fr::from(1u64))], vec![(wire, Fr::from(1u64))], vec![(1, Fr::from(1u64))]];
    let other = R1cs { wires: 10, outputs: 1, public_inputs: 8, private_inputs: 0, rows: (2..10).map(square).collect() }.to_bytes();
    std::fs::write(package.join("slices/0/circuit.r1cs"), &other).unwrap();
    let (manifest, keys) = (package.join("manifest.json"), package.join("keys.json"));
    let read = |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let mut changed = read(&manifest);
    changed["circuit"]["signals"][0]["first_wire"] = json!(2);
    changed["circuit"]["signals"][1] = json!({ "name": "y", "shape": [], "first_wire": 1, "type": "field" });
    changed["slices"][0]["graph"] = json!(zkslice_formats::hex0x(&zkslice_formats::keccak(&other)));
    let bytes = zkslice_formats::to_json(&changed).unwrap();
    std::fs::write(&manifest, &bytes).unwrap();
    let mut named = read(&keys);
    named["package"] = json!(zkslice_formats::hex0x(&zkslice_formats::keccak(&bytes)));
    std::fs::write(&keys, zkslice_formats::to_json(&named).unwrap()).unwrap();
    // Everything in the folder fits together, but for the digest that the keys were made for.
    Package::open(&package).unwrap();
    let after = digest(&package).unwrap_err().to_string();
    assert!(after.contains("model digest is not that of the keys"), "{} {after}", zkslice_formats::hex0x(&own));
}

#[test]
fn what_cannot_be_imported_says_why() {
    let circuit = Compiled::new("weights");
    let scene = Scene::new();
    let (r1cs, sym, output) = (circuit.path(".r1cs"), circuit.path(".sym"), scene.path("pkg"));
    refused!(2, ["'weigth'", "has a type"], "import", r1cs, "--sym", sym, "--type", "weigth=u16", "-o", output);
    refused!(2, ["u1 to u48"], "import", r1cs, "--sym", sym, "--type", "weight=u50", "-o", output);
    refused!(2, ["has a type already"], "import", r1cs, "--sym", sym, "--type", "weight=u8", "--type", "weight=u9", "-o", output);
    refused!(2, ["no private input", "score"], "import", r1cs, "--sym", sym, "--commit", "weight", "-o", output);
    refused!(2, [".r1cs file"], "import", sym, "--sym", sym, "-o", output);
    refused!(2, [".sym file"], "import", r1cs, "--sym", r1cs, "-o", output);
    let unused = scene.write(
        "unused.circom",
        b"pragma circom 2.0.0; template T() { signal input a; signal input b; signal output c; c <== a * a; } component main {public [a, b]} = T();",
    );
    let into = scene.path(".").display().to_string();
    node(repository(), &["node_modules/circom2/cli.js", unused.to_str().unwrap(), "--r1cs", "--sym", "-o", &into]);
    refused!(2, ["'b'", "no row uses it"], "import", scene.path("unused.r1cs"), "--sym", scene.path("unused.sym"), "-o", output);
    assert!(!output.exists());
}

#[test]
fn what_makes_no_witness_says_why() {
    let (scene, other) = (Scene::new(), Scene::new());
    small(&scene, &[]);
    small(&other, &["--prime", "bls12381"]);
    let (wasm, no) = (scene.path("small_js/small.wasm"), scene.path("no.wtns"));
    let right = scene.write("right.json", br#"{"limit": "1000", "secret": 900}"#);
    for (inputs, says) in [
        // Of the first five ark-circom by itself makes a witness, which is of nothing.
        (r#"{"limit": 1000}"#, &["the circuit needs 2 values, 1 were given", "missing"][..]),
        (r#"{"limit": 1000, "secret": 900, "secrte": 1}"#, &["'secrte'", "no such input"]),
        (r#"{"limit": [1000, 1], "secret": 900}"#, &["'limit'", "it has 1 values, 2 were given"]),
        (r#"{"limit": 1000, "secret": []}"#, &["'secret'", "it has 1 values, 0 were given"]),
        (r#"{"limit": 1000, "secret": 1}"#, &["an assertion does not hold", "Num2Bits", "line"]),
        (&json!({ "limit": Fr::MODULUS.to_string(), "secret": 1 }).to_string(), &["'limit'", "no whole number below r"]),
        (&json!({ "limit": Fr::MODULUS.to_string() + "0", "secret": 1 }).to_string(), &["'limit'", "no whole number below r"]),
        ("[]", &["inputs: ", "expected an object"]),
    ] {
        let path = scene.write("wrong.json", inputs.as_bytes());
        let error = refused!(2, says, "witness", wasm, path, no);
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    }
    let bytes = std::fs::read(&wasm).unwrap();
    let wat = include_str!("../../crates/interop/src/circuit.wat");
    // It says another length of its elements when it is asked again, at which ark-circom panics.
    let (says, again) = (
        "(i32.const 8))",
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) (select (i32.const 8) (i32.const 0) (i32.lt_u (global.get $calls) (i32.const 3))))",
    );
    let text = wat.replace(says, again);
    let panics = wasmer::wat2wasm(text.as_bytes()).unwrap();
    for (bytes, says) in [(&bytes[..bytes.len() / 2], "compile"), (wat.as_bytes(), "no wasm"), (b"\0asm\x01\0\0\0", "not of Circom 2")] {
        let path = scene.write("wrong.wasm", bytes);
        let error = refused!(2, [".wasm file", says], "witness", path, right, no);
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    }
    let one = scene.write("one.json", br#"{"x": 1}"#);
    let ran = run!("witness", scene.write("panics.wasm", &panics), one, no);
    assert!(ran.code == Some(2) && ran.stderr.contains("does not do what Circom's do"), "{ran:?}");
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("backtrace"), "{}", ran.stderr);
    refused!(2, ["--prime bn128"], "witness", other.path("small_js/small.wasm"), right, no);
    refused!(2, ["none.wasm"], "witness", scene.path("none.wasm"), right, no);
    refused!(1, ["no.wtns"], "witness", wasm, right, scene.path("none/no.wtns"));
    refused!(2, ["right.json", "not an earlier witness"], "witness", wasm, right, right);
    assert!(!no.exists() && leftovers(&scene.path(".")).is_empty());

    // It holds the secret, so only its owner may read it. An earlier one is replaced, whole or not at all.
    let made = ok!("witness", wasm, right, scene.path("w.wtns"));
    let before = std::fs::read(scene.path("w.wtns")).unwrap();
    assert_eq!(made["wires"], read_wtns(&before).unwrap().len());
    assert_eq!(std::fs::metadata(scene.path("w.wtns")).unwrap().permissions().mode() & 0o777, 0o600);
    refused!(2, ["refuses them"], "witness", wasm, scene.write("wrong.json", br#"{"limit": 1, "secret": 2}"#), scene.path("w.wtns"));
    assert_eq!(std::fs::read(scene.path("w.wtns")).unwrap(), before);
    ok!("witness", wasm, scene.write("zero.json", br#"{"limit": "0", "secret": "-255"}"#), scene.path("w.wtns"));
    let after = read_wtns(&std::fs::read(scene.path("w.wtns")).unwrap()).unwrap();
    assert_eq!(after[1..4], [Fr::from(0u64), Fr::from(0u64), -Fr::from(255u64)]);
}

/// A thousand public signals cost a verifier of snarkjs a multiplication on the curve each; here they are words of one fingerprint.
#[test]
fn a_thousand_public_signals_cost_less_than_a_tenth() {
    let circuit = Compiled::new("publics");
    let scene = Scene::new();
    circuit.import(&scene.path("pkg"), &["--type", "values=u32"]);
    ok!("setup", scene.path("pkg"));
    let values: Vec<u32> = (0..999).map(|i| 0xfedc_ba98 ^ (i * 7919)).collect();
    let asked = json!({ "values": values });
    let input = scene.write("input.json", asked.to_string().as_bytes());
    circuit.witness(&asked);
    let world = World::with(scene, &["pkg"]);
    let made = succeeded(world.request("pkg", &["--input", input.to_str().unwrap(), "--fee", "0.01 ether"]));
    let config =
        world.relayer(&format!("confirmations = 0\n[[circuits]]\npackage = \"pkg\"\nwitness_program = \"{}\"\n", circuit.program()));
    ok!("relay", "--config", config, "--once");
    let done = world.result_of("pkg", made["request"].as_str().unwrap());
    assert_eq!(done["status"], "fulfilled");

    // snarkjs' own verifier of the same circuit and statement, on the same chain.
    let folder = circuit.folder.path();
    let run = |arguments: &[&str]| node(folder, &[&[snarkjs().as_str()], arguments].concat());
    run(&["powersoftau", "new", "bn128", "12", "0.ptau"]);
    run(&["powersoftau", "contribute", "0.ptau", "1.ptau", "-e=x"]);
    ok!("plain", "begin", circuit.path(".r1cs"), "--powers", folder.join("1.ptau"), "-o", folder.join("0.zkey"));
    ok!(
        "plain",
        "contribute",
        folder.join("0.zkey"),
        "--circuit",
        circuit.path(".r1cs"),
        "--powers",
        folder.join("1.ptau"),
        "--name",
        "Ada",
        "-o",
        folder.join("1.zkey")
    );
    run(&["zkey", "export", "solidityverifier", "1.zkey", "verifier.sol"]);
    run(&["groth16", "fullprove", input.to_str().unwrap(), circuit.wasm().to_str().unwrap(), "1.zkey", "proof.json", "public.json"]);
    node(repository(), &["tests/tests/circuits.mjs", folder.to_str().unwrap()]);
    let hex = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let send = |mut transaction: Value| {
        transaction["from"] = json!(signer(0).address());
        receipt(&world, &rpc(&world, "eth_sendTransaction", json!([transaction])))
    };
    // It exceeds what EIP-170 lets a contract have: on a public chain nobody could deploy it.
    let (verifier, code) = ("0x00000000000000000000000000000000000000aa", hex("code.hex"));
    assert!(code.len() / 2 > 24_576);
    rpc(&world, "anvil_setCode", json!([verifier, code]));
    // An estimate would be of a call that runs out of gas and says false.
    let call = json!({ "to": verifier, "data": hex("calldata.hex"), "gas": "0x1800000" });
    assert!(rpc(&world, "eth_call", json!([call, "latest"])).as_str().unwrap().ends_with("01"));
    let theirs = gas(&send(call));
    let ours = gas(&receipt(&world, &done["answer"]["transaction"]));
    println!("fulfilment of 1,000 public signals: {ours} gas; snarkjs' verifier alone: {theirs} gas");
    assert!(10 * ours < theirs, "{ours} against {theirs}");
}

/// A small circuit with public signals of both kinds, and wires that some matrices lack.
const SMALL: &str = r#"
pragma circom 2.0.0;
include "circomlib/circuits/bitify.circom";
template Small() {
    signal input limit;
    signal input secret;
    signal output product;
    component bits = Num2Bits(8);
    bits.in <== limit - secret;
    product <== secret * limit;
}
component main {public [limit]} = Small();
"#;

/// Compiles [`SMALL`] there.
fn small(scene: &Scene, arguments: &[&str]) {
    let source = scene.write("small.circom", SMALL.as_bytes()).display().to_string();
    let into = scene.path(".").display().to_string();
    let all = ["node_modules/circom2/cli.js", &source, "--r1cs", "--sym", "--wasm", "-l", "node_modules", "-o", &into];
    node(repository(), &[&all, arguments].concat());
}

/// Keys of an imported circuit by a ceremony, as a model's.
#[test]
fn a_ceremony_makes_the_keys_of_a_circuit() {
    let scene = Scene::new();
    let folder = scene.path(".");
    small(&scene, &[]);
    let (pkg, file, powers) = (scene.path("pkg"), scene.path("pkg.ceremony"), &crate::ceremony::made().prepared);
    let (r1cs, sym) = (scene.path("small.r1cs"), scene.path("small.sym"));
    ok!("import", r1cs, "--sym", sym, "--type", "limit=u10", "--type", "product=u20", "-o", pkg);
    ok!("ceremony", "begin", pkg, "--powers", powers, "--beacon", "block 9", "--beacon-exponent", "5", "-o", file);
    let (next, closed) = (scene.path("next"), scene.path("closed"));
    ok!("ceremony", "contribute", file, "--name", "Ada", "-o", next);
    ok!("ceremony", "close", next, "--value", "00112233445566778899aabbccddeeff", "-o", closed);
    ok!("ceremony", "verify", closed, pkg, "--powers", powers);
    ok!("ceremony", "finish", closed, pkg, "--powers", powers);
    let input = scene.write("input.json", br#"{"limit": "1000", "secret": "900"}"#);
    node(&folder, &[&snarkjs(), "wtns", "calculate", "small_js/small.wasm", input.to_str().unwrap(), "witness.wtns"]);
    ok!("prove", pkg, "--witness", scene.path("witness.wtns"), "-o", scene.path("bundle.json"));
    let verified = ok!("verify", pkg, scene.path("bundle.json"));
    assert_eq!(verified["integers"], json!([[900_000]]));
}

/// What gnark proved is what snarkjs verifies.
#[test]
fn proofs_of_gnark_verify_in_snarkjs() {
    let scene = Scene::new();
    let [key, proof, public] =
        ["vk", "proof", "public"].map(|kind| repository().join(format!("crates/groth16/tests/gnark/ceremony.{kind}")));
    ok!("verify", "--gnark", key, proof, public);
    ok!("plain", "convert", "--to", "snarkjs", key, proof, public, "-o", scene.path("snarkjs"));
    node(&scene.path("snarkjs"), &[&snarkjs(), "groth16", "verify", "verification_key.json", "public.json", "proof.json"]);
    let json = scene.path("snarkjs").join("proof.json");
    refused!(2, ["proof.json", "gnark"], "verify", "--gnark", key, json, public);
}

/// Keys of a plain circuit that went through our second phase and snarkjs' by turns: each verifies the other's, and proves with it.
#[test]
fn plain_keys_are_snarkjs_own() {
    let scene = Scene::new();
    let folder = scene.path(".");
    small(&scene, &[]);
    let made = crate::ceremony::made();
    let (powers, r1cs) = (&made.prepared, scene.path("small.r1cs"));
    let run = |arguments: &[&str]| node(&folder, &[&[snarkjs().as_str()], arguments].concat());
    let open = |name: &str| Zkey::open(&scene.path(name)).unwrap();
    run(&["groth16", "setup", "small.r1cs", powers.to_str().unwrap(), "theirs.zkey"]);
    ok!("plain", "begin", r1cs, "--powers", powers, "-o", scene.path("0.zkey"));
    let initial = open("0.zkey");
    assert!(initial == open("theirs.zkey"), "the first key is not that of snarkjs");
    refused!(2, ["nobody has contributed"], "plain", "key", scene.path("0.zkey"), "-o", scene.path("no.json"));
    refused!(1, ["nobody has contributed"], "plain", "verify", scene.path("0.zkey"), r1cs, "--powers", powers);
    // Ours, theirs, ours, and a beacon of theirs or of ours.
    let contribute = |from: &str, name: &str, to: &str| {
        run!("plain", "contribute", scene.path(from), "--circuit", r1cs, "--powers", powers, "--name", name, "-o", scene.path(to), "--json")
    };
    assert_eq!(contribute("0.zkey", "Ada", "1.zkey").code, Some(0));
    run(&["zkey", "contribute", "1.zkey", "2.zkey", "--name=Ben", "-e=x"]);
    assert_eq!(contribute("2.zkey", "Cy", "3.zkey").code, Some(0));
    refusal(contribute("2.zkey", "Di", "3.zkey"), 2, &["already exists"]);
    // Two points of C exchanged: nobody divides them.
    let mut bytes = std::fs::read(scene.path("2.zkey")).unwrap();
    let c = sections(&bytes).iter().find(|(kind, _)| *kind == 8).unwrap().1.clone();
    bytes.copy_within(c.start..c.start + 64, c.start + 64);
    scene.write("bent.zkey", &bytes);
    refusal(contribute("bent.zkey", "Di", "no.zkey"), 1, &["C is not what it began with"]);
    assert!(!scene.path("no.zkey").exists());
    let beacon = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
    ok!("plain", "close", scene.path("3.zkey"), "--name", "drand", "--value", beacon, "-o", scene.path("ours.zkey"));
    run(&["zkey", "beacon", "3.zkey", "final.zkey", beacon, "10", "-n=drand"]);
    // A beacon draws nothing at random: the same bytes.
    assert!(open("ours.zkey") == open("final.zkey"));
    run(&["zkey", "verify", "small.r1cs", powers.to_str().unwrap(), "ours.zkey"]);
    let verified = ok!("plain", "verify", scene.path("final.zkey"), r1cs, "--powers", powers);
    let names: Vec<&str> = verified["contributions"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ada", "Ben", "Cy", "drand"]);
    refusal(contribute("final.zkey", "Eve", "no.zkey"), 2, &["closed"]);
    assert_eq!((&verified["closed"], &verified["contributions"][3]["beacon"]["value"]), (&json!(true), &json!(beacon)));

    let input = scene.write("input.json", br#"{"limit": "1000", "secret": "900"}"#);
    run(&["wtns", "calculate", "small_js/small.wasm", input.to_str().unwrap(), "witness.wtns"]);
    ok!("plain", "key", scene.path("ours.zkey"), "-o", scene.path("key.json"));
    run(&["zkey", "export", "verificationkey", "ours.zkey", "their_key.json"]);
    let json = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(scene.path(name)).unwrap()).unwrap() };
    let (ours, mut theirs) = (json("key.json"), json("their_key.json"));
    theirs.as_object_mut().unwrap().remove("vk_alphabeta_12");
    assert_eq!(ours, theirs);
    let proven = ok!(
        "plain",
        "prove",
        scene.path("ours.zkey"),
        scene.path("witness.wtns"),
        "-o",
        scene.path("proof.json"),
        "--public",
        scene.path("public.json")
    );
    assert_eq!((json("public.json"), &proven["proof"]), (json!(["900000", "1000"]), &json!(scene.path("proof.json"))));
    run(&["groth16", "verify", "key.json", "public.json", "proof.json"]);
    run(&["groth16", "prove", "ours.zkey", "witness.wtns", "their_proof.json", "their_public.json"]);
    for (proof, public) in [("their_proof.json", "their_public.json"), ("proof.json", "public.json")] {
        ok!("verify", "--snarkjs", scene.path("their_key.json"), scene.path(proof), scene.path(public));
    }
    let wrong = scene.write("wrong.json", br#"["900001", "1000"]"#);
    let no = run!("verify", "--snarkjs", scene.path("key.json"), scene.path("proof.json"), wrong);
    assert_eq!((no.code, no.stdout.contains("NOT VALID")), (Some(1), true));
    let calldata = Command::new("node")
        .args([&snarkjs(), "zkey", "export", "soliditycalldata", "public.json", "proof.json"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(
        run!("plain", "calldata", scene.path("proof.json"), scene.path("public.json")).stdout.trim(),
        String::from_utf8(calldata.stdout).unwrap().trim()
    );
    // To gnark's files and back.
    let (ours, gnarks) = (["key.json", "proof.json", "public.json"], ["verifying_key.bin", "proof.bin", "public.bin"]);
    let paths = |folder: &str, names: [&str; 3]| names.map(|name| scene.path(folder).join(name));
    let [key, proof, public] = paths(".", ours);
    ok!("plain", "convert", "--to", "gnark", key, proof, public, "-o", scene.path("gnark"));
    refused!(1, ["proof.json", "NOT VALID"], "plain", "convert", "--to", "gnark", key, proof, wrong, "-o", scene.path("no"));
    assert!(!scene.path("no").exists());
    let [key, proof, public] = paths("gnark", gnarks);
    ok!("verify", "--gnark", key, proof, public);
    refused!(2, ["verifying_key.bin", "secret values"], "verify", "--gnark", key, proof, key);
    ok!("plain", "convert", "--to", "snarkjs", key, proof, public, "-o", scene.path("snarkjs"));
    refused!(2, ["exists already"], "plain", "convert", "--to", "snarkjs", key, proof, public, "-o", scene.path("snarkjs"));
    for (name, same) in ["verification_key.json", "proof.json", "public.json"].iter().zip(ours) {
        assert_eq!(json(&format!("snarkjs/{name}")), json(same));
    }
    ark_circom_agrees(&scene);
    // A witness of something false.
    let mut values = read_wtns(&std::fs::read(scene.path("witness.wtns")).unwrap()).unwrap();
    values[1] += Fr::from(1u64);
    let forged = scene.write("forged.wtns", &write_wtns(&values));
    refused!(
        2,
        ["does not satisfy"],
        "plain",
        "prove",
        scene.path("ours.zkey"),
        forged,
        "-o",
        scene.path("no.json"),
        "--public",
        scene.path("no2.json")
    );

    attack_plain_keys(&std::fs::read(scene.path("ours.zkey")).unwrap(), &std::fs::read(scene.path("3.zkey")).unwrap(), &initial);
}

/// Another reader of the key, another prover and another encoder: arkworks' own.
fn ark_circom_agrees(scene: &Scene) {
    type Groth16 = ark_groth16::Groth16<Bn254, ark_circom::CircomReduction>;
    let mut file = std::fs::File::open(scene.path("ours.zkey")).unwrap();
    let (key, rows) = ark_circom::read_zkey(&mut file).unwrap();
    let wires = read_wtns(&std::fs::read(scene.path("witness.wtns")).unwrap()).unwrap();
    let publics = &wires[1..rows.num_instance_variables];
    let mut random = StdRng::seed_from_u64(1);
    let (r, s) = (Fr::rand(&mut random), Fr::rand(&mut random));
    let (matrices, count) = ([rows.a, rows.b, rows.c], (rows.num_instance_variables, rows.num_constraints));
    let theirs = Groth16::create_proof_with_reduction_and_matrices(&key, r, s, &matrices, count.0, count.1, &wires).unwrap();
    let verifier = ark_groth16::prepare_verifying_key(&key.vk);
    let holds = |proof, publics: &[Fr]| Groth16::verify_proof(&verifier, proof, publics).unwrap();
    let json = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(scene.path(name)).unwrap()).unwrap() };
    let ours = snarkjs::read_proof(&json("proof.json")).unwrap();
    let ours = ark_groth16::Proof { a: ours.a, b: ours.b, c: ours.c2 };
    assert!(holds(&theirs, publics) && holds(&ours, publics));
    assert!(!holds(&theirs, &[publics[0] + Fr::from(1u64), publics[1]]));
    // Theirs in our files.
    let proof = Proof { a: theirs.a, b: theirs.b, c1: None, c2: theirs.c };
    let path = scene.write("ark_proof.json", snarkjs::proof(&proof).unwrap().to_string().as_bytes());
    ok!("verify", "--snarkjs", scene.path("key.json"), path, scene.path("public.json"));
    let ((ax, ay), (bx, by), (cx, cy)) = ark_circom::ethereum::Proof::from(theirs).as_tuple();
    let signals = ark_circom::ethereum::Inputs::from(publics).0;
    let list = |of: &[_]| of.iter().map(|word| json!(format!("{word:#066x}"))).collect::<Value>();
    let expected = json!([list(&[ax, ay]), [list(&bx), list(&by)], list(&[cx, cy]), list(&signals)]);
    let calldata = run!("plain", "calldata", path, scene.path("public.json")).stdout;
    assert_eq!(serde_json::from_str::<Value>(&format!("[{calldata}]")).unwrap(), expected);
}

/// Where the sections of a `.zkey` file are, by type.
fn sections(bytes: &[u8]) -> Vec<(u32, std::ops::Range<usize>)> {
    let (mut at, mut found) = (12, Vec::new());
    while at < bytes.len() {
        let kind = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize;
        found.push((kind, at + 12..at + 12 + length));
        at += 12 + length;
    }
    found
}

/// Whatever is changed in a key, it is refused: bytes, points put in the place of others, contributions left out, repeated or exchanged.
fn attack_plain_keys(closed: &[u8], open: &[u8], initial: &Zkey) {
    let mut random = StdRng::seed_from_u64(1);
    let accepted = |bytes: &[u8]| Zkey::from_bytes(bytes).is_ok_and(|key| key.verify(initial, &mut random_of(bytes)).is_ok());
    assert!(accepted(closed) && accepted(open));
    let contribution = 3 * 64 + 128 + 64;
    let (mut tried, of) = (0, sections(closed));
    let transcript = of.iter().find(|(kind, _)| *kind == 10).unwrap().1.clone();
    for (kind, range) in of.clone() {
        for _ in 0..40 {
            let mut changed = closed.to_vec();
            let at = random.gen_range(range.clone());
            // Names are in no hash of snarkjs'.
            if kind == 10 && at >= range.start + 68 + contribution {
                continue;
            }
            changed[at] ^= 1 << random.gen_range(0..8);
            assert!(!accepted(&changed), "section {kind}, byte {}", at - range.start);
            tried += 1;
        }
        // A point in the place of another.
        let size = if kind == 7 { 128 } else { 64 };
        for _ in 0..if matches!(kind, 3 | 5..=9) { 10 } else { 0 } {
            let place = |random: &mut StdRng| range.start + size * random.gen_range(0..range.len() / size);
            let (from, to) = (place(&mut random), place(&mut random));
            let mut changed = closed.to_vec();
            changed.copy_within(from..from + size, to);
            assert!(changed == closed || !accepted(&changed), "section {kind}");
            tried += 1;
        }
    }
    // The last contributor's work without the mention of it, and mentioned twice.
    let count = transcript.start + 64;
    let length = |at: usize| {
        contribution + 8 + u32::from_le_bytes(closed[at + contribution + 4..at + contribution + 8].try_into().unwrap()) as usize
    };
    let mut starts = vec![transcript.start + 68];
    while starts.last().unwrap() < &transcript.end {
        let last = *starts.last().unwrap();
        starts.push(last + length(last));
    }
    assert_eq!(starts.len(), 5);
    let parts: Vec<&[u8]> = starts.windows(2).map(|pair| &closed[pair[0]..pair[1]]).collect();
    for order in [
        &[0, 1, 2][..],
        &[0, 1, 3],
        &[0, 2, 3],
        &[1, 2, 3],
        &[],
        &[0, 1, 2, 3, 3],
        &[0, 0, 1, 2, 3],
        &[1, 0, 2, 3],
        &[0, 2, 1, 3],
        &[3, 0, 1, 2],
    ] {
        let mut changed = closed[..transcript.start - 8].to_vec();
        let body: Vec<u8> = order.iter().flat_map(|part| parts[*part].to_vec()).collect();
        changed.extend((68 + body.len() as u64).to_le_bytes());
        changed.extend(&closed[transcript.start..count]);
        changed.extend((order.len() as u32).to_le_bytes());
        changed.extend(body);
        assert_eq!(transcript.end, closed.len());
        assert!(!accepted(&changed), "{order:?}");
        tried += 1;
    }
    assert!(tried > 300, "{tried}");
}

fn random_of(bytes: &[u8]) -> StdRng {
    StdRng::seed_from_u64(bytes.len() as u64)
}
