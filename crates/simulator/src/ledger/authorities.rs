//! What the authorities decided and said, in all the lives of their disks.
//!
//! What is lost with a disk is forgotten here too, unless the mesh had it: that much is promised.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_cmk::store as cmk_store;
use openkcm_contracts::v1::{L1Reference, LinkState};
use openkcm_contracts::{Event, LinkEpoch, Revision, Role, TenantId};

use openkcm_host::BootInstant;

use crate::disk::Disk;
use crate::landscape;
use crate::mesh::is_revocation;

/// Everything that is known of the authorities.
#[derive(Debug, Default)]
pub(crate) struct Authorities {
    /// Counts decisions.
    pub(crate) clock: u64,
    /// The newest revision that each gave in any of its lives.
    pub(crate) newest: BTreeMap<Role, Revision>,
    /// When each link was made.
    pub(crate) links: BTreeMap<(TenantId, LinkEpoch), u64>,
    /// On which links the CMK Server has ever agreed with a region's Core.
    pub(crate) leased: BTreeSet<(usize, TenantId, LinkEpoch)>,
    /// The leases whose agreement was noted.
    pub(crate) noted: BTreeSet<(u64, String)>,
    /// The Unlinks that are not lost.
    pub(crate) unlinks: Vec<Unlink>,
    /// Words about pointers of a lost life that came to the mesh when another life had begun.
    late_words: Vec<(L1Reference, Option<Revision>)>,
    /// Tenants about whose pointer two lives have said different words under one revision, the later one over
    /// the earlier: nothing on the mesh tells, and a Core may hold what the first one ended.
    pub(crate) muddled: BTreeSet<TenantId>,
    /// What an authority did in this step that it must not.
    pub(crate) wrong: Vec<String>,
}

/// An Unlink that was decided.
#[derive(Debug, Clone)]
pub(crate) struct Unlink {
    pub(crate) tenant: TenantId,
    pub(crate) revision: Revision,
    /// When.
    pub(crate) at: u64,
    /// When, on a clock that goes on for ever.
    pub(crate) time: BootInstant,
    /// Whether any word of it is on the mesh.
    pub(crate) durable: bool,
}

/// The pointers of all tenants at a moment: revision, epoch, whether linked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pointers(BTreeMap<TenantId, Option<(Revision, LinkEpoch, bool)>>);

impl Pointers {
    pub(crate) fn of(disk: &Disk) -> Self {
        let pointer = |tenant: TenantId| {
            let held = cmk_store::pointer(disk.view(), &tenant).expect("memory does not fail");
            let is = held.map(|pointer| (pointer.revision, pointer.epoch, pointer.is_linked()));
            (tenant, is)
        };
        Self(landscape::tenants().into_iter().map(pointer).collect())
    }
}

impl Authorities {
    pub(crate) fn said(&mut self, role: Role, revision: Revision) {
        let newest = self.newest.entry(role).or_insert(revision);
        *newest = (*newest).max(revision);
    }

    /// The CMK Server's pointers changed. What carries its last revision was decided now; all else was taken
    /// back from the mesh.
    pub(crate) fn decided(&mut self, before: &Pointers, after: &Pointers, last: Revision, time: BootInstant) {
        self.clock += 1;
        for (tenant, now) in &after.0 {
            let Some((revision, epoch, linked)) = now.filter(|_| before.0.get(tenant) != Some(now)) else {
                continue;
            };
            let decided_now = revision == last;
            if linked && epoch.0 == revision && decided_now {
                self.links.insert((tenant.clone(), epoch), self.clock);
            } else if !linked && decided_now {
                let (tenant, at) = (tenant.clone(), self.clock);
                self.unlinks.push(Unlink { tenant, revision, at, time, durable: false });
            }
        }
    }

    /// A word is on the mesh.
    pub(crate) fn stored(&mut self, event: &Event, revision: Option<Revision>) {
        if let Event::L1Reference(fact) = event {
            let other = |(late, at): &(L1Reference, Option<Revision>)| {
                late.tenant == fact.tenant && *at == revision && late != fact
            };
            if self.late_words.iter().any(other) {
                self.muddled.insert(fact.tenant.clone());
            }
        }
        let tenant = match event {
            Event::L1Revoke(fact) => &fact.tenant,
            Event::L1Reference(fact) => &fact.tenant,
            _ => return,
        };
        if !is_revocation(event) {
            return;
        }
        for unlink in &mut self.unlinks {
            if unlink.tenant == *tenant && Some(unlink.revision) == revision {
                unlink.durable = true;
            }
        }
    }

    /// A word of a lost life is on the mesh.
    pub(crate) fn landed_late(&mut self, event: &Event, revision: Option<Revision>) {
        if let Event::L1Reference(fact) = event {
            self.late_words.push((fact.clone(), revision));
        }
    }

    /// A disk is lost; what was decided since a moment is kept by the mesh alone. Where a link of an earlier
    /// life has come late, and bears a later revision than an Unlink of the life that is lost now, nothing on
    /// the mesh tells which was first: that much is not promised.
    pub(crate) fn lost_since(&mut self, role: Role, moment: u64) {
        if role != Role::Cmk {
            return;
        }
        let Self { unlinks, late_words, .. } = self;
        unlinks.retain(|unlink| unlink.durable || unlink.at <= moment);
        let later = |unlink: &Unlink, (word, revision): &(L1Reference, Option<Revision>)| {
            let link = word.state == LinkState::Linked && word.tenant == unlink.tenant;
            link && *revision > Some(unlink.revision)
        };
        unlinks.retain(|unlink| !late_words.iter().any(|word| later(unlink, word)));
    }

    /// The first Unlink that ended a tenant's link of this epoch and is not lost: when it was decided on the clock that
    /// goes on for ever.
    pub(crate) fn ended_at(&self, tenant: &TenantId, epoch: LinkEpoch) -> Option<BootInstant> {
        let made_at = self.links.get(&(tenant.clone(), epoch))?;
        let ended = self.unlinks.iter().filter(|unlink| unlink.tenant == *tenant && unlink.at > *made_at);
        ended.map(|unlink| unlink.time).min()
    }

    /// When the last Unlink of a tenant was decided that is not lost.
    pub(crate) fn last_unlink(&self, tenant: &TenantId) -> Option<u64> {
        let own = self.unlinks.iter().filter(|unlink| unlink.tenant == *tenant);
        own.map(|unlink| unlink.at).max()
    }
}
