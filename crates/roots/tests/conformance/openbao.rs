//! What is special about OpenBao: its policies, credentials, namespaces and engines, and being out of reach.

mod credentials;
pub(crate) mod customer;
mod denials;
mod in_between;
mod reach;
mod wrong_turns;
