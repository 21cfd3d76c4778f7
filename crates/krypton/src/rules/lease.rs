//! The deadman switch: until when a link may be served.
//!
//! A lease of the CMK Server counts from when the manifest that it answers was put together, and it covers the
//! links that this manifest told of, as they were then. It runs on two clocks, and has run out when either says
//! so: the boot clock, which counts suspend and belongs to one boot of the machine, and the wall clock. After a
//! reboot there is only the wall clock, which anyone could have set: then no lease holds, unless the operator has
//! declared that clock trusted.
//!
//! Why so: `docs/adr/0018-leases.md`.

use std::fmt;
use std::time::Duration;

use openkcm_contracts::problem::Code;
use openkcm_contracts::{Period, Revision, Timestamp};
use openkcm_host::{BootId, BootInstant, Clock};
use serde::{Deserialize, Serialize};

use super::Refusal;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which boot.
    #[serde(with = "boot_id")]
    pub boot_id: BootId,
    /// The boot clock.
    #[serde(with = "nanos")]
    pub boot: BootInstant,
    /// The wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// Now.
    pub fn of(clock: &dyn Clock) -> Self {
        Self { boot_id: clock.boot(), boot: clock.boottime(), wall: clock.now() }
    }
}

/// A lease, as far as it concerns links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The manifest that it answers: incarnation and sequence.
    pub manifest: Revision,
    /// When that was put together.
    pub from: Moment,
    /// How long it holds.
    pub ttl: Period,
}

/// What an operator says of leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeasePolicy {
    /// A lease holds no longer than this here, whatever the CMK Server grants.
    pub longest: Option<Period>,
    /// Whether the wall clock is believed after a reboot.
    pub trusted_wall_clock: bool,
}

/// When a lease runs out; on the clock that gets there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// On the boot clock.
    pub boot: BootInstant,
    /// On the wall clock.
    pub wall: Timestamp,
}

impl Deadline {
    /// Long ago.
    pub const PAST: Self = Self { boot: BootInstant::from_nanos(0), wall: Timestamp::from_millis(0) };

    /// Whether it has come.
    pub fn has_come(&self, now: &Moment) -> bool {
        now.boot >= self.boot || now.wall >= self.wall
    }

    /// Whichever of the two clocks comes first, of both.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self { boot: self.boot.min(other.boot), wall: self.wall.min(other.wall) }
    }
}

/// How the present moment stands to the latest one that was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Both clocks go on from there.
    Onward,
    /// Another boot.
    Rebooted,
    /// The machine, or its wall clock across a reboot, was put back.
    PutBack,
}

/// How now stands to the latest moment that was noted.
pub fn standing(noted: Option<&Moment>, now: &Moment) -> Standing {
    match noted {
        None => Standing::Onward,
        Some(noted) if noted.boot_id == now.boot_id && now.boot >= noted.boot => Standing::Onward,
        Some(noted) if noted.boot_id == now.boot_id => Standing::PutBack,
        Some(noted) if now.wall >= noted.wall => Standing::Rebooted,
        Some(_) => Standing::PutBack,
    }
}

impl Grant {
    /// When it runs out for a link, whose tenant may ask for less; none when it is void already.
    ///
    /// `present`: the present boot. `since`: the first manifest that tells of the link.
    pub fn deadline(
        &self,
        since: Revision,
        of_tenant: Option<Period>,
        policy: &LeasePolicy,
        present: BootId,
    ) -> Option<Deadline> {
        if self.manifest < since {
            return None;
        }
        let strictest = [of_tenant, policy.longest].into_iter().flatten().fold(self.ttl, Period::min);
        self.after(strictest.duration(), policy, present)
    }

    /// When it runs out for links of tenants that ask for no less.
    pub fn own_deadline(&self, policy: &LeasePolicy, present: BootId) -> Option<Deadline> {
        self.deadline(self.manifest, None, policy, present)
    }

    fn after(&self, ttl: Duration, policy: &LeasePolicy, present: BootId) -> Option<Deadline> {
        let wall = self.from.wall.after(ttl);
        if self.from.boot_id == present {
            return Some(Deadline { boot: self.from.boot.after(ttl), wall });
        }
        let never = BootInstant::from_nanos(u64::MAX);
        policy.trusted_wall_clock.then_some(Deadline { boot: never, wall })
    }

    /// The part of it that is used, in per cent; more than 100 when it has run out.
    pub fn used_percent(&self, policy: &LeasePolicy, now: &Moment) -> u32 {
        let ttl = policy.longest.map_or(self.ttl, |longest| longest.min(self.ttl)).duration();
        let by_wall = now.wall.since(self.from.wall);
        let by_boot = match self.from.boot_id == now.boot_id {
            true => now.boot.since(self.from.boot),
            false => Duration::ZERO,
        };
        let percent = by_wall.max(by_boot).as_millis().saturating_mul(100) / ttl.as_millis().max(1);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}

impl Refusal {
    /// A lease has run out, or there never was one.
    pub const LEASE_EXPIRED: Self = Self::new(
        Code::LeaseExpired,
        "the CMK Server's lease for this tenant in this region has run out, or there is none yet; serving resumes with the \
         next one",
    );
    /// The CMK Server has not agreed on this link yet.
    pub const NOT_AGREED: Self = Self::new(
        Code::Hydrating,
        "the CMK Server has not agreed with this region on the tenant's link yet; try again shortly",
    );
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wall.fmt(f)
    }
}

