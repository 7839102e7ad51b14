//! Every metric of the program, and what counts it (docs/interface.md, "Metrics"). `families`
//! declares them, each once with its help text.
//!
//! Promises: label values come from closed sets (enums, or words of the program itself), so no
//! input makes a new series (docs/reliability.md, "Metric labels"); every series of a small set
//! exists from the start at 0, so a rate over it is right from the first event; names pass
//! `promtool check metrics` (test). An address, a host or a client's words are never a label.

mod declare;
mod families;
mod labels;
mod process;

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Encoder, IntGauge, Registry, TextEncoder};

use crate::classify::{Category, Class, Reason};
use crate::ledger::TroubleKind;
use crate::ledger::store::{CLASSES, EngineObservation};
use crate::mail::Timestamp;
use crate::report::Kind;
use crate::service::Overview;
use crate::smtp::{Outcome, Rejection};
use declare::{Declare, whole};
use families::{
    JournalMetrics, ListMetrics, LookupsMetrics, MailMetrics, OperationsMetrics, SmtpMetrics,
    WebhookMetrics,
};
pub use labels::{Change, Handshake, LookupResult, Port, Protocol, Refused, Verb, WebhookOutcome};
use process::Process;

/// All metrics and their registry, by subject.
pub struct Metrics {
    registry: Registry,
    mail: MailMetrics,
    list: ListMetrics,
    lookups: LookupsMetrics,
    journal: JournalMetrics,
    smtp: SmtpMetrics,
    operations: OperationsMetrics,
    webhooks: WebhookMetrics,
    process: Process,
}

/// Counts an open connection, and counts it out on drop, also when its task panics.
pub struct OpenGauge(IntGauge);

