//! **Sovereignty.** "After the CMK Server commits an Unlink, a connected Core stops serving that tenant
//! as soon as the event reaches it": once a Core has committed a revoke or an Unlink up to an epoch, it
//! serves nothing of that tenant under that epoch or an earlier one, whatever is delivered again, in
//! whatever order, and also after a restart.
//!
//! And *no* Core serves it later than the lease's length after the Unlink, whatever fails.

use openkcm_host::Clock as _;

use crate::actors::core::Running;
use crate::landscape;
use crate::world::World;

pub(crate) const NAME: &str = "sovereignty";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let Some(running) = &world.cores[index].running else { return Ok(()) };
    within_the_lease(world, running)?;
    let known = &world.ledger.cores[index];
    for (tenant, ended) in &known.ended {
        let Some(ring) = running.keyring.tenant(tenant) else { continue };
        if ring.standing().is_err() {
            continue;
        }
        // Two ways to know it: by what was ever told, and by what the Core says it serves.
        let told_a_later_link = known.linked.get(tenant) > Some(ended);
        let serves_a_later_link = ring.epoch() > Some(*ended);
        if !(told_a_later_link && serves_a_later_link) {
            let epoch = ring.epoch();
            return Err(format!("{tenant} is served under {epoch:?}, and was unlinked up to {ended}"));
        }
    }
    Ok(())
}

/// No link is served longer after its Unlink than a lease holds: on the clock of the world, which nobody sets back.
fn within_the_lease(world: &World, running: &Running) -> Result<(), String> {
    let now = world.cmk.clock.boottime();
    let authorities = &world.ledger.authorities;
    for (tenant, ring) in running.keyring.tenants() {
        let (Ok(()), Some(epoch)) = (ring.standing(), ring.epoch()) else { continue };
        if authorities.muddled.contains(&tenant) {
            continue;
        }
        let Some(ended_at) = authorities.ended_at(&tenant, epoch) else { continue };
        if now >= ended_at.after(world.lease_ttl.duration()) {
            let late = now.since(ended_at);
            return Err(format!("{tenant} is served under {epoch} {late:?} after its unlink"));
        }
    }
    Ok(())
}

/// At the end of a history: whatever was serving under a link that was made before an Unlink has stopped, also
/// when the CMK Server's disk was lost since, unless it was lost before any word of the Unlink was on the mesh.
pub(crate) fn check_unlinks(world: &World) -> Result<(), String> {
    for core in &world.cores {
        let Some(running) = &core.running else { continue };
        for tenant in landscape::tenants() {
            let Some(ring) = running.keyring.tenant(&tenant) else { continue };
            let (Ok(()), Some(epoch)) = (ring.standing(), ring.epoch()) else { continue };
            let made_at = world.ledger.authorities.links.get(&(tenant.clone(), epoch));
            let Some(made_at) = made_at else {
                return Err(format!(
                    "{tenant} is served in {} under {epoch}, which nobody made",
                    core.region
                ));
            };
            if world.ledger.authorities.last_unlink(&tenant) > Some(*made_at) {
                let region = &core.region;
                return Err(format!("{tenant} is served in {region} under {epoch}, and was unlinked since"));
            }
        }
    }
    Ok(())
}
