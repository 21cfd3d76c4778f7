//! Where this checkout lies and where its build products go.
//!
//! Not for the dependency graph: that is `tidy::crate_picture`'s. Paths here are absolute.

use std::path::PathBuf;

use anyhow::Context;
use cargo_metadata::MetadataCommand;

/// The directories that tasks work in.
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory; `CARGO_TARGET_DIR` and cargo's configuration move it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that every way to move the target directory is honoured.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .context("can't read the workspace: run `cargo xtask` inside a checkout of OpenKCM")?;
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            target: metadata.target_directory.into_std_path_buf(),
        })
    }

    /// Where test tools are installed; tests get it as `OPENKCM_TOOLS`.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}
