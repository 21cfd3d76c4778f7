//! The client against components that answer what a test wants.
//!
//! One binary; each file is one promise.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod answers;
mod budget;
mod cores;
mod failback;
mod failover;
mod harness;
mod regions;
mod retries;
mod tls;
