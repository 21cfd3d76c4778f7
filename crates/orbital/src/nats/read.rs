//! Reading a stream through a reader that was made for it, from the component's own position.
//!
//! The broker's place in the stream is not relied on: it is put to the component's committed position whenever
//! reading begins. What is lost on the way (a connection that broke, a reader that another process moved) shows
//! as a gap in the reader's own count, and ends the subscription: the next one begins from what was committed.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Stream as Messages;
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use openkcm_contracts::Lane;
use serde::Deserialize;
use tokio::sync::watch;

use super::connection::{Connection, State};
use super::layout::{address_of, reader_name, run_subject, stream_name};
use super::operator;
use super::publish::Publisher;
use super::runs::Runs;
use super::wire::{self, ApiError};
use crate::{Batch, Delivered, Message, Position, Reading, Stream, Subscription, TransportError};

/// Messages and bytes that are asked for ahead: enough to keep a fast reader busy, and a bound on its memory.
const AHEAD: usize = 2_048;
const AHEAD_BYTES: usize = 8 * 1024 * 1024;

/// On the urgent lane, and where somebody publishes messages that end the broker's answers: such a message ends
/// one question then, and no other.
const ONE_BY_ONE: usize = 1;

/// Bytes of the messages that are handed on at once.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// How long one question for messages stands, and how often the broker says meanwhile that it still does.
const ASKS_FOR: Duration = Duration::from_secs(6);
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A reader that was given nothing for so long asks whether anything waits for it: readers have been seen to
/// stall in silence (nats.rs #860, #1285).
const WATCHDOG: Duration = Duration::from_secs(20);

/// How long a reader that has yet to come to the end is given nothing before it asks whether this is it. A message
/// tells how many waited behind it when it was sent; those may be gone since, and it was the last.
const END_PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Reader {
    connection: Connection,
    stream: Stream,
    reader: String,
    messages: Messages,
    state: watch::Receiver<State>,
    begun_under: u64,
    runs: Runs,
    /// How many messages this reader was given.
    count: u64,
    /// How many it had been sent at a moment when no more waited.
    end: Option<u64>,
    /// How many messages are asked for at once.
    ahead: usize,
    /// Nothing waited when reading began, and that has yet to be told.
    empty: bool,
    /// Whether it was told once that nothing waits.
    told_end: bool,
    /// Whether the broker forwards nothing more of what was asked for.
    over: bool,
}

impl Reader {
    pub(super) async fn open(
        connection: &Connection,
        publisher: &Publisher,
        (reading, number): (&Reading, u64),
        after: Option<Position>,
    ) -> Result<Self, TransportError> {
        let begun_under = connection.check()?;
        let stream = &reading.stream;
        let mut reader = reader_name(connection.user(), reading);
        if connection.makes_what_is_missing() {
            reader = format!("{reader}-{number}");
            operator::make_stream(connection, stream).await?;
            operator::make_reader(connection, reading, &reader).await?;
        }
        // Asked first: it alone tells a stream that there is not from a broker that does not answer.
        info(connection, stream, &reader).await?;
        let head = match reading.words_of {
            // An author writes the broker's run down before it looks for its place in it.
            Some(_) => {
                publisher.begin_run(stream).await?;
                u64::MAX
            }
            None => head(connection, stream).await?,
        };
        // After the head: a run that a restored broker's streams have grown in since is among them.
        let (_, runs) = publisher.runs(stream).await?;
        let known = after.filter(|position| position.sequence <= head && runs.know(position));
        let after = known.map_or(0, |position| position.sequence);
        let one_by_one = stream.lane == Lane::Urgent || connection.reads_one_by_one(stream);
        let ahead = if one_by_one { ONE_BY_ONE } else { AHEAD };
        let begin = begin(connection, (stream, &reader), after, ahead);
        let (messages, waiting) = connection.while_it_lasts(begin).await?;
        let (connection, state) = (connection.clone(), connection.state());
        let (stream, empty) = (stream.clone(), waiting == 0);
        Ok(Self {
            connection,
            stream,
            reader,
            messages,
            state,
            begun_under,
            runs,
            count: 0,
            end: None,
            ahead,
            empty,
            told_end: false,
            over: false,
        })
    }

