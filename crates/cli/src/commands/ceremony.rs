//! `zkslice ceremony`: keys for chains that are not local.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy::primitives::{Address, B256};
use ark_std::rand::rngs::OsRng;
use rand_core::{CryptoRng, RngCore};
use serde_json::{Value, json};
use zeroize::Zeroizing;
use zkslice_ceremony::{Attestation, Beacon, Ceremony, CeremonyError, Powers, Subject};
use zkslice_chain::check::registered_differences;
use zkslice_chain::{Chain, ChainError, ModelKeys};
use zkslice_circuit::Circuit;
use zkslice_formats::{FileLock, hex0x, keccak};
use zkslice_groth16::{ProvingKey, WordGroup};
use zkslice_slicer::{Package, PackageError, SliceKeyEntry, install};

use super::ceremony_serve::{contribute_remotely, serve};
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
    Serve(ServeArgs),
    Close(CloseArgs),
    Show(ShowArgs),
    Verify(VerifyArgs),
    Finish(FinishArgs),
    Check(CheckArgs),
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
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=26))]
    beacon_exponent: u32,
    /// The ceremony's file to write.
    #[arg(short, long)]
    output: PathBuf,
}

/// Contribute secrets to a ceremony, which this process draws and forgets, and hand the file on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony contribute pkg.ceremony --name \"Ada, ada.example\"")]
struct ContributeArgs {
    /// The ceremony's file. It is replaced, unless --output names another. With --url what is got from there is kept in it.
    ceremony: PathBuf,
    /// A coordinator's address (`zkslice ceremony serve`): waits for your turn, gets the ceremony, contributes here and hands it in. If it
    /// breaks off, the same command goes on where it was.
    #[arg(long, conflicts_with = "output")]
    url: Option<String>,
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

/// Coordinate contributors over HTTP: a queue, the ceremony to get, and contributions that are checked as they come.
///
/// Nobody has to trust it: whoever downloads the ceremony verifies it. It speaks plain HTTP: put a proxy with TLS before it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice ceremony serve folder --ceremony pkg.ceremony --listen 127.0.0.1:8080\n  zkslice ceremony serve folder"
)]
struct ServeArgs {
    /// Where it keeps the ceremony, the queue and what is being handed in.
    folder: PathBuf,
    /// The ceremony to begin with; not needed once the folder has it.
    #[arg(long)]
    ceremony: Option<PathBuf>,
    /// Address to listen at.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Minutes that each contributor has, from the moment it is their turn.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    turn_minutes: u64,
}

/// Close a ceremony with the value of its beacon. Anyone can, once it is known.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony close pkg.ceremony --value 0x4e1f… -o pkg.closed")]
struct CloseArgs {
    /// The ceremony's file. It stays as it is.
    ceremony: PathBuf,
    /// The beacon's value, in hexadecimal.
    #[arg(long)]
    value: String,
    /// The closed ceremony's file to write.
    #[arg(short, long)]
    output: PathBuf,
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

/// Compare what a chain's registry has of the packages' models with a ceremony, which is verified first.
///
/// Exits with 1 if anything differs, and names each difference.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice ceremony check pkg.ceremony pkg --powers pkg.powers --registry 0x… --rpc-url https://…")]
struct CheckArgs {
    #[command(flatten)]
    verify: VerifyArgs,
    /// The registry.
    #[arg(long)]
    registry: Address,
    /// RPC address of a node.
    #[arg(long, default_value = "http://127.0.0.1:8545")]
    rpc_url: String,
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
        // Packages of one name may be different ones.
        let digest = hex::encode(&Package::digest(package)[..4]);
        let name = move |index| format!("{} ({digest}), slice {index}", Package::manifest(package).name);
        (0..Package::manifest(package).slices.len()).map(move |index| Slice { package, index, name: name(index) })
    };
    packages.iter().flat_map(of).collect()
}

