//! **Independence.** "No request to one component waits for another component or for the mesh": an
//! authority takes every command that its own store has no reason against, whoever else is away. The
//! one answer that speaks of others is `not_yet_known`.
//!
//! Callers of a Core are answered in the step in which they ask, by what the Core holds: the data plane
//! of this simulation has nobody else to ask.

use crate::world::World;

pub(crate) const NAME: &str = "independence";

pub(crate) fn check(world: &World) -> Result<(), String> {
    match world.ledger.refused.first() {
        None => Ok(()),
        Some(refused) => Err(format!("a command was refused without a reason of its own: {refused}")),
    }
}
