//! What may happen in a step: operators, callers, the mesh's mail, the authorities' lives, and faults.
//!
//! Each file adds its actions to the world. Whether one may happen now is the schedule's to say.

pub(crate) mod authorities;
mod callers;
mod drift;
mod failover;
mod faults;
mod mail;
mod owners;
mod pointers;
mod registry;

pub(crate) use faults::HYDRATION_PATIENCE;
