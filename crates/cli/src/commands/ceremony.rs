//! `zkslice ceremony`: keys for chains that are not local.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ark_std::rand::rngs::{OsRng, StdRng};
use ark_std::rand::{RngCore, SeedableRng};
use serde_json::{Value, json};
use zkslice_ceremony::{Attestation, Beacon, Ceremony, CeremonyError, Powers, Subject};
use zkslice_circuit::Circuit;
use zkslice_formats::{hex0x, keccak};
use zkslice_groth16::WordGroup;
use zkslice_slicer::{Package, install};

use super::read;
use crate::error::CliError;
use crate::output::Output;

/// Make keys that nobody can forge with, as long as one contributor forgot a secret. docs/ceremony.md walks through it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice ceremony begin pkg --powers powersOfTau28_hez_final_17.ptau --beacon \"drand, round 9\" -o pkg.ceremony\n  zkslice ceremony contribute pkg.ceremony --name Ada\n  zkslice ceremony verify pkg.ceremony pkg --powers powersOfTau28_hez_final_17.ptau"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, clap::Subcommand)]
enum Step {
    Import(ImportArgs),
    Begin(BeginArgs),
    Contribute(ContributeArgs),
    Close(CloseArgs),
    Show(ShowArgs),
    Verify(VerifyArgs),
    Finish(FinishArgs),
}

