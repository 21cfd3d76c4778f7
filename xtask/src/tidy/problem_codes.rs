//! Each problem code that a client can get has its section in the docs, and each section its code.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use super::finding::Finding;
use super::tree::Tree;

/// Where the codes are: every `=> "snake_case"` in this file is one.
const CODES: &str = "crates/contracts/src/problem.rs";

/// Where they are explained, under a heading "### `code`".
const DOCS: &str = "docs/errors.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(codes) = tree.rust.iter().find(|file| file.path == CODES) else {
        return vec![Finding::error(
            CODES,
            0,
            "the problem codes are expected here: tell tidy where they went",
        )];
    };
    let docs = tree.markdown.iter().find(|(path, _)| path == DOCS);
    let Some((_, docs)) = docs else {
        return vec![Finding::error(
            DOCS,
            0,
            "missing: it explains each problem code under a heading \"### `code`\"",
        )];
    };
    compare(&codes_in(&codes.tokens), &headings_in(docs))
}

/// Both by their line.
fn compare(codes: &BTreeMap<String, usize>, headings: &BTreeMap<String, usize>) -> Vec<Finding> {
    let unexplained = codes.iter().filter(|(code, _)| !headings.contains_key(*code)).map(|(code, line)| {
        let message =
            format!("the code {code} has no section in {DOCS}: say there what it means and what to do");
        Finding::error(CODES, *line, message)
    });
    let unknown = headings.iter().filter(|(code, _)| !codes.contains_key(*code)).map(|(code, line)| {
        Finding::error(
            DOCS,
            *line,
            format!("nothing answers with the code {code}: remove its section, or correct it"),
        )
    });
    unexplained.chain(unknown).collect()
}

/// Every snake_case string after an arrow, also inside macro calls.
fn codes_in(tokens: &TokenStream) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => codes.extend(codes_in(&group.stream())),
            TokenTree::Literal(literal) if follows_arrow(&tokens[..at]) => {
                if let Some(code) = as_code(&literal.to_string()) {
                    codes.insert(code, literal.span().start().line);
                }
            }
            _ => {}
        }
    }
    codes
}

fn follows_arrow(before: &[TokenTree]) -> bool {
    let [.., TokenTree::Punct(equals), TokenTree::Punct(greater)] = before else { return false };
    equals.as_char() == '=' && greater.as_char() == '>'
}

fn as_code(literal: &str) -> Option<String> {
    let code = literal.strip_prefix('"')?.strip_suffix('"')?;
    let snake_case =
        !code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    snake_case.then(|| code.to_owned())
}

fn headings_in(docs: &str) -> BTreeMap<String, usize> {
    let heading = |line: &str| Some(line.strip_prefix("### `")?.split_once('`')?.0.to_owned());
    docs.lines().enumerate().filter_map(|(index, line)| Some((heading(line)?, index + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::RustFile;
    use super::*;

    const SOURCE: &str = "//! Codes.\ncodes! {\n    NotFound => \"not_found\", 404, \"There is none\";\n}\n\
        fn title(code: Code) -> &'static str { match code { Code::Gone => \"It is gone\" } }\n\
        fn as_str(code: Code) -> &'static str {\n    match code { Code::Gone => \"gone\" }\n}\n";

    fn findings(docs: Option<&str>) -> Vec<(String, usize)> {
        let markdown = docs.map(|docs| (DOCS.to_owned(), docs.to_owned()));
        let tree =
            Tree { rust: vec![RustFile::fixture(CODES, SOURCE)], markdown: markdown.into_iter().collect() };
        check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect()
    }

    #[test]
    fn a_code_without_a_section_is_found_where_it_is_defined() {
        assert_eq!(findings(Some("# Errors\n\n### `gone`\n")), [(CODES.to_owned(), 3)]);
    }

    #[test]
    fn a_section_without_a_code_is_found_in_the_docs() {
        let docs = "# Errors\n\n### `gone`\n### `not_found`\n### `left`\n";
        assert_eq!(findings(Some(docs)), [(DOCS.to_owned(), 5)]);
    }

    #[test]
    fn both_complete_is_fine_and_no_docs_at_all_is_not() {
        assert_eq!(findings(Some("### `gone`\n### `not_found`\n")), []);
        assert_eq!(findings(None), [(DOCS.to_owned(), 0)]);
    }
}
