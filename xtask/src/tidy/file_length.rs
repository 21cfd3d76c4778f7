//! Files fit in a head.

use super::finding::Finding;
use super::tree::RustFile;

/// No file is longer.
const MOST_LINES: usize = 800;

/// A longer file is listed, so that it is split before it must be.
const COMFORTABLE_LINES: usize = 400;

pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if lines > MOST_LINES {
        let message = format!("{lines} lines, and {MOST_LINES} is the limit: split it by idea");
        return vec![Finding::error(&file.path, 0, message)];
    }
    if lines > COMFORTABLE_LINES {
        let message = format!("{lines} lines: a file should fit in a head, which {COMFORTABLE_LINES} do");
        return vec![Finding::warning(&file.path, 0, message)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn severities(lines: usize) -> Vec<Severity> {
        let file = RustFile::fixture("crates/a/src/lib.rs", &"//! A line.\n".repeat(lines));
        check(&file).into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn a_long_file_is_a_warning_and_a_longer_one_an_error() {
        assert_eq!(severities(400), []);
        assert_eq!(severities(401), [Severity::Warning]);
        assert_eq!(severities(800), [Severity::Warning]);
        assert_eq!(severities(801), [Severity::Error]);
    }
}
