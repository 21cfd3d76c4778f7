//! The Core's control: what has to be opened, made, rotated and refused, given what is held.
//!
//! Plain code. It is handed a view of the store, the time and an entropy; it changes the keyring and
//! its own memory, and returns effects: jobs for the L1 provider, and new versions to keep. The shell
//! (`service`) and the simulator run the same code.
//!
//! Memory is a function of what was committed: every step reads the store as it is now and settles
//! the keyring to it, so a crash loses nothing but opened keys, and a step may be repeated. A step that finds much
//! to do does a share of it; [`Core::due`] does the rest, a share at a time, and other inputs come between.
//!
//! | input | step |
//! | --- | --- |
//! | an intake was absorbed and committed | [`Core::settle`] |
//! | the provider answered | [`Core::unsealed_together`], [`Core::sealed`], [`Core::resealed`], [`Core::probed`] |
//! | new versions were kept | [`Core::kept`] |
//! | new seals were not kept | [`Core::not_resealed`] |
//! | letters are durable on the mesh | [`Core::told`] |
//! | versions were destroyed | [`Core::settle`] |
//! | time has come | [`Core::due`] |
//! | a caller asks | [`Core::rotate`], [`Core::demand`] |

mod agenda;
mod answers;
mod at_risk;
mod effects;
mod held;
mod l2;
mod lease;
mod make;
mod patience;
mod plan;
mod probe;
mod question;
mod reseal;
mod reseal_l2;
mod service;
mod step;
mod system;
mod systems;
mod tenant;
mod view;

#[cfg(test)]
pub(crate) use effects::Ticket;

pub use agenda::{Agenda, Thing};
pub use effects::{
    Effects, ProbeAnswer, ProbeJob, ProbeQuestion, Probed, ResealJob, Resealed, RotateError, SealJob, Sealed,
    UnsealJob, Unsealed, Wanted,
};
pub use lease::LeaseView;
pub use probe::ProbeView;
pub use reseal::RESEAL_PATIENCE;
pub use systems::WarmUp;
pub use view::VersionView;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::v1::KeySealed;
use openkcm_contracts::{
    Event, EventType, KeyPath, Lane, RegionId, ServicePath, SystemPath, TenantId, Timestamp,
};
use openkcm_host::Entropy;
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_store::{Read, StoreError};

use crate::keyring::Keyring;
use crate::store::{self, Changes};
use at_risk::AtRisk;
use l2::LONGEST_RETRY;
use lease::Leasing;
use patience::Patience;
use probe::Probing;
use reseal::Resealing;
use step::{Left, Rest, Step};
use systems::Systems;

/// How long a region that is asked for a key without a version waits for another region's, which is as
/// a rule under way, before it makes its own.
const DEMAND_PATIENCE: Duration = Duration::from_millis(500);

/// How long after a store refused new versions making them is tried again.
const KEEP_RETRY: Duration = Duration::from_secs(1);

/// Keys and tenants that one step looks at. Opening the L3 versions of a service takes 25 µs (measured), so the
/// control state is held for some seven milliseconds.
const SHARE: usize = 256;

/// The least of it with which every step gets on: a tenant and one of its keys.
const LEAST_SHARE: usize = 2;

/// The control state of one region's Core.
pub struct Core {
    region: RegionId,
    keyring: Arc<Keyring>,
    entropy: Arc<dyn Entropy>,
    /// Systems of tenants that are served.
    systems: Systems,
    agenda: Agenda,
    leasing: Leasing,
    probing: Probing,
    /// How long another region is waited for where a key has no version.
    patience: Patience,
    resealing: Resealing,
    /// Versions whose sealed form is not yet known to be durable on the mesh.
    at_risk: AtRisk,
    /// Whether the mesh was read to its end once, or given up on: before that nothing is made, since
    /// what is missing here may only be on its way.
    hydrated: bool,
    /// Systems of which something would have been made, had the mesh been read.
    postponed: BTreeSet<SystemPath>,
    /// What steps have left for later ones.
    rest: Rest,
    /// How much one step looks at.
    share: usize,
    /// What a step had asked for when the store failed it: asked for with the next one, since what
    /// waits for an answer must not wait for ever.
    unasked: Effects,
}