fn subjects<'a>(slices: &'a [Slice<'_>]) -> Vec<&'a dyn Subject> {
    slices.iter().map(|slice| slice as &dyn Subject).collect()
}

fn open(packages: &[PathBuf]) -> Result<Vec<Package>, CliError> {
    packages.iter().map(|path| Package::open(path).map_err(CliError::from)).collect()
}

/// Powers for these slices, and what to say of where they are from. `.ptau` files are checked now.
fn powers(path: &Path, slices: &[Slice<'_>], output: &Output) -> Result<(Powers, String), CliError> {
    let mut start = [0; 4];
    let is_ptau =
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start)).is_ok() && start == *b"ptau";
    if !is_ptau {
        let powers = Powers::open(path)?;
        let said = format!("{}, as {} states, which is believed", describe(&powers), path.display());
        return Ok((powers, said));
    }
    let mut domains = BTreeSet::new();
    for slice in slices {
        domains.insert(slice.circuit()?.layout().rows().next_power_of_two().trailing_zeros());
    }
    let bar = output.spinner("checking the powers of tau");
    let powers = Powers::import(path, &domains, &mut OsRng, &mut |step| bar.set_message(step.to_owned()));
    bar.finish_and_clear();
    let powers = powers?;
    let said = describe(&powers);
    Ok((powers, said))
}

pub(crate) fn describe(powers: &Powers) -> String {
    match powers.published() {
        Some(name) => format!("powers of tau of the published file {name}"),
        None => format!("powers of tau that are in no list, of BLAKE2b {}, by: {}", powers.source(), powers.contributors().join("; ")),
    }
}

/// Refuses to write a ceremony over anything but an earlier one that nobody contributed to.
pub(crate) fn check_output(path: &Path) -> Result<(), CliError> {
    super::check_replaceable(path, "ceremony", |bytes| bytes.starts_with(&Ceremony::MARK))?;
    if path.is_file() && Ceremony::open(path).is_ok_and(|ceremony| !ceremony.attestations().is_empty()) {
        return Err(CliError::input(format!("{}: a ceremony that has contributions is there; choose another file", path.display())));
    }
    Ok(())
}

/// Most bytes of an entropy file.
const MOST_ENTROPY: u64 = 1 << 20;

/// What secrets are drawn from: the operating system, and with that whatever the contributor brings. Zeroized on drop.
#[derive(zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub(crate) struct Entropy {
    /// Hash of what was brought.
    brought: Option<[u8; 32]>,
    count: u64,
}

impl Entropy {
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self { brought: None, count: 0 }) };
        let io = |error| CliError::input(format!("{}: {error}", path.display()));
        // As large as it gets, so that no part of it is left where it was moved from.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_ENTROPY as usize + 1));
        let file = std::fs::File::open(path).map_err(io)?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_ENTROPY + 1), &mut bytes).map_err(io)?;
        if bytes.is_empty() || bytes.len() as u64 > MOST_ENTROPY {
            return Err(CliError::input(format!("{}: give between 1 byte and a mebibyte of entropy", path.display())));
        }
        Ok(Self { brought: Some(keccak(&bytes)), count: 0 })
    }
}

