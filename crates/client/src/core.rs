//! A Core's routes: the data plane, and what a Core shows of its keys.
//!
//! Encrypt, decrypt and data keys change nothing and work in any region of the tenant, so they go to the next region
//! when one can't be reached, or refuses for a reason of its own. What the tenant, its provider or the Registry has
//! ended is ended everywhere: no other region is asked. What changes something, or depends on what a region has heard
//! (rotate, rewrap), stays in the region that was chosen.

use openkcm_contracts::{KeyPath, RegionId, ServicePath, TenantId, VersionId};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::base64::{AsBase64, bytes};
use crate::call::{Call, Component, Resource};
use crate::client::Client;
use crate::error::ClientError;
use crate::failover::{Failover, Said, Wanted};

/// Which Core is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Route {
    /// The tenant's regions in their order, as far as they are known, then the landscape's. For what only one region is
    /// asked for, the landscape's first.
    #[default]
    First,
    /// This region where it is one of the tenant's, such as the nearest one; then as [`Route::First`]. For what only one
    /// region is asked for, this one.
    Prefer(RegionId),
    /// This region and no other, whatever is known of it.
    Only(RegionId),
}

/// The Cores. Every method fails as [`Client::call`] does, and when the landscape has no such region.
pub struct Core<'c> {
    client: &'c Client,
    route: Route,
}

/// What a Core answered, and which one it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served<T> {
    /// The region that answered.
    pub region: RegionId,
    /// What it answered.
    pub answer: T,
    /// What the regions said that this call asked before, in this order. Mostly nothing.
    pub passed_over: Vec<Said>,
}

/// A ciphertext, of encrypt or rewrap.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Encrypted {
    /// The ciphertext, `kcm1.…`.
    pub ciphertext: String,
    /// The version that made it.
    pub version: VersionId,
    /// Whether that version is in one region alone so far, and would be lost with it.
    #[serde(default)]
    pub at_risk: bool,
}

/// A plaintext, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Decrypted {
    /// The plaintext.
    #[serde(deserialize_with = "bytes")]
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The version that opened it.
    pub version: VersionId,
    /// Whether that version is in one region alone so far, and would be lost with it.
    #[serde(default)]
    pub at_risk: bool,
}

/// A data key, in the clear and sealed; the clear one is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct DataKey {
    /// The key, to be used and forgotten.
    #[serde(deserialize_with = "bytes")]
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The same key sealed, to be kept with what it encrypts.
    pub ciphertext: String,
    /// The version that sealed it.
    pub version: VersionId,
    /// Whether that version is in one region alone so far, and would be lost with it.
    #[serde(default)]
    pub at_risk: bool,
}

/// A new version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rotated {
    /// Its id.
    pub version: VersionId,
    /// Whether it is in one region alone so far, and would be lost with it.
    #[serde(default)]
    pub at_risk: bool,
}

#[derive(Serialize)]
struct EncryptRequest<'a> {
    plaintext: AsBase64<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aad: Option<AsBase64<'a>>,
}

#[derive(Serialize)]
struct OpenRequest<'a> {
    ciphertext: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aad: Option<AsBase64<'a>>,
}

impl Client {
    /// The Cores of the landscape, asked by this route.
    pub fn core(&self, route: Route) -> Core<'_> {
        Core { client: self, route }
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl Core<'_> {
    /// Encrypts, bound to `aad` if there is any.
    pub async fn encrypt(
        &self,
        key: &ServicePath,
        plaintext: &[u8],
        aad: Option<&[u8]>,
    ) -> Result<Served<Encrypted>, ClientError> {
        let request = EncryptRequest { plaintext: AsBase64(plaintext), aad: aad.map(AsBase64) };
        let text_bytes =
            request.plaintext.encoded_len() + request.aad.as_ref().map_or(0, AsBase64::encoded_len);
        self.anywhere(&key.tenant, |core| post(core, key, "encrypt").json_with(&request, text_bytes)).await
    }

