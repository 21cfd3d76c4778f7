//! `cargo xtask test`: tools, doc tests, then every other test.
//!
//! The order is chosen so that the runner's own summary is the last thing printed. All of it runs even when the doc
//! tests fail, so that one run shows every failure.

use std::process::{Command, ExitCode};

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// What the tests of the workspace start. A test finds a tool in `$OPENKCM_TOOLS/bin`.
const NEEDED: &[Tool] = &[Tool::Openbao, Tool::Nats, Tool::Iproute2, Tool::Schemathesis];

/// The variable that tells tests where the tools are.
pub(crate) const TOOLS_VARIABLE: &str = "OPENKCM_TOOLS";

/// Runs the tests; with a filter only those whose name contains one of its words, and no doc tests.
pub(crate) fn run(workspace: &Workspace, no_install: bool, filter: &[String]) -> anyhow::Result<ExitCode> {
    if !no_install {
        tools::install(workspace, NEEDED)?;
    }
    let mut passed = true;
    if filter.is_empty() {
        let mut documentation = cargo(workspace);
        documentation.args(["test", "--doc", "--workspace", "--locked", "--no-fail-fast"]);
        passed &= process::run(&mut documentation)?.success();
        if !passed {
            eprintln!("error: the doc tests failed (above); the other tests run now");
        }
    }
    let mut tests = cargo(workspace);
    tests.args(runner_arguments(has_nextest(workspace), filter));
    passed &= process::run(&mut tests)?.success();
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo(workspace: &Workspace) -> Command {
    let mut cargo = process::cargo(&workspace.root);
    cargo.env(TOOLS_VARIABLE, workspace.tools());
    cargo
}

fn has_nextest(workspace: &Workspace) -> bool {
    process::answer(process::cargo(&workspace.root).args(["nextest", "--version"])).is_some()
}

fn runner_arguments(nextest: bool, filter: &[String]) -> Vec<&str> {
    let mut arguments = if nextest {
        vec!["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]
    } else {
        // `--tests` is everything but doc tests, which ran before.
        vec!["test", "--tests", "--workspace", "--locked", "--no-fail-fast"]
    };
    if !filter.is_empty() {
        arguments.push("--");
        arguments.extend(filter.iter().map(String::as_str));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_is_used_where_it_is_present_and_cargo_test_otherwise() {
        assert_eq!(runner_arguments(true, &[])[..2], ["nextest", "run"]);
        assert_eq!(runner_arguments(false, &[])[..2], ["test", "--tests"]);
    }

    #[test]
    fn the_words_of_a_filter_reach_the_runner_as_filters_and_never_as_options() {
        let filter = ["--lease".to_owned(), "seal".to_owned()];
        for nextest in [true, false] {
            let arguments = runner_arguments(nextest, &filter);
            assert_eq!(arguments[arguments.len() - 3..], ["--", "--lease", "seal"]);
        }
    }
}
