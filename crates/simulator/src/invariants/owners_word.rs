//! **The owner's word.** A part of sovereignty: once a Core has taken that a root of a tenant denies, it does not
//! serve that tenant under that link until the same root allows it again, also after a restart; and no key is used
//! longer than a lease holds after a root last did anything for its tenant.

use openkcm_host::Clock as _;

use crate::world::World;

pub(crate) const NAME: &str = "the owner's word";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let Some(running) = &world.cores[index].running else { return Ok(()) };
    let owners = &world.ledger.cores[index].l1;
    let now = world.cmk.clock.boottime();
    for (tenant, ring) in running.keyring.tenants() {
        let (Ok(()), Some(epoch)) = (ring.standing(), ring.epoch()) else { continue };
        let denied = owners.denied.get(&(tenant.clone(), epoch));
        if let Some(root) = denied.and_then(|roots| roots.first()) {
            return Err(format!(
                "{tenant} is served under {epoch}, and {root} denied it and did not allow it since"
            ));
        }
        let uses_keys = ring.services().iter().any(|(_, service)| service.active().is_ok());
        let allowed = owners.allowed.get(&tenant).map(|at| at.after(world.lease_ttl.duration()));
        if uses_keys && allowed.is_none_or(|until| now >= until) {
            return Err(format!("{tenant} is served under {epoch}, and no root has allowed it for a lease"));
        }
    }
    Ok(())
}
