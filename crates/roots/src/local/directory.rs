//! The directory of the local roots: `NAME.key`, and the markers `NAME.disabled`, `NAME.deleted` and
//! `NAME.made`, which stays when the key goes.
//!
//! All of it blocks on the disk. What always holds: a key file is whole or not there; it is never
//! overwritten; a name that was deleted is not used again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use openkcm_host::{Entropy, random_array};
use openkcm_secrets::{LockedMemoryError, SecretKey};

use super::key_file;
use crate::RootError;

/// The name of a local root. It is part of a path, so it is checked when it enters: 1 to 63 of `a-z`, `0-9`
/// and `-`, no `-` at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName(String);

impl KeyName {
    /// The longest name, in bytes: that of a DNS label, so that a tenant's name can be its root's.
    const MAX_LEN: usize = 63;

    pub(super) fn parse(text: &str) -> Result<Self, CreateError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let edge = text.starts_with('-') || text.ends_with('-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(allowed) || edge {
            return Err(CreateError::Name { name: text.escape_debug().take(Self::MAX_LEN).collect() });
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the directory says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Usable,
    Disabled,
    Deleted,
    Missing,
}

/// A root key can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// No file can have this name.
    #[error(
        "{name:?} is no name for a local root: 1 to 63 of a-z, 0-9 and '-' are expected, no '-' at either end"
    )]
    Name {
        /// The name, or the beginning of it.
        name: String,
    },
    /// There is one, and it stays as it is.
    #[error("there is a local root {name} already: use it, or choose another name")]
    Exists {
        /// The name.
        name: String,
    },
    /// There was one. A new key of the same name would look like the old one and open nothing that it sealed.
    #[error("the local root {name} was deleted: choose another name, or remove {}", marker.display())]
    Deleted {
        /// The name.
        name: String,
        /// The file that says so.
        marker: PathBuf,
    },
    /// The disk did not take it.
    #[error("can't write {}", path.display())]
    Disk {
        /// What was to be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no protected memory to make it in.
    #[error(transparent)]
    Memory(#[from] LockedMemoryError),
}

impl From<CreateError> for RootError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Deleted { .. } => Self::denied(error.to_string()),
            CreateError::Disk { path, source } => disk_error("write", &path, &source),
            CreateError::Memory(source) => Self::LockedMemory(source),
            CreateError::Name { .. } | CreateError::Exists { .. } => Self::misconfigured(error.to_string()),
        }
    }
}

#[derive(Debug)]
pub(super) struct KeyDirectory {
    path: PathBuf,
}

impl KeyDirectory {
    pub(super) fn open_or_make(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn standing(&self, name: &KeyName) -> Result<Standing, RootError> {
        // The strongest word first; a marker counts whether the key is still there or not.
        for (ending, standing) in
            [("deleted", Standing::Deleted), ("disabled", Standing::Disabled), ("key", Standing::Usable)]
        {
            let path = self.file(name, ending);
            if path.try_exists().map_err(|error| disk_error("read", &path, &error))? {
                return Ok(standing);
            }
        }
        Ok(Standing::Missing)
    }

    /// Whether a key of this name was ever made here.
    pub(super) fn was_there(&self, name: &KeyName) -> Result<bool, RootError> {
        let path = self.file(name, "made");
        path.try_exists().map_err(|error| disk_error("read", &path, &error))
    }

    pub(super) fn read(&self, name: &KeyName) -> Result<SecretKey, RootError> {
        match self.standing(name)? {
            Standing::Usable => {}
            Standing::Disabled => return Err(self.marked(name, "disabled")),
            Standing::Deleted => return Err(self.marked(name, "deleted")),
            Standing::Missing => return Err(self.missing(name)),
        }
        let path = self.file(name, "key");
        match File::open(&path) {
            Ok(file) => key_file::read(&path, file),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.missing(name)),
            Err(error) => Err(disk_error("read", &path, &error)),
        }
    }

    pub(super) fn create(&self, name: &KeyName, entropy: &dyn Entropy) -> Result<(), CreateError> {
        match self.standing(name) {
            Ok(Standing::Deleted) => {
                let marker = self.file(name, "deleted");
                return Err(CreateError::Deleted { name: name.0.clone(), marker });
            }
            Ok(Standing::Usable | Standing::Disabled) => {
                return Err(CreateError::Exists { name: name.0.clone() });
            }
            // What can't be read can't be written either, and that says more.
            Ok(Standing::Missing) | Err(_) => {}
        }
        let text = key_file::text(&SecretKey::generate(entropy)?);
        let scratch =
            self.path.join(format!(".{}.{:016x}", name.0, u64::from_be_bytes(random_array(entropy))));
        let path = self.file(name, "key");
        let written = write_synced(&scratch, &text).and_then(|()| fs::hard_link(&scratch, &path));
        // It may never have been made; and left behind it is one more file in a directory of its kind.
        let _ = fs::remove_file(&scratch);
        // Only after the key: a start that was killed in between must find the key, or the way clear.
        let noted = written.and_then(|()| {
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.file(name, "made"))
        });
        match noted.and_then(|_| File::open(&self.path)?.sync_all()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(CreateError::Exists { name: name.0.clone() })
            }
            Err(source) => Err(CreateError::Disk { path, source }),
        }
    }

    pub(super) fn missing(&self, name: &KeyName) -> RootError {
        RootError::misconfigured(format!(
            "there is no local root {}: make it with `openkcm l1 create-local {0}`, or put its file back \
             as {}",
            name.0,
            self.file(name, "key").display()
        ))
    }

    fn marked(&self, name: &KeyName, ending: &str) -> RootError {
        RootError::denied(format!(
            "the local root {} is {ending}; that is undone by removing {}",
            name.0,
            self.file(name, ending).display()
        ))
    }

    fn file(&self, name: &KeyName, ending: &str) -> PathBuf {
        self.path.join(format!("{}.{ending}", name.0))
    }
}

/// Writes a new file that only we can read, and waits until the disk has it.
fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Trouble with the disk says nothing about what the key's owner wants.
pub(super) fn disk_error(doing: &str, path: &Path, error: &io::Error) -> RootError {
    let path = path.display();
    if error.kind() == ErrorKind::PermissionDenied {
        return RootError::misconfigured(format!(
            "this process may not {doing} {path}: give the directory to its user"
        ));
    }
    RootError::unreachable(format!("can't {doing} {path} ({error}): look at the disk"))
}
