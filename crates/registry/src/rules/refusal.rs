//! Why the Registry does not do what it is asked. For the caller: each says what to do instead.

use openkcm_contracts::{KeyPath, RegionId, Revision, ServicePath, SystemPath, TenantId, Timestamp};

/// A refusal. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such tenant.
    #[error("tenant {0} is not defined")]
    UnknownTenant(TenantId),
    /// There is no such system.
    #[error("system {0} is not defined")]
    UnknownSystem(SystemPath),
    /// There is no such service.
    #[error("service {0} is not defined")]
    UnknownService(ServicePath),
    /// The tenant is no customer any more.
    #[error("tenant {0} is offboarded; undelete it, or define it again")]
    TenantOffboarded(TenantId),
    /// The definition has ended: it was deleted, or what it belongs to was defined again.
    #[error("{0} is deleted; undelete it, or define it again")]
    DefinitionDeleted(KeyPath),
    /// There is nothing to undo.
    #[error("{0} is not deleted")]
    NotDeleted(String),
    /// The material may be gone already.
    #[error("the waiting period of {name} was over at {purge_at}; it can only be defined again")]
    UndeleteTooLate {
        /// The tenant or the key.
        name: String,
        /// When it was over.
        purge_at: Timestamp,
    },
    /// The landscape has no such region.
    #[error("region {0} is none of this landscape's")]
    UnknownRegion(RegionId),
    /// The store is behind what the Registry has said: nothing new is defined, deleted or marked.
    #[error(
        "the Registry's store is behind its own words on the mesh, and it changes nothing until it has caught up; \
         put the newest copy of the store back, or start it with --rebuild-from-mesh"
    )]
    Stale,
    /// It is not known yet whether the store is as new as what the Registry has said.
    #[error(
        "the Registry has not compared its store with its own words on the mesh yet; try again when the mesh answers"
    )]
    NotCompared,
    /// The region was never failed over.
    #[error("region {0} was never failed over")]
    NotFailedOver(RegionId),
    /// Another failover stands in the way.
    #[error("{}", describe_failover(from, to, *.returning))]
    FailoverInForce {
        /// The region that was failed over.
        from: RegionId,
        /// To where.
        to: RegionId,
        /// Whether its tenants are being given back.
        returning: bool,
    },
    /// The condition of the request does not hold.
    #[error("{}", describe_present(*.present))]
    PreconditionFailed {
        /// The revision that the resource is at; it does not exist when there is none.
        present: Option<Revision>,
    },
    /// The request would undo a deletion without saying which revision it means.
    #[error("it is deleted: to define it again, read it and send its ETag as If-Match")]
    PreconditionRequired,
    /// A field is outside of what the Registry takes.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as the request names it.
        field: &'static str,
        /// What it should be; never what it was.
        reason: String,
    },
}

fn describe_failover(from: &RegionId, to: &RegionId, returning: bool) -> String {
    if returning {
        return format!("the tenants of region {from} are being given back; wait for that to end");
    }
    format!("region {from} is failed over to {to}; give its tenants back first (failback), or fail {to} over")
}

fn describe_present(present: Option<Revision>) -> String {
    match present {
        Some(present) => format!("it is at revision {present}; read it again, then decide"),
        None => "it does not exist".into(),
    }
}
