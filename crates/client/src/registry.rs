//! The Registry's routes: what should exist.

use std::collections::BTreeMap;

use openkcm_contracts::{KeyPath, RegionId, Revision, SystemPath, TenantId, VersionId};
use reqwest::Method;
use serde::Serialize;
use serde_json::json;

use crate::call::{Call, Component, Resource};
use crate::client::Client;
use crate::error::ClientError;
use crate::listing::Listing;

/// The Registry. Every method fails as [`Client::call`] does.
pub struct Registry<'c> {
    client: &'c Client,
}

/// What a tenant shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantSpec {
    /// Its regions, in order of preference.
    pub regions: Vec<RegionId>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What a system's or a service's key shall be. What is left out is the Registry's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KeySpec {
    /// The algorithm, such as `AES256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The rotation period, such as `90d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<String>,
}

impl Client {
    /// The Registry of the landscape.
    pub fn registry(&self) -> Registry<'_> {
        Registry { client: self }
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl<'c> Registry<'c> {
    /// Defines a tenant, or changes it; also again after it was offboarded.
    pub async fn put_tenant(&self, tenant: &TenantId, spec: &TenantSpec) -> Result<Resource, ClientError> {
        self.client.put_resource(call(Method::PUT, tenant_path(tenant)).json(spec)).await
    }

    /// The tenant.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::GET, tenant_path(tenant))).await
    }

    /// Offboards a tenant: its keys are destroyed after a waiting period, such as `7d`.
    pub async fn delete_tenant(
        &self,
        tenant: &TenantId,
        purge_after: Option<&str>,
    ) -> Result<Resource, ClientError> {
        self.client.resource(&delete(tenant_path(tenant), purge_after)).await
    }

    /// Takes an offboarding back while its waiting period runs.
    pub async fn undelete_tenant(&self, tenant: &TenantId) -> Result<Resource, ClientError> {
        self.client.resource(&undelete(&tenant_path(tenant))).await
    }

    /// All tenants.
    pub fn tenants(&self) -> Listing<'c> {
        Listing::new(self.client, call(Method::GET, "/v1/tenants".to_owned()))
    }

    /// Defines a system or a service, or changes it; also again after it was deleted.
    pub async fn put_key(&self, key: &KeyPath, spec: &KeySpec) -> Result<Resource, ClientError> {
        self.client.put_resource(call(Method::PUT, key_path(key)).json(spec)).await
    }

    /// The definition of a system or a service.
    pub async fn key(&self, key: &KeyPath) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::GET, key_path(key))).await
    }

    /// Deletes a system or a service: its key is destroyed after a waiting period, such as `7d`.
    pub async fn delete_key(
        &self,
        key: &KeyPath,
        purge_after: Option<&str>,
    ) -> Result<Resource, ClientError> {
        self.client.resource(&delete(key_path(key), purge_after)).await
    }

    /// Takes a deletion back while its waiting period runs.
    pub async fn undelete_key(&self, key: &KeyPath) -> Result<Resource, ClientError> {
        self.client.resource(&undelete(&key_path(key))).await
    }

    /// Marks a version as compromised: no region uses it any more, and this can't be taken back.
    pub async fn compromise(&self, key: &KeyPath, version: &VersionId) -> Result<Resource, ClientError> {
        let path = format!("{}/compromise", key_path(key));
        self.client.resource(&call(Method::POST, path).json(&json!({ "version": version }))).await
    }

    /// The systems of a tenant.
    pub fn systems(&self, tenant: &TenantId) -> Listing<'c> {
        Listing::new(self.client, call(Method::GET, format!("{}/systems", tenant_path(tenant))))
    }

    /// The services of a system.
    pub fn services(&self, system: &SystemPath) -> Listing<'c> {
        let path = format!("{}/services", key_path(&KeyPath::System(system.clone())));
        Listing::new(self.client, call(Method::GET, path))
    }

    /// The regions and their drift.
    pub async fn regions(&self) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::GET, "/v1/regions".to_owned())).await
    }

    /// Has what a region claims keep no tombstone from being told any more.
    pub async fn overrule(&self, region: &RegionId) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::POST, format!("/v1/regions/{region}/overrule"))).await
    }

    /// Moves the tenants of a region that is lost to another one. `seen`: the revision of its failover that is meant,
    /// where it was failed over before.
    pub async fn failover(
        &self,
        from: &RegionId,
        to: &RegionId,
        seen: Option<Revision>,
    ) -> Result<Resource, ClientError> {
        let call = call(Method::POST, failover_path(from)).json(&json!({ "to": to }));
        self.client.resource(&call.if_match(seen)).await
    }

    /// What a failover would move.
    pub async fn failover_survey(&self, from: &RegionId, to: &RegionId) -> Result<Resource, ClientError> {
        let call = call(Method::POST, failover_path(from)).json(&json!({ "to": to, "dry_run": true }));
        self.client.resource(&call).await
    }

    /// The last failover of a region.
    pub async fn failover_of(&self, from: &RegionId) -> Result<Resource, ClientError> {
        self.client.resource(&call(Method::GET, failover_path(from))).await
    }

    /// The tenants that the failover of a region moved.
    pub fn moved_tenants(&self, from: &RegionId) -> Listing<'c> {
        Listing::new(self.client, call(Method::GET, format!("{}/tenants", failover_path(from))))
    }

    /// Gives the tenants of a region back. `seen`: the revision of the failover that is meant.
    pub async fn failback(&self, from: &RegionId, seen: Option<Revision>) -> Result<Resource, ClientError> {
        let call = call(Method::POST, format!("/v1/regions/{from}/failback"));
        self.client.resource(&call.if_match(seen)).await
    }
}

fn call(method: Method, path: String) -> Call {
    Call::new(Component::Registry, method, path)
}

fn delete(path: String, purge_after: Option<&str>) -> Call {
    call(Method::DELETE, path).query("purge_after", purge_after)
}

fn undelete(path: &str) -> Call {
    call(Method::POST, format!("{path}/undelete"))
}

fn failover_path(region: &RegionId) -> String {
    format!("/v1/regions/{region}/failover")
}

fn tenant_path(tenant: &TenantId) -> String {
    format!("/v1/tenants/{tenant}")
}

fn key_path(key: &KeyPath) -> String {
    let system = format!("/v1/tenants/{}/systems/{}", key.tenant(), key.system());
    match key.service() {
        None => system,
        Some(service) => format!("{system}/services/{service}"),
    }
}
