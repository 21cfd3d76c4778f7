//! What the Registry can be told to do: one function per command.
//!
//! Each loads, decides by the [`rules`](crate::rules), saves, and puts the letters into the outbox,
//! all within the caller's one transaction. A command that fails has written nothing. The API and the
//! simulator call the same functions; time is handed in, and the same calls give the same store.

mod failover;
mod key;
mod purge;
mod tellings;
mod tenant;
pub mod words;

use openkcm_contracts::{Revision, Timestamp};
use openkcm_orbital::words::standing;
use openkcm_orbital::{Letter, outbox};
use openkcm_store::{StoreError, Write};

pub use failover::{Survey, WorkStep, check_fail_over, fail_back, fail_over, has_work, survey, work};
pub use key::{define_key, delete_key, mark_compromised, undelete_key};
pub use purge::{PurgeStep, is_due, purge_due};
pub use tenant::{define_tenant, offboard_tenant, undelete_tenant};

use crate::rules::telling::Told;
use crate::rules::{Moment, Refusal};
use crate::store;

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The revision and the time that a change in this transaction would have; a stale Registry changes nothing.
fn moment(tx: &dyn Write, now: Timestamp) -> Result<Moment, Failure> {
    if standing(tx.as_read())?.is_stale() {
        return Err(Refusal::Stale.into());
    }
    Ok(Moment { revision: store::last_revision(tx.as_read())?.next(), now })
}

fn tell(tx: &mut dyn Write, told: Vec<Told>, revision: Revision, now: Timestamp) -> Result<(), StoreError> {
    for (audience, event) in told {
        outbox::put(tx, &Letter::new(&event, audience, revision, now))?;
    }
    Ok(())
}
