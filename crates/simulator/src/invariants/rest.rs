//! **Rest.** A part of independence: a Core that did what was due has nothing due at the same moment
//! again. Otherwise its control loop turns in place, and nobody else has a turn.

use crate::world::World;

pub(crate) const NAME: &str = "rest";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let core = &world.cores[index];
    let Some(running) = &core.running else { return Ok(()) };
    match running.core.next_due() {
        Some(at) if world.ledger.did_due == Some(index) && at <= core.post.now() => {
            Err(format!("what was due at {} is due again at {at}", core.post.now()))
        }
        _ => Ok(()),
    }
}
