//! `zkslice import`: a circuit of others becomes a package.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use zkslice_interop::{ForeignCircuit, InteropError, R1cs, SignalType, Symbols};
use zkslice_slicer::Package;

use super::read;
use crate::error::CliError;
use crate::output::Output;

/// Import a circuit that Circom compiled: a package like a model's, which oracles, relayers and feeds take as they take any other.
///
/// What it computes is what its rows say; nothing checks that the rows say what their author meant.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice import merkle.r1cs --sym merkle.sym -o merkle\n  zkslice import metrics.r1cs --sym metrics.sym --type ticks=i32 --type score=u16 --commit ticks -o metrics"
)]
pub(crate) struct Args {
    /// The circuit: `circom circuit.circom --r1cs --sym`.
    r1cs: PathBuf,
    /// Names of its signals.
    #[arg(long)]
    sym: PathBuf,
    /// What values a public or committed signal may take: u1 to u48, u64, u96, u128, u160, u192, u224, i2 to i48, or field, the default, which
    /// costs the most.
    #[arg(long = "type", value_name = "SIGNAL=TYPE", value_parser = typed)]
    types: Vec<(String, SignalType)>,
    /// A private input that the requester commits to: the proof is about what lies in the commitment.
    #[arg(long, value_name = "SIGNAL")]
    commit: Vec<String>,
    /// Name of the package's model; the file's by default.
    #[arg(long)]
    name: Option<String>,
    /// Lose the keys of a package that is replaced.
    #[arg(long)]
    force: bool,
    /// The package to write.
    #[arg(short, long)]
    output: PathBuf,
}

fn typed(text: &str) -> Result<(String, SignalType), String> {
    let (name, of_values) = text.split_once('=').ok_or("expected a signal, `=` and its type, such as score=u16")?;
    Ok((name.to_owned(), of_values.parse()?))
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let bytes = read(&args.r1cs)?;
    let in_file = |path: &PathBuf| {
        let path = path.display().to_string();
        move |error: InteropError| CliError::input(format!("{path}: {error}"))
    };
    let r1cs = R1cs::from_bytes(&bytes).map_err(in_file(&args.r1cs))?;
    let symbols = Symbols::read(&read(&args.sym)?, &r1cs).map_err(in_file(&args.sym))?;
    let mut types = BTreeMap::new();
    for (name, of_values) in args.types {
        if types.insert(name.clone(), of_values).is_some() {
            return Err(CliError::input(format!("--type {name}=…: the signal has a type already")));
        }
    }
    let committed: BTreeSet<String> = args.commit.into_iter().collect();
    let (rows, wires) = (r1cs.rows.len(), r1cs.wires);
    let circuit = ForeignCircuit::bind(r1cs, &symbols, &types, &committed).map_err(in_file(&args.r1cs))?;
    let name = match args.name {
        Some(name) => name,
        None => args.r1cs.file_stem().map_or_else(|| "circuit".to_owned(), |stem| stem.to_string_lossy().into_owned()),
    };
    let report = json!({ "source": "circom", "rows": rows, "wires": wires });
    let package = Package::import(&args.output, &name, &circuit, &bytes, report, args.force)?;
    let constraints = package.manifest().slices[0].constraints;
    let mut lines = vec![format!("{}: circuit '{name}', {rows} rows of its own, {constraints} constraints", args.output.display())];
    for (tensor, port) in package.manifest().tensors.iter().zip(circuit.ports()) {
        let of_values = port.signal.kind.map(|kind| kind.to_string()).unwrap_or_default();
        lines.push(format!(
            "  {:?} '{}': {:?} of {of_values}, {} words",
            tensor.kind,
            tensor.name,
            port.signal.shape,
            tensor.group().words()
        ));
    }
    let names: Vec<&str> = circuit.private().iter().map(|signal| signal.name.as_str()).collect();
    if !names.is_empty() {
        lines.push(format!("  seen by the prover only: {}", names.join(", ")));
    }
    let value = json!({
        "package": args.output, "name": name, "rows": rows, "wires": wires, "constraints": constraints,
        "tensors": package.manifest().tensors, "private": names,
    });
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}
