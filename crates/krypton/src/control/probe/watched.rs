//! Whose L1 is watched: what each has said, when it is asked or looked at next, and how many stand how.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use openkcm_contracts::{LinkEpoch, TenantId};
use openkcm_host::BootInstant;

use super::super::effects::Ticket;
use crate::rules::{Denial, Moment, PROBED_EVERY};

/// What a tenant's L1 has said.
#[derive(Debug)]
pub(super) enum State {
    /// Yes, as of this moment; or nothing yet, as of when its link came to be served, and then nothing is open.
    Proven(Moment),
    /// Nothing for so long that it is not served.
    Unproven,
    /// No.
    Denied(Vec<Denial>),
}

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) epoch: LinkEpoch,
    pub(super) state: State,
    /// When it is asked next; none while it is being asked.
    pub(super) ask_at: Option<BootInstant>,
    /// When it is looked at next: to be asked, or to be found unproven.
    pub(super) next: Option<BootInstant>,
    /// The probe that is under way.
    pub(super) asked: Option<u64>,
    /// Ends with this, and with the next probe: what was not asked by then is not asked any more.
    pub(super) ticket: Ticket,
    /// How many there were.
    pub(super) count: u64,
}

/// What probes came to, for those who show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeView {
    /// Tenants that are not served since a root denies.
    pub denied: usize,
    /// Tenants that are not served since no root proved for too long that it may be used.
    pub unproven: usize,
    /// Probes since the start whose tenants were proven, were denied, or neither.
    pub probes: [u64; 3],
}

#[derive(Debug)]
pub(in crate::control) struct Probing {
    pub(super) every: Duration,
    pub(super) tenants: HashMap<TenantId, Watched>,
    pub(super) due: BTreeSet<(BootInstant, TenantId)>,
    pub(super) under_way: usize,
    pub(super) number: u64,
    pub(super) view: ProbeView,
}

impl Default for Probing {
    fn default() -> Self {
        let (tenants, due, view) = Default::default();
        Self { every: PROBED_EVERY, tenants, due, under_way: 0, number: 0, view }
    }
}

impl State {
    pub(super) fn denials(&self) -> &[Denial] {
        match self {
            Self::Denied(denials) => denials,
            Self::Proven(_) | Self::Unproven => &[],
        }
    }
}

impl Probing {
    pub(super) fn put(&mut self, id: &TenantId, watched: Watched) {
        self.count(&watched.state, true);
        self.tenants.insert(id.clone(), watched);
    }

    pub(super) fn set(&mut self, id: &TenantId, state: State) {
        if let Some(mut watched) = self.tenants.remove(id) {
            self.count(&watched.state, false);
            watched.state = state;
            self.put(id, watched);
        }
    }

    pub(super) fn forget(&mut self, id: &TenantId) {
        if let Some(watched) = self.tenants.remove(id) {
            self.count(&watched.state, false);
            if let Some(next) = watched.next {
                self.due.remove(&(next, id.clone()));
            }
        }
    }

    fn count(&mut self, state: &State, is_so: bool) {
        let count = match state {
            State::Proven(_) => return,
            State::Unproven => &mut self.view.unproven,
            State::Denied(_) => &mut self.view.denied,
        };
        *count = if is_so { *count + 1 } else { count.saturating_sub(1) };
    }

    pub(super) fn take_due(&mut self, now: BootInstant) -> Option<TenantId> {
        let (at, _) = self.due.first()?;
        let (_, id) = if *at <= now { self.due.pop_first()? } else { return None };
        if let Some(watched) = self.tenants.get_mut(&id) {
            watched.next = None;
        }
        Some(id)
    }
}
