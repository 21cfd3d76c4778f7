//! What time it is, on the two clocks that the deadman switch runs on.
//!
//! The wall clock is the one that people and other machines understand, and anyone with the right can step
//! it. The boot clock only runs forward, through suspend too, and starts again with the machine. A promise
//! that time bounds is kept on both: whichever says first that it has run out is believed.
//!
//! Not for waiting, and not for measuring how fast something is.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openkcm_contracts::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::{OsEntropy, random_array};

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump either way between two readings.
    fn now(&self) -> Timestamp;

    /// The boot clock. Within one boot it never runs backwards.
    fn boottime(&self) -> BootInstant;

    /// Which boot the boot clock counts from.
    fn boot(&self) -> BootId;
}

/// One boot of one machine, as the kernel names it: a random number, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(u128);

impl BootId {
    /// From its number.
    pub const fn from_number(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text is no boot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootIdError;

impl fmt::Display for BootIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boot id is expected: 32 hexadecimal digits, with or without hyphens")
    }
}

impl std::error::Error for BootIdError {}

impl FromStr for BootId {
    type Err = BootIdError;

    fn from_str(text: &str) -> Result<Self, BootIdError> {
        let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
        if digits.len() != 32 {
            return Err(BootIdError);
        }
        u128::from_str_radix(&digits, 16).map(Self).map_err(|_| BootIdError)
    }
}

/// Where the kernel tells its boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment on the machine's boot clock (CLOCK_BOOTTIME): nanoseconds since the machine started.
///
/// Time spent suspended counts. Two of them compare only within one boot of one machine: what is kept on
/// disk must say which boot it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(u64);

