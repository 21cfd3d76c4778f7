//! The actors' shells, retold without time and tasks: what a courier and a control loop do, one
//! transaction after the other, so that the scheduler can come in between.
//!
//! Not here: rules. What is decided is decided by the production code of each actor.

pub(crate) mod core;
pub(crate) mod post;
pub(crate) mod purges;
pub(crate) mod spoil;
pub(crate) mod spoil_words;

use std::fmt;

use crate::landscape::REGIONS;

/// One of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The Registry.
    Registry,
    /// The CMK Server.
    Cmk,
    /// The Core of the region of this index.
    Core(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.write_str("registry"),
            Self::Cmk => f.write_str("cmk"),
            Self::Core(index) => write!(f, "core {}", REGIONS[*index]),
        }
    }
}

/// A component stopped in the middle of what it did: all that was not committed is gone.
#[derive(Debug)]
pub(crate) struct Crashed;
