//! Where results, progress and errors go.

use std::fmt::{Display, Formatter};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use zkslice_graph::Kind;
use zkslice_slicer::{Package, TensorKind};

use crate::error::CliError;

/// A number in four significant digits, however small.
pub(crate) fn significant(x: f64) -> String {
    if x == 0.0 || (1e-2..1e6).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

/// The numbers of an output: integers and truth values as what they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Numbers {
    Real(Vec<f64>),
    Integers(Vec<i64>),
    Truths(Vec<bool>),
    /// Values of signals, which a number of JSON may not hold.
    Signals(Vec<String>),
}

impl Numbers {
    fn new(kind: Kind, values: Vec<f64>) -> Self {
        match kind {
            Kind::Boolean if values.iter().all(|x| *x == 0.0 || *x == 1.0) => Self::Truths(values.iter().map(|x| *x == 1.0).collect()),
            // An output has 32 bits, which a float holds exactly.
            Kind::Boolean | Kind::Integer if values.iter().all(|x| x.fract() == 0.0) => {
                Self::Integers(values.iter().map(|x| *x as i64).collect())
            }
            _ => Self::Real(values),
        }
    }

    /// A package's outputs, which come as integers.
    pub(crate) fn of_outputs(package: &Package, integers: &[Vec<i64>]) -> Vec<Self> {
        let Some(circuit) = package.foreign() else { return Self::of_reals(package, package.decode(integers)) };
        let first = circuit.ports().len() - integers.len();
        integers.iter().enumerate().map(|(k, integers)| Self::Signals(circuit.decode(first + k, integers))).collect()
    }

    /// A model's outputs, which come as real numbers.
    pub(crate) fn of_reals(package: &Package, outputs: Vec<Vec<f64>>) -> Vec<Self> {
        let manifest = package.manifest();
        let kinds = manifest.tensors.iter().filter(|t| t.kind == TensorKind::Output).map(|t| manifest.kind_of(t));
        kinds.zip(outputs).map(|(kind, values)| Self::new(kind, values)).collect()
    }
}

impl Display for Numbers {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real(values) => write!(f, "{values:?}"),
            Self::Integers(values) => write!(f, "{values:?}"),
            Self::Truths(values) => write!(f, "{values:?}"),
            Self::Signals(values) => write!(f, "[{}]", values.join(", ")),
        }
    }
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
