//! What the provider answered, and what follows from it.
//!
//! An answer that changes nothing is looked at no further: a version that never opens, of which a
//! stranger can make up many, must not have ten thousand services looked at every time it fails.

use std::collections::BTreeMap;

use openkcm_contracts::{SystemPath, Timestamp};
use openkcm_store::{Read, StoreError};

use super::l2::{Failure, L2, L2State};
use super::step::Step;
use super::{Core, Effects, Sealed, Unsealed};
use crate::rules::Denial;

impl Core {
    /// The provider answered to a version that was to be opened.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn unsealed(
        &mut self,
        view: &dyn Read,
        answer: Unsealed,
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        self.unsealed_together(view, vec![answer], now)
    }

    /// The provider answered to versions that were to be opened. Systems are settled once for all of
    /// their answers.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn unsealed_together(
        &mut self,
        view: &dyn Read,
        answers: Vec<Unsealed>,
        now: Timestamp,
    ) -> Result<Effects, StoreError> {
        let mut answered: BTreeMap<SystemPath, bool> = BTreeMap::new();
        let mut denied = Vec::new();
        for answer in answers {
            let (path, version, denied_by) =
                (answer.job.path.clone(), answer.job.version, answer.denied_by.clone());
            if let Some(news) = self.take_unsealed(answer, now) {
                *answered.entry(path.clone()).or_default() |= news;
                denied.extend(denied_by.map(|root| (path, version, root)));
            }
        }
        self.step(view, now, |core, step| {
            for (path, version, root) in denied {
                if core.is_members_word(step.view, &path, version)? {
                    let of = Some((path.system, version));
                    core.deny(step, &path.tenant, vec![Denial { root, of }]);
                }
            }
            answered.iter().try_for_each(|(path, news)| core.settle_answered(step, path, *news))
        })
    }

    /// Takes one answer, unless nobody waits for it any more. Says whether it is news.
    fn take_unsealed(
        &mut self,
        Unsealed { job, outcome, asked, denied_by: _ }: Unsealed,
        now: Timestamp,
    ) -> Option<bool> {
        let current = self.systems.get_mut(&job.path);
        // Unlinked, linked again or defined again while the provider was asked: nothing is kept.
        let system = current.filter(|s| (s.epoch, s.generation) == (job.epoch, job.generation))?;
        let l2 = system.versions.get_mut(&job.version)?;
        // Nor does a late answer undo an earlier one.
        let L2State::Opening(before) = l2.state else { return None };
        let (state, news) = match outcome {
            Ok(key) => (L2State::Open(key), true),
            Err(refusal) => {
                let news = before.is_none_or(|failure| failure.refusal != refusal);
                (L2State::Failed(Failure::after(before, refusal, now)), news)
            }
        };
        let is_open = matches!(state, L2State::Open(_));
        l2.state = state;
        if is_open {
            self.opened(&job.path.tenant, asked);
        }
        Some(news)
    }

    /// The provider answered to a new version that was to be sealed.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sealed(&mut self, view: &dyn Read, answer: Sealed, now: Timestamp) -> Result<Effects, StoreError> {
        let Sealed { job, outcome, asked, denied_by } = answer;
        let current = self
            .systems
            .get_mut(&job.path)
            .filter(|s| (s.epoch, s.generation) == (job.epoch, job.generation));
        let waiting = current.filter(|system| system.sealing == Some(job.version));
        let Some(system) = waiting else { return Ok(Effects::default()) };
        system.sealing = None;
        match outcome {
            Ok(seals) => {
                system.seal_failure = None;
                let l2 =
                    L2 { counter: job.counter, made_at: job.made_at, state: L2State::Open(job.key.clone()) };
                system.unkept = Some((job.version, l2));
                self.opened(&job.path.tenant, asked);
                Ok(Effects { keep: vec![self.l2_record(&job, seals)], ..Effects::default() })
            }
            Err(refusal) => {
                let news = system.seal_failure.is_none_or(|failure| failure.refusal != refusal);
                system.seal_failed(refusal, now);
                self.step(view, now, |core, step| {
                    if let Some(root) = denied_by {
                        core.deny(step, &job.path.tenant, vec![Denial { root, of: None }]);
                    }
                    core.settle_answered(step, &job.path, news)
                })
            }
        }
    }

    fn settle_answered(
        &mut self,
        step: &mut Step<'_>,
        path: &SystemPath,
        news: bool,
    ) -> Result<(), StoreError> {
        if news {
            return self.settle_system_and_services(step, path, None);
        }
        self.settle_l2_and_who_waits(step, path).map(drop)
    }
}
