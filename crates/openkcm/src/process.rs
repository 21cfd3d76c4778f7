//! What every long-lived command does at its start and its end: logging, a word on locked memory, being stopped.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How long components may take to end the requests that have begun, once they are asked to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);

/// Logs go to stderr; RUST_LOG chooses how much.
pub(crate) fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,openkcm=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
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
