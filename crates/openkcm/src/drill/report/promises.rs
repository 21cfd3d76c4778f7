//! What a drill holds a landscape to. Each promise is judged by counts; how long something took is shown, not judged.

use serde::Serialize;

use crate::drill::check::Checked;
use crate::drill::load::Second;

/// Losses that are named where something was lost.
const NAMED: usize = 3;

/// A promise, and whether it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::drill) struct Promise {
    /// What was promised.
    pub(in crate::drill) promise: String,
    /// Whether it held.
    pub(in crate::drill) held: bool,
    /// What was found.
    pub(in crate::drill) found: String,
}

impl Promise {
    pub(in crate::drill) fn new(promise: impl Into<String>, held: bool, found: impl Into<String>) -> Self {
        Self { promise: promise.into(), held, found: found.into() }
    }
}

/// No request was lost, and there were some.
pub(in crate::drill) fn no_request_lost(total: &Second) -> Promise {
    let (served, asked) = (total.served, total.asked());
    let mut found = format!("{served} of {asked} were served");
    for (code, count) in &total.refused {
        found.push_str(&format!(", {count} refused with {code}"));
    }
    if total.unanswered > 0 {
        found.push_str(&format!(", {} without an answer", total.unanswered));
    }
    Promise::new("no request is lost", served == asked && asked > 0, found)
}

/// No answer was another than what had been encrypted.
pub(in crate::drill) fn every_answer_right(total: &Second) -> Promise {
    let found = format!("{} of {} answers were wrong", total.wrong, total.wrong + total.served);
    Promise::new("every answer is what was encrypted", total.wrong == 0, found)
}

/// Everything that was kept opens.
pub(in crate::drill) fn nothing_lost(promise: &str, checked: &Checked) -> Promise {
    let Checked { tried, lost } = checked;
    let mut found = format!("{} of {tried} opened", tried - lost.len());
    for one in lost.iter().take(NAMED) {
        found.push_str(&format!(
            "; {} of {} is not open in {} ({})",
            one.version, one.key, one.region, one.why
        ));
    }
    Promise::new(promise, lost.is_empty() && *tried > 0, found)
}

/// Rotation went on where it was to.
pub(in crate::drill) fn rotation_went_on(promise: &str, versions: usize, due: bool) -> Promise {
    let found = match due {
        true => format!("{versions} versions began to encrypt meanwhile"),
        false => format!(
            "{versions} versions began to encrypt meanwhile; the fault was too short for one to be due"
        ),
    };
    Promise::new(promise, versions > 0 || !due, found)
}

/// All became well by itself.
pub(in crate::drill) fn all_is_well(promise: &str, ills: &[String]) -> Promise {
    let found = match ills {
        [] => "all components agree, nothing waits, nothing is at risk".to_owned(),
        ills => ills.join("; "),
    };
    Promise::new(promise, ills.is_empty(), found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openkcm_contracts::RegionId;

    use super::*;
    use crate::drill::check::Lost;

    #[test]
    fn one_request_that_was_not_served_breaks_the_promise_and_so_does_a_drill_without_any() {
        let mut total = Second { served: 10, ..Second::default() };
        assert!(no_request_lost(&total).held);
        total.refused = BTreeMap::from([("hydrating".to_owned(), 1)]);
        let promise = no_request_lost(&total);
        assert!(!promise.held);
        assert_eq!(promise.found, "10 of 11 were served, 1 refused with hydrating");
        assert!(!no_request_lost(&Second::default()).held);
        assert!(!no_request_lost(&Second { served: 9, unanswered: 1, ..Second::default() }).held);
    }

    #[test]
    fn one_wrong_answer_breaks_two_promises() {
        let total = Second { served: 10, wrong: 1, ..Second::default() };
        assert!(!every_answer_right(&total).held && !no_request_lost(&total).held);
    }

    #[test]
    fn one_ciphertext_that_does_not_open_is_named() {
        let region = |name| RegionId::new(name).expect("a label");
        let lost = Lost {
            key: "t/s/v".to_owned(),
            version: "7".to_owned(),
            made_in: region("a"),
            region: region("b"),
            why: "material_not_here".to_owned(),
        };
        let promise = nothing_lost("all open", &Checked { tried: 5, lost: vec![lost] });
        assert!(!promise.held);
        assert_eq!(promise.found, "4 of 5 opened; 7 of t/s/v is not open in b (material_not_here)");
        assert!(
            !nothing_lost("all open", &Checked::default()).held,
            "nothing was tried, so nothing is shown"
        );
    }

    #[test]
    fn a_rotation_is_missed_only_where_one_was_due() {
        assert!(rotation_went_on("x", 0, false).held);
        assert!(!rotation_went_on("x", 0, true).held);
        assert!(rotation_went_on("x", 1, true).held);
    }
}
