//! A line of the log says which component, and so which region, it is about; and is plain text in a file.

use openkcm_harness::until;

use crate::setup::{SAMPLE, Setup};

/// Whose lines a landscape's log has: its components', and those of the process that they are in.
const NAMES: [&str; 5] = ["dev", "registry", "cmk", "krypton-a", "krypton-b"];

#[tokio::test]
async fn each_line_of_the_log_names_its_component_and_has_no_colours() {
    let setup = Setup::start_with(&[("RUST_LOG", "debug")], |_| ()).await;
    setup.must(&["service", "delete", SAMPLE, "--purge-after", "0"]);
    until("every component has logged something", || async {
        let log = setup.landscape.log();
        let named = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        NAMES.iter().all(|name| log.lines().any(|line| named(line) == *name)).then_some(())
    })
    .await;
    until("a store has logged a tombstone", || async {
        setup.landscape.log().contains("its tombstone is heard").then_some(())
    })
    .await;
    let log = setup.landscape.log();
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let (when, who, level) = (words.next(), words.next(), words.next());
        assert!(when.is_some_and(|when| when.ends_with('Z')), "{line}");
        assert!(who.is_some_and(|who| NAMES.contains(&who)), "{line}");
        // The actors' words are never nobody's, whichever thread says them.
        let of_an_actor = ["openkcm_registry", "openkcm_cmk", "openkcm_krypton", "openkcm_component"];
        let nobodys = who == Some("dev");
        assert!(!nobodys || !of_an_actor.iter().any(|actor| line.contains(actor)), "{line}");
        assert!(level.is_some_and(|level| level.chars().all(|c| c.is_ascii_uppercase())), "{line}");
    }
    assert!(!log.contains('\u{1b}'), "there is a control sequence in it");
}
