//! Whether an authority is as new as its own last words: a part of its status.
//!
//! For operators; nothing decides by it.

use openkcm_contracts::{Revision, Timestamp};
use openkcm_orbital::words::{self, Rebuild, Report};
use openkcm_store::{Read, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether an authority is as new as its own last words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuthorityStatus {
    /// `current`; `comparing`, while its own words are read back and nothing is told; or `stale`: the mesh has
    /// newer words of its own than its store, and it is to be started with `--rebuild-from-mesh`.
    #[schema(example = "current")]
    pub standing: &'static str,
    /// Since when it compares or is stale; absent while it is current.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    pub since: Option<Timestamp>,
    /// The newest word that was found and is not in the store; absent when none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    pub newest: Option<Revision>,
    /// The last revision that store and mesh are known to have in common; absent while it is current.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.40")]
    pub base: Option<Revision>,
    /// How far a rebuild from the mesh has come; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rebuild: Option<RebuildStatus>,
}

/// How far a rebuild from the mesh has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RebuildStatus {
    /// Own words that were read back.
    pub words: u64,
    /// Things that were taken from the mesh.
    pub taken: u64,
    /// Changes of the store that gave way to the mesh's word.
    pub dropped: u64,
    /// Letters that were written since the mesh lacked them.
    pub told: u64,
}

impl AuthorityStatus {
    /// As the store has it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn read(view: &dyn Read) -> Result<Self, StoreError> {
        let Report { standing, since, newest, base, rebuild } = words::report(view)?;
        let rebuild = rebuild.map(|Rebuild { words, taken, dropped, told, .. }| RebuildStatus {
            words,
            taken,
            dropped,
            told,
        });
        Ok(Self { standing: standing.as_str(), since, newest, base, rebuild })
    }
}
