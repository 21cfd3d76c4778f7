//! What can go wrong between a caller and a component.
//!
//! A refusal is an answer: [`ClientError::Problem`] carries the component's own words. The others say that
//! there was no answer, or none that this client understands, and whether the request can have arrived.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use openkcm_contracts::problem::Code;
use serde::Deserialize;

use crate::call::Component;
use crate::failover::NoRegion;

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The component refused.
    #[error(transparent)]
    Problem(Box<ProblemDocument>),
    /// Nobody answers at the component's address: the request did not arrive.
    #[error("{component} at {url} is unreachable: is it running?")]
    Unreachable {
        /// Who was called.
        component: Component,
        /// Its address.
        url: String,
        /// What the HTTP library says.
        source: reqwest::Error,
    },
    /// The component and this caller do not accept each other's certificates: the request did not arrive.
    #[error(
        "{component} at {url} is not trusted, or does not trust this caller: see whether the landscape's `ca` and `credential` are of the same landscape as the component, and have not expired"
    )]
    Distrust {
        /// Who was called.
        component: Component,
        /// Its address.
        url: String,
        /// What the HTTP library says.
        source: reqwest::Error,
    },
    /// The connection failed after the request was sent: it may have had its effect. Every write is
    /// idempotent, so it can be sent again.
    #[error("{component} at {url} did not answer to the end; send it again")]
    Interrupted {
        /// Who was called.
        component: Component,
        /// Its address.
        url: String,
        /// What the HTTP library says.
        source: reqwest::Error,
    },
    /// The answer is none of this API: another program listens there, or another version.
    #[error("{component} at {url} answered with {what}: is that address right?")]
    Protocol {
        /// Who was called.
        component: Component,
        /// Its address.
        url: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The landscape has no such region.
    #[error("the landscape has no region {name:?}; it has: {known}")]
    NoSuchRegion {
        /// The name that was asked for; empty if any would have done.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// Several regions were asked, or failed lately, and none served: what each of them said.
    #[error(transparent)]
    NoRegionServes(NoRegion),
}

impl ClientError {
    /// The code of a refusal; `None` for all else, and for codes that this version does not know.
    pub fn code(&self) -> Option<Code> {
        self.problem().and_then(|problem| problem.code)
    }

    /// Whether it is certain that the component has not had the request. Of several regions that is not said.
    pub fn never_arrived(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Distrust { .. })
    }

    /// The refusal, if it is one; of those of several regions the most useful.
    pub fn problem(&self) -> Option<&ProblemDocument> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::NoRegionServes(none) => none.problem(),
            _ => None,
        }
    }
}

/// A component's refusal (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemDocument {
    /// The HTTP status.
    pub status: u16,
    /// The code, if this version knows it.
    pub code: Option<Code>,
    /// The code as it was sent.
    pub code_text: String,
    /// A summary that is the same for every occurrence of the code.
    pub title: String,
    /// What was wrong this time.
    pub detail: String,
    /// The field, parameter or name that is to blame.
    pub field: Option<String>,
    /// When to try again, if the component said so.
    pub retry_after: Option<Duration>,
}

/// The document as it arrives; members that are not known are left out.
#[derive(Deserialize)]
struct Wire {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    field: Option<String>,
}

impl ProblemDocument {
    /// Reads the body of an answer; `None` if it is no problem document.
    pub(crate) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Option<Self> {
        let Wire { code, title, detail, field } = serde_json::from_slice(body).ok()?;
        Some(Self {
            status,
            code: Code::from_text(&code),
            code_text: code,
            title,
            detail,
            field,
            retry_after,
        })
    }

    /// Whether the same request may succeed later, unchanged. Of a code that this version does not know,
    /// a 503 may.
    pub fn retryable(&self) -> bool {
        self.code.map_or(self.status == 503, Code::retryable)
    }
}

impl fmt::Display for ProblemDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.title, self.detail, self.code_text)
    }
}

impl Error for ProblemDocument {}
