//! A chain of one's own, for the demo and for gas figures.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::error::CliError;

/// A running anvil, killed when dropped.
#[derive(Debug)]
pub(crate) struct Anvil {
    child: Child,
    /// Its RPC address.
    pub(crate) url: String,
}

impl Anvil {
    /// Starts anvil on a port that the system chooses.
    pub(crate) fn start() -> Result<Self, CliError> {
        let missing = |e: std::io::Error| CliError::failed(format!("anvil: {e}: `zkslice doctor` says what is missing"));
        let mut child = crate::commands::foundry("anvil")
            // Blocks are final when two have followed, or the chain would end before any is.
            .args(["--port", "0", "--chain-id", "31337", "--slots-in-an-epoch", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing)?;
        let lines = child.stdout.take().map(BufReader::new).map(BufRead::lines);
        let address =
            lines.into_iter().flatten().map_while(Result::ok).find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned));
        match address {
            Some(address) => Ok(Self { child, url: format!("http://{address}") }),
            None => {
                // It ended, or its output did: either way there is no chain.
                let _ = child.kill();
                let _ = child.wait();
                Err(CliError::failed("anvil did not start: `zkslice doctor` says what is missing"))
            }
        }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Best effort: a child that is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
