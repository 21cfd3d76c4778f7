//! One step of the control: what it sees, what it asks for, how much it may still look at.
//!
//! A step holds the control state, for which answers of providers, rotations and the status wait. So it has a
//! share, counted in keys and tenants that are looked at, and leaves what is beyond it to later steps
//! ([`Rest`]). A gate that is to be shut is never left: closing costs next to nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use openkcm_contracts::{ServiceId, ServicePath, SystemPath, TenantId, Timestamp};
use openkcm_store::Read;

use super::Effects;
use super::tenant::Served;

/// One step.
pub(super) struct Step<'a> {
    pub(super) view: &'a dyn Read,
    pub(super) now: Timestamp,
    pub(super) effects: Effects,
    /// What the tenant that was asked for last is served under, if it is: many keys of one tenant come
    /// together.
    pub(super) last: Option<(TenantId, Option<Arc<Served>>)>,
    share: usize,
    made: HashSet<ServicePath>,
}

impl<'a> Step<'a> {
    pub(super) fn new(view: &'a dyn Read, now: Timestamp, share: usize, effects: Effects) -> Self {
        Self { view, now, effects, last: None, share, made: HashSet::new() }
    }

    /// How many more keys it may look at.
    pub(super) fn share(&self) -> usize {
        self.share
    }

    /// Notes that a key or a tenant was looked at.
    pub(super) fn looked(&mut self) {
        self.share = self.share.saturating_sub(1);
    }

    /// Notes that a version of a service is made in this step: a second look, which reads the same store,
    /// would make another.
    pub(super) fn made(&mut self, path: &ServicePath) {
        self.made.insert(path.clone());
    }

    pub(super) fn has_made(&self, path: &ServicePath) -> bool {
        self.made.contains(path)
    }
}

/// What steps have left for later ones. Where something was begun it says how far it came.
#[derive(Debug, Default)]
pub(super) struct Rest {
    tenants: BTreeMap<TenantId, Option<String>>,
    l2s: BTreeSet<SystemPath>,
    systems: BTreeMap<SystemPath, Option<ServiceId>>,
    services: BTreeMap<SystemPath, BTreeSet<ServiceId>>,
    /// Tenants that callers wait for, of those that were left.
    waited_for: BTreeSet<TenantId>,
    /// The tenant that was taken last: the others have their turns before it has another.
    last: Option<TenantId>,
    /// Whether that was what was taken last.
    tenant_was_last: bool,
}

