//! Where streams come from and go to: stdin and stdout, or files.
//!
//! What always holds: a file that is named as output appears whole, synced, or not at all; what was there before
//! stays until then. It may be the same file as the input.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use openkcm_host::{OsEntropy, random_array};
use zeroize::Zeroizing;

use super::output::write_failed;
use super::report::Usage;

/// The largest `kcm1.…` text that is read: one of the largest plaintext that a Core takes, and some room.
pub(crate) const MAX_CIPHERTEXT_BYTES: u64 = 2 * 1024 * 1024;

/// The flags of commands that turn a stream into another.
#[derive(Args)]
pub(crate) struct StreamFlags {
    /// Read from this file [default: stdin]
    #[arg(id = "in", long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write to this file, which appears when it is whole [default: stdout]
    #[arg(id = "out", long = "out", value_name = "FILE")]
    output: Option<PathBuf>,
}

impl StreamFlags {
    /// Opens the input, and tells its length if that is known.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) fn open(&self) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
        let file = match &self.input {
            Some(path) => File::open(path).with_context(|| format!("can't open {}", path.display()))?,
            // Past std's own buffer, which would be searched for nothing.
            None => File::from(io::stdin().as_fd().try_clone_to_owned().context("can't read from stdin")?),
        };
        let about = file.metadata().context("can't look at the input")?;
        let len = (about.is_file() && self.input.is_some()).then_some(about.len());
        Ok((Box::new(file), len))
    }

    /// Gets ready to write. `private` is for what only its owner may read.
    ///
    /// # Errors
    /// When the output can't be written to, or is a terminal and the data is not for one.
    pub(crate) fn create(&self, private: bool, for_terminals: bool) -> anyhow::Result<Output> {
        let Some(path) = &self.output else {
            if io::stdout().is_terminal() && !for_terminals {
                return Err(Usage(
                    "binary data is not written to a terminal: redirect stdout, or name a file by --out",
                )
                .into());
            }
            // Past std's own buffer, which would be searched for line ends.
            let stdout = io::stdout().as_fd().try_clone_to_owned().context("can't write to stdout")?;
            return Ok(Output { file: File::from(stdout), place: None });
        };
        Output::beside(path, private).with_context(|| format!("can't write {}", path.display()))
    }
}

/// Something that is being written.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// Where it is now and where it goes; not for what is written in place.
    place: Option<(Unfinished, PathBuf)>,
}

impl Output {
    /// A file beside `path`, until it is finished. A device or a pipe is written to as it is.
    fn beside(path: &Path, private: bool) -> io::Result<Self> {
        let target = match fs::canonicalize(path) {
            Ok(target) if !target.is_file() => {
                return Ok(Self { file: OpenOptions::new().write(true).open(target)?, place: None });
            }
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let Some(name) = target.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
        let unique = u64::from_be_bytes(random_array(&OsEntropy::new()));
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{unique:016x}.partial"));
        let beside = target.with_file_name(beside);
        let mode = if private { 0o600 } else { 0o666 };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        Ok(Self { file, place: Some((Unfinished(beside), target)) })
    }

    /// Makes it what it was to be: synced, and under its name.
    ///
    /// # Errors
    /// When the disk does not take it; then there is nothing, or what was there before.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let Some((unfinished, target)) = self.place else { return Ok(()) };
        self.file.sync_all().map_err(write_failed)?;
        fs::rename(&unfinished.0, &target).map_err(write_failed)?;
        std::mem::forget(unfinished);
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(write_failed)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is removed unless it becomes something.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It may be gone already, and there is nothing more to do if it can't be removed.
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads a small input as a whole.
///
/// # Errors
/// When it can't be read or is longer than `limit`; `otherwise` says what to do then.
pub(crate) fn read_small(
    input: &mut dyn Read,
    limit: u64,
    otherwise: &str,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a vector that grows would leave copies behind.
    let capacity = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    input.take(limit + 1).read_to_end(&mut bytes).context("can't read the input")?;
    ensure!(bytes.len() as u64 <= limit, "the input is longer than {limit} bytes: {otherwise}");
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_finished_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        fs::write(&path, "before").unwrap();
        let mut output = Output::beside(&path, false).unwrap();
        output.write_all(b"after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::beside(&folder.path().join("out"), true).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn a_plaintext_is_its_owners_alone_from_its_first_byte_on() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let output = Output::beside(&folder.path().join("out"), true).unwrap();
        assert_eq!(output.file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_is_written_through_and_a_device_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "before").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mut output = Output::beside(&link, false).unwrap();
        output.write_all(b"after").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(Output::beside(Path::new("/dev/null"), false).unwrap().place.is_none());
    }
}
