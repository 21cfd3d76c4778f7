//! The end of a history: faults stop, and everything goes on by itself until all is well.
//!
//! Not the statement of what *well* is: that is `invariants::convergence`. What always holds: it ends,
//! well or not, after a bounded number of steps.

use std::time::Duration;

use openkcm_orbital::words::Standing;

use crate::invariants::{self, Violation, convergence, named};
use crate::world::World;

/// Rounds until which all must be well, and the time between two of them. Longer than all that waits:
/// 60 s for the third region's turn, 30 s for another try at a provider.
const ROUNDS: usize = 40;
const BETWEEN: Duration = Duration::from_secs(5);

/// Steps of one round until which nothing may be left to do.
const STEPS: usize = 5_000;

impl World {
    /// Lets everything be delivered and done, without faults and without people.
    pub(crate) fn go_quiet(&mut self) -> Result<(), Violation> {
        for _ in 0..STEPS {
            let Some((_, action)) = self.progress().into_iter().next() else { return Ok(()) };
            self.perform(action, false);
            invariants::check(self)?;
        }
        let detail = format!("there is still something to do after {STEPS} steps without faults");
        Err(Violation { invariant: convergence::NAME, detail })
    }

    /// Operators start authorities once more whose disks were put back, and rebuild those that are behind.
    fn mend(&mut self) -> Result<(), Violation> {
        for who in self.authorities_to_mend() {
            self.stop(who);
            self.start_authority(who, false);
            self.go_quiet()?;
            if self.standing(who).is_stale() {
                self.rebuild(who);
                self.go_quiet()?;
            }
            if self.standing(who) != Standing::Current {
                let detail = format!("{who} was rebuilt, and is still {:?}", self.standing(who));
                return Err(Violation { invariant: convergence::NAME, detail });
            }
        }
        // What no store and no mesh can tell, a customer mends.
        for tenant in std::mem::take(&mut self.ledger.authorities.muddled) {
            self.link_anew(&tenant);
            self.go_quiet()?;
        }
        Ok(())
    }

    /// Stops all faults, and wants all to be well within a bounded time.
    pub(crate) fn converge(&mut self) -> Result<(), Violation> {
        self.heal();
        self.go_quiet()?;
        self.mend()?;
        self.settle()?;
        if self.edit_stores() {
            self.settle()?;
            self.undo_edits();
            self.settle()?;
        }
        if let Some(index) = self.lose_incarnation() {
            self.settle()?;
            // What the lease from before covers is served in any case: until it ends.
            self.pass(self.lease_ttl.duration());
            self.settle()?;
            self.note_goes_on(index);
        }
        Ok(())
    }

    /// Lets time pass until all is well, which is to be within a bounded time.
    fn settle(&mut self) -> Result<(), Violation> {
        let mut outcome = Ok(());
        for _ in 0..ROUNDS {
            self.tell_manifests();
            self.go_quiet()?;
            outcome = named(convergence::NAME, convergence::check(self));
            if outcome.is_ok() {
                return Ok(());
            }
            self.pass(BETWEEN);
        }
        outcome
    }
}
