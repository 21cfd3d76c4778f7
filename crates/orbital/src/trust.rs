//! The trust bundle: which key may sign for which role, and for a Core, in which region.
//!
//! Several keys may stand for one role, so that they can be replaced without a stop.

use std::collections::HashMap;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::{RegionId, Role};
use serde::{Deserialize, Serialize};

use crate::signing::key_id;

/// One key that is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The key's id, as envelopes name it.
    pub id: String,
    /// What it may speak as.
    pub role: Role,
    /// For a Core, where.
    pub region: Option<RegionId>,
    /// The Ed25519 public key, base64.
    pub public_key: String,
}

/// The keys that a component believes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustBundle {
    /// The keys.
    pub keys: Vec<TrustedKey>,
}

/// Why a trust bundle can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file can't be read.
    #[error("the trust bundle {path} can't be read")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no bundle.
    #[error("the trust bundle {path} is not valid")]
    Syntax {
        /// The file.
        path: String,
        /// What the decoder found.
        #[source]
        source: serde_json::Error,
    },
    /// A key of it is no Ed25519 public key with that id.
    #[error("the key {id} of the trust bundle is not what it says")]
    Key {
        /// The key's id.
        id: String,
    },
    /// One key stands for two speakers, so that what it signs would be either's word.
    #[error("the key {id} of the trust bundle is listed for two speakers; give each a key of its own")]
    Twice {
        /// The key's id.
        id: String,
    },
    /// A Core's key names no region, or an authority's key names one.
    #[error("the key {id} of the trust bundle: Cores have a region, authorities have none")]
    Region {
        /// The key's id.
        id: String,
    },
}

impl TrustBundle {
    /// Reads a bundle's file.
    ///
    /// # Errors
    /// When it can't be read or is no bundle.
    pub fn load(path: &Path) -> Result<Self, TrustError> {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| TrustError::File { path: name(), source })?;
        serde_json::from_slice(&text).map_err(|source| TrustError::Syntax { path: name(), source })
    }

    pub(crate) fn parse(&self) -> Result<Vec<(TrustedKey, ParsedPublicKey)>, TrustError> {
        let mut speakers = HashMap::new();
        for key in &self.keys {
            let speaker = (key.role, &key.region);
            if *speakers.entry(&key.id).or_insert(speaker) != speaker {
                return Err(TrustError::Twice { id: key.id.clone() });
            }
        }
        self.keys.iter().map(|key| Ok((key.clone(), parse_key(key)?))).collect()
    }
}

fn parse_key(key: &TrustedKey) -> Result<ParsedPublicKey, TrustError> {
    if key.region.is_some() != (key.role == Role::Krypton) {
        return Err(TrustError::Region { id: key.id.clone() });
    }
    let wrong = || TrustError::Key { id: key.id.clone() };
    let bytes = BASE64.decode(&key.public_key).map_err(|_| wrong())?;
    if key_id(&bytes) != key.id {
        return Err(wrong());
    }
    ParsedPublicKey::new(&ED25519, &bytes).map_err(|_| wrong())
}
