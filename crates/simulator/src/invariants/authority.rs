//! **Authority.** "Each kind of fact has one writer; a message signed by anyone else changes nothing":
//! what a Core holds about a thing is the newest that its author told it, and never newer than
//! anything that its author ever said.

use openkcm_contracts::{Event, KeyPath, LinkEpoch, Revision};
use openkcm_krypton::store;

use crate::landscape;
use crate::world::World;

pub(crate) const NAME: &str = "authority";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    holds_the_newest(world, index)?;
    holds_nothing_invented(world, index)
}

fn holds_the_newest(world: &World, index: usize) -> Result<(), String> {
    let view = world.cores[index].post.disk.view();
    for (subject, (revision, event)) in &world.ledger.cores[index].newest {
        let holds = match event {
            Event::TenantDefine(fact) => {
                let held = store::held_tenant(view, &fact.tenant).expect("memory does not fail");
                held.is_some_and(|held| held.revision == *revision && held.fact == *fact)
            }
            Event::KeyDefine(fact) => {
                let held = match fact.path() {
                    KeyPath::System(path) => store::system(view, &path),
                    KeyPath::Service(path) => store::service(view, &path),
                };
                held.expect("memory does not fail").as_ref() == Some(fact)
            }
            _ => true,
        };
        if !holds {
            return Err(format!("{subject} was told at {revision}, and something else is held"));
        }
    }
    Ok(())
}

fn holds_nothing_invented(world: &World, index: usize) -> Result<(), String> {
    let view = world.cores[index].post.disk.view();
    let registry = openkcm_registry::store::last_revision(world.registry.disk.view());
    let cmk = openkcm_cmk::store::revision(world.cmk.disk.view());
    let (registry, cmk) = (registry.expect("memory does not fail"), cmk.expect("memory does not fail"));
    let cmk = cmk.unwrap_or(Revision::ZERO);
    for tenant in landscape::tenants() {
        let held = store::held_tenant(view, &tenant).expect("memory does not fail");
        if let Some(held) = held.filter(|held| held.revision > registry) {
            return Err(format!("{tenant} is held at {}, and the registry is at {registry}", held.revision));
        }
        let link = store::link(view, &tenant).expect("memory does not fail").unwrap_or_default();
        let told = link.reference.map(|held| held.revision).max(link.revoked.map(|LinkEpoch(epoch)| epoch));
        if told > Some(cmk) {
            return Err(format!("{tenant}'s link is held at {told:?}, and the cmk server is at {cmk}"));
        }
    }
    Ok(())
}
