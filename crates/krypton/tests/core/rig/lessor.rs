//! The CMK Server's other half: it answers each manifest with a lease, and agrees on everything, unless it is told
//! otherwise.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use openkcm_contracts::v1::{Dispute, ManifestBody, SovereignLease, StateManifest};
use openkcm_contracts::{Audience, Event, Lane, Period, Revision};
use openkcm_host::{Clock, ManualClock};
use openkcm_orbital::{Embedded, Letter, Message, Reading, Signer, Stream, Transport, Verifier};
use tokio::task::JoinSet;

/// Gives leases for as long as this is there.
pub(crate) struct Lessor {
    terms: Arc<Terms>,
    _task: JoinSet<()>,
}

/// What it gives.
struct Terms {
    away: AtomicBool,
    ttl: Mutex<Period>,
    disputes: Mutex<Vec<Dispute>>,
    /// A start of the Core that it has heard of, and that is gone.
    gone: AtomicU64,
    /// The last lease that it gave.
    last: Mutex<Option<Message>>,
    given: AtomicU64,
}

impl Lessor {
    pub(super) fn new(
        mesh: Embedded,
        signer: Arc<Signer>,
        verifier: Arc<Verifier>,
        clock: ManualClock,
    ) -> Self {
        let terms = Arc::new(Terms {
            away: AtomicBool::new(false),
            ttl: Mutex::new(Period::from_secs(Period::MAX_SECS).expect("a period")),
            disputes: Mutex::default(),
            gone: AtomicU64::new(0),
            last: Mutex::default(),
            given: AtomicU64::new(0),
        });
        let mut task = JoinSet::new();
        task.spawn(give(mesh, signer, verifier, clock, terms.clone()));
        Self { terms, _task: task }
    }

    /// From now on it answers nothing, or everything again.
    pub(crate) fn set_away(&self, away: bool) {
        self.terms.away.store(away, Ordering::SeqCst);
    }

    /// How long leases hold from now on.
    pub(crate) fn set_ttl(&self, secs: u64) {
        *self.terms.ttl.lock().expect("no panic") = Period::from_secs(secs).expect("a period");
    }

    /// What it does not agree on from now on.
    pub(crate) fn disputes(&self, disputes: Vec<Dispute>) {
        *self.terms.disputes.lock().expect("no panic") = disputes;
    }

    /// It has heard of a start of the Core that is gone: who is dated before it is told to go on as a later one.
    pub(crate) fn has_heard_of(&self, incarnation: u64) {
        self.terms.gone.store(incarnation, Ordering::SeqCst);
    }

    /// The last lease that it gave, as it was signed.
    pub(crate) fn last(&self) -> Message {
        self.terms.last.lock().expect("no panic").clone().expect("it has given one")
    }

    /// How many leases it has given.
    pub(crate) fn given(&self) -> u64 {
        self.terms.given.load(Ordering::SeqCst)
    }
}

async fn give(
    mesh: Embedded,
    signer: Arc<Signer>,
    verifier: Arc<Verifier>,
    clock: ManualClock,
    terms: Arc<Terms>,
) {
    let stream = Stream { lane: Lane::Manifests, audience: Audience::Authorities };
    let mut manifests = mesh.subscribe(&Reading::all(stream), None).await.expect("the mesh is here");
    while let Ok(batch) = manifests.next(100).await {
        for delivered in batch.messages {
            let verified = verifier.verify(&delivered.message, clock.now()).expect("Cores sign manifests");
            let Event::StateManifest(manifest) = verified.event else { continue };
            if terms.away.load(Ordering::SeqCst) || !matches!(manifest.body, ManifestBody::Digests { .. }) {
                continue;
            }
            let message = signer.sign(&terms.lease(manifest, &clock));
            *terms.last.lock().expect("no panic") = Some(message.clone());
            mesh.publish(vec![message]).await.expect("the mesh is here");
        }
    }
}

impl Terms {
    fn lease(&self, manifest: StateManifest, clock: &ManualClock) -> Letter {
        let given = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        let gone = self.gone.load(Ordering::SeqCst);
        let incarnation = if manifest.incarnation <= gone { gone + 1 } else { manifest.incarnation };
        let lease = SovereignLease {
            region: manifest.region.clone(),
            incarnation,
            nonce: manifest.nonce,
            ttl: *self.ttl.lock().expect("no panic"),
            disputes: self.disputes.lock().expect("no panic").clone(),
            unsettled: Vec::new(),
        };
        let audience = Audience::Region(manifest.region);
        Letter::new(&Event::SovereignLease(lease), audience, Revision::new(1, given), clock.now())
    }
}
