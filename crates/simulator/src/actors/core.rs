//! A Krypton Core: the production control, store, keyring and data plane, in a shell without tasks.
//!
//! The shell is `krypton/src/service/control_loop.rs` and `receiver.rs`, retold: inputs wait in a
//! queue, a revoke closes its gate before that, a step settles, new versions are kept before they are
//! used. It can stop at each point between two transactions. What always holds: after a crash there is
//! nothing but the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::v1::{KeySealed, LinkState};
use openkcm_contracts::{Event, KeyPath, Lane, RegionId, ServicePath, Timestamp};
use openkcm_host::{BootInstant, Clock, SeededEntropy, random_hex};
use openkcm_krypton::control::{Core, Effects, Probed, Unsealed};
use openkcm_krypton::data::DataPlane;
use openkcm_krypton::keyring::Keyring;
use openkcm_krypton::rules::{LeasePolicy, Moment, Ticker};
use openkcm_krypton::store::{self, Recount, manifest};
use openkcm_orbital::Intake;
use openkcm_orbital::outbox::Waiting;
use openkcm_store::{Read, StoreError};

use super::post::Post;
use super::purges::note_purges;
use super::spoil::{
    KEPT_LATE, as_if_kept, as_if_no_tombstones, as_if_none, demand_long_ago, leak, lose_one, mishear, spoil,
};
use super::{Crashed, Who};
use crate::coverage::{Coverage, Reached};
use crate::landscape;
use crate::ledger::Ledger;
use crate::provider::{Answer, Job, Provider, Question};
use crate::teeth::Bug;

/// Steps of the clock to an earlier time that the shell takes no notice of.
const SET_BACK: Duration = Duration::from_secs(1);

/// The longest pause between two probes: time passes in larger steps here than anywhere.
const PROBED_EVERY: Duration = Duration::from_secs(20);

/// What waits for the control loop.
#[derive(Debug)]
pub(crate) enum Input {
    Intake(Intake),
    Told(Vec<Waiting>),
    Answer(Answer),
    Hydrated,
    CaughtUp,
    Demand(ServicePath),
    Rotate(KeyPath),
}

impl Input {
    /// In a word, for the story.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Intake(intake) => format!("{} event(s) of {}", intake.events.len(), intake.stream),
            Self::Told(letters) => format!("{} letter(s) told", letters.len()),
            Self::Answer(Answer::Unsealed(_)) => "an answer to an unseal".into(),
            Self::Answer(Answer::Sealed(_)) => "an answer to a seal".into(),
            Self::Answer(Answer::Resealed(_)) => "an answer to a seal to further roots".into(),
            Self::Answer(Answer::Probed(answer)) => format!("an answer to a probe of {}", answer.job.tenant),
            Self::Hydrated => "hydrated".into(),
            Self::CaughtUp => "caught up".into(),
            Self::Demand(path) => format!("a demand for {path}"),
            Self::Rotate(path) => format!("rotate {path}"),
        }
    }
}

/// A Core that runs.
pub(crate) struct Running {
    pub(crate) core: Core,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) data: DataPlane,
    pub(crate) queue: VecDeque<Input>,
    pub(crate) started_at: Timestamp,
    /// Whether it was told that the mesh was read, or is away.
    pub(crate) hydrated: bool,
    /// When it told its last manifest.
    told_at: Option<BootInstant>,
    /// The latest time at which a step was taken.
    seen: Timestamp,
    /// What its purge clock runs by.
    pub(super) ticker: Ticker,
}

impl Running {
    /// Whether the wall clock stands well before what it showed earlier.
    pub(crate) fn was_set_back(&self, now: Timestamp) -> bool {
        now.after(SET_BACK) < self.seen
    }
}

/// What a Core's steps reach beyond the Core.
pub(crate) struct Around<'a> {
    pub(crate) provider: &'a mut Provider,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) coverage: &'a mut Coverage,
    pub(crate) bug: Option<Bug>,
}

