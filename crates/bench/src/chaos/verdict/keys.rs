//! Key material: served or refused as it should be, made once, kept, and every ciphertext still opens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use openkcm_client::{Client, L1Spec, Route};
use openkcm_contracts::{KeyPath, RegionId, ServicePath};
use serde_json::Value;
use tokio::task::JoinSet;

use super::Verdict;
use crate::chaos::authors::{insist, key_now};
use crate::chaos::ledger::{Kept, Ledger, Service, lock};
use crate::landscape::local_root;

/// Ciphertexts that are opened at once.
const AT_ONCE: usize = 16;

/// One ciphertext of each service: opened, or refused for the right reason.
pub(super) async fn serve_as_they_should(client: &Client, ledger: &Ledger, verdict: &mut Verdict) {
    for tenant in &ledger.tenants {
        let linked = lock(&tenant.link).linked;
        for service in &tenant.services {
            let state = service.state.read().await;
            let present = |kept: &&Kept| Some(&kept.generation) == state.generation.as_ref();
            let Some(kept) = lock(&service.ciphertexts).iter().rev().find(present).cloned() else { continue };
            let expected = match (linked, state.deleted) {
                (false, _) => Some("tenant_unlinked"),
                (true, true) => Some("key_disabled"),
                (true, false) => None,
            };
            for region in &ledger.regions {
                let found = open(client, region, &service.path, &kept).await;
                if found.as_deref() != expected {
                    verdict.lost += 1;
                    ledger.is_wrong(format!(
                        "{} in region {region}: {found:?}, and not {expected:?}",
                        service.path
                    ));
                }
            }
        }
    }
}

/// The code of the refusal, or what is wrong; none when it opens to what was encrypted.
async fn open(client: &Client, region: &RegionId, path: &ServicePath, kept: &Kept) -> Option<String> {
    match client.core(Route::Only(region.clone())).decrypt(path, &kept.ciphertext, None).await {
        Ok(opened) if *opened.answer.plaintext == kept.plaintext => None,
        Ok(_) => Some("another plaintext".to_owned()),
        Err(error) => Some(match error.problem() {
            Some(problem) => problem.code_text.clone(),
            None => error.to_string(),
        }),
    }
}

/// Takes deletions back, and links all tenants.
pub(super) async fn give_all_back(client: &Client, ledger: &Ledger) {
    for tenant in &ledger.tenants {
        for service in &tenant.services {
            let mut state = service.state.write().await;
            if state.deleted {
                let key = KeyPath::Service(service.path.clone());
                let what = format!("undeleting {key}");
                let undeleted =
                    insist(ledger, &what, || async { client.registry().undelete_key(&key).await }).await;
                ledger.counts.defined.fetch_add(1, Ordering::Relaxed);
                state.deleted = undeleted.is_none();
            }
        }
        let id = &tenant.system.tenant;
        if !lock(&tenant.link).linked {
            let spec = L1Spec { roots: vec![local_root(id.as_str())], ..L1Spec::default() };
            insist(ledger, &format!("linking {id}"), || async { client.cmk().link(id, &spec).await }).await;
            lock(&tenant.link).linked = true;
        }
    }
}

/// Both regions hold the same versions of each key, with all that callers asked for or used, and no more than those and
/// the first ones of each generation.
pub(super) async fn every_version(client: &Client, ledger: &Ledger, verdict: &mut Verdict) {
    for tenant in &ledger.tenants {
        let rotations = lock(&tenant.rotations).clone();
        let key = KeyPath::System(tenant.system.clone());
        let made = Made { key, used: rotations.clone(), rotations, generations: 1, all_made: true };
        check(client, ledger, &made, verdict).await;
        for service in &tenant.services {
            if let Some(made) = made_of(service).await {
                check(client, ledger, &made, verdict).await;
            }
        }
    }
}

/// What is known of the versions of a key.
struct Made {
    key: KeyPath,
    /// What callers asked for and got.
    rotations: BTreeSet<String>,
    /// What made a ciphertext that was answered, and what was asked for.
    used: BTreeSet<String>,
    generations: usize,
    /// Whether each generation has a first version: one that ended before a Core heard of it has none.
    all_made: bool,
}

async fn made_of(service: &Service) -> Option<Made> {
    let state = service.state.read().await;
    state.generation.as_ref()?;
    let mut used = state.rotations.clone();
    used.extend(lock(&service.ciphertexts).iter().map(|kept| kept.version.clone()));
    let (rotations, generations) = (state.rotations.clone(), state.generations);
    let key = KeyPath::Service(service.path.clone());
    Some(Made { key, rotations, used, generations, all_made: generations == 1 })
}

