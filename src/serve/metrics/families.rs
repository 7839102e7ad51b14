//! The families of metrics by subject, each declared with its name, help text and labels
//! (docs/interface.md, "Metrics"). What counts them is in `metrics`.

use std::sync::atomic::AtomicU64;

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::declare::Declare;
use super::labels::{LookupResult, Protocol};

/// Buckets in seconds around what one fdatasync takes.
const COMMIT_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Buckets in seconds for work in memory.
const QUICK_BUCKETS: &[f64] =
    &[0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0];
/// Buckets in seconds for whole sessions.
const SESSION_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Buckets in octets of messages.
const SIZE_BUCKETS: &[f64] =
    &[1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];
/// Buckets in events of one commit.
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Messages and what they said.
pub(super) struct MailMetrics {
    pub(super) messages: IntCounterVec,
    pub(super) duplicates: IntCounter,
    pub(super) message_size: Histogram,
    pub(super) parse: Histogram,
    pub(super) verdicts: IntCounterVec,
    pub(super) provider_failures: IntCounterVec,
    pub(super) shadow_verdicts: IntCounterVec,
    pub(super) canary: IntGauge,
}

impl MailMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        Self {
            messages: d.counters(
                "bounced_messages_total",
                "Messages answered 250 after DATA, duplicates included, by kind.",
                &["kind"],
            ),
            duplicates: d.counter(
                "bounced_duplicates_total",
                "Messages delivered again that made no second event.",
            ),
            message_size: d.histogram(
                "bounced_message_size_bytes",
                "Size of received messages.",
                SIZE_BUCKETS,
            ),
            parse: d.histogram(
                "bounced_parse_duration_seconds",
                "Time to read and judge one message.",
                QUICK_BUCKETS,
            ),
            verdicts: d.counters(
                "bounced_verdicts_total",
                "Verdicts on recipients, by class and category; none is no failure.",
                &["class", "category"],
            ),
            provider_failures: d.counters(
                "bounced_refusals_total",
                "Failed recipients, by provider of the closed table and category.",
                &["provider", "category"],
            ),
            canary: d.gauge(
                "bounced_canary_timestamp_seconds",
                "When what `bounced canary` sent came out last; 0: not since the start.",
            ),
            shadow_verdicts: d.counters(
                "bounced_shadow_verdicts_total",
                "Verdicts of the rules on trial (rules.shadow_dir), same as the live one or not.",
                &["verdict"],
            ),
        }
    }
}

/// The suppression list.
pub(super) struct ListMetrics {
    pub(super) suppressions: IntGaugeVec,
    pub(super) changes: IntCounterVec,
    pub(super) guards: IntGauge,
    pub(super) clock: IntGauge,
}

impl ListMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        Self {
            suppressions: d.gauges(
                "bounced_suppressions",
                "Addresses that lookups answer with stop or pause, by state.",
                &["state"],
            ),
            changes: d.counters(
                "bounced_suppression_changes_total",
                "Changes of suppressions, by what happened.",
                &["op"],
            ),
            guards: d.gauge(
                "bounced_guards_tripped",
                "Guards that hold new suppressions back at the moment.",
            ),
            clock: d.gauge(
                "bounced_clock_in_doubt",
                "1 while the wall clock is not believed and nothing expires, until `bounced accept-clock`.",
            ),
        }
    }
}

/// Questions of MTAs and programs.
pub(super) struct LookupsMetrics {
    /// Indexed by protocol, then result: the hot path only adds.
    pub(super) results: Vec<Vec<IntCounter>>,
    pub(super) seconds: Vec<Histogram>,
    pub(super) connections: IntGauge,
}

impl LookupsMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        let lookups = d.counters(
            "bounced_lookups_total",
            "Questions whether an address is suppressed, by protocol and result.",
            &["protocol", "result"],
        );
        let lookup_seconds = d.histograms(
            "bounced_lookup_duration_seconds",
            "Time from a complete lookup request to its answer.",
            "protocol",
            QUICK_BUCKETS,
        );
        Self {
            results: grid(&lookups),
            seconds: Protocol::ALL
                .iter()
                .map(|protocol| lookup_seconds.with_label_values(&[protocol.as_str()]))
                .collect(),
            connections: d.gauge("bounced_lookup_connections", "Open lookup connections."),
        }
    }
}

