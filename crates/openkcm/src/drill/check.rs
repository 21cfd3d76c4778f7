//! The last check: a region opens every ciphertext that was kept, or they are lost there.

use std::sync::Arc;
use std::time::Duration;

use openkcm_client::{Client, Route};
use openkcm_contracts::RegionId;
use openkcm_host::Clock;
use serde::Serialize;
use tokio::task::JoinSet;

use super::load::{DEADLINE, Kept, Outcome, outcome_of};
use super::wait::joined;

/// Requests at the same time.
const AT_ONCE: usize = 32;

/// Between two rounds through what did not open yet.
const PAUSE: Duration = Duration::from_millis(500);

/// What came of the check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Ciphertexts times regions.
    pub(super) tried: usize,
    /// Those that did not open.
    pub(super) lost: Vec<Lost>,
}

/// A ciphertext that a region does not open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Lost {
    /// Its service.
    pub(super) key: String,
    /// The version that made it.
    pub(super) version: String,
    /// Where it was made.
    pub(super) made_in: RegionId,
    /// Where it does not open.
    pub(super) region: RegionId,
    /// The code of the refusal; `unanswered`; or `wrong`, when something else came out of it.
    pub(super) why: String,
}

impl Checked {
    pub(super) fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.lost.extend(other.lost);
    }
}

/// Tries all of them in a region; again, while the patience lasts, those that don't open yet.
pub(super) async fn check(
    client: &Client,
    clock: &dyn Clock,
    kept: &[Arc<Kept>],
    region: &RegionId,
    patience: Duration,
) -> Checked {
    let begun = clock.boottime();
    let mut pending = kept.to_vec();
    loop {
        let lost = round(client, pending, region).await;
        // Something else than what was encrypted: no time mends that.
        let hopeless = lost.iter().any(|(_, outcome)| *outcome == Outcome::Wrong);
        if lost.is_empty() || hopeless || clock.boottime().since(begun) >= patience {
            let lost = lost.into_iter().map(|(kept, outcome)| lost_one(&kept, region, outcome)).collect();
            return Checked { tried: kept.len(), lost };
        }
        pending = lost.into_iter().map(|(kept, _)| kept).collect();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a region opens a ciphertext now; what it says otherwise.
pub(super) async fn opens(client: &Client, kept: &Kept, region: &RegionId) -> Result<(), Outcome> {
    let core = client.core(Route::Only(region.clone()));
    let asked = core.decrypt(&kept.service, &kept.ciphertext, None);
    match tokio::time::timeout(DEADLINE, asked).await {
        Ok(Ok(served)) if *served.answer.plaintext == kept.plaintext() => Ok(()),
        Ok(Ok(_)) => Err(Outcome::Wrong),
        Ok(Err(error)) => Err(outcome_of(&error)),
        Err(_) => Err(Outcome::Unanswered),
    }
}

async fn round(client: &Client, kept: Vec<Arc<Kept>>, region: &RegionId) -> Vec<(Arc<Kept>, Outcome)> {
    let (mut asked, mut lost) = (JoinSet::new(), Vec::new());
    for one in kept {
        if asked.len() >= AT_ONCE {
            lost.extend(asked.join_next().await.and_then(joined).flatten());
        }
        let (client, region) = (client.clone(), region.clone());
        asked.spawn(async move { opens(&client, &one, &region).await.err().map(|outcome| (one, outcome)) });
    }
    while let Some(answer) = asked.join_next().await {
        lost.extend(joined(answer).flatten());
    }
    lost
}

fn lost_one(kept: &Kept, region: &RegionId, outcome: Outcome) -> Lost {
    let why = match outcome {
        Outcome::Refused(code) => code,
        Outcome::Unanswered => "unanswered".to_owned(),
        Outcome::Wrong | Outcome::Served { .. } => "wrong".to_owned(),
    };
    Lost {
        key: kept.service.to_string(),
        version: kept.version.to_string(),
        made_in: kept.region.clone(),
        region: region.clone(),
        why,
    }
}
