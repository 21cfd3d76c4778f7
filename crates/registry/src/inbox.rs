//! What the Registry hears: the manifests of Cores.
//!
//! They are read and not used yet, only the position is kept, so that nothing old is read again. To
//! compare them with the definitions (to send again what a Core lacks, and to raise the alarm about
//! what was never defined) is reconciliation, which comes with the work on sovereignty: until then a
//! Core learns of a definition from the outbox and the compacted facts of the mesh alone. Manifests
//! are short-lived, and the next one of each Core says everything again, so none is missed by this.

use async_trait::async_trait;
use openkcm_contracts::{Audience, Lane};
use openkcm_orbital::{Intake, Receiver, Stream};
use openkcm_store::{Store, StoreError};

/// The streams that the Registry reads.
pub(crate) fn streams() -> Vec<Stream> {
    vec![Stream { lane: Lane::Manifests, audience: Audience::Authorities }]
}

/// Takes what the courier brings.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) store: Store,
}

#[async_trait]
impl Receiver for Inbox {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        self.store.write(move |tx| intake.record(tx)).await
    }
}
