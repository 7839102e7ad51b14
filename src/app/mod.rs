//! The composition root: from a configuration to the running parts. Read `service` below to see
//! what is made of what; `serve` and the commands that find no running service both begin there.
//!
//! Nothing below knows this module: `serve` and `cli` are handed what they need.

mod moving;
mod shared_ledger;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::analysis::{self, Analyser};
use crate::classify::RuleSet;
use crate::classify::shadow::Shadow;
use crate::cli::{Judge, Program, Proof};
use crate::config::{Config, LoadedConfig, Origin, plainly, preflight};
use crate::event::{Analysis, MAX_SCOPE_OCTETS, is_scope};
use crate::ledger::Ledger;
use crate::ledger::backup;
use crate::ledger::committer::{Committer, CommitterOptions, Observation};
use crate::ledger::copy;
use crate::ledger::journal::RealDisk;
use crate::ledger::postgres::{self, Fingerprints};
use crate::ledger::store::{self, SledLedger};
use crate::mail::{Address, Case, Timestamp};
use crate::policy::{FOLD_VERSION, Policy, PolicyFold, PolicyTable};
use crate::serve::adapters::Counter;
use crate::serve::metrics::Metrics;
use crate::serve::run::{self, Reloaded, Server};
use crate::serve::tls::ReloadableTls;
use crate::serve::tokens::Tokens;
use crate::serve::webhooks::Webhooks;
use crate::service::local::{LocalService, Parts, PrivacyKeys, check_stored_keys, new_id};
use crate::service::raw_messages::RawStore;
use crate::service::{Operations, ServiceError};
use crate::verp::Verp;

/// How often it is looked whether a rebuild is done.
const REBUILD_LOOK: Duration = Duration::from_millis(50);

/// How often it is looked whether another node was asked to erase somebody.
const ERASURE_LOOK: Duration = Duration::from_secs(1);

/// The service of a configuration, without listeners.
fn service(
    config: &Config,
    options: store::Options,
    metrics: Arc<Metrics>,
    facts: Fingerprints,
) -> Result<LocalService> {
    let analyser = analyser(config)?;
    let ledger = ledger(config, options, facts)?;
    let counted = Arc::clone(&metrics);
    ledger.on_sync(Box::new(move |took| counted.fsync(took)));
    let counted = Arc::clone(&metrics);
    ledger.on_engine(Box::new(move |seen| counted.engine(seen)));
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let counted = Arc::clone(&metrics);
    let observe = move |seen: &Observation| match &seen.error {
        None => counted.commit(seen.took, seen.events, Timestamp::now()),
        Some(_) => counted.commit_failed(),
    };
    let committer = Committer::start(Arc::clone(&ledger), CommitterOptions::default(), observe)
        .context("the committer cannot be started")?;
    let disk = RealDisk::new(&config.data_dir).context("the data directory cannot be used")?;
    let raw = RawStore::open(Arc::new(disk), &config.journal, Timestamp::now())
        .context("the folder of raw messages cannot be used; see journal.raw")?;
    let parts = Parts {
        analyser,
        ledger,
        committer,
        observer: Arc::new(Counter { metrics }),
        raw,
        data_dir: config.data_dir.clone(),
        case: policy(config)?.local_part_case,
        unscoped: config.unscoped,
        privacy: privacy_keys(config),
    };
    LocalService::new(parts).map_err(|why| anyhow!("{why}"))
}

fn privacy_keys(config: &Config) -> PrivacyKeys {
    PrivacyKeys {
        name_key: config.privacy.name_key().map(<[u8]>::to_vec),
        hash_key: config.privacy.hash_key.clone(),
    }
}

/// Rules and keys of a configuration.
fn analyser(config: &Config) -> Result<Analyser> {
    let dir = config.rules_dir.as_deref().filter(|dir| dir.is_dir());
    let rules = RuleSet::load(dir).map_err(|error| anyhow!("{error}"))?;
    let shadow = config.shadow_rules_dir.as_deref().map(|trial| Shadow::load(trial, dir));
    let shadow = shadow.transpose().map_err(|error| anyhow!("rules.shadow_dir: {error}"))?;
    let verp = Verp::new(&config.verp, &config.smtp.domains).map_err(|error| anyhow!("{error}"))?;
    let (verp, rules) = (Arc::new(verp), Arc::new(rules));
    Ok(Analyser { verp, rules, shadow: shadow.map(Arc::new) })
}

