//! The whole world of one history: the actors, the mesh, the providers, and what is known of them.
//!
//! Not here: what may happen next (`schedule`), and what must always hold (`invariants`). What always
//! holds: everything in it follows from the seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use openkcm_cmk::store as cmk_store;
use openkcm_contracts::{Period, RegionId, TenantId};
use openkcm_host::{Entropy, SeededEntropy, random_array};
use openkcm_orbital::{Letter, Signer, TrustBundle, Verifier};
use openkcm_registry::rules::Landscape;

use crate::actions::authorities::Life;
use crate::actors::Who;
use crate::actors::core::{Around, CoreNode};
use crate::actors::post::Post;
use crate::coverage::{Coverage, Reached};
use crate::dice::Dice;
use crate::invariants::containment::Needles;
use crate::landscape::{self, REGIONS};
use crate::ledger::{Known, Ledger};
use crate::mesh::Mesh;
use crate::provider::Provider;
use crate::teeth::Bug;

/// The world.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) mesh: Mesh,
    pub(crate) provider: Provider,
    pub(crate) registry: Post,
    pub(crate) cmk: Post,
    pub(crate) cores: Vec<CoreNode>,
    pub(crate) verifier: Verifier,
    /// The Registry's configuration.
    pub(crate) landscape: Landscape,
    /// Someone with a key that nobody trusts.
    pub(crate) stranger: Signer,
    /// How many times likelier than usual everything is that is no fault.
    pub(crate) calm: usize,
    /// What became of the authorities' disks.
    pub(crate) lives: BTreeMap<Who, Life>,
    /// Whether disks of authorities are lost in this history.
    pub(crate) disks_fail: bool,
    /// How likely owners of roots, and networks, change their minds in this history.
    pub(crate) restless_owners: usize,
    /// How long leases hold in this history.
    pub(crate) lease_ttl: Period,
    /// Regions that a tenant has left.
    pub(crate) left: BTreeMap<TenantId, Vec<RegionId>>,
    pub(crate) ledger: Ledger,
    pub(crate) needles: Needles,
    pub(crate) coverage: Coverage,
    pub(crate) story: Vec<String>,
    pub(crate) bug: Option<Bug>,
    /// The Registry's chance.
    pub(crate) chance: Arc<SeededEntropy>,
    /// Things that Cores hold and the Registry never knew, by subject.
    pub(crate) unknown: BTreeMap<usize, String>,
}

