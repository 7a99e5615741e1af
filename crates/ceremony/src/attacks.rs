//! What must not pass: contributions forged in every field and place, transcripts cut and mixed, sections that are not what they should
//! be, other circuits, other powers. Hashes are always made anew, as whoever forges would.

use std::collections::BTreeMap;

use ark_bn254::{Fr, G1Affine, G1Projective, G2Affine, G2Projective};
use ark_ec::{AffineRepr, CurveGroup, PrimeGroup};
use ark_ff::UniformRand;
use ark_poly::{EvaluationDomain, Radix2EvaluationDomain};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rayon::prelude::*;
use zkslice_circuit::WitnessBuilder;
use zkslice_groth16::{ProvingKey, Statement, check_deltas, prove, verify};

use crate::contribution::Secrets;
use crate::powers::Domain;
use crate::small::{Small, build, circuits};
use crate::{Beacon, Ceremony, CeremonyError, Contribution, Part, Powers, Subject};

/// Powers whose secrets are known, for the domains of the circuits.
pub(crate) fn powers(seed: u64) -> Powers {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let [tau, alpha, beta] = std::array::from_fn(|_| Fr::rand(&mut rng));
    let (g1, g2) = (G1Projective::generator(), G2Projective::generator());
    let points = |scalars: &[Fr]| -> Vec<G1Affine> { scalars.iter().map(|x| (g1 * x).into_affine()).collect() };
    let scaled = |scalars: &[Fr], by: Fr| scalars.iter().map(|x| *x * by).collect::<Vec<_>>();
    let mut domains = BTreeMap::new();
    for circuit in circuits() {
        let rows = circuit.circuit().unwrap().layout().rows().next_power_of_two();
        let lagrange = |n: usize| Radix2EvaluationDomain::<Fr>::new(n).unwrap().evaluate_all_lagrange_coefficients(tau);
        let (single, double) = (lagrange(rows), lagrange(2 * rows));
        let domain = Domain {
            lagrange: points(&single),
            lagrange2: single.iter().map(|x| (g2 * x).into_affine()).collect(),
            alpha: points(&scaled(&single, alpha)),
            beta: points(&scaled(&single, beta)),
            double: points(&double),
        };
        domains.insert(rows.trailing_zeros(), domain);
    }
    Powers::of_points([(g1 * alpha).into_affine(), (g1 * beta).into_affine()], (g2 * beta).into_affine(), &domains)
}

const VALUE: [u8; 32] = [7; 32];

