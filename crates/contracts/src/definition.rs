//! The words of a definition: what a key is for and how it is to be kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Which layer of the hierarchy a key is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// A tenant's System key, sealed by L1.
    L2,
    /// A Service key, sealed by its L2.
    L3,
}

/// What a key encrypts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// A 256-bit AES key, used by XAES-256-GCM (C2SP).
    #[default]
    AES256,
}

/// Whether a tenant is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TenantState {
    /// Served.
    Active,
    /// Paused by the platform's operator; nothing is lost.
    Suspended,
    /// No longer a customer.
    Offboarded,
    /// No longer served in the region that is told so; other regions may go on.
    Withdrawn,
}

/// Whether a system or a service is to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DefinitionState {
    /// It exists and is served.
    Defined,
    /// It exists and is refused for now.
    Disabled,
    /// It is deleted; its material is destroyed some time after `purge_at`, not before.
    Deleted {
        /// When the waiting period is over.
        purge_at: Timestamp,
    },
}

/// A span of time as operators write it: `90d`, `12h`, `1h 30m`. Whole seconds, at least one, at most
/// a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

impl Period {
    /// The longest period, in seconds: 100 years of 365 days.
    pub const MAX_SECS: u64 = 100 * 365 * 86_400;

    /// A period of so many seconds.
    ///
    /// # Errors
    /// When it is zero or longer than [`Period::MAX_SECS`].
    pub fn from_secs(secs: u64) -> Result<Self, PeriodError> {
        if (1..=Self::MAX_SECS).contains(&secs) { Ok(Self(secs)) } else { Err(PeriodError) }
    }

    /// Its length.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// A text that is no period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("period: a span such as 90d, 12h or 30m is expected, whole seconds, 1s to 36500d")]
pub struct PeriodError;

impl FromStr for Period {
    type Err = PeriodError;
    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let span = humantime::parse_duration(text).map_err(|_| PeriodError)?;
        if span.subsec_nanos() != 0 {
            return Err(PeriodError);
        }
        Self::from_secs(span.as_secs())
    }
}

impl fmt::Display for Period {
    /// In days, hours, minutes and seconds, so that what was written `90d` is shown as `90d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut first = true;
        for (unit, secs) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            let count = rest / secs;
            rest %= secs;
            if count > 0 {
                write!(f, "{}{count}{unit}", if first { "" } else { " " })?;
                first = false;
            }
        }
        Ok(())
    }
}

crate::as_text!(Period);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_shown_as_it_was_written() {
        for text in ["90d", "12h", "1h 30m", "10s", "1d 1s"] {
            assert_eq!(text.parse::<Period>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn a_period_of_nothing_of_fractions_or_of_ages_is_refused() {
        for text in ["", "0s", "1500ms", "36501d", "-1s", "x", "99999999999999999999y"] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }
}
