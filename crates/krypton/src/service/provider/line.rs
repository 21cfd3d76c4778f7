//! The line of one L1 provider: who is asked next, and when. Plain code.
//!
//! First come systems that a caller waits for; then probes without which serving would end soon; then all else,
//! probes and the rest in turn. Among tenants the order is fair. What nobody wants any more is dropped and not
//! asked. What always holds: no more is asked than the pace allows, and no more unseals and seals are under way
//! than configured, of one tenant no more than an eighth of those.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::{SystemPath, TenantId};
use openkcm_host::BootInstant;
use tokio::sync::oneshot;

use super::fair::{End, Fair};
use super::turns::Turn;
use crate::control::Wanted;
use crate::keyring::{Place, Pulse};
use crate::rules::{Pace, PacePolicy};

/// It takes so many tenants whose provider hangs to delay the others.
const TENANTS_AT_LEAST: usize = 8;

/// Turns in a row of what callers wait for, while a probe is urgent: however much is asked for, nobody who is served
/// loses it by that.
const MOST_IN_A_ROW: u32 = 3;

/// The part that each answer has in the average of how long they take.
const NEWEST: f64 = 0.1;

/// A question that waits for its turn.
pub(super) struct Entry {
    pub(super) wanted: Wanted,
    pub(super) start: oneshot::Sender<Turn>,
}

impl Entry {
    fn is_wanted(&self) -> bool {
        self.wanted.is_so() && !self.start.is_closed()
    }
}

/// What kind of question has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unseal or a seal: takes a place among those that are under way.
    Job,
    /// A probe: the control bounds how many there are.
    Probe,
}

/// What is to be done now.
pub(super) enum Next {
    /// This question has its turn.
    Start(Kind, TenantId, Entry),
    /// Nothing before this time has passed.
    Wait(Duration),
    /// Nothing before something ends, or comes.
    Nothing,
}

/// How much waits in a line, and what became of the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineView {
    /// Questions about systems that a caller waits for.
    pub demanded: usize,
    /// Probes.
    pub probes: usize,
    /// All other questions.
    pub rest: usize,
    /// Unseals and seals that are under way.
    pub under_way: usize,
    /// Questions in a second that are asked at most, at present.
    pub per_second: u64,
    /// Questions that were asked since the start.
    pub asked: u64,
    /// Those that were refused for their rate alone.
    pub throttled: u64,
}

pub(super) struct Line {
    policy: PacePolicy,
    pace: Pace,
    demanded: Fair<Entry>,
    /// By when each is urgent.
    probes: BTreeMap<(BootInstant, u64), (TenantId, Entry)>,
    rest: Fair<Entry>,
    under_way: usize,
    of_tenants: HashMap<TenantId, usize>,
    in_a_row: u32,
    probe_was_last: bool,
    number: u64,
    /// How long a question is under way, on average, in seconds.
    took: f64,
    pulse: Arc<Pulse>,
    /// Of tenants with jobs that wait.
    places: HashMap<TenantId, Arc<Place>>,
    asked: u64,
    throttled: u64,
}

impl Line {
    pub(super) fn new(policy: PacePolicy, now: BootInstant) -> Self {
        Self {
            policy,
            pace: Pace::new(policy.per_second, now),
            demanded: Fair::default(),
            probes: BTreeMap::new(),
            rest: Fair::default(),
            under_way: 0,
            of_tenants: HashMap::new(),
            in_a_row: 0,
            probe_was_last: false,
            number: 0,
            took: 0.0,
            pulse: Arc::default(),
            places: HashMap::new(),
            asked: 0,
            throttled: 0,
        }
    }

    /// Adds an unseal or a seal. Gives the tenant's place in the line, if it had none.
    pub(super) fn push(
        &mut self,
        path: &SystemPath,
        entry: Entry,
        is_demanded: bool,
        end: End,
    ) -> Option<Arc<Place>> {
        let line = if is_demanded { &mut self.demanded } else { &mut self.rest };
        line.push(path, entry, end);
        let mut new = None;
        if !self.places.contains_key(&path.tenant) {
            let place = Arc::new(Place::new(self.pulse.clone()));
            self.places.insert(path.tenant.clone(), place.clone());
            new = Some(place);
        }
        self.tell(&path.tenant);
        new
    }

    /// Adds a probe, which is urgent from then on.
    pub(super) fn push_probe(&mut self, tenant: TenantId, entry: Entry, urgent: BootInstant) {
        self.number += 1;
        self.probes.insert((urgent, self.number), (tenant, entry));
    }

    /// A caller waits for a system: its questions come first.
    pub(super) fn raise(&mut self, path: &SystemPath) {
        for entry in self.rest.take(path) {
            self.demanded.push(path, entry, End::Back);
        }
        self.tell(&path.tenant);
    }

