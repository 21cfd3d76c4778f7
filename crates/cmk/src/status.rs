//! How a CMK Server is: the revision of its last change, and the mesh as it sees it.
//!
//! For operators; nothing decides by it. It is put together from the store when it is asked for.

use std::collections::BTreeMap;

use openkcm_component::{Applied, AuthorityStatus, MeshHandle, MeshStatus, drift};
use openkcm_contracts::Revision;
use openkcm_store::{Store, StoreError};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::prober::Counts;
use crate::store;

/// How a CMK Server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// The revision of the last change; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    pub revision: Option<Revision>,
    /// Whether it is as new as its own last words.
    pub authority: AuthorityStatus,
    /// Where regions were found to hold something else than they are to, and not healed yet; `/v1/drift` lists it.
    pub drift_open: u64,
    /// The mesh, as the CMK Server sees it.
    pub mesh: MeshStatus,
    /// How many tenants' roots were last found in which state: `ok`, `denied`, `unreachable`, `misconfigured`. Those that
    /// are linked, or were until a root denied; counted once in each round of probes.
    #[schema(example = json!({"ok": 41, "denied": 1}))]
    pub health: BTreeMap<&'static str, usize>,
}

/// Looks at a running CMK Server.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) store: Store,
    pub(crate) mesh: MeshHandle,
    pub(crate) health: watch::Receiver<Counts>,
}

impl Observer {
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let mesh = self.mesh.clone();
        let health = self.health.borrow().iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect();
        self.store
            .read(move |view| {
                let (revision, applied) = (store::revision(view)?, Applied::read(view)?);
                let authority = AuthorityStatus::read(view)?;
                let (drift_open, mesh) = (drift::open_everywhere(view)?, mesh.status(view, applied)?);
                Ok(Status { revision, authority, drift_open, mesh, health })
            })
            .await
    }
}
