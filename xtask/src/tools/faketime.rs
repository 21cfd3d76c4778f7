//! The library that shows a process another wall clock, for the measurement of leases: `bin/libfaketime`.
//!
//! From Debian, unpacked and not installed: nothing of the machine changes. Its licence (GPL) concerns nothing here: it
//! is loaded into processes that a measurement starts, and is no part of what is built.

use anyhow::{Context, bail};

use super::Shelf;
use crate::process;

const PACKAGE: &str = "libfaketime";

/// Debian 12's; another Debian has another, which does as well.
const VERSION: &str = "0.9.10";

pub(super) fn install(shelf: &Shelf) -> anyhow::Result<()> {
    shelf.keep(PACKAGE, VERSION, |folder| {
        let mut download = process::program("apt-get");
        download.current_dir(folder).args(["--quiet", "download", PACKAGE]);
        if let Err(printed) = process::run_quietly(&mut download)? {
            bail!("apt-get can't download {PACKAGE}, which needs Debian and its lists (apt-get update): {printed}");
        }
        let archive = std::fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get downloaded nothing")?;
        let mut unpack = process::program("dpkg-deb");
        unpack.arg("-x").arg(&archive).arg(folder);
        if let Err(printed) = process::run_quietly(&mut unpack)? {
            bail!("{} can't be unpacked: {printed}", archive.display());
        }
        let libraries = folder.join("usr/lib");
        let found = std::fs::read_dir(&libraries)?
            .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketime.so.1")))
            .find(|library| library.exists());
        found.with_context(|| format!("{PACKAGE} has no library below {}", libraries.display()))
    })
}
