//! What crosses Orbital, and the words that every component shares.
//!
//! Ids, revisions, generations, lifecycle states, the events of the mesh and the problem codes of
//! the HTTP interfaces. Nothing here does I/O, reads a clock or draws randomness, and nothing here
//! knows an actor: all others import this crate, it imports none of them.
//!
//! Wire types live in numbered modules; the rest of the code imports the latest, re-exported here.

mod as_text;
mod definition;
mod id;
mod lifecycle;
mod merge;
pub mod placement;
pub mod problem;
mod revision;
mod root;
mod time;
pub mod v1;

pub use definition::{Algorithm, DefinitionState, Layer, Period, PeriodError, TenantState};
pub use id::{
    IdError, IdFault, KeyPath, KeyPathError, RegionId, ServiceId, ServicePath, SystemId, SystemPath,
    TenantId, VersionId, VersionIdError,
};
pub use lifecycle::{Backward, VersionState};
pub use merge::{Meeting, meet};
pub use revision::{Generation, LinkEpoch, Revision, RevisionError};
pub use root::RootRef;
pub use time::{Timestamp, TimestampError};
pub use v1::{Audience, Event, EventType, Lane, Role, Subject};
