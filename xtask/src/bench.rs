//! Measurements: builds the release binaries and runs `openkcm-bench` with what it needs.

use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::process::{cargo, run};
use crate::test::TOOLS_VARIABLE;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Builds, then runs one scenario of `crates/bench`.
pub(crate) fn run_scenario(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<ExitCode> {
    tools::install(workspace, &[Tool::Openbao, Tool::Nats])?;
    if arguments.first().is_some_and(|scenario| scenario == "lease") {
        tools::install(workspace, &[Tool::Faketime])?;
    }
    let mut build = cargo(&workspace.root);
    build.args(["build", "--release", "--locked", "-p", "openkcm", "-p", "openkcm-bench"]);
    if !run(&mut build)?.success() {
        bail!("the release build failed");
    }
    let mut bench = cargo(&workspace.root);
    bench.args(["run", "--quiet", "--release", "--locked", "-p", "openkcm-bench", "--"]).args(arguments);
    bench.env(TOOLS_VARIABLE, workspace.tools());
    let status = run(&mut bench).context("the measurement can't be run")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
