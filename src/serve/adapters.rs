//! Joins SMTP to the service: sessions store through [`LocalService`], and what happens is
//! counted in [`Metrics`].

use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::admission::Peer;
use super::driver::Receiver;
use super::metrics::{Change, Handshake, Metrics};
use crate::ledger::repeated::{Repeated, Say};
use crate::ledger::{Committed, LedgerError};
use crate::mail::Timestamp;
use crate::service::local::{LocalService, MessageObserver, MessageSource, MessageTally};
use crate::smtp::{
    Acceptance, Delivery, Dialect, Observer, Outcome, RcptRefusal, RecipientCheck, Rejection, Verb,
};
use crate::verp;

/// How long a delivery may wait for its commit; the client waits ten minutes.
const COMMIT_PATIENCE: Duration = Duration::from_secs(120);

/// Stores what sessions receive.
pub struct MessageReceiver {
    /// Where messages go.
    pub service: Arc<LocalService>,
    /// What was said of messages that could not be stored.
    pub refusals: Arc<Repeated<Discriminant<LedgerError>>>,
}

impl Receiver for MessageReceiver {
    async fn receive(&self, delivery: Delivery, peer: Peer) -> Vec<Acceptance> {
        let (answer, waiting) = oneshot::channel();
        let Delivery { session, helo, tls, envelope, data, held, .. } = delivery;
        let (peer, octets) = (peer.to_string(), data.len());
        let taken = self.service.take_in(&data, envelope, Some(peer.clone()), move |outcome| {
            let _ = answer.send(outcome);
        });
        // The text is not needed any more; others may use its room while the commit runs.
        drop(data);
        drop(held);
        let outcome = match taken {
            Err(error) => Err(error),
            Ok(()) => match tokio::time::timeout(COMMIT_PATIENCE, waiting).await {
                Ok(Ok(outcome)) => outcome,
                _ => Err(LedgerError::Ambiguous("the commit did not end in time".to_string())),
            },
        };
        match outcome {
            Ok(stored) => {
                if let Say::Over(more) = self.refusals.worked() {
                    tracing::warn!(more, "messages are stored again");
                }
                let (session, peer, helo) = (&session, &peer, &helo);
                stored.log(&MessageSource { session, peer, helo, tls });
                vec![Acceptance::Stored { id: stored.committed.id }]
            }
            Err(error) => {
                match self.refusals.failed(discriminant(&error), Instant::now()) {
                    Say::Begins => {
                        tracing::warn!(%session, peer, octets, %error, "not stored; senders are told to try again");
                    }
                    Say::Goes(more) => {
                        tracing::warn!(more, %error, "not stored; senders are told to try again");
                    }
                    Say::Nothing | Say::Over(_) => {}
                }
                vec![match error {
                    LedgerError::Full(_) => Acceptance::Full,
                    _ => Acceptance::Unavailable,
                }]
            }
        }
    }
}

/// Counts what is stored.
pub struct Counter {
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl MessageObserver for Counter {
    fn shadowed(&self, same: u64, different: u64) {
        self.metrics.shadow_verdicts(same, different);
    }

    fn stored(&self, tally: &MessageTally, committed: &Committed) {
        self.metrics.message_stored(tally.kind);
        self.metrics.message_read(tally.octets, tally.took);
        if committed.duplicate {
            self.metrics.duplicate();
            return;
        }
        if tally.is_canary {
            self.metrics.canary(Timestamp::now());
        }
        for (class, category) in &tally.verdicts {
            self.metrics.verdict(*class, *category);
        }
        for (provider, category) in &tally.failures {
            self.metrics.provider_failure(provider.as_deref(), *category);
        }
        for decision in &committed.decisions {
            match (decision.from.as_str(), decision.to.as_str()) {
                ("suppressed", "suppressed") => self.metrics.suppression_changed(Change::Extend),
                (_, "suppressed") => self.metrics.suppression_changed(Change::Add),
                (_, "held") => self.metrics.suppression_changed(Change::Hold),
                ("suppressed" | "held", _) => self.metrics.suppression_changed(Change::Release),
                _ => {}
            }
        }
    }
}

impl Observer for Counter {
    fn opened(&self, _: Dialect) {
        self.metrics.smtp_opened();
    }

    fn closed(&self, _: Dialect, outcome: Outcome, lasted: Duration) {
        match outcome {
            Outcome::RefusedLimit => self.metrics.smtp_refused(),
            outcome => self.metrics.smtp_closed(outcome, lasted),
        }
    }

    fn rejected(&self, reason: Rejection) {
        self.metrics.rejection(reason);
    }

    fn command(&self, verb: Verb, code: u16) {
        self.metrics.smtp_command(verb.as_str(), code);
    }

    fn handshake(&self, version: Option<&'static str>) {
        self.metrics.tls_handshake(match version {
            Some("TLSv1_3") => Handshake::Tls13,
            Some(_) => Handshake::Tls12,
            None => Handshake::Failed,
        });
    }
}

/// Refuses forged and outdated return paths at RCPT, before any DATA.
pub struct SignedPaths {
    /// Keys in force.
    pub service: Arc<LocalService>,
}

impl RecipientCheck for SignedPaths {
    fn check(&self, forward_path: &str) -> Result<(), RcptRefusal> {
        self.service.check_return_path(forward_path).map_err(|refusal| {
            let reason = match refusal {
                verp::ReturnPathError::Unsigned => Rejection::VerpMissing,
                verp::ReturnPathError::Signature => Rejection::VerpBadSignature,
                verp::ReturnPathError::Expired => Rejection::VerpExpired,
            };
            let text = refusal.reply();
            RcptRefusal { reason, text: text.strip_prefix("550 5.7.1 ").unwrap_or(text) }
        })
    }
}
