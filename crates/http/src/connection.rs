//! A TCP connection that does not wait for a peer that stopped, and that lets its last answer arrive.
//!
//! *Stall.* A peer that reads nothing would keep its connection, and the answer that it does not take, for
//! ever: a write that makes no progress for some time ends it.
//!
//! *Linger.* A body that is refused is not read. Closing then makes the kernel answer the unread bytes with
//! a reset, which can overtake the refusal and take it from the caller's hands (RFC 9112, section 9.6). So
//! the closing side first says that it is done writing, then reads and forgets what still comes, for a
//! bounded time and a bounded amount.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use zeroize::Zeroize;

/// How long a write may make no progress.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// How long the end of a connection waits for the peer to have read it.
const LINGER: Duration = Duration::from_secs(2);

/// How much of an unwanted body is read and forgotten: some of what is in flight on a fast network.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// What is read at once while lingering.
const LINGER_CHUNK: usize = 16 * 1024;

pub(crate) struct Connection {
    stream: TcpStream,
    /// Runs while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Is there once the write half is shut.
    lingering: Option<Lingering>,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    left: usize,
    chunk: Box<[u8]>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, stalled: None, lingering: None }
    }

    fn unless_stalled<T>(
        &mut self,
        progress: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Lingering {
    fn new() -> Self {
        Self { until: Box::pin(sleep(LINGER)), left: LINGER_BYTES, chunk: vec![0; LINGER_CHUNK].into() }
    }

    /// Ready when the peer is done, or when it had its time.
    fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut buf = ReadBuf::new(&mut self.chunk);
            match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                Poll::Pending => return self.until.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {
                    let read = buf.filled().len();
                    self.left = self.left.saturating_sub(read);
                    if read == 0 || self.left == 0 {
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.chunk.zeroize();
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.unless_stalled(progress, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.unless_stalled(progress, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let lingering = this.lingering.get_or_insert_with(Lingering::new);
        lingering.poll(&mut this.stream, cx).map(Ok)
    }
}
