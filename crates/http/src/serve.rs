//! Sockets: where a component listens, and how many connections it bears.
//!
//! Who owns what: [`serve`] owns the listener and one task for each connection; a permit bounds how many
//! there are, so that a flood waits in the kernel's queue instead of in memory. At the end it stops
//! accepting, lets requests that have begun end within a deadline, and drops the rest.
//!
//! What always holds: nothing listens beyond loopback, since there is no TLS yet. What is not HTTP (a bad
//! request line, a head that is too large) is answered by hyper with a bare status, before any route.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::service::Service;

/// Connections at a time: each costs some 100 KiB at most besides the body that it sends.
const MAX_CONNECTIONS: usize = 1_024;

/// For a request's head to arrive, and for a connection that is kept to be used again. Long enough for
/// a caller across a bad line, short enough that slow heads do not hold all connections for long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// For a request's head to arrive, counted from the connection's or the last answer's.
    pub head_timeout: Duration,
    /// For requests that have begun to end at a shutdown.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { connections: MAX_CONNECTIONS, head_timeout: HEAD_TIMEOUT, drain: DRAIN }
    }
}

/// Why a component can't listen where it was told to.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Beyond loopback anyone could read tokens and plaintexts.
    #[error(
        "refusing to listen on {addr}: beyond loopback TLS is required, which this version does not have; listen on 127.0.0.1 or [::1]"
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

/// Listens on a loopback address; port 0 takes any free one.
///
/// # Errors
/// When the address is beyond loopback, is taken, or is refused by the system.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    if !addr.ip().to_canonical().is_loopback() {
        return Err(BindError::NotLoopback { addr });
    }
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { addr, source },
        _ => BindError::Refused { addr, source },
    })
}

/// Serves until `shutdown` is ready, then drains.
///
/// # Errors
/// When the listener's own address can't be read, which no listener of [`bind`] does.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let limits = service.connections();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    tracing::debug!(addr = %listener.local_addr()?, "listening");
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
    let limits = service.connections();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(
            TokioIo::new(Connection::new(stream)),
            TowerToHyperService::new(service.into_router()),
        );
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
