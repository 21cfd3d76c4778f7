//! Where text leaves this process: results on stdout, all else on stderr.
//!
//! What always holds: a reader who has seen enough (a closed pipe) is no error of a printed result; of a stream
//! it is one, and a quiet one ([`Closed`]), since its output is not complete. What comes from elsewhere can't
//! steer the terminal.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;

use super::report::Usage;

/// The reader of the output is gone before its end. Nothing needs to be said: it knows.
#[derive(Debug)]
pub(crate) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of the output is gone")
    }
}

impl std::error::Error for Closed {}

/// Prints a result and ends its line.
///
/// # Errors
/// When stdout takes nothing, except that its reader is gone.
pub(crate) fn result(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let ended = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(ended.as_bytes()))
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("can't write to stdout"),
    }
}

/// Tells a person something that is no result.
pub(crate) fn note(text: &str) {
    // Where nobody listens there is nobody to tell that nobody listens.
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// As [`note`], for what should not be overlooked.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// Asks a person at the terminal. Only a clear yes is one.
///
/// # Errors
/// When nobody is there to be asked, or the question can't be put.
pub(crate) fn agreed(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Usage("nobody is here to be asked: add --yes").into());
    }
    let mut stderr = io::stderr().lock();
    let asked = stderr.write_all(printable(question).as_bytes()).and_then(|()| stderr.flush());
    asked.context("can't ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("can't read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Why a stream's output could not be written.
pub(crate) fn write_failed(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::Error::new(error).context("can't write the output"),
    }
}

/// The text with control characters made visible, line ends apart.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2Jb\nc é"), "a\\u{1b}[2Jb\nc é");
    }

    #[test]
    fn a_closed_pipe_is_told_apart_from_a_full_disk() {
        assert!(write_failed(ErrorKind::BrokenPipe.into()).is::<Closed>());
        assert!(!write_failed(ErrorKind::StorageFull.into()).is::<Closed>());
    }
}
