//! A transport that fails on purpose: refuses, loses its answers, stores the half, tears subscriptions off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use openkcm_contracts::Lane;
use openkcm_orbital::{
    Batch, Message, Position, Published, Reading, Subscription, Transport, TransportError,
};

use crate::post::soon;

/// What a transport does instead of what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It answers that it can't, and did nothing.
    Refuse,
    /// It did it, and answers that it can't: the answer was lost.
    DoAndFail,
    /// It stored only the first half, and answers that it can't.
    DoHalfAndFail,
    /// It does what it was asked.
    None,
}

/// A transport that fails as it is told to, and then no more.
pub(crate) struct Flaky {
    mesh: Arc<dyn Transport>,
    pub(crate) publishing: Mutex<VecDeque<Fault>>,
    pub(crate) reading: Arc<Mutex<VecDeque<Fault>>>,
    /// Lanes that can't be read until they are taken out of here.
    pub(crate) away: Mutex<Vec<Lane>>,
    /// How often it was asked to publish or to subscribe.
    tries: tokio::sync::watch::Sender<usize>,
}

impl Flaky {
    pub(crate) fn new(mesh: Arc<dyn Transport>, publishing: &[Fault], reading: &[Fault]) -> Arc<Self> {
        Arc::new(Self {
            mesh,
            publishing: Mutex::new(publishing.iter().copied().collect()),
            reading: Arc::new(Mutex::new(reading.iter().copied().collect())),
            away: Mutex::default(),
            tries: tokio::sync::watch::Sender::new(0),
        })
    }

    /// Waits until it was tried so often.
    pub(crate) async fn tried(&self, times: usize) {
        let mut tries = self.tries.subscribe();
        soon("the mesh is tried again", tries.wait_for(|tries| *tries >= times))
            .await
            .expect("it is held here");
    }
}

fn cut() -> TransportError {
    TransportError::Unavailable("cut on purpose".into())
}

fn pop(faults: &Mutex<VecDeque<Fault>>) -> Fault {
    faults.lock().expect("no panic holds it").pop_front().unwrap_or(Fault::None)
}

#[async_trait]
impl Transport for Flaky {
    async fn publish(&self, mut messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        self.tries.send_modify(|tries| *tries += 1);
        let fault = pop(&self.publishing);
        match fault {
            Fault::Refuse => return Err(cut()),
            Fault::DoHalfAndFail => messages.truncate(messages.len() / 2),
            Fault::DoAndFail | Fault::None => {}
        }
        let published = self.mesh.publish(messages).await?;
        if fault == Fault::None { Ok(published) } else { Err(cut()) }
    }

    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        self.tries.send_modify(|tries| *tries += 1);
        let away = self.away.lock().expect("no panic holds it").contains(&reading.stream.lane);
        if away || pop(&self.reading) != Fault::None {
            return Err(cut());
        }
        let reader = self.mesh.subscribe(reading, after).await?;
        Ok(Box::new(FlakyReader { reader, faults: self.reading.clone() }))
    }
}

struct FlakyReader {
    reader: Box<dyn Subscription>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

#[async_trait]
impl Subscription for FlakyReader {
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError> {
        match pop(&self.faults) {
            Fault::None => self.reader.next(max).await,
            Fault::Refuse => Err(cut()),
            // Read from the mesh, and lost on the way.
            Fault::DoAndFail | Fault::DoHalfAndFail => self.reader.next(max).await.and(Err(cut())),
        }
    }
}
