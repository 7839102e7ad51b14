//! `bounced`: reads the command line, hands the library its parts, sets the exit code.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use bounced::classify::RuleSet;
use bounced::cli::{self, Judge, Program};
use bounced::config::{Config, Loaded};
use bounced::event::Analysis;
use bounced::mail::{Address, Timestamp};
use bounced::policy::Policy;
use bounced::serve::run;
use bounced::serve::tls::ReloadableTls;
use bounced::service::Service;
use bounced::verp::Verp;
use serde_json::{Value, json};

/// glibc's allocator keeps twice what messages of many sizes on many threads really hold.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cli::run(std::env::args_os(), &House))
}

/// The whole program, as the command line sees it.
struct House;

impl Program for House {
    fn serve(&self, loaded: Loaded) -> Result<()> {
        run::serve(loaded)
    }

    fn check(&self, loaded: &Loaded) -> Result<()> {
        let config = &loaded.config;
        run::pipeline(config)?;
        run::policy(config).with_context(|| loaded.origin.at("policy"))?;
        run::tokens(config)?;
        if let Some(tls) = &config.smtp.tls {
            ReloadableTls::load(&tls.cert, &tls.key)?;
        }
        Ok(())
    }

    fn open(&self, loaded: &Loaded) -> Result<Box<dyn Service>> {
        Ok(Box::new(run::house_for_command(&loaded.config)?))
    }

    fn analyser(&self, loaded: &Loaded) -> Result<Box<dyn Fn(&[u8], Option<&str>) -> Analysis>> {
        let pipeline = run::pipeline(&loaded.config)?;
        Ok(Box::new(move |data, to| {
            let to: Vec<String> = to.map(str::to_string).into_iter().collect();
            pipeline.analyse(data, &to, Timestamp::now()).analysis
        }))
    }

    fn sign(
        &self,
        loaded: &Loaded,
        recipient: &Address,
        tag: Option<&str>,
        domain: Option<&str>,
        now: Timestamp,
    ) -> Result<String> {
        Ok(verp(loaded)?.mint(recipient, tag, domain, now)?)
    }

    fn verify(
        &self,
        loaded: &Loaded,
        return_path: &str,
        now: Timestamp,
    ) -> Result<Result<Value, String>> {
        Ok(verp(loaded)?.verify(return_path, now).map_err(|why| why.to_string()).map(|token| {
            json!({
                "recipient": token.recipient.as_ref().map(Address::as_str),
                "scope": token.scope(),
                "campaign": token.campaign(),
                "day": token.day,
                "key": token.key_id,
                "id": token.id,
            })
        }))
    }

    fn check_rules(&self, dir: Option<&Path>) -> Result<Result<String, Vec<String>>> {
        let rules = match RuleSet::load(dir) {
            Ok(rules) => rules,
            Err(error) => return Ok(Err(vec![error.to_string()])),
        };
        let findings: Vec<String> = rules.check().iter().map(ToString::to_string).collect();
        if findings.is_empty() {
            return Ok(Ok(format!("{} rules, each wins its samples", rules.rules().len())));
        }
        Ok(Err(findings))
    }

    fn policy(&self, loaded: &Loaded, file: Option<&Path>) -> Result<Policy> {
        let Some(file) = file else { return run::policy(&loaded.config) };
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| {
            format!("{shown} cannot be read; name a TOML file with a [policy] table")
        })?;
        let mut table: toml::Table = text.parse().map_err(|error| anyhow!("{shown}: {error}"))?;
        let Some(toml::Value::Table(policy)) = table.remove("policy") else {
            return Err(anyhow!(
                "{shown} has no [policy] table; write one as in config/bounced.toml"
            ));
        };
        let config = Config { policy_table: policy, ..loaded.config.clone() };
        run::policy(&config).with_context(|| shown.to_string())
    }

    fn judge(&self, loaded: &Loaded, dir: Option<&Path>) -> Result<Box<Judge>> {
        let configured = loaded.config.rules_dir.as_deref().filter(|dir| dir.is_dir());
        let dir = dir.or(configured);
        let rules = RuleSet::load(dir).map_err(|error| anyhow!("{error}"))?;
        Ok(Box::new(move |event| bounced::analysis::judge_again(event, &rules)))
    }
}

fn verp(loaded: &Loaded) -> Result<Verp> {
    Ok(Verp::new(&loaded.config.verp, &loaded.config.smtp.domains)?)
}