/// The Core of one region, running or not.
pub(crate) struct CoreNode {
    pub(crate) index: usize,
    pub(crate) region: RegionId,
    pub(crate) post: Post,
    pub(crate) running: Option<Running>,
    /// Which life this is: answers to an earlier one reach nobody.
    pub(crate) life: u64,
    /// After so many points more the Core crashes.
    pub(crate) fuse: Option<usize>,
    entropy: Arc<SeededEntropy>,
    /// Versions in use that are not kept, and after how many inputs they are: only a deliberate bug
    /// makes any.
    unkept: (Vec<KeySealed>, usize),
    /// Whether what is made now is made because its time has come.
    by_time: bool,
}

impl CoreNode {
    pub(crate) fn new(index: usize, seed: u64) -> Self {
        let region = landscape::region(index);
        let entropy = Arc::new(SeededEntropy::new(seed));
        let post = Post::new(Who::Core(index), Some(region.clone()), &*entropy);
        let (running, unkept) = (None, (Vec::new(), 0));
        Self { index, region, post, running, life: 0, fuse: None, entropy, unkept, by_time: false }
    }

    /// Starts from what is on the disk.
    pub(crate) fn start(&mut self, around: &mut Around<'_>) -> Result<(), Crashed> {
        self.begin(around.bug);
        let keyring = Arc::new(Keyring::new(Arc::new(self.post.clock.clone())));
        let core =
            Core::new(self.region.clone(), keyring.clone(), self.entropy.clone()).with_probes(PROBED_EVERY);
        let (data, now) = (DataPlane::new(keyring.clone(), self.entropy.clone()), self.post.now());
        let queue = VecDeque::new();
        let hydrated = false;
        let (started_at, told_at, ticker) = (now, None, Ticker::default());
        let seen = now;
        self.running =
            Some(Running { core, keyring, data, queue, started_at, hydrated, told_at, seen, ticker });
        self.life += 1;
        self.post.up = true;
        self.step(around, |core, view, now| core.start(view, now))
    }

    /// Stops at once; all but the disk is gone.
    pub(crate) fn crash(&mut self, bug: Option<Bug>) {
        self.post.crash();
        self.running = None;
        self.fuse = None;
        self.unkept.0.clear();
        if bug == Some(Bug::LoseKeptVersion) {
            lose_one(&mut self.post.disk);
        }
    }

    /// Whether a manifest is due: there is something new to tell, or a lease to be renewed.
    pub(crate) fn has_to_tell(&self) -> bool {
        let Some(running) = &self.running else { return false };
        let news = manifest::news(self.post.disk.view()).expect("memory does not fail");
        let waited = running.told_at.map(|told_at| self.post.clock.boottime().since(told_at));
        news != manifest::News::Nothing || waited.is_none_or(|waited| waited >= running.core.renewed_after())
    }

    /// Tells a manifest.
    pub(crate) fn tell_manifest(&mut self) {
        let Some(running) = &mut self.running else { return };
        let (nonce, until) = (random_hex::<16>(&*self.entropy), running.core.lease().until);
        let (region, now) = (self.region.clone(), Moment::of(&self.post.clock));
        running.told_at = Some(now.boot);
        self.post.disk.commit(|tx| manifest::tell(tx, &region, nonce, until, &now));
    }

    /// What was delivered: a revoke takes effect before anything waits for anything.
    pub(crate) fn hear(&mut self, intake: Intake) {
        let Some(running) = &mut self.running else { return };
        for verified in &intake.events {
            match &verified.event {
                Event::L1Revoke(fact) => running.keyring.revoke(&fact.tenant, fact.epoch),
                Event::L1Reference(fact) if fact.state == LinkState::Unlinked => {
                    running.keyring.revoke(&fact.tenant, fact.epoch);
                }
                _ => {}
            }
        }
        self.answer(&intake);
        self.push(Input::Intake(intake));
    }

    /// What a start does to the sums that manifests tell.
    fn begin(&mut self, bug: Option<Bug>) {
        let (policy, now) = (LeasePolicy::default(), Moment::of(&self.post.clock));
        if bug == Some(Bug::SkipRecount) {
            return self.post.disk.commit(|tx| manifest::begin(tx, &policy, &now));
        }
        self.post.disk.commit(|tx| store::begin(tx, &policy, &now).map(drop));
        let mut next = Some(Recount::default());
        while let Some(from) = next {
            let (wrong, after) = store::recount(self.post.disk.view(), &from).expect("memory does not fail");
            self.post.disk.commit(|tx| wrong.mend(tx));
            next = after;
        }
    }

