//! A collection, page by page.

use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;

/// A collection that is read page by page; each page is one request, made when it is asked for.
pub struct Listing<'c> {
    client: &'c Client,
    call: Call,
    next: Next,
}

enum Next {
    First,
    After(String),
    End,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl<'c> Listing<'c> {
    pub(crate) fn new(client: &'c Client, call: Call) -> Self {
        Self { client, call, next: Next::First }
    }

    /// Shows only names that begin so.
    #[must_use]
    pub fn prefix(mut self, prefix: Option<&str>) -> Self {
        self.call = self.call.query("prefix", prefix);
        self
    }

    /// Shows only what is in this state.
    #[must_use]
    pub fn state(mut self, state: Option<&str>) -> Self {
        self.call = self.call.query("state", state);
        self
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Value>>, ClientError> {
        let call = match std::mem::replace(&mut self.next, Next::End) {
            Next::End => return Ok(None),
            Next::First => self.call.clone(),
            Next::After(cursor) => self.call.clone().query("cursor", Some(cursor)),
        };
        let page: Page = self.client.typed(&call).await?;
        self.next = page.next_cursor.map_or(Next::End, Next::After);
        Ok(Some(page.items))
    }

    /// The first items, as many pages as it takes, and whether there are more.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn up_to(mut self, limit: usize) -> Result<(Vec<Value>, bool), ClientError> {
        let mut items = Vec::new();
        while items.len() <= limit {
            let Some(page) = self.next_page().await? else { break };
            items.extend(page);
        }
        let more = items.len() > limit;
        items.truncate(limit);
        Ok((items, more))
    }

    /// All pages at once.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn all(mut self) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        while let Some(page) = self.next_page().await? {
            items.extend(page);
        }
        Ok(items)
    }
}
