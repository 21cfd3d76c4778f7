//! What of a tenant's owner goes with a link: its key, pinned once, and its word for other roots.
//!
//! Refused here early, so that whoever links hears of it. What counts is what each Core makes of it, since the reason for
//! the owner's word is that this component may be in other hands.

use openkcm_contracts::Generation;
use openkcm_contracts::v1::OwnerWord;
use openkcm_orbital::is_owners;

use super::{Held, LinkRequest, Refusal};

/// What a pointer holds of the owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owners {
    pub(super) key: Option<String>,
    pub(super) word: Option<OwnerWord>,
    pub(super) number: u64,
}

impl Owners {
    /// What a link makes of what is held of a tenant of this generation.
    pub(super) fn after(
        held: &Held<'_>,
        request: &LinkRequest,
        generation: Generation,
    ) -> Result<Self, Refusal> {
        let Some(pointer) = held.pointer.filter(|pointer| pointer.generation == generation) else {
            return match request.owner_word() {
                None => Ok(Self { key: request.owner_key().map(str::to_owned), ..Self::default() }),
                Some(_) => Err(Refusal::OwnersWord(
                    "no owner's key is pinned yet, so nothing can be signed by it: the first link pins it",
                )),
            };
        };
        let pinned = pointer.owner_key.as_deref();
        let wanted = request.owner_key().or(pinned);
        let Some(word) = request.owner_word() else {
            if pinned.is_some() && wanted != pinned {
                return Err(Refusal::OwnersWord(
                    "another owner's key is pinned: only a link that this one signs replaces it",
                ));
            }
            let word = pointer.owner_word.clone().filter(|_| pointer.roots == request.roots());
            let (key, number) = (wanted.map(str::to_owned), pointer.owner_number);
            return Ok(Self { key, word, number });
        };
        let Some(pinned) = pinned else {
            return Err(Refusal::OwnersWord("no owner's key is pinned for this tenant"));
        };
        if word.number <= pointer.owner_number {
            return Err(Refusal::OwnersWord(
                "the owner has signed with a higher number before: sign again, with one above it",
            ));
        }
        let tenant = &pointer.tenant;
        let bytes = OwnerWord::bytes(tenant, generation, request.roots(), wanted, word.number);
        if !is_owners(pinned, &bytes, &word.signature) {
            return Err(Refusal::OwnersWord(
                "the signature is not by the pinned owner's key, or not for these roots of this tenant",
            ));
        }
        Ok(Self { key: wanted.map(str::to_owned), word: Some(word.clone()), number: word.number })
    }
}
