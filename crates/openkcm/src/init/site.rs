//! The directory that `init` works in, with what it works by: time for certificates, randomness for keys.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use openkcm_host::{Clock, Entropy};

use crate::files;

/// A landscape's directory.
pub(crate) struct Site<'a> {
    directory: PathBuf,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) entropy: &'a dyn Entropy,
}

impl<'a> Site<'a> {
    /// # Errors
    /// When the directory's name fits no configuration file.
    pub(crate) fn new(
        directory: &Path,
        clock: &'a dyn Clock,
        entropy: &'a dyn Entropy,
    ) -> anyhow::Result<Self> {
        let directory = std::path::absolute(directory).context("the current directory can't be told")?;
        // It stands in nats.conf, between quotes.
        let fits = |text: &str| !text.chars().any(|c| c.is_control() || "\"\\".contains(c));
        if !directory.to_str().is_some_and(fits) {
            bail!("{} has a character that nats.conf can't hold: choose another name", directory.display());
        }
        Ok(Self { directory, clock, entropy })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file of it.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        files::replace(&self.path(name), text.as_bytes())
    }
}
