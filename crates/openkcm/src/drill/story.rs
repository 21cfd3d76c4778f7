//! What happens in a drill and when: told on stderr while it happens, and kept for the report.
//!
//! Times are of the boot clock, since the drill began.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use openkcm_contracts::Timestamp;
use openkcm_host::{BootInstant, Clock};
use serde::Serialize;

use crate::cli::output;

/// How often the live line is drawn, at most, in a second.
const DRAWS_PER_SECOND: u8 = 4;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Event {
    /// Since the drill began, in milliseconds.
    pub(super) at_ms: u64,
    /// What.
    pub(super) what: String,
}

/// A drill's own clock and log.
pub(super) struct Story {
    clock: Arc<dyn Clock>,
    begun: BootInstant,
    began_at: Timestamp,
    events: Mutex<Vec<Event>>,
    live: ProgressBar,
}

impl Story {
    /// Begins now.
    pub(super) fn begin(clock: Arc<dyn Clock>) -> Self {
        let target = match io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            false => ProgressDrawTarget::hidden(),
        };
        let live = ProgressBar::with_draw_target(None, target);
        let live = match ProgressStyle::with_template("{spinner} {msg}") {
            Ok(style) => live.with_style(style),
            Err(_) => live,
        };
        let (begun, began_at) = (clock.boottime(), clock.now());
        Self { clock, begun, began_at, events: Mutex::new(Vec::new()), live }
    }

    /// The clock that it goes by.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// When it began, on the wall clock.
    pub(super) fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// How long it has lasted.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.boottime().since(self.begun)
    }

    /// Tells that something happened, now; gives when.
    pub(super) fn tell(&self, what: impl Into<String>) -> Duration {
        let (at, what) = (self.elapsed(), what.into());
        self.live.suspend(|| output::note(&format!("{:>7.1} s  {what}", at.as_secs_f64())));
        let event = Event { at_ms: millis(at), what };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        at
    }

    /// Shows how it goes, for whoever watches at a terminal.
    pub(super) fn live(&self, text: String) {
        self.live.set_message(format!("{:>5.0} s  {text}", self.elapsed().as_secs_f64()));
        self.live.tick();
    }

    /// What happened until now.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.live.finish_and_clear();
    }
}

/// A time in milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
