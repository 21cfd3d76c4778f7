//! How tenants come to a survivor, and back: by the Registry's failover of the whole region, or by definitions of the
//! drill's own tenants alone.
//!
//! A failover moves every tenant of the region, which is what a drill on a landscape of its own shows. On one that is
//! there nobody else's tenants are moved, unless that is asked for.

use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::{Call, Component, Method, Patience};
use openkcm_contracts::RegionId;
use serde_json::json;

use super::Roles;
use crate::drill::stage::Stage;

/// Who is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    /// Everyone of the region, by the Registry.
    Region,
    /// The drill's tenants, one by one.
    Own,
}

impl Moving {
    /// Moves to the survivor; gives when that was committed, or for single tenants began.
    pub(super) async fn over(
        self,
        stage: &Stage,
        roles: &Roles,
        patience: Duration,
    ) -> anyhow::Result<Duration> {
        let Roles { from, to } = roles;
        match self {
            Self::Region => {
                let call = post(format!("/v1/regions/{from}/failover")).json(&json!({ "to": to }));
                // One that was given back, of an earlier drill say, may be failed over again.
                let patient = stage.client()?.with_patience(Patience { total: patience });
                let said = patient.put_again(call).await;
                said.with_context(|| format!("the Registry does not fail over from {from} to {to}"))?;
                Ok(stage.story.tell(format!("the failover from {from} to {to} is committed")))
            }
            Self::Own => {
                let begun = stage.story.tell(format!("the drill's tenants are moved from {from} to {to}"));
                self.place(stage, std::slice::from_ref(to)).await?;
                Ok(begun)
            }
        }
    }

    /// Moves back to where the tenants were; gives when, as [`Moving::over`].
    pub(super) async fn back(
        self,
        stage: &Stage,
        roles: &Roles,
        homes: &[RegionId],
        patience: Duration,
    ) -> anyhow::Result<Duration> {
        let from = &roles.from;
        match self {
            Self::Region => {
                let patient = stage.client()?.with_patience(Patience { total: patience });
                let registry = patient.registry();
                let held = registry.failover_of(from).await.context("its failover can't be read")?;
                let said = registry.failback(from, held.revision).await;
                said.with_context(|| format!("the Registry does not give region {from} its tenants back"))?;
                Ok(stage.story.tell(format!("the fail-back to {from} is committed")))
            }
            Self::Own => {
                let begun = stage.story.tell(format!("the drill's tenants are moved back to {from}"));
                self.place(stage, homes).await?;
                Ok(begun)
            }
        }
    }

    async fn place(self, stage: &Stage, regions: &[RegionId]) -> anyhow::Result<()> {
        stage.players()?.place(&stage.client()?, regions).await
    }
}

fn post(path: String) -> Call {
    Call::new(Component::Registry, Method::POST, path)
}