/// The policy of a configuration; with a signing key only signed evidence may suppress.
fn policy(config: &Config) -> Result<Policy> {
    let table: PolicyTable = config
        .policy_table
        .clone()
        .try_into()
        // A line of its own says in which key.
        .map_err(|e: toml::de::Error| {
            let text = e.to_string().trim().replace('\n', " ");
            match text.rsplit_once(" in `") {
                Some((said, key)) => anyhow!("[policy]: {} in `{key}", plainly(said)),
                None => anyhow!("[policy]: {}", plainly(&text)),
            }
        })?;
    let mut policy = Policy::check(table).map_err(|error| anyhow!("[policy]: {error}"))?;
    policy.require_signed = !config.verp.keys.is_empty();
    policy.own_domains = Some(config.smtp.domains.clone());
    if policy.require_signed && policy.local_part_case == Case::Keep {
        return Err(anyhow!(
            "[policy]: local_part_case = \"keep\" does not go with signing keys: a signed return path \
             outlives relays that fold case and so carries none; write \"fold\""
        ));
    }
    Ok(policy)
}

/// The same; what is wrong is told with its place in the file.
fn policy_of(config: &Config, origin: &Origin) -> Result<Policy> {
    policy(config).map_err(|error| {
        let key = policy_key(&error.to_string());
        let written = layers_of(&key).into_iter().find(|key| origin.writes(key));
        error.context(origin.at(&written.unwrap_or(key)))
    })
}

/// Which key an error of the policy is about: it begins with the key (`policy.outage.factor: ...`),
/// or ends with it (`... in `reasons.mailbox-full``).
fn policy_key(text: &str) -> String {
    let text = text.strip_prefix("[policy]: ").unwrap_or(text);
    match text.split_once(": ") {
        Some((key, _)) if key.starts_with("policy.") => return key.to_string(),
        _ => {}
    }
    let table = text.rsplit_once(" in `").map(|(_, key)| key.trim_end_matches('`'));
    let field = text.strip_prefix("the key `").and_then(|rest| rest.split_once('`'));
    let steps = ["policy"].into_iter().chain(table).chain(field.map(|(field, _)| field));
    steps.collect::<Vec<_>>().join(".")
}

/// Where a number may be written, the place that wins first: for a reason of a scope, for the scope, for
/// the reason, for all.
fn layers_of(key: &str) -> Vec<String> {
    let Some((table, number)) = key.rsplit_once('.') else { return vec![key.to_string()] };
    let (place, reason) = table.split_once(".reasons.").unwrap_or((table, ""));
    let mut layers = Vec::new();
    for place in [place, "policy"] {
        if !reason.is_empty() {
            layers.push(format!("{place}.reasons.{reason}.{number}"));
        }
        layers.push(format!("{place}.{number}"));
    }
    layers
}

/// The tokens of a configuration; what is wrong is told with its place in the file.
fn tokens_of(config: &Config, origin: &Origin) -> Result<Option<Tokens>> {
    let tokens = Tokens::load(config.http.tokens_file.as_deref());
    tokens.map_err(|error| anyhow!("{}: {error:#}", origin.at("http.tokens_file")))
}

/// Whether webhooks can be told of what they name; what is wrong is told with its place in the file.
fn check_scopes(config: &Config, origin: &Origin) -> Result<()> {
    for (hook, webhook) in config.webhooks.iter().enumerate() {
        if let Some(place) = webhook.scopes.iter().position(|scope| !is_scope(scope)) {
            let at = origin.at(&format!("webhooks[{hook}].scopes[{place}]"));
            let scope = &webhook.scopes[place];
            return Err(anyhow!(
                "{at}: scopes: {scope:?} is no scope, write letters, digits, `-`, `_` and `.`, at most \
                 {MAX_SCOPE_OCTETS}, or \"*\""
            ));
        }
    }
    Ok(())
}

/// The certificate of a configuration; what is wrong is told with its place in the file.
fn tls_of(config: &Config, origin: &Origin) -> Result<Option<ReloadableTls>> {
    let Some(files) = &config.smtp.tls else { return Ok(None) };
    let loaded = ReloadableTls::load(&files.cert, &files.key);
    loaded.map(Some).map_err(|error| {
        let key = if error.is_of_key(&files.key) { "smtp.tls.key" } else { "smtp.tls.cert" };
        anyhow!("{}: {error}", origin.at(key))
    })
}