    /// What is to be done now.
    pub(super) fn next(&mut self, now: BootInstant) -> Next {
        loop {
            if self.demanded.len() + self.probes.len() + self.rest.len() == 0 {
                return Next::Nothing;
            }
            if let Some(wait) = self.pace.wait(now) {
                self.tell_pulse();
                return Next::Wait(wait);
            }
            let Some((kind, tenant, entry)) = self.pick(now) else { return Next::Nothing };
            self.tell(&tenant);
            if entry.is_wanted() {
                self.pace.ask(1);
                self.asked += 1;
                if kind == Kind::Job {
                    self.under_way += 1;
                    *self.of_tenants.entry(tenant.clone()).or_default() += 1;
                }
                return Next::Start(kind, tenant, entry);
            }
        }
    }

    fn pick(&mut self, now: BootInstant) -> Option<(Kind, TenantId, Entry)> {
        let is_urgent = self.probes.first_key_value().is_some_and(|((urgent, _), _)| *urgent <= now);
        if is_urgent && self.in_a_row >= MOST_IN_A_ROW {
            return self.pick_probe();
        }
        if let Some((path, entry)) = self.pick_job(|line| &mut line.demanded) {
            self.in_a_row += 1;
            return Some((Kind::Job, path.tenant, entry));
        }
        if (is_urgent || !self.probe_was_last)
            && let Some(probe) = self.pick_probe()
        {
            return Some(probe);
        }
        match self.pick_job(|line| &mut line.rest) {
            Some((path, entry)) => {
                self.probe_was_last = false;
                Some((Kind::Job, path.tenant, entry))
            }
            None => self.pick_probe(),
        }
    }

    fn pick_probe(&mut self) -> Option<(Kind, TenantId, Entry)> {
        let (_, (tenant, entry)) = self.probes.pop_first()?;
        (self.in_a_row, self.probe_was_last) = (0, true);
        Some((Kind::Probe, tenant, entry))
    }

    fn pick_job(&mut self, of: impl Fn(&mut Self) -> &mut Fair<Entry>) -> Option<(SystemPath, Entry)> {
        if self.under_way >= self.policy.concurrent {
            return None;
        }
        let most = (self.policy.concurrent / TENANTS_AT_LEAST).max(1);
        let of_tenants = std::mem::take(&mut self.of_tenants);
        let may = |tenant: &TenantId| of_tenants.get(tenant).is_none_or(|count| *count < most);
        let picked = of(self).pop(may);
        self.of_tenants = of_tenants;
        picked
    }

    /// A question was asked, and is no longer under way.
    pub(super) fn ended(&mut self, kind: Kind, tenant: &TenantId, took: Duration) {
        self.took += (took.as_secs_f64() - self.took) * NEWEST;
        if kind == Kind::Probe {
            return;
        }
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(count) = self.of_tenants.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.of_tenants.remove(tenant);
            }
        }
    }

    /// The provider answered, whatever it said.
    pub(super) fn answered(&mut self) {
        self.pace.answered();
    }

    /// The provider refused a question for its rate.
    pub(super) fn was_throttled(&mut self, now: BootInstant, retry_after: Option<Duration>) {
        self.throttled += 1;
        self.pace.throttled(now, retry_after);
        self.tell_pulse();
    }

    /// More questions are asked than the one that had its turn.
    pub(super) fn asks_more(&mut self, questions: u32) {
        self.asked += u64::from(questions);
        self.pace.ask(questions);
    }

    pub(super) fn view(&self) -> LineView {
        LineView {
            demanded: self.demanded.len(),
            probes: self.probes.len(),
            rest: self.rest.len(),
            under_way: self.under_way,
            per_second: whole(self.pace.per_second()),
            asked: self.asked,
            throttled: self.throttled,
        }
    }

    /// Tells those who wait how the tenant's line is now.
    fn tell(&mut self, tenant: &TenantId) {
        let (demanded, rest) = (self.demanded.of(tenant), self.rest.of(tenant));
        if let Some(place) = self.places.get(tenant) {
            place.waits_for(demanded);
        }
        if demanded + rest == 0 {
            self.places.remove(tenant);
        }
        self.tell_pulse();
    }

    fn tell_pulse(&self) {
        let places = u32::try_from(self.policy.concurrent).unwrap_or(u32::MAX);
        let by_pace = 1.0 / self.pace.per_second();
        let per_turn = Duration::from_secs_f64(by_pace.max(self.took / f64::from(places)));
        self.pulse.tell(self.demanded.len(), self.demanded.tenants(), per_turn, self.pace.resumes());
    }
}

