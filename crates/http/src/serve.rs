//! Sockets: where a component listens, and how many connections it bears.
//!
//! Who owns what: [`serve`] owns the listener and one task for each connection; a permit bounds how many
//! there are, so that a flood waits in the kernel's queue instead of in memory. At the end it stops
//! accepting, lets requests that have begun end within a deadline, and drops the rest.
//!
//! What always holds: beyond loopback nothing is served without TLS and client certificates. A handshake is
//! part of its connection's task: it has a time limit, and costs others nothing but that one permit. What
//! is no TLS where TLS is expected ends there, as does a certificate that is not the client CA's. What is
//! not HTTP (a bad request line, a head that is too large) is answered by hyper with a bare status, before
//! any route.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::access::Access;
use crate::connection::Connection;
use crate::peer::Peer;
use crate::service::Service;
use crate::tls::Tls;

/// Connections at a time: each costs some 100 KiB at most besides the body that it sends.
const MAX_CONNECTIONS: usize = 1_024;

/// For a request's head to arrive, and for a connection that is kept to be used again. Long enough for
/// a caller across a bad line, short enough that slow heads do not hold all connections for long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// For a TLS handshake: two round trips across a bad line, and a retransmission.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// For requests that have begun to end at a shutdown; below what service managers wait before they kill.
const DRAIN: Duration = Duration::from_secs(15);

/// The largest request head, in bytes; also the size of a connection's read buffer.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// The most header lines of a request.
const MAX_HEADERS: usize = 64;

/// How long accepting rests after the system refused a socket, for lack of file descriptors most likely.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many there are at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// For a TLS handshake to end, counted from the connection's beginning.
    pub handshake_timeout: Duration,
    /// For a request's head to arrive, counted from the connection's or the last answer's.
    pub head_timeout: Duration,
    /// For requests that have begun to end at a shutdown.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            head_timeout: HEAD_TIMEOUT,
            drain: DRAIN,
        }
    }
}

/// Why a component can't listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Beyond loopback anyone could read tokens and plaintexts.
    #[error(
        "refusing to listen on {addr} without TLS: beyond loopback a certificate and client identities are required, as `openkcm init` makes them; or listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// Someone else listens there.
    #[error("can't listen on {addr}: the port is taken; stop what listens there, or choose another port")]
    Taken {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses it.
    #[error("can't listen on {addr}")]
    Refused {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens; port 0 takes any free one. Beyond loopback only for [`Access::Certificates`].
///
/// # Errors
/// When the address is beyond loopback and a token is all that opens the component, is taken, or is
/// refused by the system.
pub async fn bind(addr: SocketAddr, access: &Access) -> Result<TcpListener, BindError> {
    keep_tokens_on_loopback(addr, access)?;
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { addr, source },
        _ => BindError::Refused { addr, source },
    })
}

fn keep_tokens_on_loopback(addr: SocketAddr, access: &Access) -> Result<(), BindError> {
    match access {
        Access::Token(_) if !addr.ip().to_canonical().is_loopback() => Err(BindError::NotLoopback { addr }),
        Access::Token(_) | Access::Certificates { .. } => Ok(()),
    }
}

/// Serves until `shutdown` is ready, then drains.
///
/// # Errors
/// When the listener's own address can't be read, or is one that [`bind`] refuses for what opens this
/// service.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let addr = listener.local_addr()?;
    // Again, since a listener may come from elsewhere.
    keep_tokens_on_loopback(addr, service.access()).map_err(io::Error::other)?;
    let limits = service.connections();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    tracing::debug!(%addr, "listening");
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, permit) = accept(&listener, &permits) => {
                connections.spawn(attend(stream, permit, service.clone(), stopping.clone()));
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "dropping connections that did not end in time");
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // The peer went away while it waited in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "can't accept connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn attend(
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
    service: Service,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are small and complete: waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY can't be set");
    }
    let connection = Connection::new(stream);
    let Some(tls) = service.access().tls() else {
        return converse(connection, Peer::Silent, service, stopping).await;
    };
    let shaken = tokio::select! {
        shaken = shake_hands(connection, tls, service.connections().handshake_timeout) => shaken,
        // Nothing was asked yet, so there is nothing to end first.
        _ = stopping.changed() => return,
    };
    if let Some((connection, peer)) = shaken {
        converse(connection, peer, service, stopping).await;
    }
}

/// The handshake; nothing if there was none. Peers that fail in it are no news: what listens is found by
/// scanners, and anyone can cause these lines.
async fn shake_hands(
    connection: Connection,
    tls: &Tls,
    limit: Duration,
) -> Option<(TlsStream<Connection>, Peer)> {
    let handshake = TlsAcceptor::from(tls.current()).accept(connection).into_fallible();
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => {
            let peer = Peer::of(stream.get_ref().1.peer_certificates());
            Some((stream, peer))
        }
        Ok(Err((error, mut connection))) => {
            tracing::debug!(%error, "TLS handshake failed");
            // Lingers, so that the alert which says why is not overtaken by a reset.
            connection.shutdown().await.ok();
            None
        }
        Err(_) => {
            tracing::debug!("TLS handshake took too long");
            None
        }
    }
}

/// Answers the requests of one connection.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: Peer,
    service: Service,
    mut stopping: watch::Receiver<bool>,
) {
    let limits = service.connections();
    let router = TowerToHyperService::new(service.into_router());
    let answer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Peers that vanish or speak nonsense are no news.
        tracing::debug!(%error, "connection ended early");
    }
}
