//! Where results, progress and errors go.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::error::CliError;

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
        if self.json {
            println!("{value}");
        } else {
            lines.iter().for_each(|line| println!("{line}"));
        }
    }

    /// Reports why a command broke off.
    pub(crate) fn fail(&self, error: CliError) -> ExitCode {
        let code = error.code();
        if self.json {
            println!("{}", json!({ "error": error.to_string(), "exit_code": code }));
        }
        eprintln!("{:?}", miette::Report::new(error));
        ExitCode::from(code)
    }

    /// A progress bar on standard error; nothing where that is no terminal.
    pub(crate) fn bar(&self, length: usize, what: &str) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg:<28} [{bar:32}] {pos}/{len} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length as u64).with_style(style.progress_chars("=> ")).with_message(what.to_owned())
    }

    /// A spinner on standard error for work without a count.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    }
}
