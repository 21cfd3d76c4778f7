//! A TCP proxy between clients and a server, on a thread of its own, that a test tells how badly to behave.
//!
//! It knows bytes and no protocol. A control has taken effect when it gives back. Bytes of one direction arrive
//! in their order and without a hole: a connection that lost some is reset as soon as its direction opens again,
//! since TCP would not have gone on either.

mod connection;
mod terms;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::loopback::own_host;
use crate::network::{Namespace, Network};

use terms::{Ending, Terms, Way};
use worker::{Control, Worker};

/// Controls that can be under way at once: more than there are threads in a test that use one proxy.
const CONTROLS: usize = 64;

/// A proxy that passes everything on until it is told otherwise. It ends, with its connections, when this value
/// is dropped.
pub struct Proxy {
    address: SocketAddr,
    controls: Option<mpsc::Sender<(Control, SyncSender<()>)>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

/// What went through a proxy since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Bytes that were passed on to the server.
    pub towards_server: u64,
    /// Bytes that were passed on to clients.
    pub towards_client: u64,
    /// Bytes that were swallowed.
    pub lost: u64,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    towards_server: AtomicU64,
    towards_client: AtomicU64,
    lost: AtomicU64,
}

impl Proxy {
    /// A proxy on a free port of loopback, in front of `target`.
    pub fn start(target: SocketAddr) -> Self {
        Self::start_within(None, own_host(), target)
    }

    /// A proxy on a host of a network, under that host's address, in front of `target`.
    pub fn start_on(network: &Network, host: &str, target: SocketAddr) -> Self {
        Self::start_within(Some(network.namespace(host)), network.address(host).into(), target)
    }

    fn start_within(namespace: Option<Namespace>, host: IpAddr, target: SocketAddr) -> Self {
        let (controls, controlled) = mpsc::channel(CONTROLS);
        let (bound, address) = sync_channel(1);
        let counters = Arc::new(Counters::default());
        let worker_counters = Arc::clone(&counters);
        let thread = thread::spawn(move || {
            if let Some(namespace) = namespace {
                namespace.enter_for_good();
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let worker = Worker::bind(host, target, worker_counters).await;
                bound.send(worker.address()).expect("whoever starts it waits");
                worker.run(controlled).await;
            });
        });
        let address = address.recv().expect("a proxy finds a port");
        Self { address, controls: Some(controls), counters, thread: Some(thread) }
    }

    /// Where clients find it, over all that is done to it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes everything on, at once; new connections are accepted.
    pub fn pass(&self) {
        self.set(Terms::both(Way::Open));
    }

    /// Passes every byte on this much later, in each direction; the throughput stays.
    pub fn delay(&self, time: Duration) {
        self.set(Terms::both(Way::Late(time)));
    }

    /// Keeps and accepts connections, and reads and writes nothing. Nothing is lost when it passes again.
    pub fn stall(&self) {
        self.set(Terms::both(Way::Held));
    }

    /// Swallows what clients send, and passes on what the server sends.
    pub fn cut_towards_server(&self) {
        self.set(Terms { towards_server: Way::Lost, towards_client: Way::Open });
    }

    /// Swallows what the server sends, and passes on what clients send.
    pub fn cut_towards_client(&self) {
        self.set(Terms { towards_server: Way::Open, towards_client: Way::Lost });
    }

    /// Ends every open connection, on both sides, with a TCP reset. New ones are treated as those were.
    pub fn reset(&self) {
        self.control(Control::End(Ending::Reset));
    }

    /// Closes every open connection, on both sides, and refuses new ones until it passes again, in whatever way.
    pub fn cut(&self) {
        self.control(Control::Refuse);
    }

    /// What went through until now.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.counters.connections),
            towards_server: read(&self.counters.towards_server),
            towards_client: read(&self.counters.towards_client),
            lost: read(&self.counters.lost),
        }
    }

    fn set(&self, terms: Terms) {
        self.control(Control::Set(terms));
    }

    fn control(&self, control: Control) {
        let (done, wait) = sync_channel(1);
        let controls = self.controls.as_ref().expect("they go last");
        controls.try_send((control, done)).unwrap_or_else(|_| panic!("the proxy at {} ended", self.address));
        wait.recv().expect("the proxy does as it is told");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.controls = None;
        if let Some(thread) = self.thread.take() {
            // A panic of its thread has been told already.
            let _ = thread.join();
        }
    }
}
