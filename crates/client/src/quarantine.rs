//! The routes of a component's quarantine: events that it could not read or apply.

use reqwest::Method;

use crate::call::{Call, Component, Resource};
use crate::client::Client;
use crate::error::ClientError;
use crate::listing::Listing;

const PATH: &str = "/v1/quarantine";

/// The quarantine of a component. Every method fails as [`Client::call`] does.
pub struct Quarantine<'c> {
    client: &'c Client,
    component: Component,
}

impl Client {
    /// The quarantine of a component.
    pub fn quarantine(&self, component: Component) -> Quarantine<'_> {
        Quarantine { client: self, component }
    }
}

#[expect(clippy::missing_errors_doc, reason = "said once, at the type")]
impl<'c> Quarantine<'c> {
    /// The events in it; of a tenant or a stream alone, where these are given.
    pub fn events(&self, tenant: Option<&str>, stream: Option<&str>) -> Listing<'c> {
        let call = Call::get(self.component.clone(), PATH).query("tenant", tenant).query("stream", stream);
        Listing::new(self.client, call)
    }

    /// One event. The id is 32 hexadecimal digits.
    pub async fn event(&self, id: &str) -> Result<Resource, ClientError> {
        self.send(Method::GET, format!("{PATH}/{id}")).await
    }

    /// Tries an event again; it leaves the quarantine if it can be applied.
    pub async fn retry(&self, id: &str) -> Result<Resource, ClientError> {
        self.send(Method::POST, format!("{PATH}/{id}/retry")).await
    }

    /// Drops an event: what it would have said is not applied.
    pub async fn discard(&self, id: &str) -> Result<Resource, ClientError> {
        self.send(Method::DELETE, format!("{PATH}/{id}")).await
    }

    async fn send(&self, method: Method, path: String) -> Result<Resource, ClientError> {
        self.client.resource(&Call::new(self.component.clone(), method, path)).await
    }
}
