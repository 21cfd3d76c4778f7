//! What a path and a query say: names that are checked where they enter, and parameters.
//!
//! axum's own extractors refuse with plain texts that repeat the value; these refuse with problem
//! documents. Names in paths are no secrets, so what is wrong with one is said exactly.

use std::error::Error;
use std::str::FromStr;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::Uri;
use axum::http::request::Parts;
use openkcm_contracts::problem::Code;
use serde::de::DeserializeOwned;
use serde::de::value::Error as ValueError;

use crate::explain::bad_value;
use crate::problem::{Answer, Problem};

/// The names in the route's path, in order: `Names((tenant, system)): Names<(TenantId, SystemId)>`, or
/// one alone: `Names(tenant): Names<TenantId>`.
///
/// Refused with `invalid_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(rejection) => Err(bad_path(rejection)),
        }
    }
}

fn bad_path(rejection: PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(rejection) = rejection else {
        return Problem::internal("reading the path", &rejection);
    };
    match rejection.into_kind() {
        ErrorKind::DeserializeError { key, message, .. } => bad_name(message, Some(key)),
        ErrorKind::Message(message) => bad_name(message, None),
        ErrorKind::InvalidUtf8InPathParam { key } => {
            Problem::new(Code::InvalidId, format!("{key}: it is not UTF-8 once percent-decoded")).field(key)
        }
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            Problem::new(Code::InvalidId, format!("{key}: {expected_type} is expected")).field(key)
        }
        ErrorKind::ParseError { expected_type, .. } | ErrorKind::ParseErrorAtIndex { expected_type, .. } => {
            Problem::new(Code::InvalidId, format!("a part of the path is no {expected_type}"))
        }
        kind => {
            tracing::error!(%kind, "a handler's names do not fit its route");
            Problem::new(Code::Internal, "this route is set up wrongly")
        }
    }
}

/// What an id's own check says begins with its field; what other checks say is told by the route's name.
fn bad_name(message: String, key: Option<String>) -> Problem {
    let own = message.split_once(": ").map(|(field, _)| field);
    let own = own.filter(|field| field.bytes().all(|byte| byte.is_ascii_lowercase())).map(str::to_owned);
    let detail = match (&own, &key) {
        (None, Some(key)) => format!("{key}: {message}"),
        _ => message,
    };
    own.or(key).into_iter().fold(Problem::new(Code::InvalidId, detail), Problem::field)
}

/// Takes an id out of a text of the request, such as an element of a body.
///
/// # Errors
/// `invalid_id`, with the field's name and what is wrong. It repeats at most one character of the text.
pub fn parse_id<T: FromStr>(text: &str) -> Answer<T>
where
    Problem: From<T::Err>,
{
    text.parse().map_err(Problem::from)
}

/// The parameters of the query. Unknown ones are refused when `T` denies unknown fields. Take values that
/// can be wrong as texts and parse them in the handler, which can say better what it expects.
///
/// Refused with `invalid_request`, which names the parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        parse_query(&parts.uri).map(Self)
    }
}

/// Reads the `a=b&c=d` of an address, percent-decoded.
pub(crate) fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Answer<T> {
    let rejection = match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(params)) => return Ok(params),
        Err(rejection) => rejection,
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(&rejection);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<serde_path_to_error::Error<ValueError>>() {
            return Err(bad_value(error.path(), &error.inner().to_string()));
        }
        cause = error.source();
    }
    Err(Problem::new(Code::InvalidRequest, "the query is not a list of percent-encoded `name=value` pairs"))
}

/// As [`parse_query`], of a part of one.
pub(crate) fn parse_query_text<T: DeserializeOwned>(query: &str) -> Answer<T> {
    let uri = format!("/?{query}").parse::<Uri>();
    let uri = uri.map_err(|_| Problem::new(Code::InvalidRequest, "the query is not one of an address"))?;
    parse_query(&uri)
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::{RegionId, VersionId};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Delete {
        purge_after: Option<String>,
    }

    fn read(query: &str) -> Answer<Delete> {
        parse_query(&format!("/v1/x{query}").parse().unwrap())
    }

    #[test]
    fn a_parameter_is_percent_decoded_and_may_be_absent() {
        assert_eq!(read("").unwrap().purge_after, None);
        assert_eq!(read("?").unwrap().purge_after, None);
        assert_eq!(read("?purge_after=7%64").unwrap().purge_after.as_deref(), Some("7d"));
    }

    #[test]
    fn an_unknown_or_doubled_parameter_is_refused_without_its_text() {
        let unknown = read("?purge-after=CANARY&CANARY").unwrap_err();
        assert_eq!(unknown.code, Code::InvalidRequest);
        assert!(unknown.detail.contains("expected `purge_after`") && !unknown.detail.contains("CANARY"));
        assert!(read("?purge_after=1d&purge_after=2d").unwrap_err().detail.contains("given twice"));
    }

    #[test]
    fn an_id_of_a_body_says_which_field_it_was() {
        let problem = parse_id::<RegionId>("EU").unwrap_err();
        assert_eq!((problem.code, problem.field.as_deref()), (Code::InvalidId, Some("region")));
        assert_eq!(parse_id::<VersionId>("x").unwrap_err().code, Code::InvalidId);
    }
}
