//! What every component's shell does, shown with an actor that decides nothing.
//!
//! Over the embedded mesh and a store on disk, as in production.

mod mesh;
mod quarantine;
mod rig;
