//! The Krypton Core: the Builder. Makes, rotates and uses the keys of one region.
//!
//! It owns the key material that it made, and nothing else: definitions are the Registry's, pointers
//! the CMK Server's. It needs neither of them, nor the mesh, to serve what it holds.
//!
//! The rooms: [`rules`] decide, [`store`] keeps facts and sealed versions, [`control`] settles
//! memory to what is held, [`keyring`] is what the data plane reads, [`sealing`] is what ciphertexts
//! look like, [`data`] encrypts and decrypts, [`backup`] says what of it is copied, [`api`] speaks HTTP, [`service`] is the asynchronous shell.

pub mod api;
pub mod backup;
pub mod control;
pub mod data;
pub mod keyring;
mod metrics;
pub mod rules;
pub mod sealing;
pub mod service;
pub mod store;

pub use api::openapi;
pub use openkcm_component::StartError;
pub use rules::{Brake, LeasePolicy, PROBED_EVERY, PacePolicy, PurgePolicy};
pub use service::{CHANGE_WAIT, Handle, Options, Service, Surroundings};
