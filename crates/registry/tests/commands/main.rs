//! The commands over a store in memory: what is kept, and which letters wait for the mesh.

mod definitions;
mod letters;
mod parents;
mod registry;
