//! Many histories: every promise is kept in all of them, and they get into every corner.
//!
//! A failure names its seed: `openkcm-sim replay` tells its story.

use openkcm_simulator::{Coverage, History, Options, run};

/// Steps of a history before faults stop.
const STEPS: u32 = 400;

/// Histories, and how many run beside each other.
const SEEDS: u64 = 300;
const BESIDE: u64 = 2;

/// Lines of a failing history that are shown.
const LAST_LINES: usize = 40;

fn story(history: &History) -> String {
    let first = history.story.len().saturating_sub(LAST_LINES);
    format!("seed {}:\n{}", history.seed, history.story[first..].join("\n"))
}

/// Runs the histories of some seeds.
fn kept(seeds: impl Iterator<Item = u64>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let history = run(seed, Options { steps: STEPS, bug: None });
        assert!(history.violation.is_none(), "{}", story(&history));
        coverage.merge(&history.coverage);
    }
    coverage
}

#[test]
fn all_histories_keep_every_promise_and_get_into_every_corner() {
    let mut coverage = Coverage::default();
    std::thread::scope(|scope| {
        let quota = |first| (0..SEEDS).filter(move |seed| seed % BESIDE == first);
        let running: Vec<_> = (0..BESIDE).map(|first| scope.spawn(move || kept(quota(first)))).collect();
        for part in running {
            coverage.merge(&part.join().unwrap_or_else(|story| std::panic::resume_unwind(story)));
        }
    });
    println!("{coverage}");
    assert_eq!(coverage.missing(), [], "no history got there");
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 0..6 {
        let [one, other] = [(); 2].map(|()| run(seed, Options { steps: STEPS, bug: None }));
        for (number, (one, other)) in one.story.iter().zip(&other.story).enumerate() {
            assert_eq!(one, other, "seed {seed} is told differently from line {number} on");
        }
        assert_eq!(one.story.len(), other.story.len());
        assert_eq!(one.coverage, other.coverage);
    }
}
