//! Turns to ask: each question to a provider waits here until it is its own.
//!
//! One line for each provider that is configured, so that what tenants write into their references opens no more of
//! them; behind one lock, which is held for some comparisons and never by requests. One task gives the turns.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openkcm_contracts::{SystemPath, TenantId};
use openkcm_host::{BootInstant, Clock};
use tokio::sync::{Notify, oneshot};

use super::fair::End;
use super::line::{Entry, Kind, Line, LineView, Next};
use crate::control::Wanted;
use crate::keyring::Keyring;
use crate::rules::PacePolicy;

/// The longest sleep between two looks: time may pass by leaps, as after a suspend.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Systems that callers wait for and that are remembered before there is a question about them: what is beyond is
/// opened in its turn.
const MOST_DEMANDED: usize = 8_192;

/// Gives turns. Clones are handles to the same lines.
#[derive(Clone)]
pub(crate) struct Turns {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    keyring: Arc<Keyring>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    lines: BTreeMap<String, Line>,
    demanded: Demanded,
}

/// Systems that callers wait for, the longest remembered first.
#[derive(Default)]
struct Demanded {
    numbers: HashMap<SystemPath, u64>,
    order: BTreeMap<u64, SystemPath>,
    next: u64,
}

/// Who wants to ask.
pub(super) struct Asking<'a> {
    /// The provider.
    pub(super) provider: &'a str,
    /// Whether anybody waits for the answer still.
    pub(super) wanted: Wanted,
    /// What it is about.
    pub(super) about: About<'a>,
}