    /// The next message that comes; none when the end is reached before, and that has yet to be told.
    async fn wait(&mut self) -> Result<Option<async_nats::jetstream::Message>, TransportError> {
        let begun_under = self.begun_under;
        let (mut idle, mut missed) = (Duration::ZERO, false);
        loop {
            let patience = if self.told_end && !missed { WATCHDOG } else { END_PATIENCE };
            let over = self.state.wait_for(|state| state.number != begun_under);
            tokio::select! {
                message = self.messages.next() => return came(message).map(Some),
                _ = over => return Err(TransportError::Unavailable("the connection was lost".into())),
                () = tokio::time::sleep(patience) => idle += patience,
            }
            let info = info(&self.connection, &self.stream, &self.reader).await?;
            let missing = info.num_pending + info.delivered.consumer_seq.saturating_sub(self.count);
            if missing == 0 && !self.told_end {
                return Ok(None);
            }
            // One that came while the broker was asked lies here already, and is found when it is looked at next.
            if missing > 0 && missed && idle >= WATCHDOG {
                return Err(TransportError::Unavailable(format!("{missing} messages wait and none came")));
            }
            missed = missing > 0 && idle >= WATCHDOG;
        }
    }

    /// Whether all was taken that lay there at a moment since reading began. None lay behind the last message when
    /// the broker sent it; what has come since matters once, to whoever waits for the end, and is not asked for
    /// with each message after that. What comes while the broker is asked, or after, does not put the end off: a
    /// stream that never rests would have none.
    async fn at_the_end(&mut self) -> Result<bool, TransportError> {
        if self.told_end {
            return Ok(true);
        }
        if self.end.is_none() {
            let info = info(&self.connection, &self.stream, &self.reader).await?;
            self.end = (info.num_pending == 0).then_some(info.delivered.consumer_seq);
        }
        // What the broker has sent already may not have been taken here yet.
        Ok(self.end.is_some_and(|end| end <= self.count))
    }

    /// Takes one message; says how many wait behind it.
    fn take(
        &mut self,
        message: &async_nats::jetstream::Message,
        batch: &mut Vec<Delivered>,
    ) -> Result<u64, TransportError> {
        let info = message.info();
        let info = info
            .map_err(|error| TransportError::Unavailable(format!("a message without its place: {error}")))?;
        self.count += 1;
        if info.consumer_sequence != self.count {
            return Err(TransportError::Unavailable("messages were lost on the way".into()));
        }
        let (sequence, waiting) = (info.stream_sequence, info.pending);
        if message.subject.as_str() == run_subject(&self.stream) {
            self.runs = Runs::read(&message.payload, sequence);
        } else if let Some(address) = address_of(&self.stream, &message.subject) {
            let position = Position { mesh: self.runs.at(sequence).to_owned(), sequence };
            let headers = wire::headers_from(message.headers.as_ref());
            let message = Message { address, headers, body: message.payload.clone() };
            batch.push(Delivered { position, message });
        } else {
            tracing::warn!(stream = %self.stream, subject = %message.subject, "no component's word; left out");
        }
        Ok(waiting)
    }

