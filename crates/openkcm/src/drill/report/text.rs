//! The report as a page for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::{AtRisk, Ciphertexts, Recovery, Report, chart};
use crate::drill::load::Second;

/// The width of a line's name.
const NAME: usize = 22;

pub(super) fn page(report: &Report) -> String {
    let mut page = format!("OpenKCM drill {}: {}\n", report.drill, report.title);
    let setting = &report.setting;
    let regions: Vec<&str> = setting.regions.iter().map(openkcm_contracts::RegionId::as_str).collect();
    let _ = writeln!(
        page,
        "began {}, lasted {}; {}, regions {}\n{} tenants, {} services that rotate every {}; {} callers, {} requests a \
         second\n",
        report.began_at,
        seconds(report.lasted_ms),
        setting.landscape,
        regions.join(", "),
        setting.tenants,
        setting.services,
        setting.rotate_every,
        setting.callers,
        setting.rate
    );
    for event in &report.events {
        let _ = writeln!(page, "{:>9}  {}", seconds(event.at_ms), event.what);
    }
    availability(report, &mut page);
    figures(report, &mut page);
    page.push_str("\nPromises\n");
    for promise in &report.promises {
        let held = if promise.held { "held  " } else { "BROKEN" };
        let _ = writeln!(page, "  {held}  {}\n          {}", promise.promise, promise.found);
    }
    let _ = writeln!(page, "\n{}", verdict(report));
    page
}

fn availability(report: &Report, page: &mut String) {
    let fault = report.fault_ms.map(|span| {
        let [from, to] = span.map(Duration::from_millis);
        (from, to)
    });
    let (chart, each) = chart::draw(&report.availability, fault);
    let unit = if each == 1 { "second".to_owned() } else { format!("{each} seconds") };
    let _ = write!(page, "\nAvailability, a character for each {unit}:  {}\n{chart}", chart::LEGEND);
}

fn figures(report: &Report, page: &mut String) {
    page.push('\n');
    let mut line = |name: &str, value: String| {
        let _ = writeln!(page, "{name:<NAME$}{value}");
    };
    line("requests", requests(&report.requests));
    let Ciphertexts { kept, tried, lost, .. } = report.ciphertexts;
    line("ciphertexts", format!("lost {lost}; {kept} kept, tried {tried} times, once in each region"));
    line("versions at risk", at_risk(&report.at_risk));
    line("rotation", format!("{} versions began to encrypt during the fault", report.versions_during_fault));
    if let Some(recovery) = &report.recovery {
        line("recovery", recovered(recovery));
    }
}

fn requests(requests: &Second) -> String {
    let mut text = format!("{} served", requests.served);
    if requests.at_risk > 0 {
        let _ = write!(text, " ({} by a version at risk)", requests.at_risk);
    }
    let _ = write!(text, ", {} refused", requests.refused());
    if !requests.refused.is_empty() {
        let codes: Vec<String> =
            requests.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let _ = write!(text, " ({})", codes.join(", "));
    }
    let _ = write!(text, ", {} unanswered, {} answered wrongly", requests.unanswered, requests.wrong);
    text
}

fn at_risk(at_risk: &AtRisk) -> String {
    let highest: Vec<String> =
        at_risk.highest.iter().map(|(region, count)| format!("{region} {count}")).collect();
    let mut text = match at_risk.at_end {
        Some(count) => format!("{count} at the end"),
        None => "unknown at the end".to_owned(),
    };
    if let Some(lost) = at_risk.when_lost {
        let _ = write!(text, "; {lost} when the region was lost");
    }
    let _ = write!(text, "; at most {}", highest.join(", "));
    text
}

fn recovered(recovery: &Recovery) -> String {
    let Recovery { tenants, served, first_ms, last_ms } = recovery;
    let mut text = format!("{served} of {tenants} tenants served");
    if let (Some(first), Some(last)) = (first_ms, last_ms) {
        let _ =
            write!(text, "; the first {first} ms and the last {last} ms after the failover was committed");
    }
    text
}

fn verdict(report: &Report) -> String {
    let all = report.promises.len();
    match report.broken() {
        0 => format!("Verdict: HELD, all {all} promises."),
        broken => format!("Verdict: BROKEN, {broken} of {all} promises."),
    }
}

fn seconds(millis: u64) -> String {
    format!("{:.1} s", Duration::from_millis(millis).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openkcm_contracts::{RegionId, Timestamp};

    use super::*;
    use crate::drill::report::{Promise, Setting};
    use crate::drill::story::Event;

    fn report(promises: Vec<Promise>) -> Report {
        let a = RegionId::new("a").expect("a label");
        let requests =
            Second { served: 9, refused: BTreeMap::from([("hydrating".to_owned(), 1)]), ..Second::default() };
        Report {
            drill: "tier1",
            title: "region a loses the mesh".to_owned(),
            began_at: Timestamp::from_millis(0),
            lasted_ms: 61_500,
            setting: Setting {
                landscape: "scratch".to_owned(),
                regions: vec![a.clone()],
                tenants: 1,
                services: 2,
                callers: 3,
                rate: 4,
                rotate_every: "10s".to_owned(),
            },
            events: vec![Event { at_ms: 5_000, what: "it was cut".to_owned() }],
            fault_ms: Some([0, 1_000]),
            availability: BTreeMap::from([(a.clone(), vec![requests.clone()])]),
            requests,
            ciphertexts: Ciphertexts { kept: 5, tried: 10, lost: 1, losses: Vec::new() },
            at_risk: AtRisk { highest: BTreeMap::from([(a, 7)]), when_lost: None, at_end: Some(0) },
            recovery: Some(Recovery { tenants: 2, served: 2, first_ms: Some(90), last_ms: Some(250) }),
            versions_during_fault: 6,
            held: promises.iter().all(|promise| promise.held),
            promises,
        }
    }

    #[test]
    fn a_page_has_every_figure_and_its_last_line_is_the_verdict() {
        let held = Promise::new("nothing is lost", true, "10 of 10");
        let page = report(vec![held.clone()]).to_text();
        for piece in [
            "region a loses the mesh",
            "5.0 s  it was cut",
            "  a      ▓",
            "9 served, 1 refused (hydrating 1), 0 unanswered, 0 answered wrongly",
            "lost 1; 5 kept, tried 10 times",
            "0 at the end; at most a 7",
            "the first 90 ms and the last 250 ms",
            "held    nothing is lost",
        ] {
            assert!(page.contains(piece), "{piece:?} is not in\n{page}");
        }
        assert_eq!(page.lines().last(), Some("Verdict: HELD, all 1 promises."));
        let page = report(vec![held, Promise::new("x", false, "y")]).to_text();
        assert_eq!(page.lines().last(), Some("Verdict: BROKEN, 1 of 2 promises."));
    }

    #[test]
    fn a_program_reads_the_same() {
        let value = serde_json::to_value(report(Vec::new())).expect("it is JSON");
        assert_eq!(value["availability"]["a"][0]["served"], 9);
        assert_eq!(value["requests"]["refused"]["hydrating"], 1);
        assert_eq!((&value["ciphertexts"]["lost"], &value["held"]), (&1.into(), &true.into()));
    }
}
