//! Refusals: RFC 9457 problem documents with a stable code.
//!
//! A client decides by `code`; a person reads `title`, `detail` and the code's section in
//! `docs/errors.md`. The `type` is the code as a URN: a name to compare, not an address to fetch, so
//! that a document means the same wherever the component runs.
//!
//! What always holds: `detail` is for the caller. What an operator needs beyond it goes to the log by
//! [`Problem::internal`], and what a request's body held goes to neither.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{IdError, KeyPathError, VersionIdError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem document (RFC 9457, section 3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// When a caller may try again unless the problem says otherwise.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a handler answers: a value, or the problem that kept it from one.
pub type Answer<T> = Result<T, Problem>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What clients decide by; it brings the status, the title and whether to retry.
    pub code: Code,
    /// What was wrong this time, and what to do about it. Never a value out of the request's body.
    pub detail: Cow<'static, str>,
    /// The field, parameter or name that is to blame, such as `roots[0].provider`.
    pub field: Option<Cow<'static, str>>,
    /// When to try again, for the retryable codes. Whole seconds are sent, rounded up; 1 s by default.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A refusal with this code.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), field: None, retry_after: None }
    }

    /// The request is not what the operation takes, in this field.
    pub fn invalid_request(
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(Code::InvalidRequest, detail).field(field)
    }

    /// A defect of this component: the error and its causes go to the log, the caller learns neither.
    /// `doing` says what the component was at, such as `listing tenants`.
    pub fn internal(doing: &'static str, error: &dyn Error) -> Self {
        tracing::error!(doing, error = %Causes(error), "request failed");
        Self::new(Code::Internal, format!("{doing} failed; this component's log says why"))
    }

    /// The component's own store does not take the change or does not answer. Logged as
    /// [`Problem::internal`] does.
    pub fn store_unavailable(doing: &'static str, error: &dyn Error) -> Self {
        tracing::error!(doing, error = %Causes(error), "store failed");
        Self::new(Code::StoreUnavailable, format!("{doing}: the store does not answer; nothing was changed"))
    }

    /// Names what is to blame.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The HTTP status of this problem.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).expect("the table of codes holds valid statuses only")
    }

    /// The document as it is sent.
    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:openkcm:problem:{}", self.code),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.clone().into_owned(),
            code: self.code.as_str().to_owned(),
            field: self.field.clone().map(Cow::into_owned),
        }
    }

    fn wait(&self) -> Option<HeaderValue> {
        let wait = self.code.retryable().then(|| self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER))?;
        Some(HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
    }
}

/// A problem document: the body of every answer whose status is 400 or above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:openkcm:problem:unknown_tenant",
    "title": "There is no such tenant",
    "status": 404,
    "detail": "tenant acme is not defined",
    "code": "unknown_tenant",
    "field": "tenant",
}))]
pub struct ProblemBody {
    /// The code as a URN; compared, never fetched.
    #[serde(rename = "type")]
    pub kind: String,
    /// A summary that is the same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What was wrong this time.
    pub detail: String,
    /// The stable code: decide by this one. Later versions may send codes that are not known yet.
    pub code: String,
    /// The field, parameter or name that is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
}

/// The code of a problem, left with its response for those who count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) Code);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).expect("a problem holds nothing but texts and a number");
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.wait() {
            headers.insert(RETRY_AFTER, wait);
        }
        response.extensions_mut().insert(Refused(self.code));
        response
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Error for Problem {}

impl From<IdError> for Problem {
    fn from(error: IdError) -> Self {
        Self::new(Code::InvalidId, error.to_string()).field(error.field)
    }
}

impl From<KeyPathError> for Problem {
    fn from(error: KeyPathError) -> Self {
        match error {
            KeyPathError::Id(error) => error.into(),
            KeyPathError::Parts { .. } => Self::new(Code::InvalidId, error.to_string()).field("key"),
        }
    }
}

impl From<VersionIdError> for Problem {
    fn from(error: VersionIdError) -> Self {
        Self::new(Code::InvalidId, error.to_string()).field("version")
    }
}

/// An error and its causes on one line.
struct Causes<'a>(&'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::TenantId;

    use super::*;

    #[test]
    fn a_problem_is_sent_with_its_status_its_type_and_no_store() {
        let response = Problem::new(Code::UnknownTenant, "tenant acme is not defined").into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn a_retryable_problem_says_when_in_whole_seconds_rounded_up() {
        let waits = |problem: Problem| problem.into_response().headers()[RETRY_AFTER].clone();
        assert_eq!(waits(Problem::new(Code::Hydrating, "")), "1");
        let soon = Problem::new(Code::NotYetKnown, "").retry_after(Duration::from_millis(2_001));
        assert_eq!(waits(soon), "3");
    }

    #[test]
    fn the_document_names_the_field_only_when_there_is_one() {
        let body = serde_json::to_value(Problem::new(Code::Internal, "x").body()).unwrap();
        assert_eq!(body["type"], "urn:openkcm:problem:internal");
        assert!(body.get("field").is_none());
    }

    #[test]
    fn a_bad_name_becomes_invalid_id_and_names_its_field() {
        let problem: Problem = TenantId::new("ACME").unwrap_err().into();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::InvalidId, Some("tenant")));
        assert!(problem.detail.contains("'A' at position 1"));
    }

    #[test]
    fn the_caller_does_not_learn_the_cause_of_a_defect() {
        let problem = Problem::internal("reading", &std::io::Error::other("secret cause"));
        assert!(!problem.detail.contains("secret"));
    }
}
