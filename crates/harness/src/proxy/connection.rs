//! One client's connection through a proxy: two directions, each read, kept in order, and written.
//!
//! A direction is one task's loop of two halves with a short queue between them, so that bytes that are late hold
//! up no reading; whatever can change the terms is looked at before each read and before each write.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Sleep;

use super::Counters;
use super::terms::{Ending, Terms, Way};

/// Bytes of one read.
const CHUNK_BYTES: usize = 16 * 1024;

/// Chunks of a direction that are under way at once: enough that a delay does not throttle a test's traffic.
const CHUNKS: usize = 1024;

pub(super) struct Connection {
    pub(super) target: SocketAddr,
    pub(super) counters: Arc<Counters>,
    pub(super) terms: watch::Receiver<Terms>,
    pub(super) endings: broadcast::Receiver<Ending>,
}

/// Bytes on their way, and from when on they may arrive.
struct Chunk {
    bytes: Vec<u8>,
    due: Option<Pin<Box<Sleep>>>,
}

/// What a direction's loop needs to know.
#[derive(Clone)]
struct Direction<'a> {
    terms: watch::Receiver<Terms>,
    way: fn(&Terms) -> Way,
    passed: &'a AtomicU64,
    lost: &'a AtomicU64,
}

impl Connection {
    /// Serves a client until one side or the test ends it.
    pub(super) async fn run(mut self, mut client: TcpStream) {
        let mut server = None;
        let ending = tokio::select! {
            biased;
            // The worker that says it outlives its connections.
            ending = self.endings.recv() => ending.unwrap_or(Ending::Close),
            ended = converse(self.target, &self.counters, self.terms, &mut client, &mut server) => match ended {
                Ok(()) => Ending::Close,
                // One side's reset, or a server that refuses, is the other side's reset.
                Err(_) => Ending::Reset,
            },
        };
        if ending == Ending::Reset {
            for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
                // The other side may have ended it before.
                let _ = stream.set_zero_linger();
            }
        }
    }
}

async fn converse(
    target: SocketAddr,
    counters: &Counters,
    mut terms: watch::Receiver<Terms>,
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
) -> io::Result<()> {
    terms.wait_for(Terms::let_dial).await.map_err(io::Error::other)?;
    let server = server.insert(dial(target).await?);
    for stream in [&*client, &*server] {
        stream.set_nodelay(true)?;
    }
    let lost = &counters.lost;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let there = Direction {
        terms: terms.clone(),
        way: |terms| terms.towards_server,
        passed: &counters.towards_server,
        lost,
    };
    let back = Direction { terms, way: |terms| terms.towards_client, passed: &counters.towards_client, lost };
    tokio::try_join!(there.carry(from_client, to_server), back.carry(from_server, to_client))?;
    Ok(())
}

/// A connection to the server. One that a test ends on the way ends with a reset: the server may have it already.
async fn dial(target: SocketAddr) -> io::Result<TcpStream> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_zero_linger()?;
    let server = socket.connect(target).await?;
    set_socket_linger(&server, None)?;
    Ok(server)
}

impl Direction<'_> {
    async fn carry(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        let (queue, queued) = mpsc::channel(CHUNKS);
        tokio::try_join!(self.clone().read(from, queue), self.write(queued, to))?;
        Ok(())
    }

    /// Reads to the end, unless it is held.
    async fn read(mut self, mut from: ReadHalf<'_>, queue: mpsc::Sender<Chunk>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let way = (self.way)(&self.terms.borrow_and_update());
            tokio::select! {
                biased;
                changed = self.terms.changed() => changed.map_err(io::Error::other)?,
                read = from.read(&mut buffer), if way != Way::Held => {
                    let bytes = buffer[..read?].to_vec();
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    let due = match way {
                        Way::Late(time) => Some(Box::pin(tokio::time::sleep(time))),
                        Way::Open | Way::Held | Way::Lost => None,
                    };
                    queue.send(Chunk { bytes, due }).await.map_err(io::Error::other)?;
                }
            }
        }
    }

    /// Writes what was read when it is due, and ends the other side's stream after it; or loses it.
    async fn write(mut self, mut queued: mpsc::Receiver<Chunk>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut ended, mut has_lost) = (false, false);
        loop {
            let way = (self.way)(&self.terms.borrow_and_update());
            if has_lost && way != Way::Lost {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            tokio::select! {
                biased;
                changed = self.terms.changed() => changed.map_err(io::Error::other)?,
                chunk = queued.recv(), if !ended && way != Way::Held => {
                    ended = chunk.is_none();
                    has_lost |= !self.arrive(chunk, &mut to).await?;
                    if ended && !has_lost {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Lets one chunk, or the end of the stream, arrive when it may. Says whether it did, and was not lost.
    async fn arrive(&mut self, chunk: Option<Chunk>, to: &mut WriteHalf<'_>) -> io::Result<bool> {
        let (bytes, due) = chunk.map(|chunk| (chunk.bytes, chunk.due)).unwrap_or_default();
        if let Some(due) = due {
            due.await;
        }
        if self.next_way().await? == Way::Lost {
            self.lost.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return Ok(false);
        }
        if bytes.is_empty() {
            to.shutdown().await?;
        } else {
            to.write_all(&bytes).await?;
        }
        self.passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(true)
    }

    /// What becomes of bytes now, or when they are held no more.
    async fn next_way(&mut self) -> io::Result<Way> {
        let way = self.way;
        let terms = self.terms.wait_for(|terms| way(terms) != Way::Held).await.map_err(io::Error::other)?;
        Ok(way(&terms))
    }
}
