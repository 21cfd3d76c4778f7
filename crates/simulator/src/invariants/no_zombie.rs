//! **No zombie.** "A stale Link never undoes a newer Unlink": of all the words about a pointer that a
//! Core ever committed, it holds the newest, and serves by no other; and it serves a tenant that was defined anew
//! by no link of the one that had its name before.
//!
//! A Core serves a link only after a lease of the CMK Server agreed with that Core on exactly that epoch.

use openkcm_contracts::Event;
use openkcm_contracts::v1::LinkState;
use openkcm_krypton::store;

use crate::world::World;

pub(crate) const NAME: &str = "no zombie";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let core = &world.cores[index];
    for (tenant, ring) in core.running.iter().flat_map(|running| running.keyring.tenants()) {
        let (Ok(()), Some(epoch)) = (ring.standing(), ring.epoch()) else { continue };
        if !world.ledger.authorities.leased.contains(&(index, tenant.clone(), epoch)) {
            return Err(format!("{tenant} is served under {epoch}, and no lease ever agreed on that"));
        }
    }
    for (revision, event) in world.ledger.cores[index].newest.values() {
        let Event::L1Reference(newest) = event else { continue };
        let link = store::link(core.post.disk.view(), &newest.tenant).expect("memory does not fail");
        let held = link.and_then(|link| link.reference);
        if held.as_ref().is_none_or(|held| held.revision != *revision || held.fact != *newest) {
            let held = held.map(|held| (held.revision, held.fact.state));
            let told = (revision, newest.state);
            return Err(format!("{}: {held:?} is held, and {told:?} was told", newest.tenant));
        }
        let ring = core.running.as_ref().and_then(|running| running.keyring.tenant(&newest.tenant));
        let serves = ring.is_some_and(|ring| ring.standing().is_ok());
        if newest.state == LinkState::Unlinked && serves {
            return Err(format!("{} is served, and its newest word is Unlink", newest.tenant));
        }
        let tenant = world.ledger.cores[index].newest.get(&format!("tenant.{}", newest.tenant));
        if let Some((_, Event::TenantDefine(tenant))) = tenant
            && serves
            && tenant.generation != newest.generation
        {
            let generations = (tenant.generation, newest.generation);
            return Err(format!(
                "{} is served, and link and tenant are not of one generation: {generations:?}",
                newest.tenant
            ));
        }
    }
    Ok(())
}
