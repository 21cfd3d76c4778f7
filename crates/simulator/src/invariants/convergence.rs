//! **Convergence.** "When faults end, every Core comes to hold exactly what the authorities say, by
//! itself": its region's definitions and links, the same sealed versions as all others; nothing waits
//! in an outbox; and what should be usable is, in every region of its tenant, for all that was ever
//! encrypted.

use openkcm_component::drift::{self, Action, Found, Kind, Wanted};
use openkcm_contracts::v1::Kept;
use openkcm_contracts::{DefinitionState, Event, KeyPath, TenantId, TenantState};
use openkcm_krypton::store as core_store;
use openkcm_registry::doubts;
use openkcm_registry::rules::{Standing, telling};
use openkcm_registry::store::{self, KeyRecord, TenantRecord};
use openkcm_store::Space;

use super::sovereignty;
use crate::landscape::{self, REGIONS};
use crate::world::World;

pub(crate) const NAME: &str = "convergence";

/// Whether all is as the authorities say; the first thing that is not, otherwise.
pub(crate) fn check(world: &World) -> Result<(), String> {
    nothing_waits(world)?;
    all_hold_the_same_versions(world)?;
    what_is_purged_is_gone(world)?;
    nothing_is_withheld(world)?;
    failovers_are_worked_off(world)?;
    sovereignty::check_unlinks(world)?;
    for index in 0..REGIONS.len() {
        manifests_agree(world, index)?;
    }
    for tenant in landscape::tenants() {
        let Some(record) = world.tenant(&tenant) else { continue };
        heard_at_cmk(world, &record)?;
        for (index, region) in REGIONS.iter().enumerate() {
            let at = |detail: String| format!("core {region}: {detail}");
            if record.regions.contains(&world.cores[index].region) {
                holds_definitions(world, index, &record).map_err(at)?;
                holds_link(world, index, &tenant).map_err(at)?;
                serves(world, index, &record).map_err(at)?;
            } else {
                serves_nothing(world, index, &tenant).map_err(at)?;
            }
        }
    }
    Ok(())
}

/// No region gives the Registry reason any more to tell no tombstones.
fn nothing_is_withheld(world: &World) -> Result<(), String> {
    let (view, now) = (world.registry.disk.view(), world.registry.now());
    let withholding = doubts::withholding(view, &world.landscape, now).expect("memory does not fail");
    match withholding.first() {
        None => Ok(()),
        Some((region, doubt)) => Err(format!("no tombstone is told for region {region}: {doubt:?}")),
    }
}

/// No tenant stays in a region that is failed over, unless an operator spoke of it since.
fn failovers_are_worked_off(world: &World) -> Result<(), String> {
    let all = store::failovers::all(world.registry.disk.view()).expect("memory does not fail");
    if let Some(running) = all.iter().find(|failover| failover.is_running()) {
        return Err(format!("the failover of region {} goes on for ever", running.from));
    }
    for failover in all.iter().filter(|failover| failover.is_in_force()) {
        let tenants = landscape::tenants().into_iter().filter_map(|id| world.tenant(&id));
        let stays = |tenant: &TenantRecord| {
            tenant.regions.contains(&failover.from) && tenant.revision <= failover.revision
        };
        if let Some(tenant) = tenants.into_iter().find(stays) {
            return Err(format!("{} is in region {}, which is failed over", tenant.tenant, failover.from));
        }
    }
    Ok(())
}

/// What a Core's manifest sums up is what the Registry expects of its region.
fn manifests_agree(world: &World, index: usize) -> Result<(), String> {
    let core = &world.cores[index];
    let held = core_store::buckets(core.post.disk.view(), Kept::Definitions).expect("memory does not fail");
    let expected = store::buckets(world.registry.disk.view(), &core.region).expect("memory does not fail");
    let differing = held.differing(&expected);
    let open = open_drift(world, index);
    match world.unknown.get(&index) {
        // Nothing is destroyed for being unknown; it is shown, and nothing else is.
        Some(unknown) if world.holds_ghost(index) => match (&differing[..], &open[..]) {
            ([_], [found])
                if found.subject == *unknown
                    && (found.kind, found.action) == (Kind::Unknown, Action::Alarm) =>
            {
                Ok(())
            }
            _ => {
                Err(format!("core {}: {unknown} is not shown alone: {differing:?}, {open:?}", REGIONS[index]))
            }
        },
        Some(unknown) => Err(format!("core {}: {unknown} is gone, and nobody said so", REGIONS[index])),
        None if !differing.is_empty() => {
            Err(format!("core {}: buckets {differing:?} are not the registry's", REGIONS[index]))
        }
        None if !open.is_empty() => Err(format!("core {}: drift is not healed: {open:?}", REGIONS[index])),
        None => Ok(()),
    }
}

