//! Keys must not change unnoticed: the ledger knows by fingerprints which keys it was written with,
//! and a start, or a reload, without one of them is refused with a sentence that says what to
//! restore. Otherwise blocks of erased addresses, or all hashed addresses, would be found no more,
//! without a word.
//!
//! | fact | journalled |
//! |---|---|
//! | `hash-key/<fingerprint>` | before the first address is erased under that key |
//! | `naming` | at the first start with hashed addresses |
//! | `fold` | at the first start of a release that folds differently; for many nodes by `engine upgrade` |
//!
//! A key that is lost for good is given up by writing its fingerprint into `data_dir/lost-keys`.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::blocks::Blocks;
use super::make_event::act_event;
use super::pseudonyms::Pseudonyms;
use super::{LocalService, PrivacyKeys};
use crate::event::{Act, Event, FIRST_FOLD, FOLD_FACT};
use crate::ledger::journal::{Disk, RealDisk};
use crate::ledger::store::look_up;
use crate::mail::Case;
use crate::policy::{HashKeys, block_key, fact_key};
use crate::service::ServiceError;

/// Keys that a person may have used, at most.
const MAX_KEYS: usize = 1_000;
/// What the name of the fact of a key begins with.
const HASH_KEY: &str = "hash-key/";

/// Whether every key is there that the data were written with, as a start would find it, without opening
/// the list, which a service may use. The error is the sentence of that start.
pub fn check_stored_keys(data_dir: &Path, keys: &PrivacyKeys) -> Result<(), String> {
    if !data_dir.is_dir() {
        return Ok(());
    }
    let unreadable = |error: io::Error| format!("{} cannot be read: {error}", data_dir.display());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(data_dir).map_err(unreadable)?);
    let case = Case::default();
    if Pseudonyms::are_chosen(data_dir) {
        Pseudonyms::open(disk.as_ref(), data_dir, keys.name_key.as_deref(), case, false)?;
    }
    let blocks = Blocks::open(disk, keys.hash_key.clone(), case).map_err(unreadable)?;
    let (prefix, block) = (fact_key(HASH_KEY), block_key(""));
    let (mut wanted, mut named, mut any) = (BTreeSet::new(), BTreeSet::new(), false);
    let mut key = |key: &[u8]| match key.strip_prefix(prefix.as_slice()) {
        Some(found) => drop(wanted.insert(String::from_utf8_lossy(found).into_owned())),
        None => any = true,
    };
    let mut record = |json: &[u8]| {
        let Some(text) = std::str::from_utf8(json).ok().filter(|text| text.contains(HASH_KEY))
        else {
            return;
        };
        let act = serde_json::from_str::<Event>(text).ok().and_then(|event| event.act);
        if let Some(Act::Fact { name, .. }) = act {
            named.extend(name.strip_prefix(HASH_KEY).map(str::to_string));
        }
    };
    let prefixes = [prefix.as_slice(), block.as_slice()];
    look_up(data_dir, &prefixes, &mut key, &mut record).map_err(unreadable)?;
    wanted.append(&mut named);
    all_there(data_dir, &blocks.keys(), wanted, || Ok(any)).map_err(|why| why.to_string())
}

/// Whether the keys that are known are all that are wanted, or were given up; `any`: whether there is the
/// block of an erased address.
fn all_there(
    data_dir: &Path,
    known: &HashKeys,
    wanted: impl IntoIterator<Item = String>,
    any: impl FnOnce() -> Result<bool, ServiceError>,
) -> Result<(), ServiceError> {
    let known = known.fingerprints();
    let lost = std::fs::read_to_string(data_dir.join("lost-keys")).unwrap_or_default();
    for wanted in wanted {
        if known.contains(&wanted) {
            continue;
        }
        if lost.split_whitespace().any(|key| key == wanted) {
            tracing::error!(fingerprint = %wanted, "blocks of erased addresses cannot be found: \
                their key was given up");
            continue;
        }
        return Err(key_is_missing(data_dir, &wanted));
    }
    // Blocks of releases that journalled no fingerprint.
    let unnamed = "none";
    if known.is_empty() && !lost.split_whitespace().any(|key| key == unnamed) && any()? {
        return Err(key_is_missing(data_dir, unnamed));
    }
    Ok(())
}

fn key_is_missing(data_dir: &Path, fingerprint: &str) -> ServiceError {
    let dir = data_dir.display();
    ServiceError::BadRequest(format!(
        "addresses were erased under a key that is missing or was changed (fingerprint \
         {fingerprint}), so their blocks cannot be found: restore {dir}/privacy.key, or the file \
         of privacy.hash_key_file, from a backup; if the key is lost for good, write \
         {fingerprint} into {dir}/lost-keys"
    ))
}

impl LocalService {
    /// Whether every key is there that the data was written with.
    pub(super) fn check_keys(&self, keys: &HashKeys) -> Result<(), ServiceError> {
        let prefix = fact_key(HASH_KEY);
        let facts = self.ledger.list(&prefix, None, MAX_KEYS)?.rows.into_iter();
        let wanted = facts.map(|(key, _)| {
            String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned()
        });
        let any = || Ok(!self.ledger.list(&block_key(""), None, 1)?.rows.is_empty());
        all_there(&self.data_dir, keys, wanted, any)?;
        self.check_pseudonyms()
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

    /// Folds as a version of the fold from now on, unless the journal says so already, or a newer one.
    pub fn fold_as(&self, version: i32) -> Result<(), ServiceError> {
        let known = self.ledger.look_up(&[fact_key(FOLD_FACT)])?.into_iter().next().flatten();
        let known = known.and_then(|value| String::from_utf8_lossy(&value).parse().ok());
        if known.unwrap_or(FIRST_FOLD) >= version {
            return Ok(());
        }
        let fact = Act::Fact { name: FOLD_FACT.to_string(), value: version.to_string() };
        self.commit(act_event(fact)).map(drop)
    }

    /// Journals by which key an address is about to be erased, when nothing was before.
    pub(super) fn remember_hash_key(&self) -> Result<(), ServiceError> {
        let Some(key) = self.blocks.keys().fingerprints().into_iter().next() else {
            return Ok(());
        };
        let name = format!("{HASH_KEY}{key}");
        if self.ledger.look_up(&[fact_key(&name)])?.into_iter().next().flatten().is_none() {
            self.commit(act_event(Act::Fact { name, value: "erased addresses".to_string() }))?;
        }
        Ok(())
    }
}