    /// All was read once.
    fn tell_end(&mut self) {
        self.told_end = true;
        self.connection.read_one_by_one(&self.stream, false);
    }
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError> {
        if self.over {
            return Err(TransportError::Unavailable("a message without content ended the answers".into()));
        }
        if std::mem::take(&mut self.empty) && self.at_the_end().await? {
            self.tell_end();
            return Ok(Batch { messages: Vec::new(), caught_up: true });
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        loop {
            let Some(mut next) = self.wait().await? else {
                self.tell_end();
                return Ok(Batch { messages: Vec::new(), caught_up: true });
            };
            let waiting = loop {
                bytes += next.payload.len();
                let waiting = self.take(&next, &mut batch)?;
                if self.ahead > ONE_BY_ONE && ends_answers(&next) {
                    self.connection.read_one_by_one(&self.stream, true);
                    self.over = true;
                    break waiting;
                }
                let full = batch.len() >= max || bytes >= BATCH_BYTES;
                // What else has arrived goes along.
                match if full { None } else { self.messages.next().now_or_never() } {
                    Some(message) => next = came(message)?,
                    None => break waiting,
                }
            };
            let near = waiting == 0 || self.end.is_some();
            let caught_up = near && !self.over && self.at_the_end().await?;
            let is_news = caught_up && !self.told_end;
            if caught_up {
                self.tell_end();
            }
            if self.over || !batch.is_empty() || is_news {
                return Ok(Batch { messages: batch, caught_up });
            }
        }
    }
}

/// Whether a message has the form by which a broker ends the answers that cross from one account to another:
/// it forwards nothing that follows to the same question, which goes on to stand there until its time is over.
fn ends_answers(message: &async_nats::jetstream::Message) -> bool {
    message.payload.is_empty() && message.headers.as_ref().is_none_or(async_nats::HeaderMap::is_empty)
}

fn came(
    message: Option<
        Result<async_nats::jetstream::Message, async_nats::jetstream::consumer::pull::MessagesError>,
    >,
) -> Result<async_nats::jetstream::Message, TransportError> {
    match message {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(TransportError::Unavailable(error.to_string())),
        None => Err(TransportError::Unavailable("the reader was closed".into())),
    }
}

/// Puts the reader behind a message, and begins to ask. Says how many messages wait.
async fn begin(
    connection: &Connection,
    (stream, reader): (&Stream, &str),
    after: u64,
    ahead: usize,
) -> Result<(Messages, u64), TransportError> {
    let context = async_nats::jetstream::new(connection.client().clone());
    let name = stream_name(stream);
    let failed = |error: &dyn std::error::Error| TransportError::Unavailable(error.to_string());
    let consumer = context.get_consumer_from_stream(reader, name).await;
    let mut consumer: PullConsumer = consumer.map_err(|error| failed(&error))?;
    let waiting = consumer.reset(Some(after + 1)).await.map_err(|error| failed(&error))?.info.num_pending;
    let messages = consumer
        .stream()
        .max_messages_per_batch(ahead)
        .max_bytes_per_batch(AHEAD_BYTES)
        .expires(ASKS_FOR)
        .heartbeat(HEARTBEAT)
        .messages()
        .await;
    Ok((messages.map_err(|error| failed(&error))?, waiting))
}

#[derive(Deserialize)]
struct ReaderInfo {
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    delivered: Sent,
    error: Option<ApiError>,
}

#[derive(Deserialize, Default)]
struct Sent {
    consumer_seq: u64,
}

async fn info(connection: &Connection, stream: &Stream, reader: &str) -> Result<ReaderInfo, TransportError> {
    let name = stream_name(stream);
    let what = format!("reader {reader} of stream {name}");
    let call = format!("$JS.API.CONSUMER.INFO.{name}.{reader}");
    let answer = connection.request(call, None, bytes::Bytes::new(), &what).await?;
    let info: ReaderInfo = wire::answer(&answer.payload, &what)?;
    match info.error {
        Some(error) => Err(error.into_transport(&what)),
        None => Ok(info),
    }
}

#[derive(Deserialize)]
struct StreamInfo {
    state: Option<StreamState>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct StreamState {
    last_seq: u64,
}

/// The number of a stream's last message.
async fn head(connection: &Connection, stream: &Stream) -> Result<u64, TransportError> {
    let name = stream_name(stream);
    let what = format!("stream {name}");
    let call = format!("$JS.API.STREAM.INFO.{name}");
    let answer = connection.request(call, None, bytes::Bytes::new(), &what).await?;
    let info: StreamInfo = wire::answer(&answer.payload, &what)?;
    match info {
        StreamInfo { error: Some(error), .. } => Err(error.into_transport(&what)),
        StreamInfo { state, .. } => Ok(state.map_or(0, |state| state.last_seq)),
    }
}
