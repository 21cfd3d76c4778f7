//! What a region is to show after a change, and what its documents say of that.
//!
//! A document tells two things, and both count: which word of the authority is applied there, and whether the region
//! serves. A region that refuses for another reason has not heard of the change; one that has heard of it may still
//! be closing what is open.

use openkcm_client::ClientError;
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, Revision, TenantId};
use serde_json::Value;

/// What a region is to show: of this revision, or a later one.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// The key, which was defined, has a version that encrypts.
    KeyActive(KeyPath, Revision),
    /// The same of a key whose deletion was taken back.
    KeyBack(KeyPath, Revision),
    /// The key, of this generation, is refused for its deletion.
    KeyEnded(KeyPath, Revision, String),
    /// The tenant is refused for its offboarding.
    TenantEnded(TenantId, Revision),
    /// The region has heard that an offboarding was taken back. What it serves then is the link's business.
    TenantBack(TenantId, Revision),
    /// The tenant, which a failover has brought to the region or back, is served.
    Served(TenantId, Revision),
    /// The tenant is served under the link of this revision.
    Linked(TenantId, Revision),
    /// The tenant is refused by the unlink of this revision.
    Unlinked(TenantId, Revision),
}

/// What one look at a region showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is so.
    Yes(&'static str),
    /// It will not become so by waiting.
    Settled(String),
    /// Not yet; this is how it is.
    NotYet(String),
}

impl Expected {
    /// Where a Core shows it.
    pub(super) fn path(&self) -> String {
        match self {
            Self::KeyActive(key, _) | Self::KeyBack(key, _) | Self::KeyEnded(key, ..) => {
                format!("/v1/keys/{key}")
            }
            Self::TenantEnded(tenant, _)
            | Self::TenantBack(tenant, _)
            | Self::Served(tenant, _)
            | Self::Linked(tenant, _)
            | Self::Unlinked(tenant, _) => format!("/v1/tenants/{tenant}"),
        }
    }

    /// Whether a command has not done its work as long as a region does not show it: what is to be refused
    /// everywhere, and the ways back from it.
    pub(super) fn is_binding(&self) -> bool {
        !matches!(self, Self::KeyActive(..) | Self::Linked(..) | Self::Served(..))
    }

    /// Whether it ends something, which has to be refused.
    fn is_end(&self) -> bool {
        matches!(self, Self::KeyEnded(..) | Self::TenantEnded(..) | Self::Unlinked(..))
    }

    /// Whether a region that showed this shows what is expected. What is settled otherwise was told, and is as good
    /// as it gets; but nothing that is to be refused is refused by it.
    pub(super) fn is_met_by(&self, seen: &Seen) -> bool {
        match seen {
            Seen::Yes(_) => true,
            Seen::Settled(_) => !self.is_end(),
            Seen::NotYet(_) => false,
        }
    }

    /// What a region's document says of it.
    pub(super) fn judge(&self, document: &Value) -> Seen {
        let serving = document["serving"] == Value::Bool(true);
        if let Self::KeyEnded(.., generation) = self
            && refusal(document) == Some(Code::KeyPurged)
            && document["generation"] == generation.as_str()
        {
            // Its tombstone may overtake the definition that says so.
            return Seen::Yes("refused, and to be destroyed");
        }
        let (member, revision) = self.revision();
        let held = document.pointer(member).and_then(Value::as_str);
        if held.and_then(|text| text.parse::<Revision>().ok()).is_none_or(|held| held < revision) {
            let unheard = if serving && self.is_end() { "it STILL SERVES: it" } else { "it" };
            return Seen::NotYet(format!("{unheard} has not heard of the change"));
        }
        match self {
            Self::KeyActive(..) | Self::KeyBack(..) if document["active"].is_string() => Seen::Yes("active"),
            Self::KeyActive(..) | Self::KeyBack(..) => not_served(document, "no version yet"),
            Self::KeyEnded(..) => ended(document, &["deleted"]),
            Self::TenantEnded(..) => ended(document, &["offboarded", "withdrawn"]),
            Self::TenantBack(..) => back(document),
            Self::Served(..) => served(document),
            Self::Linked(..) | Self::Unlinked(..) => self.judge_link(document),
        }
    }

    /// The revision that a region is to have applied, and where its document tells that.
    fn revision(&self) -> (&'static str, Revision) {
        match self {
            Self::KeyActive(_, revision)
            | Self::KeyBack(_, revision)
            | Self::KeyEnded(_, revision, _)
            | Self::TenantEnded(_, revision)
            | Self::TenantBack(_, revision)
            | Self::Served(_, revision) => ("/revision", *revision),
            Self::Linked(_, revision) | Self::Unlinked(_, revision) => ("/link/revision", *revision),
        }
    }

