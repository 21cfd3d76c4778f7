//! The invariants of DESIGN, section 3, as statements over the whole world, each in a file of its own.
//!
//! Checked after every step, of the Cores that the step touched: what was not touched is as it was.
//! [`convergence`] is checked at the end of a history, when faults have stopped.
//!
//! Not there yet, since what they speak of is not built yet: the part of *sovereignty* that a lease
//! bounds (a Core that the Unlink can't reach), *no zombie* across reboots and by lease, the owner's key.

pub(crate) mod authority;
pub(crate) mod containment;
pub(crate) mod convergence;
pub(crate) mod independence;
pub(crate) mod no_key_lost;
pub(crate) mod no_key_made_twice;
pub(crate) mod no_wrongful_purge;
pub(crate) mod no_zombie;
pub(crate) mod owners_word;
pub(crate) mod purged_stays_dead;
pub(crate) mod rest;
pub(crate) mod sovereignty;

use std::fmt;

use crate::landscape::REGIONS;
use crate::world::World;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

type Check = fn(&World, usize) -> Result<(), String>;

/// What is checked of each Core that a step touched.
const OF_A_CORE: [(&str, Check); 9] = [
    (sovereignty::NAME, sovereignty::check),
    (no_zombie::NAME, no_zombie::check),
    (owners_word::NAME, owners_word::check),
    (authority::NAME, authority::check),
    (no_key_made_twice::NAME, no_key_made_twice::check),
    (no_key_lost::NAME, no_key_lost::check),
    (no_wrongful_purge::NAME, no_wrongful_purge::check),
    (purged_stays_dead::NAME, purged_stays_dead::check),
    (rest::NAME, rest::check),
];

/// Checks everything that a step may have broken, and begins the next one.
pub(crate) fn check(world: &mut World) -> Result<(), Violation> {
    for index in world.ledger.touched.clone() {
        for (invariant, check) in OF_A_CORE {
            check(world, index).map_err(|detail| {
                let detail = format!("core {}: {detail}", REGIONS[index]);
                Violation { invariant, detail }
            })?;
        }
        no_wrongful_purge::remember(world, index);
    }
    named(no_key_lost::NAME, no_key_lost::check_answers(world))?;
    named(authority::NAME, authority::check_authorities(world))?;
    named(independence::NAME, independence::check(world))?;
    named(containment::NAME, containment::check_fresh(world))?;
    world.ledger.answers.clear();
    world.ledger.authorities.wrong.clear();
    world.ledger.touched.clear();
    world.ledger.did_due = None;
    Ok(())
}

pub(crate) fn named(invariant: &'static str, outcome: Result<(), String>) -> Result<(), Violation> {
    outcome.map_err(|detail| Violation { invariant, detail })
}
