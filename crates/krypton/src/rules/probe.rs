//! The owner's word: what a tenant's roots say of themselves, and how long that holds.
//!
//! Each root of a tenant is asked from time to time to open something that it sealed. *No*, by any of them, ends
//! serving at once, and until that root says *yes* to what it denied: that it does not answer, or answers something
//! else, ends no denial. A root that does not answer ends nothing by itself: what another one opens is proof enough.
//! But without any proof for the length of a lease, serving ends too.
//!
//! Why so: `docs/adr/0019-probes.md`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use openkcm_contracts::problem::Code;
use openkcm_contracts::{Period, RegionId, RootRef, SystemId, TenantId, VersionId};
use openkcm_host::BootId;
use serde::{Deserialize, Serialize};

use super::{Deadline, Moment, Refusal};

/// The longest pause between two probes of one tenant, unless an operator says otherwise.
pub const PROBED_EVERY: Duration = Duration::from_secs(60);

/// Probes that fit into a lease, also where it is shorter than some pauses: one that fails costs nobody the proof.
const PROBES_OF_A_LEASE: u32 = 4;

/// What one root said to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It opened what it was given.
    Yes,
    /// Its owner does not let it.
    No,
    /// It gave no answer, or one that says nothing of the owner's mind: it is set up wrongly here, or what it was
    /// given is not its own.
    Nothing,
}

/// A root's no, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The root.
    pub root: RootRef,
    /// The version that it would not open; none where it would not seal a new one.
    pub of: Option<(SystemId, VersionId)>,
}

/// What a probe comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The owner lets us: a root opened what it was given, and none that had denied did not.
    Proven,
    /// The owner does not.
    Denied,
    /// Neither is known.
    Unproven,
}

/// What a probe comes to, given what was denied before.
pub fn verdict(answers: &[(&RootRef, Said)], denied: &[Denial]) -> Verdict {
    if answers.iter().any(|(_, said)| *said == Said::No) {
        return Verdict::Denied;
    }
    let allows_again = |denial: &Denial| {
        let mut of_root = answers.iter().filter(|(root, _)| **root == denial.root).peekable();
        of_root.peek().is_some() && of_root.all(|(_, said)| *said == Said::Yes)
    };
    let opened = answers.iter().any(|(_, said)| *said == Said::Yes);
    if opened && denied.iter().all(allows_again) { Verdict::Proven } else { Verdict::Unproven }
}

/// Until when a tenant may be served that was proven at this moment: the length of its lease.
///
/// `present`: the present boot. Keys that are open were opened in it, so that there is no other proof of them.
pub fn proof_ends(proven: &Moment, ttl: Period, present: BootId) -> Deadline {
    if proven.boot_id != present {
        return Deadline::PAST;
    }
    Deadline { boot: proven.boot.after(ttl.duration()), wall: proven.wall.after(ttl.duration()) }
}

/// When a tenant is probed: how long after its last probe, or after it came to be served. The length of its lease
/// counts where that is known.
#[derive(Debug, Clone, Copy)]
pub struct Pause<'a> {
    /// The longest one.
    pub every: Duration,
    /// Of its lease.
    pub ttl: Option<Period>,
    /// Where.
    pub region: &'a RegionId,
    /// Who.
    pub tenant: &'a TenantId,
    /// How many probes there were.
    pub count: u64,
}

