//! The round of probes: each linked tenant's roots are asked once in a period, spread over all of it.
//!
//! A task of the service, which ends with it. What always holds: so many probes are under way at once and no more; and
//! what a probe found is decided on in a transaction that looks at the pointer again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::{Revision, TenantId};
use openkcm_host::{Clock, Entropy, random_array};
use openkcm_roots::Roots;
use openkcm_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::commands::{self, Outcome};
use crate::metrics::Metrics;
use crate::probe::look;
use crate::rules::Landscape;
use crate::rules::probe::{Seen, is_news, is_probed};
use crate::store::{self, Pointer, ProbeOutcome, Proofs};

/// Probes that are under way at once.
const MOST_UNDER_WAY: usize = 256;

/// Pointers that are read at once.
const PAGE: usize = 500;

/// How many tenants' roots were last found in which state: as of the last round.
pub(crate) type Counts = BTreeMap<ProbeOutcome, usize>;

/// Asks the roots of all linked tenants, again and again.
#[derive(Clone)]
pub(crate) struct Prober {
    pub(crate) store: Store,
    pub(crate) roots: Roots,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) landscape: watch::Receiver<Arc<Landscape>>,
    pub(crate) metrics: Metrics,
    pub(crate) counts: watch::Sender<Counts>,
    /// How long a round takes.
    pub(crate) every: Duration,
}

impl Prober {
    /// Goes round for ever.
    pub(crate) async fn run(self, entropy: Arc<dyn Entropy>) {
        let salt = u64::from_be_bytes(random_array(&*entropy));
        let mut probes = JoinSet::new();
        loop {
            let begun = self.clock.boottime();
            let until = |offset: Duration| offset.saturating_sub(self.clock.boottime().since(begun));
            match self.round(salt).await {
                Ok(round) => {
                    for (offset, tenant) in round {
                        tokio::time::sleep(until(offset)).await;
                        while probes.len() >= MOST_UNDER_WAY {
                            probes.join_next().await;
                        }
                        while probes.try_join_next().is_some() {}
                        let prober = self.clone();
                        probes.spawn(async move { prober.probe(tenant).await });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the pointers can't be read to probe their roots; tried again")
                }
            }
            tokio::time::sleep(until(self.every)).await;
        }
    }

    /// Whose roots are asked in a round, and how long after its beginning: always the same for a tenant, so that
    /// no two probes of it are further apart than a round.
    async fn round(&self, salt: u64) -> Result<Vec<(Duration, TenantId)>, StoreError> {
        let (mut round, mut counts, mut after) = (Vec::new(), Counts::new(), None::<String>);
        loop {
            let from = after.clone();
            let page = self.store.read(move |view| store::pointers(view, from.as_deref(), PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.tenant.to_string());
            for pointer in page.iter().filter(|pointer| is_probed(pointer)) {
                *counts.entry(pointer.health.outcome).or_default() += 1;
                round.push((self.every.mul_f64(drawn(salt, &pointer.tenant)), pointer.tenant.clone()));
            }
        }
        round.sort();
        self.metrics.health(&counts);
        self.counts.send_replace(counts);
        Ok(round)
    }

    async fn probe(&self, tenant: TenantId) {
        if let Err(error) = self.try_probe(&tenant).await {
            tracing::warn!(%tenant, %error, "what the tenant's roots said can't be kept; they are asked again");
        }
    }

    async fn try_probe(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let of = tenant.clone();
        let held = self.store.read(move |view| {
            let pointer = store::pointer(view, &of)?.filter(is_probed);
            Ok::<_, StoreError>((pointer, store::proofs(view, &of)?))
        });
        let (Some(pointer), proofs) = held.await? else { return Ok(()) };
        let now = self.clock.now();
        let (seen, proofs) = look(&self.roots, tenant, &pointer.roots, &proofs, now).await;
        if let Some(seen) = &seen {
            self.metrics.probed(seen.outcome);
        }
        let now = self.clock.now();
        let seen = seen.filter(|seen| is_news(&pointer, seen, now));
        if seen.is_none() && proofs.is_none() {
            return Ok(());
        }
        let outcome = self.keep(tenant, pointer.revision, (seen, proofs)).await?;
        if let Some(Outcome::Changed(pointer)) = outcome {
            self.tell_operator(&pointer);
        }
        Ok(())
    }

    async fn keep(
        &self,
        tenant: &TenantId,
        asked: Revision,
        (seen, proofs): (Option<Seen>, Option<Proofs>),
    ) -> Result<Option<Outcome<Pointer>>, StoreError> {
        let (tenant, landscape, now) = (tenant.clone(), self.landscape.borrow().clone(), self.clock.now());
        self.store
            .write(move |tx| {
                if let Some(proofs) = &proofs {
                    store::save_proofs(tx, &tenant, proofs)?;
                }
                match seen {
                    Some(seen) => commands::probed(tx, &landscape, &tenant, (asked, seen), now),
                    None => Ok(None),
                }
            })
            .await
    }

    fn tell_operator(&self, pointer: &Pointer) {
        let (tenant, reason) = (&pointer.tenant, pointer.health.reason.as_deref().unwrap_or_default());
        match pointer.unlinked {
            Some(ended) => {
                self.metrics.unlinked(ended.reason);
                tracing::error!(%tenant, reason, "a root of the tenant denies its use: its link is revoked everywhere, \
                    and made anew when all roots allow it again");
            }
            None => {
                self.metrics.linked();
                tracing::info!(%tenant, epoch = %pointer.epoch, "the roots of the tenant may be used again: it is linked");
            }
        }
    }
}

/// A tenant's place in a round, from 0 to 1.
fn drawn(salt: u64, tenant: &TenantId) -> f64 {
    let mut hasher = DefaultHasher::new();
    (salt, tenant.as_str()).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}