impl RngCore for Entropy {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
        let Some(brought) = self.brought else { return };
        for block in bytes.chunks_mut(32) {
            self.count += 1;
            let mut counted = Zeroizing::new([0; 40]);
            counted[..8].copy_from_slice(&self.count.to_be_bytes());
            counted[8..].copy_from_slice(&brought);
            let hashed = Zeroizing::new(keccak(&*counted));
            block.iter_mut().zip(hashed.iter()).for_each(|(byte, other)| *byte ^= other);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Entropy {}

fn lines(attestations: &[Attestation]) -> Vec<String> {
    let line = |(index, of): (usize, &Attestation)| match &of.beacon {
        None => format!("{:>3}  {}  by {:?}", index + 1, hex0x(&of.hash), of.name),
        Some(value) => format!("{:>3}  {}  the beacon, {:?}: 0x{}", index + 1, hex0x(&of.hash), of.name, hex::encode(value)),
    };
    attestations.iter().enumerate().map(line).collect()
}

pub(crate) fn value(attestations: &[Attestation]) -> Value {
    let one = |of: &Attestation| json!({ "name": of.name, "hash": hex0x(&of.hash), "beacon": of.beacon.as_ref().map(hex::encode) });
    attestations.iter().map(one).collect()
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    match args.step {
        Step::Import(args) => import(args, output),
        Step::Begin(args) => begin(args, output),
        Step::Contribute(args) => contribute(args, output),
        Step::Close(args) => close(args, output),
        Step::Serve(args) => serve(&args.folder, args.ceremony.as_deref(), &args.listen, 60 * args.turn_minutes, output),
        Step::Show(args) => show(args, output),
        Step::Verify(args) => verify(args, output),
        Step::Finish(args) => finish(args, output),
        Step::Check(args) => return check(args, output),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn import(args: ImportArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let packages = open(&args.packages)?;
    let slices = slices(&packages);
    super::check_replaceable(&args.output, "file of powers", |bytes| bytes.starts_with(&Powers::MARK))?;
    let (powers, said) = powers(&args.ptau, &slices, output)?;
    powers.save(&args.output)?;
    let domains: Vec<String> = powers.domains().iter().map(|level| format!("2^{level}")).collect();
    let line = format!("{}: {said}; for domains of {}", args.output.display(), domains.join(", "));
    output.result(
        &json!({ "powers": args.output, "published": powers.published(), "source": powers.source(), "contributors": powers.contributors(), "domains": powers.domains(),
            "seconds": started.elapsed().as_secs_f64(), "peak_bytes": super::peak_bytes() }),
        &[line],
    );
    Ok(())
}

fn begin(args: BeginArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let packages = open(&args.packages)?;
    let slices = slices(&packages);
    check_output(&args.output)?;
    let (powers, _) = powers(&args.powers, &slices, output)?;
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

/// The memory of a process that dies is not to be kept.
pub(crate) fn no_core_dumps() -> Result<(), CliError> {
    #[cfg(unix)]
    rustix::process::setrlimit(rustix::process::Resource::Core, rustix::process::Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|error| CliError::failed(format!("core dumps cannot be turned off: {error}")))?;
    Ok(())
}

fn contribute(args: ContributeArgs, output: &Output) -> Result<(), CliError> {
    let started = std::time::Instant::now();
    let path = args.output.as_ref().unwrap_or(&args.ceremony);
    let entropy = args.entropy_file.as_deref();
    let (hash, next) = match &args.url {
        Some(url) => (contribute_remotely(url, path, &args.name, entropy, output)?, "It was taken."),
        None => {
            if args.output.is_some() {
                check_output(path)?;
            }
            if !args.ceremony.is_file() {
                return Err(CliError::input(format!("{}: there is no such file", args.ceremony.display())));
            }
            let _lock = locked(path)?;
            (contribute_to(&args.ceremony, path, &args.name, entropy, output)?, "Hand the file on.")
        }
    };
    let lines = [
        format!("{}: contribution of {:?}", path.display(), args.name),
        format!("Publish this hash where people know that it is from you: {hash}"),
        format!("The secrets were in this process alone, which ends now. {next}"),
    ];
    let seconds = started.elapsed().as_secs_f64();
    output.result(&json!({ "ceremony": path, "hash": hash, "seconds": seconds, "peak_bytes": super::peak_bytes() }), &lines);
    Ok(())
}

/// Contributes to the ceremony in one file and writes it to another, or the same, which the caller has locked. Gives the hash to publish.
pub(crate) fn contribute_to(from: &Path, path: &Path, name: &str, entropy: Option<&Path>, output: &Output) -> Result<String, CliError> {
    if !from.is_file() {
        return Err(CliError::input(format!("{}: there is no such file", from.display())));
    }
    no_core_dumps()?;
    let mut ceremony = Ceremony::open(from)?;
    let mut rng = Entropy::new(entropy)?;
    let bar = output.bar(ceremony.points(), "multiplying points");
    let hash = ceremony.contribute(name, &mut rng, &|done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    ceremony.save(path)?;
    Ok(hex0x(&hash))
}

/// The right to write a ceremony's file.
pub(crate) fn locked(path: &Path) -> Result<FileLock, CliError> {
    let lock = FileLock::take(path).map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    lock.ok_or_else(|| CliError::failed(format!("{}: another zkslice is writing it; run this again when it is done", path.display())))
}

fn close(args: CloseArgs, output: &Output) -> Result<(), CliError> {
    let digits = args.value.strip_prefix("0x").unwrap_or(&args.value);
    let value = hex::decode(digits).map_err(|error| CliError::input(format!("--value: expected hexadecimal digits: {error}")))?;
    let mut ceremony = Ceremony::open(&args.ceremony)?;
    check_output(&args.output)?;
    let bar = output.bar(ceremony.points(), "multiplying points");
    let hash = ceremony.close(&value, &mut OsRng, &|done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let path = &args.output;
    ceremony.save(path)?;
    let line = format!("{}: closed with {}; its transcript is {}", path.display(), ceremony.beacon_plan().source, hex0x(&hash));
    output.result(&json!({ "ceremony": path, "hash": hex0x(&hash) }), &[line]);
    Ok(())
}

fn show(args: ShowArgs, output: &Output) -> Result<(), CliError> {
    let ceremony = Ceremony::open(&args.ceremony)?;
    ceremony.check(&mut OsRng)?;
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
    let Made { packages, ceremony, keys, powers, said } = made(&args, Ceremony::open(&args.ceremony)?, output)?;
    let attestations = ceremony.attestations();
    let mut text =
        vec![format!("{}: verified, {}", args.ceremony.display(), if ceremony.is_closed() { "closed" } else { "not closed yet" })];
    text.push(said);
    text.extend(lines(&attestations));
    let mut models = Vec::new();
    for (package, keys) in of_packages(&packages, &keys) {
        let digest = hex0x(&package.key_blob_of(keys)?.model_digest());
        // Before the beacon nobody has such keys.
        if ceremony.is_closed() {
            if !has_keys(package, keys)? {
                let place = package.folder().display();
                return Err(CliError::failed(format!("{place}: it has other keys than the ceremony gives, which are of model {digest}")));
            }
            text.push(format!("{}: model {digest}", package.folder().display()));
            models.push(digest);
        }
    }
    text.push(match attestations.last().and_then(|last| last.beacon.as_ref()) {
        Some(value) => format!(
            "Left to you: that {:?} is 0x{}, that it came after the last contribution, and that the contributors published these hashes.",
            ceremony.beacon_plan().source,
            hex::encode(value)
        ),
        None => "Left to you: that the contributors published these hashes.".into(),
    });
    let seconds = started.elapsed().as_secs_f64();
    output.result(
        &json!({ "verified": true, "closed": ceremony.is_closed(), "hash": hex0x(&ceremony.hash()), "contributions": value(&attestations),
            "models": models, "published_powers": powers.published(), "powers": powers.source(), "seconds": seconds,
            "peak_bytes": super::peak_bytes() }),
        &text,
    );
    Ok(())
}

/// Whether the keys that a package has, if it has any, are these.
fn has_keys(package: &Package, keys: &[ProvingKey]) -> Result<bool, CliError> {
    let own = match package.keys() {
        Err(PackageError::NoKeys { .. }) => return Ok(true),
        own => own?,
    };
    let same = |(own, key): (&SliceKeyEntry, &ProvingKey)| {
        (&own.verifying_key, &own.proving_key) == (&hex0x(key.verifying_key_hash()), &hex0x(&key.digest()))
    };
    let is_whole = own.slices.len() == keys.len() && own.slices.iter().zip(keys).all(same);
    Ok(is_whole && own.transcript_hash() == keys.first().and_then(ProvingKey::transcript).copied())
}

/// Each package with its slices' keys.
fn of_packages<'a>(packages: &'a [Package], keys: &'a [ProvingKey]) -> Vec<(&'a Package, &'a [ProvingKey])> {
    let mut rest = keys;
    let of = |package: &'a Package| {
        let (own, others) = rest.split_at(package.slice_count().min(rest.len()));
        rest = others;
        (package, own)
    };
    packages.iter().map(of).collect()
}

/// A ceremony with its packages and the keys that it gives them, verified.
struct Made {
    packages: Vec<Package>,
    ceremony: Ceremony,
    keys: Vec<ProvingKey>,
    powers: Powers,
    said: String,
}

fn made(args: &VerifyArgs, ceremony: Ceremony, output: &Output) -> Result<Made, CliError> {
    let packages = open(&args.packages)?;
    let slices = slices(&packages);
    let (powers, said) = powers(&args.powers, &slices, output)?;
    let bar = output.spinner("verifying");
    let keys = ceremony.verify(&subjects(&slices), &powers, &mut OsRng, &mut |name| bar.set_message(name.to_owned()))?;
    bar.finish_and_clear();
    drop(slices);
    Ok(Made { packages, ceremony, keys, powers, said })
}

/// A ceremony's file that is closed.
fn closed(path: &Path) -> Result<Ceremony, CliError> {
    let ceremony = Ceremony::open(path)?;
    ceremony.check_closed()?;
    Ok(ceremony)
}

fn check(args: CheckArgs, output: &Output) -> crate::CommandResult {
    let Made { packages, ceremony, keys, .. } = made(&args.verify, closed(&args.verify.ceremony)?, output)?;
    let transcript_hash = B256::from(ceremony.hash());
    let mut models = Vec::new();
    for (package, keys) in of_packages(&packages, &keys) {
        let blob = package.key_blob_of(keys)?;
        let model = ModelKeys::from_blob(B256::from(blob.model_digest()), blob.bytes().to_vec())?;
        models.push(ModelKeys { transcript_hash, ..model });
    }
    let (chain_id, found) = super::runtime()?.block_on(async {
        let chain = Chain::connect(&args.rpc_url, None).await?;
        let mut found = Vec::new();
        for model in &models {
            found.extend(registered_differences(&chain, args.registry, model).await?);
        }
        Ok::<_, ChainError>((chain.id(), found))
    })?;
    let is_same = found.is_empty();
    let what = if is_same { "has these models, with keys of this ceremony" } else { "is not as this ceremony says" };
    let mut text = vec![format!("chain {chain_id}, registry {}: {what}, transcript {transcript_hash}", args.registry)];
    text.extend(models.iter().map(|model| format!("  model {}", model.digest)));
    text.extend(found.iter().map(|difference| format!("  {difference}")));
    let differences: Vec<_> = found.iter().map(|d| json!({ "subject": d.subject, "what": d.what })).collect();
    let digests: Vec<_> = models.iter().map(|model| model.digest).collect();
    output.result(
        &json!({ "ok": is_same, "chain_id": chain_id, "models": digests, "transcript": transcript_hash, "differences": differences }),
        &text,
    );
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn finish(args: FinishArgs, output: &Output) -> Result<(), CliError> {
    let FinishArgs { verify, force } = args;
    let ceremony = closed(&verify.ceremony)?;
    // Verifying takes long, and keys that are there are lost by --force alone.
    for package in open(&verify.packages)?.iter().filter(|_| !force) {
        if let Ok(keys) = package.keys()
            && keys.transcript_hash() != Some(ceremony.hash())
        {
            return Err(PackageError::HasKeys { path: package.folder().into(), model: keys.model }.into());
        }
    }
    let Made { packages, ceremony, keys, .. } = made(&verify, ceremony, output)?;
    let mut keys = keys.into_iter();
    for package in &packages {
        let own: Vec<ProvingKey> = keys.by_ref().take(package.slice_count()).collect();
        // Once more, or after a kill between two packages: what is there already stays.
        if package.keys().is_err() || !has_keys(package, &own)? {
            install(std::slice::from_ref(package), own, force)?;
        }
    }
    let (mut entries, mut text) = (Vec::new(), Vec::new());
    for package in &packages {
        let keys = package.keys()?;
        text.push(format!("{}: model {}, transcript {}", package.folder().display(), keys.model, hex0x(&ceremony.hash())));
        entries.push(json!({ "package": package.folder(), "model": keys.model, "setup": keys.setup, "transcript": keys.transcript }));
    }
    output.result(&json!({ "packages": entries, "transcript": hex0x(&ceremony.hash()) }), &text);
    Ok(())
}
