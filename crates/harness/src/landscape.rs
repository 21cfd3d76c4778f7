//! A landscape as its users start it: the `openkcm dev` process, on free ports, in a directory that is
//! kept over stops and kills.
//!
//! It knows the process from outside alone: its arguments, what it prints, its files, its signals.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::until;

/// A landscape that was started, and may have been stopped since. It is killed when this value is dropped.
pub struct Landscape {
    program: PathBuf,
    directory: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Option<Child>,
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
        let mut landscape = Self::new(program, directory, arguments);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        landscape.environment = environment.iter().map(owned).collect();
        landscape.start_again().await;
        landscape
    }

    /// A landscape that has yet to be started, with [`Landscape::spawn`] or [`Landscape::start_again`].
    pub fn new(program: &Path, directory: &Path, arguments: &[&str]) -> Self {
        fs::create_dir_all(directory).expect("a directory for the landscape");
        Self {
            program: program.to_path_buf(),
            directory: directory.to_path_buf(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            environment: Vec::new(),
            process: None,
        }
    }

    /// Starts it again after [`Landscape::kill`] or [`Landscape::stop`], and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.spawn();
        until("the landscape is ready", || async { self.is_ready().then_some(()) }).await;
    }

    /// Starts it again and waits for nothing.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "the landscape runs");
        let output = fs::File::create(self.output_path()).expect("a file for what it prints");
        let log =
            fs::File::options().create(true).append(true).open(self.log_path()).expect("a file for its log");
        let child = Command::new(&self.program)
            .arg("dev")
            .args(["--registry-port", "0", "--cmk-port", "0", "--core-port", "0", "--data-dir"])
            .arg(&self.directory)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .spawn()
            .expect("the program starts");
        self.process = Some(child);
    }

    /// Whether it has printed `ready`. A landscape that ended instead is a panic with its log.
    pub fn is_ready(&self) -> bool {
        let output = fs::read_to_string(self.output_path()).unwrap_or_default();
        let alive = self.process.as_ref().is_some_and(|process| {
            Path::new(&format!("/proc/{}/stat", process.id())).exists() && !is_zombie(process.id())
        });
        assert!(alive, "the landscape ended; it printed:\n{output}\nand logged:\n{}", self.log());
        output.lines().any(|line| line == "ready")
    }

    /// Kills it as a power cut would: SIGKILL, at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Asks it to stop (SIGTERM), and waits until it has. Says whether it ended well.
    pub async fn stop(&mut self) -> bool {
        let mut process = self.process.take().expect("the landscape runs");
        kill_process(Pid::from_child(&process), Signal::TERM).expect("the process is there");
        until("the landscape ends", || {
            let ended = process.try_wait().expect("our own child");
            async move { ended.map(|status| status.success()) }
        })
        .await
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
        self.process.as_ref().expect("the landscape runs").id()
    }

    /// Everything that it has written to its log, over all starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Everything that it printed since its last start.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_path()).unwrap_or_default()
    }

    fn output_path(&self) -> PathBuf {
        self.directory.join("dev.stdout")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("dev.stderr")
    }
}

impl Drop for Landscape {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child that ended and was not waited for yet still has a directory under /proc.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
