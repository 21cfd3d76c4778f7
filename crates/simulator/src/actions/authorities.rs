//! The lives of the two authorities: they start, read their own words back, draw conclusions; their disks are
//! copied, lost and put back; their operators rebuild them.
//!
//! What always holds: whatever the store of an authority changes goes through [`World::commit`], so that the
//! ledger knows what was decided when, whatever becomes of the disk.

use openkcm_cmk::store as cmk_store;
use openkcm_cmk::words as cmk_words;
use openkcm_contracts::v1::Audience;
use openkcm_contracts::{Event, EventType, Lane, Revision, Role};
use openkcm_host::Clock as _;
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_orbital::words::{self, Standing};
use openkcm_orbital::{Intake, Published};
use openkcm_registry::commands::words as registry_words;
use openkcm_registry::store as registry_store;
use openkcm_store::{Memory, StoreError, Write};

use crate::actors::Who;
use crate::actors::post::{Fate, Next, Phase};
use crate::actors::spoil_words as spoil;
use crate::coverage::Reached;
use crate::landscape::{self, REGIONS};
use crate::ledger::Pointers;
use crate::mesh;
use crate::teeth::Bug;
use crate::world::World;

/// A copy of an authority's disk.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    memory: Memory,
    /// When it was made, on the ledger's clock.
    made_at: u64,
    /// Whether the disk was behind its authority's words.
    behind: bool,
}

/// What the world knows of an authority's disk.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// The last copy.
    pub(crate) copy: Option<Copy>,
    /// Whether the disk was ever lost, or put back from a copy.
    pub(crate) lost: bool,
    /// Whether the mesh has words of the authority that its disk does not know: known to the world alone.
    pub(crate) behind: bool,
    /// Whether a change was accepted since words began to be compared, and a restart came after it.
    accepted: (bool, bool),
}

impl Life {
    /// Whether something was accepted that was not compared yet, after a loss.
    pub(crate) fn has_accepted_uncompared(&self) -> bool {
        self.lost && self.accepted.0 && !self.accepted.1
    }
}

pub(crate) fn role(who: Who) -> Role {
    match who {
        Who::Registry => Role::Registry,
        Who::Cmk => Role::Cmk,
        Who::Core(_) => Role::Krypton,
    }
}

impl World {
    /// Whether an authority's store is known to it to be as new as its words.
    pub(crate) fn standing(&self, who: Who) -> Standing {
        words::standing(self.post(who).disk.view()).expect("memory does not fail")
    }

    pub(crate) fn life(&mut self, who: Who) -> &mut Life {
        self.lives.entry(who).or_default()
    }

    /// An authority starts; it is rebuilt if its operator wants that.
    pub(crate) fn start_authority(&mut self, who: Who, rebuild: bool) {
        if matches!(self.standing(who), Standing::Comparing { .. }) {
            if self.bug == Some(Bug::ForgetBase) {
                spoil::forget_base(&mut self.post_mut(who).disk);
            }
            let (accepted, restarted) = self.life(who).accepted;
            self.life(who).accepted = (accepted, accepted || restarted);
        } else {
            self.life(who).accepted = (false, false);
        }
        self.note_behind(who);
        let now = self.post(who).now();
        match who {
            Who::Registry => self.commit(who, |tx| registry_words::begin(tx, rebuild, now)),
            _ => self.commit(who, |tx| cmk_words::begin(tx, rebuild, now)),
        }
        let post = self.post_mut(who);
        (post.up, post.phase) = (true, Phase::Comparing { from_the_beginning: rebuild });
    }

    /// Own words came back.
    pub(crate) fn compare(&mut self, who: Who, mut own: Intake) {
        let rebuilding = self.post(who).phase == (Phase::Comparing { from_the_beginning: true });
        let bug = self.bug;
        spoil::spoil(&mut self.post_mut(who).disk, &mut own, rebuilding, bug);
        let now = self.post(who).now();
        match who {
            Who::Registry => self.commit(who, |tx| registry_words::compare(tx, &own, now)),
            _ => self.commit(who, |tx| cmk_words::compare(tx, &own, now)),
        }
        let caught_up = own.caught_up;
        let Self { mesh, registry, cmk, .. } = self;
        let post = if who == Who::Registry { registry } else { cmk };
        post.received(&own.reading(), caught_up);
        // Streams that hold nothing more are read in the same breath.
        let empty = |words: &&openkcm_orbital::Reading| !mesh.has_after(words, post.cursor(words));
        let empty: Vec<_> = post.words.iter().filter(empty).cloned().collect();
        for words in &empty {
            post.received(words, true);
        }
    }

