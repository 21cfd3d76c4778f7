//! Running the `ip` program of iproute2.
//!
//! Failures are its own words; whether they matter is the caller's business.

use std::io::Write;
use std::process::{Command, Stdio};

const PROGRAM: &str = "ip";

/// `ip ARGUMENTS`, not started yet.
pub(super) fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    // The answers are read here.
    command.env("LC_ALL", "C");
    command
}

/// Runs it with these arguments, and these lines to read; gives what it printed.
pub(super) fn run(arguments: &[&str], lines: &[&str]) -> Result<String, String> {
    let mut command = command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("`{PROGRAM}` can't be started: {error}"))?;
    let mut input = child.stdin.take().expect("it is piped");
    for line in lines {
        // It may have ended without reading them: its words say why.
        let _ = writeln!(input, "{line}");
    }
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("`{PROGRAM} {}` {}: {told}", arguments.join(" "), lines.join("; ")))
}
