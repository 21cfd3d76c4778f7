//! The harness itself: what it starts comes up, what it breaks breaks, and what it mends works again.
//!
//! Each module is one piece. Tests of the product lean on these promises and do not prove them again.

mod dialogue;
mod nats;
mod network;
mod proxy;
