//! Refusals of the rules, of the roots and of the store, as problem documents.

use openkcm_contracts::problem::Code;
use openkcm_http::{IfMatch, Problem};
use openkcm_roots::RootError;

use crate::commands::Failure;
use crate::probe::Unusable;
use crate::rules::{Precondition, Refusal};

/// What a caller's `If-Match` is to the rules.
pub(super) fn precondition(if_match: IfMatch) -> Precondition {
    match if_match {
        IfMatch::Absent => Precondition::None,
        IfMatch::Any => Precondition::Exists,
        IfMatch::OneOf(revisions) => Precondition::OneOf(revisions),
    }
}

/// Why a command was not carried out. `doing` is for the log and the caller.
pub(super) fn of_command(failure: &Failure, doing: &'static str) -> Problem {
    match failure {
        Failure::Refused(refusal) => Problem::new(code_of(refusal), refusal.to_string()),
        Failure::Store(error) => Problem::store_unavailable(doing, error),
    }
}

fn code_of(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::NotYetKnown => Code::NotYetKnown,
        Refusal::TenantOffboarded => Code::TenantOffboarded,
        Refusal::Stale | Refusal::Behind { .. } => Code::AuthorityStale,
        Refusal::OwnersWord(_) => Code::OwnerSignature,
        Refusal::NotLinked => Code::NotLinked,
        Refusal::PreconditionRequired => Code::PreconditionRequired,
        Refusal::PreconditionFailed { .. } => Code::PreconditionFailed,
    }
}

/// Why a root can't be linked to, and which one.
pub(super) fn of_root(Unusable { index, error }: &Unusable) -> Problem {
    let problem = match error {
        RootError::Denied { reason } => Problem::new(Code::L1Denied, reason.clone()),
        RootError::Unreachable { reason, retry_after } => {
            Problem::new(Code::L1Unreachable, reason.clone()).retry_after(*retry_after)
        }
        RootError::Throttled { reason, retry_after } => Problem::new(Code::L1Unreachable, reason.clone())
            .retry_after(retry_after.unwrap_or(RootError::RETRY_AFTER)),
        RootError::Misconfigured { reason } | RootError::Unopenable { reason } => {
            Problem::new(Code::L1Misconfigured, reason.clone())
        }
        RootError::LockedMemory(source) => {
            tracing::error!(%source, "no locked memory for a throwaway key");
            Problem::new(Code::LockedMemoryExhausted, error.to_string())
        }
    };
    problem.field(format!("roots[{index}]"))
}
