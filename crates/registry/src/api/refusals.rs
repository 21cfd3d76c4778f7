//! Refusals as problem documents: the one place that says which code each is.

use openkcm_contracts::problem::Code;
use openkcm_http::Problem;

use crate::commands::Failure;
use crate::rules::Refusal;

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Store(error) => Self::store_unavailable("the registry", &error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (code, field) = match &refusal {
            Refusal::UnknownTenant(_) => (Code::UnknownTenant, Some("tenant")),
            Refusal::UnknownSystem(_) => (Code::UnknownSystem, Some("system")),
            Refusal::UnknownService(_) => (Code::UnknownService, Some("service")),
            Refusal::TenantOffboarded(_) => (Code::TenantOffboarded, Some("tenant")),
            Refusal::DefinitionDeleted(_) => (Code::DefinitionDeleted, None),
            Refusal::NotDeleted(_) => (Code::NotDeleted, None),
            Refusal::UndeleteTooLate { .. } => (Code::UndeleteTooLate, None),
            Refusal::UnknownRegion(_) => (Code::UnknownRegion, Some("regions")),
            Refusal::NotFailedOver(_) => (Code::NotFailedOver, Some("region")),
            Refusal::FailoverInForce { .. } => (Code::FailoverInForce, None),
            Refusal::NotCompared => (Code::NotReady, None),
            Refusal::Stale => (Code::AuthorityStale, None),
            Refusal::PreconditionFailed { .. } => (Code::PreconditionFailed, Some("If-Match")),
            Refusal::PreconditionRequired => (Code::PreconditionRequired, Some("If-Match")),
            Refusal::Invalid { field, .. } => (Code::InvalidRequest, Some(*field)),
        };
        let problem = Self::new(code, refusal.to_string());
        match field {
            Some(field) => problem.field(field),
            None => problem,
        }
    }
}
