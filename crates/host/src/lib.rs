//! The machine, handed in: clocks, randomness, process hardening.
//!
//! The one crate in which the ambient clock and the ambient random generator may be reached; `clippy.toml`
//! bans them everywhere else. Whoever needs time or randomness takes a [`Clock`] or an [`Entropy`], so that
//! the simulator can run the same code under its own.
//!
//! Not here: timers and sleeping (the async shells have those), files and sockets.

mod clock;
mod entropy;
mod process;

pub use clock::{BootId, BootIdError, BootInstant, Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, OsEntropy, SeededEntropy, random_array, random_hex};
pub use process::{HardenError, Hardening, harden};