    /// Decrypts what was encrypted with the same `aad`.
    pub async fn decrypt(
        &self,
        key: &ServicePath,
        ciphertext: &str,
        aad: Option<&[u8]>,
    ) -> Result<Served<Decrypted>, ClientError> {
        let request = OpenRequest { ciphertext, aad: aad.map(AsBase64) };
        self.anywhere(&key.tenant, |core| post(core, key, "decrypt").json(&request)).await
    }

    /// Makes a data key of so many bytes.
    pub async fn datakey(&self, key: &ServicePath, bytes: usize) -> Result<Served<DataKey>, ClientError> {
        self.anywhere(&key.tenant, |core| post(core, key, "datakey").json(&json!({ "bytes": bytes }))).await
    }

    /// Encrypts with the newest version what an older, or a compromised, one holds. The plaintext stays in
    /// the Core. Only one region is asked: another may not have heard that a version is compromised,
    /// and encrypt with that one.
    pub async fn rewrap(
        &self,
        key: &ServicePath,
        ciphertext: &str,
        aad: Option<&[u8]>,
    ) -> Result<Served<Encrypted>, ClientError> {
        let request = OpenRequest { ciphertext, aad: aad.map(AsBase64) };
        self.here(|core| post(core, key, "rewrap").json(&request)).await
    }

    /// Makes a new version of an L2 or L3. Only one region is asked.
    pub async fn rotate(&self, key: &KeyPath) -> Result<Served<Rotated>, ClientError> {
        let path = format!("{}/rotate", key_path(key));
        self.here(|core| Call::new(core, Method::POST, path.clone()).json(&json!({}))).await
    }

    /// The versions of an L2 or L3 and their states. Only one region is asked.
    pub async fn key(&self, key: &KeyPath) -> Result<Served<Resource>, ClientError> {
        self.show(key_path(key)).await
    }

    /// The Core's lease, mesh, outbox and tenants. Only one region is asked.
    pub async fn status(&self) -> Result<Served<Resource>, ClientError> {
        self.show("/v1/status".to_owned()).await
    }

    async fn show(&self, path: String) -> Result<Served<Resource>, ClientError> {
        let region = self.first()?;
        let call = Call::get(Component::Core(region.clone()), path);
        Ok(Served { answer: self.client.resource(&call).await?, region, passed_over: Vec::new() })
    }

    /// Asks the first region of the route.
    async fn here<T: DeserializeOwned>(
        &self,
        call: impl Fn(Component) -> Call,
    ) -> Result<Served<T>, ClientError> {
        let region = self.first()?;
        let answer = self.client.typed(&call(Component::Core(region.clone()))).await?;
        Ok(Served { region, answer, passed_over: Vec::new() })
    }

    /// Asks the regions of the tenant one after the other until one serves, or refuses for good.
    async fn anywhere<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        call: impl Fn(Component) -> Call,
    ) -> Result<Served<T>, ClientError> {
        let preferred = match &self.route {
            Route::First => None,
            Route::Prefer(region) => Some(region),
            Route::Only(_) => return self.here(call).await,
        };
        if let Some(region) = preferred {
            self.client.check_region(region)?;
        }
        let wanted = Wanted { tenant, preferred, regions: self.client.regions() };
        Failover::begin(self.client, wanted).run(call).await
    }

    /// The region that is asked for what no other one may do in its place.
    fn first(&self) -> Result<RegionId, ClientError> {
        let region = match &self.route {
            Route::First => self.client.regions().first(),
            Route::Prefer(region) | Route::Only(region) => Some(region),
        };
        let region = region.ok_or_else(|| self.client.no_such_region(""))?;
        self.client.check_region(region)?;
        Ok(region.clone())
    }
}

fn post(core: Component, key: &ServicePath, operation: &str) -> Call {
    let path = format!("{}/{operation}", key_path(&KeyPath::Service(key.clone())));
    Call::new(core, Method::POST, path)
}

fn key_path(key: &KeyPath) -> String {
    format!("/v1/keys/{key}")
}

impl std::fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decrypted {{ {} bytes, version: {} }}", self.plaintext.len(), self.version)
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey {{ {} bytes, version: {} }}", self.plaintext.len(), self.version)
    }
}
