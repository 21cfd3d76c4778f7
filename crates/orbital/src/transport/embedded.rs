//! The embedded mesh: in this process, durable on the local disk. The default of `openkcm dev`.
//!
//! Each stream is a numbered log; on a compacted lane a message replaces the earlier one of its
//! subject, unless that one is newer by its author's revision. A lane that is not compacted keeps its
//! last [`KEPT_UNCOMPACTED`] messages. The last message of a stream is only ever deleted in the
//! transaction that puts a later one, so that numbers are never used twice. A damaged record is
//! reported and left out; it holds up neither readers nor publishers of anything else.

mod runs;

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use openkcm_contracts::Role;
use openkcm_host::{Entropy, random_hex};
use openkcm_store::{Item, OpenOptions, Read, Scan, Space, Store, StoreError, Table, Write};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Batch, Delivered, Position, Published, Subscription, Transport, TransportError};
use crate::{Address, Message, Reading, Stream};

/// Messages of a stream that is not compacted: some minutes of manifests and queries.
const KEPT_UNCOMPACTED: u64 = 1024;

const MESSAGES: Table<Stored> = Table::new("messages");
const SUBJECTS: Table<Retained> = Table::new("subjects");

/// A message as its stream keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    author: Role,
    subject: String,
    headers: BTreeMap<String, String>,
    body: Body,
}

/// Bodies are JSON, which an operator can read as it lies here; but nothing looks into one before
/// its signature was checked, so it may be any bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Body {
    Text(String),
    Base64(String),
}

impl Body {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }

    fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Base64(text) => BASE64.decode(text).ok().map(Bytes::from),
        }
    }
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
    /// The present run.
    run: String,
}

impl Embedded {
    /// Opens the mesh that lies in this file, or makes it.
    ///
    /// # Errors
    /// When the file can't be used.
    pub async fn open(path: &std::path::Path, entropy: &dyn Entropy) -> Result<Self, StoreError> {
        const SPACES: &[Space] = &[MESSAGES.space(), SUBJECTS.space(), runs::RUNS.space()];
        let options = OpenOptions { path: path.into(), identity: "orbital".into(), spaces: &[SPACES] };
        let store = Store::open(&options)?;
        let run = random_hex::<8>(entropy);
        let begun = run.clone();
        store.write(move |tx| runs::begin(tx, begun)).await?;
        Ok(Self { store, run })
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
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        let of = reading.stream.clone();
        let after = self.store.read(move |view| match after {
            Some(position) if runs::knows(view, &of, &position)? => Ok(position.sequence),
            _ => Ok(0),
        });
        let after = after.await.map_err(unavailable)?;
        Ok(Box::new(Reader {
            stream: reading.stream.clone(),
            words_of: reading.words_of,
            run: self.run.clone(),
            after,
            told_caught_up: false,
            commits: self.store.commits(),
            store: self.store.clone(),
        }))
    }
}

fn append(tx: &mut dyn Write, message: &Message) -> Result<Published, StoreError> {
    let Address { stream, author, subject } = &message.address;
    let subject_key = format!("{stream}/{author}/{subject}");
    let revision = message.revision();
    let sequence = head(tx.as_read(), stream)? + 1;
    if stream.lane.compacted() {
        if let Some(retained) = retained(tx.as_read(), &subject_key)? {
            if retained.revision > revision {
                return Ok(Published::Superseded);
            }
            MESSAGES.delete(tx, &message_key(stream, retained.sequence))?;
        }
        SUBJECTS.put(tx, &subject_key, &Retained { sequence, revision })?;
    } else {
        MESSAGES.delete(tx, &message_key(stream, sequence.saturating_sub(KEPT_UNCOMPACTED)))?;
    }
    let stored = Stored {
        author: *author,
        subject: subject.clone(),
        headers: message.headers.clone(),
        body: Body::new(&message.body),
    };
    MESSAGES.put(tx, &message_key(stream, sequence), &stored)?;
    Ok(Published::Stored)
}

/// The number of a stream's last message.
fn head(store: &dyn Read, stream: &Stream) -> Result<u64, StoreError> {
    let last = store.last(MESSAGES.space(), format!("{stream}/").as_bytes())?;
    Ok(last.and_then(|(key, _)| sequence_of(&key)).unwrap_or(0))
}

