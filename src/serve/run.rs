//! Starts everything, waits for a signal, stops everything: `bounced serve`.
//!
//! Order: ledger, policy, pipeline, listeners. SIGTERM and SIGINT end it: running transactions are
//! answered, what waits is committed, a checkpoint is written. SIGHUP reloads rules, keys, policy
//! and certificates; a bad new set is refused and the old one stays.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::adapters::{Counter, Door, SignedPaths};
use super::admission::{Admission, affordable};
use super::http::{self, Http};
use super::listener::{Acceptor, Bound};
use super::lookup;
use super::metrics::Metrics;
use super::socket::Listener;
use super::tls::ReloadableTls;
use super::tokens::Tokens;
use crate::analysis::Pipeline;
use crate::classify::RuleSet;
use crate::classify::shadow::Shadow;
use crate::config::preflight;
use crate::config::{Config, Listen, Loaded};
use crate::ledger::Ledger;
use crate::ledger::committer::{self, Committer};
use crate::ledger::store::{self, SledLedger};
use crate::mail::{Case, Timestamp};
use crate::policy::{Policy, PolicyFold, PolicyTable};
use crate::service::local::House;
use crate::service::raw::RawStore;
use crate::service::{Service, ServiceError};
use crate::smtp::{self, Budget, Dialect, Limits, OurDomains};
use crate::verp::Verp;

/// How long running transactions may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How often it is looked whether a rebuild is done.
const REBUILD_LOOK: Duration = Duration::from_millis(50);
/// How often gauges are refreshed.
const GAUGES: Duration = Duration::from_secs(5);

/// Runs the service until a signal.
pub fn serve(loaded: Loaded) -> Result<()> {
    log(&loaded.config);
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot be started")?;
    let stopped = run(&runtime, loaded);
    // Blocking tasks that wait for a disk do not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(5));
    stopped
}

/// Rules and keys of a configuration.
pub fn pipeline(config: &Config) -> Result<Pipeline> {
    let dir = config.rules_dir.as_deref().filter(|dir| dir.is_dir());
    let rules = RuleSet::load(dir).map_err(|error| anyhow!("{error}"))?;
    let shadow = config.shadow_rules_dir.as_deref().map(|trial| Shadow::load(trial, dir));
    let shadow = shadow.transpose().map_err(|error| anyhow!("rules.shadow_dir: {error}"))?;
    let verp = Verp::new(&config.verp, &config.smtp.domains).map_err(|error| anyhow!("{error}"))?;
    let (verp, rules) = (Arc::new(verp), Arc::new(rules));
    Ok(Pipeline { verp, rules, shadow: shadow.map(Arc::new) })
}

/// The policy of a configuration; with a signing key only signed evidence may suppress.
pub fn policy(config: &Config) -> Result<Policy> {
    let table: PolicyTable = config
        .policy_table
        .clone()
        .try_into()
        // On a line of its own stands in which key.
        .map_err(|e: toml::de::Error| {
            anyhow!("[policy]: {}", e.to_string().trim().replace('\n', " "))
        })?;
    let mut policy = Policy::check(table).map_err(|error| anyhow!("[policy]: {error}"))?;
    policy.require_signed = !config.verp.keys.is_empty();
    if policy.require_signed && policy.local_part_case == Case::Keep {
        return Err(anyhow!(
            "[policy]: local_part_case = \"keep\" does not go with signing keys: a signed return path \
             outlives relays that fold case and so carries none; write \"fold\""
        ));
    }
    Ok(policy)
}

/// The tokens of a configuration; None when none are asked for.
pub fn tokens(config: &Config) -> Result<Option<Tokens>> {
    let Some(file) = &config.http.tokens_file else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("tokens_file {} cannot be read", file.display()))?;
    Tokens::parse(&text).map(Some).map_err(|why| anyhow!("{}: {why}", file.display()))
}

/// The ledger of a configuration.
pub fn ledger(config: &Config) -> Result<SledLedger> {
    let options = store::Options {
        cache_bytes: config.store.cache,
        min_free_bytes: config.store.min_free,
        keep: config.journal.keep,
        ..store::Options::new(&config.data_dir)
    };
    SledLedger::open(options, Box::new(PolicyFold::new())).map_err(|error| anyhow!("{error}"))
}

