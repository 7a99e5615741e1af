//! `zkslice witness`: inputs become a circuit's witness, by its own wasm.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_interop::{CircuitWasm, read_wtns, write_wtns};

use super::{check_replaceable, read, signals, write_secret};
use crate::error::CliError;
use crate::output::Output;

/// Make the witness of a circuit that Circom compiled: the values of all its wires.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice witness circuit_js/circuit.wasm input.json witness.wtns\n  zkslice prove circuit-pkg --input input.json --witness-program 'zkslice witness circuit_js/circuit.wasm' -o bundle.json"
)]
pub(crate) struct Args {
    /// The circuit: `circom circuit.circom --wasm`.
    wasm: PathBuf,
    /// JSON of all its inputs, {"name": 1, "list": ["2", "-3"]}.
    input: PathBuf,
    /// The .wtns file to write; it holds the private inputs.
    witness: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    check_replaceable(&args.witness, "witness", |bytes| read_wtns(bytes).is_ok())?;
    let inputs = signals(&args.input)?;
    // A panic in the compiler of wasm or in what it compiled comes back as an error, which says all there is to say.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let started = std::time::Instant::now();
    let in_file = |path: &PathBuf| {
        let path = path.display().to_string();
        move |error| CliError::input(format!("{path}: {error}"))
    };
    let circuit = CircuitWasm::load(&read(&args.wasm)?).map_err(in_file(&args.wasm))?;
    let wires = circuit.witness(&inputs).map_err(in_file(&args.input))?;
    std::panic::set_hook(hook);
    write_secret(&args.witness, &write_wtns(&wires))?;
    let seconds = started.elapsed().as_secs_f64();
    let line = format!("{}: {} wires in {seconds:.3} s", args.witness.display(), wires.len());
    output.result(&json!({ "witness": args.witness, "wires": wires.len(), "seconds": seconds }), &[line]);
    Ok(ExitCode::SUCCESS)
}
