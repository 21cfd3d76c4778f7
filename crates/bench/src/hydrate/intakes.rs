//! Verification alone, and what a Core does with verified intakes alone: commit, then settle.
//!
//! The control and the store are the product's; its shell, a few tasks and queues, is left out, and a provider
//! that answers at once stands in its place. With the shell: `whole`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use openkcm_contracts::v1::{Audience, Lane, Seal, SealedBy, SovereignLease};
use openkcm_contracts::{Event, Period, Revision, Role, Timestamp, VersionId};
use openkcm_host::{OsEntropy, SystemClock, random_hex};
use openkcm_krypton::control::{Core, Effects, SealJob, Sealed, Unsealed};
use openkcm_krypton::keyring::Keyring;
use openkcm_krypton::rules::Moment;
use openkcm_krypton::store::{self, Slices};
use openkcm_orbital::{Intake, Reading, Stream, Verified, Verifier};
use openkcm_secrets::SecretKey;
use openkcm_store::{OpenOptions, Read, Store, StoreError};

use super::facts::{self, Facts, now};
use super::figure::{Meter, Table, Took};
use super::shelf::batch;
use crate::landscape::elapsed;

/// Messages that are read at once, as the courier does.
const READ: usize = 1024;

/// Verifies all of it on one core.
pub(super) fn verify(facts: &Facts, table: &mut Table) -> anyhow::Result<Vec<Intake>> {
    let verifier = Verifier::new(&facts.bundle(None))?;
    let reading = Reading::all(facts::stream()?);
    let (mut intakes, mut took, count) = (Vec::new(), Took::default(), facts.messages.len());
    for from in (0..count).step_by(READ) {
        let until = count.min(from + READ);
        let batch = batch(&facts.messages, from..until, until == count);
        let meter = Meter::start();
        let intake = Intake::verify(&reading, batch, &verifier, now());
        took += meter.stop();
        ensure!(intake.dropped.is_empty() && intake.poison.is_empty(), "all are authentic");
        intakes.push(intake);
    }
    table.add(format!("{:?}: verified, one core", facts.order), count, took, String::new());
    Ok(intakes)
}

/// Commits and settles all of it: `gathered` intakes at once, as the courier hands them to a Core that is behind;
/// one at once is a Core that keeps up.
pub(super) async fn take_in(
    (facts, intakes): (&Facts, &[Intake]),
    gathered: usize,
    directory: &Path,
    table: &mut Table,
) -> anyhow::Result<()> {
    let count = facts.messages.len();
    let file = directory.join(format!("alone-{gathered}.db"));
    let mut taker = Taker::new(&file)?;
    // The mesh was read to its end before, so that what is new is made at once.
    taker.step(|core, view, now| core.hydrated(view, now)).await?;
    let mut took = Took::default();
    for together in intakes.chunks(gathered) {
        let mut together = together.iter().cloned();
        let meter = Meter::start();
        let mut intake = together.next().context("no chunk is empty")?;
        together.for_each(|next| intake.join(next));
        taker.take(intake).await?;
        took += meter.stop();
    }
    let Taker { committing, settling, longest, log, .. } = &taker;
    let name = |what: &str| format!("{:?}: {what}, {gathered} at once", facts.order);
    let size = std::fs::metadata(&file)?.len() / (1 << 20);
    let note = format!("store {size} MiB, log at most {} MiB", log / (1 << 20));
    table.add(name("absorbed, committed"), count, *committing, note);
    let note = format!("longest step {:.1} ms", longest.as_secs_f64() * 1e3);
    table.add(name("settled"), count, *settling, note);
    table.add(name("verified intakes to settled"), count, took, String::new());
    let begun = Meter::start();
    taker.start_again().await?;
    let took = begun.stop();
    let note = format!("longest step {:.1} ms", taker.longest.as_secs_f64() * 1e3);
    table.add(name("settled at a start, served keys"), facts::SERVICES.min(facts.services), took, note);
    Ok(())
}

/// An empty keyring.
fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(Arc::new(SystemClock)))
}

/// A Core without a shell.
struct Taker {
    store: Store,
    core: Arc<Mutex<Core>>,
    log_file: std::path::PathBuf,
    committing: Took,
    settling: Took,
    longest: Duration,
    /// What was sealed, as a provider remembers it.
    sealed: HashMap<VersionId, Arc<SecretKey>>,
    /// The longest that the store's log was, in bytes.
    log: u64,
}

