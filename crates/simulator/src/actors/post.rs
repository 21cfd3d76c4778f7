//! A component's courier, its disk and its clock.
//!
//! Sends as the real courier does (sign what waits, publish, tell the component, forget), reads as it
//! does (from the committed position on), in steps that may be apart as far as the scheduler likes.
//! What always holds: a letter is forgotten only after the mesh held it.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_cmk::words as cmk_words;
use openkcm_contracts::{Audience, Lane, RegionId, Role, Timestamp};
use openkcm_host::{BootInstant, Clock, Entropy, ManualClock};
use openkcm_orbital::nats::layout::Layout;
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_orbital::{Batch, Delivered, Intake, Published, Reading, Signer, Stream, Verifier, inbox};
use openkcm_registry::commands::words as registry_words;
use openkcm_store::{Read, Scan};

use super::Who;
use crate::disk::Disk;
use crate::landscape;
use crate::mesh::Mesh;
use crate::teeth::Bug;

/// Most letters and messages that are moved at once.
const BATCH: usize = 32;

/// When every history begins: 2026-02-02T08:00:00Z.
const BEGINNING: u64 = 1_770_019_200_000;

/// What becomes of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The mesh holds all letters and says so.
    Answered,
    /// The mesh holds so many of the letters, and nobody hears that it does; the others are lost, or
    /// arrive much later.
    Unanswered(usize),
}

/// How far an authority has come since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It reads its own words back: those since it last looked, or all.
    Comparing {
        /// All of them: it is being rebuilt.
        from_the_beginning: bool,
    },
    /// It draws conclusions.
    Concluding(Next),
    /// It may send; also a component that is no authority.
    Speaking,
}

/// The next thing to be done before it may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Registry(registry_words::Step),
    Cmk(cmk_words::Step),
}

/// What was sent of an outbox, and what became of it.
pub(crate) type Sent = (Vec<Waiting>, Vec<Published>);

/// A component's courier, disk and clock.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) disk: Disk,
    pub(crate) clock: ManualClock,
    pub(crate) signer: Signer,
    /// The lanes that it sends on.
    pub(crate) sends: Vec<Lane>,
    /// What it reads.
    pub(crate) reads: Vec<Reading>,
    /// Its own words, which an authority reads before it speaks.
    pub(crate) words: Vec<Reading>,
    /// How far it has come since its start.
    pub(crate) phase: Phase,
    /// Whether it runs.
    pub(crate) up: bool,
    /// Whether the mesh hears it.
    pub(crate) can_send: bool,
    /// Whether it hears the mesh.
    pub(crate) can_hear: bool,
    /// What the mesh holds and the outbox still has, by lane and audience.
    pub(crate) in_flight: BTreeMap<Stream, Sent>,
    /// Readings whose last delivery is not committed yet.
    pub(crate) busy: BTreeSet<Reading>,
    /// What was read to its end since the start.
    pub(crate) caught_up: BTreeSet<Reading>,
    /// How far each subscription has come.
    cursors: BTreeMap<Reading, u64>,
}

