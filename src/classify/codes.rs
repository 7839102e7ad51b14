//! What enhanced codes say: weighed against each other, against words, and chosen where none is given.
//!
//! | Status field | code in the text | in force |
//! |---|---|---|
//! | `5.1.1` | `5.2.2` (says as much) | the text: the server that refused knows better |
//! | `5.0.0`, `5.x.0`, `4.4.7` (says little) | `5.1.1` | the text: Exim writes 5.0.0 whatever happened |
//! | none | `5.1.1` | the text |
//! | none | none | chosen from the reason, class from the reply code |

use super::verdict::{Category, Reason, Verdict};
use crate::mail::{EnhancedStatus, ReplyCode};
use crate::report::StatusSource;

/// What words about a dead address mean after a 4: the server will look again.
pub(super) const fn softened(reason: Reason) -> Reason {
    use Reason as R;
    match reason {
        R::UserUnknown | R::MailboxInactive | R::AddressMoved | R::AddressSyntax => R::Generic,
        R::DomainUnknown | R::DomainNoMail => R::DnsFailure,
        reason => reason,
    }
}

/// Codes that say by themselves that the address is dead.
pub(super) const fn names_a_dead_address(status: EnhancedStatus) -> bool {
    status.class == 5
        && matches!((status.subject, status.detail), (1, 1..=6 | 10) | (2, 1) | (4, 4))
}

/// A code that speaks of something else than the dead address that the words name. `X.7.1` and
/// codes that end in 0 speak of nothing.
pub(super) fn contradicts(status: EnhancedStatus, reason: Reason) -> bool {
    let agrees = matches!(
        (status.subject, status.detail),
        (_, 0) | (5, _) | (0 | 1 | 7, 1) | (1, 2..=6 | 10 | 100..) | (2, 1) | (4, 1 | 4)
    );
    reason.category() == Category::Hard && !agrees
}

/// A 4 at the front never gives a hard category by code: a 5.1.1 after a 450 is looked up as
/// 4.1.1.
pub(super) fn soften(status: EnhancedStatus, reply: Option<ReplyCode>) -> EnhancedStatus {
    match reply {
        Some(reply) if reply.is_transient() => EnhancedStatus { class: 4, ..status },
        _ => status,
    }
}

/// Weighs the field against the text (table above).
pub(super) fn in_force(
    field: Option<EnhancedStatus>,
    text: Option<EnhancedStatus>,
) -> (Option<EnhancedStatus>, Option<StatusSource>) {
    match (field, text) {
        (Some(f), Some(t)) if t != f && says(t) >= says(f) => (text, Some(StatusSource::Text)),
        (Some(_), _) => (field, Some(StatusSource::Field)),
        (None, Some(_)) => (text, Some(StatusSource::Text)),
        (None, None) => (None, None),
    }
}

/// How much an enhanced code says.
fn says(status: EnhancedStatus) -> u8 {
    match (status.class, status.subject, status.detail) {
        (2, ..) => 0,
        (_, 0, _) => 1,
        (_, _, 0) | (_, 4, 7) => 2,
        _ => 3,
    }
}

/// Chooses a code when the report gives none (`status_source` says `derived`): subject and detail
/// from the reason, class from the reply code or, without one, from the category.
pub(super) fn derive_status(verdict: &mut Verdict) {
    let (None, Some(reason)) = (verdict.status, verdict.reason) else { return };
    let (subject, detail) = code_of(reason);
    let class = match verdict.reply_code {
        Some(code) if code.is_transient() => 4,
        Some(_) => 5,
        None if matches!(reason.category(), Category::Soft) && is_passing(reason) => 4,
        None => 5,
    };
    verdict.status = Some(EnhancedStatus::new(class, subject, detail));
    verdict.status_source = Some(StatusSource::Derived);
}

/// Soft reasons that a server gives with a 4.
const fn is_passing(reason: Reason) -> bool {
    use Reason as R;
    !matches!(reason, R::MailboxFull | R::MessageTooLarge | R::ProtocolError | R::Generic)
}

/// Subject and detail of RFC 3463 that say what a reason says.
const fn code_of(reason: Reason) -> (u16, u16) {
    use Reason as R;
    match reason {
        R::UserUnknown => (1, 1),
        R::MailboxInactive => (2, 1),
        R::AddressMoved => (1, 6),
        R::AddressSyntax => (1, 3),
        R::DomainUnknown => (1, 2),
        R::DomainNoMail => (1, 10),
        R::MailboxFull => (2, 2),
        R::SystemFull => (3, 1),
        R::SystemError | R::MailerError => (3, 0),
        R::ListExpansion => (2, 4),
        R::NetworkError => (4, 1),
        R::DnsFailure => (4, 3),
        R::Expired => (4, 7),
        R::MessageTooLarge => (3, 4),
        R::RateLimited => (4, 5),
        R::Greylisted => (7, 1),
        R::Blocked | R::Reputation | R::Filtered | R::Policy | R::SpamContent => (7, 1),
        R::SenderRejected => (1, 8),
        R::ReverseDns => (7, 25),
        R::AuthFailure => (7, 26),
        R::Security => (7, 0),
        R::ContentRejected | R::Attachment | R::Virus => (6, 0),
        R::RelayingDenied => (7, 1),
        R::ProviderSuppressed | R::SuppressedHere => (1, 0),
        R::ProtocolError => (5, 0),
        R::Generic | R::NoRecipient | R::Undetermined => (0, 0),
    }
}
