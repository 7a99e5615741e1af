//! Parsers of foreign bytes against damaged, spliced and hostile input: they refuse or accept, and never panic, hang, or take
//! memory that a length field asks for.
//!
//! Each parser has its folder in `tests/corpus`: well-formed files to start from, and every input that ever broke something
//! (`broken-…`). A campaign first replays the folder, then mutates it with a seeded generator. It runs in a process of its own
//! with a limit on memory; the input at hand lies in a file, so that even an abort or a kill leaves it behind. On failure it
//! is saved into the corpus: mend the parser and commit the file.
//!
//! `ZKSLICE_FUZZ_ITERATIONS` sets the number of inputs for the cheapest parsers (the others get a share of it), and
//! `ZKSLICE_FUZZ_SEED` starts the generator elsewhere.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use ark_std::rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use tempfile::TempDir;
use zkslice_chain::blob::read_header;
use zkslice_circuit::{Builder, Circuit, ConstraintBuilder, Witness, WitnessBuilder, gadgets};
use zkslice_compiler::{ImportError, ImportOptions, InputRange, Options, compile, compile_float, import_bytes};
use zkslice_formats::{hex0x, keccak};
use zkslice_graph::{Graph, Input, Samples, build_circuit, encode, execute};
use zkslice_groth16::{ProvingKey, Setup, VerifyingKey, WordGroup, prove, snarkjs};
use zkslice_inputs::{Pixels, Slot};
use zkslice_prover::{Bundle, Inference, Openings, Verifier};
use zkslice_slicer::{InputMode, Package, PackageOptions, Strategy, rows, setup};
use zkslice_tests::{Random, model, repository, samples};

/// Inputs for the cheapest parsers unless the environment says otherwise.
const ITERATIONS: usize = 10_000;
/// Address space of a campaign, in KiB: far above what honest input takes, far below what a hostile length asks for.
const MEMORY_KIB: usize = 4 << 20;
/// A campaign that stays with one input for so long hangs. No parser takes a hundredth of it.
const HANG: Duration = Duration::from_secs(60);
const CHILD: &str = "ZKSLICE_FUZZ_CHILD";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn corpus(parser: &str) -> PathBuf {
    repository().join("tests/corpus").join(parser)
}

/// Fuzzes a parser with a `share` of the iterations. `test` is the name of the test that calls this, which is run again as the
/// child. `more` are seeds besides those in the corpus.
fn campaign(test: &str, parser: &str, share: usize, more: &[Vec<u8>], parse: impl FnMut(&[u8])) {
    match std::env::var_os(CHILD) {
        Some(current) => child(parser, share, more, parse, &File::options().write(true).open(current).unwrap()),
        None => parent(test, parser),
    }
}

fn parent(test: &str, parser: &str) {
    let (ended, bytes, log) = run_child(test, &[]);
    if let Some(why) = ended {
        let path = corpus(parser).join(format!("broken-{}", &hex::encode(keccak(&bytes))[..16]));
        std::fs::write(&path, bytes).unwrap();
        panic!("{parser}: {why}; the input is now {}\n{log}", path.display());
    }
    assert!(log.contains("1 passed"), "the campaign was not run:\n{log}");
    log.lines().filter(|line| line.starts_with(parser)).for_each(|line| println!("{line}"));
}

