//! The files that the rules read: every `.rs` of `crates/` and `xtask/`, every `.md` of the repository.
//!
//! Files that git does not know yet are read too, so that `tidy` says today what CI would say tomorrow. Build products
//! and hidden folders are not.

use std::fs;
use std::path::Path;

use anyhow::Context;
use proc_macro2::TokenStream;

use super::finding::Finding;

/// Everything that was read. Paths are relative to the workspace, with `/`.
pub(super) struct Tree {
    pub(super) rust: Vec<RustFile>,
    pub(super) markdown: Vec<(String, String)>,
}

/// A Rust file that parses.
pub(super) struct RustFile {
    pub(super) path: String,
    pub(super) text: String,
    /// Everything but comments; also what is inside macro calls, which `syntax` does not look into.
    pub(super) tokens: TokenStream,
    pub(super) syntax: syn::File,
}

impl Tree {
    /// Reads the repository; a file that does not parse is a finding, and no rule sees it.
    pub(super) fn read(root: &Path) -> anyhow::Result<(Self, Vec<Finding>)> {
        let mut paths = Vec::new();
        collect(root, "", &mut paths)?;
        paths.sort();
        let mut tree = Self { rust: Vec::new(), markdown: Vec::new() };
        let mut findings = Vec::new();
        for path in paths {
            let text = fs::read_to_string(root.join(&path)).with_context(|| format!("can't read {path}"))?;
            if path.ends_with(".md") {
                tree.markdown.push((path, text));
            } else if path.starts_with("crates/") || path.starts_with("xtask/") {
                match RustFile::parse(path, text) {
                    Ok(file) => tree.rust.push(file),
                    Err(finding) => findings.push(finding),
                }
            }
        }
        Ok((tree, findings))
    }

    /// Path and text of every file, Rust and Markdown.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let rust = self.rust.iter().map(|file| (file.path.as_str(), file.text.as_str()));
        rust.chain(self.markdown.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }
}

impl RustFile {
    /// Parses with line numbers.
    pub(super) fn parse(path: String, text: String) -> Result<Self, Finding> {
        let parsed = text.parse::<TokenStream>().map_err(|error| (error.span(), error.to_string()));
        let parsed = parsed.and_then(|tokens| {
            let syntax = syn::parse2(tokens.clone()).map_err(|error| (error.span(), error.to_string()))?;
            Ok((tokens, syntax))
        });
        match parsed {
            Ok((tokens, syntax)) => Ok(Self { path, text, tokens, syntax }),
            Err((span, error)) => {
                Err(Finding::error(&path, span.start().line, format!("does not parse: {error}")))
            }
        }
    }

    /// Whether all of the file is test code, by its place or its name.
    pub(super) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/") || name == "tests.rs" || name.ends_with("_tests.rs")
    }

    /// A file for the rules' own tests.
    #[cfg(test)]
    pub(super) fn fixture(path: &str, text: &str) -> Self {
        Self::parse(path.to_owned(), text.to_owned()).expect("fixtures parse")
    }
}

fn collect(root: &Path, folder: &str, paths: &mut Vec<String>) -> anyhow::Result<()> {
    let entries = fs::read_dir(root.join(folder)).with_context(|| format!("can't list {folder:?}"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("can't list {folder:?}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect(root, &path, paths)?;
            }
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_parse_is_found_with_its_line() {
        let parsed =
            RustFile::parse("crates/a/src/lib.rs".into(), "//! A.\nfn f() {\n    let = 1;\n}\n".into());
        let finding = parsed.err().expect("it is broken");
        assert_eq!(finding.line, 3, "{finding}");
    }

    #[test]
    fn test_code_is_known_by_its_place() {
        for (path, expected) in [
            ("crates/a/tests/contract.rs", true),
            ("crates/a/src/rules/tests.rs", true),
            ("crates/a/src/rules_tests.rs", true),
            ("crates/a/src/contests.rs", false),
        ] {
            assert_eq!(RustFile::fixture(path, "").is_test(), expected, "{path}");
        }
    }
}
