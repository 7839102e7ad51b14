//! `bounced`: reads the command line, hands the library its parts, sets the exit code.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use bounced::cli::{self, Judge, Program};
use bounced::config::Loaded;
use bounced::event::Analysis;
use bounced::mail::{Address, Timestamp};
use bounced::report::{Kind, Original};
use bounced::service::Service;
use serde_json::Value;

fn main() -> ExitCode {
    ExitCode::from(cli::run(std::env::args_os(), &Branch))
}

/// The parts that exist on this branch; the lead replaces it when the others are merged.
struct Branch;

impl Program for Branch {
    fn serve(&self, _: Loaded) -> Result<()> {
        bail!("serve is not part of this build")
    }

    fn check(&self, _: &Loaded) -> Result<()> {
        Ok(())
    }

    fn open(&self, _: &Loaded) -> Result<Box<dyn Service>> {
        bail!("no service is running, and opening the ledger is not part of this build")
    }

    fn analyser(&self, _: &Loaded) -> Result<Box<dyn Fn(&[u8], Option<&str>) -> Analysis>> {
        Ok(Box::new(|data, _| Analysis {
            kind: Kind::Other,
            format: "unrecognised".to_string(),
            bytes: data.len() as u64,
            verp: None,
            reporting_mta: None,
            arrival_date: None,
            recipients: Vec::new(),
            original: Original::default(),
            feedback_type: None,
            away_until: None,
            new_address: None,
            evidence: Vec::new(),
            defects: Vec::new(),
        }))
    }

    fn sign(
        &self,
        _: &Loaded,
        _: &Address,
        _: Option<&str>,
        _: Option<&str>,
        _: Timestamp,
    ) -> Result<String> {
        bail!("verp is not part of this build")
    }

    fn verify(&self, _: &Loaded, _: &str, _: Timestamp) -> Result<Result<Value, String>> {
        bail!("verp is not part of this build")
    }

    fn check_rules(&self, _: Option<&Path>) -> Result<Result<String, Vec<String>>> {
        bail!("rules are not part of this build")
    }

    fn judge(&self, _: &Loaded, _: Option<&Path>) -> Result<Box<Judge>> {
        bail!("rules are not part of this build")
    }
}
