//! An actor that keeps the revision of what it hears, and nothing else; its mesh, and those who speak on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use openkcm_component::quarantine::{self, Quarantine};
use openkcm_component::{
    Applied, Holds, Mesh, MeshHandle, Plan, Running, Surroundings, Traffic, http_options, open_store,
};
use openkcm_contracts::v1::TenantDefine;
use openkcm_contracts::{
    Audience, Event, Generation, Lane, RegionId, Revision, Role, TenantId, TenantState, Timestamp,
};
use openkcm_host::{BootInstant, Clock, ManualClock, OsEntropy};
use openkcm_http::{Access, Token, metrics_registry};
use openkcm_orbital::inbox::quarantine::{Entry, Quarantined, Wanted};
use openkcm_orbital::{
    Embedded, Intake, Letter, Message, Position, Published, Reading, Receiver, Signer, Stream, Subscription,
    Transport, TransportError, TrustBundle, Verifier,
};
use openkcm_store::{Store, StoreError, Table, Write};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tower::ServiceExt;

const TOKEN: &str = "token-of-these-tests-0123456789";

/// What was heard: the revision of each thing.
const HEARD: Table<Revision> = Table::new("heard");

/// How long anything may take here before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a test looks at, and those who speak to it.
pub(crate) struct Rig {
    pub(crate) actor: Actor,
    pub(crate) clock: ManualClock,
    pub(crate) registry: Arc<Signer>,
    pub(crate) cmk: Arc<Signer>,
    pub(crate) verifier: Arc<Verifier>,
    mesh: Embedded,
    _running: Running,
    router: Router,
    _dir: TempDir,
}

/// The actor: its routes' state, and its receiver.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) store: Store,
    pub(crate) mesh: MeshHandle,
}

struct Ear {
    store: Store,
    traffic: Traffic,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Holds<Quarantine> for Actor {
    fn held(&self) -> Quarantine {
        self.mesh.quarantine()
    }
}

#[async_trait]
impl Receiver for Ear {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        let replayed = self.store.write(move |tx| hear(tx, &intake, "")).await?;
        self.traffic.replayed(replayed);
        Ok(())
    }

    async fn compare(&self, words: Intake) -> Result<(), StoreError> {
        self.store.write(move |tx| hear(tx, &words, "own/")).await.map(drop)
    }
}

fn hear(tx: &mut dyn Write, intake: &Intake, prefix: &str) -> Result<u64, StoreError> {
    let mut replayed = 0;
    for event in &intake.events {
        let key = format!("{prefix}{}", event.event.subject());
        if HEARD.get(tx.as_read(), &key)? >= Some(event.revision) {
            replayed += 1;
        } else {
            HEARD.put(tx, &key, &event.revision)?;
        }
    }
    intake.record(tx)?;
    Ok(replayed)
}

/// A mesh that can't be reached.
struct Away;

#[async_trait]
impl Transport for Away {
    async fn publish(&self, _: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        Err(TransportError::Unavailable("cut off".into()))
    }

    async fn subscribe(
        &self,
        _: &Reading,
        _: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        Err(TransportError::Unavailable("cut off".into()))
    }
}

impl Rig {
    /// One that has read its mesh to the end.
    pub(crate) async fn new() -> Self {
        let rig = Self::start(false).await;
        rig.actor.mesh.hydrated().await;
        rig
    }

    pub(crate) async fn cut_off() -> Self {
        Self::start(true).await
    }

    async fn start(cut_off: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let entropy = Arc::new(OsEntropy::new());
        let signer = |role| Signer::from_seed(&Signer::new_seed(&*entropy), role, None).expect("a seed");
        let (registry, cmk) = (Arc::new(signer(Role::Registry)), Arc::new(signer(Role::Cmk)));
        let keys = vec![registry.trusted_key(), cmk.trusted_key()];
        let verifier = Arc::new(Verifier::new(&TrustBundle { keys }).expect("a bundle"));
        let mesh = Embedded::open(&dir.path().join("mesh.db"), &*entropy).await.expect("a mesh");
        let clock =
            ManualClock::new("2026-02-02T08:00:00Z".parse().expect("a time"), BootInstant::from_nanos(0));
        let surroundings = Surroundings {
            transport: if cut_off { Arc::new(Away) } else { Arc::new(mesh.clone()) },
            signer: cmk.clone(),
            verifier: verifier.clone(),
            clock: Arc::new(clock.clone()),
            entropy,
        };
        let store = open_store(dir.path(), "ear", None, &[HEARD.space()]).expect("a store");
        let traffic = Traffic::default();
        let plan = Plan {
            store: store.clone(),
            sends: vec![Lane::Urgent, Lane::Facts],
            reads: vec![stream("1.cmk")],
            words: None,
            receiver: Arc::new(Ear { store: store.clone(), traffic: traffic.clone() }),
            traffic,
        };
        let way = Mesh::start(plan, &surroundings);
        let actor = Actor { store, mesh: way.handle() };
        let (router, document) = quarantine::routes::<Actor>().split_for_parts();
        let access = Access::Token(Token::new(TOKEN).expect("a token"));
        let metrics = metrics_registry("ear");
        let http = http_options("ear", access, surroundings.clock, &actor.mesh, metrics);
        let running = Running::new((router.with_state(actor.clone()), &document), http, way, JoinSet::new());
        let router = running.router();
        Self { actor, clock, registry, cmk, verifier, mesh, _running: running, router, _dir: dir }
    }