impl BootInstant {
    /// From nanoseconds since boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This moment and `duration` on. What is out of range (584 years) becomes the last moment there is.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this is; nothing when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else is handed")]
        let now = SystemTime::now();
        // A machine that believes it is before 1970 has no usable wall clock; it gets the epoch.
        Timestamp::from_millis(whole_millis(now.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    fn boottime(&self) -> BootInstant {
        let reading = clock_gettime(ClockId::Boottime);
        let since_boot = Duration::try_from(reading).expect("the kernel's boot clock is never negative");
        BootInstant::from_nanos(0).after(since_boot)
    }

    fn boot(&self) -> BootId {
        static BOOT: OnceLock<BootId> = OnceLock::new();
        *BOOT.get_or_init(|| {
            let told = std::fs::read_to_string(BOOT_ID).ok().and_then(|text| text.parse().ok());
            // Where the kernel does not tell, each process counts as a boot of its own: that is on the safe side.
            told.unwrap_or_else(|| BootId(u128::from_be_bytes(random_array(&OsEntropy::new()))))
        })
    }
}

/// Clocks that stand still until they are moved: for tests and for the simulator.
///
/// Clones are handles to the same pair of clocks.
#[derive(Clone, Debug)]
pub struct ManualClock {
    readings: Arc<Mutex<Readings>>,
}

/// Both clocks, under one lock so that a reader never sees one moved and the other not yet.
#[derive(Clone, Copy, Debug)]
struct Readings {
    /// Since the Unix epoch; finer than a [`Timestamp`], so that many small advances add up.
    wall: Duration,
    boot: BootInstant,
    boots: u128,
}

impl ManualClock {
    /// Clocks that show these two moments.
    pub fn new(wall: Timestamp, boottime: BootInstant) -> Self {
        let wall = Duration::from_millis(wall.as_millis());
        let readings = Readings { wall, boot: boottime, boots: 1 };
        Self { readings: Arc::new(Mutex::new(readings)) }
    }

    /// Steps the wall clock alone, as an administrator or an NTP daemon can, in either direction.
    pub fn set_wall(&self, wall: Timestamp) {
        self.readings().wall = Duration::from_millis(wall.as_millis());
    }

    /// Sets the boot clock alone, within the same boot: back, as a machine that was put back from a snapshot.
    pub fn set_boottime(&self, boottime: BootInstant) {
        self.readings().boot = boottime;
    }

    /// The machine starts anew: another boot, whose clock begins at nothing. The wall clock stays.
    pub fn reboot(&self) {
        let mut readings = self.readings();
        readings.boots += 1;
        readings.boot = BootInstant::from_nanos(0);
    }

    /// Lets time pass, awake or suspended: both clocks go forward together.
    pub fn advance(&self, duration: Duration) {
        let mut readings = self.readings();
        readings.wall = readings.wall.saturating_add(duration);
        readings.boot = readings.boot.after(duration);
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        // Nothing in here can be left half done, so a panic elsewhere does not spoil it.
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(whole_millis(self.readings().wall))
    }

    fn boottime(&self) -> BootInstant {
        self.readings().boot
    }

    fn boot(&self) -> BootId {
        BootId(self.readings().boots)
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manual() -> ManualClock {
        ManualClock::new(Timestamp::from_millis(1_000_000), BootInstant::from_nanos(5_000))
    }

    #[test]
    fn the_systems_boot_clock_never_runs_backwards() {
        let readings: Vec<_> = (0..1_000).map(|_| SystemClock.boottime()).collect();
        assert!(readings.is_sorted());
        assert!(readings[0].as_nanos() > 0);
    }

    #[test]
    fn the_systems_wall_clock_is_past_the_year_this_was_written_in() {
        assert!(SystemClock.now() > "2026-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn manual_clocks_stand_still_until_they_are_moved() {
        let clock = manual();
        assert_eq!(clock.now(), clock.now());
        assert_eq!(clock.boottime(), clock.boottime());
    }

    #[test]
    fn advancing_moves_both_clocks_by_the_same_time() {
        let clock = manual();
        clock.advance(Duration::from_secs(60));
        assert_eq!(clock.now(), Timestamp::from_millis(1_060_000));
        assert_eq!(clock.boottime(), BootInstant::from_nanos(60_000_005_000));
    }

    #[test]
    fn many_advances_below_a_millisecond_add_up_on_the_wall_clock() {
        let clock = manual();
        (0..10).for_each(|_| clock.advance(Duration::from_micros(100)));
        assert_eq!(clock.now(), Timestamp::from_millis(1_000_001));
    }

    #[test]
    fn a_stepped_wall_clock_leaves_the_boot_clock_alone() {
        let clock = manual();
        clock.set_wall(Timestamp::from_millis(7));
        assert_eq!(clock.now(), Timestamp::from_millis(7));
        assert_eq!(clock.boottime(), BootInstant::from_nanos(5_000));
    }

    #[test]
    fn a_reboot_leaves_the_wall_clock_alone_and_is_another_boot() {
        let clock = manual();
        let before = clock.boot();
        clock.reboot();
        assert_eq!(clock.boottime(), BootInstant::from_nanos(0));
        assert_eq!(clock.now(), Timestamp::from_millis(1_000_000));
        assert_ne!(clock.boot(), before);
    }

    #[test]
    fn the_system_is_in_one_boot_and_a_boot_id_is_read_back() {
        let boot = SystemClock.boot();
        assert_eq!(SystemClock.boot(), boot);
        assert_eq!(boot.to_string().parse(), Ok(boot));
        let hyphens =
            "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n".parse::<BootId>().expect("as the kernel writes it");
        assert_eq!(hyphens.to_string(), "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
        assert_eq!("0f1e".parse::<BootId>(), Err(BootIdError));
    }

    #[test]
    fn a_clone_is_a_handle_to_the_same_clocks() {
        let clock = manual();
        let handle = clock.clone();
        handle.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::from_millis(1_001_000));
    }

    #[test]
    fn boot_instants_saturate_at_both_ends() {
        let early = BootInstant::from_nanos(1);
        let last = early.after(Duration::MAX);
        assert_eq!(last, BootInstant::from_nanos(u64::MAX));
        assert_eq!(early.since(last), Duration::ZERO);
        assert_eq!(early.after(Duration::from_nanos(9)).since(early), Duration::from_nanos(9));
    }
}
