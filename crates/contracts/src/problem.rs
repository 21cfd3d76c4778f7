//! Problem codes: the stable names of everything that the HTTP interfaces refuse.
//!
//! A client decides by the code, a person reads `docs/errors.md`, which has a section for each; a
//! test checks that neither lacks one of the other's. Codes are never renamed or reused.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident => $text:literal, $status:literal, $title:literal, retry: $retry:literal;)*) => {
        /// A stable problem code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as clients see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A short summary that is the same for every occurrence (RFC 9457, section 3.1.3).
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Whether the same request may succeed later, unchanged.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }
        }
    };
}

codes! {
    /// A name in the path or the body is no valid label.
    InvalidId => "invalid_id", 400, "A name is not valid", retry: false;
    /// The body or the query is not what the operation takes.
    InvalidRequest => "invalid_request", 400, "The request is not valid", retry: false;
    /// A field that should be base64 is not.
    InvalidBase64 => "invalid_base64", 400, "A field is not base64", retry: false;
    /// No credential, or one that is not known here.
    Unauthenticated => "unauthenticated", 401, "A valid credential is required", retry: false;
    /// There is no such route.
    NotFound => "not_found", 404, "There is no such resource", retry: false;
    /// The route exists, with other methods.
    MethodNotAllowed => "method_not_allowed", 405, "The method is not allowed here", retry: false;
    /// The body is larger than the operation takes.
    BodyTooLarge => "body_too_large", 413, "The body is too large", retry: false;
    /// The body is not JSON by its content type.
    UnsupportedMediaType => "unsupported_media_type", 415, "The body's media type is not supported", retry: false;
    /// `If-Match` names another revision than the present one.
    PreconditionFailed => "precondition_failed", 412, "The resource has changed", retry: false;
    /// The operation needs `If-Match`.
    PreconditionRequired => "precondition_required", 428, "If-Match is required", retry: false;
    /// This component has not heard yet what another may already have accepted.
    NotYetKnown => "not_yet_known", 409, "Not yet known here", retry: true;
    /// The component's own store does not take writes.
    StoreUnavailable => "store_unavailable", 503, "The store does not take the change", retry: true;
    /// The component is not ready yet.
    NotReady => "not_ready", 503, "The component is not ready", retry: true;
    /// The request took longer than the server allows.
    RequestTimeout => "request_timeout", 408, "The request took too long", retry: true;
    /// The quarantine has no event of this id (any more).
    UnknownEvent => "unknown_event", 404, "There is no such quarantined event", retry: false;
    /// A quarantined event can't be applied now either.
    StillPoison => "still_poison", 409, "The event can't be applied yet", retry: false;
    /// The authority's store is behind what it has said: it takes back what it gave, and gives nothing new.
    AuthorityStale => "authority_stale", 503, "The component's store is behind its own words", retry: false;
    /// A defect of this component.
    Internal => "internal", 500, "The component failed", retry: false;

    /// The Registry knows no such tenant.
    UnknownTenant => "unknown_tenant", 404, "There is no such tenant", retry: false;
    /// The Registry knows no such system.
    UnknownSystem => "unknown_system", 404, "There is no such system", retry: false;
    /// The Registry knows no such service.
    UnknownService => "unknown_service", 404, "There is no such service", retry: false;
    /// The tenant was offboarded.
    TenantOffboarded => "tenant_offboarded", 409, "The tenant is offboarded", retry: false;
    /// The definition, or what it belongs to, is deleted.
    DefinitionDeleted => "definition_deleted", 409, "The definition is deleted", retry: false;
    /// What is to be undeleted is not deleted.
    NotDeleted => "not_deleted", 409, "The definition is not deleted", retry: false;
    /// The waiting period of the deletion is over.
    UndeleteTooLate => "undelete_too_late", 409, "The waiting period is over", retry: false;
    /// The landscape has no such region.
    UnknownRegion => "unknown_region", 422, "The landscape has no such region", retry: false;
    /// The region was never failed over.
    NotFailedOver => "not_failed_over", 404, "The region was not failed over", retry: false;
    /// Another failover stands in the way.
    FailoverInForce => "failover_in_force", 409, "Another failover is in force", retry: false;

    /// The tenant was never linked.
    NotLinked => "not_linked", 404, "The tenant has no L1 pointer", retry: false;
    /// The provider's answer shows that the pointer or this component's access to it is set up wrongly.
    L1Misconfigured => "l1_misconfigured", 422, "The L1 key can't be used as configured", retry: false;
    /// The provider refuses the key's use: disabled, deleted, access withdrawn.
    L1Denied => "l1_denied", 403, "The L1 provider denies the key", retry: false;
    /// The provider does not answer.
    L1Unreachable => "l1_unreachable", 503, "The L1 provider is unreachable", retry: true;
    /// The signature of the tenant's owner does not hold for this link.
    OwnerSignature => "owner_signature", 403, "The owner's signature does not hold", retry: false;

    /// There is no such key for this caller.
    UnknownKey => "unknown_key", 404, "There is no such key", retry: false;
    /// The tenant's L1 is unlinked: its owner withdrew it, or the tenant was offboarded.
    TenantUnlinked => "tenant_unlinked", 403, "The tenant's L1 is unlinked", retry: false;
    /// The lease of this Core ran out.
    LeaseExpired => "lease_expired", 503, "The sovereign lease has run out", retry: true;
    /// The definition is disabled, suspended or deleted.
    KeyDisabled => "key_disabled", 403, "The key is disabled", retry: false;
    /// The version is marked compromised.
    KeyCompromised => "key_compromised", 403, "The key version is compromised", retry: false;
    /// The key's material was destroyed.
    KeyPurged => "key_purged", 410, "The key was destroyed", retry: false;
    /// The version exists, and is not held here (yet).
    MaterialNotHere => "material_not_here", 503, "The key version is not here yet", retry: true;
    /// The key is on its way into this Core.
    Hydrating => "hydrating", 503, "The key is being loaded", retry: true;
    /// The ciphertext is damaged, of another key, of other additional data, or of a later format.
    BadCiphertext => "bad_ciphertext", 400, "The ciphertext does not open", retry: false;
    /// The operating system grants no more locked memory.
    LockedMemoryExhausted => "locked_memory_exhausted", 503, "No locked memory is left", retry: true;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Code {
    /// The code of this text, if this version knows it.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_codes_share_a_name() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::from_text("tenant_unlinked"), Some(Code::TenantUnlinked));
    }

    #[test]
    fn what_design_calls_retryable_is_a_503() {
        for code in [Code::L1Unreachable, Code::LeaseExpired, Code::MaterialNotHere, Code::Hydrating] {
            assert!(code.retryable() && code.status() == 503);
        }
    }
}
