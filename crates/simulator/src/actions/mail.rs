//! The mesh's mail: published, acknowledged, delivered, lost, doubled, disordered, replayed, forged.
//!
//! What always holds: what lies on the mesh is delivered sooner or later; nothing that is only done on
//! the way makes it disappear.

use openkcm_cmk::inbox as cmk_inbox;
use openkcm_contracts::v1::{Audience, L1Reference, LinkState};
use openkcm_contracts::{Event, Generation, Lane, LinkEpoch, Revision};
use openkcm_orbital::{Batch, Delivered, Intake, Letter, Position, Published, Reading, Stream};

use crate::actors::Who;
use crate::actors::post::Fate;
use crate::coverage::Reached;
use crate::world::World;
use crate::{landscape, mesh};

impl World {
    /// A courier publishes what waits for an audience on a lane.
    pub(crate) fn publish(&mut self, who: Who, to: &Stream, faults: bool) {
        let fate = if faults && self.dice.percent(8) {
            Fate::Unanswered(self.dice.below(4))
        } else {
            Fate::Answered
        };
        self.send(who, to, fate);
    }

    /// A courier sends, and this becomes of it.
    pub(crate) fn send(&mut self, who: Who, to: &Stream, fate: Fate) {
        let stored_before = self.mesh.stored();
        let Self { mesh, registry, cmk, cores, bug, .. } = self;
        let post = match who {
            Who::Registry => registry,
            Who::Cmk => cmk,
            Who::Core(index) => &mut cores[index].post,
        };
        let cut_off = !post.can_send;
        let superseded = post.publish(mesh, to, fate, *bug);
        let (what, line) = match fate {
            _ if cut_off => (Some(Reached::PublishWhileCutOff), "the mesh does not answer"),
            Fate::Unanswered(_) => (Some(Reached::AnswerLost), "the answer is lost"),
            Fate::Answered => (None, "stored"),
        };
        self.tell(format!("{who}: publish on {to}: {line}"));
        what.into_iter().for_each(|what| self.reach(what));
        if superseded > 0 {
            self.reach(Reached::Superseded);
        }
        if matches!(who, Who::Registry | Who::Cmk) {
            self.note_stored(who, stored_before);
            if superseded > 0 && !self.life(who).lost {
                let line = format!("{who}, which has lost nothing, was superseded by itself on {to}");
                self.ledger.authorities.wrong.push(line);
            }
        }
    }

    /// A publication that its author has given up arrives at the mesh after all; those of an author whose disk
    /// is lost come all at once, from a broker that was slow.
    pub(crate) fn land_late(&mut self, index: usize) {
        let all = self.mesh.late_together(index);
        (0..all).for_each(|_| self.land_one(index));
    }

    fn land_one(&mut self, index: usize) {
        let Some((message, outcome, orphaned)) = self.mesh.land_late(index) else { return };
        self.tell(format!("mesh: a late publication on {}: {outcome:?}", message.address));
        if let (Published::Stored, Some(event)) = (outcome, mesh::event_of(&message)) {
            self.ledger.authorities.stored(&event, message.revision());
            if orphaned {
                self.ledger.authorities.landed_late(&event, message.revision());
            }
        }

        if outcome == Published::Superseded {
            self.reach(Reached::Superseded);
        }
    }

    /// A courier hears that the mesh holds what it sent.
    pub(crate) fn acknowledge(&mut self, who: Who, to: &Stream) {
        let Some((letters, published)) = self.post_mut(who).in_flight.remove(to) else { return };
        self.tell(format!("{who}: the mesh holds {} letter(s) of {to}", letters.len()));
        let lane = to.lane;
        let bug = self.bug;
        let mut replaced = false;
        match who {
            Who::Core(index) => self.with_core(index, |core, around| {
                replaced = core.acknowledged(lane, letters, around)?;
                Ok(())
            }),
            _ => {
                self.authority_told(who, &letters, &published);
                replaced = self.post_mut(who).forget(lane, &letters, bug);
            }
        }
        if replaced {
            self.reach(Reached::LetterReplacedInFlight);
        }
    }