/// Runs a test of this file as a child. Gives how it failed, if it did, the last input, and what it printed.
fn run_child(test: &str, environment: &[(&str, &str)]) -> (Option<String>, Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (current, log) = (folder.path().join("current"), folder.path().join("log"));
    std::fs::write(&current, b"").unwrap();
    let output = File::options().create(true).append(true).open(&log).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY_KIB}; ulimit -c 0; exec \"$0\" --exact \"$1\" --nocapture")])
        .arg(std::env::current_exe().unwrap())
        .arg(format!("fuzz::{test}"))
        .env(CHILD, &current)
        .envs(environment.iter().copied())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let input = || {
        let bytes = std::fs::read(&current).unwrap();
        let length = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length) as usize);
        bytes.get(8..8 + length).unwrap_or_default().to_vec()
    };
    let (mut last, mut since) = (Vec::new(), Instant::now());
    let ended = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break if status.success() { None } else { Some(status.to_string()) };
        }
        let now = input();
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > HANG {
            child.kill().unwrap();
            child.wait().unwrap();
            break Some(format!("no end after {HANG:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    (ended, input(), String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned())
}

fn child(parser: &str, share: usize, more: &[Vec<u8>], mut parse: impl FnMut(&[u8]), current: &File) {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(corpus(parser)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    seeds.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
    seeds.extend_from_slice(more);
    assert!(!seeds.is_empty());
    let mut slowest = Duration::ZERO;
    let mut attempt = |bytes: &[u8]| {
        current.write_all_at(bytes, 8).unwrap();
        current.write_all_at(&(bytes.len() as u64).to_le_bytes(), 0).unwrap();
        let started = Instant::now();
        parse(bytes);
        slowest = slowest.max(started.elapsed());
    };
    seeds.iter().for_each(|seed| attempt(seed));
    let iterations = number("ZKSLICE_FUZZ_ITERATIONS", ITERATIONS as u64) as usize / share;
    let mut random = Random(number("ZKSLICE_FUZZ_SEED", 0) ^ u64::from_le_bytes(*keccak(parser.as_bytes()).first_chunk().unwrap()));
    for _ in 0..iterations {
        attempt(&mutate(&seeds, &mut random));
    }
    println!("{parser}: {} corpus files, {iterations} mutated, slowest {slowest:?}", seeds.len());
}

/// Numbers at which length fields, signs and widths turn over.
const EDGES: [u64; 14] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX];
/// Pieces of JSON and TOML that stand where a value stood.
const TOKENS: [&str; 22] = [
    "0",
    "-1",
    "1e999",
    "-0.0",
    "0.1",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775808",
    "4294967296",
    "99999999999999999999999999999999999999999999",
    "1e308",
    "null",
    "true",
    "\"\"",
    "\"0x\"",
    "[]",
    "{}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "nan",
    "[[[[]]]]",
];

/// One to four changes to a file of the corpus.
fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = at + random.below((bytes.len() - at).min(64));
        match random.below(14) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.number() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece: Vec<u8> = (0..random.below(16)).map(|_| random.number() as u8).collect();
                drop(bytes.splice(at..at, piece));
            }
            5 => {
                let piece = bytes[at..end].repeat(1 + random.below(5));
                drop(bytes.splice(at..at, piece));
            }
            // The head of one file, the tail of another.
            6 => {
                let other = &seeds[random.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            7 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let to = from + random.below((other.len() - from).min(256));
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            // A number of fixed width, either end first.
            8 => {
                let edge = EDGES[random.below(EDGES.len())].wrapping_add(random.below(3) as u64).wrapping_sub(1);
                let width = [1, 2, 4, 8][random.below(4)];
                let mut field = edge.to_le_bytes()[..width].to_vec();
                if random.below(2) == 0 {
                    field.reverse();
                }
                for (slot, byte) in bytes.iter_mut().skip(at).zip(field) {
                    *slot = byte;
                }
            }
            // A number of variable width, as postcard and protobuf have them.
            9 => {
                let mut edge = EDGES[random.below(EDGES.len())];
                let mut field = Vec::new();
                while edge > 0x7f {
                    field.push(edge as u8 | 0x80);
                    edge >>= 7;
                }
                field.push(edge as u8);
                let over = at..(at + random.below(3)).min(bytes.len());
                drop(bytes.splice(over, field));
            }
            10 => tokens(&mut bytes, random),
            11 => tokens(&mut bytes, random),
            // One hexadecimal digit for another: what stays canonical gets past the first checks.
            12 => {
                let digits: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_hexdigit()).map(|(i, _)| i).collect();
                if let Some(at) = digits.get(random.below(digits.len())) {
                    bytes[*at] = b"0123456789abcdef"[random.below(16)];
                }
            }
            _ => {
                let (open, close) = [("[", "]"), ("{\"a\":", "}"), ("\x0a\x7f", ""), ("a.", "")][random.below(4)];
                let depth = [3, 130, 20_000][random.below(3)];
                let piece = format!("{}{}", open.repeat(depth), close.repeat(depth));
                drop(bytes.splice(at..end, piece.into_bytes()));
            }
        }
    }
    bytes
}

