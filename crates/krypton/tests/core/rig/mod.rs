//! Real Cores of two regions on one embedded mesh, with local roots, and the voices of both authorities.
//!
//! Their clock stands still until a test moves it. Nothing here sleeps to be on the safe side: whoever
//! waits looks for what it waits for, and fails loudly when that does not come.

pub(crate) mod disk;
pub(crate) mod facts;
mod lessor;
mod mesh;
mod root;
mod running;

pub(crate) use lessor::Lessor;
pub(crate) use mesh::{Link, Way};
pub(crate) use root::{Mood, Moody};
pub(crate) use running::{Reply, Running};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openkcm_contracts::v1::{KeySealed, ManifestBody, StateManifest};
use openkcm_contracts::{Audience, Event, EventType, Lane, Revision, Role, Timestamp};
use openkcm_host::{BootInstant, Clock, Entropy, ManualClock, OsEntropy};
use openkcm_krypton::{PacePolicy, PurgePolicy};
use openkcm_orbital::inbox::quarantine::{Quarantined, quarantine};
use openkcm_orbital::{Embedded, Letter, Reading, Signer, Stream, Transport, TrustBundle, Verifier};
use openkcm_roots::{LocalConfig, Roots, RootsConfig};
use tempfile::TempDir;

/// How long anything may take before a test gives up: far more than a loaded machine needs.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a thing that has no event is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(DEADLINE, looking).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: it did not come within {DEADLINE:?}"),
    }
}

/// Who says such things, when it is said by whom it should be.
fn author_of(event: &Event) -> &'static str {
    if event.kind().may_be_said_by(Role::Cmk) { "cmk" } else { "registry" }
}