fn beacon() -> Beacon {
    Beacon { source: "round 7 of a dice game".into(), exponent: 4 }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

pub(crate) fn begun(powers: &Powers) -> Ceremony {
    let circuits = circuits();
    Ceremony::begin(&[&circuits[0], &circuits[1]], powers, beacon(), &mut |_| ()).unwrap()
}

/// A ceremony of three contributors, closed.
fn closed(powers: &Powers) -> Ceremony {
    let mut ceremony = begun(powers);
    let mut one = rng();
    for name in ["Ada", "Ben", "Eve"] {
        ceremony.contribute(name, &mut one, &|_, _| ()).unwrap();
    }
    ceremony.close(&VALUE, &mut rng(), &|_, _| ()).unwrap();
    ceremony
}

fn check(ceremony: &Ceremony, powers: &Powers) -> Result<(), CeremonyError> {
    let circuits = circuits();
    ceremony.verify(&[&circuits[0], &circuits[1]], powers, &mut rng(), &mut |_| ()).map(drop)
}

fn refused(ceremony: &Ceremony, powers: &Powers, says: &str, what: &str) {
    match check(ceremony, powers) {
        Ok(()) => panic!("{what} is taken"),
        Err(error) => assert!(error.to_string().contains(says), "{what}: {error}, without {says:?}"),
    }
}

#[test]
fn keys_of_a_ceremony_prove() {
    let powers = powers(1);
    let ceremony = closed(&powers);
    check(&ceremony, &powers).unwrap();
    let circuits = circuits();
    let keys = ceremony.verify(&[&circuits[0], &circuits[1]], &powers, &mut rng(), &mut |_| ()).unwrap();
    for (key, circuit) in keys.iter().zip(&circuits) {
        assert_eq!(key.transcript(), Some(&ceremony.hash()));
        let mut trace = WitnessBuilder::new();
        build(&mut trace, circuit.bits, Some(11));
        let witness = trace.finish();
        let proof = prove(key, &witness, || Ok(circuit.circuit().unwrap()), &mut rng()).unwrap();
        let mut statement = Statement { publics: witness.publics.clone(), words: witness.words.clone() };
        verify(key.verifying_key(), &statement, &proof).unwrap();
        statement.words[1] += Fr::from(1);
        verify(key.verifying_key(), &statement, &proof).unwrap_err();
    }
}

/// A8: published powers take further models, whose keys share pairings with those that are there and have deltas of their own.
#[test]
fn a8_a_later_ceremony_is_of_the_same_setup() {
    let powers = powers(1);
    let [first, second] = circuits();
    let hold = |subject: &dyn Subject, seed: u64| {
        let mut one = ChaCha20Rng::seed_from_u64(seed);
        let mut ceremony = Ceremony::begin(&[subject], &powers, beacon(), &mut |_| ()).unwrap();
        ceremony.contribute("Ada", &mut one, &|_, _| ()).unwrap();
        ceremony.close(&VALUE, &mut rng(), &|_, _| ()).unwrap();
        ceremony.verify(&[subject], &powers, &mut one, &mut |_| ()).unwrap().remove(0)
    };
    let keys = [hold(&first, 1), hold(&second, 2), hold(&first, 3)];
    let setups = keys.each_ref().map(|key| key.verifying_key().setup_digest());
    assert!(setups.iter().all(|setup| *setup == setups[0]));
    check_deltas(keys.iter().map(ProvingKey::verifying_key)).unwrap();
    // The same secrets twice would be caught there, and by the registry.
    let again = hold(&second, 2);
    check_deltas([keys[1].verifying_key(), again.verifying_key()]).unwrap_err();
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let powers = powers(1);
    let (ceremony, folder) = (closed(&powers), tempfile::tempdir().unwrap());
    let path = folder.path().join("of.ceremony");
    ceremony.save(&path).unwrap();
    let read = Ceremony::open(&path).unwrap();
    assert_eq!((read.hash(), read.attestations(), read.is_closed()), (ceremony.hash(), ceremony.attestations(), true));
    check(&read, &powers).unwrap();
    let names: Vec<String> = read.attestations().into_iter().map(|of| of.name).collect();
    assert_eq!(names, ["Ada", "Ben", "Eve", "round 7 of a dice game"]);
    // Any byte that is changed is noticed on opening.
    let bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 97) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        std::fs::write(&path, &wrong).unwrap();
        let padding = Ceremony::open(&path).is_ok_and(|read| read.hash() == ceremony.hash() && check(&read, &powers).is_ok());
        assert!(Ceremony::open(&path).is_err() || padding, "byte {at}");
    }
}

/// A beacon may be described at length: a drand chain's hash and a round.
#[test]
fn a_closed_ceremony_with_a_long_beacon_is_read() {
    let (powers, circuits, folder) = (powers(1), circuits(), tempfile::tempdir().unwrap());
    let long = Beacon { source: "drand ".to_owned() + &"8990e7a9".repeat(30), exponent: 4 };
    let mut ceremony = Ceremony::begin(&[&circuits[0], &circuits[1]], &powers, long, &mut |_| ()).unwrap();
    ceremony.contribute("Ada", &mut rng(), &|_, _| ()).unwrap();
    ceremony.close(&VALUE, &mut rng(), &|_, _| ()).unwrap();
    let path = folder.path().join("of.ceremony");
    ceremony.save(&path).unwrap();
    check(&Ceremony::open(&path).unwrap(), &powers).unwrap();
}

