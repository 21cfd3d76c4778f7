//! Running other programs: cargo, python, apt-get.
//!
//! Not for deciding what a failure means: callers get the exit status, or the output, and say it in their own words.
//! No program that is started here reads from the terminal.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context;

/// The cargo that started this task, in `directory`.
pub(crate) fn cargo(directory: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program(cargo);
    command.current_dir(directory);
    command
}

/// A program by name or path, with no standard input.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// Runs to the end with the output shown as it comes.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    command.status().with_context(|| format!("can't start {}", name_of(command)))
}

/// Runs to the end and gives what was printed to standard output; `None` if it could not be started or failed.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs to the end in silence. If it failed: everything it printed, as the error.
pub(crate) fn run_quietly(command: &mut Command) -> anyhow::Result<Result<(), String>> {
    let output = command.output().with_context(|| format!("can't start {}", name_of(command)))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Err(printed))
}

fn name_of(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_gives_what_it_printed() {
        let outcome = run_quietly(program("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap();
        assert_eq!(outcome, Err("out\nerr\n".to_owned()));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut program("no-such-program-of-openkcm")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-of-openkcm"), "{error}");
    }

    #[test]
    fn a_program_that_fails_has_no_answer() {
        assert_eq!(answer(program("sh").args(["-c", "echo yes"])), Some("yes".to_owned()));
        assert_eq!(answer(program("sh").args(["-c", "echo yes; exit 1"])), None);
    }
}
