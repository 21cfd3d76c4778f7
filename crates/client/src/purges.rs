//! A Core's routes of purges: what is to be destroyed there, and an operator's word on it.

use openkcm_contracts::{KeyPath, RegionId};
use reqwest::Method;
use serde_json::json;

use crate::call::{Call, Component, Resource};
use crate::client::Client;
use crate::error::ClientError;
use crate::listing::Listing;

const PATH: &str = "/v1/purges";

/// The purges of a region. Every method fails as [`Client::call`] does.
pub struct Purges<'c> {
    client: &'c Client,
    region: RegionId,
}

impl Client {
    /// The purges of a region.
    pub fn purges(&self, region: RegionId) -> Purges<'_> {
        Purges { client: self, region }
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl<'c> Purges<'c> {
    /// The purges; in a state alone, where one is given.
    pub fn list(&self, state: Option<&str>) -> Listing<'c> {
        let call = Call::get(Component::Core(self.region.clone()), PATH).query("state", state);
        Listing::new(self.client, call)
    }

    /// What is held may be destroyed: these keys, or, without any, a thousand at once of all.
    pub async fn confirm(&self, keys: Option<&[KeyPath]>) -> Result<Resource, ClientError> {
        self.decide("confirm", keys).await
    }

    /// What waits is not destroyed before it is confirmed: these keys, or, without any, a thousand at once of all.
    pub async fn hold(&self, keys: Option<&[KeyPath]>) -> Result<Resource, ClientError> {
        self.decide("hold", keys).await
    }

    async fn decide(&self, what: &str, keys: Option<&[KeyPath]>) -> Result<Resource, ClientError> {
        let names = |keys: &[KeyPath]| keys.iter().map(KeyPath::to_string).collect::<Vec<_>>();
        let body = match keys {
            Some(keys) => json!({ "keys": names(keys) }),
            None => json!({ "all": true }),
        };
        let component = Component::Core(self.region.clone());
        self.client.resource(&Call::new(component, Method::POST, format!("{PATH}/{what}")).json(&body)).await
    }
}
