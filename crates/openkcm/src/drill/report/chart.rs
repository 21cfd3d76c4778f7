//! Availability as a small chart: a line for each region, a character for each second, or for several.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use openkcm_contracts::RegionId;

use crate::drill::load::Second;

/// The most characters of a line.
const WIDTH: usize = 72;

/// What the characters say.
pub(super) const LEGEND: &str =
    "█ all served  ▓ 90 % and more  ▒ half and more  ░ some  ! none  · nobody asked";

/// The name of the line that shows when the fault was.
const FAULT: &str = "fault";

/// The chart, and how many seconds a character stands for.
pub(super) fn draw(
    regions: &BTreeMap<RegionId, Vec<Second>>,
    fault: Option<(Duration, Duration)>,
) -> (String, usize) {
    let seconds = regions.values().map(Vec::len).max().unwrap_or(0);
    let each = seconds.div_ceil(WIDTH).max(1);
    let columns = seconds.div_ceil(each);
    let margin = regions.keys().map(|region| region.as_str().len()).max().unwrap_or(0).max(FAULT.len());
    let mut chart = String::new();
    for (region, seconds) in regions {
        let mut line: String = seconds.chunks(each).map(character).collect();
        line.extend(std::iter::repeat_n('·', columns - line.chars().count()));
        let _ = writeln!(chart, "  {:<margin$}  {line}", region.as_str());
    }
    if let Some((from, to)) = fault.filter(|_| columns > 0) {
        let column = |at: Duration| usize::try_from(at.as_secs()).unwrap_or(usize::MAX) / each;
        let (from, to) = (column(from).min(columns - 1), column(to).min(columns - 1));
        let _ = writeln!(chart, "  {FAULT:<margin$}  {}{}", " ".repeat(from), bar(to - from + 1));
    }
    (chart, each)
}

/// How well some seconds were served.
fn character(seconds: &[Second]) -> char {
    let mut sum = Second::default();
    seconds.iter().for_each(|second| sum.add(second));
    let (served, asked) = (sum.served, sum.asked());
    match () {
        () if asked == 0 => '·',
        () if served == asked => '█',
        () if served == 0 => '!',
        () if served * 10 >= asked * 9 => '▓',
        () if served * 2 >= asked => '▒',
        () => '░',
    }
}

fn bar(length: usize) -> String {
    match length {
        0 | 1 => "│".to_owned(),
        length => format!("├{}┤", "─".repeat(length - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(served: u64, unanswered: u64) -> Second {
        Second { served, unanswered, ..Second::default() }
    }

    fn regions(lines: &[(&str, Vec<Second>)]) -> BTreeMap<RegionId, Vec<Second>> {
        let named =
            |(name, seconds): &(&str, Vec<Second>)| (RegionId::new(name).expect("a label"), seconds.clone());
        lines.iter().map(named).collect()
    }

    #[test]
    fn each_second_is_a_character_that_says_how_much_was_served() {
        let a = [(9, 0), (99, 1), (1, 1), (1, 9), (0, 9), (0, 0)].map(|(served, lost)| second(served, lost));
        let regions = regions(&[("a", a.to_vec()), ("eu-1", vec![second(1, 0); 2])]);
        let (chart, each) = draw(&regions, Some((Duration::from_secs(1), Duration::from_secs(3))));
        assert_eq!(each, 1);
        assert_eq!(chart, "  a      █▓▒░!·\n  eu-1   ██····\n  fault   ├─┤\n");
    }

    #[test]
    fn a_long_drill_fits_and_one_lost_request_is_still_seen() {
        let mut seconds = vec![second(1_000, 0); 1_000];
        seconds[500] = second(999, 1);
        let (chart, each) = draw(&regions(&[("a", seconds)]), None);
        assert_eq!(each, 14);
        let line = chart.lines().next().expect("a line");
        assert!(line.chars().count() <= WIDTH + 10, "{line}");
        assert_eq!(line.matches('▓').count(), 1);
    }

    #[test]
    fn a_drill_in_which_nobody_asked_is_drawn_too() {
        assert_eq!(draw(&BTreeMap::new(), Some((Duration::ZERO, Duration::ZERO))), (String::new(), 1));
    }
}
