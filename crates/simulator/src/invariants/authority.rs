//! **Authority.** "Each kind of fact has one writer; a message signed by anyone else changes nothing":
//! what a Core holds about a thing is the newest that its author told it, and never newer than
//! anything that its author ever said. "An authority publishes only after it has compared its store with its
//! own last words on the mesh; where it is behind, it does not link or define until it has caught up (it may
//! revoke)." And one that has lost nothing never takes itself for behind.

use openkcm_contracts::{Event, KeyPath, LinkEpoch, Revision, Role};
use openkcm_krypton::store;

use crate::actors::Who;
use crate::landscape;
use crate::world::World;

pub(crate) const NAME: &str = "authority";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    holds_the_newest(world, index)?;
    holds_nothing_invented(world, index)
}

/// Looks at what the authorities said in this step.
pub(crate) fn check_authorities(world: &World) -> Result<(), String> {
    if let Some(wrong) = world.ledger.authorities.wrong.first() {
        return Err(wrong.clone());
    }
    for who in [Who::Registry, Who::Cmk] {
        let has_lost = world.lives.get(&who).is_some_and(|life| life.lost);
        if !has_lost && world.standing(who).is_stale() {
            return Err(format!("{who} has lost nothing, and takes itself for stale"));
        }
    }
    Ok(())
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
    let newest = |role| world.ledger.authorities.newest.get(&role).copied().unwrap_or(Revision::ZERO);
    let (registry, cmk) = (newest(Role::Registry), newest(Role::Cmk));
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
