//! Failover of a region: said in one transaction, worked off in many.
//!
//! What is committed first is one record that says from where to where; from then on every crash is survived. The
//! tenants are moved after it in steps of a bounded size, in the order of their names, each step with how far it came.
//! Where each tenant was is noted with its move, and so it is given back. A Registry that is behind its own words, or
//! does not know yet whether it is, moves nothing.

use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_orbital::words::{Standing, standing};
use openkcm_store::{Read, StoreError, Write};

use super::{Failure, moment, tellings, tenant};
use crate::rules::failover::{self, Fate, Regions};
use crate::rules::{Landscape, Moment, Outcome, Precondition, Refusal};
use crate::store::{self, Failover, FailoverPhase, Moved, TENANTS, TenantRecord, failovers};

/// Records that a survey reads at once.
const PAGE: usize = 1_000;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WorkStep {
    /// How many tenants it moved, or gave back.
    pub moved: u64,
    /// Whether more is to be done.
    pub more: bool,
}

/// What a failover would do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// How many tenants it would move.
    pub tenants: u64,
    /// How many of them have the survivor in their list already: it knows their keys.
    pub known: u64,
}

/// Counts the tenants that a region's failover would move now. Reads all tenants: a second for each million
/// (about 1 µs a record).
///
/// # Errors
/// When the store can't be read.
pub fn survey(view: &dyn Read, from: &RegionId, to: &RegionId) -> Result<Survey, StoreError> {
    let (mut survey, mut after) = (Survey::default(), None::<String>);
    loop {
        let page = TENANTS.list(view, "", after.as_deref(), PAGE)?;
        for (_, tenant) in page.iter().filter(|(_, tenant)| tenant.regions.contains(from)) {
            survey.tenants += 1;
            survey.known += u64::from(tenant.regions.contains(to));
        }
        if page.len() < PAGE {
            return Ok(survey);
        }
        after = page.into_iter().next_back().map(|(name, _)| name);
    }
}

/// Whether a region can be failed over to another one now.
///
/// # Errors
/// What [`fail_over`] would be refused with but for its precondition, or a store that fails.
pub fn check_fail_over(
    view: &dyn Read,
    landscape: &Landscape,
    (from, to): (&RegionId, &RegionId),
) -> Result<(), Failure> {
    check_current(view)?;
    let (held, of_survivor) = (failovers::of(view, from)?, failovers::of(view, to)?);
    let regions = Regions { from, to, held: held.as_ref(), of_survivor: of_survivor.as_ref() };
    Ok(failover::check(regions, landscape)?)
}

/// Says that a region's tenants go to another one. They follow by [`work`]. `count`: how many a [`survey`] found; it is
/// shown as what is to be done, and decides nothing.
///
/// # Errors
/// What the rules refuse, a Registry that does not know itself to be current, or a store that fails.
pub fn fail_over(
    tx: &mut dyn Write,
    landscape: &Landscape,
    (from, to): (&RegionId, &RegionId),
    precondition: &Precondition,
    count: u64,
    now: Timestamp,
) -> Result<Outcome<Failover>, Failure> {
    let at = current_moment(tx, now)?;
    let (held, of_survivor) = (failovers::of(tx.as_read(), from)?, failovers::of(tx.as_read(), to)?);
    let regions = Regions { from, to, held: held.as_ref(), of_survivor: of_survivor.as_ref() };
    let outcome = failover::begin(regions, landscape, precondition, count, at)?;
    save(tx, &outcome)?;
    Ok(outcome)
}