/// The fields of a part, to replace one by other points of its group.
fn forged(part: &Part, field: usize, with: Forgery<'_>) -> Part {
    let mut forged = part.clone();
    let other = with.other;
    match field {
        0 => forged.delta.0 = with.g1(part.delta.0, other.delta.0),
        1 => forged.delta.1 = with.g2(part.delta.1, other.delta.1),
        2 => forged.s.0 = with.g1(part.s.0, other.s.0),
        3 => forged.s.1 = with.g1(part.s.1, other.s.1),
        _ => forged.spx = with.g2(part.spx, other.spx),
    }
    forged
}

#[derive(Clone, Copy)]
struct Forgery<'a> {
    kind: usize,
    other: &'a Part,
}

impl Forgery<'_> {
    const KINDS: usize = 5;

    fn g1(&self, point: G1Affine, other: G1Affine) -> G1Affine {
        match self.kind {
            0 => -point,
            1 => (point + point).into_affine(),
            2 => G1Affine::generator(),
            3 => other,
            _ => (G1Projective::generator() * Fr::from(12_345)).into_affine(),
        }
    }

    fn g2(&self, point: G2Affine, other: G2Affine) -> G2Affine {
        match self.kind {
            0 => -point,
            1 => (point + point).into_affine(),
            2 => G2Affine::generator(),
            3 => other,
            _ => (G2Projective::generator() * Fr::from(12_345)).into_affine(),
        }
    }
}

/// Every field of every contribution, of each circuit and delta, replaced in five ways: 400 attacks.
#[test]
fn attack_every_field_of_every_contribution() {
    let powers = powers(1);
    let ceremony = closed(&powers);
    let mut attacks = Vec::new();
    for contribution in 0..4 {
        for circuit in 0..2 {
            for delta in 0..2 {
                for field in 0..5 {
                    attacks.extend((0..Forgery::KINDS).map(|kind| [contribution, circuit, delta, field, kind]));
                }
            }
        }
    }
    assert_eq!(attacks.len(), 400);
    attacks.into_par_iter().for_each(|attack @ [contribution, circuit, delta, field, kind]| {
        let mut wrong = ceremony.clone();
        let parts = &ceremony.contributions[(contribution + 1) % 4].parts;
        let other = &parts[circuit][delta];
        let part = &mut wrong.contributions[contribution].parts[circuit][delta];
        let with = forged(part, field, Forgery { kind, other });
        assert_ne!(*part, with, "{attack:?} changes nothing");
        *part = with;
        let error = wrong.check_transcript().expect_err(&format!("{attack:?} is taken")).to_string();
        assert!(error.contains("contribution "), "{attack:?}: {error}");
    });
}

/// Contributions left out, repeated, exchanged, renamed, taken over from others.
#[test]
fn attack_transcripts() {
    let powers = powers(1);
    let ceremony = closed(&powers);
    let attack = |change: &dyn Fn(&mut Vec<Contribution>), says: &str, what: &str| {
        let mut wrong = ceremony.clone();
        change(&mut wrong.contributions);
        refused(&wrong, &powers, says, what);
    };
    for at in 0..4 {
        // Without the last one the sections are not those of the transcript.
        let says = if at == 3 { "is not what it began with over" } else { "contribution " };
        attack(&|all| drop(all.remove(at)), says, &format!("contribution {at} left out"));
        attack(&|all| all.insert(at, all[at].clone()), "contribution ", &format!("contribution {at} repeated"));
    }
    for at in 0..3 {
        attack(&|all| all.swap(at, at + 1), "contribution ", &format!("contributions {at} exchanged"));
        attack(&|all| all[at].name = "Mallory".into(), "was known, in this place and under this name", "a contribution under another name");
    }
    attack(&|all| all[3].beacon = Some(vec![8; 32]), "not what the beacon's value gives", "another beacon");
    attack(&|all| all.truncate(1), "is not what it began with over", "all but the first left out");
    attack(&|all| all[1].parts.truncate(1), "it has 1 circuits, not 2", "a circuit left out");
    attack(&|all| all[1].parts.swap(0, 1), "contribution 2", "circuits exchanged");
    attack(&|all| all[1].parts[0].swap(0, 1), "contribution 2", "deltas exchanged");
    attack(&|all| all[0].beacon = Some(VALUE.to_vec()), "something follows the beacon", "a beacon at the beginning");
    let mut other = ceremony.clone();
    other.beacon.exponent += 1;
    refused(&other, &powers, "contribution 1", "more iterations");
    let mut other = ceremony.clone();
    other.beacon.source = "round 8".into();
    refused(&other, &powers, "contribution 1", "another beacon named afterwards");
}

