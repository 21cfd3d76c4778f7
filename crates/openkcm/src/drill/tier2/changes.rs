//! What changes after the backup of tier 2 was taken: something ends, which must stay ended, and something begins, which
//! must not be lost.

use std::time::Duration;

use anyhow::bail;
use openkcm_client::{Client, Patience};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, ServicePath};

use crate::drill::cast::Cast;
use crate::drill::load::Load;
use crate::drill::report::Promise;
use crate::drill::stage::Stage;
use crate::drill::vitals::{self, Wellness};
use crate::drill::witness::{Watch, Witness};

/// The waiting period of the key that is purged: the shortest there is.
const PURGE_AFTER: &str = "1s";

/// What is to change.
pub(super) struct Changes {
    /// Of a tenant that is unlinked.
    unlinked: ServicePath,
    /// Is deleted, and purged.
    purged: ServicePath,
    /// Is defined between the backup and the fault.
    later: ServicePath,
    /// Is defined when all is over.
    last: ServicePath,
}

/// What was ended, and is tried all the time.
pub(super) struct Ended {
    unlinked: Watch,
    purged: Watch,
}

impl Changes {
    /// Chooses what will change.
    pub(super) fn cast(stage: &mut Stage) -> anyhow::Result<Self> {
        let cast: &mut Cast = stage.players_mut()?;
        Ok(Self {
            unlinked: cast.further("unlinked")?,
            purged: cast.beside("purged")?,
            later: cast.beside("later")?,
            last: cast.beside("last")?,
        })
    }

    /// What is there before the backup.
    pub(super) fn made_before(&self) -> [ServicePath; 2] {
        [self.unlinked.clone(), self.purged.clone()]
    }

    /// Unlinks, purges and defines, and waits until every region and the mesh have it.
    ///
    /// # Errors
    /// When a change is refused, or does not arrive: there is no fault yet to blame.
    pub(super) async fn make(
        &self,
        stage: &Stage,
        load: &Load,
        wellness: &Wellness,
        patience: Duration,
    ) -> anyhow::Result<Ended> {
        let (client, regions) = (stage.client()?, stage.players()?.regions().to_vec());
        let unlinked =
            Witness::make(&client, &self.unlinked, &regions, &regions, Code::TenantUnlinked).await?;
        let purged = Witness::make(&client, &self.purged, &regions, &regions, Code::KeyPurged).await?;
        let patient = client.with_patience(Patience { total: patience });
        patient.cmk().unlink(&self.unlinked.tenant).await?;
        patient.registry().delete_key(&KeyPath::Service(self.purged.clone()), Some(PURGE_AFTER)).await?;
        let players = stage.players()?;
        players.add(&client, stage.clock(), &self.later, patience).await?;
        load.seed(&client, &players.regions()[0], std::slice::from_ref(&self.later)).await?;
        for witness in [&unlinked, &purged] {
            if !witness.until_refused(&client, &**stage.clock(), patience).await {
                bail!(
                    "{} was ended, and not every region refuses it with {}",
                    witness.kept.service,
                    witness.code
                );
            }
        }
        let ills = vitals::until_well(&client, &stage.story, wellness, patience).await;
        if !ills.is_empty() {
            bail!("the changes before the fault did not settle: {}", ills.join("; "));
        }
        stage.story.tell("a tenant was unlinked, a key was purged, and a service was defined");
        Ok(Ended { unlinked: unlinked.watch(&client), purged: purged.watch(&client) })
    }

    /// Whether what is defined at the end becomes usable everywhere.
    pub(super) async fn accepts_news(&self, stage: &Stage, patience: Duration) -> Promise {
        let defined =
            async { stage.players()?.add(&stage.client()?, stage.clock(), &self.last, patience).await };
        let (held, found) = match defined.await {
            Ok(()) => (true, "a service that was defined afterwards encrypts in every region".to_owned()),
            Err(error) => (false, format!("{error:#}")),
        };
        stage.story.tell(found.clone());
        Promise::new("what is defined afterwards arrives", held, found)
    }
}

impl Ended {
    /// Whether all of it stayed ended.
    pub(super) async fn promises(&self, client: &Client) -> [Promise; 2] {
        [
            self.unlinked.promise("a tenant that was unlinked stays unlinked", client).await,
            self.purged.promise("a key that was purged stays purged", client).await,
        ]
    }
}
