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
    found: Option<String>,
    mend: &'static str,
    needed_for: &'static str,
}

pub(crate) fn run(_: Args, output: &Output) -> crate::CommandResult {
    let version = |program: &str| {
        let out = Command::new(program).arg("--version").output().ok().filter(|o| o.status.success())?;
        String::from_utf8_lossy(&out.stdout).lines().next().map(str::to_owned)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let findings = [
        Finding { what: "cargo", found: version("cargo"), mend: "install Rust: https://rustup.rs", needed_for: "building" },
        Finding { what: "node", found: version("node"), mend: "install Node.js 20 or later", needed_for: "the Solidity compiler" },
        Finding { what: "npm", found: version("npm"), mend: "install npm", needed_for: "fetching forge, anvil and the Solidity libraries" },
        Finding { what: "forge", found: version(&super::foundry("forge")), mend: "run `make toolchain`", needed_for: "contract tests" },
        Finding {
            what: "anvil",
            found: version(&super::foundry("anvil")),
            mend: "run `make toolchain`",
            needed_for: "the demo and end-to-end tests",
        },
        Finding {
            what: "memory",
            found: memory().map(|bytes| format!("{} MB available", bytes >> 20)).filter(|_| memory().is_some_and(|b| b > 512 << 20)),
            mend: "free at least 512 MB",
            needed_for: "proving",
        },
        Finding { what: "processors", found: Some(threads.to_string()), mend: "", needed_for: "proving" },
    ];
    let missing = findings.iter().filter(|f| f.found.is_none()).count();
    let lines: Vec<String> = findings
        .iter()
        .map(|f| match &f.found {
            Some(found) => format!("ok       {:<11} {found}", f.what),
            None => format!("missing  {:<11} needed for {}: {}", f.what, f.needed_for, f.mend),
        })
        .collect();
    let entries: Vec<_> =
        findings.iter().map(|f| json!({ "what": f.what, "found": f.found, "needed_for": f.needed_for, "mend": f.mend })).collect();
    output.result(&json!({ "ok": missing == 0, "findings": entries }), &lines);
    Ok(ExitCode::from(u8::from(missing > 0)))
}

fn memory() -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}