    /// Answers what authorities ask.
    fn answer(&mut self, intake: &Intake) {
        for query in store::asked(&intake.events, &self.region) {
            let listed =
                store::look(self.post.disk.view(), query.of, &query.nodes).expect("memory does not fail");
            let (nonce, now) = (random_hex::<16>(&*self.entropy), self.post.now());
            self.post.disk.commit(|tx| manifest::answer(tx, query, listed, nonce, now));
        }
    }

    /// The mesh holds letters: told first, forgotten afterwards. Says whether one was replaced.
    pub(crate) fn acknowledged(
        &mut self,
        lane: Lane,
        letters: Vec<Waiting>,
        around: &mut Around<'_>,
    ) -> Result<bool, Crashed> {
        if self.fuse.is_some_and(|left| left % 2 == 0) {
            around.coverage.reach(Reached::CrashBeforeForget);
            return Err(Crashed);
        }
        let replaced = self.post.forget(lane, &letters, around.bug);
        self.push(Input::Told(letters));
        Ok(replaced)
    }

    pub(crate) fn push(&mut self, input: Input) {
        if let Some(running) = &mut self.running {
            running.queue.push_back(input);
        }
    }

    /// Takes the next input, and does all that follows from it.
    pub(crate) fn work(&mut self, around: &mut Around<'_>) -> Result<(), Crashed> {
        self.keep_late();
        self.look_at_clock(around)?;
        let Some(input) = self.running.as_mut().and_then(|running| running.queue.pop_front()) else {
            return Ok(());
        };
        match input {
            Input::Intake(intake) => self.absorb(intake, around),
            Input::Told(letters) => self.step(around, |core, view, now| core.told(view, &letters, now)),
            Input::Answer(Answer::Unsealed(answer)) => {
                let answers = self.with_those_behind(answer);
                self.step(around, |core, view, now| core.unsealed_together(view, answers, now))
            }
            Input::Answer(Answer::Sealed(answer)) => {
                self.step(around, |core, view, now| core.sealed(view, answer, now))
            }
            Input::Answer(Answer::Resealed(answer)) => {
                self.step(around, |core, view, now| core.resealed(view, answer, now))
            }
            Input::Answer(Answer::Probed(answer)) => self.take_probed(answer, around),
            Input::Hydrated => self.step(around, Core::hydrated),
            Input::CaughtUp => {
                self.post.disk.commit(store::caught_up);
                self.step(around, Core::caught_up)
            }
            Input::Demand(path) => self.step(around, |core, _, now| {
                core.demand(&path, now);
                Ok(Effects::default())
            }),
            Input::Rotate(path) => self.step(around, |core, view, now| {
                let rotated = core.rotate(view, &path, now);
                Ok(rotated.map(|(_, effects)| effects).unwrap_or_default())
            }),
        }
    }

    fn take_probed(&mut self, mut answer: Probed, around: &mut Around<'_>) -> Result<(), Crashed> {
        let Some(running) = &self.running else { return Ok(()) };
        let (tenant, epoch) = (&answer.job.tenant, answer.job.epoch);
        let serves = running.keyring.tenant(tenant).is_some_and(|ring| ring.epoch() == Some(epoch));
        for what in around.ledger.cores[self.index].l1.taken(&answer, serves) {
            around.coverage.reach(what);
        }
        mishear(&mut answer, around.bug);
        self.step(around, |core, view, now| core.probed(view, vec![answer], now))
    }

