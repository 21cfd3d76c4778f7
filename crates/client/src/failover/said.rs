//! What each region said to a call that none of them served.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use openkcm_contracts::RegionId;

use super::verdict::Verdict;
use crate::error::{ClientError, ProblemDocument};

/// What one region said, or that it said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The region.
    pub region: RegionId,
    /// Its refusal; `None` when there was none that this client understands.
    pub problem: Option<ProblemDocument>,
    /// In words; they name no secret.
    pub words: String,
    /// Whether this call asked it. Otherwise an earlier one did: the region failed several times in a row since, and
    /// is left alone for a moment.
    pub asked: bool,
    pub(crate) verdict: Verdict,
}

impl Said {
    pub(crate) fn new(region: RegionId, error: &ClientError, verdict: Verdict) -> Self {
        let words = match error {
            ClientError::Problem(problem) => problem.to_string(),
            error => format!("{error} ({})", root_cause(error)),
        };
        Self { region, problem: error.problem().cloned(), words, asked: true, verdict }
    }

    /// The same, for a call that did not ask.
    pub(crate) fn earlier(self) -> Self {
        Self { asked: false, ..self }
    }

    /// How long it asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.problem.as_ref()?.retry_after
    }

    /// How much it helps to know of it. A region that knows the key outranks one that can't work; and as long as one
    /// was not heard, nobody can say that there is no such key.
    fn rank(&self) -> u8 {
        match self.verdict {
            Verdict::Final | Verdict::Key | Verdict::Tenant => 0,
            Verdict::Region | Verdict::Silent if self.problem.is_some() => 1,
            Verdict::Region | Verdict::Silent => 2,
            Verdict::Unknown => 3,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lately = if self.asked { "" } else { "not asked again, it said lately: " };
        write!(f, "region {}: {lately}{}", self.region, self.words)
    }
}

/// No region served a call; several were asked, or failed lately.
#[derive(Debug)]
pub struct NoRegion {
    said: Vec<Said>,
}

impl NoRegion {
    /// In the order in which the regions were asked.
    pub(crate) fn new(said: Vec<Said>) -> Self {
        Self { said }
    }

    /// What each region said, in the order in which they were asked.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// The refusal that says most about what to do; `None` when no region gave one.
    pub fn problem(&self) -> Option<&ProblemDocument> {
        self.said.iter().min_by_key(|said| said.rank())?.problem.as_ref()
    }
}

impl fmt::Display for NoRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no region serves this now")?;
        for (at, said) in self.said.iter().enumerate() {
            write!(f, "{} {said}", if at == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl Error for NoRegion {}

/// The last word of an HTTP library, which is what people understand of it.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::problem::Code;

    use super::*;

    fn refused(region: &str, code: Code) -> Said {
        let error = ClientError::Problem(Box::new(ProblemDocument {
            status: code.status(),
            code: Some(code),
            code_text: code.as_str().to_owned(),
            title: code.title().to_owned(),
            detail: "the detail".to_owned(),
            field: None,
            retry_after: None,
        }));
        Said::new(RegionId::new(region).unwrap(), &error, Verdict::of(&error))
    }

    fn silent(region: &str) -> Said {
        Said {
            problem: None,
            verdict: Verdict::Region,
            words: "silence".to_owned(),
            ..refused(region, Code::Internal)
        }
    }

    fn most_useful(said: &[Said]) -> Option<Code> {
        NoRegion::new(said.to_vec()).problem().and_then(|problem| problem.code)
    }

    #[test]
    fn the_refusal_of_a_region_that_knows_the_key_is_the_most_useful() {
        let (lease, unknown, internal) =
            (refused("a", Code::LeaseExpired), refused("b", Code::UnknownKey), refused("c", Code::Internal));
        assert_eq!(
            most_useful(&[unknown.clone(), internal.clone(), lease.clone()]),
            Some(Code::LeaseExpired)
        );
        assert_eq!(
            most_useful(&[refused("a", Code::Hydrating), lease]),
            Some(Code::Hydrating),
            "the first of them"
        );
        assert_eq!(most_useful(&[unknown.clone(), silent("c"), internal]), Some(Code::Internal));
        assert_eq!(most_useful(&[unknown]), Some(Code::UnknownKey));
    }

    #[test]
    fn that_there_is_no_such_key_is_not_said_while_a_region_is_silent() {
        assert_eq!(most_useful(&[refused("a", Code::UnknownKey), silent("b")]), None);
    }

    #[test]
    fn every_region_is_told_with_what_it_said() {
        let none = NoRegion::new(vec![refused("a", Code::LeaseExpired), silent("b").earlier()]);
        assert_eq!(
            none.to_string(),
            "no region serves this now: region a: The sovereign lease has run out: the detail (lease_expired); \
             region b: not asked again, it said lately: silence"
        );
    }
}
