//! Asking roots whether they may be used: by opening what they sealed.

use std::time::Duration;

use openkcm_contracts::{RootRef, SystemId, TenantId, VersionId};
use openkcm_roots::{Binding, RootError, Roots};
use tokio::task::JoinSet;

use super::binding;
use crate::control::{ProbeAnswer, ProbeJob, ProbeQuestion};
use crate::rules::Said;
use crate::sealing::open_seal;

/// A root that takes so long has not answered: the next probe asks it again.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What throwaways are bound to. A tenant may have a system of this name: its versions are random, and never the nil
/// UUID (RFC 9562, section 5.9).
const THROWAWAY: (&str, [u8; 16]) = ("probe", [0; 16]);

/// Asks all roots at once.
pub(super) async fn ask(roots: &Roots, job: &ProbeJob) -> Vec<ProbeAnswer> {
    let mut asked = JoinSet::new();
    for (place, question) in job.questions.iter().cloned().enumerate() {
        let (roots, tenant) = (roots.clone(), job.tenant.clone());
        asked.spawn(async move {
            let answer = tokio::time::timeout(TIMEOUT, ask_one(&roots, &tenant, &question)).await;
            (place, answer.unwrap_or(SILENCE))
        });
    }
    let mut answers = vec![SILENCE; job.questions.len()];
    while let Some(answered) = asked.join_next().await {
        match answered {
            Ok((place, answer)) => answers[place] = answer,
            Err(_) => tracing::error!("a probe of an L1 provider panicked, which is a defect"),
        }
    }
    answers
}

const SILENCE: ProbeAnswer = ProbeAnswer { said: Said::Nothing, to: None };

async fn ask_one(roots: &Roots, tenant: &TenantId, question: &ProbeQuestion) -> ProbeAnswer {
    let root = &question.root;
    for (place, (path, version, ciphertext)) in question.seals.iter().enumerate() {
        let opened = open_seal(roots, root, &binding(path, *version), ciphertext).await.map(drop);
        // What is not its own says nothing of its owner's mind; another version may.
        if let Some(said) = said(tenant, root, opened) {
            return ProbeAnswer { said, to: Some(place) };
        }
    }
    let system = SystemId::new(THROWAWAY.0).expect("the constant is a label");
    let version = VersionId::from_bytes(THROWAWAY.1);
    let proven = roots.probe(root, &Binding { tenant: tenant.clone(), system, version }).await;
    ProbeAnswer { said: said(tenant, root, proven).unwrap_or(Said::Nothing), to: None }
}

/// What a root's answer means; none where another question may tell more.
fn said(tenant: &TenantId, root: &RootRef, answer: Result<(), RootError>) -> Option<Said> {
    let error = match answer {
        Ok(()) => return Some(Said::Yes),
        Err(error) => error,
    };
    tracing::warn!(%tenant, %root, %error, "a probe: the L1 provider did not prove that the key may be used");
    match error {
        RootError::Denied { .. } => Some(Said::No),
        RootError::Unopenable { .. } => None,
        // The operator has to act; the owner has not spoken.
        RootError::Unreachable { .. } | RootError::Misconfigured { .. } | RootError::LockedMemory(_) => {
            Some(Said::Nothing)
        }
    }
}
