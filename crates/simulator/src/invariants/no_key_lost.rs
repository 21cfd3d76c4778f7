//! **No key lost.** "What a Core encrypted stays decryptable, in every region of that tenant, until the
//! Registry explicitly destroys the key."
//!
//! After each step: no sealed version disappears from a Core but by [`no_wrongful_purge`](super::no_wrongful_purge); what encrypts is on the disk already;
//! whatever is open decrypts what it encrypted, to exactly what it was; and no ciphertext of ours is
//! ever called damaged. That all of it decrypts everywhere is checked when faults have stopped.

use openkcm_contracts::problem::Code;
use openkcm_contracts::{VersionId, VersionState};
use openkcm_store::Space;

use super::no_wrongful_purge;
use crate::landscape::REGIONS;
use crate::ledger::{Answered, Kept};
use crate::world::World;

pub(crate) const NAME: &str = "no key lost";

/// Where a Core keeps its sealed versions.
const VERSIONS: [Space; 2] = [Space("l2_versions"), Space("l3_versions")];

/// How many ciphertexts are tried at a Core after each step; all have their turn.
const TRIED: usize = 3;

pub(crate) fn check(world: &World, index: usize) -> Result<(), String> {
    let held = held(world, index);
    for key in world.ledger.cores[index].versions.keys() {
        if held.binary_search(key).is_err() && !no_wrongful_purge::is_named(world, key, index) {
            return Err(format!("the version {} is gone", String::from_utf8_lossy(key)));
        }
    }
    let count = world.ledger.ciphertexts.len();
    for turn in 0..TRIED.min(count) {
        let number = (world.story.len() + turn * 31) % count;
        opens_if_open(world, index, number)?;
    }
    Ok(())
}

/// What callers were answered in this step.
pub(crate) fn check_answers(world: &World) -> Result<(), String> {
    for answer in &world.ledger.answers {
        match answer {
            Answered::Encrypted { core, path, version } => {
                if !holds(world, *core, *version) {
                    let region = REGIONS[*core];
                    return Err(format!("core {region} encrypts {path} by {version}, which it never kept"));
                }
            }
            Answered::Decrypted { core, ciphertext, plaintext } => {
                let kept = &world.ledger.ciphertexts[*ciphertext];
                if *plaintext != kept.plaintext {
                    let region = REGIONS[*core];
                    return Err(format!("core {region} decrypts {} to something else", kept.path));
                }
            }
            Answered::Refused { core, ciphertext, code } => {
                never_damaged(&world.ledger.ciphertexts[*ciphertext], REGIONS[*core], *code)?;
            }
        }
    }
    Ok(())
}

/// Whether a Core's disk has a version.
fn holds(world: &World, index: usize, version: VersionId) -> bool {
    let id = version.to_string();
    let holds = |key: &Vec<u8>| String::from_utf8_lossy(key).contains(&id);
    held(world, index).iter().any(holds)
}

/// Where a version is open and neither refused nor compromised, its ciphertexts open.
fn opens_if_open(world: &World, index: usize, number: usize) -> Result<(), String> {
    let kept = &world.ledger.ciphertexts[number];
    let Some(running) = &world.cores[index].running else { return Ok(()) };
    let Ok(ring) = running.data.service(&kept.path) else { return Ok(()) };
    if ring.standing().is_err() {
        return Ok(());
    }
    let version = ring.version(kept.version);
    let open = version.is_some_and(|v| v.key.is_ok() && v.state != VersionState::Compromised);
    match running.data.decrypt(&kept.path, &kept.text, &kept.aad) {
        Ok(opened) if opened.plaintext[..] == kept.plaintext[..] => Ok(()),
        Ok(_) => Err(format!("number {number} of {} decrypts to something else", kept.path)),
        Err(refusal) if open => {
            Err(format!("number {number} of {}: its version is open, and {refusal}", kept.path))
        }
        Err(refusal) => never_damaged(kept, REGIONS[index], refusal.code),
    }
}

fn never_damaged(kept: &Kept, region: &str, code: Code) -> Result<(), String> {
    if code == Code::BadCiphertext {
        return Err(format!("core {region} calls a ciphertext of {} damaged", kept.path));
    }
    Ok(())
}

fn held(world: &World, index: usize) -> Vec<Vec<u8>> {
    let disk = &world.cores[index].post.disk;
    let mut keys: Vec<Vec<u8>> = VERSIONS.iter().flat_map(|space| disk.keys(*space)).collect();
    keys.sort_unstable();
    keys
}
