//! Publishing: acknowledged by the stream, in batches, and never over a newer word.
//!
//! On a compacted lane a publication says which message of its subject it replaces (none, for the first). The
//! stream takes it only if that is so; where it is not, the author looks at what is there, and gives way to a
//! newer revision. So a publication that was delayed, or a copy of an author that was restored, never buries
//! a newer word, and no memory of message ids has to be kept by the broker.
//!
//! It gives way to what it believes, and to nothing else: a header is text, and whoever got hold of a user's
//! credential could otherwise put one there that no revision of the author's ever reaches.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::join_all;
use openkcm_contracts::{Revision, Timestamp};
use openkcm_host::{Entropy, random_hex};

use super::connection::Connection;
use super::layout::{run_subject, stream_name};
use super::operator;
use super::runs::Runs;
use super::wire::{self, PubAck, headers_of};
use crate::{Message, Published, Rejection, Stream, TransportError, Verifier};

/// Messages in one batch, and their bytes: a synced stream takes a batch in the time of one message, and the
/// broker holds it in memory until then. The disk is synced for all streams together: what the urgent lane has
/// to wait for is the batch of another that is being written, so batches are not as long as they may be (1,000,
/// ADR-50 of NATS). Measured: an Unlink's 99th percentile beside a stream of facts was 12 ms, and 17 with 1,000;
/// for that a fifth fewer facts go through.
const BATCH: usize = 250;
const BATCH_BYTES: usize = 1024 * 1024;

/// Last words that are remembered, so that their successors need no question first. Forgotten all at once.
const REMEMBERED: usize = 100_000;

/// How often one batch is tried when others publish on the same subjects meanwhile.
const ATTEMPTS: usize = 16;

const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";

/// The last word on a subject, as far as it is known: its number (0 for none) and its revision.
#[derive(Debug, Clone, Copy)]
struct Last {
    sequence: u64,
    revision: Option<Revision>,
}

pub(super) struct Publisher {
    connection: Connection,
    entropy: Arc<dyn Entropy>,
    /// Which words are authors'; without it all are.
    verifier: Option<Arc<Verifier>>,
    last: Mutex<HashMap<String, Last>>,
    /// Streams on which the run of this broker process is written down.
    begun: Mutex<(String, HashSet<String>)>,
}

impl Publisher {
    pub(super) fn new(
        connection: Connection,
        verifier: Option<Arc<Verifier>>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { connection, entropy, verifier, last: Mutex::default(), begun: Mutex::default() }
    }

    /// Publishes messages of one stream, in order, while the connection lasts: another one may lead to a broker
    /// whose run is not written down yet.
    pub(super) async fn publish(
        &self,
        stream: &Stream,
        messages: Vec<&Message>,
    ) -> Result<Vec<Published>, TransportError> {
        self.connection.while_it_lasts(self.publish_all(stream, messages)).await
    }

