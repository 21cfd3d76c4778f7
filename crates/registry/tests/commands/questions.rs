//! Questions about collections that are large.

use openkcm_contracts::TenantId;
use openkcm_registry::queries::{self, Filter, MAX_LOOKED_AT, Part};
use openkcm_registry::rules::Precondition;
use openkcm_registry::store::{TENANTS, Tenancy, TenantRecord};
use openkcm_store::StoreError;

use crate::registry::Registry;

#[test]
fn a_filter_that_lets_hardly_anything_through_looks_at_a_bounded_part() {
    let mut registry = Registry::new();
    let live = registry.tenant("zebra", &["a"], &Precondition::None).unwrap().record().clone();
    let state = Tenancy::Offboarded { purge_at: live.changed_at };
    let filled = registry.store.write(|tx| {
        for number in 0..MAX_LOOKED_AT + 100 {
            let tenant = TenantId::new(&format!("t{number:05}")).unwrap();
            TENANTS.put(
                tx,
                tenant.as_str(),
                &TenantRecord { tenant: tenant.clone(), state, ..live.clone() },
            )?;
        }
        Ok::<_, StoreError>(())
    });
    filled.unwrap();
    let ask = |after| {
        let part = Part { prefix: String::new(), after, limit: 10, filter: Filter::Live };
        queries::tenants(&registry.store, &part).unwrap()
    };
    let first = ask(None);
    assert!(first.items.is_empty());
    let last_looked_at = format!("t{:05}", MAX_LOOKED_AT - 1);
    assert_eq!(first.more_after, Some(last_looked_at));
    let second = ask(first.more_after);
    assert_eq!((second.items.len(), second.more_after), (1, None));
}