mod boot_id {
    use super::{BootId, Deserialize};

    pub(super) fn serialize<S: serde::Serializer>(id: &BootId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BootId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

mod nanos {
    use super::{BootInstant, Deserialize};

    pub(super) fn serialize<S: serde::Serializer>(
        at: &BootInstant,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.as_nanos())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BootInstant, D::Error> {
        u64::deserialize(deserializer).map(BootInstant::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use openkcm_host::ManualClock;

    use super::*;

    const POLICY: LeasePolicy = LeasePolicy { longest: None, trusted_wall_clock: false };

    fn clock() -> ManualClock {
        ManualClock::new(Timestamp::from_millis(1_000_000), BootInstant::from_nanos(5_000))
    }

    fn period(secs: u64) -> Period {
        Period::from_secs(secs).expect("a period")
    }

    fn grant(clock: &ManualClock) -> Grant {
        Grant { manifest: Revision::new(7, 3), from: Moment::of(clock), ttl: period(60) }
    }

    fn stands(grant: &Grant, of_tenant: Option<Period>, policy: &LeasePolicy, clock: &ManualClock) -> bool {
        let now = Moment::of(clock);
        let deadline = grant.deadline(grant.manifest, of_tenant, policy, now.boot_id);
        deadline.is_some_and(|deadline| !deadline.has_come(&now))
    }

    #[test]
    fn whichever_clock_gets_there_first_ends_it() {
        let clock = clock();
        let grant = grant(&clock);
        clock.advance(Duration::from_secs(59));
        assert!(stands(&grant, None, &POLICY, &clock));
        clock.set_wall(Timestamp::from_millis(1_000_000 + 60_000));
        assert!(!stands(&grant, None, &POLICY, &clock), "the wall clock was set forward");
        clock.set_wall(Timestamp::from_millis(0));
        assert!(stands(&grant, None, &POLICY, &clock), "it was set back: the boot clock goes on");
        clock.advance(Duration::from_secs(1));
        assert!(!stands(&grant, None, &POLICY, &clock), "and ends it");
    }

    #[test]
    fn a_reboot_voids_it_unless_the_wall_clock_is_trusted() {
        let clock = clock();
        let grant = grant(&clock);
        clock.reboot();
        assert!(!stands(&grant, None, &POLICY, &clock));
        let trusted = LeasePolicy { trusted_wall_clock: true, ..POLICY };
        assert!(stands(&grant, None, &trusted, &clock));
        clock.advance(Duration::from_secs(60));
        assert!(!stands(&grant, None, &trusted, &clock));
    }

    #[test]
    fn the_strictest_wins_and_a_link_that_came_later_has_no_part_in_it() {
        let clock = clock();
        let grant = grant(&clock);
        clock.advance(Duration::from_secs(10));
        assert!(!stands(&grant, Some(period(10)), &POLICY, &clock));
        assert!(stands(&grant, Some(period(600)), &POLICY, &clock), "a tenant can't ask for more");
        assert!(!stands(&grant, None, &LeasePolicy { longest: Some(period(9)), ..POLICY }, &clock));
        let later = Revision::new(7, 4);
        assert_eq!(grant.deadline(later, None, &POLICY, clock.boot()), None);
    }

    #[test]
    fn what_was_put_back_is_found_out() {
        let clock = clock();
        let noted = Moment::of(&clock);
        assert_eq!(standing(None, &noted), Standing::Onward);
        clock.set_wall(Timestamp::from_millis(1));
        assert_eq!(standing(Some(&noted), &Moment::of(&clock)), Standing::Onward, "the boot clock went on");
        clock.set_boottime(BootInstant::from_nanos(1));
        assert_eq!(standing(Some(&noted), &Moment::of(&clock)), Standing::PutBack);
        clock.reboot();
        assert_eq!(standing(Some(&noted), &Moment::of(&clock)), Standing::PutBack);
        clock.set_wall(noted.wall);
        assert_eq!(standing(Some(&noted), &Moment::of(&clock)), Standing::Rebooted);
    }

    #[test]
    fn the_part_that_is_used_is_that_of_the_faster_clock() {
        let clock = clock();
        let grant = grant(&clock);
        clock.advance(Duration::from_secs(30));
        assert_eq!(grant.used_percent(&POLICY, &Moment::of(&clock)), 50);
        clock.set_wall(Timestamp::from_millis(1_000_000 + 57_000));
        assert_eq!(grant.used_percent(&POLICY, &Moment::of(&clock)), 95);
        assert_eq!(
            grant.used_percent(&LeasePolicy { longest: Some(period(30)), ..POLICY }, &Moment::of(&clock)),
            190
        );
    }
}