impl Drop for OpenGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Registers everything. `store` is the engine in use.
    pub fn new(store: &str) -> Self {
        let d = Declare(Registry::new());
        let build = d.gauges(
            "bounced_build_info",
            "Version, revision and store engine of the running program; always 1.",
            &["version", "revision", "store"],
        );
        let revision = option_env!("BOUNCED_REVISION").unwrap_or("unknown");
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision, store]).set(1);
        let metrics = Self {
            mail: MailMetrics::declare(&d),
            list: ListMetrics::declare(&d),
            lookups: LookupsMetrics::declare(&d),
            journal: JournalMetrics::declare(&d),
            smtp: SmtpMetrics::declare(&d),
            operations: OperationsMetrics::declare(&d),
            webhooks: WebhookMetrics::declare(&d),
            process: Process::declare(&d),
            registry: d.0,
        };
        metrics.start_at_zero();
        metrics
    }

    /// Makes the series of the small sets exist.
    fn start_at_zero(&self) {
        for class in CLASSES {
            self.journal.engine_errors.with_label_values(&[class]);
        }
        self.journal.engine_synchronous.set(1);
        for kind in Kind::ALL {
            self.mail.messages.with_label_values(&[kind.as_str()]);
        }
        for reason in Reason::ALL {
            let labels = [reason.class().as_str(), reason.category().as_str()];
            self.mail.verdicts.with_label_values(&labels);
        }
        for outcome in Outcome::ALL {
            self.smtp.closed.with_label_values(&[outcome.as_str()]);
        }
        for reason in Rejection::ALL {
            self.smtp.rejections.with_label_values(&[reason.as_str()]);
        }
        for change in Change::ALL {
            self.list.changes.with_label_values(&[change.as_str()]);
        }
        for result in Handshake::ALL {
            self.smtp.tls_handshakes.with_label_values(&[result.as_str()]);
        }
        for verdict in ["same", "different"] {
            self.mail.shadow_verdicts.with_label_values(&[verdict]);
        }
        for state in ["suppressed", "held"] {
            self.list.suppressions.with_label_values(&[state]);
        }
        for (port, why) in Port::ALL.iter().flat_map(|p| Refused::ALL.iter().map(move |w| (p, w))) {
            self.operations.refused.with_label_values(&[port.as_str(), why.as_str()]);
        }
        self.operations.reload_success.set(1);
    }

    /// A message was answered 250 after DATA; a duplicate too.
    pub fn message_stored(&self, kind: Kind) {
        self.mail.messages.with_label_values(&[kind.as_str()]).inc();
    }

    /// A message was recognised as delivered before.
    pub fn duplicate(&self) {
        self.mail.duplicates.inc();
    }

    /// A message was read and judged.
    pub fn message_read(&self, octets: u64, took: Duration) {
        self.mail.message_size.observe(octets as f64);
        self.mail.parse.observe(took.as_secs_f64());
    }

    /// What `bounced canary` sent came out.
    pub fn canary(&self, now: Timestamp) {
        self.mail.canary.set(now.millis() / 1000);
    }

    /// One recipient was judged.
    pub fn verdict(&self, class: Class, category: Option<Category>) {
        let category = category.map_or("none", Category::as_str);
        self.mail.verdicts.with_label_values(&[class.as_str(), category]).inc();
    }

    /// The rules on trial agreed and disagreed so often.
    pub fn shadow_verdicts(&self, same: u64, different: u64) {
        self.mail.shadow_verdicts.with_label_values(&["same"]).inc_by(same);
        self.mail.shadow_verdicts.with_label_values(&["different"]).inc_by(different);
    }

    /// One recipient failed at a provider of the closed table, or at none of it.
    pub fn provider_failure(&self, provider: Option<&str>, category: Category) {
        let provider = provider.unwrap_or("other");
        self.mail.provider_failures.with_label_values(&[provider, category.as_str()]).inc();
    }

    /// A suppression changed.
    pub fn suppression_changed(&self, change: Change) {
        self.list.changes.with_label_values(&[change.as_str()]).inc();
    }

    /// A batch became durable. `waited` is the time of its first event.
    pub fn commit(&self, waited: Duration, batch: usize, now: Timestamp) {
        self.journal.commit.observe(waited.as_secs_f64());
        self.journal.commit_batch.observe(batch as f64);
        self.journal.last_commit.set(now.millis() as f64 / 1000.0);
    }

    /// A commit did not succeed.
    pub fn commit_failed(&self) {
        self.journal.commit_failures.inc();
    }

    /// One fdatasync of the journal.
    pub fn fsync(&self, took: Duration) {
        self.journal.fsync.observe(took.as_secs_f64());
    }

    /// A lookup was answered.
    pub fn lookup(&self, protocol: Protocol, result: LookupResult, took: Duration) {
        let counter =
            self.lookups.results.get(protocol as usize).and_then(|row| row.get(result as usize));
        if let Some(counter) = counter {
            counter.inc();
        }
        if let Some(histogram) = self.lookups.seconds.get(protocol as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A connection to the HTTP or lookup port was opened; it is open until this is dropped.
    pub fn opened(&self, port: Port) -> OpenGauge {
        let open = match port {
            Port::Http => &self.operations.http_connections,
            Port::Lookup => &self.lookups.connections,
        };
        open.inc();
        OpenGauge(open.clone())
    }

    /// Such a connection got no place, or lost it to a newcomer.
    pub fn refused(&self, port: Port, why: Refused) {
        self.operations.refused.with_label_values(&[port.as_str(), why.as_str()]).inc();
    }

    /// An SMTP or LMTP connection was opened.
    pub fn smtp_opened(&self) {
        self.smtp.open.inc();
    }

    /// An opened SMTP or LMTP connection ended.
    pub fn smtp_closed(&self, outcome: Outcome, lasted: Duration) {
        self.smtp.open.dec();
        self.smtp.closed.with_label_values(&[outcome.as_str()]).inc();
        self.smtp.session.observe(lasted.as_secs_f64());
    }

    /// A connection was refused before it counted as open.
    pub fn smtp_refused(&self) {
        let outcome = Outcome::RefusedLimit.as_str();
        self.smtp.closed.with_label_values(&[outcome]).inc();
    }

    /// An SMTP command was answered. `verb` may be whatever the client sent.
    pub fn smtp_command(&self, verb: &str, reply_code: u16) {
        let verb = Verb::ALL
            .iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(verb))
            .unwrap_or(&Verb::Other);
        let code = first_digit(reply_code);
        self.smtp.commands.with_label_values(&[verb.as_str(), code]).inc();
    }

    /// SMTP refused something.
    pub fn rejection(&self, reason: Rejection) {
        self.smtp.rejections.with_label_values(&[reason.as_str()]).inc();
    }

    /// A TLS handshake ended.
    pub fn tls_handshake(&self, result: Handshake) {
        self.smtp.tls_handshakes.with_label_values(&[result.as_str()]).inc();
    }

    /// End of the certificate in use; `name` is the configured host name.
    pub fn certificate_expiry(&self, name: &str, ends: Timestamp) {
        self.operations
            .certificate_expiry
            .with_label_values(&[name])
            .set(ends.millis() as f64 / 1000.0);
    }

    /// A reload was taken over, or refused and the old configuration kept.
    pub fn reloaded(&self, success: bool, now: Timestamp) {
        self.operations.reload_success.set(i64::from(success));
        if success {
            self.operations.reload_time.set(now.millis() as f64 / 1000.0);
        }
    }

    /// An endpoint of the configuration: its series begin.
    pub fn webhook_known(&self, endpoint: &str) {
        for outcome in WebhookOutcome::ALL {
            self.webhooks.deliveries.with_label_values(&[endpoint, outcome.as_str()]);
        }
        self.webhook_backlog(endpoint, 0, 0);
    }

    /// An endpoint is not of the configuration any more: nothing more is said of it.
    pub fn webhook_forgotten(&self, endpoint: &str) {
        for outcome in WebhookOutcome::ALL {
            let _ = self.webhooks.deliveries.remove_label_values(&[endpoint, outcome.as_str()]);
        }
        let _ = self.webhooks.backlog.remove_label_values(&[endpoint]);
        let _ = self.webhooks.oldest.remove_label_values(&[endpoint]);
    }

    /// What became of an attempt to deliver.
    pub fn webhook(&self, endpoint: &str, outcome: WebhookOutcome) {
        self.webhooks.deliveries.with_label_values(&[endpoint, outcome.as_str()]).inc();
    }

    /// How many records an endpoint is behind, and the age of the oldest in milliseconds.
    pub fn webhook_backlog(&self, endpoint: &str, records: u64, oldest_ms: i64) {
        self.webhooks.backlog.with_label_values(&[endpoint]).set(whole(records));
        self.webhooks.oldest.with_label_values(&[endpoint]).set(oldest_ms as f64 / 1000.0);
    }

    /// The engine of a shared journal was waited for, or did not do what it was asked.
    pub fn engine(&self, seen: EngineObservation) {
        match seen {
            EngineObservation::HeadWait(took) => {
                self.journal.engine_head_wait.observe(took.as_secs_f64())
            }
            EngineObservation::Error(class) => {
                self.journal.engine_errors.with_label_values(&[class]).inc()
            }
        }
    }

    /// An HTTP request was answered. `route` is a route of ours, never a path.
    pub fn http(&self, route: &'static str, status: u16, took: Duration) {
        self.operations.http_requests.with_label_values(&[route, first_digit(status)]).inc();
        self.operations.http_seconds.observe(took.as_secs_f64());
    }

    /// Takes counts and sizes over; called before each scrape.
    pub fn observe(&self, overview: &Overview) {
        for (state, count) in [("suppressed", overview.suppressed), ("held", overview.held)] {
            self.list.suppressions.with_label_values(&[state]).set(whole(count));
        }
        self.list.guards.set(whole(overview.guards.len() as u64));
        self.list.clock.set(i64::from(overview.clock.is_some()));
        let ledger = &overview.ledger;
        for kind in TroubleKind::ALL {
            let lasts = ledger.troubles.iter().any(|trouble| trouble.kind == kind);
            self.journal.troubles.with_label_values(&[kind.as_str()]).set(i64::from(lasts));
        }
        let before = self.journal.damaged_so_far.fetch_max(ledger.damaged, Ordering::Relaxed);
        self.journal.damaged.inc_by(ledger.damaged.saturating_sub(before));
        self.journal.last_seq.set(whole(ledger.last_seq));
        self.journal.journal_bytes.set(whole(ledger.journal_bytes));
        if let Some(engine) = &ledger.engine {
            self.journal.ledger_lag.set(engine.lag.as_secs_f64());
            self.journal.engine_synchronous.set(i64::from(engine.is_synchronous != Some(false)));
            self.journal.engine_warnings.set(whole(engine.warnings.len() as u64));
            let (seq, age) = engine.checkpoint;
            self.journal.engine_checkpoint_seq.set(whole(seq));
            self.journal.engine_checkpoint_age.set(age.as_secs_f64());
        }
        self.journal.store_lag.set(whole(ledger.last_seq.saturating_sub(ledger.folded_seq)));
        self.journal.store_bytes.set(whole(ledger.store_bytes));
        self.journal.disk_free.set(whole(ledger.free_bytes));
    }

    /// Verdicts so far by class, the most frequent first, for the page.
    pub fn verdicts_by_class(&self) -> Vec<(Class, u64)> {
        let mut counts: Vec<(Class, u64)> = Vec::new();
        for metric in self.mail.verdicts.collect().iter().flat_map(|family| family.get_metric()) {
            let label = metric.get_label().iter().find(|label| label.name() == "class");
            let Some(class) = label.and_then(|label| Class::parse(label.value())) else { continue };
            let count = metric.get_counter().get_value() as u64;
            match counts.iter_mut().find(|(known, _)| *known == class) {
                Some((_, sum)) => *sum += count,
                None => counts.push((class, count)),
            }
        }
        counts.retain(|&(_, count)| count > 0);
        counts.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
        counts
    }

    /// The text format of Prometheus.
    pub fn render(&self) -> String {
        self.process.read();
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics cannot be written");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn first_digit(code: u16) -> &'static str {
    match code / 100 {
        1 => "1",
        2 => "2",
        3 => "3",
        4 => "4",
        _ => "5",
    }
}

#[cfg(test)]
mod tests;
