//! Those who use keys: every answer is compared with what was encrypted, and every refusal has to have a reason.
//!
//! What counts as wrong: another plaintext; a refusal that the ledger does not explain; and where a region was seen to
//! hold a tenant's present link or Unlink, to do otherwise, after whatever faults.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openkcm_client::{Client, ClientError, Route};

use super::dice::Dice;
use super::ledger::{Kept, Ledger, Link, Service, State, Tenant, lock, next_number};

/// Between two requests of one caller, at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Refusals that say for how long: the key is on its way.
const ON_ITS_WAY: [&str; 2] = ["hydrating", "material_not_here"];

/// Refusals that a tenant's link explains, or its lack.
const OF_THE_LINK: [&str; 2] = ["tenant_unlinked", "not_yet_known"];

/// Uses keys until the run ends.
pub(super) async fn run(client: Client, ledger: Arc<Ledger>, dice: Dice) {
    while !ledger.is_stopped() && ledger.wrong().is_empty() {
        let tenant = dice.one_of(&ledger.tenants);
        let service = dice.one_of(&tenant.services);
        // Its author is changing it, or waits for it to be changed.
        if let Ok(state) = service.state.try_read() {
            let region = dice.below(ledger.regions.len());
            let caller = Caller { client: &client, ledger: &ledger, tenant, service, state: &state, region };
            if dice.below(2) == 0 { caller.encrypt().await } else { caller.decrypt(&dice).await }
        }
        tokio::time::sleep(dice.up_to(LONGEST_PAUSE)).await;
    }
}

struct Caller<'a> {
    client: &'a Client,
    ledger: &'a Ledger,
    tenant: &'a Tenant,
    service: &'a Service,
    state: &'a State,
    region: usize,
}

/// What was known when a request was sent.
struct Before {
    link: Link,
    ready: bool,
}

impl Caller<'_> {
    fn before(&self) -> Before {
        Before { link: lock(&self.tenant.link).clone(), ready: self.service.is_ready(self.region) }
    }

    fn route(&self) -> Route {
        Route::Only(self.ledger.regions[self.region].clone())
    }

    async fn encrypt(&self) {
        let before = self.before();
        let Some(generation) = self.state.generation.clone().filter(|_| before.ready) else { return };
        let plaintext = format!("{} {}", self.service.path, next_number()).into_bytes();
        match self.client.core(self.route()).encrypt(&self.service.path, &plaintext, None).await {
            Ok(made) => {
                self.ledger.counts.encrypted.fetch_add(1, Ordering::Relaxed);
                self.served(&before);
                let (version, ciphertext) = (made.answer.version.to_string(), made.answer.ciphertext);
                lock(&self.service.ciphertexts).push(Kept { generation, version, ciphertext, plaintext });
            }
            Err(error) => self.refused(&before, true, &error),
        }
    }

    async fn decrypt(&self, dice: &Dice) {
        let kept = {
            let ciphertexts = lock(&self.service.ciphertexts);
            if ciphertexts.is_empty() {
                return;
            }
            // As a rule one that opens: of the generation that the key has now.
            let present = |kept: &&Kept| Some(&kept.generation) == self.state.generation.as_ref();
            let opening: Vec<&Kept> = ciphertexts.iter().filter(present).collect();
            match dice.below(8) {
                0 => dice.one_of(&ciphertexts).clone(),
                _ if opening.is_empty() => return,
                _ => (*dice.one_of(&opening)).clone(),
            }
        };
        let before = self.before();
        let present = self.state.generation.as_ref() == Some(&kept.generation);
        match self.client.core(self.route()).decrypt(&self.service.path, &kept.ciphertext, None).await {
            Ok(opened) => {
                self.ledger.counts.decrypted.fetch_add(1, Ordering::Relaxed);
                if *opened.answer.plaintext != kept.plaintext {
                    self.wrong("opened to another plaintext");
                }
                self.served(&before);
            }
            Err(error) => self.refused(&before, present, &error),
        }
    }

    fn served(&self, before: &Before) {
        if self.holds_since(before) && !before.link.linked {
            self.wrong("served, after it was unlinked here");
        }
    }

    /// Whether the region held what was acknowledged of the link, from before the request until after it.
    fn holds_since(&self, before: &Before) -> bool {
        let phase = lock(&self.tenant.link).phase;
        let held_in = before.link.held_in.get(&self.ledger.regions[self.region]);
        phase == before.link.phase && held_in == Some(&phase)
    }

    /// Whether a refusal has a reason. `present`: it was about the key's present generation.
    fn refused(&self, before: &Before, present: bool, error: &ClientError) {
        let Some(problem) = error.problem() else {
            if !super::authors::is_for_now(error) {
                self.wrong(&format!("no answer, and not for now: {error}"));
            }
            self.ledger.counts.unanswered.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let code = problem.code_text.as_str();
        self.ledger.refused(code);
        if OF_THE_LINK.contains(&code) {
            if self.holds_since(before) && before.link.linked {
                self.wrong(&format!("refused with {code}, after it was linked here"));
            }
        } else if !ON_ITS_WAY.contains(&code) {
            let explained = code == "key_disabled" && !(before.ready && present)
                || code == "unknown_key" && !before.ready;
            if !explained {
                self.wrong(&format!("refused without a reason: {problem}"));
            }
        }
    }

    fn wrong(&self, what: &str) {
        let region = &self.ledger.regions[self.region];
        self.ledger.is_wrong(format!("{} in region {region}: {what}", self.service.path));
    }
}
