//! What the lists of all levels share: which part is asked for, and the page that answers it.

use openkcm_http::{Answer, Page, PageQuery, Problem};

use crate::queries::{Filter, Listing, Part, Shown};

/// Reads the parameters of a list; `live` and `ended` are this level's names of the two standings.
pub(crate) fn part(query: PageQuery, live: &str, ended: &[&str]) -> Answer<Part> {
    let filter = match query.state.as_deref() {
        None => Filter::Live,
        Some("all") => Filter::All,
        Some(state) if state == live => Filter::Live,
        Some(state) if ended.contains(&state) => Filter::Ended,
        Some(_) => {
            let detail = format!("state: {live}, {} or all is expected", ended.join(", "));
            return Err(Problem::invalid_request("state", detail));
        }
    };
    let PageQuery { limit, after, prefix, .. } = query;
    Ok(Part { prefix: prefix.unwrap_or_default(), after, limit, filter })
}

/// The page that shows a listing.
pub(crate) fn page<R, D>(listing: Listing<R>, show: impl Fn(Shown<R>) -> D) -> Page<D> {
    Page::ending_at(listing.items.into_iter().map(show).collect(), listing.more_after)
}
