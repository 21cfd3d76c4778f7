//! The simulated L1 providers: each root a key in memory, with the customer's mood about it.
//!
//! Tells the same answers as the Core's own shell does (`krypton/src/service/provider.rs`), a step
//! later or many steps later. What always holds: a seal opens only with the binding that it was made
//! with, and every L2 that is to be sealed or was opened here is known to the invariant of containment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{Seal, SealedBy};
use openkcm_contracts::{RootRef, SystemPath, TenantId, VersionId};
use openkcm_host::{SeededEntropy, random_array};
use openkcm_krypton::control::{
    ProbeAnswer, ProbeJob, ProbeQuestion, Probed, ResealJob, Resealed, SealJob, Sealed, UnsealJob, Unsealed,
};
use openkcm_krypton::rules::{Moment, Refusal, Said};
use openkcm_roots::Binding;
use openkcm_secrets::{SecretKey, xaes};

use crate::landscape;

/// What a provider does with questions about a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does what is asked.
    Willing,
    /// The customer withdrew the access.
    Denying,
    /// It does not answer.
    Silent,
}

/// What a Core asks.
#[derive(Debug)]
pub(crate) enum Question {
    Unseal(UnsealJob),
    Seal(SealJob),
    Reseal(ResealJob),
    Probe(ProbeJob),
}

impl Question {
    pub(crate) fn tenant(&self) -> &TenantId {
        match self {
            Self::Unseal(job) => &job.path.tenant,
            Self::Seal(job) => &job.path.tenant,
            Self::Reseal(job) => &job.path.tenant,
            Self::Probe(job) => &job.tenant,
        }
    }

    /// The system that it is about; a probe is about all of them.
    pub(crate) fn path(&self) -> Option<&SystemPath> {
        match self {
            Self::Unseal(job) => Some(&job.path),
            Self::Seal(job) => Some(&job.path),
            Self::Reseal(job) => Some(&job.path),
            Self::Probe(_) => None,
        }
    }

    pub(crate) fn epoch(&self) -> openkcm_contracts::LinkEpoch {
        match self {
            Self::Unseal(job) => job.epoch,
            Self::Seal(job) => job.epoch,
            Self::Reseal(job) => job.epoch,
            Self::Probe(job) => job.epoch,
        }
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(crate) struct Job {
    /// Which Core asks.
    pub(crate) core: usize,
    /// Which life of it: an answer to an earlier one reaches nobody.
    pub(crate) life: u64,
    pub(crate) question: Question,
}

/// What a Core is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Unsealed(Unsealed),
    Sealed(Sealed),
    Resealed(Resealed),
    Probed(Probed),
}

impl Answer {
    /// Why it is no, if it is.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Unsealed(answer) => answer.outcome.as_ref().err().copied(),
            Self::Sealed(answer) => answer.outcome.as_ref().err().copied(),
            Self::Resealed(answer) => answer.outcome.as_ref().err().copied(),
            Self::Probed(answer) => {
                let has_said = |said| answer.answers.iter().any(|answer| answer.said == said);
                match (has_said(Said::No), has_said(Said::Yes)) {
                    (true, _) => Some(DENIED),
                    (false, true) => None,
                    (false, false) => Some(SILENT),
                }
            }
        }
    }
}

impl Answer {
    /// Whether a root did anything that it was asked.
    pub(crate) fn shows_a_yes(&self) -> bool {
        match self {
            Self::Unsealed(answer) => answer.outcome.is_ok(),
            Self::Sealed(answer) => answer.outcome.is_ok(),
            Self::Resealed(answer) => answer.outcome.is_ok(),
            Self::Probed(answer) => answer.answers.iter().any(|answer| answer.said == Said::Yes),
        }
    }
}

/// What was refused, and by whose no.
type Refused = (Refusal, Option<RootRef>);

fn told<T>(outcome: Result<T, Refused>) -> (Result<T, Refusal>, Option<RootRef>) {
    match outcome {
        Ok(done) => (Ok(done), None),
        Err((refusal, denied_by)) => (Err(refusal), denied_by),
    }
}

struct Root {
    key: SecretKey,
    mood: Mood,
}

/// All providers.
pub(crate) struct Provider {
    roots: BTreeMap<String, Root>,
    entropy: SeededEntropy,
    /// The questions that wait, in the order in which they were asked.
    pub(crate) waiting: Vec<Job>,
    /// Every L2 in the clear that a provider ever saw or was to see.
    pub(crate) seen: BTreeSet<[u8; SecretKey::LEN]>,
}

