//! What is shown of a quarantined event. Texts that an author chose are cut: an entry may be half a megabyte.

use openkcm_contracts::{Revision, TenantId, Timestamp};
use openkcm_orbital::inbox::quarantine::Entry;
use serde::Serialize;
use utoipa::ToSchema;

/// The longest subject, type, reason or key id that is shown; ours are shorter.
const MAX_TEXT_LEN: usize = 512;

/// How much of a body a list shows: a page of a thousand entries stays near a megabyte.
pub(super) const LISTED_BODY: usize = 512;

/// How much of a body is shown of one entry.
pub(super) const SHOWN_BODY: usize = 16 * 1024;

/// An authentic event that could not be read or applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QuarantinedEvent)]
pub(super) struct Shown {
    /// Its id: the same as long as it is about the same thing by the same author.
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015")]
    id: String,
    /// When it was put here.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Why it could not be applied.
    reason: String,
    /// The tenant that it concerns, as far as its subject tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    tenant: Option<TenantId>,
    /// Whether it takes away the right to serve. Then its tenant is refused until a newer link, whatever
    /// becomes of this entry.
    revokes: bool,
    /// The stream that it came on: the lane's number and the audience.
    #[schema(example = "1.region.a")]
    stream: String,
    /// The id of the key that signed it.
    author: String,
    /// The thing that it is about.
    #[schema(example = "key.acme.hr.payroll")]
    subject: String,
    /// Its author's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    revision: Option<Revision>,
    /// Its CloudEvents type.
    #[serde(rename = "type")]
    #[schema(example = "openkcm.v1.Key.Define")]
    kind: String,
    /// The beginning of its body, as text.
    body: String,
    /// How long its body is, in bytes.
    body_bytes: usize,
}

impl Shown {
    pub(super) fn new(entry: &Entry, body_len: usize) -> Self {
        let Entry { id, stream, event } = entry;
        Self {
            id: id.clone(),
            at: event.at,
            reason: cut(&event.reason, MAX_TEXT_LEN),
            tenant: event.tenant.clone(),
            revokes: event.revokes,
            stream: stream.to_string(),
            author: cut(event.key_id(), MAX_TEXT_LEN),
            subject: cut(event.subject(), MAX_TEXT_LEN),
            revision: event.revision(),
            kind: cut(event.header("ce-type"), MAX_TEXT_LEN),
            body: cut(&event.body, body_len),
            body_bytes: event.body.len(),
        }
    }
}

/// At most so many bytes of a text, whole characters.
fn cut(text: &str, len: usize) -> String {
    text[..text.floor_char_boundary(len)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("aéb", 9), "aéb");
    }
}
