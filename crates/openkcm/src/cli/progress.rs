//! A progress bar on stderr, for people who watch: none where stderr is no terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// With a known end.
const BAR: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// Without one.
const SPINNER: &str = "{msg} {spinner} {bytes}, {bytes_per_sec}";

/// How often it is drawn, at most, in a second.
const DRAWS_PER_SECOND: u8 = 8;

/// A bar that goes away when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins a bar for so many bytes, if that is known.
    pub(crate) fn begin(what: &'static str, total: Option<u64>) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let template = if total.is_some() { BAR } else { SPINNER };
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::with_draw_target(total, target).with_message(what);
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// So many bytes more.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_valid_templates() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
