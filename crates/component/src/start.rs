//! What a component is handed, and how it opens its store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openkcm_contracts::RegionId;
use openkcm_host::{Clock, Entropy};
use openkcm_orbital::{Signer, Transport, Verifier};
use openkcm_store::{OpenOptions, Space, Store, StoreError};

/// What a component is handed: the mesh, its keys, time and chance.
#[derive(Clone)]
pub struct Surroundings {
    /// Who carries.
    pub transport: Arc<dyn Transport>,
    /// Signs what the component says.
    pub signer: Arc<Signer>,
    /// Believes what it hears.
    pub verifier: Arc<Verifier>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter; and in a Core, key material and nonces.
    pub entropy: Arc<dyn Entropy>,
}

/// Why a component can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be made.
    #[error("the data directory {path} can't be made")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The store can't be opened or read.
    #[error("the store in the data directory can't be used")]
    Store(#[from] StoreError),
}

/// Where a component's store lies in its data directory: in a file that is named by the component, `registry.db`.
pub fn store_file(data_dir: &Path, component: &str) -> PathBuf {
    data_dir.join(component).with_extension("db")
}

/// Whose store a Core's is: `krypton/eu-1`. An authority is the only one, and its name says it.
pub fn store_identity(component: &str, region: Option<&RegionId>) -> String {
    region.map_or_else(|| component.to_owned(), |region| format!("{component}/{region}"))
}

/// Opens a component's store in its data directory, which is made if it is not there. Its file is
/// [`store_file`]'s, its identity [`store_identity`]'s.
///
/// # Errors
/// When the directory or the store can't be used.
pub fn open_store(
    data_dir: &Path,
    component: &str,
    region: Option<&RegionId>,
    spaces: &[Space],
) -> Result<Store, StartError> {
    std::fs::create_dir_all(data_dir)
        .map_err(|source| StartError::DataDir { path: data_dir.into(), source })?;
    Ok(Store::open(&OpenOptions {
        path: store_file(data_dir, component),
        identity: store_identity(component, region),
        spaces: &[spaces, crate::SPACES, openkcm_orbital::SPACES],
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_opens_only_as_what_it_was_made_for() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("data");
        let [a, b] = ["a", "b"].map(|name| RegionId::new(name).unwrap());
        drop(open_store(&below, "krypton", Some(&a), &[]).unwrap());
        assert!(below.join("krypton.db").exists());
        let other = loop {
            match open_store(&below, "krypton", Some(&b), &[]) {
                // The writer of the first one has not let go of it yet.
                Err(StartError::Store(StoreError::InUse { .. })) => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert!(matches!(other, Err(StartError::Store(StoreError::WrongIdentity { .. }))), "{other:?}");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let none = open_store(&file, "krypton", Some(&a), &[]);
        assert!(matches!(none, Err(StartError::DataDir { .. })), "{none:?}");
    }
}