/// What a question is about.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    /// An L2. `again`: it had a turn, and the provider refused it for its rate.
    System { path: &'a SystemPath, again: bool },
    /// Whether a tenant's root may be used, which is urgent from then on.
    Tenant { tenant: &'a TenantId, urgent: BootInstant },
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The provider answered it.
    Answer,
    /// It refused it for its rate, and said when to ask again or did not.
    Throttle(Option<Duration>),
    /// Nothing.
    Silence,
}

/// The right to ask one provider one question. It ends when this is dropped.
pub(super) struct Turn {
    turns: Turns,
    provider: String,
    kind: Kind,
    tenant: TenantId,
    since: BootInstant,
}

impl Turns {
    pub(super) fn new<'a>(
        providers: impl Iterator<Item = &'a str>,
        policy: PacePolicy,
        clock: Arc<dyn Clock>,
        keyring: Arc<Keyring>,
    ) -> Self {
        let now = clock.boottime();
        let lines = providers.map(|name| (name.to_owned(), Line::new(policy, now))).collect();
        let state = Mutex::new(State { lines, demanded: Demanded::default() });
        Self { shared: Arc::new(Shared { clock, keyring, state, changed: Notify::new() }) }
    }

    /// Waits for a turn. None where nobody wants the answer any more, or no such provider is configured, which needs
    /// no asking.
    pub(super) async fn turn(&self, asking: Asking<'_>) -> Option<Turn> {
        let (start, started) = oneshot::channel();
        {
            let mut state = self.state();
            let State { lines, demanded } = &mut *state;
            let line = lines.get_mut(asking.provider)?;
            let entry = Entry { wanted: asking.wanted, start };
            match asking.about {
                About::Tenant { tenant, urgent } => line.push_probe(tenant.clone(), entry, urgent),
                About::System { path, again } => {
                    let end = if again { End::Front } else { End::Back };
                    let place = line.push(path, entry, demanded.contains(path), end);
                    if let (Some(place), Some(ring)) = (place, self.shared.keyring.tenant(&path.tenant)) {
                        ring.waits_at(place);
                    }
                }
            }
        }
        self.shared.changed.notify_one();
        started.await.ok()
    }

    /// Whether this provider has a line.
    pub(super) fn has(&self, provider: &str) -> bool {
        self.state().lines.contains_key(provider)
    }

    /// A caller waits for a system: what is asked about it comes first.
    pub(super) fn raise(&self, path: &SystemPath) {
        let mut state = self.state();
        state.demanded.add(path);
        state.lines.values_mut().for_each(|line| line.raise(path));
        drop(state);
        self.shared.changed.notify_one();
    }

    /// A system is open: nobody waits for it any more.
    pub(super) fn is_open(&self, path: &SystemPath) {
        self.state().demanded.remove(path);
    }

    /// How much waits for each provider.
    pub(crate) fn lines(&self) -> Vec<(String, LineView)> {
        self.state().lines.iter().map(|(name, line)| (name.clone(), line.view())).collect()
    }

    /// Gives turns, for ever.
    pub(super) async fn give(self) {
        loop {
            let wait = self.give_now();
            // Whatever changes meanwhile is noted, and ends the wait.
            let changed = self.shared.changed.notified();
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait.min(LONGEST_SLEEP), changed).await),
                None => changed.await,
            }
        }
    }

    /// Gives all turns that there are now. Says how long until the next, unless something changes.
    fn give_now(&self) -> Option<Duration> {
        let now = self.shared.clock.boottime();
        let (mut started, mut waits) = (Vec::new(), None::<Duration>);
        for (name, line) in &mut self.state().lines {
            loop {
                match line.next(now) {
                    Next::Start(kind, tenant, entry) => {
                        let (turns, provider) = (self.clone(), name.clone());
                        started.push((entry.start, Turn { turns, provider, kind, tenant, since: now }));
                    }
                    Next::Wait(wait) => {
                        waits = waits.into_iter().chain([wait]).min();
                        break;
                    }
                    Next::Nothing => break,
                }
            }
        }
        for (start, turn) in started {
            // Who has gone meanwhile gives the turn back.
            drop(start.send(turn));
        }
        waits
    }

    /// Whose keys they are.
    #[cfg(test)]
    pub(super) fn keyring(&self) -> &Keyring {
        &self.shared.keyring
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Ends the turn, and says what was heard.
    pub(super) fn end(self, heard: Heard) {
        let now = self.turns.shared.clock.boottime();
        if let Some(line) = self.turns.state().lines.get_mut(&self.provider) {
            match heard {
                Heard::Answer => line.answered(),
                Heard::Throttle(retry_after) => line.was_throttled(now, retry_after),
                Heard::Silence => {}
            }
        }
    }

    /// So many questions more are asked in this turn.
    pub(super) fn asks_more(&self, questions: u32) {
        if let Some(line) = self.turns.state().lines.get_mut(&self.provider) {
            line.asks_more(questions);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = self.turns.shared.clock.boottime().since(self.since);
        if let Some(line) = self.turns.state().lines.get_mut(&self.provider) {
            line.ended(self.kind, &self.tenant, took);
        }
        self.turns.shared.changed.notify_one();
    }
}

impl Demanded {
    fn add(&mut self, path: &SystemPath) {
        if self.numbers.contains_key(path) {
            return;
        }
        if self.numbers.len() >= MOST_DEMANDED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.numbers.remove(&oldest);
        }
        self.next += 1;
        self.numbers.insert(path.clone(), self.next);
        self.order.insert(self.next, path.clone());
    }

    fn contains(&self, path: &SystemPath) -> bool {
        self.numbers.contains_key(path)
    }

    fn remove(&mut self, path: &SystemPath) {
        if let Some(number) = self.numbers.remove(path) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_systems_callers_wait_for_a_bounded_number_is_remembered() {
        let mut demanded = Demanded::default();
        let path = |number: usize| format!("acme/s-{number}").parse().expect("a system's name");
        (0..=MOST_DEMANDED).for_each(|number| demanded.add(&path(number)));
        assert!(!demanded.contains(&path(0)) && demanded.contains(&path(1)));
        demanded.add(&path(1));
        demanded.remove(&path(2));
        assert_eq!((demanded.numbers.len(), demanded.order.len()), (MOST_DEMANDED - 1, MOST_DEMANDED - 1));
    }
}
