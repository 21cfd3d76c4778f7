//! One connection within a transaction, as [`Read`] and [`Write`].
//!
//! Statements are looked up by their text once in a transaction, not once in a call: a component that takes in
//! a backlog makes thousands of calls in one. What always holds: both ends of a range are sought, nothing reads
//! a table to its end to find out that it has read enough.

use std::cell::RefCell;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::read_write::prefix_end;
use crate::{Item, Read, Scan, Space, StoreError, Write};

/// A connection, within a transaction.
pub(crate) struct View<'c> {
    connection: &'c Connection,
    statements: RefCell<Vec<(Space, Access, CachedStatement<'c>)>>,
}

/// What a statement does. A range is from a key on or after it, and up to an end or open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Get,
    Put,
    Delete,
    Scan { after: bool, ends: bool },
    Last { ends: bool },
}

impl Access {
    /// Its text. The upper bound stands as SQLite can seek to it: behind `?3 IS NULL OR …` every row from the
    /// prefix to the end of the table would be read, and thrown away.
    fn sql(self, Space(name): Space) -> String {
        let below = |ends| if ends { "AND key < ?3" } else { "" };
        match self {
            Self::Get => format!("SELECT value FROM {name} WHERE key = ?1"),
            Self::Put => format!(
                "INSERT INTO {name} (key, value) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            Self::Delete => format!("DELETE FROM {name} WHERE key = ?1"),
            Self::Scan { after, ends } => format!(
                "SELECT key, value FROM {name} WHERE key {} ?1 {} ORDER BY key LIMIT ?2",
                if after { ">" } else { ">=" },
                below(ends)
            ),
            Self::Last { ends } => format!(
                "SELECT key, value FROM {name} WHERE key >= ?1 {} ORDER BY key DESC LIMIT ?2",
                below(ends)
            ),
        }
    }
}

impl<'c> View<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, statements: RefCell::new(Vec::new()) }
    }

    fn with<T>(
        &self,
        space: Space,
        access: Access,
        run: impl FnOnce(&mut CachedStatement<'c>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut statements = self.statements.borrow_mut();
        let found = statements.iter().position(|(of, does, _)| *does == access && *of == space);
        let at = match found {
            Some(at) => at,
            None => {
                let statement = self.connection.prepare_cached(&access.sql(space))?;
                statements.push((space, access, statement));
                statements.len() - 1
            }
        };
        Ok(run(&mut statements[at].2)?)
    }
}

impl Read for View<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(space, Access::Get, |statement| {
            statement.query_row(params![key], |row| row.get(0)).optional()
        })
    }

    fn scan(&self, space: Space, scan: Scan<'_>) -> Result<Vec<Item>, StoreError> {
        // `after` is greater than or equal to the prefix or of no effect; the empty key sorts first
        // and no component uses it.
        let after = scan.after.filter(|after| *after >= scan.prefix);
        let end = prefix_end(scan.prefix);
        let limit = i64::try_from(scan.limit).unwrap_or(i64::MAX);
        let from = after.unwrap_or(scan.prefix);
        let access = Access::Scan { after: after.is_some(), ends: end.is_some() };
        self.with(space, access, |statement| {
            let rows = match end {
                Some(end) => statement.query_map(params![from, limit, end], item)?,
                None => statement.query_map(params![from, limit], item)?,
            };
            rows.collect()
        })
    }

    fn last(&self, space: Space, prefix: &[u8]) -> Result<Option<Item>, StoreError> {
        let end = prefix_end(prefix);
        self.with(space, Access::Last { ends: end.is_some() }, |statement| {
            let found = match end {
                Some(end) => statement.query_row(params![prefix, 1, end], item),
                None => statement.query_row(params![prefix, 1], item),
            };
            found.optional()
        })
    }
}

impl Write for View<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.with(space, Access::Put, |statement| statement.execute(params![key, value])).map(drop)
    }

    fn delete(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        self.with(space, Access::Delete, |statement| statement.execute(params![key])).map(drop)
    }

    fn as_read(&self) -> &dyn Read {
        self
    }
}

fn item(row: &rusqlite::Row<'_>) -> rusqlite::Result<Item> {
    Ok((row.get(0)?, row.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_access_seeks_and_none_sorts_or_reads_a_table_to_its_end() {
        let connection = Connection::open_in_memory().expect("memory");
        connection.execute_batch(&crate::layout::create(Space("fruit"))).expect("a table");
        let plan = |access: Access| -> Vec<String> {
            let query = format!("EXPLAIN QUERY PLAN {}", access.sql(Space("fruit")));
            let mut statement = connection.prepare(&query).expect("a plan");
            // What is not bound is NULL; nothing is executed.
            let mut rows = statement.raw_query();
            let mut steps = Vec::new();
            while let Some(row) = rows.next().expect("a plan") {
                steps.push(row.get(3).expect("text"));
            }
            steps
        };
        let ranges = [false, true].into_iter().flat_map(|ends| {
            let scans = [false, true].map(|after| Access::Scan { after, ends });
            scans.into_iter().chain([Access::Last { ends }]).map(move |access| (access, ends))
        });
        for (access, ends) in ranges {
            let bounds = if ends { "(key>? AND key<?)" } else { "(key>?)" };
            let steps = plan(access);
            assert!(steps.len() == 1 && steps[0].ends_with(bounds), "{access:?}: {steps:?}");
        }
        for access in [Access::Get, Access::Delete] {
            let steps = plan(access);
            assert!(steps.len() == 1 && steps[0].ends_with("(key=?)"), "{access:?}: {steps:?}");
        }
    }
}
