//! The comparison at the end: the ledger with the authorities, the authorities with each Core, every version and every
//! ciphertext.

mod compare;
mod keys;

use std::time::Duration;

use openkcm_client::Client;

use super::ledger::Ledger;
use crate::landscape::elapsed;

/// Between two looks at whether all has arrived.
const PAUSE: Duration = Duration::from_millis(100);

/// Until what has not arrived counts as lost: far longer than the longest pause between two tries of a courier.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What was compared, and what was found.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) converged_after: Duration,
    pub(super) tenants: usize,
    pub(super) definitions: usize,
    pub(super) links: usize,
    pub(super) versions: usize,
    pub(super) ciphertexts: usize,
    /// Acknowledged changes, versions and ciphertexts that are not there.
    pub(super) lost: usize,
    /// Changes with more than one revision.
    pub(super) twice: usize,
    /// First versions that both regions made, each before it had heard of the other's. Both are kept and open.
    pub(super) made_in_both: usize,
}

/// Compares everything. What is wrong is noted in the ledger.
pub(super) async fn reach(client: &Client, ledger: &Ledger, ended: Duration) -> Verdict {
    let mut verdict = Verdict::default();
    compare::with_authorities(client, ledger, &mut verdict).await;
    let converged = converge(client, ledger, &mut verdict).await;
    verdict.converged_after = elapsed() - ended;
    if !converged {
        return verdict;
    }
    keys::serve_as_they_should(client, ledger, &mut verdict).await;
    // Then all that was taken away is given back, so that everything can be looked at.
    keys::give_all_back(client, ledger).await;
    converge(client, ledger, &mut verdict).await;
    keys::every_version(client, ledger, &mut verdict).await;
    keys::every_ciphertext(client, ledger, &mut verdict).await;
    verdict
}

/// Waits until every Core shows what the authorities say; what still differs then is lost.
async fn converge(client: &Client, ledger: &Ledger, verdict: &mut Verdict) -> bool {
    let begun = elapsed();
    loop {
        let differences = compare::cores_with_authorities(client, ledger, verdict).await;
        if differences.is_empty() {
            return true;
        }
        if elapsed() - begun > LONGEST_WAIT {
            verdict.lost += differences.len();
            differences.into_iter().for_each(|difference| ledger.is_wrong(difference));
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
