//! Every file opens with what it is for.

use super::finding::Finding;
use super::tree::RustFile;

pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let opens = file.text.strip_prefix("//!").is_some_and(|rest| {
        let first = rest.lines().next().unwrap_or_default();
        !first.trim().is_empty()
    });
    if opens {
        return Vec::new();
    }
    let message =
        "the file must open with `//!` lines: what it is for, what it is not for, what always holds";
    vec![Finding::error(&file.path, 1, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        for (text, expected) in [
            ("//! Seals keys.\nuse a::B;\n", 0),
            ("use a::B;\n", 1),
            ("//!\nuse a::B;\n", 1),
            ("// Seals keys.\nuse a::B;\n", 1),
            ("", 1),
        ] {
            assert_eq!(check(&RustFile::fixture("crates/a/src/lib.rs", text)).len(), expected, "{text:?}");
        }
    }
}