impl World {
    /// An empty landscape, all of it running.
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let seeds = SeededEntropy::new(seed);
        let next = || u64::from_be_bytes(random_array(&seeds));
        let signing = SeededEntropy::new(next());
        let registry = Post::new(Who::Registry, None, &signing);
        let cmk = Post::new(Who::Cmk, None, &signing);
        let cores: Vec<CoreNode> = (0..REGIONS.len()).map(|index| CoreNode::new(index, next())).collect();
        let posts = [&registry, &cmk].into_iter().chain(cores.iter().map(|core| &core.post));
        let keys = posts.map(|post| post.signer.trusted_key()).collect();
        let stranger = stranger(&signing);
        let keys = if bug == Some(Bug::BelieveAnyone) { trust(keys, &stranger) } else { keys };
        let mut world = Self {
            dice: Dice::new(next()),
            mesh: Mesh::default(),
            provider: Provider::new(next()),
            registry,
            cmk,
            cores,
            verifier: Verifier::new(&TrustBundle { keys }).expect("keys that were just made are keys"),
            landscape: Landscape { regions: (0..REGIONS.len()).map(landscape::region).collect() },
            stranger,
            calm: 1,
            lives: BTreeMap::new(),
            disks_fail: false,
            restless_owners: 2,
            lease_ttl: Period::from_secs(3_600).expect("a period"),
            left: BTreeMap::new(),
            ledger: Ledger { cores: REGIONS.map(|_| Known::default()).into(), ..Ledger::default() },
            needles: Needles::default(),
            coverage: Coverage::default(),
            story: Vec::new(),
            bug,
            chance: Arc::new(SeededEntropy::new(next())),
            unknown: BTreeMap::new(),
        };
        world.calm = *world.dice.pick(&[1, 4, 4, 12]);
        // Drawn in any case, so that a bug leaves the rest of a history as it is.
        world.disks_fail = world.dice.percent(50) || bug.is_some_and(Bug::is_of_disks);
        let ttl = *world.dice.pick(&[20, 120, 3_600, 86_400]);
        world.lease_ttl = Period::from_secs(ttl).expect("a period");
        world.restless_owners = *world.dice.pick(&[2, 2, 2, 12]);
        world.start_authority(Who::Registry, false);
        world.start_authority(Who::Cmk, false);
        (0..REGIONS.len()).for_each(|index| world.start_core(index));
        world
    }

    /// All components.
    pub(crate) fn everyone() -> impl Iterator<Item = Who> {
        [Who::Registry, Who::Cmk].into_iter().chain((0..REGIONS.len()).map(Who::Core))
    }

    pub(crate) fn post(&self, who: Who) -> &Post {
        match who {
            Who::Registry => &self.registry,
            Who::Cmk => &self.cmk,
            Who::Core(index) => &self.cores[index].post,
        }
    }

    pub(crate) fn post_mut(&mut self, who: Who) -> &mut Post {
        match who {
            Who::Registry => &mut self.registry,
            Who::Cmk => &mut self.cmk,
            Who::Core(index) => &mut self.cores[index].post,
        }
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&mut self, line: impl Into<String>) {
        self.story.push(line.into());
    }

    pub(crate) fn reach(&mut self, what: Reached) {
        self.coverage.reach(what);
    }

    /// Does something with a Core; when it crashes in the middle of it, it stays down.
    pub(crate) fn with_core(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut CoreNode, &mut Around<'_>) -> Result<(), crate::actors::Crashed>,
    ) {
        let Self { cores, provider, ledger, coverage, bug, .. } = self;
        ledger.touched.insert(index);
        let mut around = Around { provider, ledger, coverage, bug: *bug };
        if act(&mut cores[index], &mut around).is_err() {
            self.stop(Who::Core(index));
        }
    }

    /// Starts a Core that does not run.
    pub(crate) fn start_core(&mut self, index: usize) {
        self.with_core(index, |core, around| core.start(around));
    }

    /// A component crashes now.
    pub(crate) fn stop(&mut self, who: Who) {
        let post = self.post(who);
        if post.destinations().iter().any(|to| !post.in_flight.contains_key(to)) {
            self.reach(Reached::CrashBeforePublish);
        }
        let bug = self.bug;
        match who {
            Who::Core(index) => {
                self.cores[index].crash(bug);
                self.ledger.touched.insert(index);
            }
            _ => {
                if self.is_rebuilding(who) {
                    self.reach(Reached::RebuildBrokenOff);
                }
                self.post_mut(who).crash();
            }
        }
        if bug == Some(Bug::LoseOutboxOnCrash) {
            self.lose_outbox(who);
        }
        self.tell(format!("{who} crashes"));
    }

    /// What the Registry holds of a tenant.
    pub(crate) fn tenant(&self, id: &TenantId) -> Option<openkcm_registry::store::TenantRecord> {
        openkcm_registry::store::tenant(self.registry.disk.view(), id).expect("memory does not fail")
    }

    /// What the CMK Server holds of a tenant's pointer.
    pub(crate) fn pointer(&self, id: &TenantId) -> Option<cmk_store::Pointer> {
        cmk_store::pointer(self.cmk.disk.view(), id).expect("memory does not fail")
    }

    /// A message that a stranger signed.
    pub(crate) fn forged(&self, letter: &Letter) -> openkcm_orbital::Message {
        self.stranger.sign(letter)
    }

    fn lose_outbox(&mut self, who: Who) {
        for space in ["outbox", "outbox_latest"].map(openkcm_store::Space) {
            let disk = &mut self.post_mut(who).disk;
            let keys = disk.keys(space);
            disk.commit(|tx| keys.iter().try_for_each(|key| tx.delete(space, key)));
        }
    }
}

fn stranger(entropy: &dyn Entropy) -> Signer {
    let seed = Signer::new_seed(entropy);
    Signer::from_seed(&seed, openkcm_contracts::Role::Cmk, None).expect("a new seed is a seed")
}

fn trust(mut keys: Vec<openkcm_orbital::TrustedKey>, stranger: &Signer) -> Vec<openkcm_orbital::TrustedKey> {
    keys.push(stranger.trusted_key());
    keys
}
