//! A landscape in one process: `openkcm dev`, as its users start it, on free ports, in a directory that is
//! kept over stops and kills.
//!
//! It knows the process from outside alone: its arguments, what it prints, its files, its signals. A landscape
//! of several processes is `Distributed`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Launch, Process};
use crate::until;

/// A landscape that was started, and may have been stopped since. It is killed when this value is dropped.
pub struct Landscape {
    directory: PathBuf,
    process: Process,
}

impl Landscape {
    /// Starts `program dev` in `directory`, with further arguments, and waits until it is ready.
    ///
    /// # Panics
    /// As everything here: when it does not become ready.
    pub async fn start(program: &Path, directory: &Path, arguments: &[&str]) -> Self {
        Self::start_with(program, directory, arguments, &[]).await
    }

    /// As [`Landscape::start`], with further variables in the process's environment.
    pub async fn start_with(
        program: &Path,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut landscape = Self::prepare(program, directory, arguments, environment);
        landscape.start_again().await;
        landscape
    }

    /// A landscape that has yet to be started, with [`Landscape::spawn`] or [`Landscape::start_again`].
    pub fn new(program: &Path, directory: &Path, arguments: &[&str]) -> Self {
        Self::prepare(program, directory, arguments, &[])
    }

    fn prepare(program: &Path, directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        fs::create_dir_all(directory).expect("a directory for the landscape");
        let mut launch = Launch::new(program)
            .arguments(["dev", "--registry-port", "0", "--cmk-port", "0", "--core-port", "0", "--data-dir"])
            .arguments([directory])
            .arguments(arguments.iter().copied());
        for (name, value) in environment {
            launch = launch.variable(name, *value);
        }
        let (output, log) = (directory.join("dev.stdout"), directory.join("dev.stderr"));
        let process = Process::new("the landscape", launch, output, log);
        Self { directory: directory.to_path_buf(), process }
    }

    /// Starts it again after [`Landscape::kill`] or [`Landscape::stop`], and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.spawn();
        until("the landscape is ready", || async { self.is_ready().then_some(()) }).await;
    }

    /// Starts it again and waits for nothing.
    pub fn spawn(&mut self) {
        self.process.spawn();
    }

    /// Whether it has printed `ready`. A landscape that ended instead is a panic with its log.
    pub fn is_ready(&self) -> bool {
        self.process.has_printed("ready")
    }

    /// Kills it as a power cut would: SIGKILL, at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop (SIGTERM), and waits until it has. Says whether it ended well.
    pub async fn stop(&mut self) -> bool {
        self.process.stop().await
    }

    /// The file that client commands read.
    pub fn file(&self) -> PathBuf {
        self.directory.join("landscape.json")
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything that it has written to its log, over all starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Everything that it printed since its last start.
    pub fn output(&self) -> String {
        self.process.output()
    }
}