/// The drift of a Core that is not healed.
fn open_drift(world: &World, index: usize) -> Vec<Found> {
    let region = Some(world.cores[index].region.clone());
    let wanted = Wanted { region, healed: Some(false), after: None, limit: usize::MAX };
    let (records, _) = drift::list(world.registry.disk.view(), &wanted).expect("memory does not fail");
    records.into_iter().map(|record| record.found).collect()
}

/// The keys that a Core is to hold and that can still come into use.
pub(crate) fn live_keys(world: &World, index: usize) -> Vec<KeyPath> {
    let tenants = landscape::tenants().into_iter().filter_map(|tenant| world.tenant(&tenant));
    let here = tenants.filter(|record| record.regions.contains(&world.cores[index].region));
    here.flat_map(|record| definitions(world, &record)).map(|(key, _)| key.path()).collect()
}

fn nothing_waits(world: &World) -> Result<(), String> {
    for who in World::everyone() {
        let post = world.post(who);
        if post.has_letters() {
            return Err(format!("letters wait in the outbox of {who}"));
        }
    }
    Ok(())
}

fn all_hold_the_same_versions(world: &World) -> Result<(), String> {
    for space in ["l2_versions", "l3_versions"].map(Space) {
        let first = world.cores[0].post.disk.keys(space);
        for (index, core) in world.cores.iter().enumerate() {
            let held = core.post.disk.keys(space);
            if held != first {
                let counts = (first.len(), held.len());
                return Err(format!(
                    "core {} holds other {} than core a: {counts:?}",
                    REGIONS[index], space.0
                ));
            }
        }
    }
    Ok(())
}

/// What the Registry wants destroyed is refused and gone in every Core, and no Core's mesh copy of it is left.
fn what_is_purged_is_gone(world: &World) -> Result<(), String> {
    let registry = world.registry.disk.view();
    for path in landscape::tenants().iter().flat_map(landscape::keys) {
        let Some(purged) = store::purges::of(registry, &path).expect("memory does not fail") else {
            continue;
        };
        for core in &world.cores {
            let view = core.post.disk.view();
            let held = core_store::purge::tombstone(view, &path).expect("memory does not fail");
            if held.is_none_or(|held| held.generation < purged.generation) {
                return Err(format!("core {} has no tombstone of {path}", core.region));
            }
            let below = landscape::keys(path.tenant()).into_iter();
            for key in below.filter(|key| *key == path || key.to_string().starts_with(&format!("{path}/"))) {
                let versions = core_store::key_versions(view, &key).expect("memory does not fail");
                if versions.iter().any(|sealed| sealed.generation <= purged.generation) {
                    return Err(format!("core {} holds versions of {key}, which is purged", core.region));
                }
            }
        }
        for sealed in world.mesh.sealed() {
            let name = sealed.path();
            let is_named = name == path || name.to_string().starts_with(&format!("{path}/"));
            if is_named && sealed.generation <= purged.generation && !sealed.seals.is_empty() {
                return Err(format!("the mesh has {} of {name}, which is purged", sealed.version));
            }
        }
    }
    Ok(())
}

fn heard_at_cmk(world: &World, record: &TenantRecord) -> Result<(), String> {
    let heard = openkcm_cmk::store::tenant(world.cmk.disk.view(), &record.tenant);
    let heard = heard.expect("memory does not fail").map(|heard| heard.revision);
    if heard == Some(record.revision) {
        return Ok(());
    }
    Err(format!("the cmk server holds {} at {heard:?}, not at {}", record.tenant, record.revision))
}

