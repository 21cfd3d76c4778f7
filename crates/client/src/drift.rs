//! Where regions were found to hold something else than they are to: each authority's records.

use crate::call::{Call, Component};
use crate::client::Client;
use crate::listing::Listing;

impl Client {
    /// The drift records of an authority; of a region alone, or in a state (`open`, `healed`, `all`), where these
    /// are given.
    pub fn drift(&self, authority: Component, region: Option<&str>, state: Option<&str>) -> Listing<'_> {
        let call = Call::get(authority, "/v1/drift").query("region", region).query("state", state);
        Listing::new(self, call)
    }
}
