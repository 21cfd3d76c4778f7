//! One Core that runs, and a caller of its HTTP interface.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use openkcm_contracts::{Revision, VersionId, placement};
use openkcm_http::{Access, Token, decode_base64, encode_base64};
use openkcm_krypton::{
    Handle, LeasePolicy, Options, PROBED_EVERY, PacePolicy, PurgePolicy, Service, StartError, Surroundings,
};
use openkcm_store::StoreError;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::eventually;
use super::facts::region;

pub(crate) const TOKEN: &str = "token-of-these-tests-0123456789";

/// The longest answer that is read.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A Core that runs. It is gone, as if killed, when this is dropped.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    router: Router,
    region: String,
    _service: Service,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// The tenant's regions, as it tells them.
    pub(crate) regions: Option<String>,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> String {
        let text = self.body[name].as_str();
        text.unwrap_or_else(|| panic!("there is no {name} in {self:?}")).to_owned()
    }

    pub(crate) fn version(&self) -> VersionId {
        self.field("version").parse().expect("a version's id")
    }

    pub(crate) fn plaintext(&self) -> Vec<u8> {
        decode_base64("plaintext", &self.field("plaintext")).expect("base64").to_vec()
    }

    pub(crate) fn is_at_risk(&self) -> bool {
        self.body["at_risk"] == true
    }
}

impl Running {
    pub(crate) async fn start(
        data_dir: PathBuf,
        name: &str,
        (purge, pace): (PurgePolicy, PacePolicy),
        surroundings: Surroundings,
    ) -> Self {
        let access = Access::Token(Token::new(TOKEN).expect("a token"));
        let (leases, probed_every) = (LeasePolicy::default(), PROBED_EVERY);
        let change_wait = openkcm_krypton::CHANGE_WAIT;
        let region_id = region(name);
        let options =
            Options { data_dir, region: region_id, access, leases, purge, probed_every, pace, change_wait };
        let service = eventually("the lock of the one before", async || {
            match Service::start(options.clone(), surroundings.clone()).await {
                Ok(service) => Some(service),
                // The one before ends in the background; the lock is free when it has.
                Err(StartError::Store(StoreError::InUse { .. })) => None,
                Err(error) => panic!("{error:?}"),
            }
        })
        .await;
        let (handle, router) = (service.handle(), service.router());
        Self { handle, router, region: name.to_owned(), _service: service }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.expect("a router never fails");
        let status = response.status().as_u16();
        let header = |name| Some(response.headers().get(name)?.to_str().expect("text").to_owned());
        let (retry_after, regions) = (header("retry-after"), header(placement::HEADER));
        let bytes = axum::body::to_bytes(response.into_body(), MOST_BYTES).await.expect("a short answer");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status, retry_after, regions, body, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(request("GET", path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(request("DELETE", path).body(Body::empty()).expect("a request")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        let request = request("POST", path).header("content-type", "application/json");
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// One operation on a key: `encrypt`, `rotate` and so on.
    pub(crate) async fn ask(&self, key: &str, operation: &str, body: &Value) -> Reply {
        self.post(&format!("/v1/keys/{key}/{operation}"), body.to_string()).await
    }

    pub(crate) async fn encrypt(&self, key: &str, plaintext: &[u8]) -> Reply {
        self.ask(key, "encrypt", &json!({ "plaintext": *encode_base64(plaintext) })).await
    }

    pub(crate) async fn decrypt(&self, key: &str, ciphertext: &str) -> Reply {
        self.ask(key, "decrypt", &json!({ "ciphertext": ciphertext })).await
    }

    pub(crate) async fn rewrap(&self, key: &str, ciphertext: &str) -> Reply {
        self.ask(key, "rewrap", &json!({ "ciphertext": ciphertext })).await
    }

    /// Rotates; gives the new version.
    pub(crate) async fn rotate(&self, key: &str) -> VersionId {
        let reply = self.ask(key, "rotate", &json!({})).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.version()
    }

    /// Encrypts as soon as the key can be used; gives the ciphertext.
    pub(crate) async fn sealed_when_usable(&self, key: &str, plaintext: &[u8]) -> String {
        self.when_usable(key, plaintext).await.field("ciphertext")
    }

    pub(crate) async fn when_usable(&self, key: &str, plaintext: &[u8]) -> Reply {
        eventually(&format!("{key} usable in {}", self.region), async || {
            let reply = self.encrypt(key, plaintext).await;
            (reply.status == 200).then_some(reply)
        })
        .await
    }

    /// Waits until it opens this ciphertext as this plaintext.
    pub(crate) async fn opens(&self, key: &str, ciphertext: &str, plaintext: &[u8]) {
        let reply = eventually(&format!("{key} opened in {}", self.region), async || {
            let reply = self.decrypt(key, ciphertext).await;
            (reply.status == 200).then_some(reply)
        })
        .await;
        assert_eq!(reply.plaintext(), plaintext);
    }

    /// Waits until encryption is refused with this code.
    pub(crate) async fn refuses(&self, key: &str, code: &str) -> Reply {
        eventually(&format!("{key} refused with {code} in {}", self.region), async || {
            let reply = self.encrypt(key, b"x").await;
            (reply.code() == code).then_some(reply)
        })
        .await
    }

    /// Waits until decryption is refused with this code.
    pub(crate) async fn refuses_to_open(&self, key: &str, ciphertext: &str, code: &str) -> Reply {
        eventually(&format!("decryption under {key} refused with {code} in {}", self.region), async || {
            let reply = self.decrypt(key, ciphertext).await;
            (reply.code() == code).then_some(reply)
        })
        .await
    }

    /// The ids of a key's versions, the oldest counter first.
    pub(crate) async fn versions(&self, key: &str) -> Vec<VersionId> {
        let reply = self.get(&format!("/v1/keys/{key}")).await;
        let versions = reply.body["versions"].as_array().cloned().unwrap_or_default();
        let id = |version: &Value| version["version"].as_str().expect("text").parse().expect("an id");
        versions.iter().map(id).collect()
    }

    /// The version that encrypts.
    pub(crate) async fn active(&self, key: &str) -> Option<VersionId> {
        let reply = self.get(&format!("/v1/keys/{key}")).await;
        reply.body["active"].as_str().map(|id| id.parse().expect("an id"))
    }

    /// Waits until this version encrypts.
    pub(crate) async fn activates(&self, key: &str, version: VersionId) {
        eventually(&format!("{version} of {key} active in {}", self.region), async || {
            (self.active(key).await == Some(version)).then_some(())
        })
        .await;
    }

    /// Waits until the CMK Server's revision 1.`counter` is on its disk.
    pub(crate) async fn has_applied(&self, counter: u64) {
        eventually("a revision on disk", async || {
            let applied = self.handle.status().await.expect("the store can be read").mesh.applied;
            (applied.cmk >= Some(Revision::new(1, counter))).then_some(())
        })
        .await;
    }

    /// Waits until nothing that it made is only here.
    pub(crate) async fn replicates(&self) {
        eventually(&format!("nothing at risk in {}", self.region), async || {
            let status = self.handle.status().await.expect("the store can be read");
            (status.versions_at_risk == 0 && status.mesh.outbox.letters == 0).then_some(())
        })
        .await;
    }

    /// Waits, moving the clock on, until `look` finds something.
    pub(crate) async fn as_time_passes<T>(
        &self,
        world: &super::World,
        step: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        eventually(what, async || {
            if let Some(found) = look().await {
                return Some(found);
            }
            world.advance(step);
            None
        })
        .await
    }
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"))
}
