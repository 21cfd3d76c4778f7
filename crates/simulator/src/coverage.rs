//! What histories reached: a simulation that never gets into a corner says nothing about it.
//!
//! Not an invariant. A run over many seeds fails when one of these was never reached.

use std::fmt;

macro_rules! reached {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A situation that histories are meant to get into.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reached {
            $($(#[$doc])* $name,)*
        }

        impl Reached {
            /// Every situation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// In words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reached! {
    /// A tenant was unlinked while a Core of it heard nothing.
    UnlinkWhileCutOff => "an unlink while a core of the tenant is cut off",
    /// A tenant was linked again after an Unlink.
    RelinkAfterUnlink => "a relink after an unlink",
    /// An operator failed a region over.
    FailedOver => "a region is failed over",
    /// An operator gave the tenants of a region back.
    FailedBack => "the tenants of a region are given back",
    /// A tenant's roots were put into another order: another epoch without an Unlink.
    RootsReordered => "a link with its roots in another order",
    /// A component crashed while letters waited in its outbox.
    CrashBeforePublish => "a crash between commit and publication",
    /// A component crashed when the mesh held its letters and its outbox still did.
    CrashBeforeForget => "a crash between publication and forgetting",
    /// A Core crashed before an intake was committed.
    CrashBeforeAbsorb => "a crash before an intake is committed",
    /// A Core crashed after an intake was committed and before it was settled.
    CrashBeforeSettle => "a crash between absorbing and settling",
    /// A Core crashed with new versions in hand that were not kept.
    CrashBeforeKeep => "a crash before new versions are kept",
    /// A Core crashed after new versions were kept and before they came into use.
    CrashAfterKeep => "a crash after new versions are kept and before they are used",
    /// An event was delivered that had been delivered before.
    DuplicateDelivered => "a duplicate delivered",
    /// A fact arrived after a newer one about the same thing.
    OlderAfterNewer => "an older fact arrives after a newer one",
    /// A batch was delivered out of order.
    Reordered => "a batch out of order",
    /// A delivery was lost on the way.
    DeliveryLost => "a delivery lost on the way",
    /// The mesh had stored letters and its answer was lost.
    AnswerLost => "a publication whose answer is lost",
    /// A newer letter took the place of one that was on its way.
    LetterReplacedInFlight => "a letter replaced while it is under way",
    /// The mesh refused an older word than it had.
    Superseded => "a publication superseded on the mesh",
    /// The broker was restarted.
    BrokerRestarted => "a restart of the broker",
    /// A component could not publish.
    PublishWhileCutOff => "a publication while cut off",
    /// A message signed by someone who may not say it was dropped.
    ForgeryDropped => "a forgery dropped",
    /// A revoke arrived before the link that it ends.
    RevokeBeforeLink => "a revoke arrives before its link",
    /// Two regions made versions of one key without knowing of each other's.
    MadeApart => "two regions make versions apart",
    /// A Core that was cut off made a version of a key that had one.
    RotationWhileCutOff => "a rotation while cut off",
    /// A version that no command asked for took another's place.
    RotatedByTime => "a rotation by the definition's period",
    /// A version was made while two L2 versions were open.
    L2Rotated => "a rotation of an l2",
    /// L3 versions were sealed anew under another L2.
    Resealed => "l3 versions sealed anew under another l2",
    /// A Core sealed a version anew that another one had made.
    ResealedAnothers => "a version sealed anew by a core that did not make it",
    /// A Core crashed with new seals in hand that were not kept.
    CrashBeforeReseal => "a crash before new seals are kept",
    /// Another region decrypted what one had encrypted.
    DecryptElsewhere => "a decryption in another region",
    /// A ciphertext of a version that is not there yet was refused for now.
    MaterialNotHere => "a decryption whose version is still on its way",
    /// An answer used a version at risk.
    AtRisk => "an answer that uses a version at risk",
    /// A ciphertext was rewrapped out of a compromised version.
    RewrapFromCompromised => "a rewrap out of a compromised version",
    /// A provider denied, and later did what was asked.
    DeniedThenRecovered => "a provider that denies and recovers",
    /// A provider was unreachable, and later did what was asked.
    UnreachableThenRecovered => "a provider that is unreachable and recovers",
    /// A provider's answer came for a link that had ended.
    LateAnswer => "a provider's answer for a link that ended",
    /// A provider's answer came for a Core that had crashed.
    AnswerToTheDead => "a provider's answer for a core that crashed",
    /// A caller was told that the tenant is unlinked.
    RefusedUnlinked => "a caller told that the tenant is unlinked",
    /// A service was defined again under the name of one that ended.
    ServiceRedefined => "a service defined again under an old name",
    /// A tenant was defined again under the name of one that was offboarded.
    TenantRedefined => "a tenant defined again under an old name",
    /// A deletion was taken back.
    Undeleted => "a deletion taken back",
    /// A version was marked compromised.
    Compromised => "a version marked compromised",
    /// A tenant left a region.
    RegionLeft => "a tenant leaves a region",
    /// A tenant came back to a region.
    RegionReturned => "a tenant comes back to a region",
    /// The CMK Server had not heard of a tenant that the Registry had accepted.
    NotYetKnown => "a tenant not yet known at the cmk server",
    /// A Core that started without the mesh went on alone.
    GaveUpOnMesh => "a core that goes on without the mesh",
    /// A caller's demand made a region that is not the first make a version.
    Demand => "a caller's demand for a key without a version",
    /// An older copy of an authority's disk was put back.
    DiskPutBack => "an older copy of an authority's disk is put back",
    /// An authority's disk was lost.
    DiskLost => "an authority's disk is lost",
    /// A start found that the store is behind.
    StaleAtStart => "an authority found stale at its start",
    /// A letter that gave way to a newer word showed that the store is behind.
    StaleBySuperseded => "an authority found stale by a letter that gave way",
    /// A change was accepted before it was known that the store is behind.
    AcceptedBeforeVerdict => "a change accepted before a store is found stale",
    /// An authority was restarted between accepting a change and the verdict that its store is behind.
    RestartBeforeVerdict => "a restart between a change and the verdict that the store is stale",
    /// A tenant was unlinked by a store that is behind.
    UnlinkWhileStale => "an unlink by a stale cmk server",
    /// A tenant was unlinked whose pointer the store had forgotten.
    UnlinkOfForgotten => "an unlink of a pointer that the store has forgotten",
    /// A command was refused since the store is behind.
    RefusedStale => "a command refused by a stale authority",
    /// An authority was rebuilt from the mesh.
    Rebuilt => "an authority rebuilt from the mesh",
    /// An authority crashed while it was rebuilt.
    RebuildBrokenOff => "a crash in the middle of a rebuild",
    /// A change gave way to the mesh's word in a rebuild.
    DroppedByRebuild => "a change that gives way in a rebuild",
    /// A lease ran out while its tenant was served.
    LeaseExpired => "a lease that runs out",
    /// A root said no to a probe while its tenant was served.
    ProbeDenied => "a probe that is denied while its tenant is served",
    /// A root said yes to a probe, and no before.
    DenialEnded => "a denial that ends by a probe",
    /// No root of a tenant said yes for the length of a lease while it was served.
    Unproven => "a tenant whose l1 proves nothing for the length of a lease",
    /// A Core's machine was started anew.
    Rebooted => "a machine started anew",
    /// The Registry told that a key is to be destroyed.
    PurgeTold => "a key that is to be destroyed",
    /// A tombstone arrived where the definition still stood.
    PurgeBeforeDeletion => "a tombstone that arrives before the word that ended its key",
    /// A sealed version arrived whose tombstone was there.
    SealedAfterPurge => "a sealed version that arrives after its tombstone",
    /// A tombstone kept a Core from telling of what it had made.
    PurgedUnsent => "a version that is purged before anyone was told of it",
    /// A Core destroyed all that a tombstone ends.
    Destroyed => "a purge that is done with",
    /// The brake held a purge.
    PurgeHeld => "a purge that the brake holds",
    /// A caller was told that the key was destroyed.
    RefusedPurged => "a caller told that the key was destroyed",
    /// A Core's wall clock was set back.
    ClockSetBack => "a wall clock set back",
    /// A definition was lost from a Core's store while it was down, and told again.
    DriftMissing => "a missing definition found and told again",
    /// A definition was altered in a Core's store while it was down, and told again.
    DriftDiffers => "an altered definition found and told again",
    /// A tombstone was lost from a Core's store while it was down, and told again.
    DriftTombstone => "a lost tombstone found and told again",
    /// A Core held what the Registry never knew: it stayed, with an alarm, until it was gone.
    DriftUnknown => "an unknown definition found, left and alarmed",
    /// A lease named a bucket that nothing explains, with who may make the difference.
    BucketUnsettled => "a lease that narrows down what it can't explain",
    /// A Core that started as an earlier one than it had been was told to go on as a later one.
    GoesOnAsLater => "a Core whose clock was behind goes on as a later start",
}

/// How often each situation was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; Reached::ALL.len()] }
    }
}

impl Coverage {
    pub(crate) fn reach(&mut self, what: Reached) {
        self.counts[what as usize] += 1;
    }

    /// How often a situation was reached.
    pub fn count(&self, what: Reached) -> u64 {
        self.counts[what as usize]
    }

    /// Adds what another history reached.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
    }

    /// What was never reached.
    pub fn missing(&self) -> Vec<Reached> {
        Reached::ALL.iter().copied().filter(|what| self.count(*what) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Reached::ALL.iter().try_for_each(|what| writeln!(f, "{:>9}  {}", self.count(*what), what.text()))
    }
}
