//! The CMK Server: the Sovereign Anchor. Holds the L1 pointers and the power to withdraw them.
//!
//! It owns the tenants' pointers and is the only writer of `L1.Reference`, `L1.Revoke` and `Sovereign.Lease`. It
//! hears from the Registry which tenants there are, from the Cores what they hold, and needs nobody to be up: what it has to tell waits in
//! its outbox.
//!
//! What it never holds: a credential of a provider, a key, or anything that a key could be made from.
//! A root is a reference; how to reach its provider is this component's own configuration.
//!
//! The rooms: [`rules`] decide, [`store`] keeps, [`commands`], [`cores`], [`inbox`] and [`words`] bring the two together
//! in one transaction, `api` speaks HTTP, and [`Service`] runs it all.

mod api;
pub mod commands;
pub mod cores;
pub mod inbox;
mod metrics;
mod probe;
mod prober;
pub mod rules;
mod service;
mod status;
pub mod store;
pub mod words;

pub use api::{
    CoreBody, CoresBody, HealthBody, LeaseBody, LinkBody, PointerBody, RootBody, SupersededBody, TenantBody,
    openapi,
};
pub use openkcm_component::StartError;
pub use rules::LeaseTerms;
pub use rules::probe::PROBED_EVERY;
pub use service::{Handle, Options, Service, Surroundings};
pub use status::Status;
