//! The data keys of files, from the Cores.

use anyhow::ensure;
use openkcm_client::Served;
use openkcm_contracts::{RegionId, ServicePath};
use zeroize::Zeroizing;

use super::container::{DATA_KEY_BYTES, DataKey, FileKeys};
use super::encrypt::warn_if_at_risk;
use super::session::Session;

/// Asks the Cores of a session's landscape. Waits for their answers, so it belongs where nothing else has to go on.
pub(crate) struct CoreKeys<'s> {
    pub(crate) session: &'s Session,
    /// The only region that is asked, if there is one.
    pub(crate) region: Option<&'s RegionId>,
}

impl FileKeys for CoreKeys<'_> {
    fn make(&self, key: &ServicePath) -> anyhow::Result<(DataKey, String)> {
        let made = self.session.anywhere(self.region, async |core| core.datakey(key, DATA_KEY_BYTES).await);
        let Served { region, answer, .. } = self.session.block_on(made)?;
        warn_if_at_risk(answer.at_risk, &region);
        Ok((data_key(&answer.plaintext)?, answer.ciphertext))
    }

    fn open(&self, key: &ServicePath, sealed: &str) -> anyhow::Result<DataKey> {
        let opened = self.session.anywhere(self.region, async |core| core.decrypt(key, sealed, None).await);
        let Served { answer, .. } = self.session.block_on(opened)?;
        data_key(&answer.plaintext)
    }
}

fn data_key(bytes: &[u8]) -> anyhow::Result<DataKey> {
    ensure!(bytes.len() == DATA_KEY_BYTES, "the Core's data key is not {DATA_KEY_BYTES} bytes long");
    let mut key = Zeroizing::new([0; DATA_KEY_BYTES]);
    key.copy_from_slice(bytes);
    Ok(key)
}
