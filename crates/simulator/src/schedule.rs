//! The schedule: what may happen now, and which of it happens.
//!
//! Not how it happens. What always holds: only what could happen to the real components is enabled,
//! and the choice among it is the seed's alone.

use openkcm_orbital::words::Standing;
use openkcm_orbital::{Reading, Stream};

use crate::actions::HYDRATION_PATIENCE;
use crate::actions::authorities::{Life, role};
use crate::actors::Who;
use crate::actors::post::Phase;
use crate::landscape::REGIONS;
use crate::teeth::Bug;
use crate::world::World;

/// One thing that may happen.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    OperateRegistry,
    OperateCmk,
    OperateFailover,
    MoveTenants,
    Encrypt(usize),
    Decrypt(usize),
    Rewrap(usize),
    Rotate(usize),
    Publish(Who, Stream),
    Acknowledge(Who, Stream),
    Deliver(Who, Reading),
    Replay(Who, Reading),
    Forge(usize),
    Work(usize),
    TellManifest(usize),
    Due(usize),
    PurgeDue,
    Destroy(usize),
    ConfirmPurges(usize),
    GiveUpOnMesh(usize),
    Answer,
    LandLate(usize),
    Pass,
    CutOff(Who),
    Reconnect(Who),
    RestartBroker,
    ChangeMood,
    Crash(Who),
    LightFuse(usize),
    Restart(Who),
    Reboot(usize),
    StepClock(usize),
    Conclude(Who),
    CopyDisk(Who),
    PutBack(Who),
    Rebuild(Who),
}

impl World {
    /// Does one thing that may happen now.
    pub(crate) fn act(&mut self) {
        let mut enabled = self.progress();
        self.add_people(&mut enabled);
        enabled.iter_mut().for_each(|(weight, _)| *weight *= self.calm);
        self.add_faults(&mut enabled);
        let chosen = self.dice.weighted(enabled.iter().map(|(weight, _)| *weight));
        let (_, action) = enabled.swap_remove(chosen);
        self.perform(action, true);
    }

    /// What the components would do by themselves now, with weights.
    pub(crate) fn progress(&self) -> Vec<(usize, Action)> {
        let mut enabled = Vec::with_capacity(64);
        for who in Self::everyone().filter(|who| self.post(*who).up) {
            let post = self.post(who);
            enabled.extend(post.in_flight.keys().map(|to| (12, Action::Acknowledge(who, to.clone()))));
            if post.phase == Phase::Speaking || self.bug == Some(Bug::SpeakBeforeComparing) {
                let waits = post.destinations().into_iter().filter(|to| !post.in_flight.contains_key(to));
                enabled
                    .extend(waits.map(|to| (if post.can_send { 12 } else { 2 }, Action::Publish(who, to))));
            }
            if post.phase != Phase::Speaking && post.has_compared_all() {
                enabled.push((12, Action::Conclude(who)));
            }
            let wanted = post.wanted(&self.mesh);
            enabled.extend(wanted.map(|reading| (12, Action::Deliver(who, reading.clone()))));
        }
        for (index, core) in self.cores.iter().enumerate() {
            let Some(running) = &core.running else { continue };
            if !running.queue.is_empty() {
                enabled.push((25, Action::Work(index)));
            }
            let now = core.post.now();
            if running.was_set_back(now) || running.core.next_due().is_some_and(|at| at <= now) {
                enabled.push((12, Action::Due(index)));
            }
            if core.has_to_tell() {
                enabled.push((10, Action::TellManifest(index)));
            }
            if core.may_destroy() {
                enabled.push((12, Action::Destroy(index)));
            }
            if core.has_held_purges() {
                enabled.push((2, Action::ConfirmPurges(index)));
            }
            let connected = core.post.can_send && core.post.can_hear;
            let waited = now.since(running.started_at);
            if !running.hydrated && !connected && waited >= HYDRATION_PATIENCE {
                enabled.push((8, Action::GiveUpOnMesh(index)));
            }
        }
        // What lands before an authority compares its words is found then; the others are the trying ones.
        let silent = [Who::Registry, Who::Cmk].map(|who| (who, self.post(who).phase == Phase::Speaking));
        let silent: Vec<_> =
            silent.into_iter().filter(|(_, speaks)| !speaks).map(|(who, _)| role(who)).collect();
        if let Some(index) = self.mesh.late(&silent) {
            enabled.push((3, Action::LandLate(index)));
        }
        if self.may_move() {
            enabled.push((8, Action::MoveTenants));
        }
        if self.may_purge() {
            enabled.push((8, Action::PurgeDue));
        }
        if !self.provider.waiting.is_empty() {
            enabled.push((10, Action::Answer));
        }
        enabled
    }

    fn add_people(&self, enabled: &mut Vec<(usize, Action)>) {
        // What is accepted before words are compared, by a store that was put back, is what a verdict is about.
        let in_doubt = |who| match self.standing(who) {
            Standing::Comparing { .. } if self.lives.get(&who).is_some_and(|life| life.lost) => 4,
            _ => 1,
        };
        if self.registry.up {
            enabled.push((6 * in_doubt(Who::Registry), Action::OperateRegistry));
            enabled.push((2, Action::OperateFailover));
        }
        if self.cmk.up {
            enabled.push((5 * in_doubt(Who::Cmk), Action::OperateCmk));
        }
        for index in (0..REGIONS.len()).filter(|index| self.cores[*index].running.is_some()) {
            enabled.push((6, Action::Encrypt(index)));
            enabled.push((12, Action::Decrypt(index)));
            enabled.push((3, Action::Rewrap(index)));
            enabled.push((1, Action::Rotate(index)));
        }
        enabled.push((8, Action::Pass));
    }

