//! A copy of a broker's store, for tests of a broker that comes back with an old one.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// The files of a broker's store as they were at one moment. They go with this value.
pub struct StoreCopy {
    directory: TempDir,
}

impl StoreCopy {
    pub(super) fn of(store: &Path) -> Self {
        let directory = TempDir::with_prefix("openkcm-nats-copy-").expect("a temporary directory");
        copy(store, directory.path());
        Self { directory }
    }

    /// Puts the copy in the place of a store.
    pub(super) fn put_to(&self, store: &Path) {
        if store.exists() {
            fs::remove_dir_all(store).expect("the store belongs to the test");
        }
        copy(self.directory.path(), store);
    }
}

/// Copies a folder with all that is in it; the store of a broker holds files and folders, and no links.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for entry in fs::read_dir(from).expect("a store that can be read") {
        let entry = entry.expect("a store that can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a file that is there").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("room for the copy");
        }
    }
}