/// Puts another value in the place of a number or text, or swaps two lines.
fn tokens(bytes: &mut Vec<u8>, random: &mut Random) {
    let word = |b: &u8| b.is_ascii_alphanumeric() || b"\"._-".contains(b);
    let starts: Vec<usize> = (0..bytes.len()).filter(|&i| word(&bytes[i]) && (i == 0 || !word(&bytes[i - 1]))).collect();
    let Some(&start) = starts.get(random.below(starts.len())) else { return };
    let length = bytes[start..].iter().take_while(|b| word(b)).count();
    let piece: Vec<u8> = match random.below(3) {
        0 => EDGES[random.below(EDGES.len())].to_string().into_bytes(),
        1 => TOKENS[random.below(TOKENS.len())].as_bytes().to_vec(),
        _ => {
            let other = starts[random.below(starts.len())];
            bytes[other..].iter().take_while(|b| word(b)).copied().collect()
        }
    };
    drop(bytes.splice(start..start + length, piece));
}

// What the parsers are part of: packages with keys, made once in each child.

struct Fixture {
    _folder: TempDir,
    public: Package,
    private: Package,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (graph, _) = compile(&model("mlp_digits").join("model.onnx"), Some(&samples("mlp_digits")), &Options::default()).unwrap();
        let [public, private] = [InputMode::Public, InputMode::Private].map(|inputs| {
            let options = PackageOptions { name: "mlp_digits".into(), inputs, strategy: Strategy::Slices(2), coverage_policy: Vec::new() };
            Package::create(&folder.path().join(format!("{inputs:?}")), &graph, &options, Value::Null).unwrap()
        });
        let mut rng = StdRng::seed_from_u64(1);
        let mut packages = [public, private];
        setup(&packages, &mut rng, |_, _| ()).unwrap();
        packages.sort_by_key(|package| package.manifest().tensors[0].kind as u8);
        let [public, private] = packages;
        Fixture { _folder: folder, public, private }
    })
}

fn input_integers() -> Vec<Vec<i64>> {
    let input = Input::from_json(&std::fs::read(model("mlp_digits").join("input.json")).unwrap()).unwrap();
    fixture().public.encode(&input).unwrap()
}

/// The same relu of a weighted sum in three roles: circuit, witness, key. Small enough to be fuzzed as a file.
fn small<B: Builder>(b: &mut B, values: Option<[i64; 2]>) {
    let tables = gadgets::DigitTables::default();
    let x: Vec<_> = (0..2).map(|i| gadgets::digit(b, values.map(|v| v[i]), 4, &tables, 4).unwrap()).collect();
    let sum = b.combine(&[(9, &x[0]), (-12, &x[1])], 3).unwrap();
    let y = gadgets::relu(b, &sum, 4, 4).unwrap();
    for word in gadgets::pack(b, &x, 4).unwrap().iter().chain(&gadgets::pack(b, &[y], 4).unwrap()) {
        b.public_word(word);
    }
}

fn small_circuit() -> Circuit {
    let mut shape = ConstraintBuilder::new();
    small(&mut shape, None);
    shape.finish()
}

fn small_witness() -> Witness {
    let mut trace = WitnessBuilder::new();
    small(&mut trace, Some([3, 1]));
    trace.finish()
}

fn small_key() -> ProvingKey {
    let mut rng = StdRng::seed_from_u64(2);
    Setup::dev(&mut rng).key(&small_circuit(), &[WordGroup { count: 2, bits: 4 }, WordGroup { count: 1, bits: 4 }], &mut rng).unwrap()
}