    /// Does what has become due.
    pub(crate) fn due(&mut self, around: &mut Around<'_>) -> Result<(), Crashed> {
        self.keep_late();
        self.look_at_clock(around)?;
        self.by_time = true;
        let expired = |node: &Self| node.running.as_ref().map_or(0, |running| running.core.leases_expired());
        let before = expired(self);
        let unproven =
            |node: &Self| node.running.as_ref().map_or(0, |running| running.core.probes().unproven);
        let unproven_before = unproven(self);
        let outcome = self.step(around, Core::due);
        if expired(self) > before {
            around.coverage.reach(Reached::LeaseExpired);
        }
        if unproven(self) > unproven_before {
            around.coverage.reach(Reached::Unproven);
        }
        self.by_time = false;
        if around.bug == Some(Bug::NeverRest)
            && let Some(running) = &mut self.running
        {
            demand_long_ago(&mut running.core);
        }
        outcome
    }

    /// A clock that was set back far makes everything that is planned void.
    fn look_at_clock(&mut self, around: &mut Around<'_>) -> Result<(), Crashed> {
        let now = self.post.now();
        let Some(running) = &mut self.running else { return Ok(()) };
        let set_back = running.was_set_back(now);
        running.seen = if set_back { now } else { running.seen.max(now) };
        if set_back { self.step(around, Core::clock_set_back) } else { Ok(()) }
    }

    /// An answer to an unseal, with those that stand right behind it.
    fn with_those_behind(&mut self, first: Unsealed) -> Vec<Unsealed> {
        let mut answers = vec![first];
        let Some(running) = &mut self.running else { return answers };
        while matches!(running.queue.front(), Some(Input::Answer(Answer::Unsealed(_)))) {
            if let Some(Input::Answer(Answer::Unsealed(next))) = running.queue.pop_front() {
                answers.push(next);
            }
        }
        answers
    }

