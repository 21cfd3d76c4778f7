//! **Containment.** "No plaintext L2/L3 outside a Core's locked memory; no ARN in the Registry; nothing
//! secret in mesh or stores."
//!
//! Every value that is committed and every message that is stored is searched for every key that a
//! provider saw or a Core holds, as it is, in base64 and in hexadecimal, and for what callers encrypt.
//! Not found: a key that was encoded together with something else before it.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use openkcm_orbital::Message;

use crate::actors::Who;
use crate::landscape::{ARN, CANARY};
use crate::world::World;

pub(crate) const NAME: &str = "containment";

/// Bytes of each needle that are compared: none of them turns up by chance.
const NEEDLE_LEN: usize = 16;

/// What must not be found.
#[derive(Debug)]
pub(crate) struct Needles {
    known: BTreeSet<[u8; 32]>,
    forms: BTreeSet<[u8; NEEDLE_LEN]>,
    /// By the first two bytes, whether any needle begins so.
    begins: Vec<bool>,
}

impl Default for Needles {
    fn default() -> Self {
        Self { known: BTreeSet::new(), forms: BTreeSet::new(), begins: vec![false; 1 << 16] }
    }
}

impl Needles {
    fn add(&mut self, key: &[u8; 32]) {
        if !self.known.insert(*key) {
            return;
        }
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let texts = [STANDARD.encode(key), URL_SAFE.encode(key), hex.to_uppercase(), hex];
        for form in texts.iter().map(String::as_bytes).chain([&key[..]]) {
            let mut needle = [0; NEEDLE_LEN];
            needle.copy_from_slice(&form[..NEEDLE_LEN]);
            self.begins[beginning(&needle)] = true;
            self.forms.insert(needle);
        }
    }

    fn found_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(NEEDLE_LEN).any(|window| self.begins[beginning(window)] && self.forms.contains(window))
    }
}

fn beginning(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Searches what this step has written.
pub(crate) fn check_fresh(world: &mut World) -> Result<(), String> {
    for key in &world.provider.seen {
        world.needles.add(key);
    }
    for message in world.mesh.take_fresh() {
        message_is_clean(world, &message)?;
    }
    for who in World::everyone() {
        for value in world.post_mut(who).disk.take_fresh() {
            value_is_clean(world, who, &value)?;
        }
    }
    Ok(())
}

/// Searches everything that was ever sent and all that lies on the disks, also for keys that were
/// opened after it was written.
pub(crate) fn check_all(world: &mut World) -> Result<(), String> {
    learn_open_keys(world);
    for message in world.mesh.all() {
        message_is_clean(world, message)?;
    }
    let spaces = [openkcm_krypton::store::SPACES, openkcm_registry::store::SPACES];
    let spaces = spaces.into_iter().chain([openkcm_cmk::store::SPACES, openkcm_orbital::SPACES]);
    let spaces: BTreeSet<_> = spaces.flatten().copied().collect();
    for who in World::everyone() {
        for space in &spaces {
            for (_, value) in world.post(who).disk.items(*space) {
                value_is_clean(world, who, &value)?;
            }
        }
    }
    Ok(())
}

/// Learns every L3 that is open in a Core.
pub(crate) fn learn_open_keys(world: &mut World) {
    let running = world.cores.iter().filter_map(|core| core.running.as_ref());
    let tenants = running.flat_map(|running| running.keyring.tenants());
    let services = tenants.flat_map(|(_, tenant)| tenant.services());
    for (_, ring) in services.collect::<Vec<_>>() {
        for key in ring.versions().iter().filter_map(|version| version.key.as_ref().ok()) {
            world.needles.add(key.expose());
        }
    }
}

fn message_is_clean(world: &World, message: &Message) -> Result<(), String> {
    let address = &message.address;
    if world.needles.found_in(&message.body) || contains(&message.body, CANARY) {
        return Err(format!("a plaintext is in a message on {address}"));
    }
    let by_registry = message.headers.get("ce-source").is_some_and(|source| source == "/registry");
    if by_registry && contains(&message.body, ARN.as_bytes()) {
        return Err(format!("the registry tells a root's key reference on {address}"));
    }
    Ok(())
}

fn value_is_clean(world: &World, who: Who, value: &[u8]) -> Result<(), String> {
    if world.needles.found_in(value) || contains(value, CANARY) {
        return Err(format!("a plaintext is in the store of {who}"));
    }
    if who == Who::Registry && contains(value, ARN.as_bytes()) {
        return Err("a root's key reference is in the registry's store".into());
    }
    Ok(())
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window[0] == text[0] && window == text)
}
