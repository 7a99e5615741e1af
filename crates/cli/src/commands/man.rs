//! `zkslice man`: manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap_mangen::Man;
use serde_json::json;

use super::write;
use crate::error::CliError;
use crate::output::Output;

/// Write manual pages, one for each command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice man -o ~/.local/share/man/man1 && man zkslice-prove")]
pub(crate) struct Args {
    /// The folder to write them into.
    #[arg(short, long)]
    output: PathBuf,
}

pub(crate) fn run(args: Args, mut command: clap::Command, output: &Output) -> crate::CommandResult {
    command.build();
    std::fs::create_dir_all(&args.output).map_err(|e| CliError::failed(format!("{}: {e}", args.output.display())))?;
    let mut pages = Vec::new();
    let commands = command.get_subcommands().filter(|sub| sub.get_name() != "help").map(|sub| (format!("zkslice-{}", sub.get_name()), sub));
    for (name, command) in std::iter::once(("zkslice".to_owned(), &command)).chain(commands) {
        let path = args.output.join(format!("{name}.1"));
        let mut page = Vec::new();
        Man::new(command.clone()).render(&mut page).map_err(|e| CliError::failed(format!("{}: {e}", path.display())))?;
        write(&path, &page)?;
        pages.push(path);
    }
    let line = format!("{}: {} pages", args.output.display(), pages.len());
    output.result(&json!({ "pages": pages }), &[line]);
    Ok(ExitCode::SUCCESS)
}