    fn absorb(&mut self, mut intake: Intake, around: &mut Around<'_>) -> Result<(), Crashed> {
        let (now, reading) = (self.post.now(), intake.reading());
        let authentic = intake.events.clone();
        self.point(Reached::CrashBeforeAbsorb, around)?;
        spoil(&mut self.post, &mut intake, around.bug);
        if around.bug == Some(Bug::PositionBeforeEffects) {
            self.post.disk.commit(|tx| intake.record(tx));
            // Definitions and links that are lost so are told again: what shows it are versions, which nobody tells again.
            let shows = intake.stream.lane == Lane::Sealed && !intake.events.is_empty();
            self.fuse = self.fuse.map(|left| if shows { 0 } else { left.max(2) });
            self.point(Reached::CrashBeforeAbsorb, around)?;
        }
        note_purges(self.post.disk.view(), &intake, around.coverage);
        let changes = self.post.disk.commit(|tx| store::absorb(tx, &intake, now));
        if !changes.dropped.is_empty() {
            around.coverage.reach(Reached::PurgedUnsent);
        }
        let told = around.ledger.cores[self.index].committed(&authentic);
        for (what, happened) in
            [(Reached::OlderAfterNewer, told.older), (Reached::RevokeBeforeLink, told.revoke_first)]
        {
            if happened {
                around.coverage.reach(what);
            }
        }
        self.point(Reached::CrashBeforeSettle, around)?;
        if self.post.received(&reading, intake.caught_up)
            && let Some(running) = &mut self.running
        {
            if !running.hydrated {
                running.hydrated = true;
                running.queue.push_back(Input::Hydrated);
            }
            if running.core.reads_first() {
                running.queue.push_back(Input::CaughtUp);
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.step(around, |core, view, now| core.settle(view, &changes, now))
    }

    /// One step of the control, and what follows from it.
    pub(super) fn step(
        &mut self,
        around: &mut Around<'_>,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError>,
    ) -> Result<(), Crashed> {
        let now = self.post.now();
        let Some(running) = &mut self.running else { return Ok(()) };
        let effects = match around.bug {
            Some(Bug::EncryptBeforeKeep) => {
                step(&mut running.core, &as_if_kept(&self.post, &self.unkept.0), now)
            }
            Some(Bug::IgnoreTombstones) => step(&mut running.core, &as_if_no_tombstones(&self.post), now),
            Some(Bug::MakeAgainAfterCrash) if self.life > 1 => {
                step(&mut running.core, &as_if_none(&self.post), now)
            }
            _ => step(&mut running.core, self.post.disk.view(), now),
        };
        self.carry_out(effects.expect("a store in memory does not fail"), around)
    }

    fn carry_out(&mut self, mut effects: Effects, around: &mut Around<'_>) -> Result<(), Crashed> {
        loop {
            let denials = std::mem::take(&mut effects.denials);
            self.post.disk.commit(|tx| store::keep_denials(tx, &denials));
            self.keep_seals(std::mem::take(&mut effects.reseal), around)?;
            self.ask(&mut effects, around);
            if effects.keep.is_empty() {
                return Ok(());
            }
            let (made, now) = (std::mem::take(&mut effects.keep), self.post.now());
            self.point(Reached::CrashBeforeKeep, around)?;
            self.note_made(&made, around.coverage);
            let Some(running) = &mut self.running else { return Ok(()) };
            let kept = if around.bug == Some(Bug::EncryptBeforeKeep) {
                self.unkept.0.extend(made.iter().cloned());
                self.unkept.1 = KEPT_LATE;
                running.core.kept(&as_if_kept(&self.post, &self.unkept.0), &made, now)
            } else {
                self.post.disk.commit(|tx| store::keep(tx, &made, now));
                made.iter().for_each(|sealed| around.ledger.cores[self.index].kept(sealed));
                self.point(Reached::CrashAfterKeep, around)?;
                let Some(running) = &mut self.running else { return Ok(()) };
                running.core.kept(self.post.disk.view(), &made, now)
            };
            effects = kept.expect("a store in memory does not fail");
        }
    }

    /// Keeps new seals of versions that are held.
    fn keep_seals(&mut self, resealed: Vec<KeySealed>, around: &mut Around<'_>) -> Result<(), Crashed> {
        if resealed.is_empty() {
            return Ok(());
        }
        self.point(Reached::CrashBeforeReseal, around)?;
        let now = self.post.now();
        self.post.disk.commit(|tx| store::reseal(tx, &resealed, now));
        around.coverage.reach(Reached::Resealed);
        if resealed.iter().any(|sealed| sealed.resealed_by.is_some()) {
            around.coverage.reach(Reached::ResealedAnothers);
        }
        Ok(())
    }

    /// Hands the provider its questions.
    fn ask(&mut self, effects: &mut Effects, around: &mut Around<'_>) {
        if around.bug == Some(Bug::LeakPlaintext) {
            leak(&mut self.post.disk, &effects.seal);
        }
        around.provider.seen.extend(effects.seal.iter().map(|job| *job.key.expose()));
        let unseals = effects.unseal.drain(..).map(Question::Unseal);
        let questions = unseals.chain(effects.seal.drain(..).map(Question::Seal));
        let questions = questions.chain(effects.reseal_l2.drain(..).map(Question::Reseal));
        let questions = questions.chain(effects.probe.drain(..).map(Question::Probe));
        let (core, life) = (self.index, self.life);
        around.provider.waiting.extend(questions.map(|question| Job { core, life, question }));
    }

    /// What new versions are to the coverage.
    fn note_made(&self, made: &[KeySealed], coverage: &mut Coverage) {
        let cut_off = !(self.post.can_send && self.post.can_hear);
        for sealed in made.iter().filter(|sealed| sealed.counter > 1) {
            for (what, is_so) in [
                (Reached::RotatedByTime, self.by_time),
                (Reached::RotationWhileCutOff, cut_off),
                (Reached::L2Rotated, sealed.service.is_none()),
            ] {
                if is_so {
                    coverage.reach(what);
                }
            }
        }
    }

    /// A point between two transactions, at which the Core may crash.
    pub(super) fn point(&mut self, what: Reached, around: &mut Around<'_>) -> Result<(), Crashed> {
        match self.fuse {
            None => Ok(()),
            Some(0) => {
                around.coverage.reach(what);
                Err(Crashed)
            }
            Some(left) => {
                self.fuse = Some(left - 1);
                Ok(())
            }
        }
    }

    fn keep_late(&mut self) {
        let (late, wait) = &mut self.unkept;
        *wait = wait.saturating_sub(1);
        if *wait == 0 && !late.is_empty() {
            let (late, now) = (std::mem::take(late), self.post.now());
            self.post.disk.commit(|tx| store::keep(tx, &late, now));
        }
    }
}
