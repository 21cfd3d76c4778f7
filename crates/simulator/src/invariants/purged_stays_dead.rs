//! **Purged stays dead.** "After a purge no Core that holds the tombstone can use the key again, whatever backup or late
//! message brings the ciphertext back": nothing of a generation that a held tombstone ends is opened or encrypts.

use openkcm_contracts::KeyPath;

use super::no_wrongful_purge::tombstone;
use crate::ledger::{Answered, Kept};
use crate::world::World;

pub(crate) const NAME: &str = "purged stays dead";

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let Some(running) = &world.cores[index].running else { return Ok(()) };
    let view = world.cores[index].post.disk.view();
    let is_dead =
        |kept: &&Kept| tombstone(view, &KeyPath::Service(kept.path.clone())) >= Some(kept.generation);
    for kept in world.ledger.ciphertexts.iter().filter(is_dead) {
        if running.data.decrypt(&kept.path, &kept.text, &kept.aad).is_ok() {
            return Err(format!("{} of {} is opened, and a tombstone is held", kept.path, kept.generation));
        }
    }
    for answer in &world.ledger.answers {
        if let Answered::Encrypted { core, path, version } = answer
            && *core == index
            && let Some(kept) = world.ledger.ciphertexts.iter().find(|kept| kept.version == *version)
            && is_dead(&kept)
        {
            return Err(format!("{path} of {} encrypts, and a tombstone is held", kept.generation));
        }
    }
    Ok(())
}
