//! What the roots of a tenant are asked in a probe: to open an L2 version that each of them sealed.

use openkcm_contracts::v1::{KeySealed, SealedBy};
use openkcm_contracts::{RootRef, SystemPath, TenantId, VersionId};
use openkcm_store::{Read, StoreError};

use super::held::Members;
use super::tenant::Served;
use super::{Core, ProbeQuestion};
use crate::rules::Denial;
use crate::store;

/// Versions of a tenant that a seal is looked for among, beside those that are open.
const LOOKED_AT: usize = 64;

/// Seals that a root is given to open, one after another, until it owns one.
const MOST_SEALS: usize = 3;

impl Core {
    /// One question for each root of the link, and one for each thing that was denied.
    pub(super) fn probe_questions(
        &self,
        view: &dyn Read,
        served: &Served,
        denials: &[Denial],
    ) -> Result<Vec<ProbeQuestion>, StoreError> {
        let versions = self.versions_to_open(view, served)?;
        let question = |root: &RootRef| {
            let seals = versions.iter().flat_map(|sealed| seals_by(root, sealed)).take(MOST_SEALS).collect();
            ProbeQuestion { root: root.clone(), seals }
        };
        let mut questions: Vec<_> = served.link.roots.iter().map(question).collect();
        for denial in denials {
            let seals: Vec<_> = match &denial.of {
                // It would not seal: it is asked to seal, and to open that.
                None => Vec::new(),
                Some((system, version)) => {
                    let path = SystemPath { tenant: served.tenant.tenant.clone(), system: system.clone() };
                    let held = store::system_versions(view, &path)?.into_iter();
                    let held: Vec<_> = held.filter(|sealed| sealed.version == *version).collect();
                    let seals = held.iter().flat_map(|sealed| seals_by(&denial.root, sealed));
                    seals.take(MOST_SEALS).collect()
                }
            };
            // What was destroyed since is not asked for.
            if denial.of.is_none() || !seals.is_empty() {
                questions.push(ProbeQuestion { root: denial.root.clone(), seals });
            }
        }
        Ok(questions)
    }

    /// Versions of L2 of a tenant, those that have opened here first, the newest first: then those that a region of
    /// the tenant told of.
    fn versions_to_open(&self, view: &dyn Read, served: &Served) -> Result<Vec<KeySealed>, StoreError> {
        let tenant: &TenantId = &served.tenant.tenant;
        let mut versions = Vec::new();
        if let Some((path, open)) = self.systems.open_of(tenant) {
            let held = store::system_versions(view, &path)?.into_iter().rev();
            versions.extend(held.filter(|sealed| open.contains(&sealed.version)));
        }
        let members = Members { regions: &served.tenant.regions, own: &self.region };
        let others = store::first_l2_versions(view, tenant, LOOKED_AT)?.into_iter().rev();
        versions.extend(others.filter(|sealed| members.include(sealed.teller())));
        Ok(versions)
    }

    /// Whether a region of the tenant told of a version: the word of others alone ends nothing.
    pub(super) fn is_members_word(
        &self,
        view: &dyn Read,
        path: &SystemPath,
        version: VersionId,
    ) -> Result<bool, StoreError> {
        let regions = store::tenant(view, &path.tenant)?.map(|tenant| tenant.regions).unwrap_or_default();
        let members = Members { regions: &regions, own: &self.region };
        let held = store::system_versions(view, path)?;
        Ok(held.iter().any(|sealed| sealed.version == version && members.include(sealed.teller())))
    }
}

fn seals_by<'a>(
    root: &'a RootRef,
    sealed: &'a KeySealed,
) -> impl Iterator<Item = (SystemPath, VersionId, String)> + 'a {
    let path = SystemPath { tenant: sealed.tenant.clone(), system: sealed.system.clone() };
    let seals = sealed.seals.iter().filter(move |seal| matches!(&seal.by, SealedBy::Root(by) if by == root));
    seals.map(move |seal| (path.clone(), sealed.version, seal.ciphertext.clone()))
}
