//! A TCP relay between a Core and the broker, in the drill's own process: cutting it is a partition that needs no rights.
//!
//! It knows bytes and no protocol. While it is cut, connections that were open have been reset and new ones are
//! refused; an order has taken effect when it gives back.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Between two attempts to take the address again, which a connection that was just reset may hold for a moment.
const TAKE_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Attempts to take the address again: two seconds.
const ATTEMPTS: u32 = 40;

/// Orders that wait: there is one who orders.
const ORDERS: usize = 1;

/// A relay that passes everything on until it is cut. It ends, with its connections, when this value is dropped.
pub(super) struct Relay {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
}

enum Order {
    Cut(oneshot::Sender<io::Result<()>>),
    Open(oneshot::Sender<io::Result<()>>),
}

impl Relay {
    /// A relay on a free port of this host, in front of `target`. Needs a tokio runtime.
    pub(super) async fn start(host: IpAddr, target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await.context("a relay to the broker can't listen")?;
        let address = listener.local_addr().context("a relay to the broker has no address")?;
        let (orders, ordered) = mpsc::channel(ORDERS);
        tokio::spawn(run(listener, address, target, ordered));
        Ok(Self { address, orders })
    }

    /// Where it is found, open or cut.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection and refuses new ones.
    pub(super) async fn cut(&self) -> anyhow::Result<()> {
        self.order(Order::Cut).await.context("the relay to the broker can't be cut")
    }

    /// Lets connections through again.
    pub(super) async fn open(&self) -> anyhow::Result<()> {
        self.order(Order::Open).await.context("the relay to the broker can't be opened")
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Order,
    ) -> anyhow::Result<()> {
        let (done, obeyed) = oneshot::channel();
        self.orders.send(order(done)).await.ok().context("it has ended")?;
        Ok(obeyed.await.context("it has ended")??)
    }
}

async fn run(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut orders: mpsc::Receiver<Order>,
) {
    let (mut listener, mut connections) = (Some(listener), JoinSet::new());
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::Cut(done)) => {
                    listener = None;
                    connections.shutdown().await;
                    // Whoever ordered it may have been stopped meanwhile.
                    let _ = done.send(Ok(()));
                }
                Some(Order::Open(done)) => {
                    let taken = match listener.take() {
                        Some(open) => Ok(open),
                        None => take_again(address).await,
                    };
                    let _ = done.send(taken.map(|taken| listener = Some(taken)));
                }
            },
            Some(from) = accept(listener.as_ref()) => {
                connections.spawn(pass(from, target));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn take_again(address: SocketAddr) -> io::Result<TcpListener> {
    let mut attempt = 0;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
        tokio::time::sleep(TAKE_AGAIN_AFTER).await;
    }
}

/// The next connection; `None`, at once, while there is no listener.
async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    let listener = listener?;
    loop {
        // One that fails was ended by its client, or there are too many at the moment.
        match listener.accept().await {
            Ok((stream, _)) => return Some(stream),
            Err(_) => tokio::time::sleep(TAKE_AGAIN_AFTER).await,
        }
    }
}

/// Passes bytes both ways until one side ends, or the task is ended: then both are reset.
async fn pass(mut from: TcpStream, target: SocketAddr) {
    let Ok(mut to) = TcpStream::connect(target).await else { return };
    for stream in [&from, &to] {
        // What can't be set makes the relay slower, or its cut gentler.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_zero_linger();
    }
    // An end of one side ends the other one; whose fault it was does not matter here.
    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that answers each byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        if stream.write_u8(byte).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn asked(stream: &mut TcpStream, byte: u8) -> io::Result<u8> {
        stream.write_u8(byte).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_cut_relay_resets_what_is_open_and_refuses_what_is_new_until_it_is_opened_again() {
        let relay = Relay::start(Ipv4Addr::LOCALHOST.into(), echo().await).await.expect("it listens");
        let mut stream = TcpStream::connect(relay.address()).await.expect("open");
        assert_eq!(asked(&mut stream, 1).await.expect("passed on"), 1);
        relay.cut().await.expect("cut");
        assert!(asked(&mut stream, 2).await.is_err(), "what was open is reset");
        assert!(TcpStream::connect(relay.address()).await.is_err(), "what is new is refused");
        relay.cut().await.expect("cut already");
        for _ in 0..2 {
            relay.open().await.expect("open");
        }
        let mut stream = TcpStream::connect(relay.address()).await.expect("open again");
        assert_eq!(asked(&mut stream, 3).await.expect("passed on"), 3);
    }
}
