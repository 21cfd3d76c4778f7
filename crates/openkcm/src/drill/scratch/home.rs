//! The directory of a scratch landscape: made for it, and gone with it unless it is to be kept.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use openkcm_host::{Entropy, random_hex};

use crate::cli::output;
use crate::files;

/// A directory that is removed with this value.
pub(super) struct Home {
    directory: PathBuf,
    keep: bool,
}

impl Home {
    /// The directory that was named, which is empty or not there; or one among the temporary ones.
    pub(super) fn make(named: Option<&Path>, keep: bool, entropy: &dyn Entropy) -> anyhow::Result<Self> {
        let directory = match named {
            Some(named) => std::path::absolute(named)?,
            None => std::env::temp_dir().join(format!("openkcm-drill-{}", random_hex::<6>(entropy))),
        };
        if fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!(
                "{} is not empty: a drill removes what it works in, so name another --dir",
                directory.display()
            );
        }
        files::private_directory(&directory)?;
        let home = Self { directory, keep };
        for room in ["logs", "backups"] {
            files::private_directory(&home.path(room))?;
        }
        Ok(home)
    }

    /// A file or directory of it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Has it outlive this value, for someone who looks for what went wrong.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.keep {
            return output::note(&format!("the landscape's directory is kept: {}", self.directory.display()));
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            output::warn(&format!("{} can't be removed: {error}", self.directory.display()));
        }
    }
}

/// Copies a directory with all that is in it: files and directories, and no links.
pub(super) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let reading = || format!("{} can't be read", from.display());
    files::private_directory(to)?;
    for entry in fs::read_dir(from).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let target = to.join(entry.file_name());
        if entry.file_type().with_context(reading)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("{} can't be written", target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use openkcm_host::SeededEntropy;

    use super::*;

    #[test]
    fn a_home_goes_with_its_value_unless_it_is_kept_and_takes_nobody_elses_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let named = directory.path().join("drill");
        let make = |keep| Home::make(Some(&named), keep, &SeededEntropy::new(1));
        drop(make(false).expect("made"));
        assert!(!named.exists());
        drop(make(true).expect("made"));
        assert!(named.join("logs").is_dir());
        assert!(make(false).is_err(), "what lies there is not the drill's to remove");
        assert!(named.exists());
    }
}
