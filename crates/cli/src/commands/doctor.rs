//! `zkslice doctor`: what this machine lacks.

use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::json;

use crate::output::Output;

/// Say what this machine lacks to build, prove and deploy, and how to get it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zkslice doctor\n  zkslice doctor --json")]
pub(crate) struct Args {}

struct Finding {
    what: &'static str,
    /// What is there, or how to get it.
    found: Result<String, String>,
    needed_for: &'static str,
}

pub(crate) fn run(_: Args, output: &Output) -> crate::CommandResult {
    let program = |name: &'static str, mend: &str, needed_for| {
        let found = version(&mut Command::new(name)).map_err(|_| mend.to_owned());
        Finding { what: name, found, needed_for }
    };
    let foundry = |tool: &'static str, needed_for| Finding { what: tool, found: version(&mut super::foundry(tool)), needed_for };
    let mut findings = vec![
        program("cargo", "install Rust: https://rustup.rs", "building"),
        program("node", "install Node.js 20 or later", "the Solidity compiler"),
        program("npm", "install npm", "fetching forge, anvil and the Solidity libraries"),
        program("python3", "install Python 3", "the tests of the contracts"),
        foundry("forge", "contract tests"),
        foundry("anvil", "the demo and end-to-end tests"),
    ];
    if let Some(bytes) = memory() {
        let found = if bytes > 512 << 20 { Ok(format!("{} MB available", bytes >> 20)) } else { Err("free at least 512 MB".to_owned()) };
        findings.push(Finding { what: "memory", found, needed_for: "proving" });
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    findings.push(Finding { what: "processors", found: Ok(threads.to_string()), needed_for: "proving" });
    let missing = findings.iter().filter(|f| f.found.is_err()).count();
    let lines: Vec<String> = findings
        .iter()
        .map(|f| match &f.found {
            Ok(found) => format!("ok       {:<11} {found}", f.what),
            Err(mend) => format!("missing  {:<11} needed for {}: {mend}", f.what, f.needed_for),
        })
        .collect();
    let entries: Vec<_> = findings
        .iter()
        .map(|f| json!({ "what": f.what, "found": f.found.as_ref().ok(), "needed_for": f.needed_for, "mend": f.found.as_ref().err() }))
        .collect();
    output.result(&json!({ "ok": missing == 0, "findings": entries }), &lines);
    Ok(ExitCode::from(u8::from(missing > 0)))
}

/// The first line that `--version` prints; otherwise what the program says, or that there is none.
fn version(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.arg("--version").output().map_err(|error| format!("{program}: {error}: run `make toolchain` in a checkout"))?;
    let said = if out.status.success() { &out.stdout } else { &out.stderr };
    let line = String::from_utf8_lossy(said).lines().next().unwrap_or_default().to_owned();
    if out.status.success() { Ok(line) } else { Err(line) }
}

/// Bytes of memory that are free for use; `None` where the system does not say.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}