/// The ledger of a configuration.
fn ledger(config: &Config, options: store::Options, facts: Fingerprints) -> Result<SledLedger> {
    if backup::is_cut_off(&config.data_dir) {
        return Err(anyhow!(
            "a restore into {} was cut off; run `bounced restore` again",
            config.data_dir.display()
        ));
    }
    if let Some(engine) = &config.journal.postgres {
        return shared_ledger::ledger(config, engine, &options, facts);
    }
    if copy::is_copy(&config.data_dir) {
        return Err(anyhow!(
            "{0} is the copy of a journal that other nodes share, and would go its own way: write \
             engine = \"postgres\" below [journal]; to leave the others for good, do that and run \
             `bounced engine leave`",
            config.data_dir.display()
        ));
    }
    SledLedger::open(options, Box::new(PolicyFold::new())).map_err(|error| anyhow!("{error}"))
}

/// The service for one command: waits for a rebuild and puts the policy in force first.
fn service_for_command(config: &Config) -> Result<LocalService> {
    // The allocator asks for huge pages: faster for who serves, 40 MB more for an import.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let wanted = policy(config)?;
    let facts = shared_ledger::facts(config, &wanted);
    let options = shared_ledger::store_options(config).for_command();
    let service = service(config, options, Arc::new(Metrics::new("sled")), facts)?;
    while let Err(error) = policy_at_start(&service, config, &wanted) {
        let ServiceError::Busy(_) = error else { return Err(anyhow!("{error}")) };
        std::thread::sleep(REBUILD_LOOK);
    }
    service.finish_erasure().map_err(|error| anyhow!("{error}"))?;
    Ok(service)
}

/// `bounced serve`: builds the service, starts what runs beside it, serves until a signal.
fn serve(loaded: LoadedConfig) -> Result<()> {
    run::log(&loaded.config);
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let LoadedConfig { config, origin, .. } = loaded;
    preflight::check(&config, &origin)?;
    check_scopes(&config, &origin)?;
    let tls = tls_of(&config, &origin)?.map(Arc::new);
    let tokens = tokens_of(&config, &origin)?;
    let metrics = Arc::new(Metrics::new("sled"));
    let wanted = policy_of(&config, &origin)?;
    let facts = shared_ledger::facts(&config, &wanted);
    let options = shared_ledger::store_options(&config);
    let service = Arc::new(service(&config, options, Arc::clone(&metrics), Arc::clone(&facts))?);
    let refused = put_in_force(&service, &config, wanted)?;
    finish_erasure(&service)?;
    if config.journal.postgres.is_some() {
        follow_erasures(&service)?;
    }
    if !config.verp.keys.is_empty() {
        tracing::info!("signing keys are configured: only signed return paths may suppress");
    } else {
        tracing::warn!(
            "no signing key is configured: anyone can forge a bounce and suppress an address; see docs/verp.md"
        );
    }
    let (reloaded, file) = (Arc::clone(&service), origin.file().map(ToOwned::to_owned));
    let running = config.clone();
    let reload = Arc::new(move || reload(&reloaded, file.as_deref(), &running, &facts));
    run::serve(Server { config, service, metrics, tls, tokens, reload, refused })
}

/// An erasure that was begun before is carried out in the background: mail need not wait for it.
fn finish_erasure(service: &Arc<LocalService>) -> Result<()> {
    let service = Arc::clone(service);
    let keep_trying = move || {
        loop {
            match service.finish_erasure() {
                Err(ServiceError::Busy(_) | ServiceError::Full(_)) => {
                    std::thread::sleep(REBUILD_LOOK);
                }
                Err(error) => return tracing::error!("an erasure is not finished: {error}"),
                Ok(true) => return tracing::info!("an erasure that was begun before is finished"),
                Ok(false) => return,
            }
        }
    };
    std::thread::Builder::new().name("erasure".to_string()).spawn(keep_trying)?;
    Ok(())
}

/// What other nodes were asked to erase is taken out of this one, too.
fn follow_erasures(service: &Arc<LocalService>) -> Result<()> {
    let service = Arc::downgrade(service);
    let follow = move || {
        let mut said = String::new();
        while let Some(service) = service.upgrade() {
            match service.follow_erasures() {
                Ok(0) => {}
                Ok(n) => {
                    tracing::info!("{n} erasures that other nodes were asked for are done here")
                }
                // An engine that is away says so itself.
                Err(ServiceError::Busy(why)) => tracing::debug!("erasures of others wait: {why}"),
                Err(error) if error.to_string() != said => {
                    said = error.to_string();
                    tracing::error!("an erasure of another node is not done here: {said}");
                }
                Err(_) => {}
            }
            drop(service);
            std::thread::sleep(ERASURE_LOOK);
        }
    };
    std::thread::Builder::new().name("erasures".to_string()).spawn(follow)?;
    Ok(())
}

