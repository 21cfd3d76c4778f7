//! What a rule has to say about a place, in the form that editors can jump to.

use std::fmt;

/// One thing that a rule found. Warnings sort before errors, so that errors are the last thing on the screen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// Whether it makes `tidy` fail.
    pub(super) severity: Severity,
    /// Relative to the workspace, with `/`.
    pub(super) path: String,
    /// Counted from 1; 0 when it is about the whole file.
    pub(super) line: usize,
    /// What is wrong, and what to do.
    pub(super) message: String,
}

/// Whether a finding makes `tidy` fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Warning,
    Error,
}

impl Finding {
    /// A finding that makes `tidy` fail.
    pub(super) fn error(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, path: path.to_owned(), line, message: message.into() }
    }

    /// A finding that is only listed.
    pub(super) fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, line, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}:{}: {severity}: {}", self.path, self.line.max(1), self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        let finding = Finding::error("crates/store/src/lib.rs", 7, "too long");
        assert_eq!(finding.to_string(), "crates/store/src/lib.rs:7: error: too long");
    }

    #[test]
    fn errors_come_last() {
        let mut findings = [Finding::error("a", 1, ""), Finding::warning("b", 1, "")];
        findings.sort();
        assert_eq!(findings[1].severity, Severity::Error);
    }
}
