//! `zkslice inspect`: what a model, package or bundle is, and what it costs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use zkslice_compiler::{FloatNode, ImportOptions, import};
use zkslice_formats::hex0x;
use zkslice_prover::{Bound, Bundle};
use zkslice_slicer::{Package, key_bytes, prove_estimate};

use super::read;
use crate::error::CliError;
use crate::output::Output;

/// Describe a model (.onnx), a package or a bundle.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice inspect model.onnx\n  zkslice inspect pkg\n  zkslice inspect bundle.json --json")]
pub(crate) struct Args {
    /// The file or folder.
    path: PathBuf,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let (value, lines) = if args.path.is_dir() {
        package(&args.path)?
    } else if args.path.extension().is_some_and(|e| e == "onnx") {
        model(&args.path)?
    } else {
        bundle(&args.path)?
    };
    output.result(&value, &lines);
    Ok(ExitCode::SUCCESS)
}

fn model(path: &Path) -> Result<(Value, Vec<String>), CliError> {
    read(path)?;
    let graph = import(path, &ImportOptions::default()).map_err(|e| CliError::input(format!("{}: {e}", path.display())))?;
    // An ONNX node may take several steps, of which the last one makes its result.
    let last = || graph.nodes.chunk_by(|a, b| a.name == b.name).filter_map(<[FloatNode]>::last);
    let nodes: Vec<_> = last().map(|n| json!({ "name": n.name, "shape": graph.values[n.output].shape })).collect();
    let lines = last().map(|n| format!("  {} → {:?}", n.name, graph.values[n.output].shape));
    let head = format!("{}: {} operators; rows depend on calibration: compile it to count them", path.display(), nodes.len());
    Ok((json!({ "kind": "model", "nodes": nodes }), std::iter::once(head).chain(lines).collect()))
}

fn package(path: &Path) -> Result<(Value, Vec<String>), CliError> {
    let package = Package::open(path)?;
    let manifest = package.manifest();
    let keys = package.keys().ok();
    let mut lines = vec![format!(
        "{}: {} '{}', {} slices, {}",
        path.display(),
        if manifest.circuit.is_some() { "circuit" } else { "model" },
        manifest.name,
        manifest.slices.len(),
        keys.as_ref().map_or("no keys".into(), |k| format!("{}keys, model digest {}", if k.is_dev() { "dev " } else { "" }, k.model)),
    )];
    for (i, t) in manifest.tensors.iter().enumerate() {
        lines.push(format!("  tensor {i}: {:?} '{}' {:?}, {} bits a value", t.kind, t.name, t.shape, t.bits));
    }
    if let Some(circuit) = &manifest.circuit {
        lines.push("  a circuit of others: its rows alone say what it computes, and no executor stands beside them".into());
        for signal in &circuit.signals {
            let of_values = signal.kind.map(|kind| kind.to_string()).unwrap_or_default();
            lines.push(format!("  signal '{}' {:?} of {of_values}", signal.name, signal.shape));
        }
        let names: Vec<&str> = circuit.private.iter().map(|signal| signal.name.as_str()).collect();
        lines.push(format!("  seen by the prover only: {}", if names.is_empty() { "nothing".into() } else { names.join(", ") }));
    }
    let mut slices = Vec::new();
    for (k, entry) in manifest.slices.iter().enumerate() {
        let circuit = package.circuit(k)?;
        let layout = circuit.layout();
        let (seconds, bytes) = prove_estimate(layout);
        lines.push(format!(
            "  slice {k}: {} constraints ({} products, {} lookups, {} table entries, {} on field elements), domain 2^{}, key {} bytes, about {seconds:.2} s and {} MB to prove",
            layout.constraints(),
            layout.products,
            layout.lookups(),
            layout.table_entries(),
            layout.field_products,
            layout.rows().next_power_of_two().trailing_zeros(),
            key_bytes(layout),
            bytes >> 20,
        ));
        slices.push(json!({
            "constraints": layout.constraints(), "wires": layout.wires(), "committed": layout.committed_wires(),
            "products": layout.products, "lookups": layout.lookups(), "table_entries": layout.table_entries(),
            "field_products": layout.field_products, "words": layout.words, "non_zeros": circuit.non_zeros(),
            "domain": layout.rows().next_power_of_two(), "key_bytes": key_bytes(layout),
            "estimated_seconds": seconds, "estimated_bytes": bytes, "reads": entry.reads, "writes": entry.writes,
        }));
    }
    let value = json!({ "kind": "package", "name": manifest.name, "tensors": manifest.tensors, "slices": slices, "keys": keys, "circuit": manifest.circuit, "report": manifest.report });
    Ok((value, lines))
}

fn bundle(path: &Path) -> Result<(Value, Vec<String>), CliError> {
    let bundle = Bundle::from_json(&read(path)?).map_err(|e| CliError::from(e).in_file(path))?;
    let mut lines = vec![format!("{}: model {}, context {}", path.display(), hex0x(&bundle.model), hex0x(&bundle.context))];
    for (i, bound) in bundle.tensors.iter().enumerate() {
        lines.push(match bound {
            None => format!("  tensor {i}: not touched"),
            Some(Bound::Words(words)) => format!("  tensor {i}: {} public words", words.len()),
            Some(Bound::Commitment(c)) => format!("  tensor {i}: commitment {}", hex0x(c)),
        });
    }
    let slices: Vec<usize> = bundle.proofs.iter().map(|p| p.slice).collect();
    lines.push(format!("  proofs of slices {slices:?}, {} bytes", bundle.proof_words().len() * 32));
    let value = json!({ "kind": "bundle", "model": hex0x(&bundle.model), "context": hex0x(&bundle.context), "slices": slices, "proof_bytes": bundle.proof_words().len() * 32 });
    Ok((value, lines))
}