    async fn publish_all(
        &self,
        stream: &Stream,
        messages: Vec<&Message>,
    ) -> Result<Vec<Published>, TransportError> {
        self.begin_run(stream).await?;
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut rest = &messages[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_len(rest, stream.lane.compacted()));
            outcomes.extend(self.publish_batch(stream, batch).await?);
            rest = later;
        }
        Ok(outcomes)
    }

    async fn publish_batch(
        &self,
        stream: &Stream,
        batch: &[&Message],
    ) -> Result<Vec<Published>, TransportError> {
        if !stream.lane.compacted() {
            self.send(stream, &batch.iter().map(|message| (*message, None)).collect::<Vec<_>>()).await?;
            return Ok(vec![Published::Stored; batch.len()]);
        }
        for _ in 0..ATTEMPTS {
            let outcomes: Vec<Published> = batch.iter().map(|message| self.foreseen(message)).collect();
            let current: Vec<(&Message, Option<u64>)> = (batch.iter().zip(&outcomes))
                .filter(|(_, outcome)| **outcome == Published::Stored)
                .map(|(message, _)| (*message, Some(self.last(message).map_or(0, |last| last.sequence))))
                .collect();
            let sent = match self.send(stream, &current).await {
                // Somebody else holds batches open, say, of which a stream has a number: one by one it goes on.
                Err(TransportError::Refused(_)) if current.len() > 1 => {
                    self.send_singly(stream, &current).await
                }
                sent => sent,
            };
            if sent? {
                return Ok(outcomes);
            }
            self.look(stream, &current).await?;
        }
        Err(TransportError::Unavailable(format!("others publish on {stream} all the time")))
    }

    /// Sends messages, each with the number of the one that it replaces. Says whether the stream took them.
    async fn send(
        &self,
        stream: &Stream,
        messages: &[(&Message, Option<u64>)],
    ) -> Result<bool, TransportError> {
        let Some(((last, replaces), before)) = messages.split_last() else { return Ok(true) };
        let batch = random_hex::<12>(&*self.entropy);
        for (at, (message, replaces)) in before.iter().enumerate() {
            let mut headers = headers_for(message, *replaces)?;
            headers.insert("Nats-Batch-Id", batch.as_str());
            headers.insert("Nats-Batch-Sequence", (at + 1).to_string());
            let sent = self.connection.client().publish_with_headers(
                message.address.to_string(),
                headers,
                message.body.clone(),
            );
            sent.await.map_err(|error| TransportError::Unavailable(error.to_string()))?;
        }
        let mut headers = headers_for(last, *replaces)?;
        if !before.is_empty() {
            headers.insert("Nats-Batch-Id", batch.as_str());
            headers.insert("Nats-Batch-Sequence", messages.len().to_string());
            headers.insert("Nats-Batch-Commit", "1");
        }
        match self.acknowledged(stream, last.address.to_string(), headers, last.body.clone()).await? {
            Some(sequence) => {
                self.remember_all(messages, sequence);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// As [`Publisher::send`], each by itself: those before one that is not taken are stored.
    async fn send_singly(
        &self,
        stream: &Stream,
        messages: &[(&Message, Option<u64>)],
    ) -> Result<bool, TransportError> {
        for message in messages {
            if !self.send(stream, std::slice::from_ref(message)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Publishes one message and waits until the stream holds it: its number there, or none when it was to
    /// replace another message than there is.
    async fn acknowledged(
        &self,
        stream: &Stream,
        subject: String,
        headers: async_nats::HeaderMap,
        body: Bytes,
    ) -> Result<Option<u64>, TransportError> {
        let what = format!("stream {}", stream_name(stream));
        let answer = self.connection.request(subject, Some(headers), body, &what).await?;
        let ack: PubAck = wire::answer(&answer.payload, &what)?;
        match ack.error {
            None => Ok(Some(ack.seq)),
            Some(error) if error.is_wrong_sequence() => Ok(None),
            Some(error) => Err(error.into_transport(&what)),
        }
    }

    /// What becomes of a message, as far as the last word is known.
    fn foreseen(&self, message: &Message) -> Published {
        match self.last(message) {
            Some(last) if last.revision > message.revision() => Published::Superseded,
            _ => Published::Stored,
        }
    }

    fn last(&self, message: &Message) -> Option<Last> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&message.address.to_string()).copied()
    }

    fn remember_all(&self, messages: &[(&Message, Option<u64>)], last_sequence: u64) {
        let first = last_sequence + 1 - messages.len() as u64;
        for (sequence, (message, replaces)) in (first..).zip(messages) {
            if replaces.is_some() {
                let last = Last { sequence, revision: message.revision() };
                self.remember(message.address.to_string(), last);
            }
        }
    }

    fn remember(&self, subject: String, word: Last) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= REMEMBERED {
            last.clear();
        }
        last.insert(subject, word);
    }

    /// Looks at the last words that stand where these messages are to go.
    async fn look(
        &self,
        stream: &Stream,
        messages: &[(&Message, Option<u64>)],
    ) -> Result<(), TransportError> {
        let looks = messages.iter().map(|(message, _)| async {
            let subject = message.address.to_string();
            let last = match self.last_message(stream, &subject).await? {
                None => Last { sequence: 0, revision: None },
                Some((sequence, found)) => {
                    let headers = wire::headers_from(found.headers.as_ref());
                    let found = Message { address: message.address.clone(), headers, body: found.payload };
                    Last { sequence, revision: self.believed(&found) }
                }
            };
            self.remember(subject, last);
            Ok(())
        });
        join_all(looks).await.into_iter().collect()
    }

    /// The revision of a word, if it is one of its author's; also of one that has expired, or that this version
    /// can't read.
    fn believed(&self, word: &Message) -> Option<Revision> {
        let never_too_late = Timestamp::from_millis(0);
        let verified = self.verifier.as_ref().map(|verifier| verifier.verify(word, never_too_late));
        match verified {
            None | Some(Ok(_) | Err(Rejection::Unreadable { .. })) => word.revision(),
            Some(Err(reason)) => {
                tracing::warn!(address = %word.address, %reason, "what stands on the mesh is nobody's word; replaced");
                None
            }
        }
    }

    /// The last message of a subject, with its number.
    pub(super) async fn last_message(
        &self,
        stream: &Stream,
        subject: &str,
    ) -> Result<Option<(u64, async_nats::Message)>, TransportError> {
        let name = stream_name(stream);
        let what = format!("stream {name}");
        let call = format!("$JS.API.DIRECT.GET.{name}.{subject}");
        let answer = self.connection.request(call, None, Bytes::new(), &what).await?;
        if answer.status.is_some_and(|status| status == async_nats::StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        let sequence = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Sequence"));
        let sequence = sequence.and_then(|text| text.as_str().parse().ok());
        let unreadable =
            || TransportError::Unavailable(format!("the broker's answer about {what} can't be read"));
        Ok(Some((sequence.ok_or_else(unreadable)?, answer)))
    }

    /// The runs that a stream remembers.
    pub(super) async fn runs(&self, stream: &Stream) -> Result<(u64, Runs), TransportError> {
        let found = self.last_message(stream, &run_subject(stream)).await?;
        Ok(found.map_or_else(
            || (0, Runs::default()),
            |(sequence, message)| (sequence, Runs::read(&message.payload, sequence)),
        ))
    }

    /// Sees to it that the run of the present broker process is written down on a stream.
    pub(super) async fn begin_run(&self, stream: &Stream) -> Result<(), TransportError> {
        let server = self.connection.server()?;
        if self.has_begun(&server, stream) {
            return Ok(());
        }
        if self.connection.makes_what_is_missing() {
            operator::make_stream(&self.connection, stream).await?;
        }
        self.write_run(stream, |runs| !runs.know_server(&server)).await?;
        self.note_begun(&server, stream);
        Ok(())
    }

    /// Writes a run down on a stream, whatever broker process answers: the broker was restored, say, behind a leaf
    /// that was not.
    pub(super) async fn begin_run_anew(&self, stream: &Stream) -> Result<(), TransportError> {
        let before = self.runs(stream).await?.1;
        self.write_run(stream, |runs| *runs == before).await
    }

    /// Writes a run down for as long as it is missing.
    async fn write_run(
        &self,
        stream: &Stream,
        is_missing: impl Fn(&Runs) -> bool,
    ) -> Result<(), TransportError> {
        let server = self.connection.server()?;
        for _ in 0..ATTEMPTS {
            let (sequence, runs) = self.runs(stream).await?;
            if !is_missing(&runs) {
                return Ok(());
            }
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(EXPECTED_LAST, sequence.to_string());
            let payload = runs.begun(&server, &*self.entropy).payload();
            self.acknowledged(stream, run_subject(stream), headers, payload.into()).await?;
        }
        Err(TransportError::Unavailable(format!("others begin runs on {stream} all the time")))
    }

    fn has_begun(&self, server: &str, stream: &Stream) -> bool {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.0 == server && begun.1.contains(&stream.to_string())
    }

    fn note_begun(&self, server: &str, stream: &Stream) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.0 != server {
            *begun = (server.to_owned(), HashSet::new());
        }
        begun.1.insert(stream.to_string());
    }
}

fn headers_for(message: &Message, replaces: Option<u64>) -> Result<async_nats::HeaderMap, TransportError> {
    let mut headers = headers_of(message)?;
    if let Some(sequence) = replaces {
        headers.insert(EXPECTED_LAST, sequence.to_string());
    }
    Ok(headers)
}

/// How many messages go together: as many as fit, and on a compacted lane none of them twice on one subject,
/// since each says what it replaces.
fn batch_len(messages: &[&Message], compacted: bool) -> usize {
    let mut subjects = HashSet::new();
    let mut bytes = 0;
    for (count, message) in messages.iter().take(BATCH).enumerate() {
        bytes += message.body.len();
        let twice = compacted && !subjects.insert(message.address.subject.as_str());
        if count > 0 && (twice || bytes > BATCH_BYTES) {
            return count;
        }
    }
    messages.len().min(BATCH)
}