/// A campaign that could not fail would say nothing: parsers broken on purpose, at the input that breaks them.
#[test]
fn broken_parsers_are_caught() {
    const BREAK: &str = "ZKSLICE_FUZZ_BREAK";
    if let Some(current) = std::env::var_os(CHILD) {
        let current = File::options().write(true).open(current).unwrap();
        let parse = |bytes: &[u8]| match (bytes.contains(&0xff), std::env::var(BREAK).as_deref()) {
            (true, Ok("panic")) => panic!("as asked"),
            (true, Ok("memory")) => assert!(!std::hint::black_box(vec![1_u8; 1 << 40]).is_empty()),
            (true, Ok("stack")) => assert!(recurse(0) > 0),
            _ => {}
        };
        return child("relayer", 1, &[], parse, &current);
    }
    for (way, said) in [("panic", "as asked"), ("memory", "memory allocation of"), ("stack", "overflowed its stack")] {
        let (ended, input, log) = run_child("broken_parsers_are_caught", &[(BREAK, way)]);
        assert!(ended.is_some() && log.contains(said), "{way}: {ended:?} {log}");
        assert!(input.contains(&0xff), "{way}");
    }
    let (ended, _, log) = run_child("broken_parsers_are_caught", &[(BREAK, "nothing")]);
    assert_eq!(ended, None, "{log}");
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let place = [depth; 512];
    recurse(std::hint::black_box(place)[0] + 1) + std::hint::black_box(place)[1]
}

// The parsers.

#[test]
fn models() {
    let fixtures = repository().join("crates/compiler/tests/fixtures");
    let mut more = vec![std::fs::read(model("mlp_digits").join("model.onnx")).unwrap()];
    for folder in [fixtures.clone(), fixtures.join("bad")] {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
        paths.sort();
        more.extend(paths.iter().map(|path| std::fs::read(path).unwrap()));
    }
    campaign("models", "model", 8, &more, |bytes| {
        match import_bytes(bytes, &ImportOptions { drop_final_softmax: true, ..ImportOptions::default() }) {
            Err(ImportError::Panic(text)) => panic!("{text}"),
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(graph) => {
                let size: usize = graph.values.iter().map(|value| value.len()).sum();
                if size > 20_000 {
                    return;
                }
                let input_ranges = vec![InputRange { input: None, feature: None, min: -1.0, max: 1.0 }];
                let options = Options { bits: Some(8), input_ranges, allow_error: true, ..Options::default() };
                if let Ok((graph, _)) = compile_float(graph, None, &options) {
                    let back = Graph::from_bytes(&graph.to_bytes().unwrap()).expect("what is compiled can be read");
                    assert!(back == graph);
                }
            }
        }
    });
}

#[test]
fn inputs() {
    let graph = &fixture().public.slices()[0].graph;
    campaign("inputs", "input", 1, &[], |bytes| {
        if let Ok(input) = Input::from_json(bytes)
            && let Ok(integers) = encode(graph, &input)
        {
            execute(graph, &integers).map(|values| assert!(!values.is_empty())).unwrap_or_default();
        }
    });
}

/// NumPy, table and image files, each under every name: what a file is called does not say what is in it.
#[test]
fn input_files() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.npy", "a.npz", "a.pb", "a.csv", "a.png"].map(|name| folder.path().join(name));
    let slots = [&[1, 4][..], &[1, 1, 2, 2], &[1, 3, 8, 8]].map(|shape| [Slot { name: "x".into(), shape: shape.into() }]);
    campaign("input_files", "inputs", 8, &[], |bytes| {
        for path in &paths {
            std::fs::write(path, bytes).unwrap();
            for slots in &slots {
                if let Ok(inputs) = zkslice_inputs::inputs(path, slots, Pixels::Unit) {
                    assert!(inputs.iter().flat_map(|input| &input.0).all(|list| list.len() == slots[0].shape.iter().product::<usize>()));
                }
            }
            let _ = (zkslice_inputs::labels(path), zkslice_inputs::labels_within(path, &slots[0]));
        }
    });
}

#[test]
fn sample_files() {
    let path = model("mlp_digits").join("model.onnx");
    campaign("sample_files", "samples", 2, &[], |bytes| {
        if let Ok(samples) = Samples::from_json(bytes) {
            let _ = compile(&path, Some(&samples), &Options { bits: Some(8), ..Options::default() });
        }
    });
}

