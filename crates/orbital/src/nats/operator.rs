//! The operator: makes streams and readers. No component has these rights; `docs/adr/0012-jetstream.md` says
//! why not.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use openkcm_host::Entropy;

use super::connection::{ANSWER_TIMEOUT, BuildError, Connection, NatsOptions};
use super::layout::{Layout, ReaderPlan, filter_of, reader_name, stream_name, subjects_of};
use super::publish::Publisher;
use crate::{MAX_BODY_LEN, Reading, Stream, TransportError};

/// Manifests and queries are kept for so long and no more of them than this: the next one says it all again.
const MANIFESTS_KEPT_FOR: Duration = Duration::from_secs(600);
const MANIFESTS_KEPT: i64 = 4_096;

/// And no more than this about one thing: a Core that tells a flood of them pushes out its own alone.
const MANIFESTS_KEPT_OF_ONE: i64 = 512;

/// Bytes that they may take: a Core that was taken over must not fill the broker's disk with them.
const MANIFESTS_KEPT_BYTES: i64 = 256 * 1024 * 1024;

/// Room for an envelope around the longest body.
const MAX_MESSAGE_LEN: usize = MAX_BODY_LEN + 64 * 1024;

/// Questions for messages that may stand at one reader: one process asks with one.
const MAX_WAITING: i64 = 16;

/// What the streams are to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provision {
    /// Copies of each stream: 1, or an odd number of at most 5 on a cluster of as many brokers.
    pub replicas: usize,
    /// Where brokers keep them.
    pub storage: Storage,
    /// How long manifests and queries are kept.
    pub manifests_kept_for: Duration,
}

/// Where brokers keep streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On their disks: an acknowledged event outlives them all.
    File,
    /// In memory: it outlives as many brokers as a cluster can spare, and no power cut of all.
    Memory,
}

impl Default for Provision {
    fn default() -> Self {
        Self { replicas: 1, storage: Storage::File, manifests_kept_for: MANIFESTS_KEPT_FOR }
    }
}

/// What was made, and what was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// Every stream, and whether it was made now.
    pub streams: Vec<(String, bool)>,
    /// Every reader with its stream, and whether it was made now.
    pub readers: Vec<(String, String, bool)>,
}

/// Why the mesh was not set up.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No connection can be made with the operator's options.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The broker does not answer, or refuses.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// The operator's connection to the broker.
pub struct Operator {
    connection: Connection,
    publisher: Publisher,
}

impl Operator {
    /// Connects, and waits some seconds for the broker.
    ///
    /// # Errors
    /// When the options can't be used, or the broker does not answer in time.
    pub async fn connect(options: NatsOptions, entropy: Arc<dyn Entropy>) -> Result<Self, OperatorError> {
        let connection = Connection::open(options, entropy.clone()).await?;
        let mut state = connection.state();
        let connected = tokio::time::timeout(ANSWER_TIMEOUT, state.wait_for(|state| state.connected));
        if connected.await.is_err() {
            connection.check()?;
        }
        let publisher = Publisher::new(connection.clone(), None, entropy);
        Ok(Self { connection, publisher })
    }

    /// Writes on every stream that a run of the broker begins: positions beyond here that were given out before
    /// are none any more. Right after every restore of a broker from a copy; harmless at any other time.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub async fn begin_runs(&self, layout: &Layout) -> Result<(), TransportError> {
        for stream in layout.streams() {
            self.publisher.begin_run_anew(&stream).await?;
        }
        Ok(())
    }

    /// Makes streams and readers that are missing. What is there keeps its messages; a stream that is set up
    /// otherwise is changed to what it should be, where the broker allows.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub async fn provision(&self, layout: &Layout, wanted: Provision) -> Result<Provisioned, TransportError> {
        let mut provisioned = Provisioned::default();
        for stream in layout.streams() {
            let made = make(&self.connection, &stream, wanted).await?;
            provisioned.streams.push((stream_name(&stream), made));
        }
        for ReaderPlan { reading, user } in layout.readers() {
            let name = reader_name(&user, &reading);
            let made = make_reader(&self.connection, &reading, &name).await?;
            provisioned.readers.push((stream_name(&reading.stream), name, made));
        }
        Ok(provisioned)
    }
}

/// Makes a stream as tests use it, unless it is there.
pub(super) async fn make_stream(connection: &Connection, stream: &Stream) -> Result<(), TransportError> {
    make(connection, stream, Provision::default()).await.map(drop)
}

async fn make(connection: &Connection, stream: &Stream, wanted: Provision) -> Result<bool, TransportError> {
    connection.check()?;
    let context = jetstream::new(connection.client().clone());
    let wanted = config(stream, wanted);
    let name = wanted.name.clone();
    let held = context.get_stream(&name).await;
    match held {
        Ok(held) => {
            let present = &held.cached_info().config;
            let same = present.num_replicas == wanted.num_replicas
                && present.max_messages_per_subject == wanted.max_messages_per_subject
                && present.max_messages == wanted.max_messages
                && present.max_bytes == wanted.max_bytes
                && present.max_age == wanted.max_age
                && present.allow_atomic_publish == wanted.allow_atomic_publish
                && present.subjects == wanted.subjects;
            if !same {
                context.update_stream(&wanted).await.map_err(|error| refused(&name, &error))?;
            }
            Ok(false)
        }
        Err(_) => {
            context.create_stream(wanted).await.map_err(|error| refused(&name, &error))?;
            Ok(true)
        }
    }
}

fn config(stream: &Stream, wanted: Provision) -> Config {
    let compacted = stream.lane.compacted();
    Config {
        name: stream_name(stream),
        description: Some(format!("OpenKCM, lane {}, for {}", stream.lane.number(), stream.audience)),
        subjects: vec![format!("{}.>", subjects_of(stream))],
        storage: match wanted.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        num_replicas: wanted.replicas,
        discard: DiscardPolicy::Old,
        max_messages_per_subject: if compacted { 1 } else { MANIFESTS_KEPT_OF_ONE },
        max_messages: if compacted { -1 } else { MANIFESTS_KEPT },
        max_bytes: if compacted { -1 } else { MANIFESTS_KEPT_BYTES },
        max_age: if compacted { Duration::ZERO } else { wanted.manifests_kept_for },
        max_message_size: i32::try_from(MAX_MESSAGE_LEN).unwrap_or(i32::MAX),
        allow_direct: true,
        allow_atomic_publish: true,
        ..Config::default()
    }
}

/// Makes a reader, unless it is there.
pub(super) async fn make_reader(
    connection: &Connection,
    reading: &Reading,
    name: &str,
) -> Result<bool, TransportError> {
    connection.check()?;
    let context = jetstream::new(connection.client().clone());
    let stream = stream_name(&reading.stream);
    let held = context.get_consumer_from_stream::<pull::Config, _, _>(name, &stream).await;
    if held.is_ok() {
        return Ok(false);
    }
    let config = pull::Config {
        durable_name: Some(name.to_owned()),
        deliver_policy: DeliverPolicy::All,
        // What was applied is known to the component alone, by its own committed position.
        ack_policy: AckPolicy::None,
        filter_subject: filter_of(reading),
        max_waiting: MAX_WAITING,
        ..pull::Config::default()
    };
    let made = context.create_consumer_on_stream(config, &stream).await;
    made.map(|_| true).map_err(|error| refused(&format!("reader {name} of {stream}"), &error))
}

fn refused(what: &str, error: &dyn std::error::Error) -> TransportError {
    TransportError::Refused(format!("{what}: {error}"))
}
