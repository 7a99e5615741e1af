//! `zkslice bench`: the figures of `docs/benchmarks.md`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use alloy::network::EthereumWallet;
use alloy::primitives::U256;
use alloy::providers::{Provider, ProviderBuilder};
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};
use zkslice_chain::bindings::BundleVerifier;
use zkslice_chain::{Chain, DeployPlan, Deployer};
use zkslice_prover::Bundle;
use zkslice_slicer::Package;

use super::anvil::Anvil;
use super::{deploy, read};
use crate::error::CliError;
use crate::output::Output;

/// Measure models: rows, setup, prove, verify, memory, proof bytes and gas. Times are medians, each run a process of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice bench tests/models/lenet5_avg\n  zkslice bench tests/models/lenet5_avg --slices 3 --private")]
pub(crate) struct Args {
    /// Folders with model.onnx, samples.json and input.json.
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Slices to cut into.
    #[arg(long, default_value_t = 1)]
    slices: usize,
    /// Commit to the input.
    #[arg(long)]
    private: bool,
    /// Runs of prove and verify.
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let folder = std::env::temp_dir().join(format!("zkslice-bench-{}", std::process::id()));
    let mut rows = Vec::new();
    let result = args.models.iter().try_for_each(|model| {
        let spinner = output.spinner(&model.display().to_string());
        rows.push(measure(model, &folder, &args)?);
        spinner.finish_and_clear();
        Ok::<_, CliError>(())
    });
    // What was measured is printed even if a later model failed; the folder is of no use to anyone.
    let _ = std::fs::remove_dir_all(&folder);
    let mut lines = vec![
        "| model | rows | table | setup s | prove s | verify ms | peak MB | key MB | proof bytes | verifyBundle gas |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(rows.iter().map(|r| {
        let number = |key: &str| r[key].as_f64().unwrap_or(f64::NAN);
        format!(
            "| {} | {} | 2^{} | {:.2} | {:.3} | {:.1} | {:.0} | {:.1} | {} | {} |",
            r["model"].as_str().unwrap_or(""),
            r["rows"],
            r["table_bits"],
            number("setup_seconds"),
            number("prove_seconds"),
            1e3 * number("verify_seconds"),
            number("peak_bytes") / 1e6,
            number("key_bytes") / 1e6,
            r["proof_bytes"],
            r["gas"],
        )
    }));
    output.result(&json!({ "models": rows }), &lines);
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs this program with `--json` and reads its object.
fn zkslice(arguments: &[&str]) -> Result<Value, CliError> {
    let program = std::env::current_exe().map_err(|e| CliError::failed(e.to_string()))?;
    let out = Command::new(program).args(arguments).arg("--json").output().map_err(|e| CliError::failed(e.to_string()))?;
    if !out.status.success() {
        return Err(CliError::failed(format!("zkslice {}: {}", arguments.join(" "), String::from_utf8_lossy(&out.stderr))));
    }
    serde_json::from_slice(&out.stdout).map_err(|e| CliError::failed(e.to_string()))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn measure(model: &Path, folder: &Path, args: &Args) -> Result<Value, CliError> {
    let name = model.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let (package, bundle) = (text(folder.join(&name)), text(folder.join(format!("{name}.json"))));
    let (onnx, samples, input) = (text(model.join("model.onnx")), text(model.join("samples.json")), text(model.join("input.json")));
    std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))?;
    let slices = args.slices.to_string();
    let mode = if args.private { "private" } else { "public" };
    let compiled = zkslice(&["compile", &onnx, "--samples", &samples, "--slices", &slices, "--input", mode, "-o", &package, "--force"])?;
    let setups = (0..3).map(|_| zkslice(&["setup", &package, "--force"])).collect::<Result<Vec<_>, _>>()?;
    let proofs = (0..args.runs)
        .map(|_| zkslice(&["prove", &package, "--input", &input, "--context", "0x1", "-o", &bundle]))
        .collect::<Result<Vec<_>, _>>()?;
    let checks = (0..args.runs).map(|_| zkslice(&["verify", &package, &bundle])).collect::<Result<Vec<_>, _>>()?;
    let field = |values: &[Value], key: &str| median(values.iter().filter_map(|v| v[key].as_f64()).collect());
    let opened = Package::open(Path::new(&package))?;
    let key_bytes: u64 =
        setups.last().and_then(|s| s["packages"][0]["key_bytes"].as_array()).into_iter().flatten().filter_map(Value::as_u64).sum();
    let gas = super::runtime()?.block_on(gas(&opened, &Bundle::from_json(&read(Path::new(&bundle))?)?, folder))?;
    Ok(json!({
        "model": name, "rows": compiled["constraints"], "slices": compiled["slices"], "table_bits": compiled["report"]["table_bits"],
        "setup_seconds": field(&setups, "seconds"), "setup_peak_bytes": field(&setups, "peak_bytes"),
        "prove_seconds": field(&proofs, "seconds"), "peak_bytes": field(&proofs, "peak_bytes"),
        "verify_seconds": field(&checks, "seconds"), "key_bytes": key_bytes, "proof_bytes": 320 * opened.slice_count(), "gas": gas,
    }))
}

/// Gas of one transaction straight to `BundleVerifier`.
async fn gas(package: &Package, bundle: &Bundle, folder: &Path) -> Result<u64, CliError> {
    let anvil = Anvil::start()?;
    let chain = Chain::connect(&anvil.url, None).await?;
    let signer: PrivateKeySigner = super::ANVIL_KEYS[0].parse().map_err(|_| CliError::failed("anvil's key"))?;
    let manifest = folder.join("deployments.json");
    if manifest.exists() {
        std::fs::remove_file(&manifest).map_err(|e| CliError::failed(format!("{}: {e}", manifest.display())))?;
    }
    let plan = DeployPlan { models: vec![deploy::model_keys(package)?], ..DeployPlan::default() };
    let deployment = Deployer::new(chain.clone(), signer.clone(), manifest).deploy(&plan, &mut |_| ControlFlow::Continue(())).await?;
    let wallet = ProviderBuilder::new().wallet(EthereumWallet::from(signer)).connect_provider(chain.provider().clone());
    let numbers = |words: Vec<[u8; 32]>| words.into_iter().map(U256::from_be_bytes::<32>).collect::<Vec<_>>();
    let call = BundleVerifier::new(deployment.verifier, &wallet)
        .verifyBundle(zkslice_chain::bindings::Bundle {
            modelDigest: bundle.model.into(),
            context: U256::from_be_bytes(bundle.context),
            owner: U256::from_be_bytes(bundle.owner),
            coverage: U256::ZERO,
            words: numbers(bundle.words()),
            commitments: numbers(bundle.commitments()),
            proofs: numbers(bundle.proof_words()),
        })
        .into_transaction_request();
    let failed = |e: &dyn std::fmt::Display| CliError::failed(format!("verifyBundle: {e}"));
    let receipt = wallet.send_transaction(call).await.map_err(|e| failed(&e))?.get_receipt().await.map_err(|e| failed(&e))?;
    if receipt.status() { Ok(receipt.gas_used) } else { Err(failed(&"reverted")) }
}
