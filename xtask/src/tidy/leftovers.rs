//! Nothing half-done is left in the code: what is not done is an issue, not a comment.

use super::finding::Finding;
use super::tree::RustFile;

/// Words that stand for unfinished work. In pieces, so that this file does not find itself.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Macros that stand for unfinished work.
const MACROS: &[&str] = &[concat!("to", "do!"), concat!("un", "implemented!")];

pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in MARKS.iter().chain(MACROS).filter(|mark| has_word(line, mark)) {
            let message = format!("`{mark}`: finish it, or open an issue and remove the mark");
            findings.push(Finding::error(&file.path, index + 1, message));
        }
    }
    findings
}

/// Whether `word` stands in `line` with no letter, digit or `_` right before or after it.
fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let open_ended = word.ends_with('!');
        !before.is_some_and(in_word) && (open_ended || !after.is_some_and(in_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(text: &str) -> Vec<usize> {
        let file = RustFile::fixture("crates/a/src/lib.rs", text);
        check(&file).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_mark_is_found_on_its_line() {
        for mark in MARKS {
            assert_eq!(lines(&format!("//! A.\n// {mark}: later\n")), [2], "{mark}");
        }
        for call in MACROS {
            assert_eq!(lines(&format!("//! A.\n\nfn f() {{ {call}() }}\n")), [3], "{call}");
        }
    }

    #[test]
    fn longer_words_are_something_else() {
        for word in ["HACKATHON", "XXXL", "_TODOS", "is_todo!"] {
            assert_eq!(lines(&format!("// {word}\n")), NONE, "{word}");
        }
    }
}
