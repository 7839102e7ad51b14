//! Sockets and signals: opens the listeners over a service that `app` has made, waits for a signal,
//! closes them in order.
//!
//! SIGTERM and SIGINT end it: running transactions are answered, what waits is committed, a
//! checkpoint is written. SIGHUP reloads rules, keys, policy, tokens, webhooks and certificates; a
//! bad new set is refused and the old one stays.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::adapters::{Counter, MessageReceiver, SignedPaths};
use super::admission::Admission;
use super::http::Http;
use super::listener::Acceptor;
use super::lookup;
use super::metrics::Metrics;
use super::places::Places;
use super::shares::Shares;
use super::socket::Listener;
use super::systemd::{self, Handed};
use super::tls::ReloadableTls;
use super::tokens::Tokens;
use super::webhooks::{Surroundings, Webhooks};
use crate::config::{Config, Listen, SocketAccess, Webhook, preflight};
use crate::mail::Timestamp;
use crate::service::Service;
use crate::service::local::LocalService;
use crate::smtp::{self, Dialect, Limits, MessageBudget, OurDomains};

/// How long running transactions may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How often gauges are refreshed.
const GAUGES: Duration = Duration::from_secs(5);

/// What [`serve`] is made of.
pub struct Server {
    /// The configuration that listeners and limits come from.
    pub config: Config,
    /// The operations.
    pub service: Arc<LocalService>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Certificate for STARTTLS.
    pub tls: Option<Arc<ReloadableTls>>,
    /// Who may read and change over HTTP; None: everybody on loopback.
    pub tokens: Option<Tokens>,
    /// Reads the configuration anew and puts it in force, but for what it gives back.
    pub reload: Arc<Reload>,
    /// Why a policy that was put in force in the background was refused.
    pub refused: mpsc::Receiver<String>,
}

/// What SIGHUP does, beside what is kept here; it may wait for a disk.
pub type Reload = dyn Fn() -> Result<Reloaded> + Send + Sync;

/// What a new configuration has for this layer; all of it was checked.
pub struct Reloaded {
    /// None: none are asked for.
    pub tokens: Option<Tokens>,
    /// Who is told of what happens.
    pub webhooks: Vec<Webhook>,
}

/// Serves until a signal.
pub fn serve(server: Server) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot be started")?;
    let stopped = run(&runtime, server);
    // Blocking tasks that wait for a disk do not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(5));
    stopped
}

fn run(runtime: &Runtime, mut server: Server) -> Result<()> {
    let shares = Shares::affordable(server.config.smtp.max_connections);
    if shares.smtp < server.config.smtp.max_connections {
        tracing::warn!(
            smtp = shares.smtp,
            http = shares.http.most,
            lookup = shares.lookup.most,
            "the limit of open files allows fewer connections than wanted; raise it (ulimit -n, LimitNOFILE=)"
        );
    }
    tell_expiry(&server);
    let (stop, stopping) = watch::channel(false);
    let service: Arc<dyn Service> = server.service.clone();
    let http = Http::new(
        Arc::clone(&service),
        Arc::clone(&server.metrics),
        server.tokens.take(),
        &server.config.hostname,
        server.config.smtp.max_message,
    );
    let webhooks = Webhooks::new(&server.config.webhooks, &server.config.hostname);
    let webhooks = Arc::new(webhooks.map_err(|why| anyhow!("{why}"))?);
    let http = Arc::new(http.with_room(shares.http).with_webhooks(Arc::clone(&webhooks)));
    let ended = runtime.block_on(async {
        // Before anything is taken in: a new endpoint hears of all that comes.
        let around = Surroundings {
            data_dir: server.config.data_dir.clone(),
            feed: server.service.clone(),
            metrics: Arc::clone(&server.metrics),
        };
        webhooks
            .start(&around, server.service.last_seq())
            .with_context(|| format!("{}/webhooks cannot be used", around.data_dir.display()))?;
        let listeners = open(&server, &http, &service, shares, &stopping).await?;
        let data_dir = server.config.data_dir.display();
        tracing::info!(hostname = server.config.hostname, %data_dir, "ready");
        systemd::tell(&[NotifyState::Ready]);
        let (local, metrics) = (Arc::clone(&server.service), Arc::clone(&server.metrics));
        let gauges = tokio::spawn(refresh(local, metrics, Arc::clone(&http)));
        let ended = wait(&mut server, &http, &webhooks, &around).await;
        tracing::info!("stopping: running transactions are answered first");
        systemd::tell(&[NotifyState::Stopping]);
        stop.send_replace(true);
        let listeners = async {
            for task in listeners {
                let _ = task.await;
            }
        };
        tokio::join!(listeners, webhooks.stop());
        gauges.abort();
        Ok::<_, anyhow::Error>(ended)
    })?;
    server.service.shut_down().map_err(|error| anyhow!("{error}"))?;
    tracing::info!("stopped");
    ended
}