/// Where Cores run, which stays when they stop.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) mesh: Embedded,
    pub(crate) clock: ManualClock,
    pub(crate) roots: Roots,
    /// The provider `moody`, which has the keys of `local`.
    pub(crate) moody: Arc<Moody>,
    /// Who gives leases.
    pub(crate) lessor: Lessor,
    /// How Cores that start from now on destroy.
    pub(crate) purge: PurgePolicy,
    /// How fast they ask the providers. The clock stands still: what is not asked at once waits for it.
    pub(crate) pace: PacePolicy,
    signers: BTreeMap<String, Arc<Signer>>,
    verifier: Arc<Verifier>,
    markers: AtomicUsize,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
        let clock = ManualClock::new(
            "2026-02-02T08:00:00.000Z".parse().expect("a moment"),
            BootInstant::from_nanos(1),
        );
        let mesh = Embedded::open(&directory.path().join("mesh.db"), &*entropy).await.expect("a mesh");
        let mut signers = BTreeMap::new();
        for (name, role, of) in [
            ("registry", Role::Registry, None),
            ("cmk", Role::Cmk, None),
            ("a", Role::Krypton, Some("a")),
            ("b", Role::Krypton, Some("b")),
            ("stranger", Role::Krypton, Some("stranger")),
        ] {
            let seed = Signer::new_seed(&*entropy);
            let signer = Signer::from_seed(&seed, role, of.map(facts::region)).expect("a seed");
            signers.insert(name.to_owned(), Arc::new(signer));
        }
        let bundle = TrustBundle { keys: signers.values().map(|signer| signer.trusted_key()).collect() };
        let local = LocalConfig { directory: directory.path().join("roots"), auto_create: true };
        let config = RootsConfig { local: Some(local), ..RootsConfig::default() };
        let roots = Roots::build(&config, directory.path(), entropy, Arc::new(clock.clone())).expect("roots");
        let moody = Arc::new(Moody::new(roots.get("local").expect("it is configured")));
        let verifier = Arc::new(Verifier::new(&bundle).expect("a bundle"));
        let signer = Arc::clone(&signers["cmk"]);
        let lessor = Lessor::new(mesh.clone(), signer, verifier.clone(), clock.clone());
        Self {
            directory,
            mesh,
            clock,
            lessor,
            roots: roots.with("moody", moody.clone()),
            moody,
            purge: PurgePolicy { minimum_wait: Duration::ZERO, ..PurgePolicy::default() },
            pace: PacePolicy { per_second: PacePolicy::MOST_PER_SECOND, ..PacePolicy::default() },
            signers,
            verifier,
            markers: AtomicUsize::new(0),
        }
    }

    /// A world in which all is said that makes [`facts::SERVICE`] usable.
    pub(crate) async fn defined() -> Self {
        let world = Self::new().await;
        for (counter, event) in facts::all() {
            world.tell(counter, &event).await;
        }
        world
    }

    /// Its author says this, at its revision 1.`counter`, to both regions.
    pub(crate) async fn tell(&self, counter: u64, event: &Event) {
        self.tell_all(&[(counter, event.clone())]).await;
    }

    /// Their authors say all of this to both regions, in one publication.
    pub(crate) async fn tell_all(&self, said: &[(u64, Event)]) {
        let letters = said.iter().flat_map(|(counter, event)| {
            ["a", "b"].map(|region| self.signed(author_of(event), &self.letter(region, *counter, event)))
        });
        self.mesh.publish(letters.collect()).await.expect("the mesh is here");
    }

    pub(crate) async fn tell_in(&self, region: &str, counter: u64, event: &Event) {
        self.publish(author_of(event), &self.letter(region, counter, event)).await;
    }

    /// Somebody says this, whether or not it may.
    pub(crate) async fn tell_as(&self, author: &str, counter: u64, event: &Event) {
        for region in ["a", "b"] {
            self.publish(author, &self.letter(region, counter, event)).await;
        }
    }

    fn letter(&self, region: &str, counter: u64, event: &Event) -> Letter {
        let audience = Audience::Region(facts::region(region));
        Letter::new(event, audience, Revision::new(1, counter), self.clock.now())
    }

    /// A Core says this of a version, whether or not it made it.
    pub(crate) async fn tell_sealed(&self, author: &str, sealed: &KeySealed) {
        let event = Event::KeySealed(sealed.clone());
        let revision = Revision::new(1, sealed.counter);
        self.publish(author, &Letter::new(&event, Audience::Cores, revision, self.clock.now())).await;
    }

    /// The CMK Server signs what nobody can read, about this subject.
    pub(crate) async fn tell_nonsense(&self, kind: EventType, subject: &str, counter: u64) {
        for region in ["a", "b"] {
            let letter = Letter {
                kind: kind.wire_name().into(),
                subject: subject.into(),
                audience: Audience::Region(facts::region(region)),
                revision: Revision::new(1, counter),
                expires: None,
                written_at: self.clock.now(),
                body: r#"{"of":"a later version"}"#.into(),
            };
            self.publish("cmk", &letter).await;
        }
    }

    /// Puts what an author said into the quarantine of a Core that does not run, as one of an earlier
    /// version left it there.
    pub(crate) async fn left_behind(&self, region: &str, counter: u64, event: &Event) {
        let letter = self.letter(region, counter, event);
        let (message, stream) = (
            self.signed(author_of(event), &letter),
            Stream { lane: letter.lane(), audience: letter.audience.clone() },
        );
        let poison = Quarantined {
            at: self.clock.now(),
            reason: "an earlier version could not read it".into(),
            tenant: openkcm_orbital::Envelope::tenant_of(&letter.subject),
            revokes: letter.subject.starts_with("revoke."),
            headers: message.headers,
            body: letter.body,
        };
        let (path, region) = (self.directory.path().join(format!("core-{region}")), facts::region(region));
        let store = eventually("the lock of the one before", async || {
            let spaces = openkcm_krypton::store::SPACES;
            openkcm_component::open_store(&path, "krypton", Some(&region), spaces).ok()
        });
        let put = store.await.write(move |tx| quarantine(tx, &stream, &poison)).await;
        put.expect("the store takes it");
    }

    async fn publish(&self, author: &str, letter: &Letter) {
        let message = self.signed(author, letter);
        self.mesh.publish(vec![message]).await.expect("the mesh is here");
    }

    fn signed(&self, author: &str, letter: &Letter) -> openkcm_orbital::Message {
        self.signers[author].sign(letter)
    }

    /// Every sealed version that is on the mesh.
    pub(crate) async fn sealed_on_mesh(&self) -> Vec<KeySealed> {
        let stream = Stream { lane: Lane::Sealed, audience: Audience::Cores };
        let mut subscription =
            self.mesh.subscribe(&Reading::all(stream), None).await.expect("the mesh is here");
        let mut sealed = Vec::new();
        loop {
            let batch = subscription.next(1000).await.expect("the mesh is here");
            for delivered in &batch.messages {
                let now = Timestamp::from_millis(0);
                match self.verifier.verify(&delivered.message, now).expect("it is signed").event {
                    Event::KeySealed(fact) => sealed.push(fact),
                    other => panic!("{other:?} is on the lane of sealed versions"),
                }
            }
            if batch.caught_up {
                return sealed;
            }
        }
    }

    /// Every listing that is on the mesh.
    pub(crate) async fn listings(&self) -> Vec<StateManifest> {
        let stream = Stream { lane: Lane::Manifests, audience: Audience::Authorities };
        let reading = Reading::all(stream);
        let mut subscription = self.mesh.subscribe(&reading, None).await.expect("the mesh is here");
        let (mut listings, mut caught_up) = (Vec::new(), false);
        while !caught_up {
            let batch = subscription.next(1000).await.expect("the mesh is here");
            caught_up = batch.caught_up;
            for delivered in &batch.messages {
                let verified =
                    self.verifier.verify(&delivered.message, self.clock.now()).expect("it is signed");
                if let Event::StateManifest(manifest) = verified.event
                    && matches!(manifest.body, ManifestBody::Listing { .. })
                {
                    listings.push(manifest);
                }
            }
        }
        listings
    }

    /// Waits until a Core has settled everything that was said to it so far on the lane of facts.
    pub(crate) async fn heard_by(&self, core: &Running) {
        let marker = format!("marker-{}", self.markers.fetch_add(1, Ordering::SeqCst));
        self.tell_in(core.region(), 1, &facts::tenant(&marker, |_| ())).await;
        eventually("a marker", async || {
            let reply = core.get(&format!("/v1/tenants/{marker}")).await;
            (reply.body["refusal"]["code"] == "not_yet_known").then_some(())
        })
        .await;
    }

    /// The file that disables a local root while it is there.
    pub(crate) fn disabled_marker(&self, key: &str) -> PathBuf {
        self.directory.path().join("roots").join(format!("{key}.disabled"))
    }

    /// Starts a region's Core on a mesh that answers.
    pub(crate) async fn start(&self, region: &str) -> Running {
        self.start_on(region, &Way::new(self.mesh.clone(), Link::Up)).await
    }

    pub(crate) async fn start_on(&self, region: &str, way: &Way) -> Running {
        let surroundings = openkcm_krypton::Surroundings {
            roots: self.roots.clone(),
            common: openkcm_component::Surroundings {
                transport: Arc::new(way.clone()),
                signer: self.signers[region].clone(),
                verifier: self.verifier.clone(),
                clock: Arc::new(self.clock.clone()),
                entropy: Arc::new(OsEntropy::new()),
            },
        };
        let data_dir = self.directory.path().join(format!("core-{region}"));
        Running::start(data_dir, region, (self.purge, self.pace), surroundings).await
    }

    pub(crate) async fn start_both(&self) -> (Running, Running) {
        (self.start("a").await, self.start("b").await)
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
