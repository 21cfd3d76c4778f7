//! `unsafe` lives in one file, which can be read in one sitting.
//!
//! The lint `unsafe_code` can be allowed anywhere with one attribute; this rule can't.

use proc_macro2::{TokenStream, TokenTree};

use super::finding::Finding;
use super::tree::RustFile;

/// Where memory is locked, kept out of dumps and wiped.
const ALLOWED: &str = "crates/secrets/src/locked.rs";

/// Its tests, which look at memory after it was given back.
const ITS_TESTS: &str = "crates/secrets/src/locked/tests.rs";

pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    if [ALLOWED, ITS_TESTS].contains(&file.path.as_str()) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    collect(&file.tokens, &mut lines);
    let message = format!("`unsafe` is for {ALLOWED} alone: use what it offers, or a safe crate");
    lines.into_iter().map(|line| Finding::error(&file.path, line, &*message)).collect()
}

fn collect(tokens: &TokenStream, lines: &mut Vec<usize>) {
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(name) if name == "unsafe" => lines.push(name.span().start().line),
            TokenTree::Group(group) => collect(&group.stream(), lines),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    const BLOCK: &str =
        "//! Nothing unsafe here.\nfn f() {\n    // unsafe\n    let a = \"unsafe\";\n    unsafe { g() }\n}\n";

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&RustFile::fixture(path, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn code_is_found_and_words_about_it_are_not() {
        assert_eq!(lines("crates/a/src/lib.rs", BLOCK), [5]);
    }

    #[test]
    fn the_inside_of_a_macro_call_is_seen() {
        assert_eq!(lines("crates/a/src/lib.rs", "fn f() {\n    m!(unsafe { g() })\n}"), [2]);
    }

    #[test]
    fn the_one_file_may() {
        assert_eq!(lines(ALLOWED, BLOCK), NONE);
    }
}
