//! What the owners of the tenants' roots have said to one Core.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::{LinkEpoch, RootRef, TenantId};
use openkcm_host::BootInstant;
use openkcm_krypton::control::Probed;
use openkcm_krypton::rules::Said;

use crate::coverage::Reached;

/// The owners' words.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// The roots whose no to a probe the Core has taken, and whose yes to another it has not since.
    pub(crate) denied: BTreeMap<(TenantId, LinkEpoch), BTreeSet<RootRef>>,
    /// When a root last did something for a tenant, whether or not the Core has taken that: on the clock of the world.
    pub(crate) allowed: BTreeMap<TenantId, BootInstant>,
}

impl Owners {
    /// The Core takes the answer to a probe, while it serves the tenant under that link, or does not.
    pub(crate) fn taken(&mut self, probed: &Probed, serves: bool) -> Vec<Reached> {
        let key = (probed.job.tenant.clone(), probed.job.epoch);
        let mut reached = Vec::new();
        let answers = || probed.job.questions.iter().zip(&probed.answers);
        for root in answers().map(|(question, _)| &question.root) {
            let mut said =
                answers().filter(|(question, _)| question.root == *root).map(|(_, answer)| answer.said);
            let denied = self.denied.entry(key.clone()).or_default();
            if said.clone().any(|said| said == Said::No) {
                // Where nobody is served, nobody needs to remember.
                if serves || !denied.is_empty() {
                    denied.insert(root.clone());
                }
                reached.extend(serves.then_some(Reached::ProbeDenied));
            } else if said.all(|said| said == Said::Yes) && denied.remove(root) {
                reached.push(Reached::DenialEnded);
            }
        }
        reached
    }
}
