//! What the Registry decides: which definitions there are, and what is told of them.
//!
//! Records, a request, a revision and a time in; a decision out. No I/O, no clock, no randomness.
//! Deciding may fail and changes nothing; what was decided can't fail.
//!
//! - [`tenant`], [`key`]: define, delete, undelete, compromise;
//! - [`standing`]: what becomes of a definition when its parent ends;
//! - [`purge`]: when material is to be destroyed, and up to which generation;
//! - [`telling`]: which events a change makes, and for whom;
//! - [`doubt`]: when nothing is told to be destroyed, since regions claim to know more;
//! - [`failover`]: where the tenants of a lost region go, and when they come back;
//! - [`drift`]: what is done where a region holds something else than it is to;
//! - [`rebuild`]: what becomes of a record whose thing is on the mesh too.

pub mod doubt;
pub mod drift;
pub mod failover;
pub mod key;
mod precondition;
pub mod purge;
pub mod rebuild;
mod refusal;
pub mod standing;
pub mod telling;
pub mod tenant;

use std::collections::BTreeSet;

use openkcm_contracts::{RegionId, Revision, Timestamp};

pub use key::{KeySpec, Place};
pub use precondition::Precondition;
pub use refusal::Refusal;
pub use standing::{End, Level, Standing};
pub use tenant::TenantSpec;

/// What the Registry knows of the landscape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Landscape {
    /// The regions that there are.
    pub regions: BTreeSet<RegionId>,
}

/// The next change of the authority: what it will be known as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The revision that a change made now has.
    pub revision: Revision,
    /// The present time.
    pub now: Timestamp,
}

/// What a request came to. Only `Created` and `Changed` are to be saved and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<R> {
    /// The first definition under its name.
    Created(R),
    /// Another record than before.
    Changed(R),
    /// What was asked for is so already.
    Unchanged(R),
}

impl<R> Outcome<R> {
    /// The record as it is now.
    pub fn record(&self) -> &R {
        match self {
            Self::Created(record) | Self::Changed(record) | Self::Unchanged(record) => record,
        }
    }

    /// The record that is to be saved, if there is one.
    pub fn to_save(&self) -> Option<&R> {
        match self {
            Self::Created(record) | Self::Changed(record) => Some(record),
            Self::Unchanged(_) => None,
        }
    }
}