/// A contributor who knows nothing of what he should, or does nothing.
#[test]
fn attack_contributors() {
    let powers = powers(1);
    let mut ceremony = begun(&powers);
    let mut rng = rng();
    ceremony.contribute("Ada", &mut rng, &|_, _| ()).unwrap();
    let (before, deltas) = (ceremony.hash(), ceremony.deltas());
    let with = |secrets: [[u64; 2]; 2]| {
        let secrets = Secrets(secrets.map(|pair| pair.map(Fr::from)).to_vec());
        Contribution::make("Mallory", None, &before, &deltas, &secrets, || G1Affine::rand(&mut ChaCha20Rng::seed_from_u64(5)))
    };
    let names = ["five", "six"];
    with([[3, 5], [7, 11]]).check(&before, &deltas, &names).unwrap();
    let error = with([[1, 5], [7, 11]]).check(&before, &deltas, &names).unwrap_err().to_string();
    assert!(error.contains("δ1 of five is what it was"), "{error}");
    // The first contributor's deltas are secrets themselves: equal ones would be equal deltas.
    let (first, hash) = (crate::contribution::first_deltas(2), begun(&powers).hash());
    let secrets = Secrets([[3, 5], [3, 11]].map(|pair| pair.map(Fr::from)).to_vec());
    let equal = Contribution::make("Mallory", None, &hash, &first, &secrets, || G1Affine::rand(&mut ChaCha20Rng::seed_from_u64(5)));
    let error = equal.check(&hash, &first, &names).unwrap_err().to_string();
    assert!(error.contains("δ1 of six equals ±δ1 of five"), "{error}");
    // Deltas set to what he likes, with another's proofs or his own for something else.
    let honest = with([[3, 5], [7, 11]]);
    let mut reset = honest.clone();
    reset.parts[0][0].delta =
        ((G1Projective::generator() * Fr::from(3)).into_affine(), (G2Projective::generator() * Fr::from(3)).into_affine());
    let error = reset.check(&before, &deltas, &names).unwrap_err().to_string();
    assert!(error.contains("δ1 of five in G1 is not the one before times its secret"), "{error}");
    let mut split = honest.clone();
    split.parts[1][1].delta.1 = (split.parts[1][1].delta.1 + G2Affine::generator()).into_affine();
    let error = split.check(&before, &deltas, &names).unwrap_err().to_string();
    assert!(error.contains("δ2 of six in G2 is not that in G1"), "{error}");
    // The same proof of knowledge in another place.
    let mut replayed = honest.clone();
    replayed.parts[1] = honest.parts[0].clone();
    replayed.check(&before, &deltas, &names).unwrap_err();
}