/// Says that the tenants of a region come back to it.
///
/// # Errors
/// As [`fail_over`].
pub fn fail_back(
    tx: &mut dyn Write,
    landscape: &Landscape,
    from: &RegionId,
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Outcome<Failover>, Failure> {
    let at = current_moment(tx, now)?;
    let held = failovers::of(tx.as_read(), from)?;
    let outcome = failover::back(from, held.as_ref(), landscape, precondition, at)?;
    save(tx, &outcome)?;
    Ok(outcome)
}

fn current_moment(tx: &dyn Write, now: Timestamp) -> Result<Moment, Failure> {
    check_current(tx.as_read())?;
    moment(tx, now)
}

fn check_current(view: &dyn Read) -> Result<(), Failure> {
    match standing(view)? {
        Standing::Current => Ok(()),
        Standing::Comparing { .. } => Err(Refusal::NotCompared.into()),
        Standing::Stale { .. } => Err(Refusal::Stale.into()),
    }
}

fn save(tx: &mut dyn Write, outcome: &Outcome<Failover>) -> Result<(), StoreError> {
    let Some(failover) = outcome.to_save() else { return Ok(()) };
    store::set_last_revision(tx, failover.revision)?;
    failovers::set(tx, failover)
}

/// Whether a step would find something to do.
///
/// # Errors
/// When the store can't be read.
pub fn has_work(view: &dyn Read) -> Result<bool, StoreError> {
    let standing = standing(view)?;
    let runs = standing == Standing::Current && failovers::all(view)?.iter().any(Failover::is_running);
    Ok(runs || !standing.is_stale() && !failovers::untold(view, 1)?.is_empty())
}

/// Moves tenants of regions that are failed over, gives those back that return, and goes on telling regions of keys
/// that they lack, looking at no more than so many things.
///
/// Tenants come first: one of a million keys does not keep the others waiting.
///
/// # Errors
/// When the store fails; nothing of the step was done then.
pub fn work(tx: &mut dyn Write, now: Timestamp, limit: usize) -> Result<WorkStep, StoreError> {
    let mut step = Step { now, left: limit, moved: 0 };
    if standing(tx.as_read())? == Standing::Current {
        let running: Vec<_> =
            failovers::all(tx.as_read())?.into_iter().filter(Failover::is_running).collect();
        for failover in running {
            step.advance(tx, failover)?;
        }
    }
    if step.left > 0 {
        tellings::go_on_with_all(tx, now, &mut step.left)?;
    }
    Ok(WorkStep { moved: step.moved, more: has_work(tx.as_read())? })
}

struct Step {
    now: Timestamp,
    /// How many more things it may look at.
    left: usize,
    moved: u64,
}

impl Step {
    fn advance(&mut self, tx: &mut dyn Write, mut failover: Failover) -> Result<(), StoreError> {
        let before = failover.clone();
        match failover.phase.clone() {
            FailoverPhase::Moving { after } => self.move_some(tx, &mut failover, after)?,
            FailoverPhase::Returning => self.give_some_back(tx, &mut failover)?,
            FailoverPhase::Moved { .. } | FailoverPhase::Returned { .. } => {}
        }
        if failover == before { Ok(()) } else { failovers::set(tx, &failover) }
    }

    fn move_some(
        &mut self,
        tx: &mut dyn Write,
        failover: &mut Failover,
        mut after: Option<String>,
    ) -> Result<(), StoreError> {
        let most = self.left;
        let tenants = TENANTS.list(tx.as_read(), "", after.as_deref(), most)?;
        let mut ends_here = tenants.len() < most;
        for (name, tenant) in tenants {
            if self.left == 0 {
                ends_here = false;
                break;
            }
            self.left -= 1;
            match failover::fate(failover, &tenant) {
                Fate::Elsewhere => {}
                Fate::Left => failover.left += 1,
                Fate::Moved(regions) => {
                    failover.moved += 1;
                    self.move_away(tx, &failover.from, &tenant, regions)?;
                }
            }
            after = Some(name);
        }
        failover.phase = if ends_here && !failovers::is_untold(tx.as_read(), &failover.to)? {
            FailoverPhase::Moved { at: self.now }
        } else {
            FailoverPhase::Moving { after }
        };
        Ok(())
    }

    fn give_some_back(&mut self, tx: &mut dyn Write, failover: &mut Failover) -> Result<(), StoreError> {
        let most = self.left;
        let moved = failovers::moved(tx.as_read(), &failover.from, None, most)?;
        let mut ends_here = moved.len() < most;
        for (id, moved) in moved {
            if self.left == 0 {
                ends_here = false;
                break;
            }
            self.left -= 1;
            failovers::forget_moved(tx, &failover.from, &id)?;
            let tenant = store::tenant(tx.as_read(), &id)?;
            let back = tenant.and_then(|tenant| Some((failover::way_back(&moved, &tenant)?, tenant)));
            match back {
                Some((regions, tenant)) => {
                    failover.returned += 1;
                    let record = self.assign(tx, &tenant, regions)?;
                    keep_up(tx, &failover.from, moved.revision, &tenant, &record)?;
                }
                None => failover.kept += 1,
            }
        }
        if ends_here && !failovers::is_untold(tx.as_read(), &failover.from)? {
            failover.phase = FailoverPhase::Returned { at: self.now };
        }
        Ok(())
    }

    fn move_away(
        &mut self,
        tx: &mut dyn Write,
        from: &RegionId,
        tenant: &TenantRecord,
        regions: Vec<RegionId>,
    ) -> Result<(), StoreError> {
        let before = tenant.regions.clone();
        let record = self.assign(tx, tenant, regions)?;
        let TenantRecord { generation, revision, .. } = record;
        let moved = Moved { generation, revision, before, after: record.regions.clone() };
        failovers::set_moved(tx, from, &tenant.tenant, &moved)?;
        keep_up(tx, from, revision, tenant, &record)
    }

    /// Has a tenant served in these regions from now on.
    fn assign(
        &mut self,
        tx: &mut dyn Write,
        tenant: &TenantRecord,
        regions: Vec<RegionId>,
    ) -> Result<TenantRecord, StoreError> {
        let revision = store::last_revision(tx.as_read())?.next();
        let record = TenantRecord { regions, revision, changed_at: self.now, ..tenant.clone() };
        let most = self.left.min(tellings::AT_ONCE);
        let mut left = most;
        tenant::save(tx, Some(tenant), &record, self.now, &mut left)?;
        self.left -= most - left;
        self.moved += 1;
        Ok(record)
    }
}

/// A tenant that an earlier failover of another region has moved still comes back by that one: no operator has placed
/// it since. `moved`: the revision of the move that is made, or taken back, by the failover of `region`.
fn keep_up(
    tx: &mut dyn Write,
    region: &RegionId,
    moved: Revision,
    before: &TenantRecord,
    after: &TenantRecord,
) -> Result<(), StoreError> {
    for other in failovers::all(tx.as_read())?.into_iter().filter(|other| other.from != *region) {
        let earlier = failovers::moved_tenant(tx.as_read(), &other.from, &before.tenant)?;
        let earlier = earlier.filter(|earlier| earlier.revision < moved && earlier.after == before.regions);
        if let Some(earlier) = earlier {
            let kept = Moved { after: after.regions.clone(), ..earlier };
            failovers::set_moved(tx, &other.from, &before.tenant, &kept)?;
        }
    }
    Ok(())
}
