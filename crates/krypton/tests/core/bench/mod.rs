//! The control without a shell: one Core on a store in memory, whose provider, disk and peers do exactly
//! what a test says, in the order in which it says it.
//!
//! It carries effects out as the control loop does: new versions are kept, then providers are asked.

mod attacks;
mod failures;
mod orders;
mod owners;
mod replaced;
mod reseal;
mod shares;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::v1::{KeySealed, Seal, SealedBy, SovereignLease};
use openkcm_contracts::{
    Audience, Event, KeyPath, Lane, Period, RegionId, Revision, Role, RootRef, Timestamp, VersionId,
};
use openkcm_host::{BootInstant, Entropy, ManualClock, SeededEntropy, random_array};
use openkcm_krypton::control::{Core, Effects, ResealJob, Resealed, SealJob, Sealed, UnsealJob, Unsealed};
use openkcm_krypton::data::{DataPlane, Decrypted, Encrypted};
use openkcm_krypton::keyring::Keyring;
use openkcm_krypton::rules::{Moment, Refusal};
use openkcm_krypton::store::{self, Changes};
use openkcm_orbital::{Intake, Stream, Verified, outbox};
use openkcm_secrets::SecretKey;
use openkcm_store::{Item, Memory, Read, Scan, Space, StoreError};

use crate::rig::facts::{self, region};

/// The moment at which these tests begin.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_770_019_200_000);

/// One Core on the bench.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) store: Memory,
    pub(crate) data: DataPlane,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) now: Timestamp,
    /// Questions to the provider that are not answered yet.
    pub(crate) unseal: Vec<UnsealJob>,
    pub(crate) seal: Vec<SealJob>,
    pub(crate) reseal: Vec<ResealJob>,
    region: String,
    entropy: Arc<dyn Entropy>,
}

impl Bench {
    /// A Core that has read an empty mesh to its end.
    pub(crate) fn new(name: &str) -> Self {
        let mut bench = Self::on(name, Memory::default(), START, seed(name));
        bench.step(|core, view, now| core.hydrated(view, now));
        bench
    }

    /// A Core in whose region all is said that makes a service usable, and which has made it.
    pub(crate) fn serving(name: &str) -> Self {
        let mut bench = Self::new(name);
        for (counter, event) in facts::all() {
            bench.hears(counter, event);
        }
        bench.answers();
        bench.tells();
        bench
    }

    /// The same Core after a crash: its disk stays.
    pub(crate) fn restarted(self) -> Self {
        let mut bench = Self::on(&self.region, self.store, self.now, 7);
        bench.step(|core, view, now| core.start(view, now));
        bench
    }

