//! What the Registry hears: the manifests of Cores, and its own last words.
//!
//! Own words go to [`words`], manifests to [`manifests`]. Manifests are short-lived, and the next one of each Core
//! says everything again, so that none is missed.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::{Audience, Event, Lane, Timestamp};
use openkcm_host::Clock;
use openkcm_orbital::outbox::Waiting;
use openkcm_orbital::{Intake, Published, Receiver, Stream};
use openkcm_store::{Store, StoreError, Write};

use crate::commands::words;
use crate::manifests;

/// The streams that the Registry reads.
pub(crate) fn streams() -> Vec<Stream> {
    vec![Stream { lane: Lane::Manifests, audience: Audience::Authorities }]
}

/// Takes what came, and records how far the stream was read.
fn take(tx: &mut dyn Write, intake: &Intake, now: Timestamp) -> Result<(), StoreError> {
    for verified in &intake.events {
        if let Event::StateManifest(manifest) = &verified.event {
            manifests::hear(tx, manifest, now)?;
        }
    }
    intake.record(tx)
}

/// Takes what the courier brings.
pub(crate) struct Inbox {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Receiver for Inbox {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.write(move |tx| take(tx, &intake, now)).await
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
