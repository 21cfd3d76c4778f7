//! One history: from a seed to its end, or to the first promise that is broken.

use crate::coverage::{Coverage, Reached};
use crate::invariants::{self, Violation, containment, named};
use crate::teeth::Bug;
use crate::world::World;

/// How often all open keys are learned, in steps: what is written later is searched for them.
const LEARN_EVERY: u32 = 64;

/// How a history is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How many steps it has before faults stop.
    pub steps: u32,
    /// A deliberate bug, which the invariants are to catch.
    pub bug: Option<Bug>,
}

/// What became of a history.
#[derive(Debug, Clone)]
pub struct History {
    /// Its seed.
    pub seed: u64,
    /// Everything that happened, a line for each.
    pub story: Vec<String>,
    /// What it reached.
    pub coverage: Coverage,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
}

/// Runs the history of a seed.
pub fn run(seed: u64, options: Options) -> History {
    let mut world = World::new(seed, options.bug);
    let violation = live(&mut world, options).err();
    note_made_apart(&mut world);
    if let Some(violation) = &violation {
        world.tell(format!("BROKEN {violation}"));
    }
    let World { story, coverage, .. } = world;
    History { seed, story, coverage, violation }
}

fn live(world: &mut World, options: Options) -> Result<(), Violation> {
    if world.dice.percent(80) {
        // Most histories begin with a landscape in use: the corners lie behind it.
        world.define_all();
        world.go_quiet()?;
        world.link_all();
        world.go_quiet()?;
        if world.dice.percent(15) {
            world.let_owners_have_their_way()?;
        }
    }
    for step in 0..options.steps {
        world.act();
        if step % LEARN_EVERY == 0 {
            containment::learn_open_keys(world);
        }
        invariants::check(world)?;
    }
    world.converge()?;
    named(containment::NAME, containment::check_all(world))
}

/// Whether two regions made versions of one key with the same counter: neither knew the other's.
fn note_made_apart(world: &mut World) {
    let keys = world.cores[0].post.disk.keys(openkcm_store::Space("l3_versions"));
    let names: Vec<String> = keys
        .iter()
        .map(|key| String::from_utf8_lossy(key).split('.').next().unwrap_or_default().to_owned())
        .collect();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        world.reach(Reached::MadeApart);
    }
}
