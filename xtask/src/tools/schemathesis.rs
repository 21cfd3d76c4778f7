//! Schemathesis, which sends what the OpenAPI document allows, and what it does not, and judges the answers.
//!
//! What it pulls in is pinned beside this file, so that a run of today and one of next year check the same.

use super::Shelf;
use super::python::Python;

const PACKAGE: &str = "schemathesis";
const VERSION: &str = "4.32.5";

/// The versions of everything below it. After a change of `VERSION`: install without it, then `pip freeze`.
const CONSTRAINTS: &str = include_str!("schemathesis-constraints.txt");

pub(super) fn install(shelf: &Shelf) -> anyhow::Result<()> {
    shelf.keep(PACKAGE, VERSION, |folder| {
        Python::with_venv()?.environment(PACKAGE, VERSION, CONSTRAINTS, folder)?;
        Ok(folder.join("bin").join(PACKAGE))
    })
}
