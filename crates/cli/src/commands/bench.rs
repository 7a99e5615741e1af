//! `zkslice bench`: the figures of `docs/benchmarks.md`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use alloy::network::EthereumWallet;
use alloy::primitives::U256;
use alloy::providers::{Provider, ProviderBuilder};
use alloy::signers::local::PrivateKeySigner;
use ark_std::rand::rngs::OsRng;
use serde_json::{Value, json};
use zkslice_chain::bindings::BundleVerifier;
use zkslice_chain::{Chain, DeployPlan, Deployer};
use zkslice_groth16::{Proof, Statement, verify, verify_batch};
use zkslice_prover::{Bundle, Verifier, Word};
use zkslice_slicer::Package;

use super::anvil::Anvil;
use super::{deploy, read};
use crate::error::CliError;
use crate::output::Output;

/// Measure models: rows, setup, prove, verify, memory, proof bytes and gas. Times are medians, each run a process of its own.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  zkslice bench tests/models/lenet5_avg\n  zkslice bench tests/models/lenet5_avg --slices 3 --private\n  \
                  zkslice bench verify tests/models/mlp_784 --batch 64"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    part: Option<Part>,
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

/// Measure a part.
#[derive(Debug, clap::Subcommand)]
enum Part {
    Verify(VerifyArgs),
}

/// Measure the verification of many proofs of one key together, against each alone, by turns in this process; with one bad proof, too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice bench verify tests/models/mlp_784 --batch 64")]
struct VerifyArgs {
    /// Folder with model.onnx, samples.json and input.json.
    model: PathBuf,
    /// Proofs that are verified together.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    batch: u32,
    /// Runs.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

pub(crate) fn run(args: Args, output: &Output) -> crate::CommandResult {
    let folder = std::env::temp_dir().join(format!("zkslice-bench-{}", std::process::id()));
    if let Some(Part::Verify(args)) = &args.part {
        let measured = verification(args, &folder, output);
        let _ = std::fs::remove_dir_all(&folder);
        return measured.map(|()| ExitCode::SUCCESS);
    }
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

/// A folder's model with keys, one slice: the package, and the words of the folder.
fn packaged(model: &Path, folder: &Path) -> Result<(String, String), CliError> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let package = text(folder.join("package"));
    let (onnx, samples, input) = (text(model.join("model.onnx")), text(model.join("samples.json")), text(model.join("input.json")));
    std::fs::create_dir_all(folder).map_err(|e| CliError::failed(format!("{}: {e}", folder.display())))?;
    zkslice(&["compile", &onnx, "--samples", &samples, "--slices", "1", "-o", &package])?;
    zkslice(&["setup", &package])?;
    Ok((package, input))
}

fn verification(args: &VerifyArgs, folder: &Path, output: &Output) -> Result<(), CliError> {
    let (package, input) = packaged(&args.model, folder)?;
    let verifier = Verifier::new(&Package::open(Path::new(&package))?)?;
    let key = &verifier.keys()[0];
    let bundle = folder.join("bundle.json");
    let progress = output.bar(args.batch as usize, "proofs");
    let prove = |context: u32| {
        let (context, path) = (format!("{:#x}", context + 1), bundle.to_string_lossy());
        zkslice(&["prove", &package, "--input", &input, "--context", &context, "-o", &path])?;
        progress.inc(1);
        let bundle = Bundle::from_json(&read(&bundle)?)?;
        let words = bundle.proofs[0].proof.as_slice().try_into().map_err(|_| CliError::failed("a proof has ten words".to_owned()))?;
        Ok((verifier.statement(&bundle, 0)?, words))
    };
    let proofs = (0..args.batch).map(prove).collect::<Result<Vec<(Statement, [Word; Proof::WORDS])>, CliError>>()?;
    progress.finish_and_clear();
    let mut with_bad = proofs.clone();
    let bad = (with_bad.len() - 1) / 3;
    // What another proof states.
    with_bad[bad].1 = proofs[bad + 1].1;
    let seconds = |work: &mut dyn FnMut() -> bool| {
        let start = std::time::Instant::now();
        if work() { Ok(start.elapsed().as_secs_f64()) } else { Err(CliError::failed("a verdict is wrong".to_owned())) }
    };
    let (mut alone, mut together, mut one_bad) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs {
        alone.push(seconds(&mut || {
            let verified = |(statement, words): &(Statement, [Word; Proof::WORDS])| {
                Proof::from_words(words, key.form()).is_ok_and(|proof| verify(key, statement, &proof).is_ok())
            };
            proofs.iter().all(verified)
        })?);
        together.push(seconds(&mut || verify_batch(key, &proofs, &mut OsRng).iter().all(Result::is_ok))?);
        one_bad.push(seconds(&mut || {
            let verdicts = verify_batch(key, &with_bad, &mut OsRng);
            verdicts.iter().enumerate().all(|(index, verdict)| verdict.is_err() == (index == bad))
        })?);
    }
    let [alone, together, one_bad] = [alone, together, one_bad].map(median);
    let each = |seconds: f64| 1e3 * seconds / f64::from(args.batch);
    let lines = [
        format!("{} proofs of one key: {:.2} ms each alone, {:.2} ms together", args.batch, each(alone), each(together)),
        format!("together in {:.3} of the time; with one bad proof in {:.3}", together / alone, one_bad / alone),
    ];
    let object = json!({
        "batch": args.batch, "alone_seconds": alone, "together_seconds": together, "one_bad_seconds": one_bad,
        "ratio": together / alone, "one_bad_ratio": one_bad / alone,
    });
    output.result(&object, &lines);
    Ok(())
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
