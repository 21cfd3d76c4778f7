//! What deliberate bugs do to a Core's store and to what it hears.
//!
//! Only for the histories that show that the bugs are caught. Nothing here runs without one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::v1::{KeySealed, LinkState};
use openkcm_contracts::{Event, Period, Revision, TenantId, Timestamp};
use openkcm_krypton::control::{Core, Probed, SealJob};
use openkcm_krypton::rules::Said;
use openkcm_krypton::store::{self, LinkRecord};
use openkcm_orbital::Intake;
use openkcm_store::{Memory, Scan, Space, StoreError, Table, Write};

use super::post::Post;
use crate::disk::Disk;
use crate::landscape;
use crate::teeth::Bug;

/// Where a Core keeps its sealed versions.
const VERSIONS: [Space; 2] = [Space("l2_versions"), Space("l3_versions")];

/// After how many inputs a version is kept that is in use already.
pub(super) const KEPT_LATE: usize = 8;

/// Somebody writes new keys down, to see what is wrong.
pub(super) fn leak(disk: &mut Disk, jobs: &[SealJob]) {
    for job in jobs {
        let text = BASE64.encode(job.key.expose());
        disk.commit(|tx| tx.put(Space("debug"), b"l2", format!("key {text}").as_bytes()));
    }
}

/// Something is planned for a time that has passed.
pub(super) fn demand_long_ago(core: &mut Core) {
    let some = landscape::tenants().iter().flat_map(landscape::services).next();
    some.iter().for_each(|path| core.demand(path, Timestamp::from_millis(0)));
}

/// A store that is ahead of its disk.
pub(super) fn as_if_kept(post: &Post, unkept: &[KeySealed]) -> Memory {
    let mut as_if = post.disk.view().clone();
    as_if.write(|tx| store::keep(tx, unkept, post.now())).expect("memory does not fail");
    as_if
}

/// A store that has forgotten every version.
pub(super) fn as_if_none(post: &Post) -> Memory {
    let mut as_if = post.disk.view().clone();
    for space in VERSIONS {
        let keys = post.disk.keys(space);
        let forget = |tx: &mut dyn Write| keys.iter().try_for_each(|key| tx.delete(space, key));
        as_if.write(forget).expect("memory does not fail");
    }
    as_if
}

/// A store that has forgotten every tombstone.
pub(super) fn as_if_no_tombstones(post: &Post) -> Memory {
    let mut as_if = post.disk.view().clone();
    let space = Space("tombstones");
    let keys = post.disk.keys(space);
    let forget = |tx: &mut dyn Write| keys.iter().try_for_each(|key| tx.delete(space, key));
    as_if.write(forget).expect("memory does not fail");
    as_if
}

/// One version is gone.
pub(super) fn lose_one(disk: &mut Disk) {
    for space in VERSIONS {
        let keys = disk.keys(space);
        disk.commit(|tx| keys.iter().take(1).try_for_each(|key| tx.delete(space, key)));
    }
}

/// What a bug makes of the word of a tenant's roots.
pub(super) fn mishear(answer: &mut Probed, bug: Option<Bug>) {
    for answer in &mut answer.answers {
        answer.said = match (bug, answer.said) {
            (Some(Bug::DenialAsFailure), Said::No) => Said::Nothing,
            (Some(Bug::SilenceAsConsent), Said::Nothing) => Said::Yes,
            (_, said) => said,
        };
    }
}

/// What a bug does to an intake before it is applied.
pub(super) fn spoil(post: &mut Post, intake: &mut Intake, bug: Option<Bug>) {
    match bug {
        Some(Bug::SkipRevisionCheck) => {
            for verified in &intake.events {
                post.disk.commit(|tx| forget_held(tx, &verified.event));
            }
        }
        Some(Bug::OldLinkAsNewest) => {
            for verified in &mut intake.events {
                if let Event::L1Reference(fact) = &verified.event
                    && let Ok(Some(held)) = store::link(post.disk.view(), &fact.tenant)
                    && let Some(held) = held.reference.filter(|held| held.revision > verified.revision)
                {
                    verified.revision = held.revision.next();
                }
            }
        }
        Some(Bug::SkipRevoke) => intake.events.retain(|verified| match &verified.event {
            Event::L1Revoke(_) => false,
            Event::L1Reference(fact) => fact.state == LinkState::Linked,
            _ => true,
        }),
        Some(Bug::LongerLease) => {
            for verified in &mut intake.events {
                if let Event::SovereignLease(lease) = &mut verified.event {
                    let longer = Period::from_secs(lease.ttl.duration().as_secs() * 1_000);
                    lease.ttl = longer.unwrap_or(lease.ttl);
                }
            }
        }
        Some(Bug::LeaseOfLaterLinks) => {
            for tenant in landscape::tenants() {
                post.disk.commit(|tx| forget_since(tx, &tenant));
            }
        }
        Some(Bug::MergeByOverwriting) => {
            for verified in &intake.events {
                if let Event::KeySealed(sealed) = &verified.event {
                    post.disk.commit(|tx| forget_versions(tx, sealed));
                }
            }
        }
        _ => {}
    }
}

/// A link counts as told of from the beginning.
fn forget_since(tx: &mut dyn Write, tenant: &TenantId) -> Result<(), StoreError> {
    const LINKS: Table<LinkRecord> = Table::new("links");
    match LINKS.get(tx.as_read(), tenant.as_str())? {
        Some(link) => LINKS.put(tx, tenant.as_str(), &LinkRecord { since: Revision::ZERO, ..link }),
        None => Ok(()),
    }
}

fn forget_held(tx: &mut dyn Write, event: &Event) -> Result<(), StoreError> {
    match event {
        Event::TenantDefine(fact) => tx.delete(Space("tenants"), fact.tenant.as_str().as_bytes()),
        Event::KeyDefine(fact) => tx.delete(Space("definitions"), fact.path().to_string().as_bytes()),
        Event::L1Reference(fact) => tx.delete(Space("links"), fact.tenant.as_str().as_bytes()),
        _ => Ok(()),
    }
}

fn forget_versions(tx: &mut dyn Write, sealed: &KeySealed) -> Result<(), StoreError> {
    let space = Space(if sealed.service.is_some() { "l3_versions" } else { "l2_versions" });
    let prefix = format!("{}/", sealed.path());
    let held = tx.scan(space, Scan::prefix(prefix.as_bytes()))?;
    held.iter().try_for_each(|(key, _)| tx.delete(space, key))
}