    /// All own words were read: the next of what follows.
    pub(crate) fn conclude(&mut self, who: Who) {
        let now = self.post(who).now();
        let next = match (self.post(who).phase.clone(), who) {
            (Phase::Concluding(next), _) => next,
            (_, Who::Registry) => Next::Registry(registry_words::Step::default()),
            _ => Next::Cmk(cmk_words::Step::default()),
        };
        self.tell(format!("{who}: {next:?}"));
        let (rebuilding, stale) = (self.is_rebuilding(who), self.standing(who).is_stale());
        let dropped = self.dropped(who);
        let regions = self.cmk_landscape();
        let next = match next {
            Next::Registry(step) => {
                self.commit(who, |tx| registry_words::conclude(tx, step, now)).map(Next::Registry)
            }
            Next::Cmk(step) => {
                self.commit(who, |tx| cmk_words::conclude(tx, &regions, step, now)).map(Next::Cmk)
            }
        };
        if self.dropped(who) > dropped {
            self.reach(Reached::DroppedByRebuild);
        }
        if rebuilding && !self.is_rebuilding(who) {
            self.life(who).behind = false;
            self.reach(Reached::Rebuilt);
        }
        match next {
            Some(next) => self.post_mut(who).phase = Phase::Concluding(next),
            None => self.concluded(who, rebuilding, stale),
        }
    }

    fn concluded(&mut self, who: Who, rebuilding: bool, stale: bool) {
        self.post_mut(who).phase = Phase::Speaking;
        self.tell(format!("{who}: may speak, {:?}", self.standing(who)));
        if who == Who::Cmk {
            let (now, landscape, nonce) = (self.cmk.now(), self.cmk_landscape(), self.dice.nonce());
            self.commit(who, |tx| openkcm_cmk::cores::answer_all(tx, &landscape, &nonce, now));
            self.note_leases();
        }
        if stale && !rebuilding {
            self.reach(Reached::StaleAtStart);
        }
        let (accepted, restarted) = std::mem::take(&mut self.life(who).accepted);
        if stale && accepted {
            self.reach(Reached::AcceptedBeforeVerdict);
            if restarted {
                self.reach(Reached::RestartBeforeVerdict);
            }
        }
    }

    /// The mesh holds letters, or newer words than some of them: an authority learns it before they are
    /// forgotten.
    pub(crate) fn authority_told(&mut self, who: Who, letters: &[Waiting], published: &[Published]) {
        let (now, stale, regions) =
            (self.post(who).now(), self.standing(who).is_stale(), self.cmk_landscape());
        match who {
            Who::Registry => self.commit(who, |tx| registry_words::told(tx, letters, published, now)),
            _ => self.commit(who, |tx| cmk_words::told(tx, &regions, letters, published, now)),
        }
        if !stale && self.standing(who).is_stale() {
            self.reach(Reached::StaleBySuperseded);
        }
    }

    /// One transaction of an authority that no rule refuses. What it decides is written into the ledger.
    pub(crate) fn commit<T>(
        &mut self,
        who: Who,
        change: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>,
    ) -> T {
        let (before, term) = (Pointers::of(&self.cmk.disk), spoil::last(&self.post(who).disk));
        let answer = self.post_mut(who).disk.commit(change);
        if self.bug == Some(Bug::KeepTerm) {
            spoil::keep_term(&mut self.post_mut(who).disk, term);
        }
        self.note_decided(who, &before);
        answer
    }

    /// Notes what a change of an authority's store decided.
    pub(crate) fn note_decided(&mut self, who: Who, before: &Pointers) {
        self.ledger.authorities.said(role(who), self.last_revision(who));
        if who == Who::Cmk {
            let after = Pointers::of(&self.cmk.disk);
            let now = self.cmk.clock.boottime();
            self.ledger.authorities.decided(before, &after, self.last_revision(who), now);
        }
    }

    /// Notes on which links leases agree that were decided on just now.
    pub(crate) fn note_leases(&mut self) {
        for index in 0..REGIONS.len() {
            let region = landscape::region(index);
            let letters = outbox::waiting_for(
                self.cmk.disk.view(),
                Lane::Urgent,
                &Audience::Region(region.clone()),
                usize::MAX,
            );
            for Waiting { number, letter } in letters.expect("memory does not fail") {
                let event = EventType::from_wire_name(&letter.kind)
                    .and_then(|kind| Event::from_body(kind, letter.body.as_bytes()).ok());
                let Some(Event::SovereignLease(lease)) = event else { continue };
                // One that answers another start's manifest renews nothing.
                let core = cmk_store::core(self.cmk.disk.view(), &region).expect("memory does not fail");
                if core.heard.is_none_or(|heard| heard.nonce != lease.nonce) {
                    continue;
                }
                if !self.ledger.authorities.noted.insert((number, lease.nonce.clone())) {
                    continue;
                }
                if lease.unsettled.iter().any(|bucket| !bucket.without.is_empty()) {
                    self.reach(Reached::BucketUnsettled);
                }
                for tenant in landscape::tenants() {
                    // The others of a bucket that nothing explains are renewed where the region holds the same.
                    let is_excluded = lease.disputes.iter().any(|dispute| dispute.tenant == tenant)
                        || lease.unsettled.iter().any(|bucket| bucket.without.contains(&tenant));
                    let pointer = self.pointer(&tenant).filter(|pointer| pointer.is_linked());
                    if let Some(pointer) = pointer.filter(|_| !is_excluded) {
                        self.ledger.authorities.leased.insert((index, tenant, pointer.epoch));
                    }
                }
            }
        }
    }

