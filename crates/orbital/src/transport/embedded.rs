//! The embedded mesh: in this process, durable on the local disk. The default of `openkcm dev`.
//!
//! Each stream is a numbered log; on a compacted lane a message replaces the earlier one of its
//! subject, unless that one is newer by its author's revision. A lane that is not compacted keeps its
//! last [`KEPT_UNCOMPACTED`] messages.

use std::collections::BTreeMap;

use async_trait::async_trait;
use openkcm_host::Entropy;
use openkcm_store::{OpenOptions, Read, Scan, Space, Store, StoreError, Table, Write};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Batch, Delivered, Position, Published, Subscription, Transport, TransportError};
use crate::{Address, Message, Stream};

/// Messages of a stream that is not compacted: some minutes of manifests and queries.
const KEPT_UNCOMPACTED: u64 = 1024;

const MESSAGES: Table<Stored> = Table::new("messages");
const SUBJECTS: Table<Retained> = Table::new("subjects");
const HEADS: Table<u64> = Table::new("heads");
const MESH: Table<String> = Table::new("mesh");

/// A message as its stream keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    subject: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// The last message of a subject.
#[derive(Debug, Serialize, Deserialize)]
struct Retained {
    sequence: u64,
    revision: Option<openkcm_contracts::Revision>,
}

/// The mesh in this process. Clones share it.
#[derive(Debug, Clone)]
pub struct Embedded {
    store: Store,
    mesh: String,
}

impl Embedded {
    /// Opens the mesh that lies in this file, or makes it.
    ///
    /// # Errors
    /// When the file can't be used.
    pub async fn open(path: &std::path::Path, entropy: &dyn Entropy) -> Result<Self, StoreError> {
        const SPACES: &[Space] = &[MESSAGES.space(), SUBJECTS.space(), HEADS.space(), MESH.space()];
        let options = OpenOptions { path: path.into(), identity: "orbital".into(), spaces: &[SPACES] };
        let store = Store::open(&options)?;
        let mut id = [0; 8];
        entropy.fill(&mut id);
        let fresh: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mesh = store
            .write(move |tx| match MESH.get(tx.as_read(), "id")? {
                Some(id) => Ok(id),
                None => MESH.put(tx, "id", &fresh).map(|()| fresh),
            })
            .await
            .map_err(|error: StoreError| error)?;
        Ok(Self { store, mesh })
    }
}

fn unavailable(error: StoreError) -> TransportError {
    TransportError::Unavailable(error.to_string())
}

#[async_trait]
impl Transport for Embedded {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        let published = self.store.write(move |tx| {
            messages.iter().map(|message| append(tx, message)).collect::<Result<Vec<_>, _>>()
        });
        published.await.map_err(unavailable)
    }

    async fn subscribe(
        &self,
        stream: &Stream,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        let after =
            after.filter(|position| position.mesh == self.mesh).map_or(0, |position| position.sequence);
        Ok(Box::new(Reader {
            stream: stream.clone(),
            mesh: self.mesh.clone(),
            after,
            told_caught_up: false,
            commits: self.store.commits(),
            store: self.store.clone(),
        }))
    }
}

fn append(tx: &mut dyn Write, message: &Message) -> Result<Published, StoreError> {
    let Address { stream, subject } = &message.address;
    let subject_key = format!("{stream}/{subject}");
    let revision = message.revision();
    if stream.lane.compacted()
        && let Some(retained) = SUBJECTS.get(tx.as_read(), &subject_key)?
    {
        if retained.revision > revision {
            return Ok(Published::Superseded);
        }
        MESSAGES.delete(tx, &message_key(stream, retained.sequence))?;
    }
    let sequence = HEADS.get(tx.as_read(), &stream.to_string())?.unwrap_or(0) + 1;
    HEADS.put(tx, &stream.to_string(), &sequence)?;
    let stored = Stored {
        subject: subject.clone(),
        headers: message.headers.clone(),
        body: String::from_utf8_lossy(&message.body).into_owned(),
    };
    MESSAGES.put(tx, &message_key(stream, sequence), &stored)?;
    if stream.lane.compacted() {
        SUBJECTS.put(tx, &subject_key, &Retained { sequence, revision })?;
    } else {
        MESSAGES.delete(tx, &message_key(stream, sequence.saturating_sub(KEPT_UNCOMPACTED)))?;
    }
    Ok(Published::Stored)
}

fn message_key(stream: &Stream, sequence: u64) -> String {
    format!("{stream}/{sequence:016x}")
}

struct Reader {
    stream: Stream,
    mesh: String,
    after: u64,
    told_caught_up: bool,
    commits: watch::Receiver<u64>,
    store: Store,
}

impl Reader {
    fn decode(&self, (key, value): (Vec<u8>, Vec<u8>)) -> Option<Delivered> {
        let key = String::from_utf8(key).ok()?;
        let sequence = u64::from_str_radix(key.rsplit('/').next()?, 16).ok()?;
        let stored: Stored = serde_json::from_slice(&value).ok()?;
        Some(Delivered {
            position: Position { mesh: self.mesh.clone(), sequence },
            message: Message {
                address: Address { stream: self.stream.clone(), subject: stored.subject },
                headers: stored.headers,
                body: stored.body.into(),
            },
        })
    }
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError> {
        loop {
            self.commits.borrow_and_update();
            let (prefix, after) = (format!("{}/", self.stream), message_key(&self.stream, self.after));
            let items = self.store.read(move |view: &dyn Read| {
                let scan = Scan { prefix: prefix.as_bytes(), after: Some(after.as_bytes()), limit: max };
                view.scan(MESSAGES.space(), scan)
            });
            let messages: Vec<_> =
                items.await.map_err(unavailable)?.into_iter().filter_map(|item| self.decode(item)).collect();
            let caught_up = messages.len() < max;
            if let Some(last) = messages.last() {
                self.after = last.position.sequence;
            }
            if !messages.is_empty() || (caught_up && !self.told_caught_up) {
                self.told_caught_up |= caught_up;
                return Ok(Batch { messages, caught_up });
            }
            let closed = self.commits.changed().await;
            closed.map_err(|_| TransportError::Unavailable("the embedded mesh was closed".into()))?;
        }
    }
}