    pub(crate) async fn publish(&self, message: Message) {
        self.mesh.publish(vec![message]).await.expect("the mesh is here");
    }

    /// Puts an event into the quarantine as an earlier version of the actor has left it.
    pub(crate) async fn left_behind(&self, of: &str, message: &Message) {
        let poison = Quarantined {
            at: self.clock.now(),
            reason: "an earlier version could not read it".into(),
            tenant: openkcm_orbital::Envelope::tenant_of(&message.address.subject),
            revokes: message.address.subject.starts_with("revoke."),
            headers: message.headers.clone(),
            body: String::from_utf8_lossy(&message.body).into_owned(),
        };
        let of = stream(of);
        let put = self
            .actor
            .store
            .write(move |tx| openkcm_orbital::inbox::quarantine::quarantine(tx, &of, &poison));
        put.await.expect("the store takes it");
    }

    pub(crate) async fn entries(&self) -> Vec<Entry> {
        let wanted = Wanted { limit: usize::MAX, ..Wanted::default() };
        self.actor.held().list(wanted, |entry| entry).await.expect("the store can be read").0
    }

    pub(crate) async fn heard(&self, subject: &str) -> Option<String> {
        let subject = subject.to_owned();
        let heard = self.actor.store.read(move |view| HEARD.get(view, &subject)).await;
        heard.expect("the store can be read").map(|revision| revision.to_string())
    }

    /// The mesh, as the actor shows it.
    pub(crate) async fn status(&self) -> Value {
        let mesh = self.actor.mesh.clone();
        let status = self.actor.store.read(move |view| mesh.status(view, Applied::read(view)?)).await;
        serde_json::to_value(status.expect("the store can be read")).expect("JSON")
    }

    /// Waits until the status shows this under a JSON pointer.
    pub(crate) async fn shows(&self, pointer: &str, expected: Value) {
        let shown = async {
            let mut look = tokio::time::interval(LOOK_EVERY);
            while self.status().await.pointer(pointer) != Some(&expected) {
                look.tick().await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        assert!(shown.is_ok(), "{pointer} is not {expected}: {}", self.status().await);
    }

    /// Waits until the metrics have this line.
    pub(crate) async fn measured(&self, line: &str) {
        let shown = async {
            let mut look = tokio::time::interval(LOOK_EVERY);
            while !self.get("/metrics").await.body.as_str().expect("text").contains(line) {
                look.tick().await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        assert!(shown.is_ok(), "{line} is not in\n{}", self.get("/metrics").await.body);
    }

    pub(crate) async fn call(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Answer { status, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).await
    }
}

pub(crate) fn stream(text: &str) -> Stream {
    text.parse().expect("a stream")
}

/// The Registry's word about a tenant, for the CMK Server.
pub(crate) fn tenant(name: &str, counter: u64) -> Letter {
    let event = Event::TenantDefine(TenantDefine {
        tenant: TenantId::new(name).expect("a name"),
        generation: Generation(Revision::new(1, 1)),
        state: TenantState::Active,
        regions: vec![RegionId::new("a").expect("a name")],
        labels: [].into(),
    });
    Letter::new(&event, Audience::Cmk, Revision::new(1, counter), Timestamp::from_millis(0))
}

/// The same of a type that is not known here.
pub(crate) fn unknown(name: &str, counter: u64) -> Letter {
    Letter { kind: "openkcm.v9.Tenant.Define".into(), ..tenant(name, counter) }
}
