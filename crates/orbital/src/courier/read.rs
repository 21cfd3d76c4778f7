//! Reading: each stream from the committed position on, verified ahead of the component.
//!
//! While the component commits one intake, the next ones are fetched and verified beside it; what has come
//! meanwhile is handed over together. So a component that is behind commits in long stretches, for which each
//! item costs it least, and one that keeps up commits at once. What was fetched and not committed when something
//! fails is read again.

use std::convert::Infallible;
use std::sync::Arc;

use openkcm_contracts::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::task::JoinSet;

use super::{Attempt, Interruption, Shared};
use crate::{Batch, Intake, Reading, Subscription, TransportError, Verifier, inbox};

/// Messages that are taken at once: enough to share the cost of a commit among, few enough that one intake is
/// verified and applied within some tens of milliseconds.
const BATCH: usize = 1024;

/// Verified intakes that may wait for the component: 65,536 facts, for which a Core changes each page of its
/// index about once (measured: a third of the writing that 16 of them need), in some 40 MiB.
const AHEAD: usize = 64;

impl Shared {
    pub(super) async fn read_stream(self: Arc<Self>, reading: Reading) {
        let mut failures = 0;
        loop {
            let Err(interruption) = self.read_on(&reading, &mut failures).await;
            self.drained.send_if_modified(|drained| drained.remove(&reading.stream));
            self.note_failure(Attempt::to_read(&reading), &interruption);
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
                self.drained.send_if_modified(|drained| drained.insert(reading.stream.clone()));
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
        let attempt = Attempt::to_read(reading);
        Ok(Intakes { shared: self, attempt, ready, failed: None, _reader: reader })
    }
}

/// What comes on a stream, verified.
pub(super) struct Intakes<'a> {
    shared: &'a Shared,
    attempt: Attempt,
    ready: mpsc::Receiver<Result<Intake, TransportError>>,
    /// What ended the reading, after all that was read before.
    failed: Option<TransportError>,
    /// Ends with this.
    _reader: JoinSet<()>,
}

impl Intakes<'_> {
    pub(super) async fn next(&mut self) -> Result<Intake, TransportError> {
        let intake = gather(&mut self.ready, &mut self.failed).await?;
        self.shared.note_success(self.attempt);
        Ok(intake)
    }
}

/// Waits for an intake, and joins to it all that wait by then. What failed after them is told next.
async fn gather(
    ready: &mut mpsc::Receiver<Result<Intake, TransportError>>,
    failed: &mut Option<TransportError>,
) -> Result<Intake, TransportError> {
    if let Some(error) = failed.take() {
        return Err(error);
    }
    let ended = || Err(TransportError::Unavailable("the reader of the stream ended".into()));
    let mut intake = ready.recv().await.unwrap_or_else(ended)?;
    for _ in 1..AHEAD {
        match ready.try_recv() {
            Ok(Ok(next)) => intake.join(next),
            Ok(Err(error)) => {
                *failed = Some(error);
                break;
            }
            // Nothing waits; or the reader ended, which the next call tells.
            Err(_) => break,
        }
    }
    Ok(intake)
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

#[cfg(test)]
mod tests {
    use openkcm_contracts::{Audience, Lane};

    use super::*;
    use crate::inbox::Quarantined;
    use crate::{Position, Stream};

    fn intake(sequence: u64, caught_up: bool) -> Intake {
        let poison = Quarantined {
            at: Timestamp::from_millis(sequence),
            reason: String::new(),
            tenant: None,
            revokes: false,
            headers: Default::default(),
            body: String::new(),
        };
        Intake {
            stream: Stream { lane: Lane::Facts, audience: Audience::Cores },
            words_of: None,
            events: Vec::new(),
            poison: vec![poison],
            dropped: [("damaged", sequence)].into(),
            unbelieved: None,
            position: Some(Position { mesh: "m".into(), sequence }),
            caught_up,
            releases: None,
        }
    }

    #[tokio::test]
    async fn what_waits_is_handed_over_together_and_in_order_and_a_failure_after_it() {
        let (sender, mut ready) = mpsc::channel(AHEAD);
        let mut failed = None;
        for (sequence, caught_up) in [(1, false), (2, true), (3, false)] {
            sender.send(Ok(intake(sequence, caught_up))).await.expect("room");
        }
        sender.send(Err(TransportError::Unavailable("away".into()))).await.expect("room");
        drop(sender);
        let together = gather(&mut ready, &mut failed).await.expect("intakes");
        let order: Vec<u64> = together.poison.iter().map(|poison| poison.at.as_millis()).collect();
        assert_eq!((order, together.dropped["damaged"]), (vec![1, 2, 3], 6));
        assert_eq!(together.position.map(|position| position.sequence), Some(3));
        assert!(together.caught_up, "all was read once on the way");
        for expected in ["away", "ended"] {
            let error = gather(&mut ready, &mut failed).await.expect_err("nothing came after");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn no_more_is_handed_over_together_than_may_wait() {
        let (sender, mut ready) = mpsc::channel(2 * AHEAD);
        for sequence in 0..2 * AHEAD as u64 {
            sender.send(Ok(intake(sequence, false))).await.expect("room");
        }
        for _ in 0..2 {
            assert_eq!(gather(&mut ready, &mut None).await.expect("intakes").poison.len(), AHEAD);
        }
    }
}
