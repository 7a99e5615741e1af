//! Witnesses by a program of the user's: Circom's own generators, snarkjs, or anything that takes the same two files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ark_bn254::Fr;
use zkslice_formats::Readers;

use crate::inputs::Inputs;
use crate::{InteropError, read_wtns};

/// A program that hangs is stopped.
const LIMIT: Duration = Duration::from_secs(600);
/// How often it is looked after.
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of a `.wtns` file beside its values.
const FRAME: u64 = 1 << 10;

/// A program and its first arguments. It is called with two more: a JSON file of inputs, `{"name": ["decimal", …], …}`, and where the
/// `.wtns` file goes, which is what `snarkjs wtns calculate circuit.wasm` and Circom's compiled generators take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessProgram {
    words: Vec<String>,
    folder: Option<PathBuf>,
}

/// A running program. Dropping it stops the program, and whatever that has started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl WitnessProgram {
    /// Words split at spaces.
    ///
    /// # Errors
    /// [`InteropError::Program`] for no word.
    pub fn parse(text: &str) -> Result<Self, InteropError> {
        let program = Self { words: text.split_whitespace().map(str::to_owned).collect(), folder: None };
        if program.words.is_empty() { Err(program.failed("it has no word")) } else { Ok(program) }
    }

    /// The same, run in this folder: paths in its words start there.
    #[must_use]
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()).filter(|folder| !folder.as_os_str().is_empty()), ..self }
    }

    /// This program's failure, which another try may not have.
    pub fn failed(&self, reason: impl Into<String>) -> InteropError {
        InteropError::Program { program: self.words.join(" "), reason: reason.into(), said: String::new() }
    }

    /// The values of all `wires` for these inputs, as the program computes them: whether they satisfy the circuit is for the caller to
    /// check. Once `cancelled` is set the program is stopped.
    ///
    /// # Errors
    /// [`InteropError::Program`]: the program cannot be run, says that it failed, does not end, is cancelled, or writes no witness.
    pub fn run(&self, inputs: &Inputs, wires: usize, cancelled: &AtomicBool) -> Result<Vec<Fr>, InteropError> {
        let io = |error: std::io::Error| self.failed(error.to_string());
        let folder = private_folder().map_err(io)?;
        let (input, output, log) = (folder.path().join("input.json"), folder.path().join("witness.wtns"), folder.path().join("log"));
        let texts: std::collections::BTreeMap<&String, Vec<String>> =
            inputs.iter().map(|(name, values)| (name, values.iter().map(ToString::to_string).collect())).collect();
        let json = serde_json::to_vec(&texts).map_err(|e| self.failed(e.to_string()))?;
        zkslice_formats::write(&input, Readers::Owner, &json).map_err(io)?;
        zkslice_formats::write(&log, Readers::Owner, b"").map_err(io)?;
        let printed = File::options().append(true).open(&log).map_err(io)?;
        let (program, arguments) = self.words.split_first().ok_or_else(|| self.failed("it has no word"))?;
        let mut command = Command::new(program);
        command.args(arguments).args([&input, &output]).stdin(Stdio::null());
        command.stdout(printed.try_clone().map_err(io)?).stderr(printed);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // A group of its own, so that what it starts ends with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut running = Running(command.spawn().map_err(|e| self.failed(format!("it cannot be run: {e}")))?);
        let started = Instant::now();
        let status = loop {
            match running.0.try_wait().map_err(io)? {
                Some(status) => break status,
                None if cancelled.load(Ordering::Relaxed) => {
                    return Err(self.failed("it was stopped, since its witness is not needed any more"));
                }
                None if started.elapsed() > LIMIT => return Err(self.failed(format!("it did not end within {} s", LIMIT.as_secs()))),
                None => std::thread::sleep(PAUSE),
            }
        };
        drop(running);
        let failed = |reason: String| match self.failed(reason) {
            InteropError::Program { program, reason, .. } => InteropError::Program { program, reason, said: said(&log) },
            other => other,
        };
        if !status.success() {
            return Err(failed(format!("it failed ({status})")));
        }
        let most = FRAME + 32 * wires as u64;
        let is_witness = |file: &std::fs::Metadata| file.is_file() && file.len() <= most;
        if !std::fs::symlink_metadata(&output).is_ok_and(|file| is_witness(&file)) {
            return Err(failed("it wrote no witness of this circuit".to_owned()));
        }
        let bytes = std::fs::read(&output).map_err(io)?;
        read_wtns(&bytes).map_err(|error| failed(error.to_string()))
    }
}

/// A folder that nobody else may look into, and that goes with whatever is in it.
fn private_folder() -> std::io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.prefix("zkslice-witness-").tempdir()
}

/// The end of what a program printed, on one line.
fn said(path: &Path) -> String {
    const MOST: u64 = 1 << 10;
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).replace(|c: char| c.is_control(), " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
