//! Where a drill takes place: a landscape of its own, or one that is there, which its operator breaks and heals.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use openkcm_client::{Client, Landscape};
use openkcm_contracts::RegionId;
use openkcm_host::{Clock, Entropy};

use super::arguments::{How, Part, Place};
use super::job;
use super::scratch::Scratch;

/// Where a drill takes place.
pub(super) enum Ground {
    /// Made for the drill.
    Scratch(Box<Scratch>),
    /// Of an operator.
    Given(Given),
}

/// A landscape that is there.
pub(super) struct Given {
    landscape: PathBuf,
    break_with: String,
    heal_with: String,
    backup: Option<String>,
    /// Whether it was broken and not healed.
    is_broken: bool,
}

impl Ground {
    /// The landscape that was chosen; a scratch one is started for it.
    ///
    /// # Errors
    /// When a scratch landscape does not start.
    pub(super) async fn open(
        place: &Place,
        landscape: PathBuf,
        backup: Option<String>,
        clock: &Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Self> {
        if place.scratch {
            let scratch = Scratch::start(place, clock.clone(), entropy).await?;
            return Ok(Self::Scratch(Box::new(scratch)));
        }
        let named =
            |command: &Option<String>| command.clone().context("the parser demands --break and --heal");
        let (break_with, heal_with) = (named(&place.break_with)?, named(&place.heal_with)?);
        Ok(Self::Given(Given { landscape, break_with, heal_with, backup, is_broken: false }))
    }

    /// What it is called in the report.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Scratch(_) => "a scratch landscape".to_owned(),
            Self::Given(given) => given.landscape.display().to_string(),
        }
    }

    /// A client of it, which takes the first answer. Its connections are its own.
    pub(super) fn client(
        &self,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> anyhow::Result<Client> {
        let file = match self {
            Self::Scratch(scratch) => scratch.landscape_file(),
            Self::Given(given) => given.landscape.clone(),
        };
        Ok(Client::new(&Landscape::load(&file)?, clock.clone(), entropy.clone())?)
    }

    /// Cuts a region off the mesh.
    pub(super) async fn cut(&mut self, region: &RegionId) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.cut(region).await,
            Self::Given(given) => given.break_it().await,
        }
    }

    /// Ends [`Ground::cut`].
    pub(super) async fn mend(&mut self, region: &RegionId) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.mend(region).await,
            Self::Given(given) => given.heal_it().await,
        }
    }

    /// Takes a backup of a part.
    pub(super) async fn back_up(&mut self, part: Part) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.back_up(part).await,
            Self::Given(Given { backup: Some(command), .. }) => job::shell("backup", command).await,
            Self::Given(_) => Ok(()),
        }
    }

    /// Loses a part.
    pub(super) async fn lose(&mut self, part: Part, how: How) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.lose(part, how),
            Self::Given(given) => given.break_it().await,
        }
    }

    /// Has a lost part come back.
    pub(super) async fn bring_back(&mut self, part: Part, how: How) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.bring_back(part, how).await,
            Self::Given(given) => given.heal_it().await,
        }
    }

    /// Loses a region with its disk.
    pub(super) async fn lose_region(&mut self, region: &RegionId) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.lose_region(region),
            Self::Given(given) => given.break_it().await,
        }
    }

    /// Has a lost region come back, with nothing on its disk.
    pub(super) async fn return_region(&mut self, region: &RegionId) -> anyhow::Result<()> {
        match self {
            Self::Scratch(scratch) => scratch.return_region(region).await,
            Self::Given(given) => given.heal_it().await,
        }
    }

    /// Heals what was broken and not healed; nothing in a scratch landscape, which ends.
    pub(super) async fn leave(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Given(given) if given.is_broken => given.heal_it().await,
            _ => Ok(()),
        }
    }

    /// Keeps a scratch landscape's directory, for someone who looks for what went wrong.
    pub(super) fn keep(&mut self) {
        if let Self::Scratch(scratch) = self {
            scratch.keep();
        }
    }
}

impl Given {
    async fn break_it(&mut self) -> anyhow::Result<()> {
        // Also where the command fails half-way.
        self.is_broken = true;
        job::shell("break", &self.break_with).await
    }

    async fn heal_it(&mut self) -> anyhow::Result<()> {
        job::shell("heal", &self.heal_with).await?;
        self.is_broken = false;
        Ok(())
    }
}
