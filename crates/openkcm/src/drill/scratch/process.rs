//! A part of a scratch landscape: a process that dies with the value that stands for it.
//!
//! It is in a process group of its own, so that Ctrl-C at the terminal reaches the drill alone, which then ends its
//! processes by their ids.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, bail};

use crate::drill::job;

/// What a component prints when it serves.
const READY: &str = "ready";

/// A process that was started, and may have ended since.
pub(super) struct Process {
    name: String,
    output: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts it. What it prints since this start is in `logs/NAME.stdout`, what it logs over all starts in `logs/NAME.log`.
    pub(super) fn start(name: &str, command: &mut Command, logs: &Path) -> anyhow::Result<Self> {
        let (output, log) = (logs.join(format!("{name}.stdout")), logs.join(format!("{name}.log")));
        let made = |path: &Path| format!("{} can't be made", path.display());
        let stdout = File::create(&output).with_context(|| made(&output))?;
        let stderr = File::options().create(true).append(true).open(&log).with_context(|| made(&log))?;
        command.stdout(stdout).stderr(stderr).process_group(0);
        let child = command.spawn().with_context(|| format!("{name} can't be started"))?;
        Ok(Self { name: name.to_owned(), output, log, child })
    }

    /// Whether it has said that it serves.
    ///
    /// # Errors
    /// When it ended instead; with the end of its log.
    pub(super) fn is_ready(&mut self) -> anyhow::Result<bool> {
        self.must_run()?;
        let printed = fs::read(&self.output).unwrap_or_default();
        Ok(String::from_utf8_lossy(&printed).lines().any(|line| line == READY))
    }

    /// # Errors
    /// When it has ended; with the end of its log.
    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("a process can't be looked at")? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, job::tail(&self.log)),
        }
    }

    /// Kills it as a power cut would: SIGKILL, at once, and waits until it is gone.
    pub(super) fn kill(self) {}
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