/// A transcript that is valid beside points that are not its own.
#[test]
fn attack_sections() {
    let powers = powers(1);
    let (ceremony, begun) = (closed(&powers), begun(&powers));
    let mut before = begun.clone();
    let mut same = rng();
    for name in ["Ada", "Ben", "Eve"] {
        before.contribute(name, &mut same, &|_, _| ()).unwrap();
    }
    let attack = |change: &dyn Fn(&mut [Vec<u8>; 3]), says: &str, what: &str| {
        for circuit in 0..2 {
            let mut wrong = ceremony.clone();
            change(&mut wrong.circuits[circuit].sections);
            refused(&wrong, &powers, says, what);
            // A contributor looks before a secret touches any point: what is divided for somebody is his.
            let mut open = ceremony.clone();
            open.contributions.pop();
            open.circuits = before.circuits.clone();
            open.check(&mut rng()).unwrap();
            change(&mut open.circuits[circuit].sections);
            let error = open.contribute("Ada", &mut rng(), &|_, _| ()).expect_err(what).to_string();
            assert!(error.contains(says), "{what}: {error}");
            let error = open.close(&VALUE, &mut rng(), &|_, _| ()).expect_err(what).to_string();
            assert!(error.contains(says), "{what}: {error}");
        }
    };
    let over = "is not what it began with over";
    let point = crate::points::Point::raw(&[(G1Projective::generator() * Fr::from(99)).into_affine()]);
    for section in 0..3 {
        attack(&|all| all[section][..64].copy_from_slice(&point), over, "another point");
        attack(
            &|all| {
                let last = all[section].len() - 64;
                all[section].copy_within(last.., 0);
            },
            over,
            "a point in place of another",
        );
        attack(&|all| all[section].truncate(64), over, "points left out");
        attack(&|all| all[section].extend_from_slice(&point), over, "a point more");
        attack(&|all| all[section][..64].fill(0), over, "a point at infinity");
        attack(&|all| all[section][0] ^= 1, "no point of its group", "off the curve");
        attack(&|all| all[section][24..32].fill(0xff), "no point of its group", "not reduced");
    }
    attack(&|all| all.swap(1, 2), over, "sections exchanged");
    // IC points among the others, over whose deltas every statement has a proof.
    let ic = crate::points::Point::raw(&begun_ic(&powers));
    attack(&|all| all[1].extend_from_slice(&ic), over, "IC points to be divided");
    // As they began, they are bound by the transcript's first hash.
    for circuit in 0..2 {
        let mut wrong = begun.clone();
        wrong.circuits[circuit].first[1].extend_from_slice(&ic);
        wrong.circuits[circuit].sections[1].extend_from_slice(&ic);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of.ceremony");
        wrong.save(&path).unwrap();
        let error = Ceremony::open(&path).unwrap_err().to_string();
        assert!(error.contains("does not begin with the points that it states"), "{error}");
    }
    for circuit in 0..2 {
        let mut wrong = ceremony.clone();
        wrong.circuits[circuit].sections = begun.circuits[circuit].sections.clone();
        refused(&wrong, &powers, over, "sections as they began");
    }
}

/// Another circuit, other powers, another order, a first hash that is stated and not made.
#[test]
fn attack_beginnings() {
    let powers = powers(1);
    let ceremony = closed(&powers);
    refused(&ceremony, &self::powers(2), "does not begin with the key", "other powers");
    let [five, six] = circuits();
    let verify = |subjects: &[&dyn Subject]| ceremony.verify(subjects, &powers, &mut rng(), &mut |_| ()).unwrap_err().to_string();
    assert!(verify(&[&six, &five]).contains("it is for five, six, not for six, five"));
    assert!(verify(&[&five]).contains("not for five"));
    let other = Small { name: "six".into(), bits: 5 };
    assert!(verify(&[&five, &other]).contains("six does not begin with the key"));
    let mut wrong = ceremony.clone();
    wrong.circuits[0].statement[40] ^= 1;
    refused(&wrong, &powers, "contribution 1", "another first hash");
    // Begun for another circuit under this name: contributions are good, the circuit is not.
    let circuits = [Small { name: "five".into(), bits: 6 }, Small { name: "six".into(), bits: 6 }];
    let mut wrong = Ceremony::begin(&[&circuits[0], &circuits[1]], &powers, beacon(), &mut |_| ()).unwrap();
    wrong.contribute("Ada", &mut rng(), &|_, _| ()).unwrap();
    refused(&wrong, &powers, "five does not begin with the key", "a ceremony for another circuit");
}

