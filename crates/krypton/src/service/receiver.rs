//! What the courier brings, handed to the control loop; a revoke takes effect before that.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{Event, Lane};
use openkcm_orbital::outbox::Waiting;
use openkcm_orbital::{Intake, Published, Receiver};
use openkcm_store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::answers::Answers;
use super::control_loop::Input;
use crate::keyring::Keyring;
use crate::store::{SLICE, Slices, ends_at_latest};

pub(super) struct MeshReceiver {
    pub(super) keyring: Arc<Keyring>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) answers: Answers,
}

#[async_trait]
impl Receiver for MeshReceiver {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        self.revoke_at_once(&intake);
        if intake.stream.lane == Lane::Manifests {
            // Before it counts as read: asked twice, it is answered twice, which harms nobody.
            self.answers.answer(&intake).await?;
        }
        let slices = match intake.events.len() {
            0..=SLICE => Slices::of(intake),
            // Takes some ten milliseconds, for which a thread may be kept busy and the runtime not.
            _ => spawn_blocking(|| Slices::of(intake)).await.map_err(|_| StoreError::Closed)?,
        };
        let (sender, receiver) = oneshot::channel();
        self.inputs.send(Input::Intake(slices.into(), sender)).await.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    async fn told(&self, letters: &[Waiting], _published: &[Published]) -> Result<(), StoreError> {
        self.inputs.send(Input::Told(letters.to_vec())).await.map_err(|_| StoreError::Closed)
    }
}

impl MeshReceiver {
    /// Closes gates before the disk or the control loop is waited for. Closing too early is safe;
    /// what is committed next says the same.
    fn revoke_at_once(&self, intake: &Intake) {
        for poison in intake.poison.iter().filter(|poison| poison.revokes) {
            if let Some(tenant) = &poison.tenant {
                self.keyring.revoke(tenant, ends_at_latest(poison));
            }
        }
        for verified in &intake.events {
            match &verified.event {
                Event::L1Revoke(fact) => self.keyring.revoke(&fact.tenant, fact.epoch),
                Event::L1Reference(fact) if fact.state == LinkState::Unlinked => {
                    self.keyring.revoke(&fact.tenant, fact.epoch);
                }
                _ => {}
            }
        }
    }
}
