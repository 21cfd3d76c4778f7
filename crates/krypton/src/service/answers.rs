//! Answers to what authorities ask of the manifests, and the recount at a start: both beside the control loop.
//!
//! What always holds: an authority is told of its own kind of things alone. However much is asked, one answer to
//! each authority is made at a time and one waits to be told, so that nobody fills the store by asking.

use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::RegionId;
use openkcm_contracts::v1::ManifestQuery;
use openkcm_host::{Clock, Entropy, random_hex};
use openkcm_orbital::Intake;
use openkcm_store::{Store, StoreError};

use crate::store::{self, Recount, manifest};

/// How long a recount rests after each page.
const RESTS: Duration = Duration::from_millis(5);

/// How long after a store's failure a recount goes on.
const RETRY: Duration = Duration::from_secs(1);

/// Who answers.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) store: Store,
    pub(super) region: RegionId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Answers {
    /// Answers what is asked in an intake.
    pub(super) async fn answer(&self, intake: &Intake) -> Result<(), StoreError> {
        for query in store::asked(&intake.events, &self.region) {
            self.answer_one(query.clone()).await?;
        }
        Ok(())
    }

    async fn answer_one(&self, query: ManifestQuery) -> Result<(), StoreError> {
        let (of, nodes) = (query.of, query.nodes.clone());
        let listed = self.store.read(move |view| store::look(view, of, &nodes)).await?;
        let (nonce, now) = (random_hex::<16>(&*self.entropy), self.clock.now());
        self.store.write(move |tx| manifest::answer(tx, &query, listed, nonce, now)).await
    }

    /// Recounts the sums over definitions. Once, after a start.
    pub(super) async fn recount(self) {
        let mut next = Some(Recount::default());
        while let Some(from) = next.clone() {
            match self.recount_page(from).await {
                Ok(after) => {
                    next = after;
                    tokio::time::sleep(RESTS).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the sums over definitions are recounted later");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn recount_page(&self, from: Recount) -> Result<Option<Recount>, StoreError> {
        let (wrong, next) = self.store.read(move |view| store::recount(view, &from)).await?;
        if !wrong.is_nothing() {
            tracing::warn!(
                "definitions were changed while this Core was not running, by something else; the Registry is told"
            );
            self.store.write(move |tx| wrong.mend(tx)).await?;
        }
        Ok(next)
    }
}
