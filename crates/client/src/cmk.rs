//! The CMK Server's routes: which external key is whose root.

use openkcm_contracts::v1::OwnerWord;
use openkcm_contracts::{RegionId, RootRef, TenantId};
use reqwest::Method;
use serde::Serialize;

use crate::call::{Call, Component, Resource};
use crate::client::Client;
use crate::error::ClientError;
use crate::listing::Listing;

/// The CMK Server. Every method fails as [`Client::call`] does.
pub struct Cmk<'c> {
    client: &'c Client,
}

/// What a tenant's L1 pointer shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct L1Spec {
    /// The roots: any one opens, the first is preferred.
    pub roots: Vec<RootRef>,
    /// The tenant's own, stricter TTL, such as `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// The public half of the owner's key (base64), which the first link pins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_key: Option<String>,
    /// The owner's word for the roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_word: Option<OwnerWord>,
}

impl Client {
    /// The CMK Server of the landscape.
    pub fn cmk(&self) -> Cmk<'_> {
        Cmk { client: self }
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl<'c> Cmk<'c> {
    /// Links a tenant to its L1, or changes the link; also again after an unlink.
    pub async fn link(&self, tenant: &TenantId, spec: &L1Spec) -> Result<Resource, ClientError> {
        self.client.put_resource(call(Method::PUT, l1_path(tenant)).json(spec)).await
    }

    /// The tenant's pointer and its health.
    pub async fn l1(&self, tenant: &TenantId) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::GET, l1_path(tenant))).await
    }

    /// Withdraws a tenant's L1: serving ends everywhere.
    pub async fn unlink(&self, tenant: &TenantId) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::DELETE, l1_path(tenant))).await
    }

    /// All pointers and their health.
    pub fn tenants(&self) -> Listing<'c> {
        Listing::new(self.client, call(Method::GET, "/v1/tenants".to_owned()))
    }

    /// The Cores and their leases; of a region alone, where one is given.
    pub async fn cores(&self, region: Option<&RegionId>) -> Result<Resource, ClientError> {
        let call = Call::get(Component::Cmk, "/v1/cores").query("region", region.map(RegionId::as_str));
        self.client.resource(&call).await
    }

    /// Forgets which starts of a region's Core were heard of: the first that speaks afterwards is leased.
    pub async fn forget_core(&self, region: &RegionId) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::POST, format!("/v1/cores/{region}/forget"))).await
    }
}

fn call(method: Method, path: String) -> Call {
    Call::new(Component::Cmk, method, path)
}

fn l1_path(tenant: &TenantId) -> String {
    format!("/v1/tenants/{tenant}/l1")
}
