//! How long this region waits for another's first version of a key.
//!
//! Kept apart from the agenda, which merges what there is to look at and may hold the time of an ended
//! generation: a key that is defined anew is waited for anew. Not kept on disk: settling after a start begins
//! the wait again.

use std::collections::HashMap;

use openkcm_contracts::{Generation, KeyPath, TenantId, Timestamp};

/// Until when a version is waited for, by tenant and key.
#[derive(Debug, Default)]
pub(super) struct Patience {
    tenants: HashMap<TenantId, HashMap<KeyPath, Wait>>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    /// `None`: a caller asked for it before it was looked at.
    generation: Option<Generation>,
    until: Timestamp,
}

impl Patience {
    /// Until when a key of this generation is waited for: `at` if that begins now.
    pub(super) fn until(&mut self, thing: &KeyPath, generation: Generation, at: Timestamp) -> Timestamp {
        let wait = self.of(thing, Wait { generation: Some(generation), until: at });
        if wait.generation.is_some_and(|waited| waited != generation) {
            wait.until = at;
        }
        wait.generation = Some(generation);
        wait.until = wait.until.min(at);
        wait.until
    }

    /// A caller asks for a key: it is waited for no longer than until `at`.
    pub(super) fn shorten(&mut self, thing: &KeyPath, at: Timestamp) {
        let wait = self.of(thing, Wait { generation: None, until: at });
        wait.until = wait.until.min(at);
    }

    /// A key of a tenant is not waited for any more. Its name is asked for only where something of the tenant is.
    pub(super) fn end(&mut self, tenant: &TenantId, thing: impl FnOnce() -> KeyPath) {
        if let Some(keys) = self.tenants.get_mut(tenant) {
            keys.remove(&thing());
            if keys.is_empty() {
                self.tenants.remove(tenant);
            }
        }
    }

    /// No key of a tenant is waited for any more.
    pub(super) fn forget(&mut self, tenant: &TenantId) {
        self.tenants.remove(tenant);
    }

    fn of(&mut self, thing: &KeyPath, new: Wait) -> &mut Wait {
        self.tenants.entry(thing.tenant().clone()).or_default().entry(thing.clone()).or_insert(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn generation(counter: u64) -> Generation {
        Generation(openkcm_contracts::Revision::new(1, counter))
    }

    #[test]
    fn a_generation_is_waited_for_since_it_was_first_looked_at() {
        let (mut patience, key): (_, KeyPath) = (Patience::default(), "acme/hr".parse().expect("valid"));
        assert_eq!(patience.until(&key, generation(1), at(30)), at(30));
        assert_eq!(patience.until(&key, generation(1), at(40)), at(30));
        patience.shorten(&key, at(12));
        assert_eq!(patience.until(&key, generation(1), at(42)), at(12));
        patience.end(key.tenant(), || key.clone());
        assert_eq!(patience.until(&key, generation(1), at(50)), at(50));
    }

    #[test]
    fn the_next_generation_is_waited_for_anew_whatever_was_asked_before() {
        let (mut patience, key) = (Patience::default(), "acme/hr".parse().expect("valid"));
        patience.until(&key, generation(1), at(30));
        patience.shorten(&key, at(12));
        assert_eq!(patience.until(&key, generation(2), at(60)), at(60));
    }

    #[test]
    fn who_asks_before_a_key_is_looked_at_is_not_forgotten_but_with_the_tenant() {
        let (mut patience, key) = (Patience::default(), "acme/hr".parse().expect("valid"));
        patience.shorten(&key, at(12));
        assert_eq!(patience.until(&key, generation(2), at(60)), at(12));
        patience.forget(key.tenant());
        assert_eq!(patience.until(&key, generation(2), at(70)), at(70));
    }
}
