//! How a CMK Server is: the revision of its last change, and the mesh as it sees it.
//!
//! For operators; nothing decides by it. It is put together from the store when it is asked for.

use openkcm_component::{Applied, AuthorityStatus, MeshHandle, MeshStatus};
use openkcm_contracts::Revision;
use openkcm_store::{Store, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// The mesh, as the CMK Server sees it.
    pub mesh: MeshStatus,
}

/// Looks at a running CMK Server.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) store: Store,
    pub(crate) mesh: MeshHandle,
}

impl Observer {
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let mesh = self.mesh.clone();
        self.store
            .read(move |view| {
                let (revision, applied) = (store::revision(view)?, Applied::read(view)?);
                let authority = AuthorityStatus::read(view)?;
                Ok(Status { revision, authority, mesh: mesh.status(view, applied)? })
            })
            .await
    }
}