    fn on(name: &str, store: Memory, now: Timestamp, seed: u64) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(seed));
        let clock = ManualClock::new(START, BootInstant::from_nanos(0));
        let keyring = Arc::new(Keyring::new(Arc::new(clock)));
        Self {
            // The clock of leases and probes stands still here.
            core: Core::new(region(name), keyring.clone(), entropy.clone()).with_probes(Duration::MAX),
            data: DataPlane::new(keyring.clone(), entropy.clone()),
            keyring,
            store,
            now,
            unseal: Vec::new(),
            seal: Vec::new(),
            reseal: Vec::new(),
            region: name.into(),
            entropy,
        }
    }

    /// One step of the control, and what follows from it.
    pub(crate) fn step(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError>,
    ) {
        let effects = step(&mut self.core, &self.store, self.now).expect("memory does not fail");
        self.carry_out(effects);
    }

    /// One step on a store that fails after so many reads. Says whether it failed.
    pub(crate) fn step_on_failing_store(
        &mut self,
        reads: usize,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError>,
    ) -> bool {
        let failing = Failing { store: &self.store, left: Cell::new(reads) };
        match step(&mut self.core, &failing, self.now) {
            Ok(effects) => {
                self.carry_out(effects);
                false
            }
            Err(_) => true,
        }
    }

    fn carry_out(&mut self, mut effects: Effects) {
        loop {
            self.unseal.append(&mut effects.unseal);
            self.seal.append(&mut effects.seal);
            self.reseal.append(&mut effects.reseal_l2);
            let (resealed, now) = (std::mem::take(&mut effects.reseal), self.now);
            let kept: Result<(), StoreError> = self.store.write(|tx| store::reseal(tx, &resealed, now));
            kept.expect("memory does not fail");
            if effects.keep.is_empty() {
                return;
            }
            let (made, now) = (std::mem::take(&mut effects.keep), self.now);
            let kept: Result<(), StoreError> = self.store.write(|tx| store::keep(tx, &made, now));
            kept.expect("memory does not fail");
            effects = self.core.kept(&self.store, &made, now).expect("memory does not fail");
        }
    }

    /// Hears an authority, at its revision 1.`counter`, and settles.
    pub(crate) fn hears(&mut self, counter: u64, event: Event) {
        let changes = self.absorbs(counter, event, None);
        self.step(|core, view, now| core.settle(view, &changes, now));
    }

    /// Hears of a sealed version, and settles.
    pub(crate) fn hears_of(&mut self, sealed: &KeySealed) {
        let teller = sealed.teller().to_string();
        let changes = self.absorbs(sealed.counter, Event::KeySealed(sealed.clone()), Some(&teller));
        self.step(|core, view, now| core.settle(view, &changes, now));
    }

    /// Commits what was heard, and settles nothing. The CMK Server agrees at once on every link that is held
    /// then.
    pub(crate) fn absorbs(&mut self, counter: u64, event: Event, maker: Option<&str>) -> Changes {
        let is_link = matches!(event, Event::L1Reference(_) | Event::TenantDefine(_));
        let mut changes = self.absorbs_one(counter, event, maker);
        if is_link {
            let agreed = self.agrees();
            changes.leased |= agreed.leased;
            changes.tenants.extend(agreed.tenants);
        }
        changes
    }

    /// The Core tells a manifest, and the CMK Server agrees with all of it, for a hundred years.
    fn agrees(&mut self) -> Changes {
        let nonce = format!("{:032x}", self.entropy_word());
        let now = Moment::of(&**self.keyring.clock());
        let region = region(&self.region);
        let told: Result<(), StoreError> =
            self.store.write(|tx| store::manifest::tell(tx, &region, nonce.clone(), None, &now));
        told.expect("memory does not fail");
        let ttl = Period::from_secs(Period::MAX_SECS).expect("a period");
        let lease = SovereignLease {
            region,
            incarnation: 0,
            nonce,
            ttl,
            disputes: Vec::new(),
            unsettled: Vec::new(),
        };
        self.absorbs_one(1, Event::SovereignLease(lease), None)
    }

    fn entropy_word(&self) -> u128 {
        u128::from_be_bytes(random_array(&*self.entropy))
    }

    fn absorbs_one(&mut self, counter: u64, event: Event, maker: Option<&str>) -> Changes {
        let audience = if maker.is_some() { Audience::Cores } else { Audience::Region(region(&self.region)) };
        let lane: Lane = event.kind().lane();
        let verified = Verified {
            event,
            revision: Revision::new(1, counter),
            audience: audience.clone(),
            author: if maker.is_some() { Role::Krypton } else { Role::Registry },
            region: maker.map(region),
        };
        let intake = Intake {
            stream: Stream { lane, audience },
            events: vec![verified],
            poison: Vec::new(),
            dropped: BTreeMap::new(),
            unbelieved: None,
            words_of: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        let now = self.now;
        let absorbed: Result<Changes, StoreError> = self.store.write(|tx| store::absorb(tx, &intake, now));
        absorbed.expect("memory does not fail")
    }

    /// The provider answers everything that it was asked, and what it is asked for that.
    pub(crate) fn answers(&mut self) {
        while !(self.unseal.is_empty() && self.seal.is_empty() && self.reseal.is_empty()) {
            let jobs = std::mem::take(&mut self.unseal).into_iter();
            let answers = jobs.map(|job| unsealed(unseal(&job), job)).collect();
            self.step(|core, view, now| core.unsealed_together(view, answers, now));
            for job in std::mem::take(&mut self.seal) {
                let outcome = Ok(seal(&job));
                self.step(|core, view, now| core.sealed(view, sealed(outcome, job), now));
            }
            for job in std::mem::take(&mut self.reseal) {
                let seals = seal_to(&job.roots, &format!("{}|{}", job.path, job.sealed.version), &job.key);
                let answer = Resealed { job, outcome: Ok(seals), denied_by: None };
                self.step(|core, view, now| core.resealed(view, answer, now));
            }
        }
    }

    /// The provider refuses everything that it was asked.
    pub(crate) fn is_refused(&mut self, refusal: Refusal) {
        for job in std::mem::take(&mut self.unseal) {
            let outcome = Err(refusal);
            self.step(|core, view, now| core.unsealed(view, unsealed(outcome, job), now));
        }
        for job in std::mem::take(&mut self.seal) {
            let outcome = Err(refusal);
            self.step(|core, view, now| core.sealed(view, sealed(outcome, job), now));
        }
    }

    /// The mesh takes every letter that waits. Gives what it was told.
    pub(crate) fn tells(&mut self) -> Vec<KeySealed> {
        let mut told = Vec::new();
        loop {
            let waiting = outbox::waiting(&self.store, Lane::Sealed, 100).expect("memory does not fail");
            if waiting.is_empty() {
                return told;
            }
            self.step(|core, view, now| core.told(view, &waiting, now));
            let forgotten: Result<(), StoreError> =
                self.store.write(|tx| outbox::forget(tx, Lane::Sealed, &waiting));
            forgotten.expect("memory does not fail");
            for letter in waiting {
                let kind = openkcm_contracts::EventType::KeySealed;
                match Event::from_body(kind, letter.letter.body.as_bytes()).expect("its own word") {
                    Event::KeySealed(sealed) => told.push(sealed),
                    other => panic!("{other:?} is no sealed version"),
                }
            }
        }
    }

    /// Time passes, and what becomes due on the way is done, and answered. Says how often it looked.
    pub(crate) fn passes(&mut self, time: Duration) -> usize {
        let until = self.now.after(time);
        for looks in 0..100_000 {
            match self.core.next_due().filter(|due| *due <= until) {
                None => {
                    self.now = until;
                    return looks;
                }
                Some(due) => {
                    self.now = self.now.max(due);
                    self.step(|core, view, now| core.due(view, now));
                    self.answers();
                }
            }
        }
        panic!("the agenda never ends: it spins");
    }

    pub(crate) fn encrypt(&self) -> Result<Encrypted, Refusal> {
        self.data.encrypt(&service(), b"plaintext", b"")
    }

    pub(crate) fn decrypt(&self, ciphertext: &str) -> Result<Decrypted, Refusal> {
        self.data.decrypt(&service(), ciphertext, b"")
    }

    /// Its sealed versions: of the L2, and of the L3.
    pub(crate) fn held(&self) -> (Vec<KeySealed>, Vec<KeySealed>) {
        let l2 = store::system_versions(&self.store, &service().system_path());
        let l3 = store::service_versions(&self.store, &service());
        (l2.expect("memory does not fail"), l3.expect("memory does not fail"))
    }

    /// So long the Core runs, on its purge clock; what is waited for so long is trusted, with a wait of `wait`.
    pub(crate) fn runs(&mut self, time: Duration, wait: Duration) {
        let (region, now) = (region(&self.region), self.now);
        let policy = openkcm_krypton::PurgePolicy::default();
        let trusted: Result<_, StoreError> = self.store.write(|tx| {
            store::purge::advance(tx, &region, &policy, time, now)?;
            store::owners::advance(tx, wait)
        });
        let tenants = trusted.expect("memory does not fail").into_iter().collect();
        let changes = Changes { tenants, ..Changes::default() };
        self.step(|core, view, now| core.settle(view, &changes, now));
        self.answers();
    }

    /// A caller has a key rotated; the provider answers, and the mesh takes what is told of it.
    pub(crate) fn rotates(&mut self, key: &str) -> VersionId {
        let path: KeyPath = key.parse().expect("a key's name");
        let version = Cell::new(None);
        self.step(|core, view, now| {
            let (made, effects) = core.rotate(view, &path, now).expect("it serves");
            version.set(Some(made));
            Ok(effects)
        });
        self.answers();
        self.tells();
        version.get().expect("it was begun")
    }

    pub(crate) fn random_key(&self) -> SecretKey {
        SecretKey::generate(&*self.entropy).expect("memory")
    }
}

