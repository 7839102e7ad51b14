//! The rest of the program as the command line needs it; `app` implements it.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::classify::RecipientVerdict;
use crate::config::LoadedConfig;
use crate::event::{Analysis, Event};
use crate::mail::{Address, Timestamp};
use crate::policy::Policy;
use crate::service::Operations;

/// What `verify` found.
#[derive(Debug)]
pub struct Proof {
    /// The list beside its journal, folded again.
    pub folded: crate::ledger::verify::Verified,
    /// Somebody uses the list: what a start would make of it was looked at.
    pub is_in_use: bool,
    /// Why a difference would prove nothing at this moment.
    pub unproved: Option<String>,
    /// Of a node among others: how its records compare with those of the shared journal.
    pub shared: Option<Compared>,
}

/// How the records of a node compare with those of the shared journal.
#[derive(Debug)]
pub enum Compared {
    /// So many are the same, each octet.
    Same(u64),
    /// One differs, in a sentence.
    Differs(String),
    /// Nobody can tell, and why.
    Unknown(String),
}

/// Judges the recipients of a journalled event again; None when there is nothing to judge in it.
pub type Judge = dyn Fn(&Event) -> Option<Vec<RecipientVerdict>>;

/// The rest of the program as the command line needs it.
pub trait Program {
    /// The main job; returns when it was asked to stop. Prints `loaded.notes` in its log.
    fn serve(&self, loaded: LoadedConfig) -> Result<()>;
    /// What `serve` checks before it binds and [`preflight`](crate::config::preflight) does not know: rules, policy, whether
    /// the key belongs to the certificate, the version of the store. An error is a sentence with
    /// its remedy, as `file:line: ...` when a file is to blame.
    fn check(&self, loaded: &LoadedConfig) -> Result<()>;
    /// Whether the keys are there under which addresses were erased or are stored, also while a service
    /// runs; the error is the sentence that a start gives.
    fn check_keys(&self, loaded: &LoadedConfig) -> Result<()>;
    /// Opens journal and store in this process; only called when no service runs.
    fn open(&self, loaded: &LoadedConfig) -> Result<Box<dyn Operations>>;
    /// The straight line up to the verdict. Arguments: message, envelope recipient.
    #[expect(clippy::type_complexity, reason = "a name would hide what goes in and out")]
    fn analyser(
        &self,
        loaded: &LoadedConfig,
    ) -> Result<Box<dyn Fn(&[u8], Option<&str>) -> Analysis>>;
    /// Mints a return path.
    fn sign(
        &self,
        loaded: &LoadedConfig,
        recipient: &Address,
        tag: Option<&str>,
        domain: Option<&str>,
        now: Timestamp,
    ) -> Result<String>;
    /// Checks a return path: what it holds, or in a sentence why it is not genuine.
    fn verify(
        &self,
        loaded: &LoadedConfig,
        return_path: &str,
        now: Timestamp,
    ) -> Result<Result<Value, String>>;
    /// Reads all rules and runs their proofs: what there is, or each problem as `file:line: ...`.
    fn check_rules(&self, dir: Option<&Path>) -> Result<Result<String, Vec<String>>>;
    /// The engine that holds the journal of many nodes; None when it is in `data_dir` alone.
    fn engine(&self, loaded: &LoadedConfig) -> Result<Option<crate::ledger::postgres::Options>>;
    /// Folds the journal of the data directory again and compares; a service may run on it.
    fn prove(&self, loaded: &LoadedConfig) -> Result<Proof>;
    /// Lets all nodes fold as the newest version of this release: the versions before and after, and since
    /// which record; None: they do already.
    fn upgrade(
        &self,
        options: &crate::ledger::postgres::Options,
    ) -> Result<Option<(i32, i32, u64)>>;
    /// Makes the journal of the data directory the shared one; gives its last record and the digest.
    fn adopt(
        &self,
        loaded: &LoadedConfig,
        options: &crate::ledger::postgres::Options,
    ) -> Result<(u64, String)>;
    /// Makes the copy of a shared journal a list of its own; gives its last record.
    fn leave(
        &self,
        loaded: &LoadedConfig,
        options: &crate::ledger::postgres::Options,
    ) -> Result<u64>;
    /// The policy of a file's `[policy]` table, or of the configuration.
    fn policy(&self, loaded: &LoadedConfig, file: Option<&Path>) -> Result<Policy>;
    /// A judge with the operator rules of `dir`, or those of the configuration.
    fn judge(&self, loaded: &LoadedConfig, dir: Option<&Path>) -> Result<Box<Judge>>;
}
