//! `?purge_after=`: how long a deletion waits before material may be destroyed.

use std::time::Duration;

use openkcm_contracts::Period;
use openkcm_http::{Answer, Problem};
use serde::Deserialize;
use utoipa::IntoParams;

/// The wait when the caller says nothing: a week of working days to notice a mistake in.
const DEFAULT_WAIT: Duration = Duration::from_secs(7 * 86_400);

/// The parameters of a deletion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// How long to wait before material may be destroyed, such as `7d` or `0`. A Core's own minimum wins over
    /// a shorter one.
    #[param(default = "7d", nullable = false)]
    purge_after: Option<String>,
}

impl Wait {
    pub(crate) fn duration(&self) -> Answer<Duration> {
        match self.purge_after.as_deref() {
            None => Ok(DEFAULT_WAIT),
            Some("0" | "0s") => Ok(Duration::ZERO),
            Some(text) => text.parse::<Period>().map(Period::duration).map_err(|error| {
                Problem::invalid_request("purge_after", format!("purge_after: {error}, or 0 for none"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: Option<&str>) -> Answer<Duration> {
        Wait { purge_after: text.map(Into::into) }.duration()
    }

    #[test]
    fn a_deletion_waits_a_week_unless_told_otherwise() {
        assert_eq!(read(None), Ok(Duration::from_secs(604_800)));
        assert_eq!(read(Some("36h")), Ok(Duration::from_secs(129_600)));
    }

    #[test]
    fn a_wait_of_nothing_is_a_wait_too() {
        assert_eq!(read(Some("0")), Ok(Duration::ZERO));
        assert_eq!(read(Some("0s")), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_span_is_refused_by_its_name() {
        for text in ["", "soon", "-1s", "36501d"] {
            assert_eq!(read(Some(text)).unwrap_err().field.as_deref(), Some("purge_after"), "{text:?}");
        }
    }
}
