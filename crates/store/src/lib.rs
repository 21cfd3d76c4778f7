//! What every component's store shares.
//!
//! A store is a set of named, ordered spaces of keys and values, changed in transactions: a change
//! and the events that tell of it are committed together or not at all. Actors put typed records
//! into [`Table`]s; their rules see only [`Read`] and [`Write`], so that the same rules run on SQLite
//! and on the simulator's memory.
//!
//! What always holds: when [`Store::write`] has returned `Ok`, the change is synced to disk.
//! Why an ordered map and not a relational schema: `docs/adr/0003-one-ordered-map-per-store.md`.

pub mod backup;
mod error;
mod layout;
mod memory;
mod read_write;
mod sqlite;
mod table;
mod view;
mod writer;

pub use error::StoreError;
pub use memory::Memory;
pub use read_write::{Item, Read, Scan, Space, Write};
pub use sqlite::{OpenOptions, Store};
pub use table::Table;
