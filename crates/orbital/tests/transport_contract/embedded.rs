//! The embedded mesh's rig. It crashes by going on from a copy of its files as they lie on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use openkcm_host::SeededEntropy;
use openkcm_orbital::{Embedded, Transport};

use crate::rig::Rig;

/// An embedded mesh in a directory of its own.
pub(crate) struct EmbeddedRig {
    directory: tempfile::TempDir,
    crashes: u64,
    mesh: Arc<Embedded>,
}

impl EmbeddedRig {
    pub(crate) async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mesh = open(&directory.path().join("mesh-0.db"), 0).await;
        Self { directory, crashes: 0, mesh }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join(format!("mesh-{}.db", self.crashes))
    }

    /// What lies on the disk right now, as another file: database and log, and nothing that a closing would have
    /// written.
    fn as_it_lies(&mut self) -> PathBuf {
        let from = self.file();
        self.crashes += 1;
        let to = self.file();
        for suffix in ["", "-wal"] {
            let beside = |file: &Path| PathBuf::from(format!("{}{suffix}", file.display()));
            std::fs::copy(beside(&from), beside(&to)).expect("database and log lie there");
        }
        to
    }
}

async fn open(path: &Path, seed: u64) -> Arc<Embedded> {
    Arc::new(Embedded::open(path, &SeededEntropy::new(seed)).await.expect("the mesh opens"))
}

#[async_trait]
impl Rig for EmbeddedRig {
    fn transport(&self) -> Arc<dyn Transport> {
        self.mesh.clone()
    }

    async fn crash(&mut self) {
        let path = self.as_it_lies();
        self.mesh = open(&path, self.crashes).await;
    }

    async fn another_mesh(&self) -> Arc<dyn Transport> {
        open(&self.directory.path().join("another.db"), 1_000_000).await
    }
}