fn holds_definitions(world: &World, index: usize, record: &TenantRecord) -> Result<(), String> {
    let view = world.cores[index].post.disk.view();
    let said = telling::of_tenant(None, record);
    let held = core_store::tenant(view, &record.tenant).expect("memory does not fail");
    if !said
        .iter()
        .any(|(_, event)| matches!(event, Event::TenantDefine(fact) if Some(fact) == held.as_ref()))
    {
        return Err(format!("{} is held as {held:?}", record.tenant));
    }
    for (key, _) in definitions(world, record) {
        let region = [world.cores[index].region.clone()];
        let held = match key.path() {
            KeyPath::System(path) => core_store::system(view, &path),
            KeyPath::Service(path) => core_store::service(view, &path),
        };
        let held = held.expect("memory does not fail").map(Event::KeyDefine);
        if telling::of_key_to(&region, &key).first().map(|(_, event)| event) != held.as_ref() {
            return Err(format!("{} is held as {held:?}", key.path()));
        }
    }
    Ok(())
}

/// The definitions of a tenant that can still come into use, and whether they stand now.
fn definitions(world: &World, tenant: &TenantRecord) -> Vec<(KeyRecord, bool)> {
    let view = world.registry.disk.view();
    let mut found = Vec::new();
    for path in landscape::keys(&tenant.tenant) {
        let place = store::place(view, &path).expect("memory does not fail");
        let Ok((record, standing)) = place.held() else { continue };
        if !standing.is_over_for_good() {
            let defined = record.state == DefinitionState::Defined;
            found.push((record.clone(), defined && standing == Standing::Live));
        }
    }
    found
}

fn holds_link(world: &World, index: usize, tenant: &TenantId) -> Result<(), String> {
    let Some(pointer) = world.pointer(tenant) else { return Ok(()) };
    let link = core_store::link(world.cores[index].post.disk.view(), tenant).expect("memory does not fail");
    let held = link.and_then(|link| link.reference);
    let holds = held.as_ref().is_some_and(|held| {
        let fact = &held.fact;
        held.revision == pointer.revision
            && (fact.epoch, fact.state) == (pointer.epoch, pointer.state)
            && (fact.roots == pointer.roots || !pointer.is_linked())
    });
    if holds {
        return Ok(());
    }
    let held = held.map(|held| held.revision);
    Err(format!("{tenant}'s link is held at {held:?}, and is at {}", pointer.revision))
}

fn serves(world: &World, index: usize, record: &TenantRecord) -> Result<(), String> {
    let pointer = world.pointer(&record.tenant);
    let linked = pointer.is_some_and(|p| p.is_linked() && p.generation == record.generation);
    if !linked || !Standing::of_tenant(record).is_live() {
        return serves_nothing(world, index, &record.tenant);
    }
    let Some(running) = &world.cores[index].running else { return Err("it does not run".into()) };
    for (key, stands) in definitions(world, record) {
        let KeyPath::Service(path) = key.path() else { continue };
        match running.data.encrypt(&path, b"convergence", b"") {
            Ok(_) if !stands => return Err(format!("{path} encrypts, and is not in force")),
            Err(refusal) if stands => return Err(format!("{path} does not encrypt: {refusal}")),
            _ if !stands => continue,
            _ => {}
        }
        for (number, kept) in world.ledger.ciphertexts.iter().enumerate() {
            let usable = !key.compromised.contains(&kept.version);
            if kept.path != path || kept.generation != key.generation || !usable {
                continue;
            }
            match running.data.decrypt(&path, &kept.text, &kept.aad) {
                Ok(opened) if opened.plaintext[..] == kept.plaintext[..] => {}
                Ok(_) => return Err(format!("number {number} of {path} decrypts to something else")),
                Err(refusal) => return Err(format!("number {number} of {path} is lost: {refusal}")),
            }
        }
    }
    Ok(())
}

fn serves_nothing(world: &World, index: usize, tenant: &TenantId) -> Result<(), String> {
    let held = core_store::tenant(world.cores[index].post.disk.view(), tenant).expect("memory does not fail");
    let withdrawn = held.is_none_or(|held| {
        held.state == TenantState::Withdrawn || held.regions.contains(&world.cores[index].region)
    });
    let ring = world.cores[index].running.as_ref().and_then(|running| running.keyring.tenant(tenant));
    if !withdrawn {
        return Err(format!("{tenant} was not withdrawn here"));
    }
    match ring.is_some_and(|ring| ring.standing().is_ok()) {
        true => Err(format!("{tenant} is served here, and should not be")),
        false => Ok(()),
    }
}