#[test]
fn order_is_kept() {
    let powers = powers(1);
    let circuits = circuits();
    let subjects: [&dyn Subject; 2] = [&circuits[0], &circuits[1]];
    let mut ceremony = begun(&powers);
    let error = |result: Result<[u8; 32], CeremonyError>| result.unwrap_err().to_string();
    assert!(error(ceremony.close(&VALUE, &mut rng(), &|_, _| ())).contains("nobody has contributed yet"));
    for name in ["", " ", "two\nlines", &"x".repeat(65)] {
        assert!(error(ceremony.contribute(name, &mut rng(), &|_, _| ())).contains("a contributor's name"));
    }
    ceremony.contribute("Ada", &mut rng(), &|_, _| ()).unwrap();
    check(&ceremony, &powers).unwrap();
    let finished = ceremony.check_closed().unwrap_err().to_string();
    assert!(finished.contains("not closed: apply its beacon (round 7 of a dice game)"), "{finished}");
    assert!(error(ceremony.close(&[1; 8], &mut rng(), &|_, _| ())).contains("16 to 256 bytes"));
    ceremony.close(&VALUE, &mut rng(), &|_, _| ()).unwrap();
    assert!(error(ceremony.close(&VALUE, &mut rng(), &|_, _| ())).contains("applied already"));
    assert!(error(ceremony.contribute("Ben", &mut rng(), &|_, _| ())).contains("closed"));
    ceremony.check_closed().unwrap();
    ceremony.verify(&subjects, &powers, &mut rng(), &mut |_| ()).unwrap();
    let twice: [&dyn Subject; 2] = [&circuits[0], &circuits[0]];
    let begin =
        |beacon: Beacon, subjects: &[&dyn Subject]| Ceremony::begin(subjects, &powers, beacon, &mut |_| ()).unwrap_err().to_string();
    assert!(begin(beacon(), &twice).contains("two circuits are called"));
    assert!(begin(beacon(), &[]).contains("at least one circuit"));
    assert!(begin(Beacon { source: String::new(), exponent: 4 }, &subjects).contains("what the beacon will be"));
    assert!(begin(Beacon { source: "x".into(), exponent: 60 }, &subjects).contains("at most"));
}

/// IC points of the first circuit.
fn begun_ic(powers: &Powers) -> Vec<G1Affine> {
    let [first, _] = circuits();
    crate::initial::Initial::new(&first.circuit().unwrap(), &first.groups(), powers).unwrap().points.ic
}

/// Files that would cost hours, or are weaker than they look.
#[test]
fn attack_files_that_ask_for_much() {
    let powers = powers(1);
    let ceremony = closed(&powers);
    let mut empty = ceremony.clone();
    empty.contributions[3].beacon = Some(Vec::new());
    refused(&empty, &powers, "16 to 256 bytes", "a beacon without a value");
    refused(&begun(&powers), &powers, "nobody has contributed", "a ceremony without contributions");
    for name in ["a\u{2028}b", "a\u{202e}b", "a\u{200b}", "\u{feff}x"] {
        let error = begun(&powers).contribute(name, &mut rng(), &|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("breaks or turns a line"), "{error}");
    }
    // Hashing a beacon takes long: everything else is looked at first.
    let mut slow = ceremony.clone();
    slow.beacon.exponent = 26;
    let started = std::time::Instant::now();
    slow.check_transcript().unwrap_err();
    assert!(started.elapsed().as_secs() < 5, "a beacon is hashed before the rest is looked at");
}
