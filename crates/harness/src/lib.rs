//! Real servers for tests: started on loopback with free ports, driven as their administrator, stopped.
//!
//! Only ever a dev-dependency. It knows no crate of ours, so every crate's tests can use it. Whatever goes
//! wrong in here is a panic with words for whoever runs the tests: nothing is skipped because a tool is
//! missing. Only a `Network` may be denied, since it needs root. A server dies with the value that stands for it.

mod distributed;
mod landscape;
mod loopback;
mod nats;
mod network;
mod openbao;
mod poll;
mod process;
mod proxy;
mod tools;

pub use distributed::{Distributed, LOOKER};
pub use landscape::Landscape;
pub use nats::{Nats, StoreCopy};
pub use network::{Inside, Network};
pub use openbao::{AppRole, OpenBao, transit_policy};
pub use poll::until;
pub use proxy::{Counts, Proxy};
pub use tools::tool;
