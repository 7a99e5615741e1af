//! The `zkslice` command: from an ONNX model to a contract that has read its output.

mod commands;
mod error;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::CliError;
use crate::output::Output;

/// Proves which model an on-chain number came from.
#[derive(Debug, Parser)]
#[command(name = "zkslice", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    /// Print one machine-readable JSON object on standard output; logs and progress go to standard error.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Compile(commands::compile::Args),
    Import(commands::import::Args),
    #[cfg(feature = "wasm")]
    Witness(commands::witness::Args),
    Setup(commands::setup::Args),
    Ceremony(commands::ceremony::Args),
    Encode(commands::encode::Args),
    Run(commands::run::Args),
    Prove(commands::prove::Args),
    Plain(commands::plain::Args),
    Join(commands::join::Args),
    Verify(commands::verify::Args),
    Export(commands::export::Args),
    Fixture(commands::fixture::Args),
    Deploy(commands::deploy::Args),
    Deployments(commands::deployments::Args),
    Request(commands::request::Args),
    Relay(commands::relay::Args),
    Validator(commands::validator::Args),
    Miner(commands::miner::Args),
    Weights(commands::weights::Args),
    Result(commands::result::Args),
    Inspect(commands::inspect::Args),
    Demo(commands::demo::Args),
    Network(commands::network::Args),
    Bench(commands::bench::Args),
    Doctor(commands::doctor::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        // Help and the version are no errors and stay text.
        if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
            output::print(&[output::failure(error.to_string().trim(), 2)]);
        }
        error.exit()
    });
    // rustls panics where two crates bring a provider each and none is installed. There is none yet, so this cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Relayers and validators run unattended, and their log is what their operators have of them. What the verifier of certificates logs, our
    // error says.
    let level = if matches!(cli.command, Command::Relay(_) | Command::Validator(_)) { "info" } else { "warn" };
    let filter = format!("warn,rustls_platform_verifier=off,zkslice_relayer={level},zkslice_subnet={level}");
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // Whoever read standard error may be gone, which must not end what runs: said there, it would.
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| filter.into()))
        .init();
    let output = Output::new(cli.json);
    let result = match cli.command {
        Command::Compile(args) => commands::compile::run(args, &output),
        Command::Import(args) => commands::import::run(args, &output),
        #[cfg(feature = "wasm")]
        Command::Witness(args) => commands::witness::run(args, &output),
        Command::Setup(args) => commands::setup::run(args, &output),
        Command::Ceremony(args) => commands::ceremony::run(args, &output),
        Command::Encode(args) => commands::encode::run(args, &output),
        Command::Run(args) => commands::run::run(args, &output),
        Command::Plain(args) => commands::plain::run(args, &output),
        Command::Prove(args) => commands::prove::run(args, &output),
        Command::Join(args) => commands::join::run(args, &output),
        Command::Verify(args) => commands::verify::run(args, &output),
        Command::Export(args) => commands::export::run(args, &output),
        Command::Fixture(args) => commands::fixture::run(args, &output),
        Command::Deploy(args) => commands::deploy::run(args, &output),
        Command::Deployments(args) => commands::deployments::run(args, &output),
        Command::Request(args) => commands::request::run(args, &output),
        Command::Relay(args) => commands::relay::run(args, &output),
        Command::Validator(args) => commands::validator::run(args, &output),
        Command::Weights(args) => commands::weights::run(args, &output),
        Command::Miner(args) => commands::miner::run(args, &output),
        Command::Result(args) => commands::result::run(args, &output),
        Command::Demo(args) => commands::demo::run(args, &output),
        Command::Network(args) => commands::network::run(args, &output),
        Command::Bench(args) => commands::bench::run(args, &output),
        Command::Inspect(args) => commands::inspect::run(args, &output),
        Command::Doctor(args) => commands::doctor::run(args, &output),
        Command::Completions(args) => commands::completions::run(args, Cli::command(), &output),
        Command::Man(args) => commands::man::run(args, Cli::command(), &output),
    };
    match result {
        Ok(code) => code,
        Err(error) => output.fail(error),
    }
}

/// What a command returns: its exit code, or why it broke off.
type CommandResult = Result<ExitCode, CliError>;