    /// A subscription delivers what comes next.
    pub(crate) fn deliver(&mut self, who: Who, reading: &Reading, faults: bool) {
        let max = if faults { 1 + self.dice.below(12) } else { usize::MAX };
        let mut batch = self.post(who).next_batch(&self.mesh, reading, max);
        let regular = batch.messages.clone();
        if faults && !regular.is_empty() && self.dice.percent(8) {
            self.reach(Reached::DeliveryLost);
            self.post_mut(who).disconnect();
            return self.tell(format!("{who}: a delivery on {reading} is lost"));
        }
        if faults && self.dice.percent(15) {
            self.disturb(who, reading, &mut batch);
        }
        self.hand_over(who, reading, batch, &regular);
    }

    /// The mesh, or whoever sits on the way, delivers something old again.
    pub(crate) fn replay(&mut self, who: Who, reading: &Reading) {
        let Some(again) = self.delivered_before(who, reading) else { return };
        self.reach(Reached::DuplicateDelivered);
        let batch = Batch { messages: vec![again], caught_up: false };
        self.hand_over(who, reading, batch, &[]);
    }

    /// Someone without the right signs a Link, newer than all, and gets it delivered.
    pub(crate) fn forge(&mut self, index: usize) {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        let revision = Revision::new(9, 9);
        let link = L1Reference {
            roots: landscape::roots(&tenant),
            tenant,
            generation: Generation(revision),
            epoch: LinkEpoch(revision),
            state: LinkState::Linked,
            owner_key: None,
            ttl: None,
            owner_word: None,
        };
        let audience = Audience::Region(landscape::region(index));
        let stream = Stream { lane: Lane::Facts, audience: audience.clone() };
        let letter = Letter::new(&Event::L1Reference(link), audience, revision, self.cmk.now());
        let message = match self.dice.below(3) {
            0 => self.forged(&letter),
            1 => self.registry.signer.sign(&letter),
            _ => self.cores[index].post.signer.sign(&letter),
        };
        let position = Position { mesh: "simulated".into(), sequence: 0 };
        let batch = Batch { messages: vec![Delivered { position, message }], caught_up: false };
        self.hand_over(Who::Core(index), &Reading::all(stream), batch, &[]);
    }

    /// Brings something old back among a batch's messages, and puts all out of order.
    fn disturb(&mut self, who: Who, reading: &Reading, batch: &mut Batch) {
        if let Some(again) = self.delivered_before(who, reading) {
            batch.messages.push(again);
            self.reach(Reached::DuplicateDelivered);
        }
        if batch.messages.len() > 1 {
            self.dice.shuffle(&mut batch.messages);
            self.reach(Reached::Reordered);
        }
    }

    /// A message that a component was sent before. Never one that it was not: a transport may repeat
    /// what it delivered, and skips nothing.
    fn delivered_before(&self, who: Who, reading: &Reading) -> Option<Delivered> {
        let ever = self.mesh.ever(reading, self.post(who).cursor(reading));
        let again = if ever > 0 { self.dice.below(ever) } else { return None };
        self.mesh.replay(reading, again)
    }

    fn hand_over(&mut self, who: Who, reading: &Reading, batch: Batch, regular: &[Delivered]) {
        let Self { registry, cmk, cores, verifier, .. } = self;
        let post = match who {
            Who::Registry => registry,
            Who::Cmk => cmk,
            Who::Core(index) => &mut cores[index].post,
        };
        let intake = post.receive(reading, (batch, regular), verifier);
        if !intake.dropped.is_empty() {
            self.reach(Reached::ForgeryDropped);
        }
        let is_words = reading.words_of.is_some();
        let subjects: Vec<String> = intake
            .events
            .iter()
            .map(|verified| format!("{}@{}", verified.event.subject(), verified.revision))
            .collect();
        self.tell(format!("{who}: delivered on {reading}: {}", subjects.join(", ")));
        match who {
            Who::Core(index) => {
                self.ledger.touched.insert(index);
                self.cores[index].hear(intake);
            }
            Who::Registry | Who::Cmk if is_words => self.compare(who, intake),
            Who::Cmk => self.cmk_receives(&intake),
            Who::Registry => self.registry_receives(&intake),
        }
    }

    fn cmk_receives(&mut self, intake: &Intake) {
        let (now, landscape, nonce) = (self.cmk.now(), self.cmk_landscape(), self.dice.nonce());
        self.commit(Who::Cmk, |tx| cmk_inbox::take(tx, &landscape, intake, &nonce, now).map(drop));
        self.note_leases();
        self.cmk.received(&intake.reading(), intake.caught_up);
    }
}
