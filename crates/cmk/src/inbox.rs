//! What the CMK Server hears: from the Registry, which tenants there are.
//!
//! An event is applied within its caller's transaction, which also commits how far the stream was
//! read. Duplicates and replays change nothing.
//!
//! From Cores, what they hold: that is compared and leased in [`cores`].

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_component::{Applied as AppliedRevisions, Traffic};
use openkcm_contracts::v1::TenantDefine;
use openkcm_contracts::{Audience, Event, Lane, Meeting, Revision, Role, Timestamp};
use openkcm_host::{Clock, Entropy, random_hex};
use openkcm_orbital::outbox::Waiting;
use openkcm_orbital::{Intake, Published, Receiver, Stream, Verified};
use openkcm_store::{Store, StoreError, Write};
use tokio::sync::watch;

use crate::commands::{Outcome, Records, carry_out};
use crate::cores;
use crate::metrics::Metrics;
use crate::rules::{self, Held, Landscape};
use crate::store::{self, UnlinkReason};
use crate::words;

/// What came of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is nothing that the CMK Server acts upon.
    Ignored,
    /// It told of a tenant.
    Tenant {
        /// How it met what was held.
        meeting: Meeting,
        /// Why it ended the tenant's link, if it did.
        unlinked: Option<UnlinkReason>,
    },
}

/// Applies one event whose author is proven.
///
/// # Errors
/// When the store can't be read or written; the same event can be applied again.
pub fn apply(
    tx: &mut dyn Write,
    landscape: &Landscape,
    verified: &Verified,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    match &verified.event {
        Event::TenantDefine(fact) if verified.audience == Audience::Cmk => {
            define(tx, landscape, verified.revision, fact, now)
        }
        _ => Ok(Applied::Ignored),
    }
}

fn define(
    tx: &mut dyn Write,
    landscape: &Landscape,
    revision: Revision,
    fact: &TenantDefine,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let records = Records::load(tx.as_read(), &fact.tenant)?;
    let heard = rules::hear(&records.held(landscape), revision, fact, now);
    if heard.meeting == Meeting::Differs {
        tracing::warn!(tenant = %fact.tenant, %revision, "the tenant was held with other content; replaced");
    }
    if let Some(tenant) = &heard.tenant {
        note_moves(tx, &records.held(landscape), (revision, fact), now)?;
        store::save_tenant(tx, tenant)?;
        if records.is_stale() {
            store::note_untold(tx, &fact.tenant)?;
        }
    }
    let outcome = heard.decision.map(|decision| carry_out(tx, decision)).transpose()?;
    // The only change that hearing of a tenant makes to a pointer is its end.
    let ended = outcome.filter(Outcome::changed).and_then(|outcome| outcome.into_inner().unlinked);
    let unlinked = ended.map(|ended| ended.reason);
    Ok(Applied::Tenant { meeting: heard.meeting, unlinked })
}

/// Notes to which regions a tenant with a pointer has come, and which it has left: until they have heard of it, they
/// differ from what they are to hold for good reason.
fn note_moves(
    tx: &mut dyn Write,
    held: &Held<'_>,
    (revision, fact): (Revision, &TenantDefine),
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(pointer) = held.pointer else { return Ok(()) };
    let before = held.tenant.map_or(&[][..], |tenant| &tenant.fact.regions);
    let came = fact.regions.iter().filter(|region| !before.contains(region));
    let left = before.iter().filter(|region| !fact.regions.contains(region));
    let came = came.map(|region| (region, Some(store::digest(pointer))));
    for (region, came) in came.chain(left.map(|region| (region, None))) {
        let noted = store::moves::Move { tenant: fact.tenant.clone(), came };
        store::moves::note(tx, region, &noted, (revision, now))?;
    }
    Ok(())
}

/// The streams that the CMK Server reads.
pub(crate) fn streams() -> Vec<Stream> {
    vec![
        Stream { lane: Lane::Facts, audience: Audience::Cmk },
        Stream { lane: Lane::Manifests, audience: Audience::Authorities },
    ]
}

/// Takes what the courier brings.
pub(crate) struct Ear {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) traffic: Traffic,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) landscape: watch::Receiver<Arc<Landscape>>,
}

#[async_trait]
impl Receiver for Ear {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        let (landscape, now) = (self.landscape(), self.clock.now());
        let nonce = random_hex::<16>(&*self.entropy);
        let applied = self.store.write(move |tx| take(tx, &landscape, &intake, &nonce, now)).await?;
        let mut replayed = 0;
        for applied in applied {
            let Applied::Tenant { meeting, unlinked } = applied else { continue };
            replayed += u64::from(!meeting.replaces());
            if let Some(reason) = unlinked {
                self.metrics.unlinked(reason);
            }
        }
        self.traffic.replayed(replayed);
        Ok(())
    }

    async fn told(&self, letters: &[Waiting], published: &[Published]) -> Result<(), StoreError> {
        if !published.contains(&Published::Superseded) {
            return Ok(());
        }
        let (letters, published) = (letters.to_vec(), published.to_vec());
        let (landscape, now) = (self.landscape(), self.clock.now());
        self.store.write(move |tx| words::told(tx, &landscape, &letters, &published, now)).await
    }

    async fn compare(&self, own: Intake) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.store.write(move |tx| words::compare(tx, &own, now)).await
    }

    async fn compared(&self) -> Result<(), StoreError> {
        let mut next = Some(words::Step::default());
        while let Some(step) = next {
            let (landscape, now) = (self.landscape(), self.clock.now());
            next = self.store.write(move |tx| words::conclude(tx, &landscape, step, now)).await?;
        }
        // What was told while words were compared is answered now.
        let (landscape, now) = (self.landscape(), self.clock.now());
        let nonce = random_hex::<16>(&*self.entropy);
        self.store.write(move |tx| cores::answer_all(tx, &landscape, &nonce, now)).await
    }
}

impl Ear {
    fn landscape(&self) -> Arc<Landscape> {
        self.landscape.borrow().clone()
    }
}

/// Applies what came, and records how far the stream was read. `nonce` is for what is asked.
///
/// # Errors
/// When the store fails.
pub fn take(
    tx: &mut dyn Write,
    landscape: &Landscape,
    intake: &Intake,
    nonce: &str,
    now: Timestamp,
) -> Result<Vec<Applied>, StoreError> {
    let mut revisions = AppliedRevisions::read(tx.as_read())?;
    let mut all = Vec::with_capacity(intake.events.len());
    for event in &intake.events {
        if let Event::StateManifest(manifest) = &event.event {
            // A Core speaks for its own region.
            if event.region.as_ref() == Some(&manifest.region) {
                cores::hear(tx, landscape, manifest, nonce, now)?;
            }
            continue;
        }
        let applied = apply(tx, landscape, event, now)?;
        if matches!(applied, Applied::Tenant { .. }) {
            revisions.note(Role::Registry, event.revision);
        }
        all.push(applied);
    }
    revisions.keep(tx)?;
    intake.record(tx)?;
    Ok(all)
}
