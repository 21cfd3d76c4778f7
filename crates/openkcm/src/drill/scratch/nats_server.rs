//! Where the broker's program is.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// What the program is called.
const PROGRAM: &str = "nats-server";

/// Names the directory of installed tools.
const TOOLS: &str = "OPENKCM_TOOLS";

/// The program: that which was named, or of the tools, or on the PATH.
///
/// # Errors
/// When there is none; with what to do.
pub(super) fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        match named.is_file() {
            true => return Ok(std::path::absolute(named)?),
            false => bail!("--nats-server: there is no file {}", named.display()),
        }
    }
    let tools = std::env::var_os(TOOLS).map(|tools| PathBuf::from(tools).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(found) = first(tools.into_iter().chain(std::env::split_paths(&path))) else {
        bail!(
            "a scratch landscape needs {PROGRAM}, which is neither in ${TOOLS}/bin nor on the PATH: install NATS 2.14 or \
             newer (nats.io; `cargo xtask tools nats` puts one into target/tools/bin), or name it with --nats-server"
        );
    };
    Ok(found)
}

fn first(directories: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    directories.map(|directory| directory.join(PROGRAM)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_that_has_the_program_is_taken() {
        let (none, has) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
        std::fs::write(has.path().join(PROGRAM), "").expect("written");
        let both = [none.path(), has.path()].map(Path::to_path_buf);
        assert_eq!(first(both.into_iter()), Some(has.path().join(PROGRAM)));
        assert_eq!(first([none.path().to_path_buf()].into_iter()), None);
        assert!(find(Some(&none.path().join("x"))).expect_err("not there").to_string().contains("no file"));
    }
}
