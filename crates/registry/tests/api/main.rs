//! The running Registry, over its HTTP interface, with a store on disk and an embedded mesh.

mod border;
mod definitions;
mod lists;
mod running;
mod tenants;
mod world;
