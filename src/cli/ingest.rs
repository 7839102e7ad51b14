//! `bounced ingest` feeds messages to the service as if they came by SMTP; `bounced readyz` asks
//! whether it is ready.

use anyhow::Result;
use serde_json::Value;

use super::args::IngestArgs;
use super::console::{Console, ExitAnswer};
use super::mailbox::{self, MailboxItem};
use super::print;
use super::reach::running;
use super::remote::Remote;
use crate::config::LoadedConfig;
use crate::event::Envelope;
use crate::service::{Operations, ServiceError};

pub(super) fn ingest(
    args: &IngestArgs,
    service: &dyn Operations,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    let (mut stored, mut failed) = (0u64, 0u64);
    let mut stdin = std::io::stdin().lock();
    mailbox::messages(&args.paths, &mut stdin, &mut |MailboxItem { source, message }| {
        let taken = match message {
            Ok(data) if data.iter().all(u8::is_ascii_whitespace) => {
                Err((false, ServiceError::BadRequest("the message is empty".to_string())))
            }
            Ok(data) => service
                .message(data, envelope(args), Some("local".to_string()))
                .map_err(|e| (fatal(&e), e)),
            Err(why) => Err((false, ServiceError::BadRequest(why))),
        };
        match taken {
            Ok(event) => {
                stored += 1;
                if args.json {
                    writeln!(console.out, "{}", with_source(&source, event))?;
                } else {
                    let field = |name: &str| event.get(name).map(print::plain).unwrap_or_default();
                    let how =
                        if event["duplicate"] == true { "stored before as" } else { "stored" };
                    let line = format!("{source}: {how} {} {}", field("id"), field("kind"));
                    writeln!(console.out, "{}", print::visible(&line))?;
                }
            }
            Err((stop, why)) => {
                failed += 1;
                if args.json {
                    let failure = serde_json::json!({"source": source, "error": why.to_string()});
                    writeln!(console.out, "{failure}")?;
                } else {
                    console.say(&print::visible(&format!("{source}: {why}")));
                }
                // The next message would fare the same.
                if stop {
                    return Err(anyhow::anyhow!(
                        "stopped at {source} after {stored} stored messages; feed the rest again, \
                         what is stored already makes no second event"
                    ));
                }
            }
        }
        Ok(())
    })?;
    if !args.json {
        writeln!(console.out, "{stored} stored, {failed} failed")?;
    }
    Ok(if failed == 0 { ExitAnswer::Yes } else { ExitAnswer::Failed })
}

/// What a message from this machine came in.
fn envelope(args: &IngestArgs) -> Envelope {
    let to = args.to.clone().into_iter().collect();
    Envelope { to, trusted: args.trust, ..Envelope::default() }
}

/// Trouble of the service, not of one message.
fn fatal(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Busy(_) | ServiceError::Full(_))
}

/// `source` first, as in `classify --json`.
fn with_source(source: &str, event: Value) -> String {
    let mut text = serde_json::json!({"source": source}).to_string();
    let event = event.to_string();
    match event.strip_prefix('{') {
        Some(rest) if rest != "}" => {
            text.pop();
            text.push(',');
            text.push_str(rest);
            text
        }
        _ => text,
    }
}

/// `bounced readyz`, for health checks of containers: exit 0 ready, 1 not.
pub(super) fn readyz(loaded: &LoadedConfig, console: &mut Console<'_>) -> Result<ExitAnswer> {
    let Some(address) = running(&loaded.config.http.listen)? else {
        let listens: Vec<String> =
            loaded.config.http.listen.iter().map(ToString::to_string).collect();
        console.say(&format!(
            "nothing answers on {}: bounced is not running there",
            listens.join(", ")
        ));
        return Ok(ExitAnswer::No);
    };
    let (ready, words) = Remote::new(address).readyz()?;
    for line in words.lines() {
        writeln!(console.out, "{}", print::visible(line))?;
    }
    Ok(ExitAnswer::yes_if(ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{self, Fake};

    #[test]
    fn a_bad_message_is_one_failure_and_a_busy_service_ends_the_run() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("scratch is writable");
            path
        };
        let (good, bad, busy) = (file("1", "A: b\n"), file("2", "bad"), file("3", "busy"));
        let service = Fake::default();
        let feed = |paths: &[&std::path::PathBuf]| {
            let paths = paths.iter().map(|path| path.to_path_buf()).collect();
            let args = IngestArgs { paths, to: None, trust: false, json: false };
            fake::run(&service, |s, c| ingest(&args, s, c))
        };
        let (answer, out, err) = feed(&[&good, &bad, &good]);
        assert_eq!(answer.ok(), Some(ExitAnswer::Failed));
        assert!(out.ends_with("2 stored, 1 failed\n"), "{out}");
        assert!(out.contains(&format!("{}: stored e1 other\n", good.display())), "{out}");
        assert!(err.contains("2: the body is empty"), "{err}");
        let (answer, out, _) = feed(&[&good, &busy, &good]);
        let error = answer.expect_err("the service is busy").to_string();
        assert!(error.contains("after 1 stored messages"), "{error}");
        assert_eq!(out.lines().count(), 1, "nothing is fed behind it: {out}");
        assert_eq!(feed(&[&good]).0.ok(), Some(ExitAnswer::Yes));
    }

    #[test]
    fn the_source_stands_first() {
        for (event, expected) in [
            (serde_json::json!({"id": "x"}), r#"{"source":"a\"b","id":"x"}"#),
            (serde_json::json!({}), r#"{"source":"a\"b"}"#),
        ] {
            assert_eq!(with_source("a\"b", event), expected);
        }
    }
}
