//! The connection to the broker: made in the background, watched, and made again with jitter.
//!
//! What always holds: nobody waits for a connection here. What needs one fails at once while there is none.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use openkcm_host::{Entropy, random_array};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::layout::inbox_prefix;
use crate::{Stream, TransportError};

/// First and longest wait before another attempt to connect; drawn between nothing and its bound, so that a
/// landscape that lost its broker does not come back to it in one moment. The longest is short, since an Unlink
/// waits as long: a broker is spoken to by tens of components, and an attempt at one that is away costs little.
const FIRST_RECONNECT: Duration = Duration::from_millis(50);
const LONGEST_RECONNECT: Duration = Duration::from_secs(1);

/// For a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A broker that is silent for longer than two of these is gone: a cut line is noticed within some seconds.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// For the broker to answer a request: far longer than a synced write on a busy disk.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the broker, and as whom.
#[derive(Clone)]
pub struct NatsOptions {
    /// Addresses such as `tls://127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// The component's user: `registry`, `cmk`, `krypton-REGION`, or the operator's.
    pub user: String,
    /// The user's NKey seed (`SU…`); none where the broker asks for no identity.
    pub nkey_seed: Option<Zeroizing<String>>,
    /// TLS; none on loopback in tests.
    pub tls: Option<Tls>,
    /// Makes streams and readers that are missing by itself. Needs every right, which no component of a
    /// landscape has: for tests.
    pub makes_what_is_missing: bool,
}

/// TLS to the broker.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificates that the broker's own is checked against.
    pub ca: PathBuf,
    /// The component's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsOptions")
            .field("servers", &self.servers)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Why no connection can be made with these options, ever.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the mesh can't be set up as it is configured")]
pub struct BuildError(#[source] async_nats::ConnectError);

/// What is known of the connection.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Raised whenever the connection is made or lost: what was begun under another number is over.
    pub(super) number: u64,
    pub(super) connected: bool,
    /// What the broker or the network last said against it.
    pub(super) error: Option<String>,
}

/// The connection. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    user: Arc<str>,
    makes_what_is_missing: bool,
    state: watch::Receiver<State>,
    /// Streams on which somebody publishes what ends the broker's answers, until they were read to the end.
    one_by_one: Arc<Mutex<HashSet<Stream>>>,
}