impl Pause<'_> {
    /// How long. Tenants that came to be served together are spread over the whole of it by their first pause, and
    /// drift apart by the later ones.
    pub fn duration(&self) -> Duration {
        let of_lease = self.ttl.map(|ttl| ttl.duration() / PROBES_OF_A_LEASE);
        let longest = of_lease.map_or(self.every, |of_lease| self.every.min(of_lease));
        let least = if self.count == 0 { longest / 4 } else { longest / 4 * 3 };
        least + (longest - least).mul_f64(self.drawn())
    }

    /// Drawn from what is known of the probe: nobody gains by foreseeing it, and every history can be told again.
    fn drawn(&self) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.region.as_str(), self.tenant.as_str(), self.count).hash(&mut hasher);
        (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Refusal {
    /// The owner of the tenant's L1 says no.
    pub const L1_DENIED: Self = Self::new(
        Code::L1Denied,
        "the tenant's L1 provider denies the use of its key; serving resumes when it allows it",
    );
    /// It was too long that no root of the tenant said yes.
    pub const L1_UNPROVEN: Self = Self::new(
        Code::L1Unreachable,
        "the tenant's L1 provider did not prove for the length of a lease that the key may be used; serving resumes \
         when it does",
    );
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::Timestamp;
    use openkcm_host::{BootInstant, Clock as _, ManualClock};

    use super::*;

    fn root(key: &str) -> RootRef {
        RootRef { provider: "local".into(), key: key.into(), options: [].into() }
    }

    fn denial(key: &str) -> Denial {
        Denial { root: root(key), of: None }
    }

    fn verdict_of(answers: &[(&str, Said)], denied: &[&str]) -> Verdict {
        let roots: Vec<(RootRef, Said)> = answers.iter().map(|(key, said)| (root(key), *said)).collect();
        let answers: Vec<_> = roots.iter().map(|(root, said)| (root, *said)).collect();
        let denied: Vec<_> = denied.iter().map(|key| denial(key)).collect();
        verdict(&answers, &denied)
    }

    #[test]
    fn a_no_by_any_root_is_one_whatever_the_others_say() {
        assert_eq!(verdict_of(&[("a", Said::Yes), ("b", Said::No)], &[]), Verdict::Denied);
        assert_eq!(verdict_of(&[("a", Said::Nothing), ("b", Said::No)], &[]), Verdict::Denied);
    }

    #[test]
    fn one_root_that_opens_is_proof_enough_and_silence_is_none() {
        assert_eq!(verdict_of(&[("a", Said::Nothing), ("b", Said::Yes)], &[]), Verdict::Proven);
        assert_eq!(verdict_of(&[("a", Said::Nothing), ("b", Said::Nothing)], &[]), Verdict::Unproven);
        assert_eq!(verdict_of(&[], &[]), Verdict::Unproven);
    }

    #[test]
    fn a_denial_ends_only_by_a_yes_of_the_root_that_denied_to_all_that_it_is_asked() {
        assert_eq!(verdict_of(&[("a", Said::Nothing), ("b", Said::Yes)], &["a"]), Verdict::Unproven);
        assert_eq!(verdict_of(&[("b", Said::Yes)], &["a"]), Verdict::Unproven, "it was not asked");
        assert_eq!(verdict_of(&[("a", Said::Yes), ("b", Said::Nothing)], &["a"]), Verdict::Proven);
        let of_two = [("a", Said::Yes), ("a", Said::Nothing)];
        assert_eq!(verdict_of(&of_two, &["a"]), Verdict::Unproven);
    }

    #[test]
    fn a_proof_holds_for_a_lease_on_both_clocks_and_no_longer_than_the_boot() {
        let clock = ManualClock::new(Timestamp::from_millis(1_000_000), BootInstant::from_nanos(7));
        let (proven, ttl) = (Moment::of(&clock), Period::from_secs(60).expect("a period"));
        let stands = |clock: &ManualClock| {
            let now = Moment::of(clock);
            !proof_ends(&proven, ttl, now.boot_id).has_come(&now)
        };
        clock.advance(Duration::from_secs(59));
        assert!(stands(&clock));
        clock.set_wall(Timestamp::from_millis(1_060_000));
        assert!(!stands(&clock), "the wall clock was set forward");
        clock.set_wall(Timestamp::from_millis(0));
        assert!(stands(&clock));
        clock.advance(Duration::from_secs(1));
        assert!(!stands(&clock), "the boot clock can't be set back");
        clock.reboot();
        assert_eq!(proof_ends(&proven, ttl, clock.boot()), Deadline::PAST);
    }

    #[test]
    fn pauses_are_spread_and_never_longer_than_they_may_be() {
        let region = RegionId::new("a").expect("valid");
        let (mut shortest, mut longest) = (Duration::MAX, Duration::ZERO);
        for number in 0..1_000 {
            let tenant = TenantId::new(&format!("t-{number}")).expect("valid");
            let mut pause =
                Pause { every: PROBED_EVERY, ttl: None, region: &region, tenant: &tenant, count: 0 };
            shortest = shortest.min(pause.duration());
            longest = longest.max(pause.duration());
            pause.count = number;
            assert!((45..=60).contains(&pause.duration().as_secs()) || number == 0, "{pause:?}");
            pause.ttl = Period::from_secs(20).ok();
            assert!(pause.duration() <= Duration::from_secs(5), "four probes fit into each lease");
        }
        assert!(
            shortest < Duration::from_secs(17) && longest > Duration::from_secs(58),
            "{shortest:?}, {longest:?}"
        );
    }
}