/// The last message of a subject. Where its record is damaged, the next message takes its place, so
/// that one thing's damage does not keep a whole lane from being told.
fn retained(store: &dyn Read, subject_key: &str) -> Result<Option<Retained>, StoreError> {
    match SUBJECTS.get(store, subject_key) {
        Err(error @ StoreError::Record { .. }) => {
            tracing::error!(%error, "the embedded mesh is damaged; this thing is told anew");
            Ok(None)
        }
        outcome => outcome,
    }
}

fn message_key(stream: &Stream, sequence: u64) -> String {
    format!("{stream}/{sequence:016x}")
}

fn sequence_of(key: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(key).ok()?.rsplit('/').next()?, 16).ok()
}

struct Reader {
    stream: Stream,
    words_of: Option<Role>,
    run: String,
    after: u64,
    told_caught_up: bool,
    commits: watch::Receiver<u64>,
    store: Store,
}

impl Reader {
    /// What lies after the last message that was read, damaged or not.
    async fn scan(&self, max: usize) -> Result<Vec<Item>, TransportError> {
        let (prefix, after) = (format!("{}/", self.stream), message_key(&self.stream, self.after));
        let items = self.store.read(move |view: &dyn Read| {
            let scan = Scan { prefix: prefix.as_bytes(), after: Some(after.as_bytes()), limit: max };
            view.scan(MESSAGES.space(), scan)
        });
        items.await.map_err(unavailable)
    }

