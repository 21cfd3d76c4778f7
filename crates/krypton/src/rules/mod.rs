//! The Builder's rules: who may be served, which version encrypts, when the next one is due.
//!
//! Plain functions of what is held and the time. No I/O, no clock, no randomness.

mod lease;
mod pace;
mod probe;
mod purge;
mod schedule;
mod standing;
mod version;

pub use lease::{Deadline, Grant, LeasePolicy, Moment, Standing, standing as moment_standing};
pub use pace::{Pace, PacePolicy};
pub use probe::{Denial, PROBED_EVERY, Pause, Said, Verdict, proof_ends, verdict};
pub use purge::{Brake, LONGEST_TICK, PURGED, PurgePolicy, Ticker, before, is_purged};
pub use schedule::{FIRST_VERSION_PATIENCE, make_at, rotate_at};
pub use standing::{Refusal, service_standing, system_standing, tenant_standing};
pub use version::{Candidate, REPLICATION_PATIENCE, choose_active, is_to_be_replaced, state_of};
