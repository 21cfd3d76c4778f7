//! When each tenant is served in the survivor, and whether all that was encrypted opens there.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::bail;
use openkcm_client::{Client, Route};
use openkcm_contracts::RegionId;
use tokio::task::JoinSet;

use super::fill::Key;
use crate::landscape::elapsed;

/// Looks that are under way at once.
const AT_ONCE: usize = 16;
const AT_ONCE_U32: u32 = 16;

/// Tenants that are looked at in turn.
const WINDOW: usize = 64;

/// Nothing of this takes longer.
const LONGEST: Duration = Duration::from_secs(600);

/// Looks until each tenant has opened a ciphertext; gives when each was seen to.
///
/// The looks go round among the first few that were not seen to be served, in the order of names, and no faster than so
/// many in a second: the survivor shares the machine with them. So the first and the last are seen soon; one that is served
/// out of turn is seen when its turn comes.
pub(super) async fn until_all(
    client: &Client,
    region: &RegionId,
    keys: &[Vec<Key>],
    looks_per_second: u32,
) -> anyhow::Result<Vec<Duration>> {
    let begun = elapsed();
    let mut waiting = keys.iter().filter_map(|keys| keys.first().cloned());
    let (mut window, mut served) = (VecDeque::new(), Vec::with_capacity(keys.len()));
    let round = (Duration::from_secs(1) / looks_per_second.max(1)).saturating_mul(AT_ONCE_U32);
    loop {
        window.extend(waiting.by_ref().take(WINDOW - window.len()));
        if window.is_empty() {
            return Ok(served);
        }
        let started = elapsed();
        if started - begun > LONGEST {
            bail!("{} tenants are not served after {} s", keys.len() - served.len(), LONGEST.as_secs());
        }
        let looked: Vec<Key> = window.drain(..window.len().min(AT_ONCE)).collect();
        for (key, opened, at) in look_at(client, region, looked).await {
            match opened {
                true => served.push(at),
                false => window.push_back(key),
            }
        }
        tokio::time::sleep(round.saturating_sub(elapsed() - started)).await;
    }
}

/// Opens every ciphertext; gives how many did open, and how many there are.
pub(super) async fn open_all(
    client: &Client,
    region: &RegionId,
    keys: &[Vec<Key>],
) -> anyhow::Result<(usize, usize)> {
    let all: Vec<Key> = keys.iter().flatten().cloned().collect();
    let mut opened = 0;
    for some in all.chunks(AT_ONCE) {
        for (key, is_open, _) in look_at(client, region, some.to_vec()).await {
            match is_open {
                true => opened += 1,
                false => println!("{} is not open", key.path),
            }
        }
    }
    Ok((opened, all.len()))
}

/// Tries to open the ciphertexts of some keys; gives with each whether it opened, and when.
async fn look_at(client: &Client, region: &RegionId, keys: Vec<Key>) -> Vec<(Key, bool, Duration)> {
    let mut looks = JoinSet::new();
    for key in keys {
        let (client, region) = (client.clone(), region.clone());
        looks.spawn(async move {
            let opened = opens(&client, &region, &key).await;
            (key, opened, elapsed())
        });
    }
    looks.join_all().await
}

async fn opens(client: &Client, region: &RegionId, key: &Key) -> bool {
    let core = client.core(Route::Only(region.clone()));
    let opened = core.decrypt(&key.path, &key.ciphertext, None).await;
    opened.is_ok_and(|served| served.answer.plaintext.as_slice() == key.path.to_string().as_bytes())
}