async fn check(client: &Client, ledger: &Ledger, made: &Made, verdict: &mut Verdict) {
    let mut seen: Option<BTreeSet<String>> = None;
    for region in &ledger.regions {
        let what = format!("{} in region {region}", made.key);
        let shown = key_now(client, region, &made.key).await.unwrap_or_default();
        let versions = shown["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let id = |version: &Value| version["version"].as_str().unwrap_or_default().to_owned();
        let ids: BTreeSet<String> = versions.iter().map(id).collect();
        let missing = made.used.difference(&ids).count();
        if missing > 0 {
            verdict.lost += missing;
            ledger.is_wrong(format!("{what}: {missing} versions are missing"));
        }
        let both = twice_counted(&made.rotations, versions);
        let both = both.unwrap_or_else(|counter| {
            ledger.is_wrong(format!("{what}: two versions that were asked for have the counter {counter}"));
            0
        });
        let first = ids.difference(&made.rotations).count();
        let fewest = if made.all_made { made.generations } else { 1 };
        if !(fewest..=made.generations + both).contains(&first) {
            let generations = made.generations;
            ledger.is_wrong(format!(
                "{what}: {first} versions that nobody asked for, {both} of them second ones, of {generations} generations"
            ));
        }
        if versions.iter().any(|version| version["at_risk"] == true) {
            ledger.is_wrong(format!("{what}: a version is still at risk"));
        }
        if seen.as_ref().is_some_and(|seen| *seen != ids) {
            ledger.is_wrong(format!("{}: the regions hold different versions", made.key));
        }
        if seen.replace(ids).is_none() {
            verdict.versions += versions.len();
            verdict.made_in_both += both;
        }
    }
}

/// How many versions have another one's counter: no more than one of each two was asked for, or that counter is given.
fn twice_counted(rotations: &BTreeSet<String>, versions: &[Value]) -> Result<usize, u64> {
    let mut by_counter: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for version in versions {
        let (all, asked_for) = by_counter.entry(version["counter"].as_u64().unwrap_or_default()).or_default();
        *all += 1;
        *asked_for += usize::from(version["version"].as_str().is_some_and(|id| rotations.contains(id)));
    }
    match by_counter.iter().find(|(_, (_, asked_for))| *asked_for > 1) {
        Some((counter, _)) => Err(*counter),
        None => Ok(versions.len() - by_counter.len()),
    }
}

/// Every ciphertext of a key's present generation opens in every region; one of a generation that has ended does not.
pub(super) async fn every_ciphertext(client: &Client, ledger: &Ledger, verdict: &mut Verdict) {
    for service in ledger.tenants.iter().flat_map(|tenant| &tenant.services) {
        let present = service.state.read().await.generation.clone();
        let ciphertexts = lock(&service.ciphertexts).clone();
        for some in ciphertexts.chunks(AT_ONCE) {
            let mut opening = JoinSet::new();
            for kept in some {
                for region in &ledger.regions {
                    let (client, region) = (client.clone(), region.clone());
                    let (path, kept) = (service.path.clone(), kept.clone());
                    opening.spawn(async move {
                        let found = open(&client, &region, &path, &kept).await;
                        (kept, region, found)
                    });
                }
            }
            for (kept, region, found) in opening.join_all().await {
                let opens = present.as_ref() == Some(&kept.generation);
                let expected = (!opens).then_some("key_disabled");
                if found.as_deref() != expected {
                    verdict.lost += 1;
                    ledger.is_wrong(format!(
                        "a ciphertext of {} in region {region}: {found:?}, and not {expected:?}",
                        service.path
                    ));
                }
            }
            verdict.ciphertexts +=
                some.iter().filter(|kept| present.as_ref() == Some(&kept.generation)).count();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn count(rotations: &[&str], versions: &[(&str, u64)]) -> Result<usize, u64> {
        let rotations = rotations.iter().map(|id| (*id).to_owned()).collect();
        let version = |(id, counter): &(&str, u64)| json!({"version": id, "counter": counter});
        twice_counted(&rotations, &versions.iter().map(version).collect::<Vec<_>>())
    }

    #[test]
    fn first_versions_of_both_regions_are_counted_and_two_that_were_asked_for_are_not_allowed() {
        assert_eq!(count(&["r"], &[("first", 1), ("r", 2)]), Ok(0));
        assert_eq!(count(&["r"], &[("first", 1), ("of-b", 1), ("r", 2)]), Ok(1));
        assert_eq!(count(&["r"], &[("first", 1), ("r", 2), ("late", 2)]), Ok(1));
        assert_eq!(count(&["r", "s"], &[("first", 1), ("r", 2), ("s", 2)]), Err(2));
    }
}
