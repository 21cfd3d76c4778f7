//! What the Registry hears: the manifests of Cores, and its own last words.
//!
//! Own words go to [`words`], manifests to [`manifests`]. Manifests are short-lived, and the next one of each Core
//! says everything again, so that none is missed.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::{Audience, Event, Lane, Timestamp};
use openkcm_host::{Clock, Entropy};
use openkcm_orbital::outbox::Waiting;
use openkcm_orbital::{Intake, Published, Receiver, Stream};
use openkcm_store::{Read, Store, StoreError, Write};

use crate::commands::words;
use crate::manifests;
use crate::reconcile::{self, Narrowing};

/// The streams that the Registry reads.
pub(crate) fn streams() -> Vec<Stream> {
    vec![Stream { lane: Lane::Manifests, audience: Audience::Authorities }]
}

/// What the listings of an intake show. Reads alone, and much of it: before the transaction that takes the intake.
///
/// # Errors
/// When the store can't be read.
pub fn narrow(view: &dyn Read, intake: &Intake) -> Result<Vec<Narrowing>, StoreError> {
    let mut narrowings = Vec::new();
    for verified in &intake.events {
        if let Event::StateManifest(manifest) = &verified.event {
            narrowings.extend(reconcile::narrow(view, manifest)?);
        }
    }
    Ok(narrowings)
}

/// Takes what came and what its listings show, and records how far the stream was read.
///
/// # Errors
/// When the store fails.
pub fn take(
    tx: &mut dyn Write,
    intake: &Intake,
    narrowings: Vec<Narrowing>,
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Result<(), StoreError> {
    for verified in &intake.events {
        if let Event::StateManifest(manifest) = &verified.event {
            manifests::hear(tx, manifest, (now, entropy))?;
        }
    }
    for narrowing in narrowings {
        reconcile::take(tx, narrowing, (now, entropy))?;
    }
    intake.record(tx)
}

/// Takes what the courier brings.
pub(crate) struct Inbox {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

#[async_trait]
impl Receiver for Inbox {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        let (now, entropy) = (self.clock.now(), self.entropy.clone());
        let (intake, narrowings) = self
            .store
            .read(move |view| {
                let narrowings = narrow(view, &intake)?;
                Ok::<_, StoreError>((intake, narrowings))
            })
            .await?;
        self.store.write(move |tx| take(tx, &intake, narrowings, (now, &*entropy))).await
    }

    async fn told(&self, letters: &[Waiting], published: &[Published]) -> Result<(), StoreError> {
        if !published.contains(&Published::Superseded) {
            return Ok(());
        }
        let (letters, published, now) = (letters.to_vec(), published.to_vec(), self.clock.now());
        self.store.write(move |tx| words::told(tx, &letters, &published, now)).await
    }

    async fn compare(&self, own: Intake) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.write(move |tx| words::compare(tx, &own, now)).await
    }

    async fn compared(&self) -> Result<(), StoreError> {
        let mut next = Some(words::Step::default());
        while let Some(step) = next {
            let now = self.clock.now();
            next = self.store.write(move |tx| words::conclude(tx, step, now)).await?;
        }
        Ok(())
    }
}