/// Binds all listeners, then begins to serve on them.
async fn open(
    server: &Server,
    http: &Arc<Http>,
    service: &Arc<dyn Service>,
    shares: Shares,
    stopping: &watch::Receiver<bool>,
) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let Server { config, service: local, metrics, tls, .. } = server;
    let admission = Admission::new(shares.smtp, config.smtp.max_connections_per_ip);
    let places = Places::new(shares.lookup);
    let budget = MessageBudget::default();
    let refusals = Arc::default();
    let (mut mail, mut http_listeners, mut lookup_listeners) = (Vec::new(), Vec::new(), Vec::new());
    let proxies = &config.proxies;
    let mut handed = Handed::over();
    let sockets = &config.sockets;
    for (dialect, listens, from, access) in [
        (Dialect::Smtp, &config.smtp.listen, &proxies.smtp, sockets.smtp),
        (Dialect::Lmtp, &config.lmtp, &proxies.lmtp, sockets.lmtp),
    ] {
        for listen in listens {
            let listener = bind(dialect.as_str(), listen, access, &mut handed)?;
            mail.push((dialect, listener.behind(from)));
        }
    }
    for listen in &config.http.listen {
        http_listeners.push(bind("http", listen, sockets.http, &mut handed)?.behind(&proxies.http));
    }
    for listen in &config.lookup {
        let listener = bind("lookup", listen, sockets.lookup, &mut handed)?;
        lookup_listeners.push(listener.behind(&proxies.lookup));
    }
    handed.warn_of_the_rest();
    let mut tasks = Vec::new();
    for (dialect, listener) in mail {
        let check: Arc<dyn smtp::RecipientCheck> =
            Arc::new(SignedPaths { service: Arc::clone(local) });
        let session = smtp::SessionSettings {
            limits: Limits {
                message: config.smtp.max_message,
                recipients: config.smtp.max_recipients,
                request: config.smtp.command_timeout,
                ..Limits::default()
            },
            tls: tls.is_some(),
            reject_bare_newline: config.smtp.reject_bare_newline,
            recipients: Arc::new(OurDomains::new(&config.smtp.domains, Some(check))),
            observer: Arc::new(Counter { metrics: Arc::clone(metrics) }),
            budget: budget.clone(),
            ..smtp::SessionSettings::new(&config.hostname, dialect)
        };
        let acceptor = Acceptor {
            service: Arc::new(session),
            receiver: Arc::new(MessageReceiver {
                service: Arc::clone(local),
                refusals: Arc::clone(&refusals),
            }),
            admission: Arc::clone(&admission),
            tls: tls.clone(),
            stop: stopping.clone(),
            grace: GRACE,
        };
        tasks.push(tokio::spawn(acceptor.serve(listener)));
    }
    for listener in http_listeners {
        tasks.push(tokio::spawn(super::http::serve(listener, Arc::clone(http), stopping.clone())));
    }
    for listener in lookup_listeners {
        let (service, metrics) = (Arc::clone(service), Arc::clone(metrics));
        let (places, stop) = (Arc::clone(&places), stopping.clone());
        let backend = lookup::Backend { service, metrics, answers: config.answers.clone() };
        tasks.push(tokio::spawn(lookup::serve(listener, backend, places, stop)));
    }
    Ok(tasks)
}

