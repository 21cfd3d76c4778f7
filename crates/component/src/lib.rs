//! What the shells of all three actors share: the store, the courier, the status, the quarantine.
//!
//! An actor's service is thin: it opens its store ([`open_store`]), starts its way to the mesh ([`Mesh`]),
//! builds its routes, and hands both to [`Running`]. What a component says of the mesh has one shape
//! ([`MeshStatus`]) and one set of metrics, and its quarantine one set of routes ([`quarantine::routes`]).
//!
//! Not here: anything that an actor decides. This crate stands below the actors and knows none of them.

mod applied;
mod authority;
pub mod drift;
mod hydration;
mod mesh;
mod metrics;
pub mod quarantine;
mod running;
mod shared;
mod start;
mod status;
mod traffic;

pub use applied::Applied;
pub use authority::{AuthorityStatus, RebuildStatus};
pub use mesh::{Mesh, MeshHandle, Plan};
pub use running::{Running, http_options};
pub use shared::Holds;
pub use start::{StartError, Surroundings, open_store, store_file, store_identity};
pub use status::{LaneStatus, MeshStatus, OutboxStatus, StreamStatus};
pub use traffic::Traffic;

use openkcm_store::Space;

/// The spaces that every component has in its store, beside those of the mesh and its own.
pub const SPACES: &[Space] = &[applied::APPLIED.space()];
