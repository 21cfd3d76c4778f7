//! The faults: SIGKILL at a random moment, a start a random moment later.

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_harness::Distributed;

use super::dice::Dice;
use super::ledger::Ledger;
use super::{Arguments, REGIONS};
use crate::landscape::elapsed;

/// Rounds between two lines that say how far it is.
const TELL_EVERY: usize = 10;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum What {
    /// The broker.
    Broker,
    /// The Registry, the CMK Server and each Core, in turn by lot.
    Components,
}

/// What was killed how often.
pub(super) struct Killed(BTreeMap<String, usize>);

impl Killed {
    pub(super) fn line(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|(part, times)| format!("{part} {times} times")).collect();
        parts.join(", ")
    }
}

/// Kills as often as asked for, or until something is wrong.
pub(super) async fn run(
    landscape: &mut Distributed,
    ledger: &Ledger,
    arguments: &Arguments,
    dice: Dice,
) -> Killed {
    let mut killed = BTreeMap::new();
    let begun = elapsed();
    for (round, part) in victims(arguments, &dice).into_iter().enumerate() {
        tokio::time::sleep(dice.up_to(Duration::from_millis(arguments.life_ms))).await;
        landscape.kill(&part);
        tokio::time::sleep(dice.up_to(Duration::from_millis(arguments.death_ms))).await;
        landscape.start_again(&part).await;
        *killed.entry(part).or_default() += 1;
        if (round + 1) % TELL_EVERY == 0 {
            println!("  {} kills in {:.0} s", round + 1, (elapsed() - begun).as_secs_f64());
        }
        if !ledger.wrong().is_empty() {
            break;
        }
    }
    Killed(killed)
}

/// Whom each round kills: every component equally often, in an order by lot.
fn victims(arguments: &Arguments, dice: &Dice) -> Vec<String> {
    let parts: Vec<String> = match arguments.what {
        What::Broker => vec!["nats".to_owned()],
        What::Components => {
            let cores = REGIONS.map(|region| format!("krypton-{region}"));
            ["registry", "cmk"].map(str::to_owned).into_iter().chain(cores).collect()
        }
    };
    dice.shuffled((0..arguments.rounds).map(|round| parts[round % parts.len()].clone()).collect())
}
