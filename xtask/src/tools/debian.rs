//! Programs of the machine itself that are missing: installed with apt-get where this is root on a Debian.
//!
//! Not for test tools, which come from registries in pinned versions. It says what it installs before it does; on any
//! other machine nothing is touched, and the caller says what to install by hand.

use anyhow::bail;

use crate::process;

/// Whether packages can be installed here: root, and apt-get is there.
pub(super) fn can_install() -> bool {
    let is_root = process::answer(process::program("id").arg("-u")).as_deref() == Some("0");
    is_root && process::answer(process::program("apt-get").arg("--version")).is_some()
}

/// Installs Debian packages; `missing` says what for.
pub(super) fn install(missing: &str, packages: &[&str]) -> anyhow::Result<()> {
    println!("{missing} is missing: installing {} with apt-get", packages.join(", "));
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let mut apt_get = process::program("apt-get");
    apt_get.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet").args(arguments);
    if let Err(printed) = process::run_quietly(&mut apt_get)? {
        bail!("apt-get {} failed: {printed}", arguments.join(" "));
    }
    Ok(())
}