pub(crate) fn service() -> openkcm_contracts::ServicePath {
    facts::SERVICE.parse().expect("a key's name")
}

fn seed(name: &str) -> u64 {
    name.bytes().map(u64::from).sum()
}

/// An answer of the provider, at a moment at which nothing that these tests wait for has passed.
pub(crate) fn unsealed(outcome: Result<Arc<SecretKey>, Refusal>, job: UnsealJob) -> Unsealed {
    Unsealed { job, outcome, asked: at_start(), denied_by: None }
}

/// As [`unsealed`].
pub(crate) fn sealed(outcome: Result<Vec<Seal>, Refusal>, job: SealJob) -> Sealed {
    Sealed { job, outcome, asked: at_start(), denied_by: None }
}

fn at_start() -> Moment {
    Moment::of(&ManualClock::new(START, BootInstant::from_nanos(0)))
}

/// What the provider of the bench seals: the key itself, which only it can read; it stays on the bench.
fn seal(job: &SealJob) -> Vec<Seal> {
    seal_to(&job.roots, &format!("{}|{}", job.path, job.version), &job.key)
}

fn seal_to(roots: &[RootRef], name: &str, key: &SecretKey) -> Vec<Seal> {
    let hex: String = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let ciphertext = format!("{name}|{hex}");
    roots
        .iter()
        .map(|root| Seal { by: SealedBy::Root(root.clone()), ciphertext: ciphertext.clone() })
        .collect()
}

