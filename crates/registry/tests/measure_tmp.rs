//! Temporary.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
use openkcm_registry::{commands, commands::Failure, queries, rules::*, store};
use openkcm_store::*;
use openkcm_contracts::*;
#[tokio::test]
async fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&OpenOptions { path: dir.path().join("r.db"), identity: "r".into(), spaces: &[store::SPACES, openkcm_orbital::SPACES] }).unwrap();
    let regions = ["a", "b", "c"].map(|n| RegionId::new(n).unwrap());
    let land = Landscape { regions: regions.clone().into() };
    let now = Timestamp::from_millis(1);
    let t = TenantId::new("acme").unwrap();
    let (l2, t2, r2) = (land.clone(), t.clone(), regions.clone());
    store.write(move |tx| {
        commands::define_tenant(tx, &l2, &t2, TenantSpec { regions: r2[..1].to_vec(), labels: Default::default() }, &Precondition::None, now)?;
        commands::define_key(tx, &"acme/hr".parse().unwrap(), KeySpec::default(), &Precondition::None, now)?;
        Ok::<_, Failure>(())
    }).await.unwrap();
    let at = std::time::Instant::now();
    store.write(move |tx| {
        for i in 0..20_000 {
            commands::define_key(tx, &format!("acme/hr/s{i:06}").parse().unwrap(), KeySpec::default(), &Precondition::None, now)?;
        }
        Ok::<_, Failure>(())
    }).await.unwrap();
    println!("define 1 region: {:?} each", at.elapsed() / 20_000);
    let at = std::time::Instant::now();
    let (l2, t2, r2) = (land.clone(), t.clone(), regions.clone());
    store.write(move |tx| commands::define_tenant(tx, &l2, &t2, TenantSpec { regions: r2[..2].to_vec(), labels: Default::default() }, &Precondition::None, now)).await.unwrap();
    println!("region add: {:?} each", at.elapsed() / 20_000);
    let at = std::time::Instant::now();
    let l = store.read(|v| queries::services(v, &"acme/hr".parse().unwrap(), &queries::Part { prefix: String::new(), after: None, limit: 10, filter: queries::Filter::Ended })).await.unwrap();
    println!("look at {}: {:?} {:?}", queries::MAX_LOOKED_AT, at.elapsed(), l.more_after);
}
