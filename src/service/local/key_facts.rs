//! Keys must not change unnoticed: the ledger knows by fingerprints which keys it was written with,
//! and a start, or a reload, without one of them is refused with a sentence that says what to
//! restore. Otherwise blocks of erased addresses, or all hashed addresses, would be found no more,
//! without a word.
//!
//! | fact | journalled |
//! |---|---|
//! | `hash-key/<fingerprint>` | before the first address is erased under that key |
//! | `naming` | at the first start with hashed addresses |
//!
//! A key that is lost for good is given up by writing its fingerprint into `data_dir/lost-keys`.

use super::LocalService;
use super::make_event::act_event;
use crate::event::Act;
use crate::policy::{HashKeys, block_key, fact_key};
use crate::service::ServiceError;

/// Keys that a person may have used, at most.
const MAX_KEYS: usize = 1_000;

impl LocalService {
    /// Whether every key is there that the data was written with.
    pub(super) fn check_keys(&self, keys: &HashKeys) -> Result<(), ServiceError> {
        let prefix = fact_key("hash-key/");
        let known = keys.fingerprints();
        let lost = std::fs::read_to_string(self.data_dir.join("lost-keys")).unwrap_or_default();
        for (key, _) in self.ledger.list(&prefix, None, MAX_KEYS)?.rows {
            let wanted = String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default());
            if known.iter().any(|key| *key == wanted) {
                continue;
            }
            if lost.split_whitespace().any(|key| key == wanted) {
                tracing::error!(fingerprint = %wanted, "blocks of erased addresses cannot be found: \
                    their key was given up");
                continue;
            }
            return Err(self.key_is_missing(&wanted));
        }
        // Blocks of releases that journalled no fingerprint.
        if known.is_empty() && !self.ledger.list(&block_key(""), None, 1)?.rows.is_empty() {
            let unnamed = "none";
            if !lost.split_whitespace().any(|key| key == unnamed) {
                return Err(self.key_is_missing(unnamed));
            }
        }
        self.check_pseudonyms()
    }

    fn key_is_missing(&self, fingerprint: &str) -> ServiceError {
        let dir = self.data_dir.display();
        ServiceError::BadRequest(format!(
            "addresses were erased under a key that is missing or was changed (fingerprint \
             {fingerprint}), so their blocks cannot be found: restore {dir}/privacy.key, or the file \
             of privacy.hash_key_file, from a backup; if the key is lost for good, write \
             {fingerprint} into {dir}/lost-keys"
        ))
    }

    fn check_pseudonyms(&self) -> Result<(), ServiceError> {
        let mine = self.pseudonyms.fingerprint();
        let known = self.ledger.look_up(&[fact_key("naming")])?.into_iter().next().flatten();
        let known = known.map(|value| String::from_utf8_lossy(&value).into_owned());
        match (known, mine) {
            (known, mine) if known == mine => Ok(()),
            (None, Some(value)) => {
                let fact = Act::Fact { name: "naming".to_string(), value };
                self.commit(act_event(fact)).map(drop)
            }
            _ => Err(ServiceError::BadRequest(format!(
                "the addresses in {} are hashed under another key than the one configured: restore \
                 the file of privacy.hash_key_file and privacy.addresses = \"hashed\", or start with \
                 an empty data_dir",
                self.data_dir.display()
            ))),
        }
    }

    /// Journals by which key an address is about to be erased, when nothing was before.
    pub(super) fn remember_hash_key(&self) -> Result<(), ServiceError> {
        let Some(key) = self.blocks.keys().fingerprints().into_iter().next() else {
            return Ok(());
        };
        let name = format!("hash-key/{key}");
        if self.ledger.look_up(&[fact_key(&name)])?.into_iter().next().flatten().is_none() {
            self.commit(act_event(Act::Fact { name, value: "erased addresses".to_string() }))?;
        }
        Ok(())
    }
}
