//! The CMK Registry, the Architect: says what should exist.
//!
//! It is the only writer of tenants, of system (L2) and service (L3) definitions, of deletions and of
//! compromised marks. Each change raises its one revision and puts the letters that tell of it into
//! the outbox, in one transaction; Cores and the CMK Server hear of it over Orbital when the mesh is
//! there, and no request waits for that.
//!
//! What it never holds: key material, sealed or open; L1 pointers, such as ARNs; credentials of any
//! provider. Whoever takes the Registry over can neither decrypt nor link.
//!
//! The rooms: [`rules`] decides, [`store`] keeps, [`commands`] do both in one transaction, [`queries`]
//! only look, [`reconcile`] heals what regions hold otherwise, [`doubts`] keeps what they claim to know better; [`inbox`]
//! hears, `api` speaks HTTP, and [`Service`] runs it all.

mod api;
pub mod commands;
pub mod doubts;
pub mod inbox;
pub mod manifests;
mod metrics;
mod moving;
mod purging;
pub mod queries;
pub mod reconcile;
pub mod rules;
mod service;
pub mod store;

pub use api::openapi;
pub use openkcm_component::{StartError, Surroundings};
pub use service::{Handle, Options, Service, Status};
