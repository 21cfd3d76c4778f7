//! When things are destroyed: the purge clock ticks, what is due goes step by step, an operator's word is taken.
//!
//! By the same clock other roots of a link are waited for (`store/owners.rs`). What is destroyed is refused since its tombstone was committed: nobody waits for this task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openkcm_contracts::{KeyPath, RegionId};
use openkcm_host::Clock;
use openkcm_store::{Read, Store, StoreError};
use tokio::sync::mpsc;

use super::control_loop::Input;
use crate::rules::{PurgePolicy, Ticker};
use crate::store::owners;
use crate::store::purge::{self, Advanced, Counts, Stage, Tombstone};

/// How often it is looked whether something is due.
const EVERY: Duration = Duration::from_secs(5);

/// The time between two ticks of the purge clock, which are written down. Half of what one counts at the most.
const TICKS: Duration = Duration::from_secs(30);

/// How long commits are gathered before a look: most of them are none of a purge.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// Tombstones that are read at once, and how often for one question: a rare stage gives a short page.
const PAGE: usize = 500;
const PAGES: usize = 40;

/// Destroys what is due.
pub(super) struct Purges {
    pub(super) store: Store,
    pub(super) region: RegionId,
    pub(super) policy: PurgePolicy,
    /// How long a root that comes into a link is waited for, without its owner's word.
    pub(super) change_wait: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) shown: Shown,
}

/// The counts as the metrics show them. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<[AtomicU64; 4]>);

impl Shown {
    fn set(&self, counts: Counts, roots_awaited: usize) {
        let Counts { waiting, held, destroyed } = counts;
        for (shown, count) in self.0.iter().zip([waiting, held, destroyed, roots_awaited as u64]) {
            shown.store(count, Ordering::Relaxed);
        }
    }

    /// The counts that were seen last.
    pub(crate) fn get(&self) -> Counts {
        let [waiting, held, destroyed] = [0, 1, 2].map(|at: usize| self.0[at].load(Ordering::Relaxed));
        Counts { waiting, held, destroyed }
    }

    /// How many tenants had a root that is waited for.
    pub(crate) fn roots_awaited(&self) -> u64 {
        self.0[3].load(Ordering::Relaxed)
    }
}

/// A purge, for those who show it.
#[derive(Debug, Clone)]
pub struct PurgeView {
    /// The key.
    pub path: KeyPath,
    /// Its tombstone.
    pub tombstone: Tombstone,
    /// How long it waits still, at the least.
    pub waits: Duration,
}

/// A part of the purges.
#[derive(Debug, Clone, Default)]
pub struct PurgesShown {
    /// The purges, in the order of names.
    pub items: Vec<PurgeView>,
    /// The name to go on after, if there may be more.
    pub more_after: Option<String>,
}

/// Purges after a name, at most so many, of one stage or of all.
pub(super) fn list(
    view: &dyn Read,
    policy: &PurgePolicy,
    mut after: Option<String>,
    limit: usize,
    stage: Option<Stage>,
) -> Result<PurgesShown, StoreError> {
    let mut shown = PurgesShown::default();
    for _ in 0..PAGES {
        let page = purge::tombstones(view, after.as_deref(), PAGE)?;
        let is_last = page.len() < PAGE;
        for (name, tombstone) in page {
            if shown.items.len() == limit {
                shown.more_after = after;
                return Ok(shown);
            }
            if stage.is_none_or(|stage| stage == tombstone.stage)
                && let Ok(path) = name.parse()
            {
                let waits = match tombstone.stage {
                    Stage::Waiting => purge::waits(view, &tombstone, policy.minimum_wait)?,
                    Stage::Held | Stage::Confirmed | Stage::Done => Duration::ZERO,
                };
                shown.items.push(PurgeView { path, tombstone, waits });
            }
            after = Some(name);
        }
        if is_last {
            return Ok(shown);
        }
    }
    shown.more_after = after;
    Ok(shown)
}

impl Purges {
    /// Runs for as long as the Core does.
    pub(super) async fn run(self) {
        let (mut commits, mut ticker) = (self.store.commits(), Ticker::default());
        let mut ticked = None;
        loop {
            commits.borrow_and_update();
            let now = self.clock.boottime();
            let is_tick = ticked.is_none_or(|ticked| now.since(ticked) >= TICKS);
            if is_tick {
                ticked = Some(now);
            }
            match self.look(&mut ticker, is_tick).await {
                Ok(true) => {}
                // The control loop has ended.
                Ok(false) => return,
                Err(error) => tracing::error!(%error, "what is to be destroyed was not; it is tried again"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                changed = commits.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHERED_FOR).await;
                }
            }
        }
    }

    /// Does what is due. Says whether anyone settles it.
    async fn look(&self, ticker: &mut Ticker, is_tick: bool) -> Result<bool, StoreError> {
        let (policy, wait) = (self.policy, self.change_wait);
        let (has_work, runs) = self
            .store
            .read(move |view| {
                let (has_work, runs) = purge::has_work(view, &policy)?;
                Ok::<_, StoreError>((has_work || owners::has_come(view, wait)?, runs))
            })
            .await?;
        let must_tick = is_tick && runs;
        if !has_work && !must_tick {
            self.show().await?;
            return Ok(true);
        }
        loop {
            let ran = ticker.tick(self.clock.now(), self.clock.boottime());
            let (region, now) = (self.region.clone(), self.clock.now());
            let step = self.store.write(move |tx| {
                let mut step = purge::advance(tx, &region, &policy, ran, now)?;
                step.changes.tenants.extend(owners::advance(tx, wait)?);
                Ok::<_, StoreError>(step)
            });
            let Advanced { changes, held, done, more } = step.await?;
            report(&held, &done);
            if !changes.is_empty() && self.inputs.send(Input::Destroyed(changes)).await.is_err() {
                return Ok(false);
            }
            if !more {
                self.show().await?;
                return Ok(true);
            }
        }
    }

    async fn show(&self) -> Result<(), StoreError> {
        let read = |view: &dyn Read| Ok::<_, StoreError>((purge::counts(view)?, owners::waiting(view)?));
        let (counts, roots_awaited) = self.store.read(read).await?;
        self.shown.set(counts, roots_awaited);
        Ok(())
    }
}

fn report(held: &[KeyPath], done: &[KeyPath]) {
    for path in done {
        tracing::info!(%path, "what its tombstone ends is destroyed");
    }
    if let [first, ..] = held {
        tracing::error!(%first, count = held.len(),
            "purges are held: more would be destroyed than the brake lets through; look at them with \
             `openkcm purge list --state held`, and confirm those that are meant");
    }
}
