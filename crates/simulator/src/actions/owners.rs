//! Owners of roots who change their minds while all else is well: what comes of it is seldom seen among other faults.

use std::time::Duration;

use crate::invariants::Violation;
use crate::landscape;
use crate::provider::Mood;
use crate::world::World;

/// Between two looks: less than between two probes.
const BETWEEN: Duration = Duration::from_secs(3);

/// Looks: together longer than the shortest lease that there is in a history.
const LOOKS: usize = 9;

impl World {
    /// The owner of one tenant's roots denies them, or takes them off the network, for a while; then all is as before.
    pub(crate) fn let_owners_have_their_way(&mut self) -> Result<(), Violation> {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        let mood = *self.dice.pick(&[Mood::Denying, Mood::Silent, Mood::Silent]);
        let roots = landscape::roots(&tenant);
        roots.iter().for_each(|root| self.provider.set_mood(&root.key, mood));
        self.tell(format!("all roots of {tenant} are {mood:?}, and nothing else happens"));
        self.look_on()?;
        roots.iter().for_each(|root| self.provider.set_mood(&root.key, Mood::Willing));
        self.tell(format!("the roots of {tenant} are as before"));
        self.look_on()
    }

    fn look_on(&mut self) -> Result<(), Violation> {
        for _ in 0..LOOKS {
            self.pass(BETWEEN);
            self.go_quiet()?;
        }
        Ok(())
    }
}