/// Never negative, and no more than is configured.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Ticket;

    const NOW: BootInstant = BootInstant::from_nanos(1_000_000_000);
    const LATER: BootInstant = BootInstant::from_nanos(2_000_000_000);

    /// A line whose pace holds nothing up, and who waits in it.
    struct Bench {
        line: Line,
        waiting: Vec<oneshot::Receiver<Turn>>,
    }

    impl Bench {
        fn new(per_second: u32, concurrent: usize) -> Self {
            Self { line: Line::new(PacePolicy { per_second, concurrent }, NOW), waiting: Vec::new() }
        }

        fn entry(&mut self, wanted: Wanted) -> Entry {
            let (start, waiting) = oneshot::channel();
            self.waiting.push(waiting);
            Entry { wanted, start }
        }

        fn job(&mut self, path: &str, is_demanded: bool) {
            let entry = self.entry(Wanted::default());
            let path = path.parse().expect("a system's name");
            self.line.push(&path, entry, is_demanded, End::Back);
        }

        fn probe(&mut self, tenant: &str, urgent: BootInstant) {
            let entry = self.entry(Wanted::default());
            self.line.push_probe(TenantId::new(tenant).expect("valid"), entry, urgent);
        }

        /// Whose questions are asked now, in order.
        fn asked(&mut self, most: usize) -> Vec<String> {
            let mut asked = Vec::new();
            while asked.len() < most
                && let Next::Start(kind, tenant, _) = self.line.next(NOW)
            {
                asked.push(if kind == Kind::Job { tenant.to_string() } else { format!("?{tenant}") });
            }
            asked
        }
    }

    #[test]
    fn an_urgent_probe_waits_for_no_more_than_three_turns_of_what_callers_wait_for() {
        let mut bench = Bench::new(1_000, 64);
        (0..6).for_each(|number| bench.job(&format!("t-{number}/hr"), true));
        bench.probe("served", NOW);
        bench.probe("served-too", NOW);
        bench.probe("can-wait", LATER);
        let expected = ["t-0", "t-1", "t-2", "?served", "t-3", "t-4", "t-5", "?served-too", "?can-wait"];
        assert_eq!(bench.asked(9), expected);
    }

    #[test]
    fn probes_that_can_wait_and_what_nobody_waits_for_take_turns() {
        let mut bench = Bench::new(1_000, 64);
        (0..3).for_each(|number| bench.job(&format!("t-{number}/hr"), false));
        (0..3).for_each(|number| bench.probe(&format!("p-{number}"), LATER));
        assert_eq!(bench.asked(9), ["?p-0", "t-0", "?p-1", "t-1", "?p-2", "t-2"]);
        bench.probe("p-3", LATER);
        assert_eq!(bench.asked(9), ["?p-3"]);
    }

    #[test]
    fn no_more_are_under_way_than_may_be_and_of_one_tenant_an_eighth_of_them() {
        let mut bench = Bench::new(100_000, 16);
        (0..9).for_each(|number| bench.job(&format!("big/s-{number}"), true));
        (0..40).for_each(|number| bench.job(&format!("t-{number:02}/hr"), false));
        let asked = bench.asked(99);
        assert_eq!((asked.len(), asked.iter().filter(|tenant| *tenant == "big").count()), (16, 2));
        bench.line.ended(Kind::Job, &TenantId::new("big").expect("valid"), Duration::ZERO);
        assert_eq!(bench.asked(99), ["big"]);
        // Probes take no place: what hangs keeps nobody from being proven.
        bench.probe("served", LATER);
        assert_eq!(bench.asked(99), ["?served"]);
    }

    #[test]
    fn what_is_dropped_costs_no_turn() {
        let mut bench = Bench::new(10, 64);
        let (gone, stays) = (Ticket::default(), Ticket::default());
        for ticket in [&gone, &gone, &stays] {
            let entry = bench.entry(ticket.wanted());
            bench.line.push(&"acme/hr".parse().expect("a system's name"), entry, false, End::Back);
        }
        drop(gone);
        assert_eq!(bench.asked(9), ["acme"]);
        assert_eq!((bench.line.view().asked, bench.line.view().rest), (1, 0));
    }

    #[test]
    fn a_system_that_is_raised_keeps_the_order_of_its_own_questions() {
        let mut bench = Bench::new(1_000, 64);
        bench.job("a/x", false);
        bench.job("b/y", false);
        bench.job("b/y", false);
        bench.line.raise(&"b/y".parse().expect("a system's name"));
        assert_eq!((bench.line.view().demanded, bench.line.view().rest), (2, 1));
        assert_eq!(bench.asked(9), ["b", "b", "a"]);
    }
}
