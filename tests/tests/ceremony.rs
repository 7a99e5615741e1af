//! A ceremony from powers of tau that snarkjs makes to keys, and what must not pass on the way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ark_bn254::{G1Affine, G2Affine};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::UniformRand;
use ark_std::rand::SeedableRng;
use ark_std::rand::rngs::{OsRng, StdRng};
use serde_json::{Value, json};
use zkslice_ceremony::{Beacon, Ceremony, CeremonyError, Powers, Subject};
use zkslice_circuit::WitnessBuilder;
use zkslice_groth16::{ProvingKey, Statement, prove, raw, verify};
use zkslice_tests::repository;

use crate::chain::{Anvil, KEYS};
use crate::scene::{Scene, ok, refused, run};

#[path = "../../crates/ceremony/src/small.rs"]
mod small;

/// Power of the files that tests use.
const POWER: u32 = 8;

fn snarkjs(folder: &Path, arguments: &[&str]) {
    let cli = repository().join("node_modules/snarkjs/build/cli.cjs");
    assert!(cli.is_file(), "snarkjs is missing: run `make toolchain`");
    let output = Command::new("node").arg(cli).args(arguments).current_dir(folder).output().expect("node runs");
    assert!(output.status.success(), "snarkjs {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
}

pub(crate) struct Made {
    _folder: tempfile::TempDir,
    /// Not prepared.
    bare: PathBuf,
    pub(crate) prepared: PathBuf,
}

/// Powers of tau with two contributors and a beacon.
pub(crate) fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let beacon = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
        let power = POWER.to_string();
        let run = |arguments: &[&str]| snarkjs(folder.path(), &[&["powersoftau"], arguments].concat());
        run(&["new", "bn128", &power, "0.ptau"]);
        run(&["contribute", "0.ptau", "1.ptau", "--name=Ada", "-e=one"]);
        run(&["contribute", "1.ptau", "2.ptau", "--name=Ben", "-e=two"]);
        run(&["beacon", "2.ptau", "bare.ptau", beacon, "10", "-n=beacon"]);
        run(&["prepare", "phase2", "bare.ptau", "prepared.ptau"]);
        let (bare, prepared) = (folder.path().join("bare.ptau"), folder.path().join("prepared.ptau"));
        Made { _folder: folder, bare, prepared }
    })
}

fn import(path: &Path, domains: &[u32]) -> Result<Powers, CeremonyError> {
    Powers::import(path, &domains.iter().copied().collect::<BTreeSet<u32>>(), &mut OsRng, &mut |_| ())
}

/// Where the sections of a `.ptau` file are.
fn section(bytes: &[u8], wanted: u32) -> std::ops::Range<usize> {
    let mut at = 12;
    loop {
        let kind = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize;
        if kind == wanted {
            return at + 12..at + 12 + length;
        }
        at += 12 + length;
    }
}

#[test]
fn powers_of_snarkjs_are_imported_prepared_or_not() {
    let made = made();
    let prepared = import(&made.prepared, &[POWER - 1, 3]).unwrap();
    assert_eq!((prepared.domains(), prepared.contributors().len(), prepared.published()), (&[3, POWER - 1][..], 3, None));
    let bare = import(&made.bare, &[3, POWER - 1]).unwrap();
    assert_eq!(prepared.single(), bare.single());
    for level in [3, POWER - 1] {
        let (of_prepared, of_bare) = (prepared.domain(level).unwrap(), bare.domain(level).unwrap());
        assert_eq!(of_prepared.lagrange.len(), 1 << level);
        assert_eq!(of_prepared.lagrange, of_bare.lagrange);
        assert_eq!(of_prepared.lagrange2, of_bare.lagrange2);
        assert_eq!(of_prepared.alpha, of_bare.alpha);
        assert_eq!(of_prepared.beta, of_bare.beta);
        assert_eq!(of_prepared.double, of_bare.double);
        let sum: ark_bn254::G1Projective = of_bare.lagrange.iter().sum();
        assert_eq!(sum.into_affine(), G1Affine::generator(), "Lagrange polynomials add up to 1");
    }
    // What is saved is read again; other domains are not in it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("powers");
    prepared.save(&path).unwrap();
    let opened = Powers::open(&path).unwrap();
    assert_eq!(opened.domain(3).unwrap().double, bare.domain(3).unwrap().double);
    let error = opened.domain(4).unwrap_err().to_string();
    assert!(error.contains("not of 2^4"), "{error}");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Powers::open(&path), Err(CeremonyError::Malformed { .. })));
}

