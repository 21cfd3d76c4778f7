//! The running Registry, over its HTTP interface, with a store on disk and an embedded mesh.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod border;
mod definitions;
mod failover;
mod lists;
mod running;
mod tenants;
mod world;