    /// What a region's document says of a link that it has heard of.
    fn judge_link(&self, document: &Value) -> Seen {
        let serving = document["serving"] == Value::Bool(true);
        let linked = document.pointer("/link/state").and_then(Value::as_str) == Some("linked");
        match (self, linked, serving) {
            (Self::Unlinked(..), false, false) => Seen::Yes("refused"),
            (Self::Unlinked(..), true, true) => Seen::Settled(
                "it SERVES, under a later link than this Unlink; see `openkcm l1 status`".to_owned(),
            ),
            (Self::Unlinked(..), true, false) => Seen::Settled("it holds a later link".to_owned()),
            (Self::Unlinked(..), false, true) => Seen::NotYet("it still serves".to_owned()),
            (_, false, _) => Seen::Settled("it was unlinked meanwhile".to_owned()),
            (_, true, true) => Seen::Yes("serving"),
            (_, true, false) => not_served(document, "it does not serve yet"),
        }
    }

    /// What it means that a region gave no document.
    pub(super) fn judge_refusal(&self, error: &ClientError) -> Seen {
        match error {
            error if error.code() == Some(Code::UnknownKey) && self.is_end() => {
                Seen::Yes("knows no such thing, so refused")
            }
            ClientError::NoSuchRegion { .. } => Seen::Settled("it is not in the landscape's file".to_owned()),
            ClientError::Unreachable { .. } => Seen::NotYet("it is unreachable".to_owned()),
            error if error.code() == Some(Code::UnknownKey) => {
                Seen::NotYet("it has not heard of the definition".to_owned())
            }
            error => Seen::NotYet(error.to_string()),
        }
    }
}

/// What a region's document says of an end that it has heard of.
fn ended(document: &Value, states: &[&str]) -> Seen {
    let is_ended = document["state"].as_str().is_some_and(|state| states.contains(&state));
    match (is_ended, document["serving"] == Value::Bool(true)) {
        (true, true) => Seen::NotYet("it still serves".to_owned()),
        // The last services of a large system are closed some moments after its own key.
        (true, false) if refusal(document) == Some(Code::Hydrating) => {
            Seen::NotYet("it is still closing or loading its keys".to_owned())
        }
        (true, false) => Seen::Yes("refused"),
        (false, true) => Seen::Settled("it SERVES, under a later definition than this end of it".to_owned()),
        (false, false) => Seen::Settled("it holds a later definition".to_owned()),
    }
}

/// What a region's document says of a tenant's return that it has heard of.
fn back(document: &Value) -> Seen {
    match (document["serving"] == Value::Bool(true), refusal(document)) {
        (true, _) => Seen::Yes("serving"),
        // An offboarding unlinks, and only the tenant's owner links again.
        (false, Some(Code::TenantUnlinked | Code::NotYetKnown)) => {
            Seen::Yes("not served until the tenant's L1 is linked again; heard")
        }
        (false, _) if document["state"] != "active" => {
            Seen::Settled("it holds a later definition of the tenant".to_owned())
        }
        (false, _) => not_served(document, "it does not serve yet"),
    }
}

/// What a region's document says of a tenant that has come to it.
fn served(document: &Value) -> Seen {
    match (document["serving"] == Value::Bool(true), refusal(document)) {
        (true, _) => Seen::Yes("serving"),
        // The CMK Server tells the region of the link when it has heard where the tenant is.
        (false, Some(Code::NotYetKnown)) => Seen::NotYet("it has not heard of a link of its L1".to_owned()),
        (false, Some(Code::TenantUnlinked)) => {
            Seen::Settled("its L1 is unlinked (tenant_unlinked)".to_owned())
        }
        (false, _) => not_served(document, "it does not serve yet"),
    }
}

/// The code with which a document says why nothing is served.
fn refusal(document: &Value) -> Option<Code> {
    document.pointer("/refusal/code").and_then(Value::as_str).and_then(Code::from_text)
}

/// What a refusal inside a region's document means to someone who waits.
fn not_served(document: &Value, otherwise: &str) -> Seen {
    let text = |member| document.pointer(member).and_then(Value::as_str);
    let Some(code) = text("/refusal/code") else { return Seen::NotYet(otherwise.to_owned()) };
    let detail = text("/refusal/detail").unwrap_or_default();
    match Code::from_text(code) {
        Some(Code::NotYetKnown | Code::TenantUnlinked) => {
            Seen::Settled(format!("defined; not served until the tenant's L1 is linked ({code})"))
        }
        Some(Code::UnknownKey) => Seen::NotYet("it has not heard of the definition".to_owned()),
        // What is defined again is shown a moment before it is settled, with the reason from before.
        Some(Code::KeyDisabled | Code::KeyPurged)
            if ["defined", "active"].map(Value::from).contains(&document["state"]) =>
        {
            Seen::NotYet(format!("{code}: {detail}"))
        }
        Some(code) if code.retryable() => Seen::NotYet(format!("{code}: {detail}")),
        _ => Seen::Settled(format!("not served: {detail} ({code})")),
    }
}

#[cfg(test)]
mod tests;
