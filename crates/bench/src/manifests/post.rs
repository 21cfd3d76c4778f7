//! From an outbox to an intake, as a courier and a mesh without delay would carry it; counted on the way.

use std::sync::Arc;

use anyhow::Context as _;
use openkcm_contracts::{Audience, Lane, Role};
use openkcm_host::OsEntropy;
use openkcm_orbital::outbox;
use openkcm_orbital::{Batch, Delivered, Intake, Position, Reading, Signer, Stream, TrustBundle, Verifier};
use openkcm_store::{Store, StoreError};

use super::fill::{now, region};

/// What was carried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) messages: usize,
    /// Headers and bodies.
    pub(super) bytes: usize,
}

impl Counted {
    pub(super) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// A component's way to the other one.
pub(super) struct Post {
    signer: Signer,
    verifier: Arc<Verifier>,
    role: Role,
}

impl Post {
    /// Those of the Registry and of the Core.
    pub(super) fn pair() -> anyhow::Result<(Self, Self)> {
        let signer = |role, region| {
            Signer::from_seed(&Signer::new_seed(&OsEntropy::new()), role, region)
                .context("a new seed is a seed")
        };
        let (registry, core) = (signer(Role::Registry, None)?, signer(Role::Krypton, Some(region()?))?);
        let keys = vec![registry.trusted_key(), core.trusted_key()];
        let verifier = Arc::new(Verifier::new(&TrustBundle { keys })?);
        let of = |signer, role| Self { signer, verifier: verifier.clone(), role };
        Ok((of(registry, Role::Registry), of(core, Role::Krypton)))
    }

    /// All that waits on a lane, signed, and verified on the other side.
    pub(super) async fn carry(&self, store: &Store, lane: Lane) -> anyhow::Result<(Intake, Counted)> {
        let audience = match self.role {
            Role::Krypton => Audience::Authorities,
            _ => Audience::Region(region()?),
        };
        let letters = store.write(move |tx| {
            let waiting = outbox::waiting(tx.as_read(), lane, usize::MAX)?;
            outbox::forget(tx, lane, &waiting)?;
            Ok::<_, StoreError>(waiting)
        });
        let letters = letters.await?;
        let messages = self.signer.sign_all(letters.iter().map(|waiting| &waiting.letter));
        let mut counted = Counted { messages: messages.len(), bytes: 0 };
        for message in &messages {
            let headers = message.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
            counted.bytes += headers.sum::<usize>() + message.body.len();
        }
        let delivered =
            |message| Delivered { position: Position { mesh: "none".into(), sequence: 1 }, message };
        let batch = Batch { messages: messages.into_iter().map(delivered).collect(), caught_up: true };
        let reading = Reading::all(Stream { lane, audience });
        Ok((Intake::verify(&reading, batch, &self.verifier, now()), counted))
    }
}
