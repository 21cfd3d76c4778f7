//! The commands over a store in memory: what is kept, and which letters wait for the mesh.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod definitions;
mod doubts;
mod drift;
mod failovers;
mod letters;
mod parents;
mod purges;
mod questions;
mod registry;
mod tombstones;
mod words;
