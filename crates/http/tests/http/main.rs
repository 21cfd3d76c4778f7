//! The service as its callers meet it: over real sockets, through the whole border.
//!
//! One binary; each file is one promise. Nothing here waits by sleeping: a test waits for the answer or
//! for the end of the connection.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod border;
mod certificates;
mod documents;
mod harness;
mod limits;
mod shutdown;
mod tls;
