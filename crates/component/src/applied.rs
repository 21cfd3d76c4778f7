//! How far each authority's word was applied.
//!
//! Kept in the transaction that applies it, so that it never says more than what is held.

use openkcm_contracts::{Revision, Role};
use openkcm_store::{Read, StoreError, Table, Write};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The last revision of each authority that was applied. A component has none of an authority that it does
/// not hear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The Registry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    pub registry: Option<Revision>,
    /// The CMK Server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.7")]
    pub cmk: Option<Revision>,
}

pub(crate) const APPLIED: Table<Applied> = Table::new("applied_revisions");

/// The one record.
const LAST: &str = "last";

impl Applied {
    /// What a store holds.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn read(view: &dyn Read) -> Result<Self, StoreError> {
        Ok(APPLIED.get(view, LAST)?.unwrap_or_default())
    }

    /// Notes that an authority's word of this revision was applied, or was held already.
    pub fn note(&mut self, author: Role, revision: Revision) {
        let last = match author {
            Role::Registry => &mut self.registry,
            Role::Cmk => &mut self.cmk,
            Role::Krypton => return,
        };
        *last = (*last).max(Some(revision));
    }

    /// Keeps it, if it is more than what a store holds.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn keep(self, tx: &mut dyn Write) -> Result<(), StoreError> {
        if self == Self::read(tx.as_read())? { Ok(()) } else { APPLIED.put(tx, LAST, &self) }
    }
}

#[cfg(test)]
mod tests {
    use openkcm_store::Memory;

    use super::*;

    #[test]
    fn a_revision_that_was_applied_is_never_forgotten_for_an_older_one() {
        let mut store = Memory::default();
        for counter in [2, 3, 1] {
            let noted = store.write(|tx| {
                let mut applied = Applied::read(tx.as_read())?;
                applied.note(Role::Registry, Revision::new(1, counter));
                applied.note(Role::Krypton, Revision::new(9, 9));
                applied.keep(tx)
            });
            noted.expect("memory takes it");
        }
        let expected = Applied { registry: Some(Revision::new(1, 3)), cmk: None };
        assert_eq!(Applied::read(&store).expect("memory can be read"), expected);
    }
}
