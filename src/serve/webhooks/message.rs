//! What an endpoint is told of an occurrence: whether at all, the body in its format, and the
//! signature of Standard Webhooks (standardwebhooks.com), which is
//! `v1,base64(HMAC-SHA256(secret, id.timestamp.body))` for each secret.

use std::time::Duration;

use axum::body::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::classify::Category;
use crate::config::{Format, Webhook};
use crate::mail::Timestamp;
use crate::service::occurrence::{Occurrence, What};

/// One thing to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookMessage {
    /// `webhook-id`: the same however often it is sent.
    pub id: String,
    /// `content-type`
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// Is the endpoint told of it?
pub fn is_wanted(endpoint: &Webhook, occurrence: &Occurrence) -> bool {
    let among = |words: &[String], word: Option<&str>| {
        words.is_empty() || word.is_some_and(|word| words.iter().any(|one| one == word))
    };
    let kind = occurrence.kind.map(|kind| kind.as_str());
    let category = occurrence.category.map(Category::as_str);
    endpoint.types.iter().any(|what| what == occurrence.what.as_str())
        && among(&endpoint.kinds, kind)
        && among(&endpoint.categories, category)
        && (occurrence.scope == "*" || among(&endpoint.scopes, Some(&occurrence.scope)))
}

/// The message for an occurrence.
pub fn message(endpoint: &Webhook, hostname: &str, occurrence: &Occurrence) -> WebhookMessage {
    let Occurrence { id, what, at, data, .. } = occurrence;
    let (content_type, body) = match endpoint.format {
        Format::Standard => {
            ("application/json", json!({"type": what, "timestamp": at, "data": data}))
        }
        Format::CloudEvents => {
            let event = cloud_event(hostname, id, what.as_str(), *at, data);
            ("application/cloudevents+json", event)
        }
        Format::Listmonk => ("application/json", listmonk(occurrence)),
    };
    WebhookMessage { id: id.clone(), content_type, body: body.to_string().into() }
}

/// What `bounced webhooks test` sends. listmonk hears of an address that cannot be.
pub fn test_message(
    endpoint: &Webhook,
    hostname: &str,
    id: String,
    now: Timestamp,
) -> WebhookMessage {
    let data = json!({"endpoint": endpoint.name});
    let (content_type, body) = match endpoint.format {
        Format::Standard => {
            ("application/json", json!({"type": TEST, "timestamp": now, "data": data}))
        }
        Format::CloudEvents => {
            ("application/cloudevents+json", cloud_event(hostname, &id, TEST, now, &data))
        }
        Format::Listmonk => (
            "application/json",
            json!({"email": "webhook-test@example.invalid", "source": SOURCE, "type": "soft",
                "meta": data}),
        ),
    };
    WebhookMessage { id, content_type, body: body.to_string().into() }
}

const TEST: &str = "webhook.test";
const SOURCE: &str = "bounced";

fn cloud_event(hostname: &str, id: &str, what: &str, at: Timestamp, data: &Value) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("//{hostname}/bounced"),
        "type": what,
        "time": at,
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(address) = data.get("address") {
        event["subject"] = address.clone();
    }
    event
}