/// Fold and policy at a start. Of several nodes none changes that of all by starting: `engine upgrade` and
/// SIGHUP do.
fn policy_at_start(
    service: &LocalService,
    config: &Config,
    wanted: &Policy,
) -> Result<(), ServiceError> {
    if config.journal.postgres.is_none() || service.last_seq() == 0 {
        service.fold_as(FOLD_VERSION)?;
    }
    match config.journal.postgres {
        None => service.put_policy_in_force(wanted),
        Some(_) => service.join_policy(wanted),
    }
}

/// Puts the policy in force now, or, while the view is rebuilt (mail is answered 451 and lookups
/// TEMP until then), as soon as that is done. What is refused only then comes through the channel.
fn put_in_force(
    service: &Arc<LocalService>,
    config: &Config,
    wanted: Policy,
) -> Result<mpsc::Receiver<String>> {
    let (refuse, refused) = mpsc::channel(1);
    match policy_at_start(service, config, &wanted) {
        Ok(()) => Ok(refused),
        Err(ServiceError::Busy(why) | ServiceError::Full(why)) => {
            tracing::warn!("{why}; mail is deferred until then");
            let (service, config) = (Arc::clone(service), config.clone());
            let keep_trying = move || {
                loop {
                    std::thread::sleep(REBUILD_LOOK);
                    match policy_at_start(&service, &config, &wanted) {
                        Err(ServiceError::Busy(_) | ServiceError::Full(_)) => {}
                        Err(ServiceError::BadRequest(why)) => {
                            let _ = refuse.try_send(why);
                            return;
                        }
                        Err(error) => {
                            return tracing::error!("the policy is not in force: {error}");
                        }
                        Ok(()) => return tracing::info!("the policy is in force"),
                    }
                }
            };
            std::thread::Builder::new().name("policy".to_string()).spawn(keep_trying)?;
            Ok(refused)
        }
        Err(error) => Err(anyhow!("{error}")),
    }
}

/// Rules, keys, policy, tokens and webhooks anew; listeners and limits want a restart.
fn reload(
    service: &LocalService,
    file: Option<&Path>,
    running: &Config,
    facts: &Fingerprints,
) -> Result<Reloaded> {
    let loaded = Config::load(file)?;
    preflight::check(&loaded.config, &loaded.origin)?;
    let analyser = analyser(&loaded.config)?;
    let policy = policy_of(&loaded.config, &loaded.origin)?;
    let tokens = tokens_of(&loaded.config, &loaded.origin)?;
    check_scopes(&loaded.config, &loaded.origin)?;
    let webhooks = loaded.config.webhooks.clone();
    Webhooks::new(&webhooks, &loaded.config.hostname).map_err(|why| anyhow!("{why}"))?;
    if !service.keeps_pseudonyms(loaded.config.privacy.name_key()) {
        return Err(anyhow!("privacy.addresses and its key are chosen once for a data directory"));
    }
    let waiting = running.only_at_start(&loaded.config);
    // What may be refused comes before what is then in force.
    service.replace_hash_key(loaded.config.privacy.hash_key.clone())?;
    service.put_policy_in_force(&policy).map_err(|error| anyhow!("{error}"))?;
    shared_ledger::tell(facts, &loaded.config, &policy);
    service.replace_analyser(analyser);
    if !waiting.is_empty() {
        tracing::warn!("changed, and in force after a restart only: {}", waiting.join(", "));
    }
    Ok(Reloaded { tokens, webhooks })
}

/// The whole program, as the command line sees it.
pub struct App;

impl Program for App {
    fn serve(&self, loaded: LoadedConfig) -> Result<()> {
        serve(loaded)
    }

    fn check(&self, loaded: &LoadedConfig) -> Result<()> {
        let config = &loaded.config;
        analyser(config)?;
        policy_of(config, &loaded.origin)?;
        tokens_of(config, &loaded.origin)?;
        check_scopes(config, &loaded.origin)?;
        Webhooks::new(&config.webhooks, &config.hostname).map_err(|why| anyhow!("{why}"))?;
        tls_of(config, &loaded.origin)?;
        self.engine(loaded)?;
        Ok(())
    }

    fn check_keys(&self, loaded: &LoadedConfig) -> Result<()> {
        let LoadedConfig { config, .. } = loaded;
        check_stored_keys(&config.data_dir, &privacy_keys(config)).map_err(|why| anyhow!("{why}"))
    }

    fn open(&self, loaded: &LoadedConfig) -> Result<Box<dyn Operations>> {
        Ok(Box::new(service_for_command(&loaded.config)?))
    }