    /// A change was accepted by an authority, which may still be comparing words.
    pub(crate) fn note_accepted(&mut self, who: Who) {
        if matches!(self.standing(who), Standing::Comparing { .. }) {
            self.life(who).accepted.0 = true;
        }
    }

    /// A copy of an authority's disk is made.
    pub(crate) fn copy_disk(&mut self, who: Who) {
        let (memory, made_at) = (self.post(who).disk.copy(), self.ledger.authorities.clock);
        let behind = self.life(who).behind;
        self.life(who).copy = Some(Copy { memory, made_at, behind });
        self.tell(format!("{who}: its disk is copied"));
    }

    /// An authority crashes, and its disk is lost with all that was on its way; a copy is put back, if there is
    /// one and it is found.
    pub(crate) fn put_back(&mut self, who: Who) {
        if self.post(who).up && self.post(who).phase == Phase::Speaking && self.dice.percent(50) {
            self.lose_what_is_on_its_way(who);
        }
        if self.post(who).up {
            self.stop(who);
        }
        let copy = self.life(who).copy.clone().filter(|_| self.dice.percent(80));
        let (what, line, copy) = match copy {
            Some(copy) => (Reached::DiskPutBack, "an older copy of its disk is put back", copy),
            None => {
                let nothing = Copy { memory: Memory::default(), made_at: 0, behind: false };
                (Reached::DiskLost, "its disk is lost", nothing)
            }
        };
        self.reach(what);
        self.tell(format!("{who}: {line}"));
        self.mesh.orphan(role(who));
        self.ledger.authorities.lost_since(role(who), copy.made_at);
        self.post_mut(who).disk.put_back(copy.memory);
        let life = self.life(who);
        (life.lost, life.behind, life.accepted) = (true, copy.behind, (false, false));
        self.note_behind(who);
        if self.dice.percent(50) {
            self.cut_off(who);
        }
    }

    /// What an authority says last before its disk is lost is on its way for long; sometimes all that it has said
    /// since the last copy.
    fn lose_what_is_on_its_way(&mut self, who: Who) {
        let all = self.dice.percent(60);
        if all {
            self.copy_disk(who);
            for _ in 0..4 {
                match who {
                    Who::Registry => self.operate_registry(),
                    _ => self.operate_cmk(),
                }
            }
        }
        for to in self.post(who).destinations() {
            let stored = if all { 0 } else { self.dice.below(2) };
            self.send(who, &to, Fate::Unanswered(stored));
        }
    }

    /// An operator starts a stale authority once more, to rebuild it.
    pub(crate) fn rebuild(&mut self, who: Who) {
        self.tell(format!("{who} is rebuilt"));
        self.stop(who);
        self.start_authority(who, true);
    }

    /// Operators look at authorities whose disks were put back: a start shows whether they are behind, and a
    /// rebuild mends it.
    pub(crate) fn authorities_to_mend(&self) -> Vec<Who> {
        self.lives.iter().filter(|(_, life)| life.lost).map(|(who, _)| *who).collect()
    }

    /// Whether the mesh has newer words of an authority than its disk knows.
    pub(crate) fn note_behind(&mut self, who: Who) {
        if self.mesh.newest_of(role(who)) > Some(self.last_revision(who)) {
            self.life(who).behind = true;
        }
    }

    /// Looks at what an authority has just got stored on the mesh.
    pub(crate) fn note_stored(&mut self, who: Who, stored_before: usize) {
        for message in self.mesh.stored_since(stored_before) {
            let Some(event) = mesh::event_of(&message) else { continue };
            self.ledger.authorities.stored(&event, message.revision());
            if self.life(who).behind && !mesh::is_revocation(&event) {
                let line = format!("{who}, which is behind its own words, says {}", message.address);
                self.ledger.authorities.wrong.push(line);
            }
        }
    }

    pub(crate) fn is_rebuilding(&self, who: Who) -> bool {
        words::rebuilding(self.post(who).disk.view()).expect("memory does not fail")
    }

    /// What the CMK Server knows of the landscape.
    pub(crate) fn cmk_landscape(&self) -> openkcm_cmk::rules::Landscape {
        let leases = openkcm_cmk::LeaseTerms { ttl: self.lease_ttl, regions: [].into() };
        openkcm_cmk::rules::Landscape { regions: self.landscape.regions.clone(), leases }
    }

    fn dropped(&self, who: Who) -> u64 {
        let report = words::report(self.post(who).disk.view()).expect("memory does not fail");
        report.rebuild.map_or(0, |rebuild| rebuild.dropped)
    }

    pub(crate) fn last_revision(&self, who: Who) -> Revision {
        let view = self.post(who).disk.view();
        match who {
            Who::Registry => registry_store::last_revision(view).expect("memory does not fail"),
            _ => {
                let revision = cmk_store::revision(view).expect("memory does not fail");
                revision.unwrap_or(openkcm_cmk::rules::BEFORE_THE_FIRST)
            }
        }
    }
}
