//! Callers of the data plane: they encrypt anywhere, keep what they get, and decrypt it anywhere later.
//!
//! What they are answered goes into the ledger; the invariants look at it after the step.

use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, VersionState};
use openkcm_krypton::data::Encrypted;
use openkcm_krypton::store;

use crate::actors::core::Input;
use crate::coverage::Reached;
use crate::landscape::{self, CANARY, REGIONS};
use crate::ledger::{Answered, Kept};
use crate::world::World;

/// Most ciphertexts that are kept: each is tried again and again.
const MOST_KEPT: usize = 80;

impl World {
    /// A caller encrypts, or has a data key made.
    pub(crate) fn call_encrypt(&mut self, index: usize) {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        let path = self.dice.pick(&landscape::services(&tenant)).clone();
        let Some(running) = &self.cores[index].running else { return };
        let data = running.data.clone();
        let number = self.ledger.ciphertexts.len();
        let (answer, plaintext, aad) = if self.dice.percent(20) {
            match data.data_key(&path, 32) {
                Ok((key, sealed)) => (Ok(sealed), key.expose().to_vec(), Vec::new()),
                Err(refusal) => (Err(refusal), Vec::new(), Vec::new()),
            }
        } else {
            let plaintext = [CANARY, number.to_string().as_bytes()].concat();
            let aad = number.to_be_bytes().to_vec();
            (data.encrypt(&path, &plaintext, &aad), plaintext, aad)
        };
        match answer {
            Ok(encrypted) => {
                self.tell(format!("core {}: encrypt {path} by {}", REGIONS[index], encrypted.version));
                let definition = store::service(self.cores[index].post.disk.view(), &path);
                let definition = definition.expect("memory does not fail");
                let Some(generation) = definition.map(|definition| definition.generation) else { return };
                let Encrypted { ciphertext: text, version, at_risk } = encrypted;
                let kept = Kept { path, generation, version, core: index, text, plaintext, aad };
                self.keep(kept, at_risk);
            }
            Err(refusal) => {
                self.tell(format!("core {}: encrypt {path}: {}", REGIONS[index], refusal.code));
                if refusal.code == Code::KeyPurged {
                    self.reach(Reached::RefusedPurged);
                }
                if refusal.code == Code::TenantUnlinked {
                    self.reach(Reached::RefusedUnlinked);
                }
                if refusal.code == Code::Hydrating && data.service(&path).is_ok_and(|ring| ring.demand()) {
                    self.reach(Reached::Demand);
                    self.cores[index].push(Input::Demand(path));
                }
            }
        }
    }

    /// A caller decrypts what it keeps.
    pub(crate) fn call_decrypt(&mut self, index: usize) {
        if self.ledger.ciphertexts.is_empty() {
            return;
        }
        let ciphertext = self.dice.below(self.ledger.ciphertexts.len());
        let kept = self.ledger.ciphertexts[ciphertext].clone();
        let path = kept.path.clone();
        let Some(running) = &self.cores[index].running else { return };
        let region = REGIONS[index];
        let answer = running.data.decrypt(&path, &kept.text, &kept.aad);
        match answer {
            Ok(decrypted) => {
                if kept.core != index {
                    self.reach(Reached::DecryptElsewhere);
                }
                self.tell(format!("core {region}: decrypt number {ciphertext} of {path}"));
                let plaintext = decrypted.plaintext.to_vec();
                self.ledger.answers.push(Answered::Decrypted { core: index, ciphertext, plaintext });
            }
            Err(refusal) => {
                let code = refusal.code;
                if code == Code::MaterialNotHere {
                    self.reach(Reached::MaterialNotHere);
                }
                self.tell(format!("core {region}: decrypt number {ciphertext} of {path}: {code}"));
                self.ledger.answers.push(Answered::Refused { core: index, ciphertext, code });
            }
        }
    }

    /// A caller has what it keeps encrypted anew.
    pub(crate) fn call_rewrap(&mut self, index: usize) {
        let Some(running) = &self.cores[index].running else { return };
        let data = running.data.clone();
        let is_compromised = |kept: &Kept| {
            let ring = data.service(&kept.path).ok();
            let state = ring.and_then(|ring| ring.version(kept.version).map(|version| version.state));
            state == Some(VersionState::Compromised)
        };
        let all = self.ledger.ciphertexts.iter().enumerate();
        let urgent = all.filter(|(_, kept)| is_compromised(kept)).map(|(number, _)| number);
        let urgent: Vec<usize> = urgent.collect();
        let number = match (urgent.is_empty(), self.ledger.ciphertexts.len()) {
            (_, 0) => return,
            (true, count) => self.dice.below(count),
            (false, _) => *self.dice.pick(&urgent),
        };
        let old = self.ledger.ciphertexts[number].clone();
        let compromised = !urgent.is_empty();
        match data.rewrap(&old.path, &old.text, &old.aad) {
            Ok(Encrypted { ciphertext, version, at_risk }) => {
                self.tell(format!("core {}: rewrap number {number} of {}", REGIONS[index], old.path));
                if compromised {
                    self.reach(Reached::RewrapFromCompromised);
                }
                self.keep(Kept { core: index, text: ciphertext, version, ..old }, at_risk);
            }
            Err(refusal) => {
                self.tell(format!("core {}: rewrap number {number}: {}", REGIONS[index], refusal.code));
            }
        }
    }

    /// A caller asks for a new version.
    pub(crate) fn call_rotate(&mut self, index: usize) {
        let tenant = self.dice.pick(&landscape::tenants()).clone();
        let path: KeyPath = self.dice.pick(&landscape::keys(&tenant)).clone();
        self.tell(format!("core {}: asked to rotate {path}", REGIONS[index]));
        self.cores[index].push(Input::Rotate(path));
    }

    fn keep(&mut self, kept: Kept, at_risk: bool) {
        if at_risk {
            self.reach(Reached::AtRisk);
        }
        let (core, path, version) = (kept.core, kept.path.clone(), kept.version);
        self.ledger.touched.insert(core);
        self.ledger.answers.push(Answered::Encrypted { core, path, version });
        if self.ledger.ciphertexts.len() < MOST_KEPT {
            self.ledger.ciphertexts.push(kept);
        } else {
            let number = self.dice.below(MOST_KEPT);
            self.ledger.ciphertexts[number] = kept;
        }
    }
}