/// Commits and sizes.
pub(super) struct JournalMetrics {
    pub(super) commit: Histogram,
    pub(super) commit_batch: Histogram,
    pub(super) commit_failures: IntCounter,
    pub(super) fsync: Histogram,
    pub(super) last_commit: Gauge,
    pub(super) last_seq: IntGauge,
    pub(super) journal_bytes: IntGauge,
    pub(super) ledger_lag: Gauge,
    pub(super) engine_synchronous: IntGauge,
    pub(super) engine_warnings: IntGauge,
    pub(super) engine_checkpoint_age: Gauge,
    pub(super) engine_checkpoint_seq: IntGauge,
    pub(super) engine_head_wait: Histogram,
    pub(super) engine_errors: IntCounterVec,
    pub(super) store_lag: IntGauge,
    pub(super) store_bytes: IntGauge,
    pub(super) disk_free: IntGauge,
    pub(super) damaged: IntCounter,
    /// What of it was counted.
    pub(super) damaged_so_far: AtomicU64,
    pub(super) troubles: IntGaugeVec,
}

impl JournalMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        Self {
            commit: d.histogram(
                "bounced_commit_seconds",
                "Time from handing an event to the journal until it is durable.",
                COMMIT_BUCKETS,
            ),
            commit_batch: d.histogram(
                "bounced_commit_batch_size",
                "Events made durable by one sync.",
                BATCH_BUCKETS,
            ),
            commit_failures: d
                .counter("bounced_commit_failures_total", "Commits that did not succeed."),
            fsync: d.histogram(
                "bounced_fsync_duration_seconds",
                "Time of one fdatasync of the journal.",
                COMMIT_BUCKETS,
            ),
            last_commit: d.real(
                "bounced_last_commit_timestamp_seconds",
                "When the journal last became durable.",
            ),
            last_seq: d.gauge("bounced_journal_last_sequence", "Position of the newest event."),
            journal_bytes: d.gauge("bounced_journal_bytes", "Size of the journal."),
            ledger_lag: d.real(
                "bounced_ledger_lag_seconds",
                "For how long this node has not had all of a shared journal.",
            ),
            engine_synchronous: d.gauge(
                "bounced_engine_synchronous",
                "0 when what a shared journal acknowledged may be lost at a failover, else 1.",
            ),
            engine_warnings: d.gauge(
                "bounced_engine_warnings",
                "What is wrong with the nodes of a shared journal; /readyz has the words.",
            ),
            engine_checkpoint_age: d.real(
                "bounced_engine_checkpoint_age_seconds",
                "How long ago the newest checkpoint of a shared journal was written; without one, for how long this node has run.",
            ),
            engine_checkpoint_seq: d.gauge(
                "bounced_engine_checkpoint_sequence",
                "Position of the newest checkpoint of a shared journal; 0: there is none.",
            ),
            engine_head_wait: d.histogram(
                "bounced_engine_head_wait_seconds",
                "Time for which a commit waited for its turn to append to a shared journal.",
                COMMIT_BUCKETS,
            ),
            engine_errors: d.counters(
                "bounced_engine_errors_total",
                "What the engine of a shared journal did not do, by class.",
                &["class"],
            ),
            store_lag: d.gauge(
                "bounced_store_lag_events",
                "Events of the journal that the view does not hold yet.",
            ),
            store_bytes: d.gauge("bounced_store_bytes", "Size of the view."),
            disk_free: d.gauge("bounced_disk_free_bytes", "Free space under the data directory."),
            damaged: d.counter(
                "bounced_journal_damaged_records_total",
                "Records of the journal found damaged or missing.",
            ),
            damaged_so_far: AtomicU64::new(0),
            troubles: d.gauges(
                "bounced_trouble",
                "What is wrong with stored data and stops nothing, by kind; /readyz has the words.",
                &["what"],
            ),
        }
    }
}

