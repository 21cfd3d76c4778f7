//! Deliberate bugs: what a careless change could do, put into the simulator's own glue.
//!
//! For the tests that show that each is caught; no production code knows them. What always holds: a
//! history without a bug never looks in here.

/// A deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The courier forgets letters when it sends them, not when the mesh holds them.
    ForgetBeforePublish,
    /// A crash takes what waited in the outbox with it.
    LoseOutboxOnCrash,
    /// The courier forgets by subject, and with an old letter the newer one that took its place.
    ForgetNewerLetter,
    /// A fact is applied whatever its revision: the held one is cleared first.
    SkipRevisionCheck,
    /// An old Link that comes again is taken for the newest word.
    OldLinkAsNewest,
    /// Revokes and Unlinks are read and not applied.
    SkipRevoke,
    /// How far the mesh was read is committed before what was read is applied.
    PositionBeforeEffects,
    /// A crash loses one version that was kept.
    LoseKeptVersion,
    /// A new version is used before it is kept.
    EncryptBeforeKeep,
    /// A peer's version takes the place of those that are held.
    MergeByOverwriting,
    /// A Core that restarts makes first versions as if it held none.
    MakeAgainAfterCrash,
    /// An L2 in the clear gets into a letter.
    LeakPlaintext,
    /// The Registry writes the tenant's key reference into a label.
    ArnInRegistry,
    /// Signatures are not looked at.
    BelieveAnyone,
    /// The CMK Server wants the mesh to answer before it takes a command.
    WaitForMesh,
    /// What was due is put on the agenda again for the same moment.
    NeverRest,
    /// A lease counts for a thousand times as long as it was granted.
    LongerLease,
    /// A lease agrees on links that the Core heard of after the manifest that it answers.
    LeaseOfLaterLinks,
    /// A root's no to a probe is taken for no answer.
    DenialAsFailure,
    /// A root that does not answer a probe is taken to have said yes.
    SilenceAsConsent,
    /// An authority sends before it has compared its store with its own words.
    SpeakBeforeComparing,
    /// A CMK Server that knows that it is stale links all the same.
    LinkWhileStale,
    /// An authority that is behind goes on under the term that it had.
    KeepTerm,
    /// Of two revisions, only the counters are compared.
    CompareCounters,
    /// A restart takes changes that were never compared for common ones.
    ForgetBase,
    /// Of a thing's words on several streams, the one that is read last is taken for the newest.
    RebuildByOverwriting,
    /// A Core destroys as soon as it is told to.
    HurryPurge,
    /// A Core goes on with what its tombstones end.
    IgnoreTombstones,
    /// A Core that starts takes its sums for right.
    SkipRecount,
    /// The Registry takes what a region lists and tells nothing again.
    CorrectNothing,
}

impl Bug {
    /// Every deliberate bug.
    pub const ALL: [Self; 30] = [
        Self::ForgetBeforePublish,
        Self::LoseOutboxOnCrash,
        Self::ForgetNewerLetter,
        Self::SkipRevisionCheck,
        Self::OldLinkAsNewest,
        Self::SkipRevoke,
        Self::PositionBeforeEffects,
        Self::LoseKeptVersion,
        Self::EncryptBeforeKeep,
        Self::MergeByOverwriting,
        Self::MakeAgainAfterCrash,
        Self::LeakPlaintext,
        Self::ArnInRegistry,
        Self::BelieveAnyone,
        Self::WaitForMesh,
        Self::NeverRest,
        Self::LongerLease,
        Self::LeaseOfLaterLinks,
        Self::DenialAsFailure,
        Self::SilenceAsConsent,
        Self::SpeakBeforeComparing,
        Self::LinkWhileStale,
        Self::KeepTerm,
        Self::CompareCounters,
        Self::ForgetBase,
        Self::RebuildByOverwriting,
        Self::HurryPurge,
        Self::IgnoreTombstones,
        Self::SkipRecount,
        Self::CorrectNothing,
    ];

    /// Whether it shows only where an authority's disk was put back, or lost.
    pub(crate) fn is_of_disks(self) -> bool {
        matches!(
            self,
            Self::SpeakBeforeComparing
                | Self::LinkWhileStale
                | Self::KeepTerm
                | Self::CompareCounters
                | Self::ForgetBase
                | Self::RebuildByOverwriting
        )
    }
}
