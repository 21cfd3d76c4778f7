//! Programs that tests and checks start, installed below `target/tools`.
//!
//! Not for the tool chain and not for libraries. Every tool has one pinned version, comes from a package registry, and
//! is found as `target/tools/bin/NAME`; `ip` alone is the machine's own. A stamp with the version is written last, so a
//! broken install is done again; a lock file makes a second task wait for the first instead of installing over it.

pub(crate) mod cargo_deny;
mod debian;
mod faketime;
mod iproute2;
mod nats;
mod openbao;
mod python;
mod schemathesis;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;

use crate::workspace::Workspace;

/// Every tool there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// The OpenBao server, as an L1 root in tests: `bin/bao`
    Openbao,
    /// The NATS server, as the mesh's broker in tests: `bin/nats-server`
    Nats,
    /// The `ip` program of the machine, for tests with network partitions
    Iproute2,
    /// Shows a process another wall clock, for the measurement of leases: `bin/libfaketime`
    Faketime,
    /// Checks the HTTP API against its OpenAPI document: `bin/schemathesis`
    Schemathesis,
    /// Checks the dependency policy: `bin/cargo-deny`, unless a right one is on the PATH
    CargoDeny,
}

/// `cargo xtask tools`: installs the named tools, or all, and says where they are.
pub(crate) fn install_and_tell(workspace: &Workspace, names: &[Tool]) -> anyhow::Result<ExitCode> {
    let names = if names.is_empty() { Tool::value_variants() } else { names };
    install(workspace, names)?;
    println!("tools are in {}", workspace.tools().join("bin").display());
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing or has another version; quick when nothing is.
pub(crate) fn install(workspace: &Workspace, names: &[Tool]) -> anyhow::Result<()> {
    let shelf = Shelf::open(workspace.tools())?;
    for tool in names {
        match tool {
            Tool::Openbao => openbao::install(&shelf)?,
            Tool::Nats => nats::install(&shelf)?,
            Tool::Iproute2 => iproute2::install()?,
            Tool::Faketime => faketime::install(&shelf)?,
            Tool::Schemathesis => schemathesis::install(&shelf)?,
            Tool::CargoDeny => cargo_deny::install(&shelf, &workspace.root)?,
        }
    }
    Ok(())
}

/// The tools' folder, locked against other tasks while this value lives.
struct Shelf {
    root: PathBuf,
    _lock: File,
}

impl Shelf {
    fn open(root: PathBuf) -> anyhow::Result<Self> {
        let told = || format!("can't use {} for tools", root.display());
        fs::create_dir_all(root.join("bin")).with_context(told)?;
        let lock = File::create(root.join("lock")).with_context(told)?;
        if lock.try_lock().is_err() {
            println!("waiting for another task that installs tools");
            lock.lock().with_context(told)?;
        }
        Ok(Self { root, _lock: lock })
    }

    /// Installs unless the stamp says that this very `version` is there and its program is, too.
    ///
    /// `make` gets an empty folder of its own and answers with the program inside it, which is then linked into `bin`.
    fn keep(
        &self,
        name: &str,
        version: &str,
        make: impl FnOnce(&Path) -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<()> {
        let folder = self.root.join(name);
        let stamp = self.root.join(format!("{name}.stamp"));
        let link = self.root.join("bin").join(name);
        // The folder is part of the stamp: virtual environments hold absolute paths and break when moved.
        let wanted = format!("{name} {version} in {}\n", folder.display());
        if link.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        println!("installing {name} {version}");
        remove(&stamp)?;
        remove(&link)?;
        remove(&folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        let program = make(&folder)?;
        std::os::unix::fs::symlink(&program, &link)
            .with_context(|| format!("can't link {} to {}", link.display(), program.display()))?;
        fs::write(&stamp, wanted).with_context(|| format!("can't write {}", stamp.display()))
    }
}

/// Removes a file, a link or a whole folder; fine when there is none.
fn remove(path: &Path) -> anyhow::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("can't remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shelf in a folder of its own below the build's temporary directory.
    fn shelf(name: &str) -> Shelf {
        let root = std::env::temp_dir().join(format!("openkcm-xtask-{}-{name}", std::process::id()));
        remove(&root).unwrap();
        Shelf::open(root).unwrap()
    }

    fn write_program(folder: &Path) -> anyhow::Result<PathBuf> {
        let program = folder.join("program");
        fs::write(&program, "")?;
        Ok(program)
    }

    #[test]
    fn a_tool_is_installed_once_and_again_for_another_version() {
        let shelf = shelf("versions");
        let mut installs = 0;
        for version in ["1", "1", "2", "2"] {
            shelf
                .keep("tool", version, |folder| {
                    installs += 1;
                    write_program(folder)
                })
                .unwrap();
        }
        assert_eq!(installs, 2);
        assert!(shelf.root.join("bin/tool").exists());
        remove(&shelf.root).unwrap();
    }

    #[test]
    fn a_failed_install_is_not_taken_for_a_tool() {
        let shelf = shelf("failure");
        assert!(shelf.keep("tool", "1", |_| anyhow::bail!("no registry")).is_err());
        let mut again = false;
        shelf
            .keep("tool", "1", |folder| {
                again = true;
                write_program(folder)
            })
            .unwrap();
        assert!(again);
        remove(&shelf.root).unwrap();
    }

    #[test]
    fn a_second_task_waits_until_the_first_has_let_go() {
        let first = shelf("lock");
        let other = File::create(first.root.join("lock")).unwrap();
        assert!(other.try_lock().is_err());
        let root = first.root.clone();
        drop(first);
        other.try_lock().unwrap();
        remove(&root).unwrap();
    }
}