    fn add_faults(&self, enabled: &mut Vec<(usize, Action)>) {
        enabled.extend([(1, Action::RestartBroker), (self.restless_owners, Action::ChangeMood)]);
        for who in Self::everyone() {
            let post = self.post(who);
            if !post.up {
                enabled.push((10, Action::Restart(who)));
                continue;
            }
            enabled.push((1, Action::Crash(who)));
            let connected = post.can_send && post.can_hear;
            enabled.push(if connected { (1, Action::CutOff(who)) } else { (6, Action::Reconnect(who)) });
            let Who::Core(index) = who else {
                self.add_faults_of_disks(who, enabled);
                continue;
            };
            enabled.push((1, Action::LightFuse(index)));
            enabled.push((1, Action::Reboot(index)));
            enabled.push((1, Action::StepClock(index)));
            if !post.can_hear {
                continue;
            }
            let replayable = |reading: &&Reading| {
                !post.busy.contains(reading) && self.mesh.ever(reading, post.cursor(reading)) > 0
            };
            let readings = post.reads.iter().filter(replayable);
            enabled.extend(readings.map(|reading| (1, Action::Replay(who, reading.clone()))));
            if post.reads.iter().all(|reading| !post.busy.contains(reading)) {
                enabled.push((1, Action::Forge(index)));
            }
        }
    }

    /// What happens to an authority's disk, and what its operator does about it.
    fn add_faults_of_disks(&self, who: Who, enabled: &mut Vec<(usize, Action)>) {
        if self.disks_fail {
            // A bug that only such a fault shows has more of them to be shown by.
            let weight = if self.bug.is_some_and(Bug::is_of_disks) { 3 } else { 1 };
            enabled.extend([(weight, Action::CopyDisk(who)), (weight, Action::PutBack(who))]);
        }
        if self.lives.get(&who).is_some_and(Life::has_accepted_uncompared) {
            enabled.push((12, Action::Crash(who)));
        }
        if self.standing(who).is_stale() && !self.is_rebuilding(who) {
            enabled.push((3, Action::Rebuild(who)));
        }
    }

    /// Does this now, with faults on the way or without.
    pub(crate) fn perform(&mut self, action: Action, faults: bool) {
        match action {
            Action::OperateRegistry => self.operate_registry(),
            Action::OperateCmk => self.operate_cmk(),
            Action::OperateFailover => self.operate_failover(),
            Action::MoveTenants => self.move_tenants(),
            Action::Encrypt(index) => self.call_encrypt(index),
            Action::Decrypt(index) => self.call_decrypt(index),
            Action::Rewrap(index) => self.call_rewrap(index),
            Action::Rotate(index) => self.call_rotate(index),
            Action::Publish(who, to) => self.publish(who, &to, faults),
            Action::Acknowledge(who, to) => self.acknowledge(who, &to),
            Action::Deliver(who, reading) => self.deliver(who, &reading, faults),
            Action::Replay(who, reading) => self.replay(who, &reading),
            Action::Forge(index) => self.forge(index),
            Action::Work(index) => self.work(index),
            Action::TellManifest(index) => {
                self.tell(format!("core {}: puts a manifest together", REGIONS[index]));
                self.cores[index].tell_manifest();
            }
            Action::Due(index) => {
                self.tell(format!("core {}: does what is due", REGIONS[index]));
                self.with_core(index, |core, around| core.due(around));
                self.ledger.did_due = Some(index);
            }
            Action::PurgeDue => self.purge_due(),
            Action::Destroy(index) => {
                self.tell(format!("core {}: destroys what is due", REGIONS[index]));
                self.with_core(index, |core, around| core.destroy(around));
            }
            Action::ConfirmPurges(index) => {
                self.tell(format!("core {}: its purges are confirmed", REGIONS[index]));
                self.cores[index].confirm_purges();
                self.ledger.touched.insert(index);
            }
            Action::GiveUpOnMesh(index) => self.give_up_on_mesh(index),
            Action::Answer => self.answer_question(),
            Action::LandLate(index) => self.land_late(index),
            Action::Pass => self.pass(self.some_time()),
            Action::CutOff(who) => self.cut_off(who),
            Action::Reconnect(who) => self.reconnect(who),
            Action::RestartBroker => self.restart_broker(),
            Action::ChangeMood => self.change_mood(),
            Action::Crash(who) => self.stop(who),
            Action::LightFuse(index) => self.light_fuse(index),
            Action::Restart(who) => self.restart(who),
            Action::Reboot(index) => self.reboot(index),
            Action::StepClock(index) => self.step_clock(index),
            Action::Conclude(who) => self.conclude(who),
            Action::CopyDisk(who) => self.copy_disk(who),
            Action::PutBack(who) => self.put_back(who),
            Action::Rebuild(who) => self.rebuild(who),
        }
    }

    fn work(&mut self, index: usize) {
        let queue = self.cores[index].running.as_ref().map(|running| &running.queue);
        let Some(name) = queue.and_then(|queue| queue.front()).map(|input| input.name()) else { return };
        self.tell(format!("core {}: takes {name}", REGIONS[index]));
        self.with_core(index, |core, around| core.work(around));
    }
}