impl Core {
    /// A Core that has settled nothing yet.
    pub fn new(region: RegionId, keyring: Arc<Keyring>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            region,
            keyring,
            entropy,
            systems: Systems::default(),
            agenda: Agenda::default(),
            leasing: Leasing::default(),
            probing: Probing::default(),
            patience: Patience::default(),
            resealing: Resealing::default(),
            at_risk: AtRisk::default(),
            hydrated: false,
            postponed: BTreeSet::new(),
            rest: Rest::default(),
            share: SHARE,
            unasked: Effects::default(),
        }
    }

    /// The same, whose steps look at no more than so many keys and tenants each.
    pub fn with_share(self, share: usize) -> Self {
        Self { share: share.max(LEAST_SHARE), ..self }
    }

    /// Settles everything that is held: the first step after a start.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn start(&mut self, view: &dyn Read, now: Timestamp) -> Result<Effects, StoreError> {
        for Waiting { letter, .. } in outbox::waiting(view, Lane::Sealed, usize::MAX)? {
            if let Ok(Event::KeySealed(sealed)) =
                Event::from_body(EventType::KeySealed, letter.body.as_bytes())
                && !sealed.seals.is_empty()
                && store::is_first_word(&letter, &sealed)
            {
                self.at_risk.insert(&sealed);
            }
        }
        self.settle_all(view, now)
    }

    /// Settles everything that is held, as after a step that failed. What is at risk is known already:
    /// a letter that was told may still lie in the outbox.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn settle_all(&mut self, view: &dyn Read, now: Timestamp) -> Result<Effects, StoreError> {
        self.load_leases(view)?;
        let tenants = store::tenants(view)?;
        // What is not come to in this step is being loaded, and not unknown.
        tenants.iter().for_each(|id| drop(self.keyring.tenant_or_new(id)));
        self.step(view, now, |core, step| {
            tenants.iter().try_for_each(|id| core.settle_tenant(step, id, None))
        })
    }

    /// The wall clock was set back: what was planned by it before is planned anew, so that nothing
    /// waits until the clock has come where it was.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn clock_set_back(&mut self, view: &dyn Read, now: Timestamp) -> Result<Effects, StoreError> {
        self.systems.retry_at_latest(now.after(LONGEST_RETRY));
        self.settle_all(view, now)
    }

    /// Forgets the L2 of tenants whose gate is shut, where the store does not take what shut it.
    pub fn forget_closed(&mut self) {
        let Self { systems, keyring, .. } = self;
        systems.retain(|id| keyring.tenant(id).is_some_and(|ring| ring.epoch().is_some()));
    }

    /// Brings keyring and agenda in line with what was committed.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn settle(
        &mut self,
        view: &dyn Read,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        self.step(view, now, |core, step| core.settle_changes(step, changes))
    }

    fn settle_changes(&mut self, step: &mut Step<'_>, changes: &Changes) -> Result<(), StoreError> {
        let Changes { tenants, systems, l2s, services, dropped, leased, received: _, replayed: _ } = changes;
        self.at_risk.forget(dropped);
        if *leased {
            self.settle_leases(step)?;
        }
        for id in tenants {
            self.settle_tenant(step, id, None)?;
        }
        let apart = |tenant: &TenantId| !tenants.contains(tenant);
        let mut covered = BTreeSet::new();
        for path in systems.iter().filter(|path| apart(&path.tenant)) {
            self.settle_system_and_services(step, path, None)?;
            covered.insert(path);
        }
        for path in l2s.iter().filter(|path| apart(&path.tenant)) {
            if !systems.contains(path) && self.settle_l2_and_who_waits(step, path)? {
                covered.insert(path);
            }
        }
        let services = services.iter().filter(|path| apart(&path.tenant));
        self.settle_services(step, services, |path| covered.contains(path), false)
    }

    /// The mesh was read to its end, or is away: from now on, what is missing may be made.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn hydrated(&mut self, view: &dyn Read, now: Timestamp) -> Result<Effects, StoreError> {
        self.hydrated = true;
        let postponed = std::mem::take(&mut self.postponed);
        self.step(view, now, |core, step| {
            postponed.iter().try_for_each(|path| core.settle_system_and_services(step, path, None))
        })
    }

    /// Does what has become due, and a share of what other steps have left. Ask again at [`Core::next_due`].
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn due(&mut self, view: &dyn Read, now: Timestamp) -> Result<Effects, StoreError> {
        self.step(view, now, |core, step| {
            core.end_leases(step)?;
            core.probe_due(step)?;
            // Where there is a rest, both get on.
            let most = if core.rest.is_empty() { core.share } else { core.share / 2 };
            let due = core.agenda.take_due(now, most);
            core.settle_due(step, &due)?;
            core.settle_rest(step)?;
            core.reseal_due(step)
        })
    }

    fn settle_due(&mut self, step: &mut Step<'_>, due: &BTreeSet<Thing>) -> Result<(), StoreError> {
        let mut waits = Vec::new();
        for thing in due {
            if let KeyPath::System(path) = thing
                && self.settle_l2(step, path, true)?
            {
                waits.push(path);
            }
        }
        let services = due.iter().filter_map(|thing| match thing {
            KeyPath::Service(path) => Some(path),
            KeyPath::System(_) => None,
        });
        self.settle_services(step, services, |_| false, true)?;
        waits.into_iter().try_for_each(|path| self.settle_services_of(step, path, None))
    }

    fn settle_rest(&mut self, step: &mut Step<'_>) -> Result<(), StoreError> {
        while step.share() > 0
            && let Some(left) = self.rest.take()
        {
            match left {
                Left::Tenant(id, after) => self.settle_tenant(step, &id, after)?,
                Left::L2(path) => drop(self.settle_l2_and_who_waits(step, &path)?),
                Left::System(path, after) => self.settle_system_and_services(step, &path, after)?,
                Left::Services(path, services) => {
                    self.settle_some_services(step, &path, &services, false)?;
                }
            }
        }
        Ok(())
    }

    /// Runs a step, and collects what it asks for. New versions of an L3 that a failed step had made are
    /// dropped: they are in no store, so they never existed.
    fn step(
        &mut self,
        view: &dyn Read,
        now: Timestamp,
        run: impl FnOnce(&mut Self, &mut Step<'_>) -> Result<(), StoreError>,
    ) -> Result<Effects, StoreError> {
        let mut step = Step::new(view, now, self.share, std::mem::take(&mut self.unasked));
        match run(self, &mut step) {
            Ok(()) => Ok(step.effects),
            Err(error) => {
                self.unasked = Effects { keep: Vec::new(), ..step.effects };
                Err(error)
            }
        }
    }

    /// When something becomes due next: long ago, while a step has left something.
    pub fn next_due(&self) -> Option<Timestamp> {
        match self.rest.is_empty() {
            true => {
                let due = self.agenda.next_due().into_iter().chain(self.resealing.next_due());
                due.chain(self.next_end()).chain(self.next_probe()).min()
            }
            false => Some(Timestamp::from_millis(0)),
        }
    }

    /// New versions are committed: they come into use.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn kept(
        &mut self,
        view: &dyn Read,
        made: &[KeySealed],
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        let mut changes = Changes::default();
        for sealed in made {
            if store::holds(view, sealed)? {
                self.at_risk.insert(sealed);
            }
            if let KeyPath::System(path) = sealed.path()
                && let Some(system) = self.systems.get_mut(&path)
                && let Some((version, l2)) = system.unkept.take_if(|(version, _)| *version == sealed.version)
            {
                system.versions.insert(version, l2);
            }
            changes.versions_of(sealed.path());
        }
        self.settle(view, &changes, now)
    }

    /// New versions could not be committed: they never existed.
    pub fn not_kept(&mut self, made: &[KeySealed]) {
        for sealed in made {
            if let KeyPath::System(path) = sealed.path()
                && let Some(system) = self.systems.get_mut(&path)
            {
                system.unkept = None;
            }
            self.agenda.at_latest(sealed.path(), sealed.made_at.after(KEEP_RETRY));
        }
    }

    /// Letters are durable on the mesh: the versions that they tell of are no longer at risk.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn told(
        &mut self,
        view: &dyn Read,
        letters: &[Waiting],
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        let mut changes = Changes::default();
        for Waiting { letter, .. } in letters {
            let event = EventType::from_wire_name(&letter.kind)
                .and_then(|kind| Event::from_body(kind, letter.body.as_bytes()).ok());
            if let Some(Event::KeySealed(sealed)) = event
                && self.at_risk.remove(&sealed.version)
            {
                changes.versions_of(sealed.path());
            }
        }
        self.settle(view, &changes, now)
    }

    /// A caller asked for a key that has no version here: this region makes one soon, unless another's
    /// arrives first.
    pub fn demand(&mut self, path: &ServicePath, now: Timestamp) {
        self.wait_for(&path.system_path());
        let at = now.after(DEMAND_PATIENCE);
        for thing in [KeyPath::System(path.system_path()), KeyPath::Service(path.clone())] {
            self.patience.shorten(&thing, at);
            self.agenda.at_latest(thing, at);
        }
    }

    /// A caller waits for a system that is on its way: its tenant comes before others that were not come to yet.
    pub fn wait_for(&mut self, path: &SystemPath) {
        self.rest.wait_for(&path.tenant);
    }
}
