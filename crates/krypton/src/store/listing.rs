//! What lies in the parts of the sums into which an authority looks.
//!
//! Reads alone, of one view of the store: the control loop is not asked. What always holds: a node is listed whole
//! or not at all, since what is missing from a list counts as not held.

use openkcm_contracts::v1::{Kept, KeyDefine, KeyPurge, Listed, ListedThing, ManifestQuery, Node};
use openkcm_contracts::{Event, RegionId, Revision};
use openkcm_digests::{Sum, Unit};
use openkcm_orbital::Verified;
use openkcm_store::{Read, StoreError};

use super::digests::{HELD, comparable, shelf};
use super::{DEFINITIONS, Held, LINKS, PAGE, TENANTS, purge};

/// The longest nonce of a query that is echoed.
const MAX_NONCE_LEN: usize = 64;

/// Nodes of one query that are looked into: as many as there are buckets.
const MOST_NODES: usize = 256;

/// The bytes of all listed nodes together: well below what a body may have.
const MOST_BYTES: usize = 384 * 1024;

/// Records that are read at once where most are skipped: a system, say, among its services.
const STRIDE: usize = 16;

/// A thing as it is listed, and its sum.
type Thing = (ListedThing, Sum);

/// The queries of an intake that are answered: of its own kind of things alone an authority may ask, and its last
/// query says that it has given up those before.
pub fn asked<'a>(events: &'a [Verified], region: &RegionId) -> Vec<&'a ManifestQuery> {
    let query = |verified: &'a Verified, of: Kept| {
        let Event::ManifestQuery(query) = &verified.event else { return None };
        let may = verified.author == of.authority() && query.nonce.len() <= MAX_NONCE_LEN;
        Some(query).filter(|query| may && query.of == of && query.region == *region)
    };
    let last = |of| events.iter().rev().find_map(|verified| query(verified, of));
    [Kept::Definitions, Kept::Links].into_iter().filter_map(last).collect()
}

/// Looks into nodes, one after the other, as many as fit into an answer. Whoever asked asks for the rest again.
///
/// # Errors
/// When the store can't be read.
pub fn look(view: &dyn Read, of: Kept, nodes: &[Node]) -> Result<Vec<Listed>, StoreError> {
    let (mut listed, mut bytes) = (Vec::new(), 0);
    for node in nodes.iter().take(MOST_NODES) {
        let seen = shelf(of).look(view, HELD, node, |unit| things(view, of, unit))?;
        let len = serde_json::to_vec(&seen).map_or(usize::MAX, |text| text.len());
        if len > MOST_BYTES {
            tracing::warn!(?node, len, "too much lies here to be listed in one message; it is not compared");
            continue;
        }
        bytes += len;
        if bytes > MOST_BYTES {
            break;
        }
        listed.push(seen);
    }
    Ok(listed)
}

/// What is held of a unit.
fn things(view: &dyn Read, of: Kept, unit: &str) -> Result<Vec<Thing>, StoreError> {
    match (of, Unit::named(unit)) {
        (Kept::Definitions, Unit::Tenant(tenant)) => {
            let held = TENANTS.get(view, tenant)?;
            Ok(held.map(|held| thing(&Event::TenantDefine(held.fact), held.revision)).into_iter().collect())
        }
        (Kept::Definitions, Unit::Systems { tenant, generation }) => {
            let systems = systems(view, tenant)?.into_iter();
            Ok(systems.filter(|held| held.fact.parent.to_string() == generation).map(key).collect())
        }
        (Kept::Definitions, Unit::Services { tenant, system, generation }) => {
            let prefix = format!("{tenant}/{system}/");
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = DEFINITIONS.list(view, &prefix, after.as_deref(), PAGE)?;
                let Some((last, _)) = page.last() else { return Ok(found) };
                after = Some(last.clone());
                let page = page.into_iter().map(|(_, held)| held);
                found.extend(page.filter(|held| held.fact.parent.to_string() == generation).map(key));
            }
        }
        (Kept::Definitions, Unit::Purges { tenant, system }) => {
            Ok(purge::of_system(view, tenant, system)?.into_iter().map(tombstone).collect())
        }
        (Kept::Links, Unit::Tenant(tenant)) => {
            let held = LINKS.get(view, tenant)?.and_then(|link| link.reference);
            Ok(held.map(|held| thing(&comparable(&held.fact), held.revision)).into_iter().collect())
        }
        (Kept::Links, _) => Ok(Vec::new()),
    }
}

/// The systems of a tenant: their services, of which there may be very many, are stepped over.
fn systems(view: &dyn Read, tenant: &str) -> Result<Vec<Held<KeyDefine>>, StoreError> {
    let prefix = format!("{tenant}/");
    let (mut found, mut after): (_, Option<String>) = (Vec::new(), None);
    loop {
        let page = DEFINITIONS.list(view, &prefix, after.as_deref(), STRIDE)?;
        if page.is_empty() {
            return Ok(found);
        }
        for (name, held) in page {
            if held.fact.service.is_some() {
                // Past all names that a service of this system can have.
                after = Some(format!("{prefix}{}/~", held.fact.system));
                break;
            }
            after = Some(name);
            found.push(held);
        }
    }
}

fn key(held: Held<KeyDefine>) -> Thing {
    thing(&Event::KeyDefine(held.fact), held.revision)
}

fn tombstone(fact: KeyPurge) -> Thing {
    let (sum, revision) = (Sum::of_tombstone(&fact), fact.generation.0);
    let subject = Event::KeyPurge(fact).subject().to_string();
    (ListedThing { subject, revision, digest: sum.digest() }, sum)
}

fn thing(event: &Event, revision: Revision) -> Thing {
    let sum = Sum::of_event(event, revision);
    (ListedThing { subject: event.subject().to_string(), revision, digest: sum.digest() }, sum)
}
