//! The running Registry, over its HTTP interface, with a store on disk and an embedded mesh.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod border;
mod definitions;
mod lists;
mod running;
mod tenants;
mod world;