impl Provider {
    pub(crate) fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let all = landscape::tenants().iter().flat_map(landscape::roots).collect::<Vec<_>>();
        let root = |root: RootRef| {
            let key = SecretKey::generate(&entropy).expect("locked memory for a handful of roots");
            (root.key, Root { key, mood: Mood::Willing })
        };
        let roots = all.into_iter().map(root).collect();
        Self { roots, entropy, waiting: Vec::new(), seen: BTreeSet::new() }
    }

    /// The roots' key references.
    pub(crate) fn names(&self) -> Vec<String> {
        self.roots.keys().cloned().collect()
    }

    pub(crate) fn set_mood(&mut self, root: &str, mood: Mood) {
        if let Some(root) = self.roots.get_mut(root) {
            root.mood = mood;
        }
    }

    /// Everyone is willing again.
    pub(crate) fn heal(&mut self) {
        self.roots.values_mut().for_each(|root| root.mood = Mood::Willing);
    }

    /// Answers, at this moment of whoever asks.
    pub(crate) fn answer(&mut self, question: Question, asked: Moment) -> Answer {
        match question {
            Question::Unseal(job) => {
                let (outcome, denied_by) = told(self.unseal(&job));
                Answer::Unsealed(Unsealed { job, outcome, asked, denied_by })
            }
            Question::Seal(job) => {
                let (outcome, denied_by) = told(self.seal(&job));
                Answer::Sealed(Sealed { job, outcome, asked, denied_by })
            }
            Question::Reseal(job) => {
                let sealed = self.seal_by(&job.roots, &binding(&job.path, job.sealed.version), &job.key);
                let (outcome, denied_by) = told(sealed);
                Answer::Resealed(Resealed { job, outcome, denied_by })
            }
            Question::Probe(job) => {
                let answers = job.questions.iter().map(|question| self.prove(question)).collect();
                Answer::Probed(Probed { job, answers, asked })
            }
        }
    }

    fn prove(&self, ProbeQuestion { root, seals }: &ProbeQuestion) -> ProbeAnswer {
        for (place, (path, version, ciphertext)) in seals.iter().enumerate() {
            let said = match self.unseal_by(root, &binding(path, *version), ciphertext) {
                Ok(_) => Said::Yes,
                Err(UNOPENABLE) => continue,
                Err(DENIED) => Said::No,
                Err(_) => Said::Nothing,
            };
            return ProbeAnswer { said, to: Some(place) };
        }
        let said = match self.willing(root) {
            Ok(_) => Said::Yes,
            Err(DENIED) => Said::No,
            Err(_) => Said::Nothing,
        };
        ProbeAnswer { said, to: None }
    }

    fn unseal(&mut self, job: &UnsealJob) -> Result<Arc<SecretKey>, Refused> {
        let mut refusal = Refusal::HYDRATING;
        for (reference, ciphertext) in &job.seals {
            match self.unseal_by(reference, &binding(&job.path, job.version), ciphertext) {
                Ok(key) => {
                    self.seen.insert(*key.expose());
                    return Ok(Arc::new(key));
                }
                // The owner's no, at any of the roots, holds for all of them.
                Err(denied) if denied.code == Code::L1Denied => {
                    return Err((denied, Some(reference.clone())));
                }
                Err(other) => refusal = other,
            }
        }
        Err((refusal, None))
    }

    fn unseal_by(&self, root: &RootRef, bound: &[u8], ciphertext: &str) -> Result<SecretKey, Refusal> {
        let key = &self.willing(root)?.key;
        let mut bytes = BASE64.decode(ciphertext).map_err(|_| UNOPENABLE)?;
        let (nonce, body) = bytes.split_at_mut_checked(xaes::NONCE_LEN).ok_or(UNOPENABLE)?;
        let nonce = <[u8; xaes::NONCE_LEN]>::try_from(&*nonce).map_err(|_| UNOPENABLE)?;
        let opened = xaes::open(key, &nonce, bound, body).map_err(|_| UNOPENABLE)?;
        SecretKey::from_slice_wiping(opened).map_err(|_| UNOPENABLE)
    }

    fn seal(&self, job: &SealJob) -> Result<Vec<Seal>, Refused> {
        self.seal_by(&job.roots, &binding(&job.path, job.version), &job.key)
    }

    fn seal_by(&self, roots: &[RootRef], bound: &[u8], key: &SecretKey) -> Result<Vec<Seal>, Refused> {
        let mut seals = Vec::new();
        let mut refusal = Refusal::HYDRATING;
        for reference in roots {
            match self.willing(reference) {
                Ok(root) => {
                    let nonce: [u8; xaes::NONCE_LEN] = random_array(&self.entropy);
                    let mut body = key.expose().to_vec();
                    xaes::seal(&root.key, &nonce, bound, &mut body);
                    let ciphertext = BASE64.encode([&nonce[..], &body].concat());
                    seals.push(Seal { by: SealedBy::Root(reference.clone()), ciphertext });
                }
                Err(denied) if denied.code == Code::L1Denied => {
                    return Err((denied, Some(reference.clone())));
                }
                Err(other) => refusal = other,
            }
        }
        if seals.is_empty() { Err((refusal, None)) } else { Ok(seals) }
    }

    fn willing(&self, root: &RootRef) -> Result<&Root, Refusal> {
        let known = self.roots.get(&root.key).ok_or(SILENT)?;
        match known.mood {
            Mood::Willing => Ok(known),
            Mood::Denying => Err(DENIED),
            Mood::Silent => Err(SILENT),
        }
    }
}

const DENIED: Refusal = Refusal::new(Code::L1Denied, "the simulated provider denies the key");
const SILENT: Refusal = Refusal::new(Code::L1Unreachable, "the simulated provider does not answer");
const UNOPENABLE: Refusal = Refusal::new(Code::MaterialNotHere, "the simulated provider can't open this");

fn binding(path: &SystemPath, version: VersionId) -> Vec<u8> {
    Binding { tenant: path.tenant.clone(), system: path.system.clone(), version }.to_bytes()
}
