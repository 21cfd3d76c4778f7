//! One request to one component, and its answer: what all the methods are made of.

use std::fmt;

use openkcm_contracts::{RegionId, Revision};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

/// Room for the JSON around the texts of a body.
const AROUND_BYTES: usize = 1024;

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// The Registry.
    Registry,
    /// The CMK Server.
    Cmk,
    /// The Krypton Core of a region.
    Core(RegionId),
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.write_str("the Registry"),
            Self::Cmk => f.write_str("the CMK Server"),
            Self::Core(region) => write!(f, "the Core of region {region}"),
        }
    }
}

/// A request. `Debug` does not show its body.
#[derive(Clone)]
pub struct Call {
    pub(crate) component: Component,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    pub(crate) if_match: Option<Revision>,
}

impl Call {
    /// A request without a body. The path begins with `/`; its names need no escaping.
    pub fn new(component: Component, method: Method, path: impl Into<String>) -> Self {
        Self { component, method, path: path.into(), query: Vec::new(), body: None, if_match: None }
    }

    /// Reads a resource.
    pub fn get(component: Component, path: impl Into<String>) -> Self {
        Self::new(component, Method::GET, path)
    }

    /// Adds a parameter; nothing when there is no value.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    /// Sends this as JSON.
    ///
    /// # Panics
    /// When it is nothing that JSON can express, such as a map whose keys are no texts.
    #[must_use]
    pub fn json(self, body: &impl Serialize) -> Self {
        self.json_with(body, 0)
    }

    /// Sends this, which holds texts of about so many bytes, as JSON: allocated once, so that no copy of
    /// a plaintext is left behind.
    pub(crate) fn json_with(mut self, body: &impl Serialize, text_bytes: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(text_bytes.saturating_add(AROUND_BYTES)));
        serde_json::to_writer(&mut *bytes, body).expect("requests are structs of texts and numbers");
        self.body = Some(bytes);
        self
    }

    /// Goes ahead only at this revision.
    #[must_use]
    pub fn if_match(mut self, revision: Option<Revision>) -> Self {
        self.if_match = revision;
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.method, self.path, self.component)
    }
}

/// An answer that is no refusal. `Debug` does not show its body, which is wiped when dropped.
pub struct Answer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// The revision in its `ETag`, if it has one.
    pub etag: Option<Revision>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the body; an empty one as `null`.
    ///
    /// # Errors
    /// When the body is not that.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(if self.body.is_empty() { b"null" } else { &self.body })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer {{ status: {}, {} bytes }}", self.status, self.body.len())
    }
}

/// A resource as its component shows it: for printing, with a few members to decide on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its revision: of its `ETag`, or else of its member `revision`.
    pub revision: Option<Revision>,
    /// All of it.
    pub value: Value,
}

impl Resource {
    pub(crate) fn new(etag: Option<Revision>, value: Value) -> Self {
        let member = || value.get("revision")?.as_str()?.parse().ok();
        Self { revision: etag.or_else(member), value }
    }

    /// A member that is a text, such as `state`.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.value.get(member)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn debug_shows_neither_what_is_sent_nor_what_came() {
        let call = Call::new(Component::Registry, Method::PUT, "/v1/x").json(&json!({"plaintext": "CANARY"}));
        assert_eq!(format!("{call:?}"), "PUT /v1/x of the Registry");
        let answer = Answer { status: 200, etag: None, body: Zeroizing::new(b"CANARY".to_vec()) };
        assert_eq!(format!("{answer:?}"), "Answer { status: 200, 6 bytes }");
    }

    #[test]
    fn a_resource_has_the_revision_of_its_etag_or_of_its_member() {
        let value = json!({"revision": "1.7", "state": "linked"});
        assert_eq!(Resource::new(None, value.clone()).revision, Some(Revision::new(1, 7)));
        let resource = Resource::new(Some(Revision::new(1, 8)), value);
        assert_eq!((resource.revision, resource.text("state")), (Some(Revision::new(1, 8)), Some("linked")));
        assert_eq!(Resource::new(None, Value::Null).revision, None);
    }
}