/// The house of a configuration, without doors.
pub fn house(config: &Config, metrics: Arc<Metrics>) -> Result<House> {
    let pipeline = pipeline(config)?;
    let ledger: Arc<dyn Ledger> = Arc::new(ledger(config)?);
    let counted = Arc::clone(&metrics);
    let observe = move |seen: &committer::Observation| match &seen.error {
        None => counted.commit(seen.took, seen.events, Timestamp::now()),
        Some(_) => counted.commit_failed(),
    };
    let committer = Committer::start(Arc::clone(&ledger), committer::Options::default(), observe)
        .context("the committer cannot be started")?;
    let raw = RawStore::open(&config.data_dir, &config.journal, Timestamp::now())
        .context("the folder of raw messages cannot be used; see journal.raw")?;
    let counter = Arc::new(Counter { metrics });
    House::new(pipeline, ledger, committer, counter, &config.data_dir)
        .with_raw(raw)
        .with_case(policy(config)?.local_part_case)
        .with_naming(&config.data_dir, config.privacy.name_key())
        .map_err(|why| anyhow!("{why}"))?
        .with_privacy(&config.data_dir, config.privacy.hash_key.clone())
        .context("privacy.key in the data directory cannot be read")
}

/// The house for one command: waits for a rebuild and puts the policy in force first.
pub fn house_for_command(config: &Config) -> Result<House> {
    let house = house(config, Arc::new(Metrics::new("sled")))?;
    let wanted = policy(config)?;
    while let Err(error) = house.put_policy_in_force(&wanted) {
        let ServiceError::Busy(_) = error else { return Err(anyhow!("{error}")) };
        std::thread::sleep(REBUILD_LOOK);
    }
    house.finish_erasure().map_err(|error| anyhow!("{error}"))?;
    Ok(house)
}

/// An erasure that was begun before is carried out in the background: mail need not wait for it.
fn finish_erasure(house: &Arc<House>) -> Result<()> {
    let house = Arc::clone(house);
    let keep_trying = move || {
        loop {
            match house.finish_erasure() {
                Err(ServiceError::Busy(_)) => std::thread::sleep(REBUILD_LOOK),
                Err(error) => return tracing::error!("an erasure is not finished: {error}"),
                Ok(true) => return tracing::info!("an erasure that was begun before is finished"),
                Ok(false) => return,
            }
        }
    };
    std::thread::Builder::new().name("erasure".to_string()).spawn(keep_trying)?;
    Ok(())
}

/// Puts the policy in force now, or, while the view is rebuilt (mail is answered 451 and lookups
/// TEMP until then), as soon as that is done. What is refused only then comes through the channel.
fn put_in_force(house: &Arc<House>, wanted: Policy) -> Result<mpsc::Receiver<String>> {
    let (refuse, refused) = mpsc::channel(1);
    match house.put_policy_in_force(&wanted) {
        Ok(()) => Ok(refused),
        Err(ServiceError::Busy(why)) => {
            tracing::warn!("{why}; mail is deferred until the view is rebuilt");
            let house = Arc::clone(house);
            let keep_trying = move || {
                loop {
                    std::thread::sleep(REBUILD_LOOK);
                    match house.put_policy_in_force(&wanted) {
                        Err(ServiceError::Busy(_)) => {}
                        Err(ServiceError::BadRequest(why)) => {
                            let _ = refuse.try_send(why);
                            return;
                        }
                        Err(error) => {
                            return tracing::error!("the policy is not in force: {error}");
                        }
                        Ok(()) => return tracing::info!("the view is rebuilt"),
                    }
                }
            };
            std::thread::Builder::new().name("policy".to_string()).spawn(keep_trying)?;
            Ok(refused)
        }
        Err(error) => Err(anyhow!("{error}")),
    }
}

