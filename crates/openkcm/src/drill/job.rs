//! Commands that are run to their end: the operator's own, and this very program's.
//!
//! What always holds: a job that is dropped before its end is killed; no `OPENKCM_…` variable of whoever drills reaches
//! what a scratch landscape runs.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Between two looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is told of the output of a job that failed, from its end.
const TOLD_BYTES: u64 = 4_096;

/// Settings of the product in the environment.
const OWN_VARIABLES: &str = "OPENKCM_";

/// Runs one of the operator's commands by `sh -c`. What it prints goes to stderr.
///
/// # Errors
/// When it can't be started, or does not end with 0.
pub(super) async fn shell(what: &str, line: &str) -> anyhow::Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).stdin(Stdio::null()).stdout(std::io::stderr());
    let doing = || format!("the command of --{what} can't be run");
    let status = Running(command.spawn().with_context(doing)?).ended().await?;
    match status.success() {
        true => Ok(()),
        false => bail!("the command of --{what} failed ({status}): {line}"),
    }
}

/// This program, with arguments, and without settings of the environment.
pub(super) fn own(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with(OWN_VARIABLES)) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end, with what it prints in a file; gives that.
///
/// # Errors
/// When it can't be started, or does not end with 0: then with what it said.
pub(super) async fn run(command: &mut Command, output: &Path) -> anyhow::Result<String> {
    let name = shown(command);
    let said = output.with_extension("stderr");
    let file = |path: &Path| File::create(path).with_context(|| format!("{} can't be made", path.display()));
    command.stdout(file(output)?).stderr(file(&said)?);
    let child = command.spawn().with_context(|| format!("`{name}` can't be started"))?;
    let status = Running(child).ended().await?;
    if !status.success() {
        bail!("`{name}` failed ({status}):\n{}", tail(&said));
    }
    std::fs::read_to_string(output).with_context(|| format!("{} can't be read", output.display()))
}

/// The end of a file that a process wrote.
pub(super) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(TOLD_BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TOLD_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()).unwrap_or_default()
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A process that is killed when nobody waits for it any more.
struct Running(Child);

impl Running {
    async fn ended(mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait().context("a command can't be waited for")? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_line() {
        let error = shell("heal", "exit 7").await.expect_err("it fails");
        assert!(error.to_string().contains("--heal failed (exit status: 7): exit 7"), "{error}");
        shell("heal", "true").await.expect("it ends well");
    }

    #[tokio::test]
    async fn what_a_failed_job_said_is_in_the_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", "echo done; echo why >&2; exit 1"]);
        let error = run(&mut command, &directory.path().join("job")).await.expect_err("it fails");
        assert!(error.to_string().ends_with("why"), "{error}");
    }
}