#[test]
fn bundles() {
    let package = &fixture().public;
    let verifier = Verifier::new(package).unwrap();
    let proven = zkslice_prover::prove(
        package,
        Inference::of_inputs(package, input_integers()).unwrap(),
        0..2,
        &mut StdRng::seed_from_u64(3),
        |_| (),
    )
    .unwrap();
    let honest = proven.bundle.to_json().unwrap();
    campaign("bundles", "bundle", 2, std::slice::from_ref(&honest), |bytes| {
        if let Ok(bundle) = Bundle::from_json(bytes) {
            let valid = verifier.verify(&bundle).is_ok();
            assert!(!valid || bytes == honest, "a changed bundle is valid");
            assert_eq!(bundle.to_json().unwrap(), bytes);
            let _ = (verifier.verify_slices(&bundle), bundle.words(), bundle.commitments(), bundle.proof_words());
        }
    });
}

#[test]
fn openings() {
    let Fixture { public, private, .. } = fixture();
    let of = |package: &Package| {
        let inference = Inference::of_inputs(package, input_integers()).unwrap();
        zkslice_prover::prove(package, inference, 0..1, &mut StdRng::seed_from_u64(4), |_| ()).unwrap().openings.to_json().unwrap()
    };
    let more = [of(public), of(private)];
    let mut rng = StdRng::seed_from_u64(5);
    let mut accepted = 0_usize;
    campaign("openings", "openings", 2, &more, |bytes| {
        let Ok(openings) = Openings::from_json(bytes, "a file") else { return };
        for package in [public, private] {
            let mut inference = Inference { openings: openings.clone(), ..Inference::default() };
            let _ = zkslice_prover::encode_request(package, &mut inference, &mut rng);
            accepted += 1;
            // Proving takes its time: a few of them.
            if accepted.is_multiple_of(97) && openings.tensors.len() <= package.manifest().tensors.len() {
                let _ = zkslice_prover::prove(
                    package,
                    Inference { openings: openings.clone(), ..Inference::default() },
                    1..2,
                    &mut rng,
                    |_| (),
                );
            }
        }
    });
}

fn use_graph(graph: &Graph) {
    let size: usize = graph.tensors.iter().map(|tensor| tensor.len()).sum();
    if size > 5_000 {
        return;
    }
    let zeros: Vec<Vec<i64>> = graph.inputs.iter().map(|port| vec![0; graph.tensors[port.tensor].len()]).collect();
    let _ = execute(graph, &zeros);
    graph.intervals().expect("a valid graph has intervals");
    assert!(Graph::from_bytes(&graph.to_bytes().unwrap()).is_ok_and(|back| back == *graph));
}

#[test]
fn graphs() {
    campaign("graphs", "graph", 1, &[], |bytes| {
        if let Ok(graph) = Graph::from_bytes(bytes) {
            use_graph(&graph);
        }
    });
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { assert!(std::fs::copy(&path, &target).is_ok()) }
    }
}

/// Manifests, and graphs that the manifest vouches for.
#[test]
fn manifests() {
    let folder = tempfile::tempdir().unwrap();
    copy(fixture().public.folder(), folder.path());
    let honest = std::fs::read(folder.path().join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&honest).unwrap();
    let graph = std::fs::read(folder.path().join("slices/1/graph.bin")).unwrap();
    let mut random = Random(11);
    campaign("manifests", "manifest", 40, std::slice::from_ref(&honest), |bytes| {
        let open = || {
            let Ok(package) = Package::open(folder.path()) else { return };
            let inputs = package.manifest().tensors.iter().filter(|t| t.kind.is_input());
            let input = Input(inputs.map(|t| vec![0.0; t.count().min(1 << 16)]).collect());
            let _ = package.encode(&input).map(|integers| Inference::of_inputs(&package, integers));
            let _ = (package.keys(), package.key_blob());
            for (k, slice) in package.slices().iter().enumerate() {
                let _ = (package.groups(k), rows(slice.bound()).total());
                let _ = build_circuit(slice.bound());
            }
        };
        std::fs::write(folder.path().join("manifest.json"), bytes).unwrap();
        open();
        // A changed graph with its digest put right.
        let changed = mutate(std::slice::from_ref(&graph), &mut random);
        manifest["slices"][1]["graph"] = hex0x(&keccak(&changed)).into();
        std::fs::write(folder.path().join("slices/1/graph.bin"), &changed).unwrap();
        std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
        open();
        std::fs::write(folder.path().join("slices/1/graph.bin"), &graph).unwrap();
    });
}

