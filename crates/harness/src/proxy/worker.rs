//! The loop of a proxy: accepts, and does what it is told.
//!
//! All of it is on one thread. It refuses by not listening, and takes the same port again afterwards.

use std::future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;

use rustix::net::{Shutdown, shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;

use super::Counters;
use super::connection::Connection;
use super::terms::{Ending, Terms, Way};

/// What a proxy can be told.
pub(super) enum Control {
    /// Treats connections like this from now on, and accepts new ones.
    Set(Terms),
    /// Ends those that are open.
    End(Ending),
    /// Ends those that are open, and accepts none.
    Refuse,
}

pub(super) struct Worker {
    listener: Option<TcpListener>,
    address: SocketAddr,
    target: SocketAddr,
    counters: Arc<Counters>,
    terms: watch::Sender<Terms>,
    endings: broadcast::Sender<Ending>,
    connections: JoinSet<()>,
}

impl Worker {
    pub(super) async fn bind(host: IpAddr, target: SocketAddr, counters: Arc<Counters>) -> Self {
        let listener = TcpListener::bind((host, 0)).await.expect("a free port for the proxy");
        Self {
            address: listener.local_addr().expect("it is bound"),
            listener: Some(listener),
            target,
            counters,
            terms: watch::Sender::new(Terms::both(Way::Open)),
            endings: broadcast::Sender::new(1),
            connections: JoinSet::new(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until nobody is left who could tell it anything.
    pub(super) async fn run(mut self, mut controls: mpsc::Receiver<(Control, SyncSender<()>)>) {
        loop {
            tokio::select! {
                biased;
                told = controls.recv() => {
                    let Some((control, done)) = told else { return };
                    self.obey(control).await;
                    // Whoever told it may be gone.
                    let _ = done.send(());
                }
                Some(ended) = self.connections.join_next() => ended.expect("a connection does not panic"),
                client = accept(self.listener.as_ref()) => self.connect(client),
            }
        }
    }

    async fn obey(&mut self, control: Control) {
        match control {
            Control::Set(terms) => {
                self.terms.send_replace(terms);
                if self.listener.is_none() {
                    let listener = TcpListener::bind(self.address).await;
                    self.listener = Some(listener.expect("nobody else takes the proxy's port"));
                }
            }
            Control::End(ending) => self.end(ending).await,
            Control::Refuse => {
                if let Some(listener) = self.listener.take() {
                    // To close it would not do: a process that is being started holds a copy for a moment.
                    shutdown(&listener, Shutdown::Read).expect("it listens");
                }
                self.end(Ending::Close).await;
            }
        }
    }

    async fn end(&mut self, ending: Ending) {
        // Fails when there is no connection.
        let _ = self.endings.send(ending);
        while self.connections.join_next().await.is_some() {}
    }

    fn connect(&mut self, client: TcpStream) {
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            target: self.target,
            counters: Arc::clone(&self.counters),
            terms: self.terms.subscribe(),
            endings: self.endings.subscribe(),
        };
        self.connections.spawn(connection.run(client));
    }
}

/// The next client; never one without a listener.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return future::pending().await };
    let (client, _) = listener.accept().await.expect("a listener accepts");
    client
}
