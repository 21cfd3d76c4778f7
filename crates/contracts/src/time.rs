//! Moments on the wall clock.
//!
//! Only a value: nothing here reads a clock. Where a duration matters for safety, components measure
//! it on other clocks as well.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// A moment in milliseconds since 1970-01-01T00:00:00Z, written by RFC 3339 on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last moment that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
    const LAST: u64 = 253_402_300_799_999;

    /// From milliseconds since the Unix epoch; what lies beyond the year 9999 becomes its last moment.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > Self::LAST { Self::LAST } else { millis })
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment and `duration` on; never beyond the year 9999.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; nothing when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.0)).fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("time: RFC 3339 in UTC is expected, such as 2026-02-02T08:00:00.000Z")]
pub struct TimestampError;

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let moment = humantime::parse_rfc3339(text).map_err(|_| TimestampError)?;
        let since = moment.duration_since(UNIX_EPOCH).map_err(|_| TimestampError)?;
        u64::try_from(since.as_millis()).map(Self::from_millis).map_err(|_| TimestampError)
    }
}

crate::as_text!(Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_back_as_it_was_written() {
        let moment = Timestamp::from_millis(1_770_019_200_123);
        assert_eq!(moment.to_string(), "2026-02-02T08:00:00.123Z");
        assert_eq!(moment.to_string().parse(), Ok(moment));
    }

    #[test]
    fn a_moment_far_beyond_the_calendar_can_still_be_written() {
        let moment = Timestamp::from_millis(u64::MAX).after(Duration::MAX);
        assert_eq!(moment.to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn time_that_ran_backwards_is_no_time() {
        assert_eq!(Timestamp::from_millis(1).since(Timestamp::from_millis(5)), Duration::ZERO);
    }
}
