//! Lists page with a cursor.
//!
//! A cursor is the key of the last item that was shown, so a list that changes between two pages
//! neither repeats nor skips what stayed. It is opaque to callers, who hand it back as they got it.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::params::parse_query_text;
use crate::problem::{Answer, Problem};

/// Items of a page unless the caller says otherwise.
pub const DEFAULT_PAGE_LIMIT: usize = 100;

/// The most items of a page: an answer stays below a megabyte.
pub const MAX_PAGE_LIMIT: usize = 1_000;

/// The longest cursor, prefix or state that is read. Keys are names joined by `/`, far shorter.
const MAX_TEXT_LEN: usize = 1_024;

/// Which part of a list a caller wants. Refused with `invalid_request`, also for unknown parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// The most items to show, 1 to [`MAX_PAGE_LIMIT`].
    pub limit: usize,
    /// Show what comes after this key.
    pub after: Option<String>,
    /// Show only keys that begin so.
    pub prefix: Option<String>,
    /// Show only what is in this state; the handler knows which there are.
    pub state: Option<String>,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self { limit: DEFAULT_PAGE_LIMIT, after: None, prefix: None, state: None }
    }
}

impl PageQuery {
    /// Which part, by the parameters `limit` and `cursor`.
    fn part(limit: Option<&str>, cursor: Option<&str>) -> Answer<Self> {
        let limit = match limit.map(str::parse) {
            None => DEFAULT_PAGE_LIMIT,
            Some(Ok(limit)) if (1..=MAX_PAGE_LIMIT).contains(&limit) => limit,
            Some(_) => {
                let detail = format!("limit: a number from 1 to {MAX_PAGE_LIMIT} is expected");
                return Err(Problem::invalid_request("limit", detail));
            }
        };
        Ok(Self { limit, after: cursor.map(key_of_cursor).transpose()?, prefix: None, state: None })
    }

    /// Makes a page of the items that the store gave, in the order of their keys. Ask the store for
    /// [`PageQuery::fetch`] items: the one beyond the limit is not shown, it tells that there are more.
    pub fn page<T>(&self, mut items: Vec<T>, key_of: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more).map(key_of);
        Page::ending_at(items, last)
    }

    /// How many items to ask the store for: one more than are shown.
    pub fn fetch(&self) -> usize {
        self.limit + 1
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the order of their keys.
    pub items: Vec<T>,
    /// Hand this back as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of a handler that leaves items out and so may end anywhere: `more_after` is the last key
    /// that it read, if there may be more beyond.
    pub fn ending_at(items: Vec<T>, more_after: Option<String>) -> Self {
        Self { items, next_cursor: more_after.map(|key| URL_SAFE_NO_PAD.encode(key)) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        parse_page(&parts.uri)
    }
}

fn parse_page(uri: &Uri) -> Answer<PageQuery> {
    let Filtered(part, NameParams { prefix, state }) = parse_filtered(uri)?;
    Ok(PageQuery { prefix: short("prefix", prefix)?, state: short("state", state)?, ..part })
}

/// Which part of a list a caller wants, of one that has filters of its own: `F` takes what is not the page's.
/// Refused with `invalid_request`, also for parameters that neither knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filtered<F>(pub PageQuery, pub F);

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Filtered<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        parse_filtered(&parts.uri)
    }
}

fn parse_filtered<F: DeserializeOwned>(uri: &Uri) -> Answer<Filtered<F>> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let is_pages = |pair: &&str| ["limit", "cursor"].contains(&pair.split('=').next().unwrap_or_default());
    let (pages, own): (Vec<&str>, Vec<&str>) = pairs.partition(is_pages);
    let PageParams { limit, cursor } = parse_query_text(&pages.join("&"))?;
    let page = PageQuery::part(limit.as_deref(), cursor.as_deref())?;
    let filter = parse_query_text(&own.join("&")).map_err(|mut problem| {
        problem.detail.to_mut().push_str("; every list takes `limit` and `cursor`");
        problem
    });
    Ok(Filtered(page, filter?))
}

/// The parameters of a page, as the OpenAPI document shows them, of a list that has filters of its own.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageParams {
    /// The most items to show.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// The filters of the lists that have no others, as they arrive and as the OpenAPI document shows them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct NameParams {
    /// Show only names that begin so.
    #[param(nullable = false)]
    prefix: Option<String>,
    /// Show only what is in this state.
    #[param(nullable = false)]
    state: Option<String>,
}

fn short(field: &'static str, text: Option<String>) -> Answer<Option<String>> {
    match text {
        Some(text) if text.len() > MAX_TEXT_LEN => {
            Err(Problem::invalid_request(field, format!("{field}: it is longer than {MAX_TEXT_LEN} bytes")))
        }
        text => Ok(text),
    }
}

fn key_of_cursor(cursor: &str) -> Answer<String> {
    let key = (cursor.len() <= MAX_TEXT_LEN).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten();
    key.and_then(|key| String::from_utf8(key).ok()).ok_or_else(|| {
        Problem::invalid_request("cursor", "cursor: hand back the next_cursor of the page before, unchanged")
    })
}

impl IntoParams for PageQuery {
    fn into_params(
        parameter_in: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        let own = NameParams::into_params(&parameter_in);
        PageParams::into_params(parameter_in).into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Answer<PageQuery> {
        parse_page(&format!("/v1/tenants{query}").parse().unwrap())
    }

    #[test]
    fn a_list_is_read_page_by_page_to_its_end() {
        let all: Vec<String> = (0..25).map(|number| format!("tenant-{number:02}")).collect();
        let (mut seen, mut query) = (Vec::new(), read("?limit=10").unwrap());
        let mut pages = 0;
        loop {
            let after = query.after.clone().unwrap_or_default();
            let found = all.iter().filter(|key| **key > after).take(query.fetch()).cloned().collect();
            let page = query.page(found, Clone::clone);
            seen.extend(page.items);
            pages += 1;
            let Some(cursor) = page.next_cursor else { break };
            query = read(&format!("?limit=10&cursor={cursor}")).unwrap();
        }
        assert_eq!((seen, pages), (all, 3));
    }

    #[test]
    fn a_list_that_ends_with_its_page_has_no_next_one() {
        let query = read("?limit=3").unwrap();
        assert_eq!(query.page(vec![1, 2, 3], i32::to_string).next_cursor, None);
    }

    #[test]
    fn a_bad_parameter_is_refused_by_its_name() {
        for (query, field) in [
            ("?limit=0", "limit"),
            ("?limit=1001", "limit"),
            ("?limit=ten", "limit"),
            ("?cursor=%25", "cursor"),
            ("?cursor=_w", "cursor"),
        ] {
            assert_eq!(read(query).unwrap_err().field.as_deref(), Some(field), "{query}");
        }
        let unknown = read("?page=2").unwrap_err().detail;
        assert!(unknown.contains("`prefix`") && unknown.contains("`state`"), "{unknown}");
        assert!(unknown.ends_with("every list takes `limit` and `cursor`"), "{unknown}");
        assert!(read("?limit=1&limit=2").unwrap_err().detail.contains("given twice"));
        assert!(read(&format!("?prefix={}", "x".repeat(1_025))).is_err());
    }

    #[test]
    fn without_parameters_the_first_hundred_are_shown() {
        assert_eq!(read("").unwrap(), PageQuery::default());
    }
}
