//! Faults: partitions, crashes, brokers, providers, clocks. And time, which passes.
//!
//! What always holds: [`World::heal`] takes every fault back.

use std::time::Duration;

use openkcm_contracts::Timestamp;
use openkcm_contracts::problem::Code;
use openkcm_host::Clock as _;
use openkcm_krypton::rules::Moment;

use crate::actors::Who;
use crate::actors::core::Input;
use crate::coverage::Reached;
use crate::landscape::REGIONS;
use crate::provider::Mood;
use crate::world::World;

/// How long a Core waits for a mesh that is away before it goes on alone, as its shell does.
pub(crate) const HYDRATION_PATIENCE: Duration = Duration::from_secs(5);

impl World {
    /// Time passes, everywhere.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.tell(format!("{} ms pass", time.as_millis()));
        for who in Self::everyone() {
            self.post(who).clock.advance(time);
        }
        for index in 0..REGIONS.len() {
            if self.cores[index].running.is_some() {
                self.with_core(index, |core, around| core.destroy(around));
            }
        }
    }

    /// A span of time, mostly short.
    pub(crate) fn some_time(&self) -> Duration {
        Duration::from_millis(*self.dice.pick(&[50, 50, 300, 600, 600, 2_500, 2_500, 8_000, 35_000, 600_000]))
    }

    /// A component's connection to the mesh is cut, in one direction or in both.
    pub(crate) fn cut_off(&mut self, who: Who) {
        let (send, hear) = *self.dice.pick(&[(false, false), (false, false), (true, false), (false, true)]);
        let post = self.post_mut(who);
        (post.can_send, post.can_hear) = (send, hear);
        post.disconnect();
        self.tell(format!("{who} is cut off: sends {send}, hears {hear}"));
    }

    /// A component's connection to the mesh is back.
    pub(crate) fn reconnect(&mut self, who: Who) {
        let post = self.post_mut(who);
        (post.can_send, post.can_hear) = (true, true);
        self.tell(format!("{who} reaches the mesh again"));
    }

    /// The broker is restarted: every subscription and every unanswered publication is broken off.
    pub(crate) fn restart_broker(&mut self) {
        self.reach(Reached::BrokerRestarted);
        self.tell("the broker restarts");
        Self::everyone().for_each(|who| self.post_mut(who).disconnect());
    }

    /// A customer, or a network, changes what a root answers.
    pub(crate) fn change_mood(&mut self) {
        let root = self.dice.pick(&self.provider.names()).clone();
        let mood = *self.dice.pick(&[Mood::Willing, Mood::Willing, Mood::Denying, Mood::Silent]);
        self.provider.set_mood(&root, mood);
        self.tell(format!("{root} is {mood:?} from now on"));
    }

    /// A Core is to crash in the middle of what it does soon.
    pub(crate) fn light_fuse(&mut self, index: usize) {
        self.cores[index].fuse = Some(self.dice.below(5));
    }

    /// A Core's machine is started anew; the Core comes back later.
    pub(crate) fn reboot(&mut self, index: usize) {
        self.stop(Who::Core(index));
        self.cores[index].post.clock.reboot();
        self.reach(Reached::Rebooted);
        self.tell(format!("the machine of core {} is started anew", REGIONS[index]));
    }

    /// A component that crashed starts again.
    pub(crate) fn restart(&mut self, who: Who) {
        self.tell(format!("{who} starts"));
        match who {
            Who::Core(index) => self.start_core(index),
            _ => self.start_authority(who, false),
        }
    }

    /// A Core waited long enough for the mesh.
    pub(crate) fn give_up_on_mesh(&mut self, index: usize) {
        let core = &mut self.cores[index];
        if let Some(running) = &mut core.running {
            running.hydrated = true;
            running.queue.push_back(Input::Hydrated);
        }
        self.reach(Reached::GaveUpOnMesh);
        self.tell(format!("core {}: goes on without the mesh", REGIONS[index]));
    }

    /// An administrator, or NTP, moves a Core's wall clock.
    pub(crate) fn step_clock(&mut self, index: usize) {
        let clock = &self.cores[index].post.clock;
        let (now, by) =
            (self.cores[index].post.now().as_millis(), *self.dice.pick(&[-3_600_000, -3_000, -400, 900]));
        clock.set_wall(Timestamp::from_millis(now.saturating_add_signed(by)));
        if by < 0 {
            self.reach(Reached::ClockSetBack);
        }
        self.tell(format!("core {}: its wall clock jumps by {by} ms", REGIONS[index]));
    }

    /// A provider answers one of the questions that wait.
    pub(crate) fn answer_question(&mut self) {
        if self.provider.waiting.is_empty() {
            return;
        }
        let index = self.dice.below(self.provider.waiting.len());
        let job = self.provider.waiting.remove(index);
        if self.cores[job.core].running.is_none() || self.cores[job.core].life != job.life {
            return self.reach(Reached::AnswerToTheDead);
        }
        let (core, path, epoch) = (job.core, job.question.path().cloned(), job.question.epoch());
        let tenant = job.question.tenant().clone();
        let view = self.cores[core].post.disk.view();
        let link = openkcm_krypton::store::link(view, &tenant).expect("memory does not fail");
        if link.and_then(|link| link.reference).is_none_or(|held| held.fact.epoch != epoch) {
            self.reach(Reached::LateAnswer);
        }
        let answer = self.provider.answer(job.question, Moment::of(&self.cores[core].post.clock));
        let refusal = answer.refusal();
        if answer.shows_a_yes() {
            self.ledger.cores[core].l1.allowed.insert(tenant.clone(), self.cmk.clock.boottime());
        }
        let Some(path) = path else {
            let line = refusal.map_or("proven", |refusal| refusal.code.as_str());
            self.tell(format!("provider: answers core {} a probe of {tenant}: {line}", REGIONS[core]));
            return self.cores[core].push(Input::Answer(answer));
        };
        let troubled = self.ledger.cores[core].troubled.entry(path.clone()).or_default();
        let line = match refusal {
            Some(refusal) => {
                troubled.insert(refusal.code.as_str());
                refusal.code.as_str()
            }
            None => {
                let past = std::mem::take(troubled);
                for (code, what) in [
                    (Code::L1Denied, Reached::DeniedThenRecovered),
                    (Code::L1Unreachable, Reached::UnreachableThenRecovered),
                ] {
                    if past.contains(code.as_str()) {
                        self.reach(what);
                    }
                }
                "done"
            }
        };
        self.tell(format!("provider: answers core {} about {path}: {line}", REGIONS[core]));
        self.cores[core].push(Input::Answer(answer));
    }

    /// Every fault ends.
    pub(crate) fn heal(&mut self) {
        self.tell("all faults end");
        self.provider.heal();
        for who in Self::everyone() {
            self.reconnect(who);
            if !self.post(who).up {
                self.restart(who);
            }
        }
        self.cores.iter_mut().for_each(|core| core.fuse = None);
    }
}