fn run(runtime: &Runtime, loaded: Loaded) -> Result<()> {
    let config = Arc::new(loaded.config);
    preflight::check(&config, &loaded.origin)?;
    let tls = match &config.smtp.tls {
        None => None,
        Some(files) => Some(Arc::new(ReloadableTls::load(&files.cert, &files.key)?)),
    };
    let tokens = tokens(&config)?;
    let metrics = Arc::new(Metrics::new("sled"));
    let wanted = policy(&config).with_context(|| loaded.origin.at("policy"))?;
    let house = Arc::new(house(&config, Arc::clone(&metrics))?);
    let mut refused = put_in_force(&house, wanted)?;
    finish_erasure(&house)?;
    if !config.verp.keys.is_empty() {
        tracing::info!("signing keys are configured: only signed return paths may suppress");
    } else {
        tracing::warn!(
            "no signing key is configured: anyone can forge a bounce and suppress an address; see docs/verp.md"
        );
    }
    let (stop, stopping) = watch::channel(false);
    let service: Arc<dyn Service> = house.clone();
    let api = Arc::new(Http::new(
        Arc::clone(&service),
        Arc::clone(&metrics),
        tokens,
        &config.hostname,
        config.smtp.max_message,
    ));
    let ended = runtime.block_on(async {
        let doors = open(&config, &house, &metrics, tls.clone(), &api, &service, &stopping).await?;
        tracing::info!(hostname = config.hostname, data_dir = %config.data_dir.display(), "ready");
        let gauges =
            tokio::spawn(refresh(Arc::clone(&house), Arc::clone(&metrics), Arc::clone(&api)));
        let ended =
            wait(&loaded.origin, &house, &metrics, tls.as_deref(), &api, &mut refused).await;
        tracing::info!("stopping: running transactions are answered first");
        stop.send_replace(true);
        for door in doors {
            let _ = door.await;
        }
        gauges.abort();
        Ok::<_, anyhow::Error>(ended)
    })?;
    house.shut_down().map_err(|error| anyhow!("{error}"))?;
    tracing::info!("stopped");
    ended
}