impl Taker {
    fn new(file: &Path) -> anyhow::Result<Self> {
        let options = OpenOptions {
            path: file.into(),
            identity: "krypton/a".into(),
            spaces: &[store::SPACES, openkcm_orbital::SPACES],
        };
        let store = Store::open(&options)?;
        let core = Core::new(facts::region()?, keyring(), Arc::new(OsEntropy::new()));
        Ok(Self {
            store,
            core: Arc::new(Mutex::new(core)),
            log_file: file.with_extension("db-wal"),
            committing: Took::default(),
            settling: Took::default(),
            longest: Duration::ZERO,
            sealed: HashMap::new(),
            log: 0,
        })
    }

    async fn take(&mut self, intake: Intake) -> anyhow::Result<()> {
        for slice in Slices::of(intake) {
            let meter = Meter::start();
            let mut changes = self.store.write(move |tx| store::absorb_slice(tx, &slice, now())).await?;
            self.committing += meter.stop();
            if !changes.tenants.is_empty() {
                self.agree().await?;
                changes.leased = true;
            }
            self.log = self.log.max(std::fs::metadata(&self.log_file).map_or(0, |file| file.len()));
            let meter = Meter::start();
            self.step(move |core, view, now| core.settle(view, &changes, now)).await?;
            while self.is_due() {
                self.step(Core::due).await?;
            }
            self.settling += meter.stop();
        }
        Ok(())
    }

    /// The Core tells a manifest, and is leased: not a part of what is measured.
    async fn agree(&mut self) -> anyhow::Result<()> {
        let region = facts::region()?;
        let nonce = random_hex::<16>(&OsEntropy::new());
        let ttl = Period::from_secs(86_400)?;
        let lease = SovereignLease {
            region: region.clone(),
            incarnation: 0,
            nonce: nonce.clone(),
            ttl,
            disputes: Vec::new(),
            unsettled: Vec::new(),
        };
        let audience = Audience::Region(region.clone());
        let leased = Verified {
            event: Event::SovereignLease(lease),
            revision: Revision::new(1, 3),
            audience: audience.clone(),
            author: Role::Cmk,
            region: None,
        };
        let intake = Intake {
            stream: Stream { lane: Lane::Urgent, audience },
            words_of: None,
            events: vec![leased],
            poison: Vec::new(),
            dropped: [].into(),
            unbelieved: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        let agreed = self.store.write(move |tx| {
            let moment = Moment::of(&SystemClock);
            store::manifest::tell(tx, &region, nonce, None, &moment)?;
            store::absorb(tx, &intake, moment.wall).map(drop)
        });
        Ok(agreed.await?)
    }

    /// Forgets all but what is on disk, and settles it.
    async fn start_again(&mut self) -> anyhow::Result<()> {
        let core = Core::new(facts::region()?, keyring(), Arc::new(OsEntropy::new()));
        self.core = Arc::new(Mutex::new(core));
        self.longest = Duration::ZERO;
        self.step(|core, view, now| core.start(view, now)).await?;
        while self.is_due() {
            self.step(Core::due).await?;
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.next_due().is_some_and(|at| at <= now())
    }

    async fn step(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError> + Send + 'static,
    ) -> anyhow::Result<()> {
        let mut effects = self.one_step(step).await?;
        loop {
            if let Some(job) = effects.unseal.pop() {
                let key = self.sealed.get(&job.version).context("it was sealed here")?.clone();
                let answer =
                    Unsealed { job, outcome: Ok(key), asked: Moment::of(&SystemClock), denied_by: None };
                let more = self.one_step(|core, view, now| core.unsealed(view, answer, now)).await?;
                effects.merge(more);
            } else if let Some(job) = effects.seal.pop() {
                self.sealed.insert(job.version, job.key.clone());
                let more = self.one_step(|core, view, now| core.sealed(view, sealed(job), now)).await?;
                effects.merge(more);
            } else if !effects.keep.is_empty() {
                let made = std::mem::take(&mut effects.keep);
                let records = made.clone();
                self.store.write(move |tx| store::keep(tx, &records, now())).await?;
                let more = self.one_step(move |core, view, now| core.kept(view, &made, now)).await?;
                effects.merge(more);
            } else {
                return Ok(());
            }
        }
    }

    async fn one_step(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError> + Send + 'static,
    ) -> anyhow::Result<Effects> {
        let core = self.core.clone();
        let (effects, took) = self
            .store
            .read(move |view| {
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let begun = elapsed();
                let effects = step(&mut core, view, now())?;
                Ok::<_, StoreError>((effects, elapsed() - begun))
            })
            .await?;
        self.longest = self.longest.max(took);
        Ok(effects)
    }
}

/// What a provider answers that seals at once.
fn sealed(job: SealJob) -> Sealed {
    let seal = |root: &_| Seal { by: SealedBy::Root(Clone::clone(root)), ciphertext: "c2VhbGVk".into() };
    let outcome = Ok(job.roots.iter().map(seal).collect());
    Sealed { job, outcome, asked: Moment::of(&SystemClock), denied_by: None }
}
