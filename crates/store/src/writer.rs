//! The one writer of a store: takes changes in order, and commits those that wait together.
//!
//! A change that fails (or panics) takes only itself back: the first of a commit with its whole transaction,
//! those that join it with a savepoint each. Replies are sent after the commit was synced, never before.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use crate::sqlite::run;
use crate::view::View;
use crate::{StoreError, Write};

/// Changes that may wait for the writer before those who bring more have to wait themselves.
pub(crate) const MAX_WAITING_JOBS: usize = 1024;

/// Changes that share one commit at most: bounds how long the first of them waits for the last.
const MAX_JOBS_PER_COMMIT: usize = 256;

/// Tells whoever asked for a change how the commit went.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A change: says whether its writes are to be kept, and how to answer.
pub(crate) type Job = Box<dyn FnOnce(&mut dyn Write) -> (bool, Reply) + Send>;

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) queue: mpsc::Receiver<Job>,
    pub(crate) committed: watch::Sender<u64>,
    /// Held for as long as the database is open.
    pub(crate) lock: File,
}

impl Writer {
    pub(crate) fn spawn(self) {
        // Changes are applied on this thread, and what they log is logged here: it keeps the name of whose store it is.
        let opener = std::thread::current().name().unwrap_or("unnamed").to_owned();
        std::thread::Builder::new()
            .name(format!("{opener} store-writer"))
            .spawn(move || self.run())
            .expect("the operating system starts one thread per store at start-up");
    }

    fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut replies = Vec::new();
            let outcome = self.commit(first, &mut replies);
            if let Err(error) = &outcome {
                let (database, changes) = (self.connection.path(), replies.len());
                tracing::error!(%error, changes, database, "a commit failed; its changes were refused");
                // Without an open transaction this fails, and there is nothing to take back.
                let _ = self.connection.execute_batch("ROLLBACK");
            } else {
                self.committed.send_modify(|count| *count += 1);
            }
            for reply in replies {
                reply(outcome.clone());
            }
        }
        drop(self.lock);
    }

    fn commit(&mut self, first: Job, replies: &mut Vec<Reply>) -> Result<(), StoreError> {
        let connection = &self.connection;
        let mut view = View::new(connection);
        run(connection, "BEGIN IMMEDIATE")?;
        // Before it there is nothing to keep, so the whole transaction is taken back for it. A savepoint has
        // SQLite copy each page that the change touches, and a backlog's changes touch many.
        let (kept, reply) = try_change(&mut view, first);
        replies.extend(reply);
        if !kept {
            run(connection, "ROLLBACK")?;
            run(connection, "BEGIN IMMEDIATE")?;
        }
        while replies.len() < MAX_JOBS_PER_COMMIT
            && let Ok(job) = self.queue.try_recv()
        {
            run(connection, "SAVEPOINT change")?;
            let (kept, reply) = try_change(&mut view, job);
            if !kept {
                run(connection, "ROLLBACK TO change")?;
            }
            run(connection, "RELEASE change")?;
            replies.extend(reply);
        }
        run(connection, "COMMIT")?;
        Ok(())
    }
}

/// Runs one change; says whether its writes are to be kept. One that panics has no reply: its caller sees the
/// store as closed to it.
fn try_change(view: &mut View<'_>, job: Job) -> (bool, Option<Reply>) {
    match catch_unwind(AssertUnwindSafe(|| job(view))) {
        Ok((kept, reply)) => (kept, Some(reply)),
        Err(_panic) => (false, None),
    }
}
