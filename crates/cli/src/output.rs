//! Where results, progress and errors go.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::error::CliError;

/// A number in four significant digits, however small.
pub(crate) fn significant(x: f64) -> String {
    if x == 0.0 || (1e-2..1e6).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// Results on standard output, as text for people or as one JSON object; everything else on standard error.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a command's result: the JSON object, or the lines.
    pub(crate) fn result(&self, value: &Value, lines: &[String]) {
        if self.json { print(&[value]) } else { print(lines) }
    }

    /// Prints a line for people; nothing in JSON mode.
    pub(crate) fn line(&self, line: &str) {
        if !self.json {
            print(&[line]);
        }
    }

    /// Reports why a command broke off.
    pub(crate) fn fail(&self, error: CliError) -> ExitCode {
        let code = error.code();
        if self.json {
            print(&[failure(&error.to_string(), code)]);
        }
        // Lines are left whole, so that a path in one can be copied and searched for. A hook that is set already stays.
        let _ = miette::set_hook(Box::new(|_| Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())));
        say(format_args!("{:?}", miette::Report::new(error)));
        ExitCode::from(code)
    }

    /// A progress bar on standard error; nothing where that is no terminal.
    pub(crate) fn bar(&self, length: usize, what: &str) -> ProgressBar {
        let style =
            ProgressStyle::with_template("{msg:<28} [{bar:32}] {pos}/{len} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length as u64).with_style(style.progress_chars("=> ")).with_message(what.to_owned())
    }

    /// A spinner on standard error for work without a count.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    }
}

/// Writes to standard error. Where nobody reads that, nothing is left to be done; `eprintln!` would panic.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What `--json` prints where a command broke off.
pub(crate) fn failure(error: &str, code: u8) -> Value {
    json!({ "error": error, "exit_code": code })
}

/// Prints lines on standard output. A reader that has gone (`zkslice inspect pkg | head -1`) has had enough; where they cannot be written
/// for another reason, nobody has the result, and the process ends with exit code 1.
pub(crate) fn print(lines: &[impl Display]) {
    let write = || {
        let mut out = std::io::stdout().lock();
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    };
    match write() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(format_args!("standard output: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}
