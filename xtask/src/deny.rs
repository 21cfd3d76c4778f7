//! `cargo xtask deny`: the dependency policy of `deny.toml`.
//!
//! Advisories are not checked: their database is a git repository, and this must run where only package registries
//! can be reached.

use std::process::ExitCode;

use crate::process;
use crate::tools::{self, Tool, cargo_deny};
use crate::workspace::Workspace;

/// What cargo-deny looks at.
const CHECKS: &[&str] = &["bans", "licenses", "sources"];

/// Installs cargo-deny unless a right version is there, and runs it over the whole workspace.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    tools::install(workspace, &[Tool::CargoDeny])?;
    let program = cargo_deny::find(&workspace.tools()).ok_or_else(|| {
        anyhow::anyhow!("cargo-deny was installed but does not start: run it by hand to see why")
    })?;
    let mut deny = process::program(program);
    deny.current_dir(&workspace.root).args(["--locked", "check"]).args(CHECKS);
    Ok(if process::run(&mut deny)?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
