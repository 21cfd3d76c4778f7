//! Real servers for tests: started on loopback with free ports, driven as their administrator, stopped.
//!
//! Only ever a dev-dependency. It knows no crate of ours, so every crate's tests can use it. Whatever goes
//! wrong in here is a panic with words for whoever runs the tests: nothing is skipped because a tool is
//! missing. A server dies with the value that stands for it.

mod landscape;
mod openbao;
mod poll;
mod tools;

pub use landscape::Landscape;
pub use openbao::{AppRole, OpenBao, transit_policy};
pub use poll::until;
pub use tools::tool;
