//! cargo-deny, built from source: no prebuilt one can be had from a package registry.
//!
//! It is built without optimization. Measured on two cores: one minute instead of several, and a check of this
//! workspace still takes seconds.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::Shelf;
use crate::process;

const VERSION: &str = "0.20.2";

/// Any release of this line understands `deny.toml`.
const SAME_LINE: &str = "cargo-deny 0.20.";

const FAST_BUILD: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
];

/// The cargo-deny to use: ours, or one on the PATH.
pub(crate) fn find(tools: &Path) -> Option<PathBuf> {
    [tools.join("bin/cargo-deny"), PathBuf::from("cargo-deny")].into_iter().find(|program| is_right(program))
}

pub(super) fn install(shelf: &Shelf, workspace: &Path) -> anyhow::Result<()> {
    if find(&shelf.root).is_some() {
        return Ok(());
    }
    shelf.keep("cargo-deny", VERSION, |folder| {
        let build = folder.join("build");
        let mut cargo = process::cargo(workspace);
        cargo.envs(FAST_BUILD.iter().copied());
        cargo
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"])
            .arg(folder);
        // Our own target directory would take the workspace's build lock and keep half a gigabyte for nothing.
        cargo.arg("--target-dir").arg(&build);
        if !process::run(&mut cargo)?.success() {
            bail!("cargo could not install cargo-deny {VERSION} (above); is the crate registry reachable?");
        }
        super::remove(&build)?;
        Ok(folder.join("bin/cargo-deny"))
    })
}

fn is_right(program: &Path) -> bool {
    process::answer(process::program(program).arg("--version"))
        .is_some_and(|version| version.starts_with(SAME_LINE))
}