/// One thing that was left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// A tenant, from after this record on.
    Tenant(TenantId, Option<String>),
    /// A system's L2.
    L2(SystemPath),
    /// A system and its services, from after this service on.
    System(SystemPath, Option<ServiceId>),
    /// Services of one system.
    Services(SystemPath, BTreeSet<ServiceId>),
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        let Self { tenants, l2s, systems, services, .. } = self;
        tenants.is_empty() && l2s.is_empty() && systems.is_empty() && services.is_empty()
    }

    /// Tenants that a later step is to come to.
    pub(super) fn tenants_left(&self) -> usize {
        self.tenants.len()
    }

    /// A caller waits for a tenant: if it was left, it comes first.
    pub(super) fn wait_for(&mut self, id: &TenantId) {
        if self.tenants.contains_key(id) {
            self.waited_for.insert(id.clone());
        }
    }

    /// Leaves a tenant, from after this record on.
    pub(super) fn leave_tenant(&mut self, id: &TenantId, after: Option<String>) {
        self.tenants.insert(id.clone(), after);
    }

    /// A tenant that is shut, or begun anew: what was left of it is done with.
    pub(super) fn forget_tenant(&mut self, id: &TenantId) {
        self.tenants.remove(id);
    }

    pub(super) fn leave_l2(&mut self, path: &SystemPath) {
        self.l2s.insert(path.clone());
    }

    /// Leaves a system and its services, from after this service on.
    pub(super) fn leave_system(&mut self, path: &SystemPath, after: Option<ServiceId>) {
        self.systems.insert(path.clone(), after);
    }

    /// A system that is begun anew: how far it had come is done with.
    pub(super) fn forget_system(&mut self, path: &SystemPath) {
        self.systems.remove(path);
    }

    pub(super) fn leave_service(&mut self, path: &SystemPath, service: &ServiceId) {
        self.services.entry(path.clone()).or_default().insert(service.clone());
    }

    /// Whether a later step is to come to this system, or to services of it.
    pub(super) fn names(&self, path: &SystemPath) -> bool {
        self.l2s.contains(path) || self.systems.contains_key(path) || self.services.contains_key(path)
    }

    /// Takes what is next. Tenants and keys in turn: nothing of a tenant is served before it was come to, and a tenant
    /// whose keys are open does not wait until all the others were. A tenant that does not fit into one share goes on
    /// when the others had theirs.
    pub(super) fn take(&mut self) -> Option<Left> {
        let keys = !(self.l2s.is_empty() && self.systems.is_empty() && self.services.is_empty());
        if !(keys && std::mem::take(&mut self.tenant_was_last))
            && let Some(id) = self.next_tenant()
        {
            let after = self.tenants.remove(&id).flatten();
            (self.last, self.tenant_was_last) = (Some(id.clone()), true);
            return Some(Left::Tenant(id, after));
        }
        if let Some(path) = self.l2s.pop_first() {
            return Some(Left::L2(path));
        }
        if let Some((path, after)) = self.systems.pop_first() {
            return Some(Left::System(path, after));
        }
        self.services.pop_first().map(|(path, services)| Left::Services(path, services))
    }

    /// The next tenant after the one before, of those that callers wait for, or else of all.
    fn next_tenant(&mut self) -> Option<TenantId> {
        let Self { tenants, waited_for, last, .. } = self;
        let after = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let next = |of: &BTreeSet<TenantId>| of.range((after, Bound::Unbounded)).chain(of).next().cloned();
        while let Some(id) = next(waited_for) {
            if tenants.contains_key(&id) {
                return Some(id);
            }
            // It was settled to its end meanwhile.
            waited_for.remove(&id);
        }
        let next = tenants.range((after, Bound::Unbounded)).chain(tenants.iter()).next();
        next.map(|(id, _)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_taken_once_and_tenants_come_first() {
        let mut rest = Rest::default();
        let (id, path): (TenantId, SystemPath) =
            (TenantId::new("acme").expect("valid"), "b/hr".parse().expect("valid"));
        let service = ServiceId::new("payroll").expect("valid");
        rest.leave_service(&path, &service);
        rest.leave_system(&path, Some(service.clone()));
        rest.leave_system(&path, None);
        rest.leave_tenant(&id, Some("acme/hr".into()));
        rest.leave_l2(&path);
        assert!(rest.names(&path) && !rest.names(&"b/it".parse().expect("valid")));
        let mut taken = Vec::new();
        while let Some(left) = rest.take() {
            taken.push(left);
        }
        let expected = [
            Left::Tenant(id, Some("acme/hr".into())),
            Left::L2(path.clone()),
            Left::System(path.clone(), None),
            Left::Services(path, [service].into()),
        ];
        assert_eq!(taken, expected);
        assert!(rest.is_empty());
    }

    #[test]
    fn a_tenant_that_a_caller_waits_for_comes_first_and_one_that_is_long_lets_the_others_by() {
        let id = |name: &str| TenantId::new(name).expect("valid");
        let mut rest = Rest::default();
        for name in ["a", "b", "c", "d"] {
            rest.leave_tenant(&id(name), None);
        }
        rest.wait_for(&id("c"));
        rest.wait_for(&id("stranger"));
        let mut taken = Vec::new();
        for _ in 0..6 {
            let Some(Left::Tenant(id, _)) = rest.take() else { panic!("tenants are left") };
            taken.push(id.to_string());
            if id.as_str() == "d" && taken.len() < 4 {
                // It did not fit into its share.
                rest.leave_tenant(&id, Some("d/x".into()));
            }
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(taken, ["c", "d", "a", "b", "d"]);
    }

    #[test]
    fn keys_of_tenants_that_were_come_to_do_not_wait_for_all_the_others() {
        let mut rest = Rest::default();
        for name in ["a", "b"] {
            rest.leave_tenant(&TenantId::new(name).expect("valid"), None);
        }
        let path: SystemPath = "z/hr".parse().expect("valid");
        rest.leave_system(&path, None);
        let kinds = std::iter::from_fn(|| rest.take()).map(|left| matches!(left, Left::Tenant(..)));
        assert_eq!(kinds.collect::<Vec<_>>(), [true, false, true]);
    }
}
