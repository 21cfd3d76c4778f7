//! A real CMK Server on loopback: its store in a directory, an embedded mesh, local roots; and the
//! Registry's voice on that mesh.

#![expect(clippy::unwrap_used, reason = "what fails in here fails the test")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod away;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openkcm_cmk::{Handle, LeaseTerms, Options, Service, StartError, Surroundings};
use openkcm_contracts::v1::{ManifestBody, StateManifest, TenantDefine};
use openkcm_contracts::{Audience, Event, Generation, Lane, RegionId, Revision, Role, TenantId, TenantState};
use openkcm_host::{Clock, Entropy, OsEntropy, SystemClock};
use openkcm_http::{Access, Token};
use openkcm_orbital::{
    Embedded, Letter, Reading, Signer, Stream, Transport, TrustBundle, Verified, Verifier,
};
use openkcm_roots::{LocalConfig, Roots, RootsConfig};
use openkcm_store::StoreError;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use away::{NoMesh, NoProvider};

/// Often enough that what a probe finds is found within a test, and nothing has to be slept for.
const PROBED_OFTEN: Duration = Duration::from_millis(100);

/// A CMK Server that runs.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    base: String,
    token: String,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

/// Where it runs, which stays when it stops.
pub(crate) struct Place {
    directory: TempDir,
    mesh: Embedded,
    registry: Arc<Signer>,
    cmk: Arc<Signer>,
    /// The Core of region `a`.
    core: Arc<Signer>,
    verifier: Arc<Verifier>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Reply {
    /// Its problem's code and field, which go with this status.
    pub(crate) fn problem(&self) -> (u16, &str, &str) {
        let text = |name: &str| self.body[name].as_str().unwrap_or_default();
        (self.status.as_u16(), text("code"), text("field"))
    }
}

impl Place {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let entropy = OsEntropy::new();
        let mesh = Embedded::open(&directory.path().join("mesh.db"), &entropy).await.unwrap();
        let signer =
            |role, region| Arc::new(Signer::from_seed(&Signer::new_seed(&entropy), role, region).unwrap());
        let (registry, cmk) = (signer(Role::Registry, None), signer(Role::Cmk, None));
        let core = signer(Role::Krypton, Some(RegionId::new("a").unwrap()));
        let keys = [&registry, &cmk, &core].map(|signer| signer.trusted_key()).into();
        let bundle = TrustBundle { keys };
        let verifier = Arc::new(Verifier::new(&bundle).unwrap());
        Self { directory, mesh, registry, cmk, core, verifier }
    }

    /// The Registry tells the CMK Server of an active tenant, at its revision 1.`counter`.
    pub(crate) async fn define(&self, name: &str, counter: u64, regions: &[&str]) {
        self.tell(name, counter, TenantState::Active, regions).await;
    }

    pub(crate) async fn tell(&self, name: &str, counter: u64, state: TenantState, regions: &[&str]) {
        let event = Event::TenantDefine(TenantDefine {
            tenant: TenantId::new(name).unwrap(),
            generation: Generation(Revision::new(1, 1)),
            state,
            regions: regions.iter().map(|region| RegionId::new(region).unwrap()).collect(),
            labels: [].into(),
        });
        let letter = Letter::new(&event, Audience::Cmk, Revision::new(1, counter), SystemClock.now());
        self.mesh.publish(vec![self.registry.sign(&letter)]).await.unwrap();
    }

    /// The Core of region `a` tells a manifest of a start, that it holds no link.
    pub(crate) async fn speaks(&self, incarnation: u64, sequence: u64) {
        let nothing = openkcm_digests::Buckets::of_nothing().to_text();
        let manifest = Event::StateManifest(StateManifest {
            region: RegionId::new("a").unwrap(),
            incarnation,
            sequence,
            nonce: format!("{incarnation}-{sequence}"),
            lease: None,
            body: ManifestBody::Digests {
                definitions: nothing.clone(),
                links: nothing,
                registry: None,
                cmk: None,
                purges: openkcm_contracts::v1::PurgeReport::default(),
            },
        });
        let letter = Letter::new(&manifest, Audience::Authorities, Revision::new(1, 1), SystemClock.now());
        self.mesh.publish(vec![self.core.sign(&letter)]).await.unwrap();
    }

    /// Waits for the first events on a lane of a region, and believes them as a Core does.
    pub(crate) async fn heard_in(&self, region: &str, lane: Lane) -> Vec<Verified> {
        let stream = Stream { lane, audience: Audience::Region(RegionId::new(region).unwrap()) };
        let mut subscription = self.mesh.subscribe(&Reading::all(stream), None).await.unwrap();
        loop {
            let batch = subscription.next(100).await.unwrap();
            if !batch.messages.is_empty() {
                let now = SystemClock.now();
                let verified =
                    batch.messages.iter().map(|delivered| self.verifier.verify(&delivered.message, now));
                return verified.collect::<Result<_, _>>().unwrap();
            }
        }
    }

