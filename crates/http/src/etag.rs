//! Entity tags: a resource's tag is its revision, and `If-Match` is honoured (RFC 9110, sections 8.8.3
//! and 13.1.1).
//!
//! What always holds: a tag that this component did not write matches nothing. Weak tags are such, since
//! `If-Match` compares strongly.

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use openkcm_contracts::Revision;
use openkcm_contracts::problem::Code;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, Required};

use crate::problem::{Answer, Problem};

/// The precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IfMatch {
    /// There is no `If-Match`.
    #[default]
    Absent,
    /// `If-Match: *`: any revision, as long as there is one.
    Any,
    /// One of these revisions. Tags that can't be ours are left out, so the list may be empty.
    OneOf(Vec<Revision>),
}

impl IfMatch {
    /// Whether the write may go ahead on a resource at this revision; `None` is one that does not exist.
    pub fn holds(&self, present: Option<Revision>) -> bool {
        match self {
            Self::Absent => true,
            Self::Any => present.is_some(),
            Self::OneOf(revisions) => present.is_some_and(|present| revisions.contains(&present)),
        }
    }

    /// Lets a write go ahead whose precondition holds, or that has none.
    ///
    /// # Errors
    /// `precondition_failed`, which tells the present revision.
    pub fn check(&self, present: Option<Revision>) -> Answer<()> {
        if self.holds(present) {
            return Ok(());
        }
        let detail = match present {
            Some(present) => format!("the resource is at revision {present}; read it again, then decide"),
            None => "the resource does not exist".to_owned(),
        };
        Err(Problem::new(Code::PreconditionFailed, detail))
    }

    /// As [`IfMatch::check`], for writes that would undo something when they come late: those must say
    /// which revision they mean, and `*` does not.
    ///
    /// # Errors
    /// `precondition_required` without a revision, `precondition_failed` with one that does not hold.
    pub fn require(&self, present: Option<Revision>) -> Answer<()> {
        if matches!(self, Self::Absent | Self::Any) {
            let detail =
                "this change undoes an earlier one: read the resource, and send its ETag as If-Match";
            return Err(Problem::new(Code::PreconditionRequired, detail));
        }
        self.check(present)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        let lines: Vec<&HeaderValue> = parts.headers.get_all(IF_MATCH).iter().collect();
        if lines.is_empty() {
            return Ok(Self::Absent);
        }
        // Several lines are one list (RFC 9110, section 5.3).
        let lines: Option<Vec<&str>> = lines.into_iter().map(|line| line.to_str().ok()).collect();
        lines.and_then(|lines| parse(&lines.join(","))).ok_or_else(|| {
            Problem::invalid_request("If-Match", r#"If-Match is `*` or a list of entity tags such as "1.42""#)
        })
    }
}

/// Reads `*` or `1#entity-tag`, in which a list may have empty elements (RFC 9110, section 5.6.1).
fn parse(text: &str) -> Option<IfMatch> {
    if text.trim() == "*" {
        return Some(IfMatch::Any);
    }
    let mut rest = text;
    let mut tags = 0;
    let mut revisions = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (tags > 0).then_some(IfMatch::OneOf(revisions));
        }
        let weak = rest.strip_prefix("W/");
        let (tag, after) = weak.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte)) {
            return None;
        }
        if weak.is_none() {
            revisions.extend(tag.parse::<Revision>());
        }
        tags += 1;
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// For `params(IfMatch)` of an operation's description.
impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String).examples(["\"1.42\""]);
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("Go ahead only if the resource's ETag is one of these; `*` for any."))
            .schema(Some(schema));
        vec![parameter.build()]
    }
}

/// An answer with the revision of the resource that it shows as its `ETag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithEtag<T>(pub Revision, pub T);

impl<T: IntoResponse> IntoResponse for WithEtag<T> {
    fn into_response(self) -> Response {
        let etag = HeaderValue::try_from(self.0.etag()).expect("a revision is digits and a dot");
        ([(ETAG, etag)], self.1).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn read(lines: &[&str]) -> Answer<IfMatch> {
        let request = lines.iter().fold(Request::builder(), |request, line| request.header(IF_MATCH, *line));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        IfMatch::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_list_may_be_spread_over_lines_and_have_empty_elements() {
        let both = IfMatch::OneOf(vec![Revision::new(1, 2), Revision::new(3, 4)]);
        assert_eq!(read(&["\"1.2\",, \"3.4\""]).await, Ok(both.clone()));
        assert_eq!(read(&["\"1.2\"", "\"3.4\""]).await, Ok(both));
        assert_eq!(read(&[]).await, Ok(IfMatch::Absent));
        assert_eq!(read(&[" * "]).await, Ok(IfMatch::Any));
    }

    #[tokio::test]
    async fn a_weak_or_foreign_tag_is_well_formed_and_matches_nothing() {
        for text in ["W/\"1.2\"", "\"xyz\"", "\"01.2\"", "\"a,b\"", "\"\""] {
            let condition = read(&[text]).await.unwrap();
            assert_eq!(condition, IfMatch::OneOf(vec![]), "{text}");
            let problem = condition.check(Some(Revision::new(1, 2))).unwrap_err();
            assert_eq!(problem.code, Code::PreconditionFailed);
        }
    }

    #[tokio::test]
    async fn what_is_no_list_of_tags_is_refused() {
        for text in ["1.2", "\"1.2", "\"1.2\" \"3.4\"", "w/\"1.2\"", "*, \"1.2\"", ",", "", "\"1.2\"x"] {
            assert_eq!(read(&[text]).await.unwrap_err().code, Code::InvalidRequest, "{text}");
        }
    }

    #[test]
    fn any_needs_something_that_exists_and_absent_needs_nothing() {
        let present = Some(Revision::new(1, 2));
        assert!(IfMatch::Absent.holds(None) && IfMatch::Absent.holds(present));
        assert!(!IfMatch::Any.holds(None) && IfMatch::Any.holds(present));
    }

    #[test]
    fn a_change_that_undoes_needs_the_revision_it_means() {
        let present = Some(Revision::new(1, 2));
        for condition in [IfMatch::Absent, IfMatch::Any] {
            assert_eq!(condition.require(present).unwrap_err().code, Code::PreconditionRequired);
        }
        assert_eq!(IfMatch::OneOf(vec![Revision::new(1, 2)]).require(present), Ok(()));
        let late = IfMatch::OneOf(vec![Revision::new(1, 1)]).require(present).unwrap_err();
        assert_eq!(late.code, Code::PreconditionFailed);
        assert!(late.detail.contains("1.2"));
    }

    #[test]
    fn an_answer_carries_its_revision() {
        assert_eq!(WithEtag(Revision::new(1, 42), ()).into_response().headers()[ETAG], "\"1.42\"");
    }
}
