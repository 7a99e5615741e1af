//! `zkslice prove`: an input becomes a bundle.

use std::path::PathBuf;
use std::process::ExitCode;

use alloy::primitives::{Address, B256};
use ark_std::rand::rngs::OsRng;
use serde_json::json;
use zkslice_chain::context;
use zkslice_interop::read_wtns;
use zkslice_prover::{Bundle, Inference, Openings, ProverError, Verifier, prove};
use zkslice_slicer::{Package, TensorKind};

use super::{
    Interrupted, Reading, check_replaceable, field_word, integers, limit_threads, read, signals, witness_source, write, write_secret,
};
use crate::error::CliError;
use crate::output::{Numbers, Output};

/// Prove an inference, or one slice of it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice prove pkg --input input.json -o bundle.json\n  zkslice prove pkg --input input.json --slice 0 --openings b.json -o slice0.json\n  zkslice prove pkg --slice 1 --boundary b.json -o slice1.json\n  zkslice prove circuit-pkg --witness witness.wtns -o bundle.json\n  zkslice prove circuit-pkg --input input.json --witness-program 'zkslice witness circuit.wasm' -o bundle.json"
)]
pub(crate) struct Args {
    /// The package, with keys.
    package: PathBuf,
    /// The input: JSON {"input_data": [one list per input]}, a .npy, .npz, .pb or .csv of one sample, a folder with input_0.pb and so on, or an image.
    /// For a circuit: JSON of all its inputs, {"name": 1, "list": ["2", "-3"]}.
    #[arg(long, required_unless_present_any = ["boundary", "witness"])]
    input: Option<PathBuf>,
    /// For a circuit: the values of its wires, a .wtns file.
    #[arg(long, conflicts_with = "input")]
    witness: Option<PathBuf>,
    /// For a circuit: the program that makes the witness, called with a JSON file of inputs and the .wtns file to write.
    #[arg(long, value_name = "PROGRAM", requires = "input")]
    witness_program: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// Prove this slice only.
    #[arg(long)]
    slice: Option<usize>,
    /// Openings of the tensors that the slice reads, as --openings of the slice before wrote them.
    #[arg(long, requires = "slice")]
    boundary: Option<PathBuf>,
    /// Write the openings of everything computed; whoever has the file sees the activations.
    #[arg(long)]
    openings: Option<PathBuf>,
    /// Context that binds the proofs to a request; 0 off chain, which every contract refuses.
    #[arg(long, value_parser = field_word, default_value = "0x0")]
    context: [u8; 32],
    /// Who requested, where the input is private: commitments are bound to model and requester.
    #[arg(long)]
    requester: Option<Address>,
    /// Threads to use; all by default.
    #[arg(long)]
    threads: Option<usize>,
    /// The bundle to write.
    #[arg(short, long)]
    output: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    limit_threads(args.threads)?;
    check_replaceable(&args.output, "bundle", |bytes| Bundle::from_json(bytes).is_ok())?;
    if let Some(path) = &args.openings {
        if *path == args.output {
            return Err(CliError::input("--openings and --output name one file"));
        }
        check_replaceable(path, "file of openings", |bytes| Openings::from_json(bytes, "").is_ok())?;
    }
    let package = Package::open(&args.package)?;
    let tensors = &package.manifest().tensors;
    let interrupted = args.witness_program.as_ref().map(|_| Interrupted::listen()).transpose()?;
    let mut inference = match (&args.input, package.foreign()) {
        (Some(path), Some(circuit)) => {
            let (program, interrupted) = args.witness_program.as_deref().zip(interrupted.as_ref()).ok_or(ProverError::NoWitness)?;
            let inputs = signals(path)?;
            // Names and numbers are checked before a program sees them.
            let integers = circuit.encode(&inputs).map_err(|error| CliError::input(format!("{}: {error}", path.display())))?;
            let mut own = inputs;
            own.retain(|name, _| circuit.private().iter().any(|signal| signal.name == *name));
            let inputs = circuit.program_inputs(&integers, &own).map_err(ProverError::from)?;
            let wires = witness_source(program, None)?.program.run(&inputs, circuit.r1cs().wires, &interrupted.flag);
            let mut inference = Inference::of_inputs(&package, integers)?;
            inference.witness = Some(wires.map_err(ProverError::from)?);
            inference
        }
        (Some(_), None) if args.witness_program.is_some() => {
            return Err(CliError::input("--witness-program: the package holds a model, which computes its own witness"));
        }
        (Some(path), None) => Inference::of_inputs(&package, integers(&package, path, args.reading.pixels())?)?,
        (None, _) => match &args.witness {
            Some(path) => {
                let wires = read_wtns(&read(path)?).map_err(|error| CliError::input(format!("{}: {error}", path.display())))?;
                Inference::of_witness(&package, wires)?
            }
            None => Inference::default(),
        },
    };
    if let Some(path) = &args.boundary {
        let known = Openings::from_json(&read(path)?, &path.display().to_string())?;
        if known.tensors.len() != tensors.len() {
            return Err(CliError::input(format!(
                "{}: it has {} tensors, the package {}",
                path.display(),
                known.tensors.len(),
                tensors.len()
            )));
        }
        inference.openings.version = known.version;
        inference.openings.tensors.resize(tensors.len(), None);
        for (slot, opening) in inference.openings.tensors.iter_mut().zip(known.tensors).filter(|(_, o)| o.is_some()) {
            *slot = opening;
        }
    }
    inference.context = args.context;
    if let Some(requester) = args.requester {
        inference.owner = context::owner(B256::from(package.key_blob()?.model_digest()), requester).0;
    }
    let slices = match args.slice {
        Some(k) if k >= package.slice_count() => {
            return Err(CliError::input(format!("--slice {k}: the package has slices 0 to {}", package.slice_count() - 1)));
        }
        Some(k) => k..k + 1,
        None => 0..package.slice_count(),
    };
    let bar = output.bar(slices.len(), "proving");
    let first = slices.start;
    let started = std::time::Instant::now();
    let proven = prove(&package, inference, slices, &mut OsRng, |k| bar.set_position((k - first) as u64))?;
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    // What leaves is what was verified: the bytes, read as whoever gets them reads them.
    let bytes = proven.bundle.to_json()?;
    let (bundle, verifier) = (Bundle::from_json(&bytes)?, Verifier::new(&package)?);
    let outputs = match args.slice {
        None => Some(Numbers::of_outputs(&package, &verifier.verify(&bundle)?)),
        Some(_) => {
            verifier.verify_slices(&bundle)?;
            None
        }
    };
    write(&args.output, &bytes)?;
    if let Some(path) = &args.openings {
        write_secret(path, &proven.openings.to_json()?)?;
    }
    let value = json!({ "seconds": seconds, "outputs": outputs, "bundle": args.output, "slices": proven.bundle.proofs.len(), "peak_bytes": super::peak_bytes() });
    let mut lines = vec![format!("{}: {} slice proofs in {seconds:.3} s", args.output.display(), proven.bundle.proofs.len())];
    let names = tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| &t.name);
    lines.extend(outputs.iter().flatten().zip(names).map(|(values, name)| format!("  {name}: {values}")));
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}
