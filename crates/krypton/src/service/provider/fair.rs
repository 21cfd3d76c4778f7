//! Questions in a fair order: one of each tenant in turn, a tenant's own in the order in which they came.
//!
//! A tenant with ten thousand systems so delays each other one by a single turn. Adding, taking and moving a
//! system's questions cost the logarithm of what waits.

use std::collections::{BTreeMap, HashMap, VecDeque};

use openkcm_contracts::{SystemId, SystemPath, TenantId};

#[derive(Debug)]
pub(super) struct Fair<T> {
    tenants: HashMap<TenantId, OfTenant<T>>,
    /// Whose turn it is, in order.
    turns: BTreeMap<u64, TenantId>,
    next: u64,
    len: usize,
}

#[derive(Debug)]
struct OfTenant<T> {
    turn: u64,
    order: BTreeMap<i64, SystemId>,
    systems: HashMap<SystemId, (i64, VecDeque<T>)>,
    len: usize,
}

/// Where a question goes among the others of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { tenants: HashMap::new(), turns: BTreeMap::new(), next: 0, len: 0 }
    }
}

impl<T> Fair<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Tenants with questions.
    pub(super) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// Questions of one tenant.
    pub(super) fn of(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).map_or(0, |of| of.len)
    }

    pub(super) fn push(&mut self, path: &SystemPath, question: T, end: End) {
        let Self { tenants, turns, next, len } = self;
        let of = tenants.entry(path.tenant.clone()).or_insert_with(|| {
            *next += 1;
            turns.insert(*next, path.tenant.clone());
            OfTenant { turn: *next, order: BTreeMap::new(), systems: HashMap::new(), len: 0 }
        });
        *len += 1;
        of.push(&path.system, question, end);
    }

    /// Takes the next question of the next tenant that may have a turn.
    pub(super) fn pop(&mut self, may: impl Fn(&TenantId) -> bool) -> Option<(SystemPath, T)> {
        let (turn, tenant) = self.turns.iter().find(|(_, tenant)| may(tenant))?;
        let (turn, tenant) = (*turn, tenant.clone());
        self.turns.remove(&turn);
        let of = self.tenants.get_mut(&tenant)?;
        let (system, question) = of.pop()?;
        self.len -= 1;
        if of.len == 0 {
            self.tenants.remove(&tenant);
        } else {
            self.next += 1;
            of.turn = self.next;
            self.turns.insert(self.next, tenant.clone());
        }
        Some((SystemPath { tenant, system }, question))
    }

    /// Takes all questions of a system, wherever they stand.
    pub(super) fn take(&mut self, path: &SystemPath) -> VecDeque<T> {
        let Some(of) = self.tenants.get_mut(&path.tenant) else { return VecDeque::new() };
        let Some((place, questions)) = of.systems.remove(&path.system) else { return VecDeque::new() };
        of.order.remove(&place);
        of.len -= questions.len();
        self.len -= questions.len();
        if of.len == 0 {
            self.turns.remove(&of.turn);
            self.tenants.remove(&path.tenant);
        }
        questions
    }
}

impl<T> OfTenant<T> {
    fn push(&mut self, system: &SystemId, question: T, end: End) {
        let Self { order, systems, len, .. } = self;
        let (first, last) = (order.first_key_value(), order.last_key_value());
        let place = match end {
            End::Front => first.map_or(0, |(place, _)| place - 1),
            End::Back => last.map_or(0, |(place, _)| place + 1),
        };
        let (at, questions) = systems.entry(system.clone()).or_insert_with(|| (place, VecDeque::new()));
        match end {
            End::Front => {
                order.remove(at);
                *at = place;
                questions.push_front(question);
            }
            End::Back => questions.push_back(question),
        }
        order.insert(*at, system.clone());
        *len += 1;
    }

    fn pop(&mut self) -> Option<(SystemId, T)> {
        let (place, system) = self.order.first_key_value().map(|(place, system)| (*place, system.clone()))?;
        let (_, questions) = self.systems.get_mut(&system)?;
        let question = questions.pop_front()?;
        if questions.is_empty() {
            self.systems.remove(&system);
            self.order.remove(&place);
        }
        self.len -= 1;
        Some((system, question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> SystemPath {
        name.parse().expect("a system's name")
    }

    fn order(fair: &mut Fair<u8>) -> Vec<String> {
        std::iter::from_fn(|| fair.pop(|_| true).map(|(path, _)| path.to_string())).collect()
    }

    #[test]
    fn a_tenant_with_many_systems_delays_each_other_by_one_turn() {
        let mut fair = Fair::default();
        for system in ["a", "b", "c", "d"] {
            fair.push(&path(&format!("big/{system}")), 0, End::Back);
        }
        fair.push(&path("one/x"), 0, End::Back);
        fair.push(&path("two/x"), 0, End::Back);
        fair.push(&path("two/y"), 0, End::Back);
        assert_eq!((fair.len(), fair.tenants(), fair.of(&path("big/a").tenant)), (7, 3, 4));
        let expected = ["big/a", "one/x", "two/x", "big/b", "two/y", "big/c", "big/d"];
        assert_eq!(order(&mut fair), expected);
        assert_eq!((fair.len(), fair.tenants()), (0, 0));
    }

    #[test]
    fn a_tenant_that_may_not_have_a_turn_holds_up_no_other() {
        let mut fair = Fair::default();
        fair.push(&path("slow/a"), 0, End::Back);
        fair.push(&path("one/x"), 0, End::Back);
        let may = |tenant: &TenantId| tenant.as_str() != "slow";
        assert_eq!(fair.pop(may).map(|(path, _)| path), Some(path("one/x")));
        assert_eq!(fair.pop(may).map(|(path, _)| path), None);
        assert_eq!(order(&mut fair), ["slow/a"]);
    }

    #[test]
    fn a_systems_questions_are_taken_from_wherever_they_stand() {
        let mut fair = Fair::default();
        for (name, question) in [("t/a", 1), ("t/b", 2), ("t/a", 3), ("u/a", 4)] {
            fair.push(&path(name), question, End::Back);
        }
        assert_eq!(fair.take(&path("t/a")), [1, 3]);
        assert!(fair.take(&path("t/a")).is_empty());
        assert_eq!(fair.take(&path("u/a")), [4]);
        assert_eq!((fair.len(), fair.tenants()), (1, 1));
        assert_eq!(order(&mut fair), ["t/b"]);
    }

    #[test]
    fn what_is_put_back_is_the_first_of_its_tenant() {
        let mut fair = Fair::default();
        for (name, question) in [("t/a", 1), ("t/b", 2), ("t/b", 3)] {
            fair.push(&path(name), question, End::Back);
        }
        fair.push(&path("t/b"), 4, End::Front);
        let questions: Vec<u8> =
            std::iter::from_fn(|| fair.pop(|_| true).map(|(_, question)| question)).collect();
        assert_eq!(questions, [4, 2, 3, 1]);
    }
}
