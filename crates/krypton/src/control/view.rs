//! What the control shows: of an L2, of what it is to open, and of what is at risk.

use openkcm_contracts::v1::{KeyDefine, KeySealed};
use openkcm_contracts::{RegionId, SystemPath, TenantId, Timestamp, VersionId, VersionState};

use super::held::Members;
use super::{Core, WarmUp};
use crate::rules::{Candidate, Refusal, choose_active, state_of};

/// One version of a key, for those who show it.
#[derive(Debug, Clone)]
pub struct VersionView {
    /// Its id.
    pub id: VersionId,
    /// Its counter.
    pub counter: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Where it was made.
    pub maker: RegionId,
    /// Its state.
    pub state: VersionState,
    /// Whether it is open here; if not, why.
    pub open: Result<(), Refusal>,
    /// Whether its sealed form is not yet known to be durable on the mesh.
    pub at_risk: bool,
}

impl Core {
    /// Whether nothing of a system is open, and no service of it waits for a later step. After its end it may take
    /// some steps before none of its services is served.
    pub fn has_let_go(&self, path: &SystemPath) -> bool {
        self.systems.get(path).is_none() && !self.rest.names(path)
    }

    /// The versions of a system's L2 of the present generation, the oldest counter first.
    pub fn system_versions(
        &self,
        path: &SystemPath,
        definition: &KeyDefine,
        (held, regions): (Vec<KeySealed>, &[RegionId]),
        now: Timestamp,
    ) -> Vec<VersionView> {
        let held = Members { regions, own: &self.region }.each_once(held, definition.generation);
        let system = self.systems.get(path);
        let open = |id: &VersionId| match system.and_then(|system| system.versions.get(id)) {
            Some(l2) => l2.state.refusal().map_or(Ok(()), Err),
            None => Err(self.shut_since(&path.tenant).unwrap_or(Refusal::HYDRATING)),
        };
        let current: Vec<_> =
            held.iter().filter(|sealed| sealed.generation == definition.generation).collect();
        let candidate = |sealed: &KeySealed| Candidate {
            counter: sealed.counter,
            id: sealed.version,
            made_at: sealed.made_at,
            at_risk: self.at_risk.contains(&sealed.version),
        };
        let opened: Vec<Candidate> = current
            .iter()
            .filter(|sealed| open(&sealed.version).is_ok())
            .map(|sealed| candidate(sealed))
            .collect();
        let (active, _) = choose_active(&opened, &definition.compromised, now);
        let active = opened.iter().find(|candidate| Some(candidate.id) == active);
        current
            .iter()
            .map(|sealed| VersionView {
                id: sealed.version,
                counter: sealed.counter,
                made_at: sealed.made_at,
                maker: sealed.maker.clone(),
                state: state_of(&candidate(sealed), active, &definition.compromised),
                open: open(&sealed.version),
                at_risk: self.at_risk.contains(&sealed.version),
            })
            .collect()
    }

    /// How many systems of tenants that are served are open, of those that have a version.
    pub fn warm_up(&self) -> WarmUp {
        WarmUp { tenants_left: self.rest.tenants_left(), ..self.systems.warm_up() }
    }

    /// How many versions would be lost with this Core's disk.
    pub fn versions_at_risk(&self) -> usize {
        self.at_risk.len()
    }

    /// How many versions of a tenant would be lost with it.
    pub fn versions_at_risk_of(&self, tenant: &TenantId) -> usize {
        self.at_risk.of(tenant)
    }

    /// How many tenants' versions would be, and of which tenants the most, no more than so many.
    pub fn tenants_at_risk(&self, most: usize) -> (usize, Vec<(TenantId, usize)>) {
        (self.at_risk.tenants(), self.at_risk.most(most))
    }
}
