//! A child process of a test: started, watched, signalled, stopped, killed; what it prints and logs is kept.
//!
//! Not for programs that are run to their end: `std::process::Command` does that. Two things always hold: it
//! dies with the value that stands for it, and no `OPENKCM_…` variable of whoever runs the tests reaches it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::network::Namespace;
use crate::until;

/// Settings of the product in the environment: a test's landscape gets those that the test gives it, alone.
const OWN_VARIABLES: &str = "OPENKCM_";

/// How a program is started, the same way each time.
pub(crate) struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    removed: Vec<&'static str>,
    directory: Option<PathBuf>,
    namespace: Option<Namespace>,
}

impl Launch {
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            removed: Vec::new(),
            directory: None,
            namespace: None,
        }
    }

    pub(crate) fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn without_variables(mut self, names: &[&'static str]) -> Self {
        self.removed.extend(names);
        self
    }

    /// The working directory; the test's own otherwise.
    pub(crate) fn within_directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_path_buf());
        self
    }

    /// The network namespace; the test's own otherwise.
    pub(crate) fn within_namespace(mut self, namespace: Option<Namespace>) -> Self {
        self.namespace = namespace;
        self
    }

    /// The command that starts it, with nothing to read.
    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => namespace.command(&self.program),
            None => Command::new(&self.program),
        };
        for name in own_variables().iter().map(String::as_str).chain(self.removed.iter().copied()) {
            command.env_remove(name);
        }
        command.args(&self.arguments).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// A process that was started, and may have ended since.
pub(crate) struct Process {
    name: String,
    launch: Launch,
    output: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Not started yet. `name` is what failures call it; `output` holds what it printed since its last start,
    /// `log` what it wrote to standard error over all starts. Where both are one file, that is kept.
    pub(crate) fn new(name: &str, launch: Launch, output: PathBuf, log: PathBuf) -> Self {
        Self { name: name.to_owned(), launch, output, log, child: None }
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let log = File::options().create(true).append(true).open(&self.log).expect("a file for its log");
        let output = if self.output == self.log {
            log.try_clone().expect("a second handle")
        } else {
            File::create(&self.output).expect("a file for what it prints")
        };
        let child = self.launch.command().stdout(output).stderr(log).spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{} can't be started: {error}", self.name)));
    }

    /// Whether it was started, and has not ended by itself or by a signal.
    pub(crate) fn is_running(&self) -> bool {
        self.child.as_ref().is_some_and(|child| matches!(state(child.id()), Some(state) if state != 'Z'))
    }

    /// Whether it has printed this line since its last start. One that ended instead is a panic with its log.
    pub(crate) fn has_printed(&self, line: &str) -> bool {
        // Looked at first: what it printed before it ended is in the file then.
        let running = self.is_running();
        let output = self.output();
        assert!(running, "{} ended; it printed:\n{output}\nand logged:\n{}", self.name, self.log());
        output.lines().any(|printed| printed == line)
    }

    /// Kills it as a power cut would: SIGKILL, at once. Nothing happens when it does not run.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to stop (SIGTERM), frozen or not, and waits until it has. Says whether it ended well.
    pub(crate) async fn stop(&mut self) -> bool {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        let child = self.child.as_mut().expect("it was signalled");
        let ended = until(&format!("{} ends", self.name), || {
            let ended = child.try_wait().expect("our own child");
            async move { ended }
        })
        .await;
        self.child = None;
        ended.success()
    }

    /// Holds it in mid-air (SIGSTOP): it keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Waits until a process that was told to freeze stands still: nothing on its disk changes from then on.
    pub(crate) async fn stands_still(&self) {
        let what = format!("{} stands still", self.name);
        until(&what, || async { matches!(state(self.pid()), Some('T')).then_some(()) }).await;
    }

    /// Lets a frozen process go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.child());
        kill_process(pid, signal).expect("a child is there until it is waited for");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Everything that it wrote to standard error, over all starts.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Everything that it printed since its last start.
    pub(crate) fn output(&self) -> String {
        read(&self.output)
    }

    fn child(&self) -> &Child {
        self.child.as_ref().unwrap_or_else(|| panic!("{} was not started, or was stopped", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A log may end in the middle of a character, or hold what someone else sent.
fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The state of a process as /proc tells it; `Z` for one that ended and was not waited for.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands before it, in brackets, and may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

fn own_variables() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with(OWN_VARIABLES)).collect()
}
