//! The promises of a Krypton Core, kept by real ones: two regions on one embedded mesh, with local roots.
//!
//! Each module is one promise or one enemy. What depends on an exact order of events is under `bench`,
//! where the same control runs without a shell, on a store in memory.

mod arrival;
mod bench;
mod border;
mod golden;
mod incarnations;
mod isolation;
mod leases;
mod lifecycle;
mod many;
mod placement;
mod probes;
mod providers;
mod purge_steps;
mod purges;
mod put_back;
mod quarantine;
mod queries;
mod rig;
mod rotation;
mod secrecy;
mod sovereignty;
mod strangers;
mod survivor;
mod tombstones;
mod unsettled;
mod use_of_keys;
mod warm_up;