/// It opens what it sealed for this system and version, and nothing else.
pub(crate) fn unseal(job: &UnsealJob) -> Result<Arc<SecretKey>, Refusal> {
    let name = format!("{}|{}|", job.path, job.version);
    let opened = job.seals.iter().find_map(|(_, ciphertext)| ciphertext.strip_prefix(&name));
    let hex = opened.ok_or(UNOPENABLE)?;
    let mut bytes: [u8; 32] =
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"));
    Ok(Arc::new(SecretKey::from_slice_wiping(&mut bytes).expect("memory")))
}

pub(crate) const UNOPENABLE: Refusal =
    Refusal::new(openkcm_contracts::problem::Code::MaterialNotHere, "it does not open");
pub(crate) const AWAY: Refusal =
    Refusal::new(openkcm_contracts::problem::Code::L1Unreachable, "it does not answer");

/// The versions of several Cores: each tells the others all that it made, until nobody has news.
pub(crate) fn exchange(cores: &mut [Bench]) {
    let mut told: BTreeMap<(VersionId, RegionId), KeySealed> = BTreeMap::new();
    loop {
        let before = told.len();
        for core in cores.iter_mut() {
            core.answers();
            let words = core.tells().into_iter();
            told.extend(words.map(|sealed| ((sealed.version, sealed.teller().clone()), sealed)));
        }
        for (core, sealed) in cores.iter_mut().flat_map(|core| {
            let own = core.region.clone();
            let news: Vec<KeySealed> =
                told.values().filter(|sealed| sealed.teller().as_str() != own).cloned().collect();
            std::iter::once((core, news))
        }) {
            sealed.iter().for_each(|sealed| core.hears_of(sealed));
            core.answers();
        }
        if told.len() == before {
            return;
        }
    }
}

/// Two regions that serve with what the first one made.
pub(crate) fn two_that_serve() -> [Bench; 2] {
    let (first, mut second) = (Bench::serving("a"), Bench::new("b"));
    let (l2, l3) = first.held();
    l2.iter().chain(&l3).for_each(|sealed| second.hears_of(sealed));
    for (counter, event) in facts::all() {
        second.hears(counter, event);
    }
    second.answers();
    [first, second]
}

/// A store whose reads fail after some.
struct Failing<'a> {
    store: &'a Memory,
    left: Cell<usize>,
}

impl Failing<'_> {
    fn may(&self) -> Result<(), StoreError> {
        let left = self.left.get().checked_sub(1).ok_or(StoreError::Closed)?;
        self.left.set(left);
        Ok(())
    }
}

impl Read for Failing<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.may().and_then(|()| self.store.get(space, key))
    }

    fn scan(&self, space: Space, scan: Scan<'_>) -> Result<Vec<Item>, StoreError> {
        self.may().and_then(|()| self.store.scan(space, scan))
    }

    fn last(&self, space: Space, prefix: &[u8]) -> Result<Option<Item>, StoreError> {
        self.may().and_then(|()| self.store.last(space, prefix))
    }
}
