//! Orbital, the mesh: how a change of state reaches those whom it concerns.
//!
//! Every event carries the whole current fact about one thing, signed by its one author. A receiver
//! applies it when it is newer than what it holds, so duplicates, reordering and replays are
//! harmless, and the mesh may keep only the last event of each thing.
//!
//! From the inside out: [`Envelope`] and its signature; the [`outbox`] and [`inbox`] that live in a
//! component's own transactions; the [`Transport`] that carries messages; and the [`Courier`], the
//! one asynchronous part, which moves letters between them. The mesh knows no actor.

mod courier;
mod envelope;
pub mod inbox;
mod intake;
mod letter;
mod merkle;
pub mod nats;
pub mod outbox;
mod owner;
mod signing;
mod transport;
mod trust;
mod verify;
pub mod words;

pub use courier::{Connection, Courier, CourierHandle, Receiver, Words};
pub use envelope::{Address, Envelope, EnvelopeError, MAX_BODY_LEN, Message, Reading, Stream, StreamError};
pub use intake::Intake;
pub use letter::Letter;
pub use merkle::Proof;
pub use owner::{OwnerKey, is_owner_key, is_owners};
pub use signing::{Signer, SigningError};
pub use transport::embedded::Embedded;
pub use transport::{Batch, Delivered, Position, Published, Subscription, Transport, TransportError};
pub use trust::{TrustBundle, TrustError, TrustedKey};
pub use verify::{Rejection, Session, Verified, Verifier};

use openkcm_store::Space;

/// The spaces that the mesh needs in every component's store.
pub const SPACES: &[Space] = {
    let [events, ids, ages, tallies] = inbox::quarantine::SPACES;
    let [own, newest, heard] = words::SPACES;
    let [letters, latest, positions] =
        [outbox::LETTERS.space(), outbox::LATEST.space(), inbox::POSITIONS.space()];
    &[letters, latest, positions, events, ids, ages, tallies, own, newest, heard]
};
