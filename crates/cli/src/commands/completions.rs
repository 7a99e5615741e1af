//! `zkslice completions`: what a shell completes.

use std::process::ExitCode;

use clap_complete::Shell;
use serde_json::json;

use crate::output::Output;

/// Print a shell's completions of this command.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zkslice completions bash > ~/.local/share/bash-completion/completions/zkslice\n  zkslice completions zsh > ~/.zfunc/_zkslice\n  zkslice completions fish > ~/.config/fish/completions/zkslice.fish"
)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: Args, mut command: clap::Command, output: &Output) -> crate::CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "zkslice", &mut script);
    let script = String::from_utf8_lossy(&script).trim_end().to_owned();
    output.result(&json!({ "shell": args.shell.to_string(), "script": script }), std::slice::from_ref(&script));
    Ok(ExitCode::SUCCESS)
}