/// The listener that systemd handed over for this address, else a new one.
fn bind(
    what: &str,
    listen: &Listen,
    access: SocketAccess,
    handed: &mut Handed,
) -> Result<Listener> {
    let listener = match handed.take(listen) {
        Some(socket) => Listener::inherited(socket),
        None => Listener::bind_for(listen, access),
    };
    listener.map_err(|e| anyhow!("{}", preflight::bind_trouble(what, listen, &e)))
}

/// Shows when the certificate in use ends.
fn tell_expiry(server: &Server) {
    if let Some(ends) = server.tls.as_ref().and_then(|tls| tls.expires()) {
        server.metrics.certificate_expiry(&server.config.hostname, ends);
    }
}

/// Waits for the signal to stop, or for a refusal of the policy; reloads on SIGHUP.
async fn wait(
    server: &mut Server,
    http: &Http,
    webhooks: &Webhooks,
    around: &Surroundings,
) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(why) = server.refused.recv() => return Err(anyhow!("{why}")),
            _ = hangup.recv() => {
                let outcome = reload(server, http, webhooks, around).await;
                server.metrics.reloaded(outcome.is_ok(), Timestamp::now());
                tell_expiry(server);
                match outcome {
                    Ok(()) => tracing::info!("reloaded"),
                    Err(error) => tracing::error!("reload refused, the old settings stay: {error:#}"),
                }
            }
        }
    }
}

/// Puts a new configuration in force.
async fn reload(
    server: &Server,
    http: &Http,
    webhooks: &Webhooks,
    around: &Surroundings,
) -> Result<()> {
    let reload = Arc::clone(&server.reload);
    let read = tokio::task::spawn_blocking(move || reload()).await;
    let new = read.unwrap_or_else(|e| Err(anyhow!("{e}")))?;
    if let Some(tls) = &server.tls {
        tls.reload()?;
    }
    let changed = webhooks.replace(&new.webhooks, around, server.service.last_seq()).await;
    let (begun, over) = changed.map_err(|why| anyhow!("webhooks: {why}"))?;
    if !begun.is_empty() || !over.is_empty() {
        tracing::info!("webhooks: ended {over:?}, begun {begun:?}");
    }
    if let Some(tokens) = new.tokens {
        http.replace_tokens(tokens);
    }
    Ok(())
}

/// Keeps gauges and the time written down fresh, and wakes followers of the journal.
async fn refresh(service: Arc<LocalService>, metrics: Arc<Metrics>, http: Arc<Http>) {
    let mut every = tokio::time::interval(systemd::watchdog().unwrap_or(GAUGES).min(GAUGES));
    loop {
        every.tick().await;
        let beating = Arc::clone(&service);
        let look = move || {
            beating.beat();
            beating.overview()
        };
        let overview = tokio::task::spawn_blocking(look).await;
        if let Ok(Ok(overview)) = overview {
            metrics.observe(&overview);
            http.announce(overview.ledger.last_seq);
            // The list could be read: the service does its work.
            systemd::tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Log lines go to standard error: text for people, JSON when the configuration says so. Where that
/// is systemd's journal, text goes there with fields.
pub fn log(config: &Config) {
    use crate::config::LogFormat;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::prelude::*;
    let filter = EnvFilter::try_from_env("BOUNCED_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = match config.log.format {
        LogFormat::Text => super::journald::JournalLayer::of_stderr(),
        LogFormat::Json => None,
    };
    // A line that cannot be written is lost: to say so would go to standard error as well, and panic.
    let lines = tracing_subscriber::fmt::layer();
    let lines = lines.with_writer(std::io::stderr).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (tests) finds a subscriber there already; the first one stays.
    let _ = match (journal, config.log.format) {
        (Some(journal), _) => registry.with(journal).try_init(),
        (None, LogFormat::Json) => registry.with(lines.json()).try_init(),
        (None, LogFormat::Text) => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(ansi)).try_init()
        }
    };
}