impl Connection {
    pub(super) async fn open(options: NatsOptions, entropy: Arc<dyn Entropy>) -> Result<Self, BuildError> {
        let (sender, state) = watch::channel(State::default());
        let servers = options.servers.clone();
        let user = options.user.clone();
        let makes_what_is_missing = options.makes_what_is_missing;
        let connect = connect_options(options, entropy, sender);
        let client = connect.connect(servers).await.map_err(BuildError)?;
        Ok(Self { client, user: user.into(), makes_what_is_missing, state, one_by_one: Arc::default() })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn makes_what_is_missing(&self) -> bool {
        self.makes_what_is_missing
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until there is a connection.
    pub(super) async fn back(&self) {
        if self.state().wait_for(|state| state.connected).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether the messages of a stream are to be asked for one by one.
    pub(super) fn reads_one_by_one(&self, stream: &Stream) -> bool {
        self.one_by_one.lock().unwrap_or_else(PoisonError::into_inner).contains(stream)
    }

    /// Has the messages of a stream asked for one by one, or no more.
    pub(super) fn read_one_by_one(&self, stream: &Stream, so: bool) {
        let mut streams = self.one_by_one.lock().unwrap_or_else(PoisonError::into_inner);
        if so {
            streams.insert(stream.clone());
        } else {
            streams.remove(stream);
        }
    }

    /// The broker process that is connected to. The client learns it a moment after it says that it is connected.
    pub(super) fn server(&self) -> Result<String, TransportError> {
        let id = self.client.server_info().server_id;
        if id.is_empty() {
            return Err(TransportError::Unavailable("the broker has not said who it is yet".into()));
        }
        Ok(id)
    }

    /// Fails when there is no connection now.
    pub(super) fn check(&self) -> Result<u64, TransportError> {
        let state = self.state.borrow();
        if state.connected {
            return Ok(state.number);
        }
        let error = state.error.clone().unwrap_or_else(|| "not connected yet".into());
        Err(TransportError::Unavailable(error))
    }

    /// Asks the broker something.
    pub(super) async fn request(
        &self,
        subject: String,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
        what: &str,
    ) -> Result<async_nats::Message, TransportError> {
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(ANSWER_TIMEOUT));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = self.client.send_request(subject, request);
        self.while_it_lasts(async { answer.await.map_err(|error| self.failed(&error, what)) }).await
    }

    /// Does something over the connection that there is now. When that is lost, so is the answer, which the client
    /// would wait for to its timeout: after a broker that came back within a second nobody waits for five.
    pub(super) async fn while_it_lasts<T>(
        &self,
        work: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, TransportError> {
        let begun_under = self.check()?;
        let mut state = self.state();
        tokio::select! {
            biased;
            done = work => done,
            _ = state.wait_for(|state| state.number != begun_under) => {
                Err(TransportError::Unavailable("the connection was lost".into()))
            }
        }
    }

    fn failed(&self, error: &async_nats::RequestError, what: &str) -> TransportError {
        use async_nats::RequestErrorKind as Kind;
        match error.kind() {
            // A stream that there is not, JetStream that starts, a centre that a leaf does not reach: all the same.
            Kind::NoResponders => TransportError::Refused(format!("nobody there answers about {what}")),
            Kind::TimedOut => {
                // The broker says apart from the request that the user lacks a right, and answers nothing.
                let said = self.state.borrow().error.clone();
                let refused = said.filter(|said| said.contains("ermissions"));
                refused.map_or_else(
                    || TransportError::Unavailable(format!("no answer about {what}")),
                    TransportError::Refused,
                )
            }
            _ => TransportError::Unavailable(error.to_string()),
        }
    }
}

fn connect_options(
    options: NatsOptions,
    entropy: Arc<dyn Entropy>,
    state: watch::Sender<State>,
) -> ConnectOptions {
    let NatsOptions { user, nkey_seed, tls, .. } = options;
    let mut connect = ConnectOptions::new()
        .name(&user)
        .custom_inbox_prefix(inbox_prefix(&user))
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .request_timeout(Some(ANSWER_TIMEOUT))
        .reconnect_delay_callback(move |attempt| jittered(attempt, &*entropy))
        .event_callback(move |event| {
            note(&state, &event);
            std::future::ready(())
        });
    if let Some(seed) = nkey_seed {
        connect = connect.nkey(seed.to_string());
    }
    if let Some(Tls { ca, certificate, key }) = tls {
        connect =
            connect.require_tls(true).add_root_certificates(ca).add_client_certificate(certificate, key);
    }
    connect
}

fn jittered(attempt: usize, entropy: &dyn Entropy) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1).min(10)).unwrap_or(10);
    let bound = FIRST_RECONNECT.saturating_mul(1 << doublings).min(LONGEST_RECONNECT);
    let drawn = u32::from_be_bytes(random_array(entropy));
    bound.mul_f64(f64::from(drawn) / f64::from(u32::MAX))
}

fn note(state: &watch::Sender<State>, event: &Event) {
    match event {
        Event::Connected => state.send_modify(|state| {
            *state = State { number: state.number + 1, connected: true, error: None };
        }),
        Event::Disconnected | Event::Closed => state.send_modify(|state| {
            state.number += 1;
            state.connected = false;
            state.error.get_or_insert_with(|| "the connection was lost".into());
        }),
        Event::ServerError(_) | Event::ClientError(_) => {
            tracing::debug!(%event, "the mesh's connection");
            state.send_modify(|state| state.error = Some(event.to_string()));
        }
        Event::SlowConsumer(_) | Event::LameDuckMode | Event::Draining => {
            tracing::warn!(%event, "the mesh's connection");
        }
    }
}
