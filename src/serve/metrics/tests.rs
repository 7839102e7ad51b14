//! What the metrics promise.

use super::*;
use crate::ledger::{EngineStatus, LedgerStatus, Trouble, TroubleKind};

/// Uses every method once, with hostile words where a method takes words.
fn exercised() -> Metrics {
    let metrics = Metrics::new("sled");
    let took = Duration::from_millis(3);
    let now = Timestamp::from_millis(1_800_000_000_000);
    metrics.message_stored(Kind::Failure);
    metrics.duplicate();
    metrics.message_read(4711, took);
    metrics.verdict(Class::InvalidRecipient, Some(Category::Hard));
    metrics.verdict(Class::AutoReply, None);
    metrics.provider_failure(Some("google"), Category::Hard);
    metrics.provider_failure(None, Category::Soft);
    metrics.suppression_changed(Change::Add);
    metrics.commit(took, 17, now);
    metrics.commit_failed();
    metrics.fsync(took);
    metrics.lookup(Protocol::Socketmap, LookupResult::Hit, took);
    let _open = metrics.opened(Port::Lookup);
    metrics.refused(Port::Http, Refused::SentAway);
    metrics.smtp_opened();
    metrics.smtp_opened();
    metrics.smtp_closed(Outcome::Ok, took);
    metrics.smtp_refused();
    metrics.smtp_command("EhLo", 250);
    metrics.smtp_command("BDAT", 250);
    metrics.smtp_command("GET / HTTP/1.1 \u{202e}", 500);
    metrics.rejection(Rejection::TooBig);
    metrics.tls_handshake(Handshake::Tls13);
    metrics.certificate_expiry("bounce.example.com", now);
    metrics.reloaded(true, now);
    metrics.reloaded(false, now.plus_days(1));
    metrics.http("/v1/suppressions/{address}", 404, took);
    metrics.engine(EngineObservation::HeadWait(took));
    metrics.engine(EngineObservation::Error("away"));
    let engine = EngineStatus {
        lag: Duration::from_millis(2500),
        end: 100,
        is_synchronous: Some(false),
        warnings: vec!["two processes".to_string(), "other keys".to_string()],
        checkpoint: (70, Duration::from_secs(3600)),
        checkpoint_trouble: None,
    };
    let strange = |name: &str| Trouble {
        kind: TroubleKind::StrangeFile,
        file: Some(name.to_string()),
        seqs: None,
        text: format!("{name} is no part of the journal"),
    };
    let troubles = vec![strange("journal/README"), strange("journal/.swp")];
    let ledger =
        LedgerStatus { last_seq: 100, folded_seq: 90, troubles, ..LedgerStatus::default() };
    metrics.observe(&Overview {
        suppressed: 12,
        held: 3,
        ledger: LedgerStatus { engine: Some(engine), ..ledger },
        guards: vec!["provider outage: google".to_string()],
        clock: Some("400 hours ahead".to_string()),
    });
    metrics
}

#[test]
fn names_and_values_are_those_of_the_interface() {
    let text = exercised().render();
    for line in [
        "bounced_messages_total{kind=\"failure\"} 1",
        "bounced_messages_total{kind=\"other\"} 0",
        "bounced_engine_errors_total{class=\"away\"} 1",
        "bounced_engine_errors_total{class=\"forked\"} 0",
        "bounced_engine_head_wait_seconds_count 1",
        "bounced_engine_synchronous 0",
        "bounced_engine_warnings 2",
        "bounced_engine_checkpoint_age_seconds 3600",
        "bounced_engine_checkpoint_sequence 70",
        "bounced_ledger_lag_seconds 2.5",
        "bounced_clock_in_doubt 1",
        "bounced_trouble{what=\"strange-file\"} 1",
        "bounced_trouble{what=\"state-lost\"} 0",
        "bounced_duplicates_total 1",
        "bounced_verdicts_total{category=\"hard\",class=\"invalid-recipient\"} 1",
        "bounced_verdicts_total{category=\"none\",class=\"auto-reply\"} 1",
        "bounced_verdicts_total{category=\"block\",class=\"spam-block\"} 0",
        "bounced_suppressions{state=\"suppressed\"} 12",
        "bounced_suppressions{state=\"held\"} 3",
        "bounced_lookups_total{protocol=\"socketmap\",result=\"hit\"} 1",
        "bounced_lookups_total{protocol=\"http\",result=\"error\"} 0",
        "bounced_commit_seconds_count 1",
        "bounced_commit_batch_size_sum 17",
        "bounced_smtp_connections 1",
        "bounced_smtp_connections_total{outcome=\"ok\"} 1",
        "bounced_smtp_connections_total{outcome=\"refused_limit\"} 1",
        "bounced_smtp_rejections_total{reason=\"too_big\"} 1",
        "bounced_smtp_rejections_total{reason=\"verp_bad_signature\"} 0",
        "bounced_smtp_commands_total{code=\"2\",verb=\"ehlo\"} 1",
        "bounced_smtp_commands_total{code=\"5\",verb=\"other\"} 1",
        "bounced_http_requests_total{code=\"4\",route=\"/v1/suppressions/{address}\"} 1",
        "bounced_config_reload_success 0",
        "bounced_config_reload_timestamp_seconds 1800000000",
        "bounced_journal_last_sequence 100",
        "bounced_store_lag_events 10",
        "bounced_guards_tripped 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let build = format!(
        "bounced_build_info{{revision=\"unknown\",store=\"sled\",version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert!(option_env!("BOUNCED_REVISION").is_some() || text.contains(&build), "{text}");
}

#[test]
fn the_process_is_read() {
    let metrics = Metrics::new("sled");
    let text = metrics.render();
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
        assert!(value.is_some_and(|value| value > 0.0), "{name} in\n{text}");
    }
}

#[test]
fn no_input_makes_a_series() {
    let metrics = exercised();
    let series =
        |metrics: &Metrics| metrics.render().lines().filter(|l| !l.starts_with('#')).count();
    // The other reply digits of `other` are series of the closed set: make them first.
    for code in [150, 250, 350, 450, 550] {
        metrics.smtp_command("other", code);
    }
    let before = series(&metrics);
    for n in 0..100_000u32 {
        metrics.smtp_command(&format!("VERB{n}"), (n % 1000) as u16);
    }
    assert_eq!(series(&metrics), before);
    assert!(before < 1000, "{before} series");
}

#[test]
fn classes_come_with_the_most_frequent_first() {
    let metrics = Metrics::new("sled");
    metrics.verdict(Class::MailboxFull, Some(Category::Soft));
    for _ in 0..3 {
        metrics.verdict(Class::AutoReply, None);
    }
    metrics.verdict(Class::InvalidRecipient, Some(Category::Hard));
    let classes = metrics.verdicts_by_class();
    let expected = [(Class::AutoReply, 3), (Class::InvalidRecipient, 1), (Class::MailboxFull, 1)];
    assert_eq!(classes, expected);
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return println!("skipped: promtool (package prometheus): {error}"),
    };
    let text = exercised().render();
    let mut stdin = child.stdin.take().expect("stdin was piped");
    stdin.write_all(text.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{text}");
}
