//! **No key made twice.** "A Core never makes new material in the place of material that existed and
//! is only missing here": each version that a Core makes takes the next counter after all of its own,
//! so it never makes two with the same one. Least of all two *first* ones: not after a crash, not when
//! two reasons to make one come together, not when a definition goes and comes back meanwhile.

use crate::world::World;

pub(crate) const NAME: &str = "no key made twice";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let made = &world.ledger.cores[index].made;
    match made.iter().find(|(_, versions)| versions.len() > 1) {
        None => Ok(()),
        Some(((path, generation, counter), versions)) => Err(format!(
            "of {path}, generation {generation}, counter {counter}, {} were made: {versions:?}",
            versions.len()
        )),
    }
}
