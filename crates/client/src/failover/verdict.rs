//! What a region's failure means for the next one: the table of the failover.
//!
//! Plain: a failure in, a verdict out. What always holds: the word of the tenant, of its provider or of the Registry
//! is final, and so is a fault of the request. A code that is not named here is final too, so that one which a later
//! version makes is taken elsewhere only when somebody has decided so.

use std::error::Error;
use std::io;

use openkcm_contracts::problem::Code;

use crate::error::{ClientError, ProblemDocument};

/// What a failure means, and of what it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// For good, and in every region: none other is asked.
    Final,
    /// Of this key, or of this ciphertext, in this region.
    Key,
    /// Of all that the tenant has, in this region.
    Tenant,
    /// There is no such key in this region; it may be none of the tenant's.
    Unknown,
    /// Of the region, whoever asks.
    Region,
    /// Of the region, and it kept its caller waiting to find out.
    Silent,
}

impl Verdict {
    /// The verdict on what came of asking one region.
    pub(crate) fn of(error: &ClientError) -> Self {
        match error {
            ClientError::Problem(problem) => Self::of_problem(problem),
            ClientError::Unreachable { source, .. } | ClientError::Interrupted { source, .. } => {
                if source.is_timeout() || timed_out(source) { Self::Silent } else { Self::Region }
            }
            ClientError::Distrust { .. } | ClientError::Protocol { .. } => Self::Region,
            ClientError::NoSuchRegion { .. } | ClientError::NoRegionServes(_) => Self::Final,
        }
    }

    fn of_problem(problem: &ProblemDocument) -> Self {
        match problem.code {
            Some(code) => Self::of_code(code),
            // A later version's: by its status, as docs/errors.md says.
            None if problem.status >= 500 || matches!(problem.status, 408 | 429) => Self::Region,
            None => Self::Final,
        }
    }

    const fn of_code(code: Code) -> Self {
        match code {
            // Elsewhere it may be open, or have arrived.
            Code::MaterialNotHere | Code::Hydrating => Self::Key,
            // Each region has its own lease, its own way to the provider, and its own news of a link.
            Code::LeaseExpired | Code::L1Unreachable | Code::L1Misconfigured | Code::NotYetKnown => {
                Self::Tenant
            }
            Code::UnknownKey => Self::Unknown,
            Code::NotReady
            | Code::StoreUnavailable
            | Code::RequestTimeout
            | Code::LockedMemoryExhausted
            | Code::Internal => Self::Region,
            _ => Self::Final,
        }
    }

    /// Whether another region may serve.
    pub(crate) fn is_final(self) -> bool {
        self == Self::Final
    }
}

/// Whether the system gave a connection up for want of an answer, which the HTTP library does not call a timeout.
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that sends a caller to another region. All others are final, present ones and later ones.
    const ELSEWHERE: [(Code, Verdict); 12] = [
        (Code::MaterialNotHere, Verdict::Key),
        (Code::Hydrating, Verdict::Key),
        (Code::LeaseExpired, Verdict::Tenant),
        (Code::L1Unreachable, Verdict::Tenant),
        (Code::L1Misconfigured, Verdict::Tenant),
        (Code::NotYetKnown, Verdict::Tenant),
        (Code::UnknownKey, Verdict::Unknown),
        (Code::NotReady, Verdict::Region),
        (Code::StoreUnavailable, Verdict::Region),
        (Code::RequestTimeout, Verdict::Region),
        (Code::LockedMemoryExhausted, Verdict::Region),
        (Code::Internal, Verdict::Region),
    ];

    fn problem(status: u16, code: Option<Code>) -> ClientError {
        ClientError::Problem(Box::new(ProblemDocument {
            status,
            code,
            code_text: code.map_or("newer", Code::as_str).to_owned(),
            title: String::new(),
            detail: String::new(),
            field: None,
            retry_after: None,
        }))
    }

    #[test]
    fn a_refusal_for_now_goes_elsewhere_and_every_other_code_is_final() {
        for code in Code::ALL.iter().copied() {
            let listed = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == code);
            let expected = listed.map_or(Verdict::Final, |(_, verdict)| *verdict);
            assert_eq!(Verdict::of(&problem(code.status(), Some(code))), expected, "{code}");
        }
    }

    #[test]
    fn what_the_tenant_its_provider_or_the_registry_has_ended_is_final() {
        for code in [
            Code::TenantUnlinked,
            Code::L1Denied,
            Code::KeyDisabled,
            Code::KeyCompromised,
            Code::KeyPurged,
            Code::BadCiphertext,
            Code::InvalidRequest,
            Code::Unauthenticated,
        ] {
            assert!(Verdict::of(&problem(code.status(), Some(code))).is_final(), "{code}");
        }
    }

    #[test]
    fn every_refusal_that_may_pass_by_itself_may_be_absent_elsewhere() {
        for code in Code::ALL.iter().copied().filter(|code| code.retryable()) {
            assert!(!Verdict::of(&problem(code.status(), Some(code))).is_final(), "{code}");
        }
    }

    #[test]
    fn a_later_versions_code_is_judged_by_its_status() {
        for status in [408, 429, 500, 503] {
            assert_eq!(Verdict::of(&problem(status, None)), Verdict::Region, "{status}");
        }
        for status in [400, 403, 404, 409, 410, 422] {
            assert!(Verdict::of(&problem(status, None)).is_final(), "{status}");
        }
    }
}
