//! Messages as NATS carries them: CloudEvents in binary mode, headers and body as they are.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use serde::Deserialize;

use crate::{Message, TransportError};

/// What the broker adds for itself; none of it is the author's.
const OF_THE_BROKER: &str = "Nats-";

/// The broker's word for a publication that replaces another message than its author believes.
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// The broker's word for a stream that there is not. That a reader of it is missing says nothing of the stream.
const STREAM_NOT_FOUND: u64 = 10_059;

/// A message's headers, and nothing else.
pub(super) fn headers_of(message: &Message) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        let value: HeaderValue = value.parse().map_err(|_| {
            TransportError::Refused(format!("the header {name} of {} can't be sent", message.address))
        })?;
        headers.insert(name.as_str(), value);
    }
    Ok(headers)
}

/// The author's headers of a message that came.
pub(super) fn headers_from(headers: Option<&HeaderMap>) -> BTreeMap<String, String> {
    let all = headers.into_iter().flat_map(HeaderMap::iter);
    let authors = all.filter(|(name, _)| !AsRef::<str>::as_ref(name).starts_with(OF_THE_BROKER));
    authors
        .filter_map(|(name, values)| Some((name.to_string(), values.last()?.as_str().to_owned())))
        .collect()
}

/// What a stream answers to a publication.
#[derive(Debug, Deserialize)]
pub(super) struct PubAck {
    #[serde(default)]
    pub(super) seq: u64,
    pub(super) error: Option<ApiError>,
}

/// Why the broker did not do what it was asked.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

impl ApiError {
    /// Whether a publication named another last word than there is.
    pub(super) fn is_wrong_sequence(&self) -> bool {
        self.err_code == WRONG_LAST_SEQUENCE
    }

    pub(super) fn into_transport(self, what: &str) -> TransportError {
        if self.err_code == STREAM_NOT_FOUND {
            return TransportError::Missing(what.to_owned());
        }
        TransportError::Refused(format!("{what}: {} ({})", self.description, self.err_code))
    }
}

/// Reads an answer of the broker's.
pub(super) fn answer<T: for<'de> Deserialize<'de>>(payload: &[u8], what: &str) -> Result<T, TransportError> {
    serde_json::from_slice(payload)
        .map_err(|_| TransportError::Unavailable(format!("the broker's answer about {what} can't be read")))
}