    fn decode(&self, sequence: u64, value: &[u8]) -> Option<Delivered> {
        let decoded = serde_json::from_slice::<Stored>(value).ok().and_then(|stored| {
            let Stored { author, subject, .. } = &stored;
            let address = Address { stream: self.stream.clone(), author: *author, subject: subject.clone() };
            Some(Message { address, headers: stored.headers, body: stored.body.into_bytes()? })
        });
        if decoded.is_none() {
            tracing::error!(stream = %self.stream, sequence, "a message of the embedded mesh is damaged; left out");
        }
        let position = Position { mesh: self.run.clone(), sequence };
        decoded.map(|message| Delivered { position, message })
    }
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError> {
        loop {
            self.commits.borrow_and_update();
            let items = self.scan(max).await?;
            let caught_up = items.len() < max;
            let mut messages = Vec::with_capacity(items.len());
            for (key, value) in items {
                let Some(sequence) = sequence_of(&key) else { continue };
                self.after = sequence;
                let asked_for = |delivered: &Delivered| {
                    self.words_of.is_none_or(|author| author == delivered.message.address.author)
                };
                messages.extend(self.decode(sequence, &value).filter(asked_for));
            }
            if !messages.is_empty() || (caught_up && !self.told_caught_up) {
                self.told_caught_up |= caught_up;
                return Ok(Batch { messages, caught_up });
            }
            if caught_up {
                let closed = self.commits.changed().await;
                closed.map_err(|_| TransportError::Unavailable("the embedded mesh was closed".into()))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::{Audience, Lane, Revision};
    use openkcm_host::SeededEntropy;

    use super::*;

    fn stream() -> Stream {
        Stream { lane: Lane::Urgent, audience: Audience::Cores }
    }

    fn message(subject: &str, counter: u64) -> Message {
        let revision = Revision::new(1, counter).to_string();
        Message {
            address: Address { stream: stream(), author: Role::Cmk, subject: subject.into() },
            headers: BTreeMap::from([("ce-kcmrevision".into(), revision)]),
            body: Bytes::from(format!("{subject}@{counter}")),
        }
    }

    /// A mesh that holds `t0` to `t9` at revision 1.
    async fn ten_things(directory: &tempfile::TempDir) -> Embedded {
        let path = directory.path().join("mesh.db");
        let mesh = Embedded::open(&path, &SeededEntropy::new(1)).await.expect("opens");
        mesh.publish((0..10).map(|i| message(&format!("t{i}"), 1)).collect()).await.expect("published");
        mesh
    }

    async fn damage(mesh: &Embedded, space: Space, keys: impl IntoIterator<Item = String>) {
        let keys: Vec<_> = keys.into_iter().collect();
        let change = move |tx: &mut dyn Write| {
            keys.iter().try_for_each(|key| tx.put(space, key.as_bytes(), b"{\"subject\":"))
        };
        mesh.store.write(change).await.expect("written");
    }

    async fn read_all(mesh: &Embedded, max: usize) -> Vec<String> {
        let mut reader = mesh.subscribe(&Reading::all(stream()), None).await.expect("subscribed");
        let mut read = Vec::new();
        loop {
            let batch = reader.next(max).await.expect("read");
            read.extend(batch.messages.into_iter().map(|delivered| delivered.message.address.subject));
            if batch.caught_up {
                return read;
            }
        }
    }

    #[tokio::test]
    async fn damaged_messages_are_left_out_and_all_others_are_read() {
        let directory = tempfile::tempdir().expect("directory");
        let mesh = ten_things(&directory).await;
        damage(&mesh, MESSAGES.space(), (3..8).map(|sequence| message_key(&stream(), sequence))).await;
        for max in [1, 2, 5, 100] {
            assert_eq!(read_all(&mesh, max).await, ["t0", "t1", "t7", "t8", "t9"], "{max} at once");
        }
    }

    #[tokio::test]
    async fn a_damaged_last_message_neither_hides_the_end_nor_gives_its_number_away() {
        let directory = tempfile::tempdir().expect("directory");
        let mesh = ten_things(&directory).await;
        damage(&mesh, MESSAGES.space(), [message_key(&stream(), 10)]).await;
        assert_eq!(read_all(&mesh, 3).await.len(), 9);
        mesh.publish(vec![message("t10", 1)]).await.expect("published");
        let mut reader = mesh.subscribe(&Reading::all(stream()), None).await.expect("subscribed");
        let read = reader.next(100).await.expect("read").messages;
        assert_eq!(read.last().map(|delivered| delivered.position.sequence), Some(11));
    }

    #[tokio::test]
    async fn a_damaged_record_of_one_thing_keeps_no_thing_from_being_told() {
        let directory = tempfile::tempdir().expect("directory");
        let mesh = ten_things(&directory).await;
        damage(&mesh, SUBJECTS.space(), [format!("{}/cmk/t4", stream())]).await;
        let batch = vec![message("t3", 2), message("t4", 2), message("t5", 2)];
        assert_eq!(mesh.publish(batch).await.expect("published"), [Published::Stored; 3]);
        assert_eq!(read_all(&mesh, 100).await[8..], ["t3", "t4", "t5"]);
        assert_eq!(mesh.publish(vec![message("t4", 1)]).await.expect("published"), [Published::Superseded]);
    }

    #[tokio::test]
    async fn a_mesh_that_was_restored_and_went_on_takes_nothing_for_read_that_was_not() {
        let directory = tempfile::tempdir().expect("directory");
        let files = |name: &str| ["db", "db-wal"].map(|end| directory.path().join(format!("{name}.{end}")));
        let copy = |from: &str, to: &str| {
            for (from, to) in files(from).iter().zip(files(to)).filter(|(from, _)| from.exists()) {
                std::fs::copy(from, to).expect("copied");
            }
        };
        let mesh = ten_things(&directory).await;
        copy("mesh", "copy");
        mesh.publish((10..15).map(|i| message(&format!("t{i}"), 1)).collect()).await.expect("published");
        let mut reader = mesh.subscribe(&Reading::all(stream()), None).await.expect("subscribed");
        let read = reader.next(100).await.expect("read").messages.pop().expect("fifteen").position;
        let restored = Embedded::open(&directory.path().join("copy.db"), &SeededEntropy::new(2)).await;
        let restored = restored.expect("opens");
        restored.publish((20..30).map(|i| message(&format!("t{i}"), 1)).collect()).await.expect("published");
        for position in [read.clone(), Position { sequence: 11, ..read }] {
            let mut reader =
                restored.subscribe(&Reading::all(stream()), Some(position)).await.expect("subscribed");
            assert_eq!(reader.next(100).await.expect("read").messages.len(), 20, "all is read anew");
        }
    }

    #[tokio::test]
    async fn a_compacted_stream_holds_one_message_for_each_thing() {
        let directory = tempfile::tempdir().expect("directory");
        let mesh = ten_things(&directory).await;
        for counter in 2..=20 {
            mesh.publish((0..10).map(|i| message(&format!("t{i}"), counter)).collect())
                .await
                .expect("published");
        }
        assert_eq!(read_all(&mesh, 100).await.len(), 10, "however much was said");
    }
}
