//! What is done to a scratch landscape: partitions, lost components, lost regions, and how they come back.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use openkcm_contracts::RegionId;

use super::{BROKER, LOOK_EVERY, START_PATIENCE, Scratch, home};
use crate::drill::arguments::{How, Part};
use crate::drill::job;

/// Starts an authority whose store is older than its words.
const REBUILD: &str = "--rebuild-from-mesh";

impl Scratch {
    /// Cuts a region's Core off the broker.
    pub(in crate::drill) async fn cut(&self, region: &RegionId) -> anyhow::Result<()> {
        self.relays.get(region).context("the landscape has no such region")?.cut().await
    }

    /// Ends [`Scratch::cut`].
    pub(in crate::drill) async fn mend(&self, region: &RegionId) -> anyhow::Result<()> {
        self.relays.get(region).context("the landscape has no such region")?.open().await
    }

    /// Takes the backup that [`Scratch::bring_back`] puts back. A component is copied while it runs; a broker is
    /// stopped for it.
    pub(in crate::drill) async fn back_up(&mut self, part: Part) -> anyhow::Result<()> {
        let copy = self.home.path("backups");
        if part == Part::Nats {
            self.kill(BROKER);
            home::copy(&self.data(BROKER), &copy.join(BROKER))?;
            return self.start_part(BROKER, &[]).await;
        }
        let mut command = job::own(&self.program);
        command.args(["backup", part.name(), "--config"]).arg(self.configuration(part.name()));
        command.arg("--to").arg(&copy);
        self.job("backup", command).await.map(|_| ())
    }

    /// Kills a part as a power cut would; with its disk, unless it comes back on its own store.
    pub(in crate::drill) fn lose(&mut self, part: Part, how: How) -> anyhow::Result<()> {
        self.kill(part.name());
        match how {
            How::Restart => Ok(()),
            How::Backup | How::Empty => remove(&self.data(part.name())),
        }
    }

    /// Starts a lost part again, as its operator would, with all that belongs to a restore.
    pub(in crate::drill) async fn bring_back(&mut self, part: Part, how: How) -> anyhow::Result<()> {
        if how == How::Backup {
            self.restore(part).await?;
        }
        match (part, how) {
            (_, How::Restart) => self.start_part(part.name(), &[]).await,
            (Part::Registry | Part::Cmk, _) => self.start_part(part.name(), &[REBUILD]).await,
            (Part::Nats, _) => {
                self.start_part(BROKER, &[]).await?;
                self.set_up_mesh().await?;
                // What the broker lost is said anew by its authors.
                for authority in [Part::Registry, Part::Cmk] {
                    self.kill(authority.name());
                    self.start_part(authority.name(), &[REBUILD]).await?;
                }
                Ok(())
            }
        }
    }

    /// Kills a region's Core and deletes its disk.
    pub(in crate::drill) fn lose_region(&mut self, region: &RegionId) -> anyhow::Result<()> {
        let name = core_of(region);
        self.kill(&name);
        remove(&self.data(&name))
    }

    /// Starts a lost region's Core on an empty disk.
    pub(in crate::drill) async fn return_region(&mut self, region: &RegionId) -> anyhow::Result<()> {
        self.start_part(&core_of(region), &[]).await
    }

    fn kill(&mut self, part: &str) {
        if let Some(process) = self.running.remove(part) {
            process.kill();
        }
    }

    async fn restore(&self, part: Part) -> anyhow::Result<()> {
        let backups = self.home.path("backups");
        if part == Part::Nats {
            return home::copy(&backups.join(BROKER), &self.data(BROKER));
        }
        let taken = only_entry(&backups)?;
        let mut command = job::own(&self.program);
        command.args(["restore", part.name(), "--config"]).arg(self.configuration(part.name()));
        command.arg("--from").arg(taken);
        self.job("restore", command).await.map(|_| ())
    }

    /// Tries until the broker, which has just started, answers.
    async fn set_up_mesh(&self) -> anyhow::Result<()> {
        let begun = self.clock.boottime();
        loop {
            let mut command = job::own(&self.program);
            command.args(["mesh", "setup", "--dir"]).arg(self.landscape());
            match self.job("mesh-setup", command).await {
                Err(_) if self.clock.boottime().since(begun) < START_PATIENCE => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                outcome => return outcome.map(|_| ()),
            }
        }
    }
}

fn core_of(region: &RegionId) -> String {
    crate::component::Component::Krypton(region.clone()).to_string()
}

fn remove(directory: &Path) -> anyhow::Result<()> {
    let removed = fs::remove_dir_all(directory).and_then(|()| fs::create_dir(directory));
    removed.with_context(|| format!("{} can't be emptied", directory.display()))
}

/// The backup that was taken.
fn only_entry(directory: &Path) -> anyhow::Result<std::path::PathBuf> {
    let mut entries = fs::read_dir(directory).with_context(|| format!("no {}", directory.display()))?;
    Ok(entries.next().context("no backup was taken")??.path())
}
