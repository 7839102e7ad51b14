//! `bounced webhooks`: the state of the endpoints, and a test of one. The running service delivers, so
//! it is asked.

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::args::WebhooksCommand;
use super::console::{Console, ExitAnswer};
use super::print;
use super::reach::running;
use super::remote::Remote;
use crate::config::LoadedConfig;

pub(super) fn run(
    args: &WebhooksCommand,
    loaded: &LoadedConfig,
    console: &mut Console<'_>,
) -> Result<ExitAnswer> {
    if loaded.config.webhooks.is_empty() {
        return Err(anyhow!(
            "no webhook is configured: write [[webhooks]] with name, url and secret_file"
        ));
    }
    let address = running(&loaded.config.http.listen)?.ok_or_else(|| {
        anyhow!("webhooks are delivered by the running service, and none runs: bounced serve")
    })?;
    let service = Remote::new(address);
    match args {
        WebhooksCommand::Status { json } => status(&service.webhooks()?, *json, console),
        WebhooksCommand::Test { name, json } => {
            tested(&service.test_webhook(name)?, *json, console)
        }
    }
}

/// Exit 0 when every endpoint takes what it is told.
fn status(report: &Value, json: bool, console: &mut Console<'_>) -> Result<ExitAnswer> {
    let endpoints = report["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for one in endpoints {
        if json {
            writeln!(console.out, "{one}")?;
            continue;
        }
        let word = |name: &str| print::visible(one[name].as_str().unwrap_or_default());
        let (name, state, host) = (word("name"), word("state"), word("host"));
        write!(console.out, "{name}  {state}  {host}  {} behind", one["backlog"])?;
        write!(console.out, ", {} delivered, {} retrying", one["delivered"], one["retrying"])?;
        if one["next_try"].is_string() {
            write!(console.out, ", next try {}", word("next_try"))?;
        }
        match one["error"].as_str() {
            Some(why) => writeln!(console.out, "  {}: {}", word("error_at"), print::visible(why))?,
            None => writeln!(console.out)?,
        }
    }
    Ok(ExitAnswer::yes_if(endpoints.iter().all(|one| one["state"] == "ok")))
}

/// Exit 0 when it was taken.
fn tested(report: &Value, json: bool, console: &mut Console<'_>) -> Result<ExitAnswer> {
    let taken = report["delivered"] == true;
    if json {
        writeln!(console.out, "{report}")?;
    } else if taken {
        writeln!(console.out, "taken: {} in {} ms", report["status"], report["took_ms"])?;
    } else {
        let why = report["error"].as_str().unwrap_or_default();
        writeln!(console.out, "not taken: {}", print::visible(why))?;
    }
    Ok(ExitAnswer::yes_if(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Timestamp;
    use print::Paint;
    use serde_json::json;

    fn said(show: impl FnOnce(&mut Console<'_>) -> Result<ExitAnswer>) -> (ExitAnswer, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let now = Timestamp::from_millis(0);
        let mut console = Console { out: &mut out, err: &mut err, paint: Paint::PLAIN, now };
        let answer = show(&mut console).expect("shown");
        (answer, String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn what_is_shown_and_the_exit_code() {
        let endpoint = |state: &str, error: Value| {
            let next = error.as_str().map(|_| "2026-11-22T00:00:08Z");
            json!({"name": "crm", "state": state, "host": "crm.example.com", "backlog": 3,
                "delivered": 7, "retrying": 1, "next_try": next, "error": error,
                "error_at": "2026-11-22T00:00:00Z"})
        };
        let fine = json!({"webhooks": [endpoint("ok", Value::Null)]});
        let (answer, out) = said(|console| status(&fine, false, console));
        assert_eq!(answer, ExitAnswer::Yes);
        assert_eq!(out, "crm  ok  crm.example.com  3 behind, 7 delivered, 1 retrying\n");
        let bad = json!({"webhooks": [endpoint("failing", json!("it answered\u{1b} 500"))]});
        let (answer, out) = said(|console| status(&bad, false, console));
        assert_eq!(answer, ExitAnswer::No);
        assert!(out.contains(", 1 retrying, next try 2026-11-22T00:00:08Z  "), "{out}");
        assert!(out.ends_with("2026-11-22T00:00:00Z: it answered\\u{1b} 500\n"), "{out}");
        let taken = json!({"delivered": true, "status": 204, "took_ms": 12, "error": null});
        let (answer, out) = said(|console| tested(&taken, false, console));
        assert_eq!((answer, out.as_str()), (ExitAnswer::Yes, "taken: 204 in 12 ms\n"));
        let not = json!({"delivered": false, "status": null, "error": "no answer within 30 s"});
        let (answer, out) = said(|console| tested(&not, false, console));
        assert_eq!((answer, out.as_str()), (ExitAnswer::No, "not taken: no answer within 30 s\n"));
    }
}