impl Post {
    pub(crate) fn new(who: Who, region: Option<RegionId>, entropy: &dyn Entropy) -> Self {
        let own = |lane| Stream { lane, audience: region.clone().map_or(Audience::Cmk, Audience::Region) };
        let manifests = Stream { lane: Lane::Manifests, audience: Audience::Authorities };
        let (role, sends, reads) = match who {
            Who::Registry => {
                (Role::Registry, vec![Lane::Urgent, Lane::Facts, Lane::Manifests], vec![manifests])
            }
            Who::Cmk => {
                let sends = vec![Lane::Urgent, Lane::Facts, Lane::Manifests];
                (Role::Cmk, sends, vec![own(Lane::Facts), manifests])
            }
            Who::Core(_) => {
                let sealed = Stream { lane: Lane::Sealed, audience: Audience::Cores };
                let reads = vec![own(Lane::Urgent), own(Lane::Facts), own(Lane::Manifests), sealed];
                (Role::Krypton, vec![Lane::Sealed, Lane::Manifests], reads)
            }
        };
        let seed = Signer::new_seed(entropy);
        let layout = Layout::new((0..landscape::REGIONS.len()).map(landscape::region));
        let words = layout.words_of(role).into_iter().map(|stream| Reading::words(stream, role));
        Self {
            disk: Disk::default(),
            clock: ManualClock::new(Timestamp::from_millis(BEGINNING), BootInstant::from_nanos(0)),
            signer: Signer::from_seed(&seed, role, region).expect("a new seed is a seed"),
            sends,
            reads: reads.into_iter().map(Reading::all).collect(),
            words: words.collect(),
            phase: Phase::Speaking,
            up: true,
            can_send: true,
            can_hear: true,
            in_flight: BTreeMap::new(),
            busy: BTreeSet::new(),
            caught_up: BTreeSet::new(),
            cursors: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether letters wait on any lane.
    pub(crate) fn has_letters(&self) -> bool {
        let prefixed = |lane: &Lane| format!("{}/", lane.number());
        let waits = |prefix: String| {
            let scan = Scan { prefix: prefix.as_bytes(), after: None, limit: 1 };
            let found = self.disk.view().scan(outbox::LETTERS.space(), scan);
            found.is_ok_and(|found| !found.is_empty())
        };
        self.sends.iter().map(prefixed).any(waits)
    }

    /// The lanes and audiences that letters wait for.
    pub(crate) fn destinations(&self) -> Vec<Stream> {
        let audiences = |lane| outbox::audiences(self.disk.view(), lane).expect("memory does not fail");
        let of_lane = |lane: &Lane| {
            let lane = *lane;
            audiences(lane).into_iter().map(move |audience| Stream { lane, audience })
        };
        self.sends.iter().flat_map(of_lane).collect()
    }

    /// Signs and sends what waits for an audience. Says how many letters the mesh refused for a newer word.
    pub(crate) fn publish(&mut self, mesh: &mut Mesh, to: &Stream, fate: Fate, bug: Option<Bug>) -> usize {
        let waiting = outbox::waiting_for(self.disk.view(), to.lane, &to.audience, BATCH);
        let waiting = waiting.expect("memory does not fail");
        if bug == Some(Bug::ForgetBeforePublish) {
            self.disk.commit(|tx| outbox::forget(tx, to.lane, &waiting));
        }
        if !self.can_send {
            return 0;
        }
        let stored = if let Fate::Unanswered(stored) = fate { stored } else { waiting.len() };
        let mut published = Vec::new();
        let messages = self.signer.sign_all(waiting.iter().map(|waiting| &waiting.letter));
        for (number, message) in messages.into_iter().enumerate() {
            if number >= stored {
                mesh.lose_track_of(message);
            } else {
                published.push(mesh.publish(message));
            }
        }
        let superseded = published.iter().filter(|outcome| **outcome == Published::Superseded).count();
        if fate == Fate::Answered {
            self.in_flight.insert(to.clone(), (waiting, published));
        }
        superseded
    }

    /// Forgets what the mesh holds. Says whether one of the letters was replaced meanwhile.
    pub(crate) fn forget(&mut self, lane: Lane, told: &[Waiting], bug: Option<Bug>) -> bool {
        let present = outbox::waiting(self.disk.view(), lane, usize::MAX).expect("memory does not fail");
        let same_thing = |one: &Waiting, other: &Waiting| {
            (&one.letter.audience, &one.letter.subject) == (&other.letter.audience, &other.letter.subject)
        };
        let newer: Vec<Waiting> = present
            .into_iter()
            .filter(|waiting| told.iter().any(|t| same_thing(t, waiting) && t.number != waiting.number))
            .collect();
        self.disk.commit(|tx| outbox::forget(tx, lane, told));
        if bug == Some(Bug::ForgetNewerLetter) {
            self.disk.commit(|tx| outbox::forget(tx, lane, &newer));
        }
        !newer.is_empty()
    }

    /// What a delivery would tell something of.
    pub(crate) fn wanted<'a>(&'a self, mesh: &'a Mesh) -> impl Iterator<Item = &'a Reading> {
        let comparing = matches!(self.phase, Phase::Comparing { .. });
        let words = self.words.iter().filter(move |words| comparing && !self.caught_up.contains(*words));
        let reads = self.reads.iter().filter(|reading| self.wants(mesh, reading));
        reads.chain(words).filter(|_| self.can_hear)
    }

    /// Whether all of its own words were read since the start.
    pub(crate) fn has_compared_all(&self) -> bool {
        self.words.iter().all(|words| self.caught_up.contains(words))
    }

    fn wants(&self, mesh: &Mesh, reading: &Reading) -> bool {
        !self.busy.contains(reading)
            && (mesh.has_after(reading, self.cursor(reading)) || !self.caught_up.contains(reading))
    }

    /// What the subscription delivers next.
    pub(crate) fn next_batch(&self, mesh: &Mesh, reading: &Reading, max: usize) -> Batch {
        let messages = mesh.after(reading, self.cursor(reading), max.min(BATCH));
        let last = messages.last().map_or(self.cursor(reading), |last| last.position.sequence);
        Batch { messages, caught_up: !mesh.has_after(reading, last) }
    }

    /// Verifies what was delivered, disturbed on its way or not, of which `regular` came in order.
    pub(crate) fn receive(
        &mut self,
        reading: &Reading,
        (batch, regular): (Batch, &[Delivered]),
        verifier: &Verifier,
    ) -> Intake {
        if let Some(last) = regular.last() {
            self.cursors.insert(reading.clone(), last.position.sequence);
        }
        self.busy.insert(reading.clone());
        Intake::verify(reading, batch, verifier, self.now())
    }

    /// A delivery was committed. Says whether every stream has now been read to its end once.
    pub(crate) fn received(&mut self, reading: &Reading, caught_up: bool) -> bool {
        self.busy.remove(reading);
        caught_up && self.caught_up.insert(reading.clone()) && self.caught_up.len() == self.reads.len()
    }

    /// The connection to the mesh was cut: what was under way is done again.
    pub(crate) fn disconnect(&mut self) {
        self.in_flight.clear();
        self.cursors.clear();
    }

    /// The component is gone, all but its disk.
    pub(crate) fn crash(&mut self) {
        self.disconnect();
        self.busy.clear();
        self.caught_up.clear();
        self.up = false;
    }

    /// How far a subscription has come; what lies up to here was delivered before.
    pub(crate) fn cursor(&self, reading: &Reading) -> u64 {
        let committed = || {
            if self.phase == (Phase::Comparing { from_the_beginning: true }) && reading.words_of.is_some() {
                return 0;
            }
            let position = inbox::position(self.disk.view(), reading).expect("memory does not fail");
            position.map_or(0, |position| position.sequence)
        };
        self.cursors.get(reading).copied().unwrap_or_else(committed)
    }
}
