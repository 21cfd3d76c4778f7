//! What a backup of a Core's store leaves out, and what has to be true of one before it is used.
//!
//! Leases are in no backup: a Core that was put back serves only after a lease of its own. What it holds is of use
//! only where the tenants' roots open it, so that is tried before anything is put in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_contracts::v1::{KeySealed, LinkState, SealedBy};
use openkcm_contracts::{RootRef, TenantId};
use openkcm_roots::{Binding, RootError, Roots};
use openkcm_store::backup::Copy;
use openkcm_store::{Read, Space, StoreError};
use tokio::task::JoinSet;

use crate::sealing::open_seal;
use crate::store::{LINKS, first_l2_versions, lease};

/// Tenants whose roots are asked at once.
const AT_ONCE: usize = 16;

/// How long is waited before a root that limits the rate is asked again: twice as long each time, about two minutes in
/// all.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Versions of one tenant that are tried: one that opens is enough.
const TRIED: usize = 4;

/// What is left out of a backup.
pub fn left_out() -> Vec<Space> {
    lease::spaces().to_vec()
}

/// A tenant's sealed L2, and the roots that are to open it.
#[derive(Debug, Clone)]
pub struct Question {
    tenant: TenantId,
    seals: Vec<(RootRef, Binding, String)>,
}

/// What the roots said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Tenants of which a root opened an L2.
    pub opened: usize,
    /// Tenants whose owners deny the use of the root: what is theirs can't be tried.
    pub denied: usize,
    /// Tenants of which nothing opened, and why: a root that does not answer, or what is none of its own.
    pub unopened: BTreeMap<TenantId, String>,
}

/// What is to be tried of a copy: of each tenant that is linked in it, its newest L2 versions.
///
/// # Errors
/// When the copy can't be read.
pub fn questions(copy: &Copy) -> Result<Vec<Question>, StoreError> {
    copy.read(|view| {
        let links = LINKS.list(view, "", None, usize::MAX)?.into_iter();
        let mut questions = Vec::new();
        for (_, link) in links {
            let Some(reference) = &link.reference else { continue };
            let fact = &reference.fact;
            if fact.state == LinkState::Linked && link.revoked < Some(fact.epoch) {
                questions.extend(question(view, &fact.tenant, &fact.roots)?);
            }
        }
        Ok(questions)
    })
}

fn question(view: &dyn Read, tenant: &TenantId, roots: &[RootRef]) -> Result<Option<Question>, StoreError> {
    let versions = first_l2_versions(view, tenant, usize::MAX)?;
    let newest = versions.iter().rev().take(TRIED);
    let seals: Vec<_> = newest.flat_map(|sealed| seals(sealed, roots)).collect();
    Ok((!seals.is_empty()).then(|| Question { tenant: tenant.clone(), seals }))
}

fn seals<'a>(
    sealed: &'a KeySealed,
    roots: &'a [RootRef],
) -> impl Iterator<Item = (RootRef, Binding, String)> + 'a {
    let binding =
        Binding { tenant: sealed.tenant.clone(), system: sealed.system.clone(), version: sealed.version };
    sealed.seals.iter().filter_map(move |seal| match &seal.by {
        SealedBy::Root(root) if roots.contains(root) => {
            Some((root.clone(), binding.clone(), seal.ciphertext.clone()))
        }
        SealedBy::Root(_) | SealedBy::L2(_) => None,
    })
}

/// Tries what is sealed at the roots, several tenants at once. `told` hears of each tenant that is done with.
pub async fn prove(roots: &Roots, questions: Vec<Question>, told: impl Fn()) -> Proof {
    let mut proof = Proof::default();
    let (mut waiting, mut asked) = (questions.into_iter(), JoinSet::new());
    loop {
        while asked.len() < AT_ONCE
            && let Some(question) = waiting.next()
        {
            let roots = roots.clone();
            asked.spawn(async move { (ask(&roots, &question).await, question.tenant) });
        }
        let Some(answered) = asked.join_next().await else { return proof };
        told();
        match answered {
            Ok((Ok(()), _)) => proof.opened += 1,
            Ok((Err(RootError::Denied { .. }), _)) => proof.denied += 1,
            Ok((Err(error), tenant)) => {
                proof.unopened.insert(tenant, error.to_string());
            }
            Err(error) => tracing::error!(%error, "a question to an L1 provider panicked, which is a defect"),
        }
    }
}

async fn ask(roots: &Roots, question: &Question) -> Result<(), RootError> {
    let mut last = RootError::Unopenable { reason: "nothing is sealed under it".into() };
    for (root, binding, ciphertext) in &question.seals {
        match open_patiently(roots, root, binding, ciphertext).await {
            Ok(()) => return Ok(()),
            Err(error @ RootError::Denied { .. }) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks again, after longer and longer pauses, while the provider limits the rate: that says nothing of the backup.
async fn open_patiently(
    roots: &Roots,
    root: &RootRef,
    binding: &Binding,
    ciphertext: &str,
) -> Result<(), RootError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match open_seal(roots, root, binding, ciphertext).await {
            Err(RootError::Throttled { retry_after, .. }) if pause <= LONGEST_PAUSE => {
                tokio::time::sleep(retry_after.unwrap_or(pause).min(LONGEST_PAUSE)).await;
                pause *= 2;
            }
            opened => return opened.map(drop),
        }
    }
}
