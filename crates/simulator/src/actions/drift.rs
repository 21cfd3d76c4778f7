//! Manifests and what follows from them; and someone who edits the stores of Cores that are down.
//!
//! What always holds: an edit touches records alone, as a hand with a SQL shell does, and no sum.

use std::time::Duration;

use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{DefinitionState, Event, Generation, Lane, Revision, ServiceId, Timestamp};
use openkcm_host::Clock as _;
use openkcm_krypton::store::{Held, purge};
use openkcm_orbital::{Intake, outbox};
use openkcm_registry::inbox;
use openkcm_store::{Read, Space, Table};

use crate::actors::Who;
use crate::coverage::Reached;
use crate::invariants::convergence::live_keys;
use crate::landscape::REGIONS;
use crate::teeth::Bug;
use crate::world::World;

/// Where a Core keeps definitions.
const DEFINITIONS: Table<Held<KeyDefine>> = Table::new("definitions");

/// How long the CMK Server waits for a later start before an earlier one takes its place, and some more.
const SILENT: Duration = Duration::from_secs(310);

/// The name of a service that the Registry never knew.
const GHOST: &str = "ghost";

impl World {
    /// A Core says what it holds.
    pub(crate) fn tell_manifest(&mut self, index: usize) {
        self.tell(format!("core {}: tells a manifest", REGIONS[index]));
        self.cores[index].tell_manifest();
    }

    /// All Cores say what they hold, as they do from time to time.
    pub(crate) fn tell_manifests(&mut self) {
        for index in 0..REGIONS.len() {
            if self.cores[index].running.is_some() {
                self.tell_manifest(index);
            }
        }
    }

    pub(crate) fn registry_receives(&mut self, intake: &Intake) {
        let now = self.registry.now();
        let narrowings = inbox::narrow(self.registry.disk.view(), intake).expect("memory does not fail");
        let corrects = !narrowings.is_empty();
        let chance = self.chance.clone();
        self.commit(Who::Registry, |tx| inbox::take(tx, intake, narrowings, (now, &*chance)));
        if corrects && self.bug == Some(Bug::CorrectNothing) {
            self.registry.disk.commit(|tx| {
                let told = outbox::waiting(tx.as_read(), Lane::Facts, usize::MAX)?;
                outbox::forget(tx, Lane::Facts, &told)
            });
        }
        self.registry.received(&intake.reading(), intake.caught_up);
    }

    /// Cores stop, someone edits their stores, and they start again. Says whether anything was edited.
    pub(crate) fn edit_stores(&mut self) -> bool {
        let mut edited = false;
        for index in 0..REGIONS.len() {
            let mut services = live_keys(self, index);
            services.retain(|path| path.service().is_some());
            let Some(first) = services.first().cloned() else { continue };
            if !self.dice.percent(60) {
                continue;
            }
            edited = true;
            self.stop(Who::Core(index));
            self.add_ghost(index, &first.to_string());
            for (path, lose) in services.iter().zip([true, false]) {
                self.edit(index, &path.to_string(), lose);
            }
            self.lose_tombstone(index);
            self.start_core(index);
        }
        edited
    }

    /// What was added is taken away again, in the same way.
    pub(crate) fn undo_edits(&mut self) {
        for (index, subject) in std::mem::take(&mut self.unknown) {
            self.stop(Who::Core(index));
            let key = subject.trim_start_matches("key.").replace('.', "/");
            self.cores[index].post.disk.commit(|tx| DEFINITIONS.delete(tx, &key));
            self.start_core(index);
        }
    }

