//! Sealing: what material and data are bound to, and how their ciphertexts look.
//!
//! One AEAD for everything, XAES-256-GCM: its nonces can be random for a key's whole life. What
//! differs is the associated data: layer and purpose are part of it, so that a ciphertext made for one
//! never opens as another.

mod ciphertext;
mod context;
mod root;
mod wrap;

pub use ciphertext::{Ciphertext, FormatError, Purpose};
pub use context::Context;
pub(crate) use root::open_seal;
pub use wrap::{WrapError, unwrap_l3, wrap_l3};
