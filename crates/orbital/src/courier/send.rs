//! Sending: what waits in the outbox, by lane and audience, in order, until the mesh holds it.

use std::collections::BTreeSet;
use std::sync::Arc;

use openkcm_contracts::{Audience, Lane};
use openkcm_store::{Read, StoreError};
use tokio::task::JoinSet;

use super::{Attempt, Interruption, Shared};
use crate::outbox::{self, Waiting};
use crate::{Courier, Letter, Published, Stream};

/// Letters that are sent at once: a synced mesh takes a batch in the time of one message, and no larger one.
const BATCH: usize = 1000;

impl Shared {
    /// Sends on one lane, each audience by a task of its own, for as long as there is anything for it.
    pub(super) async fn send_lane(self: Arc<Self>, lane: Lane) {
        if self.compared.subscribe().wait_for(|compared| *compared).await.is_err() {
            return;
        }
        let mut commits = self.courier.store.commits();
        let mut senders = JoinSet::new();
        let mut served = BTreeSet::new();
        let mut failures = 0;
        loop {
            commits.borrow_and_update();
            let unserved = served.clone();
            match self.courier.store.read(move |view| unserved_letters(view, lane, &unserved)).await {
                Ok(found) => {
                    failures = 0;
                    for (audience, letters) in found {
                        served.insert(audience.clone());
                        senders.spawn(self.clone().send_to(lane, audience, letters));
                    }
                }
                Err(error) => {
                    self.note_failure(Attempt::Send(lane), &error.into());
                    failures += 1;
                    self.back_off(failures).await;
                    continue;
                }
            }
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                Some(ended) = senders.join_next() => match ended {
                    Ok(audience) => drop(served.remove(&audience)),
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_cancelled) => return,
                },
            }
        }
    }

    /// Sends what waits for an audience until nothing does.
    async fn send_to(self: Arc<Self>, lane: Lane, audience: Audience, first: Vec<Waiting>) -> Audience {
        let mut failures = 0;
        let mut letters = Some(first);
        loop {
            if self.waits_for_authorities(lane).await {
                // Some of it may have ended meanwhile.
                letters = None;
            }
            match self.send_next(lane, &audience, letters.take()).await {
                Ok(Sent::Nothing) => {
                    if failures > 0 {
                        self.note_nothing(Attempt::Send(lane));
                    }
                    return audience;
                }
                Ok(Sent::All) => failures = 0,
                // An author that is behind says all of it again, and may find newer words again: not in a rush.
                Ok(Sent::SomeInVain) => {
                    failures += 1;
                    self.back_off(failures).await;
                }
                Err(interruption) => {
                    self.note_failure(Attempt::Send(lane), &interruption);
                    failures += 1;
                    self.back_off(failures).await;
                }
            }
        }
    }

    /// Waits until the authorities' words were read to their ends, before sealed copies are sent. Says whether that
    /// took any time.
    async fn waits_for_authorities(&self, lane: Lane) -> bool {
        if lane != Lane::Sealed {
            return false;
        }
        let mut drained = self.drained.subscribe();
        let is_authoritys = |stream: &&Stream| matches!(stream.lane, Lane::Urgent | Lane::Facts);
        let are_read = |drained: &BTreeSet<Stream>| {
            self.courier.reads.iter().filter(is_authoritys).all(|of| drained.contains(of))
        };
        if are_read(&drained.borrow_and_update()) {
            return false;
        }
        // The sender is this courier's own.
        drop(drained.wait_for(are_read).await);
        true
    }

    /// Sends these letters, or those that wait now.
    async fn send_next(
        &self,
        lane: Lane,
        audience: &Audience,
        letters: Option<Vec<Waiting>>,
    ) -> Result<Sent, Interruption> {
        let Courier { store, transport, signer, receiver, .. } = &self.courier;
        let waiting = match letters {
            Some(letters) => letters,
            None => {
                let of = audience.clone();
                store.read(move |view| outbox::waiting_for(view, lane, &of, BATCH)).await?
            }
        };
        if waiting.is_empty() {
            return Ok(Sent::Nothing);
        }
        let messages = signer.sign_all(waiting.iter().map(|waiting| &waiting.letter));
        let published = transport.publish(messages).await?;
        self.note_success(Attempt::Send(lane));
        note_superseded(&waiting, &published);
        receiver.told(&waiting, &published).await?;
        store.write(move |tx| outbox::forget(tx, lane, &waiting)).await?;
        let in_vain = published.contains(&Published::Superseded);
        Ok(if in_vain { Sent::SomeInVain } else { Sent::All })
    }
}

/// What came of sending.
enum Sent {
    Nothing,
    All,
    /// The mesh holds newer words than some.
    SomeInVain,
}

/// The first letters for each audience that no task sends to.
fn unserved_letters(
    view: &dyn Read,
    lane: Lane,
    served: &BTreeSet<Audience>,
) -> Result<Vec<(Audience, Vec<Waiting>)>, StoreError> {
    let audiences = outbox::audiences(view, lane)?.into_iter().filter(|audience| !served.contains(audience));
    audiences
        .map(|audience| {
            let letters = outbox::waiting_for(view, lane, &audience, BATCH)?;
            Ok((audience, letters))
        })
        .collect()
}

/// An author that finds a newer word of its own on the mesh lost part of its store.
fn note_superseded(waiting: &[Waiting], published: &[Published]) {
    for (Waiting { letter, .. }, _) in
        waiting.iter().zip(published).filter(|(_, outcome)| **outcome == Published::Superseded)
    {
        let Letter { subject, audience, revision, .. } = letter;
        tracing::warn!(%subject, %audience, %revision, "the mesh holds a newer word than this letter's");
    }
}
