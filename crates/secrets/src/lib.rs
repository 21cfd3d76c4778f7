//! Plaintext keys: locked, undumpable, wiped; and the one AEAD that uses them.
//!
//! The only crate that holds an L2 or L3 in the clear, and the only one with `unsafe` (in `locked`). It knows
//! no key's name, state or owner: which key may be used when is its callers' business.
//!
//! What always holds: a [`SecretKey`]'s bytes exist in locked pages alone, which are in no swap, no core dump
//! and no child process, and they are zero once it is dropped. Nothing here can be serialized or cloned, and
//! no `Debug` shows a byte. Hibernation and a hypervisor's snapshot do write locked pages to disk; the
//! operator has to rule those out.

mod bytes;
mod key;
mod locked;
pub mod xaes;

pub use bytes::SecretBytes;
pub use key::{KeyError, SecretKey};
pub use locked::{LockedMemoryError, Usage, usage};
