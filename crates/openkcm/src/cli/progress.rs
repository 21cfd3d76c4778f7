//! A progress bar on stderr, for people who watch: none where stderr is no terminal.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// With a known end.
const BAR: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

/// Without one.
const SPINNER: &str = "{msg} {spinner} {bytes}, {bytes_per_sec}";

/// Of things that are no bytes.
const COUNT: &str = "{msg} [{bar:30}] {pos} of {len}, {eta} left";

/// How often it is drawn, at most, in a second.
const DRAWS_PER_SECOND: u8 = 8;

/// A bar that goes away when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins a bar for so many bytes, if that is known.
    pub(crate) fn begin(what: &'static str, total: Option<u64>) -> Self {
        Self::new(what, total, if total.is_some() { BAR } else { SPINNER })
    }

    /// Begins a bar for so many things.
    pub(crate) fn count(what: &'static str, total: usize) -> Self {
        Self::new(what, u64::try_from(total).ok(), COUNT)
    }

    fn new(what: &'static str, total: Option<u64>, template: &str) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::with_draw_target(total, target).with_message(what);
        Self(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    /// So many more.
    pub(crate) fn add(&self, more: u64) {
        self.0.inc(more);
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
    fn all_forms_are_valid_templates() {
        for template in [BAR, SPINNER, COUNT] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