/// A6: the last Lagrange points of a file are made without its highest power.
#[test]
fn attack_a6_a_file_of_the_domains_own_power_is_refused() {
    for path in [&made().prepared, &made().bare] {
        let error = import(path, &[POWER]).unwrap_err().to_string();
        assert!(error.contains("takes one of 9"), "{error}");
    }
}

/// Each kind of point replaced by another of its group, by infinity, and by one outside.
#[test]
fn attack_powers_with_a_wrong_point() {
    let bytes = std::fs::read(&made().prepared).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("powers.ptau");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        match import(&path, &[POWER - 1]) {
            Ok(_) => panic!("{what} is taken"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("powers.ptau"), "{what}: {text}");
                text
            }
        }
    };
    std::fs::write(&path, &bytes).unwrap();
    import(&path, &[POWER - 1]).unwrap();
    let n = 1_usize << POWER;
    // Section, size of a point, points that count: of a prepared section those of the largest domain.
    let cases = [
        (2, 64, vec![0, 1, 2, n - 1]),
        (3, 128, vec![0, 1, n / 2]),
        (4, 64, vec![0, 1, n / 2]),
        (5, 64, vec![0, 1, n / 2]),
        (6, 128, vec![0]),
        (12, 64, vec![n / 2 - 1, n - 2, n - 1, 2 * n - 2]),
        (13, 128, vec![n / 2 - 1, n - 2]),
        (14, 64, vec![n / 2 - 1, n - 2]),
        (15, 64, vec![n / 2 - 1, n - 2]),
    ];
    for (kind, size, points) in cases {
        let range = section(&bytes, kind);
        for point in points {
            let at = range.start + point * size;
            let replace = |with: Vec<u8>, what: &str| {
                let mut wrong = bytes.clone();
                wrong[at..at + size].copy_from_slice(&with);
                refused(&wrong, &format!("section {kind}, point {point}: {what}"))
            };
            let other = if size == 64 { raw::g1_bytes(&[G1Affine::rand(&mut rng)]) } else { raw::g2_bytes(&[G2Affine::rand(&mut rng)]) };
            replace(other, "another point");
            assert!(replace(vec![0; size], "infinity").contains("infinite"));
            let mut outside = bytes[at..at + size].to_vec();
            outside[0] ^= 1;
            assert!(replace(outside, "off the curve").contains("no point of its group"));
            let mut unreduced = bytes[at..at + size].to_vec();
            unreduced[size - 32..].fill(0xff);
            assert!(replace(unreduced, "not reduced").contains("no point of its group"));
        }
    }
    // Two powers or two Lagrange points exchanged.
    for (kind, size, a, b) in [(2, 64, 2, 3), (3, 128, 2, 3), (4, 64, 1, 2), (12, 64, n - 1, n), (13, 128, n / 2, n / 2 + 1)] {
        let range = section(&bytes, kind);
        let mut wrong = bytes.clone();
        let (a, b) = (range.start + a * size, range.start + b * size);
        wrong[a..a + size].copy_from_slice(&bytes[b..b + size]);
        wrong[b..b + size].copy_from_slice(&bytes[a..a + size]);
        refused(&wrong, &format!("section {kind}, two points exchanged"));
    }
}

/// Whatever a contribution states is checked, but for its name, and for the state of a hash over an earlier file, which is not here.
#[test]
fn attack_contributions_to_powers() {
    let bytes = std::fs::read(&made().bare).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("powers.ptau");
    let range = section(&bytes, 7);
    // A contribution: five points (2 of G2), six of G1 and three of G2, a state, a challenge, kind, parameters.
    let points = 3 * 64 + 2 * 128 + 6 * 64 + 3 * 128;
    let fixed = points + 216 + 64 + 4 + 4;
    let mut start = range.start + 4;
    for contribution in 0..3 {
        let parameters = u32::from_le_bytes(bytes[start + fixed - 4..start + fixed].try_into().unwrap()) as usize;
        let (state, after) = (start + points, start + points + 216);
        let mut places: Vec<usize> = (start..state).step_by(23).chain((after..after + 64).step_by(7)).chain([after + 64]).collect();
        if contribution == 2 {
            // The chaining value and the count; of the block before them only what is counted is read.
            places.extend((state + 128..state + 192).step_by(7).chain([state + 193]));
        }
        for at in places {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            std::fs::write(&path, &wrong).unwrap();
            assert!(import(&path, &[2]).is_err(), "contribution {contribution}, byte {}", at - start);
        }
        start += fixed + parameters;
    }
    assert_eq!(start, range.end);
    // Another beacon, or as many iterations more.
    for (at, what) in [(range.end - 1, "the beacon's value"), (range.end - 35, "its exponent")] {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        std::fs::write(&path, &wrong).unwrap();
        let error = import(&path, &[2]).unwrap_err().to_string();
        assert!(error.contains("not made from the beacon"), "{what}: {error}");
    }
    // Without contributions, or cut.
    let mut none = bytes.clone();
    none[range.start..range.start + 4].fill(0);
    for cut in [none, bytes[..bytes.len() - 1].to_vec(), bytes[..100].to_vec(), Vec::new()] {
        std::fs::write(&path, &cut).unwrap();
        import(&path, &[2]).unwrap_err();
    }
}

