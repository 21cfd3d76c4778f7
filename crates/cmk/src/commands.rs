//! The commands of the CMK Server, each within its caller's one transaction: load, decide, save, and
//! put into the outbox what is to be told.
//!
//! The API and the simulator call the same functions. They are deterministic: the time is handed in,
//! and a change and the letters that tell of it are committed together or not at all.

use openkcm_contracts::{Revision, TenantId, Timestamp};
use openkcm_orbital::outbox;
use openkcm_orbital::words::{self, Standing};
use openkcm_store::{Read, StoreError, Write};

use crate::rules::probe::Seen;
use crate::rules::{self, Decision, Held, Landscape, LinkRequest, Precondition, Refusal};
use crate::store::{self, Health, Pointer, Tenant};

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It changed this, at a revision of its own.
    Changed(T),
    /// It was so already.
    Unchanged(T),
}

impl<T> Outcome<T> {
    /// The thing as it is now.
    pub fn into_inner(self) -> T {
        match self {
            Self::Changed(thing) | Self::Unchanged(thing) => thing,
        }
    }

    /// Whether anything was changed.
    pub fn changed(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a link would be taken now. Asked before the roots are probed, so that no provider is
/// bothered for what is refused anyway; [`link`] decides again.
///
/// # Errors
/// As [`link`].
pub fn check_link(store: &dyn Read, tenant: &TenantId, precondition: &Precondition) -> Result<(), Failure> {
    check_claims(store)?;
    let (records, landscape) = (Records::load(store, tenant)?, Landscape::default());
    rules::may_link(&records.held(&landscape), precondition)?;
    Ok(())
}

/// Links a tenant to roots that were found usable, as `health` says.
///
/// # Errors
/// When the store is behind what it has said, the tenant is not known here or is offboarded, the precondition
/// is missing or fails, or the store fails.
pub fn link(
    tx: &mut dyn Write,
    tenant: &TenantId,
    request: &LinkRequest,
    precondition: &Precondition,
    health: Health,
    now: Timestamp,
) -> Result<Outcome<Pointer>, Failure> {
    check_claims(tx.as_read())?;
    let (records, landscape) = (Records::load(tx.as_read(), tenant)?, Landscape::default());
    let decision = rules::link(&records.held(&landscape), request, precondition, health, now)?;
    Ok(carry_out(tx, decision)?)
}

/// Refuses while a Core says that it knows a later word than this store does.
fn check_claims(store: &dyn Read) -> Result<(), Failure> {
    match store::claims(store)?.pop() {
        Some((region, claims)) => Err(Refusal::Behind { region, claims }.into()),
        None => Ok(()),
    }
}

/// Unlinks a tenant. Needs a pointer and nothing else, and not even that while the store may be behind what
/// the CMK Server has said; what is unlinked already stays as it is.
///
/// # Errors
/// When the tenant was never linked, a precondition fails, or the store fails.
pub fn unlink(
    tx: &mut dyn Write,
    landscape: &Landscape,
    tenant: &TenantId,
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Outcome<Pointer>, Failure> {
    let records = Records::load(tx.as_read(), tenant)?;
    let decision = rules::unlink(&records.held(landscape), precondition, now)?;
    Ok(carry_out(tx, decision)?)
}

/// Takes what the roots of a tenant's pointer at revision `asked` said: ends its link, links it again, or notes its
/// health. Nothing where the pointer has changed since. Ending a link is possible also while the store is behind.
///
/// # Errors
/// When the store fails.
pub fn probed(
    tx: &mut dyn Write,
    landscape: &Landscape,
    tenant: &TenantId,
    (asked, seen): (Revision, Seen),
    now: Timestamp,
) -> Result<Option<Outcome<Pointer>>, StoreError> {
    let records = Records::load(tx.as_read(), tenant)?;
    let may_link = store::claims(tx.as_read())?.is_empty();
    let decision = rules::probe::probed(&records.held(landscape), asked, seen, may_link, now);
    decision.map(|decision| carry_out(tx, decision)).transpose()
}

/// Saves what was decided, and puts what is to be told into the outbox.
pub(crate) fn carry_out(tx: &mut dyn Write, decision: Decision) -> Result<Outcome<Pointer>, StoreError> {
    let Decision { pointer, changed, letters } = decision;
    store::save_pointer(tx, &pointer)?;
    for letter in &letters {
        outbox::put(tx, letter)?;
    }
    Ok(if changed { Outcome::Changed(pointer) } else { Outcome::Unchanged(pointer) })
}

/// The records that a decision about one tenant looks at.
pub(crate) struct Records {
    id: TenantId,
    tenant: Option<Tenant>,
    pointer: Option<Pointer>,
    next: Revision,
    standing: Standing,
}

impl Records {
    pub(crate) fn load(store: &dyn Read, tenant: &TenantId) -> Result<Self, StoreError> {
        Ok(Self {
            id: tenant.clone(),
            tenant: store::tenant(store, tenant)?,
            pointer: store::pointer(store, tenant)?,
            next: rules::next_revision(store::revision(store)?),
            standing: words::standing(store)?,
        })
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.standing.is_stale()
    }

    pub(crate) fn held<'a>(&'a self, landscape: &'a Landscape) -> Held<'a> {
        let Self { id, tenant, pointer, next, standing } = self;
        Held {
            id,
            tenant: tenant.as_ref(),
            pointer: pointer.as_ref(),
            next: *next,
            standing: *standing,
            landscape,
        }
    }
}