/// listmonk counts `soft`, `hard` and `complaint` by rules of its own.
fn listmonk(occurrence: &Occurrence) -> Value {
    let clause = occurrence.data["clause"].as_str().unwrap_or_default();
    let listed = &occurrence.data["act"]["imported"]["reason"];
    let word = match (occurrence.what, occurrence.category) {
        (What::Complaint, _) => "complaint",
        (What::Suppressed, _) if clause.contains("complaint") || listed == "complaint" => {
            "complaint"
        }
        (What::Suppressed, _) | (_, Some(Category::Hard)) => "hard",
        _ => "soft",
    };
    let mut told = json!({"email": occurrence.address, "source": SOURCE, "type": word,
        "meta": occurrence.data});
    if let Some(campaign) = occurrence.campaign.as_deref().filter(|c| is_uuid(c)) {
        told["campaign_uuid"] = json!(campaign);
    }
    told
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, b)| match place {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// `webhook-signature`, one signature a secret; empty without secrets.
pub fn signature(secrets: &[Vec<u8>], message: &WebhookMessage, timestamp: i64) -> String {
    let sign = |secret: &Vec<u8>| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(format!("{}.{timestamp}.", message.id).as_bytes());
        mac.update(&message.body);
        format!("v1,{}", data_encoding::BASE64.encode(&mac.finalize().into_bytes()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// First wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// How long to wait after so many failures in a row: twice as long each time, less up to a half, so
/// that what failed together does not come back together. `chance` is random.
pub fn back_off(failures: u32, chance: u16) -> Duration {
    let doubled = WAITS.0.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(WAITS.1);
    let less = doubled.mul_f64(f64::from(chance) / f64::from(u16::MAX) / 2.0);
    doubled - less
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Kind;

    fn endpoint() -> Webhook {
        Webhook {
            name: "crm".into(),
            url: "https://crm.example.com/hooks".parse().expect("a URL"),
            format: Format::Standard,
            secrets: Vec::new(),
            basic_auth: None,
            ca_file: None,
            types: vec!["address.suppressed".into(), "bounce".into(), "complaint".into()],
            kinds: Vec::new(),
            categories: Vec::new(),
            scopes: Vec::new(),
            allow_networks: Vec::new(),
            from_beginning: false,
            give_up: Duration::from_secs(604_800),
        }
    }

    fn occurrence(what: What) -> Occurrence {
        Occurrence {
            place: (7, 0),
            id: "e1.0".into(),
            what,
            at: Timestamp::from_millis(1_700_000_000_000),
            address: "user@x.test".into(),
            scope: "news".into(),
            kind: Some(Kind::Failure),
            category: Some(Category::Hard),
            campaign: Some("1f6f2a4c-8b0d-4f6e-9a3e-0123456789ab".into()),
            data: json!({"address": "user@x.test", "clause": "now/user-unknown"}),
        }
    }

    #[test]
    fn filters_narrow() {
        let wants = |edit: &dyn Fn(&mut Webhook), what: What| {
            let mut endpoint = endpoint();
            edit(&mut endpoint);
            is_wanted(&endpoint, &occurrence(what))
        };
        let words = |word: &str| vec![word.to_string()];
        assert!(wants(&|_| {}, What::Suppressed));
        assert!(!wants(&|_| {}, What::Released));
        assert!(wants(&|e| e.categories = words("hard"), What::Bounce));
        assert!(!wants(&|e| e.categories = words("soft"), What::Bounce));
        assert!(!wants(&|e| e.kinds = words("complaint"), What::Bounce));
        assert!(wants(&|e| e.scopes = words("news"), What::Bounce));
        assert!(!wants(&|e| e.scopes = words("shop"), What::Bounce));
        let mut everywhere = occurrence(What::Suppressed);
        everywhere.scope = "*".into();
        assert!(is_wanted(&Webhook { scopes: words("shop"), ..endpoint() }, &everywhere));
        let mut by_hand = occurrence(What::Suppressed);
        by_hand.category = None;
        assert!(!is_wanted(&Webhook { categories: words("hard"), ..endpoint() }, &by_hand));
    }

    #[test]
    fn bodies_have_the_words_of_their_format() {
        let body = |format, what| {
            let endpoint = Webhook { format, ..endpoint() };
            let message = message(&endpoint, "mx.example.com", &occurrence(what));
            let body: Value = serde_json::from_slice(&message.body).expect("JSON");
            (message.content_type, body)
        };
        let (content_type, standard) = body(Format::Standard, What::Suppressed);
        assert_eq!(content_type, "application/json");
        assert_eq!(standard["type"], "address.suppressed");
        assert_eq!(standard["timestamp"], "2023-11-14T22:13:20Z");
        assert_eq!(standard["data"]["address"], "user@x.test");
        let (content_type, cloud) = body(Format::CloudEvents, What::Suppressed);
        assert_eq!(content_type, "application/cloudevents+json");
        assert_eq!((&cloud["specversion"], &cloud["id"]), (&json!("1.0"), &json!("e1.0")));
        assert_eq!(cloud["subject"], "user@x.test");
        assert_eq!(cloud["source"], "//mx.example.com/bounced");
        let (_, listmonk) = body(Format::Listmonk, What::Suppressed);
        assert_eq!(
            (&listmonk["email"], &listmonk["type"]),
            (&json!("user@x.test"), &json!("hard"))
        );
        assert_eq!(listmonk["campaign_uuid"], "1f6f2a4c-8b0d-4f6e-9a3e-0123456789ab");
        assert_eq!(body(Format::Listmonk, What::Complaint).1["type"], "complaint");
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the reference libraries (standard-webhooks, "libraries").
        let secret = data_encoding::BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let message = WebhookMessage {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
            content_type: "application/json",
            body: r#"{"test": 2432232314}"#.into(),
        };
        let signed = signature(&[secret.expect("base64")], &message, 1_614_265_330);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = signature(&[vec![1; 24], vec![2; 24]], &message, 1);
        assert_eq!(two.split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
        assert_eq!(signature(&[], &message, 1), "");
    }

    #[test]
    fn waits_double_up_to_an_hour() {
        for (failures, chance, seconds) in [
            (1, 0, 1.0),
            (1, u16::MAX, 0.5),
            (2, 0, 2.0),
            (11, 0, 1024.0),
            (13, 0, 3600.0),
            (u32::MAX, u16::MAX, 1800.0),
        ] {
            let wait = back_off(failures, chance).as_secs_f64();
            assert!((wait - seconds).abs() < 0.001, "{failures} {chance}: {wait}");
        }
    }
}
