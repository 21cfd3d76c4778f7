//! Asking roots whether they may be used: by opening what they sealed.

use std::time::Duration;

use openkcm_contracts::{RootRef, SystemId, TenantId, VersionId};
use openkcm_roots::{Binding, RootError};
use tokio::task::JoinSet;

use super::turns::{About, Asking, Heard, Turn};
use super::{Asker, binding};
use crate::control::{ProbeAnswer, ProbeJob, ProbeQuestion, Wanted};
use crate::rules::{Moment, Said};
use crate::sealing::open_seal;

/// A root that takes so long has not answered, and one that has no turn for as long is not asked: the next probe asks
/// it again. No other tenant's probe waits for longer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What throwaways are bound to. A tenant may have a system of this name: its versions are random, and never the nil
/// UUID (RFC 9562, section 5.9).
const THROWAWAY: (&str, [u8; 16]) = ("probe", [0; 16]);

/// Questions that a throwaway costs beyond the one that had its turn: it is sealed, and opened.
const OF_THROWAWAY: u32 = 1;

const SILENCE: ProbeAnswer = ProbeAnswer { said: Said::Nothing, to: None };

/// Asks all roots, each when it is its provider's turn. Gives when the first was asked: nothing is proven as of later.
pub(super) async fn ask(asker: &Asker, job: &ProbeJob) -> (Vec<ProbeAnswer>, Moment) {
    let mut asked = JoinSet::new();
    for (place, question) in job.questions.iter().cloned().enumerate() {
        let (asker, tenant, wanted) = (asker.clone(), job.tenant.clone(), job.wanted.clone());
        let urgent = job.urgent;
        asked.spawn(async move {
            let about = About::Tenant { tenant: &tenant, urgent };
            (place, ask_in_turn(&asker, about, &tenant, &question, wanted).await)
        });
    }
    let mut answers = vec![SILENCE; job.questions.len()];
    let mut first: Option<Moment> = None;
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((place, Some((answer, at)))) => {
                answers[place] = answer;
                first = Some(first.filter(|first| first.boot <= at.boot).unwrap_or(at));
            }
            Ok((_, None)) => {}
            Err(_) => tracing::error!("a probe of an L1 provider panicked, which is a defect"),
        }
    }
    (answers, first.unwrap_or_else(|| Moment::of(&*asker.clock)))
}

/// One root's answer, and when it was asked; none where it was not.
async fn ask_in_turn(
    asker: &Asker,
    about: About<'_>,
    tenant: &TenantId,
    question: &ProbeQuestion,
    wanted: Wanted,
) -> Option<(ProbeAnswer, Moment)> {
    let provider = &question.root.provider;
    if !asker.turns.has(provider) {
        return Some((ask_one(asker, tenant, question, None).await.ok()?, Moment::of(&*asker.clock)));
    }
    let turns = async {
        loop {
            let asking = Asking { provider, wanted: wanted.clone(), about };
            let turn = asker.turns.turn(asking).await?;
            let asked = Moment::of(&*asker.clock);
            let asking = ask_one(asker, tenant, question, Some(&turn));
            match tokio::time::timeout(TIMEOUT, asking).await {
                Ok(Ok(answer)) => {
                    turn.end(if answer.said == Said::Nothing { Heard::Silence } else { Heard::Answer });
                    return Some((answer, asked));
                }
                Ok(Err(Throttled(retry_after))) => turn.end(Heard::Throttle(retry_after)),
                Err(_) => return Some((SILENCE, asked)),
            }
        }
    };
    tokio::time::timeout(TIMEOUT * 2, turns).await.ok().flatten()
}

/// The provider limits the rate, and says when to ask again or does not.
struct Throttled(Option<Duration>);

async fn ask_one(
    asker: &Asker,
    tenant: &TenantId,
    question: &ProbeQuestion,
    turn: Option<&Turn>,
) -> Result<ProbeAnswer, Throttled> {
    let root = &question.root;
    let asks_more = |questions| {
        if let Some(turn) = turn {
            turn.asks_more(questions);
        }
    };
    for (place, (path, version, ciphertext)) in question.seals.iter().enumerate() {
        if place > 0 {
            asks_more(1);
        }
        let opened = open_seal(&asker.roots, root, &binding(path, *version), ciphertext).await.map(drop);
        // What is not its own says nothing of its owner's mind; another version may.
        if let Some(said) = said(tenant, root, opened)? {
            return Ok(ProbeAnswer { said, to: Some(place) });
        }
    }
    asks_more(if question.seals.is_empty() { OF_THROWAWAY } else { OF_THROWAWAY + 1 });
    let system = SystemId::new(THROWAWAY.0).expect("the constant is a label");
    let version = VersionId::from_bytes(THROWAWAY.1);
    let proven = asker.roots.probe(root, &Binding { tenant: tenant.clone(), system, version }).await;
    Ok(ProbeAnswer { said: said(tenant, root, proven)?.unwrap_or(Said::Nothing), to: None })
}

/// What a root's answer means; none where another question may tell more.
fn said(tenant: &TenantId, root: &RootRef, answer: Result<(), RootError>) -> Result<Option<Said>, Throttled> {
    let error = match answer {
        Ok(()) => return Ok(Some(Said::Yes)),
        Err(RootError::Throttled { retry_after, .. }) => return Err(Throttled(retry_after)),
        Err(error) => error,
    };
    tracing::warn!(%tenant, %root, %error, "a probe: the L1 provider did not prove that the key may be used");
    Ok(match error {
        RootError::Denied { .. } => Some(Said::No),
        RootError::Unopenable { .. } => None,
        // The operator has to act, or the provider to answer; the owner has not spoken.
        _ => Some(Said::Nothing),
    })
}
