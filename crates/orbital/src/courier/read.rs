//! Reading: each stream from the committed position on, verified ahead of the component.
//!
//! While the component commits one intake, the next one is fetched and verified beside it. What was fetched
//! and not committed when something fails is read again.

use std::convert::Infallible;
use std::sync::Arc;

use openkcm_contracts::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::task::JoinSet;

use super::{Interruption, Shared};
use crate::{Batch, Intake, Reading, Subscription, TransportError, Verifier, inbox};

/// Messages that are taken at once: enough to share the cost of a commit among, few enough that one intake is
/// verified and applied within some tens of milliseconds.
const BATCH: usize = 1024;

/// Verified intakes that may wait for the component.
const AHEAD: usize = 1;

impl Shared {
    pub(super) async fn read_stream(self: Arc<Self>, reading: Reading) {
        let mut failures = 0;
        loop {
            let Err(interruption) = self.read_on(&reading, &mut failures).await;
            self.note_failure(&interruption);
            failures += 1;
            self.back_off(failures).await;
        }
    }

    async fn read_on(&self, reading: &Reading, failures: &mut u32) -> Result<Infallible, Interruption> {
        let (store, of) = (&self.courier.store, reading.clone());
        let position = store.read(move |view| inbox::position(view, &of)).await?;
        let mut intakes = self.intakes(reading, position).await?;
        loop {
            let intake = intakes.next().await?;
            let caught_up = intake.caught_up;
            self.courier.receiver.receive(intake).await?;
            *failures = 0;
            if caught_up {
                self.hydrated.send_if_modified(|read| read.insert(reading.stream.clone()));
            }
        }
    }

    /// Begins to read what lies after a position.
    pub(super) async fn intakes(
        &self,
        reading: &Reading,
        position: Option<crate::Position>,
    ) -> Result<Intakes<'_>, TransportError> {
        let subscription = self.courier.transport.subscribe(reading, position).await?;
        let (sender, ready) = mpsc::channel(AHEAD);
        let mut reader = JoinSet::new();
        let (verifier, clock) = (self.courier.verifier.clone(), self.courier.clock.clone());
        let verify = {
            let reading = reading.clone();
            move |batch| verified(reading.clone(), batch, verifier.clone(), clock.now())
        };
        reader.spawn(read_ahead(subscription, verify, sender));
        Ok(Intakes { shared: self, ready, _reader: reader })
    }
}

/// What comes on a stream, verified.
pub(super) struct Intakes<'a> {
    shared: &'a Shared,
    ready: mpsc::Receiver<Result<Intake, TransportError>>,
    /// Ends with this.
    _reader: JoinSet<()>,
}

impl Intakes<'_> {
    pub(super) async fn next(&mut self) -> Result<Intake, TransportError> {
        let ended = || Err(TransportError::Unavailable("the reader of the stream ended".into()));
        let intake = self.ready.recv().await.unwrap_or_else(ended)?;
        self.shared.note_success();
        Ok(intake)
    }
}

async fn read_ahead<F: Future<Output = Intake> + Send>(
    mut subscription: Box<dyn Subscription>,
    verify: impl Fn(Batch) -> F + Send,
    sender: mpsc::Sender<Result<Intake, TransportError>>,
) {
    loop {
        let intake = match subscription.next(BATCH).await {
            Ok(batch) => Ok(verify(batch).await),
            Err(error) => Err(error),
        };
        let failed = intake.is_err();
        if sender.send(intake).await.is_err() || failed {
            return;
        }
    }
}

/// Verifies on a thread that may be kept busy: a full batch takes some milliseconds of cipher.
async fn verified(reading: Reading, batch: Batch, verifier: Arc<Verifier>, now: Timestamp) -> Intake {
    let task = tokio::task::spawn_blocking(move || Intake::verify(&reading, batch, &verifier, now));
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(intake) => intake,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is going down, and this task with it.
        Err(Err(_cancelled)) => std::future::pending().await,
    }
}