#[test]
fn key_manifests() {
    let folder = tempfile::tempdir().unwrap();
    copy(fixture().public.folder(), folder.path());
    let honest = std::fs::read(folder.path().join("keys.json")).unwrap();
    campaign("key_manifests", "keys", 10, std::slice::from_ref(&honest), |bytes| {
        std::fs::write(folder.path().join("keys.json"), bytes).unwrap();
        let package = Package::open(folder.path()).unwrap();
        if package.keys().is_ok() {
            let _ = package.key_blob();
        }
    });
}

/// Bytes as they come, then with their header's length put right, so that what is in it is reached.
#[test]
fn proving_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proving.key");
    let key = small_key();
    key.save(&path).unwrap();
    let honest = std::fs::read(&path).unwrap();
    let length = u32::from_le_bytes(*honest[12..].first_chunk().unwrap()) as usize;
    let header = honest[16..16 + length].to_vec();
    let sections = honest[(16 + length).div_ceil(64) * 64..].to_vec();
    let witness = small_witness();
    let mut rng = StdRng::seed_from_u64(6);
    let mut random = Random(12);
    let mut opened = 0_usize;
    prove(&key, &witness, || Ok(small_circuit()), &mut rng).expect("the circuit is sound");
    campaign("proving_keys", "proving_key", 8, std::slice::from_ref(&honest), |bytes| {
        let mut changed = honest[..12].to_vec();
        let mut text = header.clone();
        (0..=random.below(2)).for_each(|_| tokens(&mut text, &mut random));
        changed.extend_from_slice(&(text.len() as u32).to_le_bytes());
        changed.extend_from_slice(&text);
        changed.resize(changed.len().div_ceil(64) * 64, 0);
        changed.extend_from_slice(&sections);
        for bytes in [bytes, &changed] {
            // A new file each time: the earlier one may still be mapped.
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, bytes).unwrap();
            let Ok(key) = ProvingKey::open(&path) else { continue };
            opened += 1;
            let _ = (key.domain_size(), key.verifying_key_hash(), key.len());
            if opened.is_multiple_of(16) {
                let _ = prove(&key, &witness, || Ok(small_circuit()), &mut rng);
            }
        }
    });
}

#[test]
fn verifying_keys() {
    campaign("verifying_keys", "verifying_key", 4, &[small_key().verifying_key().record()], |bytes| {
        if let Ok(key) = VerifyingKey::from_record(bytes) {
            assert_eq!(key.record(), bytes, "a record has one form");
            let _ = (key.hash(), key.setup_digest(), key.words());
        }
    });
}

#[test]
fn key_blobs() {
    let blob = fixture().public.key_blob().unwrap();
    campaign("key_blobs", "key_blob", 1, &[blob.bytes().to_vec()], |bytes| {
        let digest = B256::from(blob.model_digest());
        if let Ok(header) = read_header(digest, bytes) {
            assert!(header.inputs().count() <= bytes.len());
        }
        // A blob may vouch for itself, too: a header of any length with its own digest.
        for words in [1, 8, bytes.len() / 64, bytes.len() / 32] {
            let header = bytes.get(..32 * words).unwrap_or(bytes);
            let _ = read_header(B256::from(keccak(header)), bytes).map(|header| header.inputs().count());
        }
    });
}

#[test]
fn snarkjs_json() {
    campaign("snarkjs_json", "snarkjs", 4, &[], |bytes| {
        let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
        if let Ok(key) = snarkjs::read_verifying_key(&value) {
            assert!(snarkjs::verifying_key(&key).is_some());
        }
        if let Ok(proof) = snarkjs::read_proof(&value) {
            assert!(snarkjs::proof(&proof).is_some());
        }
        let _ = snarkjs::read_publics(&value);
    });
}

#[test]
fn deployments() {
    campaign("deployments", "deployment", 1, &[], |bytes| {
        let _ = zkslice_chain::Manifest::parse(Path::new("deployments/31337.json"), bytes);
    });
}

#[test]
fn relayer_configurations() {
    campaign("relayer_configurations", "relayer", 1, &[], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = zkslice_relayer::Config::parse(Path::new("relayer.toml"), &text);
    });
}
