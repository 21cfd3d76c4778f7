//! Private files, written whole: what `dev`, `init` and the components keep on disk beside their stores.
//!
//! Not for what users encrypt and decrypt (`cli/files.rs`). What always holds: a reader sees the old file or the
//! new one, never a piece; what is made here is readable by its owner alone; a write that was killed is done again.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

/// The largest file that is read as a whole: a trust bundle of a thousand keys has a quarter of it.
const MAX_BYTES: u64 = 1024 * 1024;

/// The user that may give files away.
const ROOT: u32 = 0;

/// Makes a directory that nobody else may look into, and those above it.
pub(crate) fn private_directory(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the directory {} can't be made", path.display()))
}

/// A private directory within another one, of the same owner.
pub(crate) fn room(directory: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(name);
    if !path.is_dir() {
        private_directory(&path)?;
        let made = fs::File::open(&path).and_then(|made| keep_owner(&made, &path));
        made.with_context(|| format!("the directory {} can't be made", path.display()))?;
    }
    Ok(path)
}

/// Takes a directory for this process alone, for as long as the answer lives.
pub(crate) fn lock(directory: &Path) -> anyhow::Result<fs::File> {
    let path = directory.join("lock");
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} can't be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another process works in {}: stop that one first", directory.display())
        }
        Err(fs::TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} can't be locked", path.display()));
        }
    }
    keep_owner(&file, &path).with_context(|| format!("{} can't be made", path.display()))?;
    Ok(file)
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    read_bounded(path).with_context(|| format!("{} can't be read", path.display()))
}

/// The text of a file, if it is there.
pub(crate) fn read_if_there(path: &Path) -> anyhow::Result<Option<Zeroizing<String>>> {
    match read_bounded(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
}

fn read_bounded(path: &Path) -> io::Result<Zeroizing<String>> {
    let length = fs::metadata(path)?.len();
    if length > MAX_BYTES {
        let fault = format!("it has {length} bytes, and at most {MAX_BYTES} are expected");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, fault));
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

/// The text of a file; made of `first` when there is none yet.
pub(crate) fn once(
    path: &Path,
    first: impl FnOnce() -> anyhow::Result<Zeroizing<String>>,
) -> anyhow::Result<Zeroizing<String>> {
    if let Some(text) = read_if_there(path)? {
        return Ok(text);
    }
    let text = first()?;
    replace(path, text.as_bytes())?;
    Ok(text)
}

/// Puts a file in place whole: written beside it, synced, renamed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let draft = beside(path, ".new");
    let write = || -> io::Result<()> {
        // What a killed write left is not opened: in a directory of another user it may be a link to anything.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        keep_owner(&file, path)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        sync_directory(path)
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

/// Puts a file that is there under another name, over what is there.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    let renamed = fs::rename(from, to).and_then(|()| sync_directory(to));
    renamed.with_context(|| format!("{} can't become {}", from.display(), to.display()))
}

/// Makes a file that something else wrote private, of its directory's owner, and synced.
pub(crate) fn keep_private(path: &Path) -> anyhow::Result<()> {
    let keep = || -> io::Result<()> {
        let file = fs::File::open(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        keep_owner(&file, path)?;
        file.sync_all()
    };
    keep().with_context(|| format!("{} can't be kept private", path.display()))
}

/// A path with something added to its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Syncs the directory that a path is in, so that its name survives a loss of power too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

/// Gives what root made to whoever owns what it replaces, or else the directory: root may extend a landscape that
/// a service's own user reads.
fn keep_owner(made: &fs::File, path: &Path) -> io::Result<()> {
    let ours = made.metadata()?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let there = fs::symlink_metadata(path).ok().filter(|there| there.ino() != ours.ino());
    let model = there.map_or_else(|| fs::metadata(above), Ok)?;
    if ours.uid() == ROOT && model.uid() != ROOT {
        std::os::unix::fs::fchown(made, Some(model.uid()), Some(model.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_written_is_whole_and_its_owners_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = room(directory.path(), "keys").expect("a room").join("a.seed");
        fs::write(beside(&path, ".new"), "what a killed write left").expect("written");
        replace(&path, b"one").expect("written");
        assert_eq!((mode(&path), mode(path.parent().expect("a room"))), (0o600, 0o700));
        assert_eq!(*read(&path).expect("read"), "one");
        assert!(!beside(&path, ".new").exists());
    }

    #[test]
    fn what_is_there_is_made_only_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.seed");
        let make = |text: &str| once(&path, || Ok(Zeroizing::new(text.to_owned()))).expect("made");
        assert_eq!((make("one").as_str(), make("two").as_str()), ("one", "one"));
    }

    #[test]
    fn a_draft_that_is_a_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, victim) = (directory.path().join("a"), directory.path().join("victim"));
        fs::write(&victim, "kept").expect("written");
        std::os::unix::fs::symlink(&victim, beside(&path, ".new")).expect("linked");
        replace(&path, b"new").expect("written");
        assert_eq!(fs::read_to_string(&victim).expect("read"), "kept");
    }

    #[test]
    fn a_file_that_is_far_too_large_is_not_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("large");
        fs::File::create(&path).and_then(|file| file.set_len(MAX_BYTES + 1)).expect("made");
        assert!(format!("{:#}", read(&path).expect_err("too large")).contains("at most"));
    }
}