/// SMTP and LMTP connections.
pub(super) struct SmtpMetrics {
    pub(super) open: IntGauge,
    pub(super) closed: IntCounterVec,
    pub(super) session: Histogram,
    pub(super) commands: IntCounterVec,
    pub(super) rejections: IntCounterVec,
    pub(super) tls_handshakes: IntCounterVec,
}

impl SmtpMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        Self {
            open: d.gauge("bounced_smtp_connections", "Open SMTP and LMTP connections."),
            closed: d.counters(
                "bounced_smtp_connections_total",
                "SMTP and LMTP connections that ended, by outcome.",
                &["outcome"],
            ),
            session: d.histogram(
                "bounced_smtp_session_duration_seconds",
                "Length of SMTP and LMTP connections.",
                SESSION_BUCKETS,
            ),
            commands: d.counters(
                "bounced_smtp_commands_total",
                "SMTP commands, by verb and first digit of the reply.",
                &["verb", "code"],
            ),
            rejections: d.counters(
                "bounced_smtp_rejections_total",
                "SMTP commands, messages and connections refused, by reason.",
                &["reason"],
            ),
            tls_handshakes: d.counters(
                "bounced_tls_handshakes_total",
                "TLS handshakes, by result.",
                &["result"],
            ),
        }
    }
}

/// HTTP, certificates, reloads.
pub(super) struct OperationsMetrics {
    pub(super) http_requests: IntCounterVec,
    pub(super) http_seconds: Histogram,
    pub(super) http_connections: IntGauge,
    pub(super) refused: IntCounterVec,
    pub(super) certificate_expiry: GaugeVec,
    pub(super) reload_success: IntGauge,
    pub(super) reload_time: Gauge,
}

impl OperationsMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        Self {
            http_requests: d.counters(
                "bounced_http_requests_total",
                "HTTP requests, by route and first digit of the status.",
                &["route", "code"],
            ),
            http_seconds: d.histogram(
                "bounced_http_request_duration_seconds",
                "Time from a request's header to the start of its answer.",
                COMMIT_BUCKETS,
            ),
            http_connections: d.gauge("bounced_http_connections", "Open HTTP connections."),
            refused: d.counters(
                "bounced_connections_refused_total",
                "HTTP and lookup connections closed because no place was free, by port and reason.",
                &["port", "reason"],
            ),
            certificate_expiry: d.reals(
                "bounced_certificate_expiry_timestamp_seconds",
                "When the certificate in use ends.",
                &["name"],
            ),
            reload_success: d
                .gauge("bounced_config_reload_success", "1 when the last reload was taken over."),
            reload_time: d.real(
                "bounced_config_reload_timestamp_seconds",
                "When configuration was last taken over.",
            ),
        }
    }
}

/// Webhooks, by endpoint of the configuration.
pub(super) struct WebhookMetrics {
    pub(super) deliveries: IntCounterVec,
    pub(super) backlog: IntGaugeVec,
    pub(super) oldest: GaugeVec,
}

impl WebhookMetrics {
    pub(super) fn declare(d: &Declare) -> Self {
        Self {
            deliveries: d.counters(
                "bounced_webhook_deliveries_total",
                "Attempts to deliver a webhook, by endpoint and what became of them.",
                &["endpoint", "outcome"],
            ),
            backlog: d.gauges(
                "bounced_webhook_backlog",
                "Records of the journal that an endpoint was not told of yet.",
                &["endpoint"],
            ),
            oldest: d.reals(
                "bounced_webhook_oldest_seconds",
                "Age of the oldest thing that an endpoint was not told of; 0 when there is none.",
                &["endpoint"],
            ),
        }
    }
}

/// Handles of every protocol and result.
fn grid(lookups: &IntCounterVec) -> Vec<Vec<IntCounter>> {
    let row = |protocol: &Protocol| {
        LookupResult::ALL
            .iter()
            .map(|result| lookups.with_label_values(&[protocol.as_str(), result.as_str()]))
            .collect()
    };
    Protocol::ALL.iter().map(row).collect()
}
