//! Where test tools are: `$OPENKCM_TOOLS/bin`, or `target/tools/bin` of this workspace.
//!
//! Nothing is installed from here; `cargo xtask tools` does that.

use std::path::{Path, PathBuf};

/// The variable that `cargo xtask test` sets.
const TOOLS_VARIABLE: &str = "OPENKCM_TOOLS";

/// The program `name`; `package` is what `cargo xtask tools` calls it.
///
/// # Panics
///
/// When it is not there: a test that needs it must fail, not be skipped.
pub fn tool(name: &str, package: &str) -> PathBuf {
    let tools = std::env::var_os(TOOLS_VARIABLE).map_or_else(in_workspace, PathBuf::from);
    let program = tools.join("bin").join(name);
    assert!(program.exists(), "this test needs {}: run `cargo xtask tools {package}`", program.display());
    program
}

fn in_workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}