/// Check powers of tau (`.ptau`, as snarkjs writes them) and keep what packages need of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony import powersOfTau28_hez_final_17.ptau pkg -o pkg.powers")]
struct ImportArgs {
    /// The `.ptau` file, of a power above the packages' largest domain: `inspect` shows their rows.
    ptau: PathBuf,
    /// Packages whose slices the powers are for.
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// The file to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Begin a ceremony for every slice of some packages. Anyone can do so and gets the same file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice ceremony begin pkg --powers pkg.powers --beacon \"Ethereum, hash of block 25000000\" -o pkg.ceremony"
)]
struct BeginArgs {
    /// The packages.
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// Powers of tau: `.ptau`, or what `import` wrote.
    #[arg(long)]
    powers: PathBuf,
    /// What the ceremony ends with: a value that nobody knows yet, such as a drand round or the hash of a block to come.
    #[arg(long)]
    beacon: String,
    /// The beacon's value is hashed two to this power times.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=34))]
    beacon_exponent: u32,
    /// The ceremony's file to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Contribute secrets to a ceremony, which this process draws and forgets, and hand the file on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony contribute pkg.ceremony --name \"Ada, ada.example\"")]
struct ContributeArgs {
    /// The ceremony's file. It is replaced, unless --output names another.
    ceremony: PathBuf,
    /// What you are called in the transcript.
    #[arg(long)]
    name: String,
    /// A file whose bytes go into the secrets beside those of the operating system, if you do not trust these alone.
    #[arg(long)]
    entropy_file: Option<PathBuf>,
    /// Where to write.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

/// Close a ceremony with the value of its beacon. Anyone can, once it is known.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony close pkg.ceremony --value 0x4e1f…")]
struct CloseArgs {
    /// The ceremony's file. It is replaced, unless --output names another.
    ceremony: PathBuf,
    /// The beacon's value, in hexadecimal.
    #[arg(long)]
    value: String,
    /// Where to write.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

/// Show who contributed, and the hashes that they should have published.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The ceremony's file.
    ceremony: PathBuf,
}

/// Verify a ceremony from the packages and the powers of tau on, whoever made the file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony verify pkg.ceremony pkg --powers powersOfTau28_hez_final_17.ptau")]
struct VerifyArgs {
    /// The ceremony's file.
    ceremony: PathBuf,
    /// The packages, in the order in which it began.
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// Powers of tau: `.ptau`, or what `import` wrote on this machine.
    #[arg(long)]
    powers: PathBuf,
}

/// Verify a closed ceremony and give its packages the keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony finish pkg.ceremony pkg --powers pkg.powers")]
struct FinishArgs {
    #[command(flatten)]
    verify: VerifyArgs,
    /// Replace keys that are there: proofs for what was deployed with them end with them.
    #[arg(long)]
    force: bool,
}

impl From<CeremonyError> for CliError {
    fn from(error: CeremonyError) -> Self {
        match &error {
            CeremonyError::Invalid(_) | CeremonyError::Powers { .. } => Self::failed(error.to_string()),
            CeremonyError::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => Self::failed(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

/// A slice of a package.
struct Slice<'a> {
    package: &'a Package,
    index: usize,
    name: String,
}

impl Subject for Slice<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn groups(&self) -> Vec<WordGroup> {
        self.package.groups(self.index)
    }

    fn circuit(&self) -> Result<Circuit, CeremonyError> {
        self.package.circuit(self.index).map_err(|error| CeremonyError::Refused(error.to_string()))
    }
}

fn slices(packages: &[Package]) -> Vec<Slice<'_>> {
    let of = |package| {
        let name = move |index| format!("{}, slice {index}", Package::manifest(package).name);
        (0..Package::slices(package).len()).map(move |index| Slice { package, index, name: name(index) })
    };
    packages.iter().flat_map(of).collect()
}

fn subjects<'a>(slices: &'a [Slice<'_>]) -> Vec<&'a dyn Subject> {
    slices.iter().map(|slice| slice as &dyn Subject).collect()
}

fn open(packages: &[PathBuf]) -> Result<Vec<Package>, CliError> {
    packages.iter().map(|path| Package::open(path).map_err(CliError::from)).collect()
}

/// Powers for these slices, checked now where they come from outside.
fn powers(path: &Path, slices: &[Slice<'_>], output: &Output) -> Result<Powers, CliError> {
    let mut start = [0; 4];
    let is_ptau =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start)).is_ok() && start == *b"ptau";
    if !is_ptau {
        return Ok(Powers::open(path)?);
    }
    let mut domains = BTreeSet::new();
    for slice in slices {
        domains.insert(slice.circuit()?.layout().rows().next_power_of_two().trailing_zeros());
    }
    let bar = output.spinner("checking the powers of tau");
    let powers = Powers::import(path, &domains, &mut OsRng, &mut |step| bar.set_message(step.to_owned()));
    bar.finish_and_clear();
    Ok(powers?)
}

fn describe(powers: &Powers) -> String {
    match powers.published() {
        Some(name) => format!("powers of tau of the published file {name}"),
        None => format!(
            "powers of tau with {} contributions, beacons among them, of BLAKE2b {}…",
            powers.contributions(),
            &powers.source()[..16]
        ),
    }
}

fn lines(attestations: &[Attestation]) -> Vec<String> {
    let line = |(index, of): (usize, &Attestation)| match &of.beacon {
        None => format!("{:>3}  {}  {}", index + 1, hex0x(&of.hash), of.name),
        Some(value) => format!("{:>3}  {}  beacon, {}: 0x{}", index + 1, hex0x(&of.hash), of.name, hex::encode(value)),
    };
    attestations.iter().enumerate().map(line).collect()
}

fn value(attestations: &[Attestation]) -> Value {
    let one = |of: &Attestation| json!({ "name": of.name, "hash": hex0x(&of.hash), "beacon": of.beacon.as_ref().map(hex::encode) });
    attestations.iter().map(one).collect()
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    match args.step {
        Step::Import(args) => import(args, output),
        Step::Begin(args) => begin(args, output),
        Step::Contribute(args) => contribute(args, output),
        Step::Close(args) => close(args, output),
        Step::Show(args) => show(args, output),
        Step::Verify(args) => verify(args, output),
        Step::Finish(args) => finish(args, output),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn import(args: ImportArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let packages = open(&args.packages)?;
    let slices = slices(&packages);
    let powers = powers(&args.ptau, &slices, output)?;
    powers.save(&args.output)?;
    let domains: Vec<String> = powers.domains().iter().map(|level| format!("2^{level}")).collect();
    let line = format!("{}: {}, for domains of {}", args.output.display(), describe(&powers), domains.join(", "));
    output.result(
        &json!({ "powers": args.output, "published": powers.published(), "source": powers.source(), "domains": powers.domains(),
            "seconds": started.elapsed().as_secs_f64(), "peak_bytes": super::peak_bytes() }),
        &[line],
    );
    Ok(())
}

fn begin(args: BeginArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let packages = open(&args.packages)?;
    let slices = slices(&packages);
    let powers = powers(&args.powers, &slices, output)?;
    let bar = output.spinner("making the first keys");
    let beacon = Beacon { source: args.beacon, exponent: args.beacon_exponent };
    let ceremony = Ceremony::begin(&subjects(&slices), &powers, beacon, &mut |name| bar.set_message(name.to_owned()))?;
    bar.finish_and_clear();
    ceremony.save(&args.output)?;
    let lines = [
        format!(
            "{}: a ceremony for {} slices, {} points; it begins with {}",
            args.output.display(),
            slices.len(),
            ceremony.points(),
            hex0x(&ceremony.hash())
        ),
        format!("Hand it to the first contributor: zkslice ceremony contribute {} --name …", args.output.display()),
    ];
    let seconds = started.elapsed().as_secs_f64();
    output.result(
        &json!({ "ceremony": args.output, "slices": slices.len(), "points": ceremony.points(), "hash": hex0x(&ceremony.hash()),
            "seconds": seconds, "peak_bytes": super::peak_bytes() }),
        &lines,
    );
    Ok(())
}

fn contribute(args: ContributeArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let mut ceremony = Ceremony::open(&args.ceremony)?;
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    OsRng.try_fill_bytes(&mut *seed).map_err(|error| CliError::failed(format!("no randomness from the operating system: {error}")))?;
    if let Some(path) = &args.entropy_file {
        let entropy = zeroize::Zeroizing::new([&seed[..], &read(path)?].concat());
        *seed = keccak(&entropy);
    }
    let mut rng = StdRng::from_seed(*seed);
    let bar = output.bar(ceremony.points(), "multiplying points");
    let hash = ceremony.contribute(&args.name, &mut rng, &|done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let path = args.output.as_ref().unwrap_or(&args.ceremony);
    ceremony.save(path)?;
    let lines = [
        format!("{}: contribution {} of {:?}", path.display(), ceremony.attestations().len(), args.name),
        format!("Publish this hash where people know that it is from you: {}", hex0x(&hash)),
        "The secrets are gone. Hand the file on; keep no copy of this process's memory.".to_owned(),
    ];
    let seconds = started.elapsed().as_secs_f64();
    output.result(&json!({ "ceremony": path, "hash": hex0x(&hash), "seconds": seconds, "peak_bytes": super::peak_bytes() }), &lines);
    Ok(())
}

fn close(args: CloseArgs, output: &Output) -> Result<(), CliError> {
    let digits = args.value.strip_prefix("0x").unwrap_or(&args.value);
    let value = hex::decode(digits).map_err(|error| CliError::input(format!("--value: expected hexadecimal digits: {error}")))?;
    let mut ceremony = Ceremony::open(&args.ceremony)?;
    let bar = output.bar(ceremony.points(), "multiplying points");
    let hash = ceremony.close(&value, &|done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let path = args.output.as_ref().unwrap_or(&args.ceremony);
    ceremony.save(path)?;
    let line = format!("{}: closed with {}; its transcript is {}", path.display(), ceremony.beacon_plan().source, hex0x(&hash));
    output.result(&json!({ "ceremony": path, "hash": hex0x(&hash) }), &[line]);
    Ok(())
}

fn show(args: ShowArgs, output: &Output) -> Result<(), CliError> {
    let ceremony = Ceremony::open(&args.ceremony)?;
    ceremony.check_transcript()?;
    let attestations = ceremony.attestations();
    let circuits: Vec<&str> = ceremony.circuits().collect();
    let beacon = ceremony.beacon_plan();
    let mut text = vec![
        format!("{}: {}; {}", args.ceremony.display(), circuits.join("; "), if ceremony.is_closed() { "closed" } else { "open" }),
        format!("beacon: {}, hashed 2^{} times", beacon.source, beacon.exponent),
    ];
    text.extend(lines(&attestations));
    output.result(
        &json!({ "circuits": circuits, "closed": ceremony.is_closed(), "beacon": beacon, "contributions": value(&attestations),
            "hash": hex0x(&ceremony.hash()) }),
        &text,
    );
    Ok(())
}

fn verify(args: VerifyArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let ceremony = Ceremony::open(&args.ceremony)?;
    let packages = open(&args.packages)?;
    let slices = slices(&packages);
    let powers = powers(&args.powers, &slices, output)?;
    let bar = output.spinner("verifying");
    ceremony.verify(&subjects(&slices), &powers, &mut OsRng, &mut |name| bar.set_message(name.to_owned()))?;
    bar.finish_and_clear();
    let attestations = ceremony.attestations();
    let mut text =
        vec![format!("{}: verified, {}", args.ceremony.display(), if ceremony.is_closed() { "closed" } else { "not closed yet" })];
    text.push(describe(&powers));
    text.extend(lines(&attestations));
    text.push(match attestations.last().and_then(|last| last.beacon.as_ref()) {
        Some(value) => format!(
            "Left to you: that {} is 0x{}, that it came after the last contribution, and that the contributors published these hashes.",
            ceremony.beacon_plan().source,
            hex::encode(value)
        ),
        None => "Left to you: that the contributors published these hashes.".into(),
    });
    let seconds = started.elapsed().as_secs_f64();
    output.result(
        &json!({ "verified": true, "closed": ceremony.is_closed(), "hash": hex0x(&ceremony.hash()), "contributions": value(&attestations),
            "published_powers": powers.published(), "powers": powers.source(), "seconds": seconds, "peak_bytes": super::peak_bytes() }),
        &text,
    );
    Ok(())
}

fn finish(args: FinishArgs, output: &Output) -> Result<(), CliError> {
    let FinishArgs { verify: VerifyArgs { ceremony: path, packages, powers: file }, force } = args;
    let ceremony = Ceremony::open(&path)?;
    let packages = open(&packages)?;
    let keys = {
        let slices = slices(&packages);
        let powers = powers(&file, &slices, output)?;
        let bar = output.spinner("verifying");
        let keys = ceremony.finish(&subjects(&slices), &powers, &mut OsRng, &mut |name| bar.set_message(name.to_owned()))?;
        bar.finish_and_clear();
        keys
    };
    install(&packages, keys, force)?;
    let (mut entries, mut text) = (Vec::new(), Vec::new());
    for package in &packages {
        let keys = package.keys()?;
        text.push(format!("{}: model {}, transcript {}", package.folder().display(), keys.model, hex0x(&ceremony.hash())));
        entries.push(json!({ "package": package.folder(), "model": keys.model, "setup": keys.setup, "transcript": keys.transcript }));
    }
    output.result(&json!({ "packages": entries, "transcript": hex0x(&ceremony.hash()) }), &text);
    Ok(())
}
