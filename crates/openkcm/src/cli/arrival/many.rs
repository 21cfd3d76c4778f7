//! Waits until many tenants are served where a failover has brought them, and tells which are not, and why.
//!
//! Each is asked for until it is served or will not be by waiting. The caller's patience counts from the last one that
//! came: a region that opens one tenant after the other is waited for.

use std::collections::VecDeque;

use openkcm_client::{Call, ClientError, Component};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{RegionId, Revision, TenantId};
use serde_json::Value;
use tokio::task::JoinSet;

use super::expected::{Expected, Seen};
use super::{FIRST_PAUSE, LONGEST_PAUSE};
use crate::cli::Progress;
use crate::cli::session::Session;

/// Tenants that are asked for at once: the region has others to serve.
const AT_ONCE: usize = 16;

/// A tenant, where it is to be served, and the revision that brought it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) tenant: TenantId,
    pub(crate) region: RegionId,
    pub(crate) revision: Revision,
}

/// A tenant that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unserved {
    /// Which.
    pub(crate) tenant: TenantId,
    /// Where.
    pub(crate) region: RegionId,
    /// Why not.
    pub(crate) why: String,
    /// Whether waiting might have helped.
    pub(crate) late: bool,
}

/// Waits for tenants. Gives back how many are served, and those that are not.
pub(crate) async fn until_served(
    session: &Session,
    awaited: Vec<Awaited>,
    progress: &Progress,
) -> (u64, Vec<Unserved>) {
    let mut waiting: VecDeque<Awaited> = awaited.into();
    let (mut served, mut settled, mut pause, mut last) = (0, Vec::new(), FIRST_PAUSE, session.now());
    loop {
        let (came, late) = look_at_all(session, waiting, &mut settled, progress).await;
        served += came;
        let now = session.now();
        if came > 0 {
            (last, pause) = (now, FIRST_PAUSE);
        }
        let over = now.since(last).saturating_add(pause) >= session.patience.total;
        if over || late.is_empty() {
            settled.extend(late.into_iter().map(|(awaited, why)| unserved(awaited, why, true)));
            settled.sort_by(|one, other| one.tenant.cmp(&other.tenant));
            return (served, settled);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        waiting = late.into_iter().map(|(awaited, _)| awaited).collect();
    }
}

/// Looks at each once. Gives back how many are served, and those that may be soon, with the reason for now.
async fn look_at_all(
    session: &Session,
    mut waiting: VecDeque<Awaited>,
    settled: &mut Vec<Unserved>,
    progress: &Progress,
) -> (u64, Vec<(Awaited, String)>) {
    let (mut looks, mut came, mut late) = (JoinSet::new(), 0, Vec::new());
    loop {
        while looks.len() < AT_ONCE
            && let Some(awaited) = waiting.pop_front()
        {
            looks.spawn(look(session.asker(), awaited));
        }
        let Some(Ok((awaited, seen))) = looks.join_next().await else { return (came, late) };
        match seen {
            Seen::Yes(_) => {
                came += 1;
                progress.add(1);
            }
            Seen::Settled(why) => {
                progress.add(1);
                settled.push(unserved(awaited, why, false));
            }
            Seen::NotYet(why) => late.push((awaited, why)),
        }
    }
}

async fn look(client: openkcm_client::Client, awaited: Awaited) -> (Awaited, Seen) {
    let expected = Expected::Served(awaited.tenant.clone(), awaited.revision);
    let call = Call::get(Component::Core(awaited.region.clone()), expected.path());
    let mut unheard = false;
    let seen = match client.call(&call).await.map(|answer| answer.json::<Value>()) {
        Ok(Ok(document)) => {
            unheard = document["refusal"]["code"] == Code::NotYetKnown.as_str();
            expected.judge(&document)
        }
        Ok(Err(_)) => Seen::Settled("the region's answer is not understood".to_owned()),
        Err(error) => expected.judge_refusal(&error),
    };
    // No region hears of a link that there never was: that is the CMK Server's to say.
    if unheard && was_never_linked(client.cmk().l1(&awaited.tenant).await) {
        return (awaited, Seen::Settled("its L1 was never linked (not_linked)".to_owned()));
    }
    (awaited, seen)
}

fn was_never_linked<T>(pointer: Result<T, ClientError>) -> bool {
    pointer.is_err_and(|error| error.code() == Some(Code::NotLinked))
}

fn unserved(Awaited { tenant, region, .. }: Awaited, why: String, late: bool) -> Unserved {
    Unserved { tenant, region, why, late }
}
