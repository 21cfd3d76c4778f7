//! What every long-lived command does at its start and its end: logging, a word on locked memory, being stopped.
//!
//! What always holds: each line of the log says which component, and so which region, it is about. Where a process
//! is one component, that is its name; where it is several, each has threads of its own, and they carry it.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::component::Component;

/// How long components may take to end the requests that have begun, once they are asked to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);

/// Logs go to stderr, in this name where a thread has none of its own; RUST_LOG chooses how much. Colours are for
/// terminals alone, and NO_COLOR (no-color.org) for none.
pub(crate) fn log_to_stderr(process: String) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,openkcm=info"));
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Stamp { process })
        .with_ansi(!no_color && std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// What a line begins with: when, and who.
struct Stamp {
    process: String,
}

impl FormatTime for Stamp {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(line)?;
        let thread = std::thread::current();
        // Of a component's threads the first word is its name, also of those that its store has started.
        let first = thread.name().and_then(|name| name.split(' ').next());
        let component = first.filter(|name| name.parse::<Component>().is_ok());
        write!(line, " {}", component.unwrap_or(&self.process))
    }
}

/// A runtime of one component among several in a process: its threads carry its name, and log in it.
///
/// # Errors
/// When the operating system has no threads left.
pub(crate) fn runtime_of(component: &Component) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let built = runtime.enable_all().thread_name(component.to_string()).build();
    built.context("the runtime can't be started")
}

/// Tells how many keys fit into the memory that may be locked, where that is not many.
pub(crate) fn warn_of_memory(hardening: &openkcm_host::Hardening) {
    /// Room for about a million keys.
    const COMFORTABLE_BYTES: u64 = 64 * 1024 * 1024;
    if let Some(limit) = hardening.memlock_limit_bytes.filter(|limit| *limit < COMFORTABLE_BYTES) {
        tracing::info!(
            "at most {limit} bytes of memory may be locked, enough for about {} plaintext keys (RLIMIT_MEMLOCK)",
            limit / 32
        );
    }
}

/// What asks the process to stop: Ctrl-C, SIGTERM. They are heard from the moment this is made.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// When the signals can't be heard.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("Ctrl-C can't be heard")?;
        let terminate = signal(SignalKind::terminate()).context("SIGTERM can't be heard")?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits until the process is asked to stop.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
