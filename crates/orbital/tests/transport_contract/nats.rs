//! The rig of NATS JetStream: a real server of the test's own, killed and started again on what its disk holds.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_harness::{Nats, until};
use openkcm_host::SeededEntropy;
use openkcm_orbital::Transport;
use openkcm_orbital::nats::{NatsOptions, NatsTransport};

use crate::rig::Rig;

pub(crate) struct NatsRig {
    broker: Nats,
    client: Arc<NatsTransport>,
    /// Draws the ids of runs: those of another mesh are others.
    seed: std::sync::atomic::AtomicU64,
    /// Kept running for as long as the test does.
    others: tokio::sync::Mutex<Vec<Nats>>,
}

impl NatsRig {
    pub(crate) async fn open() -> Self {
        let broker = Nats::start().await;
        let client = connect(&broker, 1).await;
        Self { broker, client, seed: 1.into(), others: tokio::sync::Mutex::default() }
    }

    fn next_seed(&self) -> u64 {
        self.seed.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

async fn connect(broker: &Nats, seed: u64) -> Arc<NatsTransport> {
    let options = NatsOptions {
        servers: vec![broker.url().to_owned()],
        user: "test".into(),
        nkey_seed: None,
        tls: None,
        makes_what_is_missing: true,
    };
    let client = NatsTransport::connect(options, Arc::new(SeededEntropy::new(seed))).await.expect("options");
    until("the client is connected", || async { client.publish(Vec::new()).await.ok() }).await;
    Arc::new(client)
}

#[async_trait]
impl Rig for NatsRig {
    fn transport(&self) -> Arc<dyn Transport> {
        self.client.clone()
    }

    async fn crash(&mut self) {
        self.broker.kill();
        self.broker.start_again().await;
        self.client = connect(&self.broker, self.next_seed()).await;
    }

    async fn another_mesh(&self) -> Arc<dyn Transport> {
        let broker = Nats::start().await;
        let client = connect(&broker, self.next_seed()).await;
        self.others.lock().await.push(broker);
        client
    }
}