/// Binds all listeners, then begins to serve on them.
async fn open(
    config: &Config,
    house: &Arc<House>,
    metrics: &Arc<Metrics>,
    tls: Option<Arc<ReloadableTls>>,
    api: &Arc<Http>,
    service: &Arc<dyn Service>,
    stopping: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let most = affordable(config.smtp.max_connections);
    if most < config.smtp.max_connections {
        tracing::warn!(
            most,
            "the limit of open files allows fewer connections than smtp.max_connections; raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    let admission = Admission::new(most, config.smtp.max_connections_per_ip);
    let budget = Budget::default();
    let (mut mail, mut http_listeners, mut lookup_listeners) = (Vec::new(), Vec::new(), Vec::new());
    for (dialect, listens) in [(Dialect::Smtp, &config.smtp.listen), (Dialect::Lmtp, &config.lmtp)]
    {
        for listen in listens {
            let bound =
                Bound::bind(listen).map_err(|e| cannot_bind(dialect.as_str(), listen, &e))?;
            mail.push((dialect, bound));
        }
    }
    for listen in &config.http.listen {
        http_listeners
            .push(Listener::bind(listen).await.map_err(|e| cannot_bind("http", listen, &e))?);
    }
    for listen in &config.lookup {
        lookup_listeners
            .push(Listener::bind(listen).await.map_err(|e| cannot_bind("lookup", listen, &e))?);
    }
    let mut doors = Vec::new();
    for (dialect, bound) in mail {
        let local: Arc<dyn smtp::RecipientCheck> =
            Arc::new(SignedPaths { house: Arc::clone(house) });
        let session = smtp::Service {
            limits: Limits {
                message: config.smtp.max_message,
                recipients: config.smtp.max_recipients,
                request: config.smtp.command_timeout,
                ..Limits::default()
            },
            tls: tls.is_some(),
            reject_bare_newline: config.smtp.reject_bare_newline,
            recipients: Arc::new(OurDomains::new(&config.smtp.domains, Some(local))),
            observer: Arc::new(Counter { metrics: Arc::clone(metrics) }),
            budget: budget.clone(),
            ..smtp::Service::new(&config.hostname, dialect)
        };
        let acceptor = Acceptor {
            service: Arc::new(session),
            receiver: Arc::new(Door { house: Arc::clone(house) }),
            admission: Arc::clone(&admission),
            tls: tls.clone(),
            stop: stopping.clone(),
            grace: GRACE,
        };
        doors.push(tokio::spawn(acceptor.serve(bound)));
    }
    for listener in http_listeners {
        doors.push(tokio::spawn(http::serve(listener, Arc::clone(api), stopping.clone())));
    }
    for listener in lookup_listeners {
        let (service, metrics) = (Arc::clone(service), Arc::clone(metrics));
        doors.push(tokio::spawn(lookup::serve(listener, service, metrics, stopping.clone())));
    }
    Ok(doors)
}

fn cannot_bind(what: &str, listen: &Listen, error: &std::io::Error) -> anyhow::Error {
    anyhow!("{}", preflight::bind_trouble(what, listen, error))
}

/// Waits for the signal to stop, or for a refusal of the policy; reloads on SIGHUP.
async fn wait(
    origin: &crate::config::Origin,
    house: &Arc<House>,
    metrics: &Arc<Metrics>,
    tls: Option<&ReloadableTls>,
    api: &Arc<Http>,
    refused: &mut mpsc::Receiver<String>,
) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(why) = refused.recv() => return Err(anyhow!("{why}")),
            _ = hangup.recv() => {
                let (house, file) = (Arc::clone(house), origin.file().map(ToOwned::to_owned));
                let read = tokio::task::spawn_blocking(move || reload(&house, file.as_deref())).await;
                let mut outcome = read.unwrap_or_else(|e| Err(anyhow!("{e}")));
                if outcome.is_ok() && let Some(tls) = tls {
                    outcome = outcome.and_then(|o| tls.reload().map(|()| o).map_err(Into::into));
                }
                metrics.reloaded(outcome.is_ok(), Timestamp::now());
                match outcome {
                    Ok(tokens) => {
                        if let Some(tokens) = tokens {
                            api.replace_tokens(tokens);
                        }
                        tracing::info!("reloaded");
                    }
                    Err(error) => tracing::error!("reload refused, the old settings stay: {error:#}"),
                }
            }
        }
    }
}

/// Rules, keys, policy and tokens anew; listeners and limits want a restart.
fn reload(house: &House, file: Option<&std::path::Path>) -> Result<Option<Tokens>> {
    let loaded = Config::load(file)?;
    preflight::check(&loaded.config, &loaded.origin)?;
    let pipeline = pipeline(&loaded.config)?;
    let policy = policy(&loaded.config).with_context(|| loaded.origin.at("policy"))?;
    let tokens = tokens(&loaded.config)?;
    if !house.keeps_naming(loaded.config.privacy.name_key()) {
        return Err(anyhow!("privacy.addresses and its key are chosen once for a data directory"));
    }
    house.put_policy_in_force(&policy).map_err(|error| anyhow!("{error}"))?;
    house.replace_hash_key(loaded.config.privacy.hash_key)?;
    house.replace_pipeline(pipeline);
    Ok(tokens)
}

/// Keeps gauges and the time written down fresh, and wakes followers of the journal.
async fn refresh(house: Arc<House>, metrics: Arc<Metrics>, api: Arc<Http>) {
    let mut every = tokio::time::interval(GAUGES);
    loop {
        every.tick().await;
        let asked = Arc::clone(&house);
        let look = move || {
            asked.beat();
            asked.overview()
        };
        let overview = tokio::task::spawn_blocking(look).await;
        if let Ok(Ok(overview)) = overview {
            metrics.observe(&overview);
            api.announce(overview.ledger.last_seq);
        }
    }
}

/// Log lines go to standard error: text for people, JSON when the configuration says so.
fn log(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("BOUNCED_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call (tests) finds a subscriber there already; the first one stays.
    let _ = match config.log.format {
        crate::config::LogFormat::Json => builder.json().try_init(),
        crate::config::LogFormat::Text => {
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
    };
}