/// What the second implementation needs of the circuits, and of the keys that were made.
fn description(subjects: &[small::Small], keys: &[ProvingKey]) -> Value {
    let of = |(subject, key): (&small::Small, &ProvingKey)| {
        let circuit = subject.circuit().unwrap();
        let layout = circuit.layout();
        let mut counts = vec![layout.publics, layout.words, layout.small, layout.field, layout.products, layout.field_products];
        counts.push(layout.tables.len());
        counts.extend(layout.tables.iter().flat_map(|table| [table.entries, table.lookups]));
        let mut entries = Vec::new();
        circuit.visit(|row, matrix, wire, coefficient| entries.push(json!([row, matrix as usize, wire, coefficient.to_string()])));
        json!({
            "name": subject.name,
            "counts": counts,
            "groups": subject.groups().iter().map(|group| json!([group.count, group.bits])).collect::<Vec<_>>(),
            "public_wires": layout.public_wires(),
            "second_round": layout.first_second_round(),
            "wires": layout.wires(),
            "rows": layout.rows(),
            "entries": entries,
            "record": hex::encode(key.verifying_key().record()),
        })
    };
    subjects.iter().zip(keys).map(of).collect()
}

/// Three contributors over powers of snarkjs; keys that prove; a second implementation agrees on everything, and refuses what is forged.
#[test]
fn a_ceremony_of_three_is_verified_by_a_second_implementation() {
    let made = made();
    let circuits = small::circuits();
    let subjects: [&dyn Subject; 2] = [&circuits[0], &circuits[1]];
    let levels: Vec<u32> = circuits.iter().map(|c| c.circuit().unwrap().layout().rows().next_power_of_two().trailing_zeros()).collect();
    let powers = import(&made.prepared, &levels).unwrap();
    let beacon = Beacon { source: "drand quicknet, round 12345678".into(), exponent: 6 };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("of.ceremony");
    let mut ceremony = Ceremony::begin(&subjects, &powers, beacon, &mut |_| ()).unwrap();
    for name in ["Ada", "Ben", "Zoë"] {
        // From hand to hand: each has but the file.
        ceremony.save(&path).unwrap();
        ceremony = Ceremony::open(&path).unwrap();
        ceremony.contribute(name, &mut OsRng, &|_, _| ()).unwrap();
    }
    ceremony.close(&[0xb5; 32], &mut OsRng, &|_, _| ()).unwrap();
    ceremony.save(&path).unwrap();
    let keys = ceremony.verify(&subjects, &powers, &mut OsRng, &mut |_| ()).unwrap();
    for (key, circuit) in keys.iter().zip(&circuits) {
        let mut trace = WitnessBuilder::new();
        small::build(&mut trace, circuit.bits, Some(11));
        let witness = trace.finish();
        let proof = prove(key, &witness, || Ok(circuit.circuit().unwrap()), &mut OsRng).unwrap();
        verify(key.verifying_key(), &Statement { publics: witness.publics.clone(), words: witness.words.clone() }, &proof).unwrap();
    }
    let second = |path: &Path, description: &Value| {
        let file = folder.path().join("circuits.json");
        std::fs::write(&file, description.to_string()).unwrap();
        let script = repository().join("tests/tests/ceremony.mjs");
        let output = Command::new("node").arg(script).args([&made.prepared, path, &file]).output().expect("node runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    };
    let description = description(&circuits, &keys);
    assert_eq!(second(&path, &description), Ok(hex::encode(ceremony.hash())));
    // It refuses what is not so: another key, another circuit, sections of another contribution.
    let mut other = description.clone();
    other[0]["record"] = description[1]["record"].clone();
    assert!(second(&path, &other).unwrap_err().contains("the verifying key of five is another"));
    let mut other = description.clone();
    other[1]["entries"][7][3] = json!("3");
    assert!(second(&path, &other).unwrap_err().contains("six begins with another key"));
    let mut late = Ceremony::begin(&subjects, &powers, Beacon { source: "another".into(), exponent: 6 }, &mut |_| ()).unwrap();
    late.contribute("Ada", &mut OsRng, &|_, _| ()).unwrap();
    let other = folder.path().join("other.ceremony");
    late.save(&other).unwrap();
    assert!(second(&other, &description).unwrap_err().contains("the verifying key of five is another"));
}

/// From a package to an answer on a chain that is not local, by the command alone, each contributor with but the file.
#[test]
fn keys_of_a_ceremony_are_answered_for_on_a_chain_that_is_not_local() {
    const CHAIN: u64 = 17_000;
    let scene = Scene::new();
    let (pkg, file, powers) = (scene.path("pkg"), scene.path("pkg.ceremony"), scene.path("pkg.powers"));
    let closed = scene.path("pkg.closed");
    ok!("compile", scene.model(), "--samples", scene.samples(), "--slices", "1", "--bits", "8", "-o", pkg);
    // 2^9 rows take powers of 10. They are not prepared, as snarkjs would need half a minute for that.
    let folder = scene.path("");
    let run = |arguments: &[&str]| snarkjs(&folder, &[&["powersoftau"], arguments].concat());
    run(&["new", "bn128", "10", "0.ptau"]);
    run(&["contribute", "0.ptau", "1.ptau", "--name=one", "-e=one"]);
    let ptau = scene.path("1.ptau");
    let imported = ok!("ceremony", "import", ptau, pkg, "-o", powers);
    assert_eq!(imported["domains"], json!([9]));
    let begin = ok!("ceremony", "begin", pkg, "--powers", powers, "--beacon", "block 9", "--beacon-exponent", "5", "-o", file);
    let again = scene.path("again.ceremony");
    let from_file = ok!("ceremony", "begin", pkg, "--powers", ptau, "--beacon", "block 9", "--beacon-exponent", "5", "-o", again);
    assert_eq!(begin["hash"], from_file["hash"], "anyone begins with the same");
    refused!(2, ["not closed", "block 9"], "ceremony", "finish", file, pkg, "--powers", powers);
    refused!(2, ["nobody has contributed"], "ceremony", "close", file, "--value", "00112233445566778899aabbccddeeff", "-o", closed);
    let entropy = scene.write("dice", b"4 1 6 6 2");
    let mut hashes = Vec::new();
    for name in ["Ada", "Ben", "Eve"] {
        let next = scene.path(name);
        hashes.push(ok!("ceremony", "contribute", file, "--name", name, "--entropy-file", entropy, "-o", next)["hash"].clone());
        std::fs::rename(next, &file).unwrap();
    }
    // What has contributions is not begun again, and a file in other hands is left alone.
    refused!(2, ["has contributions"], "ceremony", "begin", pkg, "--powers", powers, "--beacon", "block 9", "-o", file);
    ok!("ceremony", "close", file, "--value", "0x00112233445566778899aabbccddeeff", "-o", closed);
    let file = closed;
    let shown = ok!("ceremony", "show", file);
    let names: Vec<&str> = shown["contributions"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!((names, &shown["closed"]), (vec!["Ada", "Ben", "Eve", "block 9"], &json!(true)));
    assert!(hashes.iter().zip(shown["contributions"].as_array().unwrap()).all(|(hash, of)| *hash == of["hash"]));
    let verified = ok!("ceremony", "verify", file, pkg, "--powers", ptau);
    assert_eq!((&verified["verified"], &verified["hash"]), (&json!(true), &shown["hash"]));
    // Another package is not what the ceremony was for.
    let other = scene.path("other");
    ok!("compile", scene.model(), "--samples", scene.samples(), "--slices", "1", "--bits", "8", "--input-bits", "7", "-o", other);
    refused!(1, ["does not verify", "it is for mlp_digits"], "ceremony", "verify", file, other, "--powers", ptau);
    let finished = ok!("ceremony", "finish", file, pkg, "--powers", powers);
    assert_eq!(finished["packages"][0]["transcript"], shown["hash"]);
    assert_eq!(ok!("ceremony", "finish", file, pkg, "--powers", powers), finished, "once more changes nothing");
    // Entropy that is none, or endless.
    let (nothing, endless) = (scene.write("nothing", b""), scene.write("endless", &vec![7; (1 << 20) + 1]));
    for given in [&nothing, &endless] {
        refused!(2, ["entropy"], "ceremony", "contribute", again, "--name", "Ada", "--entropy-file", given);
    }
    refused!(2, ["already exists"], "ceremony", "import", ptau, pkg, "-o", ptau);
    refused!(2, ["already exists"], "ceremony", "begin", pkg, "--powers", powers, "--beacon", "b", "-o", powers);
    // A package with other keys is not what the ceremony gives, though its circuits are.
    let verified = ok!("ceremony", "verify", file, pkg, "--powers", ptau);
    assert_eq!(verified["models"][0], finished["packages"][0]["model"]);
    let foreign = scene.path("foreign");
    ok!("compile", scene.model(), "--samples", scene.samples(), "--slices", "1", "--bits", "8", "-o", foreign);
    ok!("setup", foreign);
    refused!(1, ["foreign", "other keys than the ceremony gives"], "ceremony", "verify", file, foreign, "--powers", ptau);
    refused!(2, ["holds the keys", "--force"], "ceremony", "finish", file, foreign, "--powers", powers);
    // Two packages in one ceremony; a kill between their keys is mended by finishing again.
    let (first, second, both) = (scene.path("first"), scene.path("second"), scene.path("both.ceremony"));
    for (package, bits) in [(&first, "8"), (&second, "7")] {
        ok!("compile", scene.model(), "--samples", scene.samples(), "--slices", "1", "--bits", "8", "--input-bits", bits, "-o", package);
    }
    let begun = ok!("ceremony", "begin", first, second, "--powers", powers, "--beacon", "block 10", "--beacon-exponent", "5", "-o", both);
    assert_eq!(begun["slices"], 2);
    ok!("ceremony", "contribute", both, "--name", "Ada");
    let of_both = scene.path("both.closed");
    ok!("ceremony", "close", both, "--value", "0x00112233445566778899aabbccddeeff", "-o", of_both);
    let whole = ok!("ceremony", "finish", of_both, first, second, "--powers", powers);
    std::fs::remove_file(second.join("keys.json")).unwrap();
    assert_eq!(ok!("ceremony", "finish", of_both, first, second, "--powers", powers), whole);

    let anvil = Anvil::start(CHAIN);
    let key = |name: &str, index: usize| {
        let path = scene.write(name, KEYS[index].as_bytes());
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let (mine, _) = (key("my.key", 0), key("relayer.key", 1));
    let deployments = scene.path("deployments");
    let guardian = "0x00000000000000000000000000000000000000a1";
    let deploy = |package: &Path| {
        let mut command = Command::new(zkslice_tests::zkslice());
        command.args(["deploy", "--json", "--rpc-url", &anvil.url, "--guardian", guardian, "--private-key-file"]).arg(&mine);
        command.arg("--deployments").arg(&deployments).arg(package);
        zkslice_tests::Ran::from(command.output().unwrap())
    };
    // Development keys are refused there, before anything is sent.
    ok!("setup", other);
    crate::scene::refusal(deploy(&other), 2, &["development keys", "use keys from a ceremony"]);
    let deployed = crate::scene::succeeded(deploy(&pkg));
    let oracle = deployed["oracle"].as_str().unwrap();
    let check = |ceremony: &Path| {
        let registry = deployed["registry"].as_str().unwrap();
        run!("ceremony", "check", ceremony, pkg, "--powers", powers, "--registry", registry, "--rpc-url", anvil.url, "--json")
    };
    let checked = crate::scene::succeeded(check(&file));
    assert_eq!((&checked["chain_id"], &checked["transcript"]), (&json!(CHAIN), &shown["hash"]));
    assert_eq!(checked["models"][0], finished["packages"][0]["model"]);
    // Another ceremony for the same package is another model, which that registry has not.
    ok!("ceremony", "contribute", again, "--name", "Mallory");
    let other_closed = scene.path("again.closed");
    ok!("ceremony", "close", again, "--value", "0x00112233445566778899aabbccddeeff", "-o", other_closed);
    let differs = check(&other_closed);
    assert_eq!((differs.code, &differs.json()["ok"]), (Some(1), &json!(false)));
    assert!(differs.stdout.contains("it is unknown in the registry"), "{}", differs.stdout);
    let text = std::fs::read_to_string(deployments.join(format!("{CHAIN}.json"))).unwrap();
    assert!(text.contains(shown["hash"].as_str().unwrap()), "{text}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        anvil.rpc("evm_increaseTime", json!([86_401])).await;
        anvil.mine(1).await;
    });
    let made = ok!(
        "request",
        oracle,
        "--rpc-url",
        anvil.url,
        "--private-key-file",
        mine,
        "--model",
        pkg,
        "--input",
        scene.input(),
        "--fee",
        "0.05 ether"
    );
    let config = format!(
        "version = 1\nrpc_url = \"{}\"\nchain_id = {CHAIN}\noracle = \"{oracle}\"\nkey_file = \"relayer.key\"\ndatabase = \"relayer.sqlite\"\n\
         max_fee_per_gas = \"50 gwei\"\nmax_gas = 5_000_000\ndaily_spend_cap = \"1 ether\"\nmin_fee = 0\npoll_interval_ms = 50\n\
         models = [\"pkg\"]\nconfirmations = 0\n",
        anvil.url
    );
    let relayed = ok!("relay", "--config", scene.write("relayer.toml", config.as_bytes()), "--once");
    let done = ok!("result", oracle, made["request"].as_str().unwrap(), "--rpc-url", anvil.url, "--model", pkg);
    assert_eq!(done["status"], "fulfilled", "{relayed}");
    assert_eq!(done["outputs"], ok!("run", pkg, "--inputs", scene.input())["answers"][0]);
}

/// A ceremony for the small circuits that nobody has contributed to, and its powers.
fn of_small(circuits: &[small::Small; 2]) -> (Ceremony, Powers) {
    let level = |circuit: &small::Small| circuit.circuit().unwrap().layout().rows().next_power_of_two().trailing_zeros();
    let powers = import(&made().prepared, &[level(&circuits[0]), level(&circuits[1])]).unwrap();
    let beacon = Beacon { source: "drand, round 9".into(), exponent: 4 };
    (Ceremony::begin(&[&circuits[0], &circuits[1]], &powers, beacon, &mut |_| ()).unwrap(), powers)
}

/// A coordinator's process, which ends with this.
struct Serving {
    child: std::process::Child,
    url: String,
}

impl Serving {
    fn start(folder: &Path, begun: Option<&Path>, listen: &str) -> Self {
        use std::io::BufRead;
        let mut command = Command::new(zkslice_tests::zkslice());
        command.args(["ceremony", "serve", "--json", "--listen", listen]).arg(folder);
        if let Some(begun) = begun {
            command.arg("--ceremony").arg(begun);
        }
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { child, url: said["url"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // As kill −9 does.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three contributors with one command each, and a coordinator that is killed while they contribute. Nobody trusts it: the result verifies.
#[test]
fn contributors_meet_at_a_coordinator() {
    let scene = Scene::new();
    let circuits = small::circuits();
    let (first, powers) = of_small(&circuits);
    let (begun, folder) = (scene.path("begun"), scene.path("served"));
    first.save(&begun).unwrap();

    let serving = Serving::start(&folder, Some(&begun), "127.0.0.1:0");
    refused!(2, ["another process serves it"], "ceremony", "serve", folder);
    let listen = serving.url.trim_start_matches("http://").to_owned();
    let contribute = |name: &str| {
        let file = scene.path(&format!("{name}.ceremony"));
        let mut command = Command::new(zkslice_tests::zkslice());
        command.args(["ceremony", "contribute", "--json", "--url", &serving.url, "--name", name]).arg(file);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let clients = ["Ada", "Ben", "Cy"].map(contribute);
    let url = serving.url.clone();
    // Killed once somebody waits, and started again.
    let queue = folder.join("queue.json");
    while !std::fs::read_to_string(&queue).is_ok_and(|text| text.contains("Ada") || text.contains("Ben") || text.contains("Cy")) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(serving);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let serving = Serving::start(&folder, None, &listen);
    assert_eq!(serving.url, url);
    let mut hashes = BTreeSet::new();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        hashes.insert(said["hash"].as_str().unwrap().to_owned());
    }
    refused!(1, ["waits or has contributed already"], "ceremony", "contribute", scene.path("again"), "--url", serving.url, "--name", "Ada");
    assert!(!scene.path("again.ticket").exists());
    // Who sends half a request keeps it from stopping for a while, not for ever.
    let mut serving = serving;
    let mut half = std::net::TcpStream::connect(&listen).unwrap();
    std::io::Write::write_all(
        &mut half,
        b"POST /queue HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    )
    .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(Command::new("kill").args(["-TERM", &serving.child.id().to_string()]).status().unwrap().success());
    assert!((0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        serving.child.try_wait().unwrap().is_some_and(|status| status.success())
    }));
    drop(serving);
    let mut ceremony = Ceremony::open(&folder.join("ceremony")).unwrap();
    let published: BTreeSet<String> = ceremony.attestations().iter().map(|by| zkslice_formats::hex0x(&by.hash)).collect();
    assert_eq!((hashes.len(), published), (3, hashes));
    ceremony.close(&[7; 32], &mut OsRng, &|_, _| ()).unwrap();
    ceremony.verify(&[&circuits[0], &circuits[1]], &powers, &mut OsRng, &mut |_| ()).unwrap();
    for leftover in ["Ada.ceremony.ticket", "Ben.ceremony.ticket", "Cy.ceremony.ticket", "served/upload"] {
        assert!(!scene.path(leftover).exists(), "{leftover}");
    }
}

/// A coordinator that answers what it likes: by the beginning of a request's line.
fn lying_coordinator(answers: Vec<(&'static str, Vec<u8>)>) -> String {
    use std::io::{BufRead, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = std::io::BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            let body = answers.iter().find(|(start, _)| first.starts_with(start)).map_or(&b"{}"[..], |(_, body)| body);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let stream = stream.get_mut();
            // Whoever has gone needs no answer.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    url
}

/// A coordinator contributes under the name of whoever asks, with a secret that it knows, and hands that out: nobody takes it for their own.
#[test]
fn attack_a_coordinator_that_contributes_in_a_contributors_name() {
    let scene = Scene::new();
    let (begun, _) = of_small(&small::circuits());
    let mut forged = begun.clone();
    let hash = zkslice_formats::hex0x(&forged.contribute("Ada", &mut OsRng, &|_, _| ()).unwrap());
    let (file, path) = (scene.path("forged"), scene.path("ada.ceremony"));
    forged.save(&file).unwrap();
    let place = json!({ "before": 0, "received": 0, "seconds_left": 100 });
    let status = json!({ "hash": hash, "points": forged.points(), "contributions": [{ "name": "Ada", "hash": hash }] });
    let answers = |ceremony: Vec<u8>, place: &Value| {
        let text = |value: &Value| value.to_string().into_bytes();
        vec![("GET /ceremony/", ceremony), ("GET /queue/", text(place)), ("GET /status", text(&status))]
    };
    let contribute = |url: String| refusal_of(&run!("ceremony", "contribute", path, "--url", url, "--name", "Ada", "--json"));
    let said = contribute(lying_coordinator(answers(std::fs::read(&file).unwrap(), &place)));
    assert!(said.contains("a contribution under your name"), "{said}");
    assert!(!path.exists() && !scene.path("ada.ceremony.ticket").exists() && !scene.path("ada.ceremony.got").exists());
    // Endless answers, and answers that are none.
    let endless = contribute(lying_coordinator(answers(vec![7; forged.points() * 128 + (65 << 20)], &place)));
    assert!(endless.contains("longer than"), "{endless}");
    let mut many = answers(Vec::new(), &place);
    many[2].1 = json!({ "hash": hash, "points": u64::MAX, "contributions": [] }).to_string().into_bytes();
    let many = contribute(lying_coordinator(many));
    assert!(many.contains("no ceremony has more than"), "{many}");
    let none = contribute(lying_coordinator(answers(Vec::new(), &json!({ "before": "soon" }))));
    assert!(none.contains("no number `before`"), "{none}");
    // A file that is there is another ceremony with contributions: it stays.
    forged.save(&path).unwrap();
    let said = contribute("http://127.0.0.1:9".to_owned());
    assert!(said.contains("has contributions") && path.exists(), "{said}");
}

fn refusal_of(ran: &zkslice_tests::Ran) -> String {
    assert_ne!(ran.code, Some(0));
    ran.json()["error"].as_str().unwrap().to_owned()
}
