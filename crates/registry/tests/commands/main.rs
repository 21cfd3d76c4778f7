//! The commands over a store in memory: what is kept, and which letters wait for the mesh.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod definitions;
mod letters;
mod parents;
mod registry;
