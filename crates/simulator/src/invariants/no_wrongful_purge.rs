//! **No wrongful purge.** "Material is destroyed only on a signed, explicit tombstone for that generation, after a
//! waiting period whose minimum the Core enforces": a version that is gone from a Core was named by the Registry, its
//! tombstone is held there, and the Core has known of its end for the minimum wait, on a clock that nobody sets.

use openkcm_contracts::v1::{KeyDefine, KeySealed};
use openkcm_contracts::{DefinitionState, Generation, KeyPath, SystemPath, TenantState};
use openkcm_host::{BootInstant, Clock};
use openkcm_krypton::store::{self, purge};
use openkcm_store::{Read, Table};

use crate::actors::purges::POLICY;
use crate::landscape;
use crate::ledger::Known;
use crate::world::World;

pub(crate) const NAME: &str = "no wrongful purge";

const VERSIONS: [Table<KeySealed>; 2] = [Table::new("l2_versions"), Table::new("l3_versions")];

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let known = &world.ledger.cores[index];
    let (view, now) = (world.cores[index].post.disk.view(), world.cmk.clock.boottime());
    let held = held(view);
    for (key, (path, generation)) in &known.versions {
        if held.iter().any(|(held, _)| held == key) {
            continue;
        }
        let version = String::from_utf8_lossy(key);
        if said(world, path) < Some(*generation) {
            return Err(format!("{version} of {generation} is gone, and nobody wanted it destroyed"));
        }
        if tombstone(view, path) < Some(*generation) {
            return Err(format!("{version} of {generation} is gone without a tombstone"));
        }
        let since = ended_before_it_came(known, path, *generation).chain(known.ended_since.get(key)).min();
        let knew = since.map(|since| now.since(*since));
        if knew.is_none_or(|knew| knew < POLICY.minimum_wait) {
            return Err(format!("{version} is gone {knew:?} after its end was heard of"));
        }
    }
    Ok(())
}

/// Whether a version that is gone is one that the Registry wanted destroyed; what else there is to say of it, this
/// invariant says.
pub(crate) fn is_named(world: &World, key: &[u8], index: usize) -> bool {
    let named = world.ledger.cores[index].versions.get(key);
    named.is_some_and(|(path, generation)| said(world, path) >= Some(*generation))
}

/// What is held now, and since when it is known to have ended.
pub(crate) fn remember(world: &mut World, index: usize) {
    let (view, now) = (world.cores[index].post.disk.view(), world.cmk.clock.boottime());
    let held = held(view);
    let ended: Vec<_> =
        held.iter().filter(|(_, (path, generation))| has_ended(view, path, *generation)).cloned().collect();
    let ends = |path: KeyPath| tombstone(view, &path).map(|up_to| (path, up_to));
    let ends: Vec<_> = landscape::tenants().iter().flat_map(landscape::keys).filter_map(ends).collect();
    let definition = |path: KeyPath| definition(view, &path).map(|fact| (path, fact));
    let defined: Vec<_> =
        landscape::tenants().iter().flat_map(landscape::keys).filter_map(definition).collect();
    let known = &mut world.ledger.cores[index];
    for (path, fact) in defined {
        if matches!(fact.state, DefinitionState::Deleted { .. }) {
            known.deleted_since.entry(path.clone()).or_insert(now);
        } else {
            known.deleted_since.remove(&path);
        }
        let held = known.generations.entry(path).or_default();
        if held.last().is_none_or(|(last, _)| *last < fact.generation) {
            held.push((fact.generation, now));
        }
    }
    for (path, up_to) in ends {
        let heard = known.tombstones.entry(path).or_default();
        if heard.last().is_none_or(|(last, _)| *last < up_to) {
            heard.push((up_to, now));
        }
    }
    known.ended_since.retain(|key, _| ended.iter().any(|(ended, _)| ended == key));
    for (key, _) in ended {
        known.ended_since.entry(key).or_insert(now);
    }
    known.versions = held.into_iter().collect();
}

/// Since when the generation of a version that may have come late was known to have ended, by each word that said so.
fn ended_before_it_came<'a>(
    known: &'a Known,
    path: &KeyPath,
    generation: Generation,
) -> impl Iterator<Item = &'a BootInstant> {
    let names = [path.clone(), KeyPath::System(system_of(path))];
    let since = names.map(|name| {
        let heard = known.tombstones.get(&name).into_iter().flatten();
        let heard = heard.filter(move |(up_to, _)| *up_to >= generation).map(|(_, since)| since);
        let later = known.generations.get(&name).into_iter().flatten();
        let later = later.filter(move |(held, _)| *held > generation).map(|(_, since)| since);
        heard.chain(later).chain(known.deleted_since.get(&name))
    });
    since.into_iter().flatten()
}

fn definition(view: &dyn Read, path: &KeyPath) -> Option<KeyDefine> {
    let held = match path {
        KeyPath::System(path) => store::system(view, path),
        KeyPath::Service(path) => store::service(view, path),
    };
    held.expect("memory does not fail")
}

/// Up to which generation the Registry ever wanted a key destroyed, by its own tombstone or its system's.
pub(crate) fn said(world: &World, path: &KeyPath) -> Option<Generation> {
    let said = |path: &KeyPath| world.ledger.purges.get(path).copied();
    said(path).max(said(&KeyPath::System(system_of(path))))
}

/// Up to which generation a Core's tombstones end a key.
pub(crate) fn tombstone(view: &dyn Read, path: &KeyPath) -> Option<Generation> {
    let tombstone = match path {
        KeyPath::System(path) => purge::purged_system(view, path),
        KeyPath::Service(path) => purge::purged(view, path),
    };
    tombstone.expect("memory does not fail")
}

/// Whether a Core has heard that a generation of a key has ended, by whatever word.
fn has_ended(view: &dyn Read, path: &KeyPath, generation: Generation) -> bool {
    let system = store::system(view, &system_of(path)).expect("memory does not fail");
    let own = match path {
        KeyPath::System(_) => None,
        KeyPath::Service(path) => store::service(view, path).expect("memory does not fail"),
    };
    let tenant = store::tenant(view, path.tenant()).expect("memory does not fail");
    // A service lies after the system that it is of, and before the next one.
    let is_over = |fact: &KeyDefine| {
        matches!(fact.state, DefinitionState::Deleted { .. }) || fact.generation > generation
    };
    tombstone(view, path) >= Some(generation)
        || system.as_ref().is_some_and(is_over)
        || own.as_ref().is_some_and(is_over)
        || tenant.is_some_and(|tenant| tenant.state == TenantState::Offboarded)
}

fn system_of(path: &KeyPath) -> SystemPath {
    SystemPath { tenant: path.tenant().clone(), system: path.system().clone() }
}

type Held = (Vec<u8>, (KeyPath, Generation));

fn held(view: &dyn Read) -> Vec<Held> {
    let listed = VERSIONS
        .iter()
        .flat_map(|table| table.list(view, "", None, usize::MAX).expect("memory does not fail"));
    listed.map(|(key, sealed)| (key.into_bytes(), (sealed.path(), sealed.generation))).collect()
}
