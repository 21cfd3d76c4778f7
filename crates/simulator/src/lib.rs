//! The landscape under a seeded scheduler: one seed, one history.
//!
//! The real code of the Registry, the CMK Server and several Krypton Cores runs over a mesh, stores,
//! clocks and L1 providers that are simulated. At each step the seed picks one thing that may happen
//! now, fair or foul; after each step the invariants of DESIGN, section 3, are checked over the whole
//! world; at the end the faults stop, and everything must converge.
//!
//! Not here: the asynchronous shells (courier, control loop, HTTP). What they do is retold step by
//! step in `actors`, so that the scheduler can stop or interleave it anywhere. What always holds: no
//! threads, no wall clock, no real randomness; the same seed tells the same story.

mod actions;
mod actors;
mod convergence;
mod coverage;
mod dice;
mod disk;
mod history;
mod invariants;
mod landscape;
mod ledger;
mod mesh;
mod provider;
mod schedule;
mod teeth;
mod world;

pub use coverage::{Coverage, Reached};
pub use history::{History, Options, run};
pub use invariants::Violation;
pub use teeth::Bug;