    /// The Registry says of a tenant what nobody can read.
    pub(crate) async fn tell_nonsense(&self, name: &str) {
        let letter = Letter {
            kind: "openkcm.v1.Tenant.Define".into(),
            subject: format!("tenant.{name}"),
            audience: Audience::Cmk,
            revision: Revision::new(1, 1),
            expires: None,
            written_at: SystemClock.now(),
            body: r#"{"tenant":7}"#.into(),
        };
        self.mesh.publish(vec![self.registry.sign(&letter)]).await.unwrap();
    }

    /// The directory of the local roots.
    pub(crate) fn local_roots(&self) -> PathBuf {
        self.directory.path().join("cmk/local-roots")
    }

    /// Starts, and waits until all that the mesh holds was heard.
    pub(crate) async fn start(&self) -> Running {
        let running = self.start_with(Arc::new(self.mesh.clone())).await;
        running.handle.hydrated().await;
        running.handle.compared().await;
        running
    }

    /// Starts while the mesh is away.
    pub(crate) async fn start_without_mesh(&self) -> Running {
        self.start_with(Arc::new(NoMesh)).await
    }

    async fn start_with(&self, transport: Arc<dyn Transport>) -> Running {
        let token = Token::generate(&OsEntropy::new());
        let service = loop {
            let access = Access::Token(token.clone());
            let regions = ["a", "b"].map(|name| RegionId::new(name).unwrap()).into();
            let data_dir = self.directory.path().join("cmk");
            let leases = LeaseTerms::default();
            let probed_every = PROBED_OFTEN;
            let options = Options { data_dir, regions, access, leases, probed_every, rebuild: false };
            match Service::start(options, self.surroundings(transport.clone())).await {
                Ok(service) => break service,
                // The one before ends in the background; the lock is free when it has.
                Err(StartError::Store(StoreError::InUse { .. })) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        Running::new(service, token).await
    }

    fn surroundings(&self, transport: Arc<dyn Transport>) -> Surroundings {
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
            (Arc::new(SystemClock), Arc::new(OsEntropy::new()));
        let local = LocalConfig { auto_create: true, ..LocalConfig::default() };
        let config = RootsConfig { local: Some(local), ..RootsConfig::default() };
        let directory = self.directory.path().join("cmk");
        let roots = Roots::build(&config, &directory, entropy.clone(), clock.clone()).unwrap();
        Surroundings {
            roots: roots.with("far", Arc::new(NoProvider::default())),
            common: openkcm_component::Surroundings {
                transport,
                signer: self.cmk.clone(),
                verifier: self.verifier.clone(),
                clock,
                entropy,
            },
        }
    }
}

impl Running {
    async fn new(service: Service, token: Token) -> Self {
        let handle = service.handle();
        let access = Access::Token(token.clone());
        let listener = openkcm_http::bind("127.0.0.1:0".parse().unwrap(), &access).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            service.serve(listener, shutdown).await.unwrap();
        });
        let client = reqwest::Client::new();
        Self { handle, base, token: token.expose().to_owned(), client, stop, ended }
    }

    /// Stops as an operator stops it.
    pub(crate) async fn stop(self) {
        let Self { stop, ended, client, handle, .. } = self;
        drop((client, handle));
        stop.send(()).unwrap();
        ended.await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, "").await
    }

    pub(crate) async fn put(&self, path: &str, if_match: Option<&str>, body: &str) -> Reply {
        self.send(Method::PUT, path, if_match, body).await
    }

    pub(crate) async fn delete(&self, path: &str, if_match: Option<&str>) -> Reply {
        self.send(Method::DELETE, path, if_match, "").await
    }

    pub(crate) async fn post(&self, path: &str) -> Reply {
        self.send(Method::POST, path, None, "").await
    }

    /// A request without the token.
    pub(crate) async fn send_as_nobody(&self, method: Method, path: &str) -> Reply {
        reply(self.client.request(method, format!("{}{path}", self.base))).await
    }

    async fn send(&self, method: Method, path: &str, if_match: Option<&str>, body: &str) -> Reply {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        reply(request).await
    }
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (etag, retry_after) = (header("etag"), header("retry-after"));
    let status = response.status();
    let text = response.text().await.unwrap();
    Reply { status, etag, retry_after, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}
