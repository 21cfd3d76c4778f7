//! The Rust client of the three components.
//!
//! A [`Landscape`] says where they are and what opens them; a [`Client`] calls them. [`Client::registry`],
//! [`Client::cmk`] and [`Client::core`] have a method for each route; [`Client::call`] is what they are made
//! of, for anyone who needs a route that has none.
//!
//! What always holds: the credential goes only to the addresses of the landscape, over loopback or over TLS
//! that trusts the landscape's CA alone, past no proxy and along no redirect. Plaintexts are wiped when dropped. What a component refuses
//! for now is tried again within the caller's [`Patience`]; what a tenant has withdrawn is not. What changes nothing goes
//! on in another region where the refusal is of one region alone, within a [`Budget`]: `docs/client.md`, ADR 0023.
//!
//! Not here: what a refusal means to a person (see `docs/errors.md`), and printing.

mod base64;
mod call;
mod client;
mod cmk;
mod core;
mod credential;
mod distrust;
mod drift;
mod error;
mod failover;
mod landscape;
mod listing;
mod patience;
mod purges;
mod quarantine;
mod registry;

pub use call::{Answer, Call, Component, Resource};
pub use client::Client;
pub use cmk::{Cmk, L1Spec};
pub use core::{Core, DataKey, Decrypted, Encrypted, Rotated, Route, Served};
pub use error::{ClientError, ProblemDocument};
pub use failover::{Budget, NoRegion, Said};
pub use landscape::{Landscape, LandscapeError, Region};
pub use listing::Listing;
pub use patience::Patience;
pub use purges::Purges;
pub use quarantine::Quarantine;
pub use registry::{KeySpec, Registry, TenantSpec};
/// The HTTP methods that a [`Call`] takes.
pub use reqwest::Method;
/// The addresses in a [`Landscape`].
pub use reqwest::Url;

/// The example of the guide is compiled with the code that it is about.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/client.md")]
struct Guide;