    fn analyser(
        &self,
        loaded: &LoadedConfig,
    ) -> Result<Box<dyn Fn(&[u8], Option<&str>) -> Analysis>> {
        let analyser = analyser(&loaded.config)?;
        Ok(Box::new(move |data, to| {
            let to: Vec<String> = to.map(str::to_string).into_iter().collect();
            analyser.analyse(data, &to, Timestamp::now()).analysis
        }))
    }

    fn sign(
        &self,
        loaded: &LoadedConfig,
        recipient: &Address,
        tag: Option<&str>,
        domain: Option<&str>,
        now: Timestamp,
    ) -> Result<String> {
        Ok(verp(loaded)?.mint(recipient, tag, domain, now)?)
    }

    fn verify(
        &self,
        loaded: &LoadedConfig,
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

    fn engine(&self, loaded: &LoadedConfig) -> Result<Option<postgres::Options>> {
        let options = loaded.config.journal.postgres.as_ref().map(shared_ledger::options);
        options.transpose().with_context(|| loaded.origin.at("journal.postgres.url_file"))
    }

    fn prove(&self, loaded: &LoadedConfig) -> Result<Proof> {
        moving::prove(&loaded.config)
    }

    fn upgrade(&self, options: &postgres::Options) -> Result<Option<(i32, i32, u64)>> {
        postgres::upgrade(options, &new_id()).map_err(|error| anyhow!("{error}"))
    }

    fn adopt(&self, loaded: &LoadedConfig, options: &postgres::Options) -> Result<(u64, String)> {
        moving::adopt(&loaded.config, options)
    }

    fn leave(&self, loaded: &LoadedConfig, options: &postgres::Options) -> Result<u64> {
        moving::leave(&loaded.config, options)
    }

    fn policy(&self, loaded: &LoadedConfig, file: Option<&Path>) -> Result<Policy> {
        let Some(file) = file else { return policy(&loaded.config) };
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| {
            format!("{shown} cannot be read; name a TOML file with a [policy] table")
        })?;
        let mut table: toml::Table = text.parse().map_err(|error| anyhow!("{shown}: {error}"))?;
        let Some(toml::Value::Table(policy_table)) = table.remove("policy") else {
            return Err(anyhow!(
                "{shown} has no [policy] table; write one as in config/bounced.toml"
            ));
        };
        let config = Config { policy_table, ..loaded.config.clone() };
        policy(&config).with_context(|| shown.to_string())
    }

    fn judge(&self, loaded: &LoadedConfig, dir: Option<&Path>) -> Result<Box<Judge>> {
        let configured = loaded.config.rules_dir.as_deref().filter(|dir| dir.is_dir());
        let dir = dir.or(configured);
        let rules = RuleSet::load(dir).map_err(|error| anyhow!("{error}"))?;
        Ok(Box::new(move |event| analysis::judge_again(event, &rules)))
    }
}

fn verp(loaded: &LoadedConfig) -> Result<Verp> {
    Ok(Verp::new(&loaded.config.verp, &loaded.config.smtp.domains)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_number_is_looked_for_in_each_layer_that_may_hold_it() {
        let of_all = ["policy.reasons.mailbox-full.strikes", "policy.strikes"];
        let of_scope =
            ["policy.scopes.news.reasons.mailbox-full.strikes", "policy.scopes.news.strikes"];
        let layers = layers_of("policy.scopes.news.reasons.mailbox-full.strikes");
        assert_eq!(layers, [of_scope, of_all].concat());
        assert_eq!(layers_of("policy.reasons.mailbox-full.strikes")[..2], of_all);
        assert_eq!(layers_of("policy.outage.factor")[0], "policy.outage.factor");
        assert_eq!(layers_of("policy"), ["policy"]);
    }

    #[test]
    fn an_error_of_the_policy_names_its_key() {
        for (text, key) in [
            (
                "[policy]: the key `efect` is unknown, did you mean `effect`? in `reasons.mailbox-full`",
                "policy.reasons.mailbox-full.efect",
            ),
            ("[policy]: the key `tern` is unknown, did you mean `term`?", "policy.tern"),
            ("[policy]: `banana` is no length of time in `term`", "policy.term"),
            ("[policy]: policy.outage.factor: must be 2 or more", "policy.outage.factor"),
            (
                "[policy]: policy.scopes.news.reasons.mailbox-full.strikes: at most 9",
                "policy.scopes.news.reasons.mailbox-full.strikes",
            ),
            ("[policy]: local_part_case = \"keep\" does not go with it", "policy"),
        ] {
            assert_eq!(policy_key(text), key, "{text}");
        }
    }
}
