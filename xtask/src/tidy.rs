//! `cargo xtask tidy`: the style that matters, as a test.
//!
//! Not for what rustfmt, clippy and cargo-deny check already. Each rule is one file beside this one with a test that
//! shows it catching a violation; none of them writes anything. A rule says what is wrong, where, and what to do.

mod crate_picture;
mod error_display;
mod file_length;
mod finding;
mod function_length;
mod leftovers;
mod machine_paths;
mod markdown_links;
mod module_docs;
mod problem_codes;
mod tree;
mod unsafe_code;

use std::process::ExitCode;

use self::finding::{Finding, Severity};
use self::tree::{RustFile, Tree};
use crate::workspace::Workspace;

/// The rules for one Rust file.
const RUST_RULES: &[fn(&RustFile) -> Vec<Finding>] = &[
    error_display::check,
    file_length::check,
    function_length::check,
    leftovers::check,
    module_docs::check,
    unsafe_code::check,
];

/// Checks everything and prints every finding; only errors make it fail.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let (tree, mut findings) = Tree::read(&workspace.root)?;
    for file in &tree.rust {
        findings.extend(RUST_RULES.iter().flat_map(|rule| rule(file)));
    }
    for (path, text) in tree.texts() {
        findings.extend(machine_paths::check(path, text));
    }
    for (path, text) in &tree.markdown {
        findings.extend(markdown_links::check(path, text, |target| workspace.root.join(target).exists()));
    }
    findings.extend(problem_codes::check(&tree));
    findings.extend(crate_picture::check(&workspace.root)?);
    Ok(tell(findings, &tree))
}

fn tell(mut findings: Vec<Finding>, tree: &Tree) -> ExitCode {
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    let (rust, markdown) = (tree.rust.len(), tree.markdown.len());
    println!("tidy: {rust} Rust and {markdown} Markdown files, {errors} errors, {warnings} warnings");
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