    /// A Core's store forgets how far its manifests were numbered, and the Core starts while its clock is behind: as an
    /// earlier start than the CMK Server knows. Then time passes until that one counts as silent.
    pub(crate) fn lose_incarnation(&mut self) -> Option<usize> {
        let index = self.dice.below(REGIONS.len());
        if !self.dice.percent(50) {
            return None;
        }
        self.stop(Who::Core(index));
        let disk = &mut self.cores[index].post.disk;
        disk.commit(|tx| tx.delete(Space("manifest"), b"last"));
        let clock = &self.cores[index].post.clock;
        clock.set_wall(Timestamp::from_millis(clock.now().as_millis() - 86_400_000));
        self.start_core(index);
        self.tell(format!("core {}: starts from a store that was put back, a day ago", REGIONS[index]));
        self.pass(SILENT);
        Some(index)
    }

    /// The Core that started as an earlier one than it had been goes on as a later one.
    pub(crate) fn note_goes_on(&mut self, index: usize) {
        let region = crate::landscape::region(index);
        let core = openkcm_cmk::store::core(self.cmk.disk.view(), &region).expect("memory does not fail");
        let latest = core.incarnations.last_key_value().map(|(latest, _)| *latest);
        if core.offer.is_some_and(|offer| Some(offer.incarnation) == latest) {
            self.reach(Reached::GoesOnAsLater);
        }
    }

    fn edit(&mut self, index: usize, key: &str, lose: bool) {
        let disk = &mut self.cores[index].post.disk;
        let Some(held) = DEFINITIONS.get(disk.view(), key).expect("memory does not fail") else { return };
        let subject = Event::KeyDefine(held.fact.clone()).subject().to_string();
        if lose {
            disk.commit(|tx| DEFINITIONS.delete(tx, key));
        } else {
            let rotate_every = "300d".parse().ok();
            let fact = KeyDefine { rotate_every, ..held.fact };
            disk.commit(|tx| DEFINITIONS.put(tx, key, &Held { revision: held.revision, fact }));
        }
        self.ledger.cores[index].newest.remove(&subject);
        let (what, line) =
            if lose { (Reached::DriftMissing, "deletes") } else { (Reached::DriftDiffers, "alters") };
        self.reach(what);
        self.tell(format!("core {}: someone {line} {key} in its store", REGIONS[index]));
    }

    /// A tombstone is taken out of a Core's store, if there is one; what became of what it ended is not undone.
    fn lose_tombstone(&mut self, index: usize) {
        let view = self.cores[index].post.disk.view();
        let Some((key, _)) = purge::tombstones(view, None, 1).expect("memory does not fail").pop() else {
            return;
        };
        self.cores[index].post.disk.commit(|tx| tx.delete(Space("tombstones"), key.as_bytes()));
        self.reach(Reached::DriftTombstone);
        self.tell(format!("core {}: someone deletes the tombstone of {key} in its store", REGIONS[index]));
    }

    /// A service beside another one, which no material is made for.
    fn add_ghost(&mut self, index: usize, beside: &str) {
        let disk = &mut self.cores[index].post.disk;
        let Some(held) = DEFINITIONS.get(disk.view(), beside).expect("memory does not fail") else { return };
        let fact = KeyDefine {
            service: ServiceId::new(GHOST).ok(),
            generation: Generation(Revision::new(1, 1)),
            state: DefinitionState::Disabled,
            compromised: [].into(),
            ..held.fact
        };
        let (path, subject) = (fact.path(), Event::KeyDefine(fact.clone()).subject().to_string());
        disk.commit(|tx| {
            DEFINITIONS.put(tx, &path.to_string(), &Held { revision: Revision::new(1, 1), fact })
        });
        self.unknown.insert(index, subject);
        self.reach(Reached::DriftUnknown);
        self.tell(format!("core {}: someone adds {path} to its store", REGIONS[index]));
    }

    /// Whether a Core still holds what was added to its store.
    pub(crate) fn holds_ghost(&self, index: usize) -> bool {
        let Some(subject) = self.unknown.get(&index) else { return false };
        let key = subject.trim_start_matches("key.").replace('.', "/");
        let found = self.cores[index].post.disk.view().get(Space("definitions"), key.as_bytes());
        found.expect("memory does not fail").is_some()
    }
}
