//! The landscape across processes as its operators meet it: what `openkcm init` makes, a broker, and a process
//! for each component, from outside.
//!
//! A test has a landscape of its own; those with partitions have each part on a host of a network of namespaces.
//! What a test waits for it looks for, and no time is asserted.

mod agreement;
mod alone;
mod backups;
mod broker;
mod calls;
mod client_failover;
mod disturbed;
mod drift;
mod ends;
mod failover;
mod first_start;
mod forgeries;
mod lanes;
mod leases;
mod manifests;
mod partition;
mod rebuild;
mod regions;
mod setup;
mod signers;
