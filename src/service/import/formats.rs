//! The lists that an import knows, each by the columns or fields that it always has: one table a
//! list, from the most particular to the least. Names are compared by letters and digits alone,
//! fields of nested objects by their path (`reason.code`). docs/imports.md has an example of each.

use super::meanings::{BOUNCE, SUBSCRIBER, Sense};
use crate::event::Cause;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Address,
    Scope,
    /// Names of lists, one or more; `*` is all.
    Scopes,
    State,
    /// The state of a contact, in words of others, or a code.
    Status,
    /// One of our reasons, else words.
    Reason,
    /// A word of the table of words.
    Word,
    /// Words for people: what the server said.
    Text,
    Since,
    Until,
    Rule,
    Events,
    /// Status or reply code: 4.x.x is soft, 5.7.x a refusal of the sender.
    Code,
    /// A flag that says the one when it is set, and the other when it is not. A date sets it; what is
    /// neither is refused, and so is nothing where nothing may mean both.
    Flag {
        set: Option<Sense>,
        unset: Option<Sense>,
        empty_is_unset: bool,
    },
    /// A flag that says this when it is set.
    When(Sense),
    /// A flag that says this when it is not set.
    Unless(Sense),
    /// What kind of record it is: any other kind says this.
    OtherThan(&'static str, Sense),
    /// `Recipient`: who was put there by hand asked for it himself.
    Origin,
    /// It follows from others, or says nothing about suppression.
    Ignored,
}

impl Column {
    /// It says who, or since when, and nothing of why.
    pub(super) const fn tells_who(self) -> bool {
        matches!(self, Self::Address | Self::Since | Self::Events | Self::Rule | Self::Ignored)
    }

    /// What it means, for people.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Scope | Self::Scopes => "scope",
            Self::State | Self::Status => "state",
            Self::Reason | Self::Word | Self::Origin => "reason",
            Self::Text => "text",
            Self::Since => "since",
            Self::Until => "until",
            Self::Rule => "rule",
            Self::Events => "events",
            Self::Code
            | Self::Flag { .. }
            | Self::When(_)
            | Self::Unless(_)
            | Self::OtherThan(..) => "whether it is suppressed",
            Self::Ignored => "-",
        }
    }
}

/// A list that an import knows.
#[derive(Debug)]
pub(super) struct KnownList {
    /// Its name, for programs and people.
    pub name: &'static str,
    /// Columns that it always has.
    pub needs: &'static [&'static str],
    /// It has no others.
    pub exactly: bool,
    /// What columns hold; others are ignored.
    pub columns: &'static [(&'static str, Column)],
    /// What a row says in which no word says it.
    pub otherwise: Option<Sense>,
}

const fn format(
    name: &'static str,
    needs: &'static [&'static str],
    columns: &'static [(&'static str, Column)],
    otherwise: Option<Sense>,
) -> KnownList {
    KnownList { name, needs, exactly: false, columns, otherwise }
}

const COMPLAINT: Option<Sense> = Some(Sense::Is(Cause::Complaint));
const UNSUBSCRIBE: Option<Sense> = Some(Sense::Is(Cause::Unsubscribe));
const ALLOWED: Option<Sense> = Some(Sense::Not("a list of what is allowed, no suppression"));
const NO_BOUNCE: Sense = Sense::Not("a record of something else than a bounce");
const OVER: Sense = Sense::Not("over already there");

use Column as C;

const UNSUBSCRIBED: C = C::Flag { set: UNSUBSCRIBE, unset: Some(SUBSCRIBER), empty_is_unset: true };
const LEFT: C = C::Flag { set: UNSUBSCRIBE, unset: None, empty_is_unset: true };
const CLEANED: C = C::Flag { set: Some(BOUNCE), unset: None, empty_is_unset: true };
const BOUNCED: C = C::Flag { set: Some(BOUNCE), unset: Some(SUBSCRIBER), empty_is_unset: true };
const COMPLAINED: C = C::Flag { set: COMPLAINT, unset: Some(SUBSCRIBER), empty_is_unset: true };
const BLOCKLISTED: C =
    C::Flag { set: Some(Sense::Is(Cause::ByHand)), unset: Some(SUBSCRIBER), empty_is_unset: true };
const SUBSCRIBED: C = C::Flag { set: Some(SUBSCRIBER), unset: None, empty_is_unset: false };

/// The columns of our own export.
pub(super) const OWN: KnownList = format(
    "bounced",
    &["address", "scope", "state"],
    &[
        ("address", C::Address),
        ("scope", C::Scope),
        ("state", C::State),
        ("reason", C::Reason),
        ("text", C::Text),
        ("since", C::Since),
        ("until", C::Until),
        ("events", C::Events),
        ("rule", C::Rule),
    ],
    None,
);

/// A file without a header whose second column is not a scope but a word such as `BOUNCE`: the
/// files that SES imports.
pub(super) const WORDED: KnownList = format(
    "addresses with a reason, as SES imports them",
    &[],
    &[("address", C::Address), ("reason", C::Reason), ("since", C::Since)],
    None,
);

/// Anything else that has a column of addresses.
pub(super) const ANY: KnownList = format(
    "columns by their names",
    &[],
    &[
        ("address", C::Address),
        ("email", C::Address),
        ("emailaddress", C::Address),
        ("recipient", C::Address),
        ("mail", C::Address),
        ("mailaddress", C::Address),
        ("recipientemail", C::Address),
        ("recipientaddress", C::Address),
        ("subscriberemail", C::Address),
        ("contactemail", C::Address),
        ("useremail", C::Address),
        ("emailid", C::Address),
        ("rcpt", C::Address),
        ("scope", C::Scope),
        ("listid", C::Scope),
        ("state", C::State),
        ("reason", C::Reason),
        ("status", C::Status),
        // A log of events holds what was delivered, too; how severe a failure was goes first.
        ("severity", C::Status),
        ("event", C::Status),
        ("eventtype", C::Status),
        ("bouncetype", C::Status),
        ("notificationtype", C::Status),
        ("recordtype", C::Status),
        ("type", C::Status),
        ("action", C::Status),
        ("result", C::Status),
        ("outcome", C::Status),
        ("subscriptionstatus", C::Status),
        ("emailstatus", C::Status),
        ("contactstatus", C::Status),
        ("emailmarketingconsent", C::Status),
        ("emailmarketingstatus", C::Status),
        ("deliverystatus.code", C::Code),
        ("deliverystatus.message", C::Text),
        ("deliverystatus.description", C::Text),
        ("unsubscribed", UNSUBSCRIBED),
        ("unsubscribedat", UNSUBSCRIBED),
        ("unsubscribedfromallemail", UNSUBSCRIBED),
        ("bounced", BOUNCED),
        ("isbounced", BOUNCED),
        ("complained", COMPLAINED),
        ("iscomplaint", COMPLAINED),
        ("blacklisted", BLOCKLISTED),
        ("emailblacklisted", BLOCKLISTED),
        ("blocklisted", BLOCKLISTED),
        ("emailblocklisted", BLOCKLISTED),
        ("blocked", BLOCKLISTED),
        ("acceptsmarketing", SUBSCRIBED),
        ("acceptsemailmarketing", SUBSCRIBED),
        ("aktiv", SUBSCRIBED),
        ("optedout", UNSUBSCRIBED),
        ("optout", UNSUBSCRIBED),
        ("abgemeldet", UNSUBSCRIBED),
        ("subscribed", SUBSCRIBED),
        ("optedin", SUBSCRIBED),
        ("optin", SUBSCRIBED),
        ("active", SUBSCRIBED),
        ("enabled", SUBSCRIBED),
        ("description", C::Text),
        ("error", C::Text),
        ("text", C::Text),
        ("diagnostic", C::Text),
        ("bouncereason", C::Reason),
        ("since", C::Since),
        ("date", C::Since),
        ("timestamp", C::Since),
        ("bouncedate", C::Since),
        ("bouncedat", C::Since),
        ("created", C::Since),
        ("createdat", C::Since),
        ("until", C::Until),
    ],
    None,
);

/// The lists of others.
pub(super) const FORMATS: &[KnownList] = &[
    format(
        "Sisimai",
        &["recipient", "reason", "diagnosticcode", "timestamp"],
        &[
            ("recipient", C::Address),
            ("reason", C::Word),
            ("diagnosticcode", C::Text),
            ("timestamp", C::Since),
            ("softbounce", C::When(Sense::Soft)),
            ("hardbounce", C::Unless(Sense::Soft)),
        ],
        Some(BOUNCE),
    ),
    format(
        "PowerMTA accounting file",
        &["type", "rcpt", "dsndiag", "bouncecat"],
        &[
            ("type", C::OtherThan("b", NO_BOUNCE)),
            ("rcpt", C::Address),
            ("bouncecat", C::Word),
            ("dsndiag", C::Text),
            ("timelogged", C::Since),
        ],
        Some(Sense::Soft),
    ),
    format(
        "KumoMTA log",
        &["type", "recipient", "response.code"],
        &[
            ("type", C::OtherThan("bounce", NO_BOUNCE)),
            ("recipient", C::Address),
            ("bounceclassification", C::Word),
            ("bounceclassification.userdefined", C::Word),
            ("response.content", C::Text),
            ("timestamp", C::Since),
        ],
        Some(Sense::Soft),
    ),
    format(
        "SES suppression list",
        &["emailaddress", "reason", "lastupdatetime"],
        &[("emailaddress", C::Address), ("reason", C::Word), ("lastupdatetime", C::Since)],
        Some(BOUNCE),
    ),
    format(
        "SES suppression list",
        &["emailaddress", "suppressionreason", "dateadded"],
        &[("emailaddress", C::Address), ("suppressionreason", C::Word), ("dateadded", C::Since)],
        Some(BOUNCE),
    ),
    format(
        "Postmark suppressions",
        &["emailaddress", "suppressionreason"],
        &[
            ("emailaddress", C::Address),
            ("suppressionreason", C::Word),
            ("origin", C::Origin),
            ("createdat", C::Since),
        ],
        Some(BOUNCE),
    ),
    format(
        "Postmark bounces",
        &["email", "type", "bouncedat"],
        &[
            ("email", C::Address),
            ("type", C::Word),
            ("details", C::Text),
            ("description", C::Text),
            ("bouncedat", C::Since),
        ],
        Some(Sense::Soft),
    ),
    format(
        "Brevo blocked contacts",
        &["email", "reason.code"],
        &[
            ("email", C::Address),
            ("reason.code", C::Word),
            ("reason.message", C::Text),
            ("blockedat", C::Since),
        ],
        Some(BOUNCE),
    ),
    format(
        "Mandrill rejects",
        &["email", "reason", "createdat", "expired"],
        &[
            ("email", C::Address),
            ("reason", C::Word),
            ("detail", C::Text),
            ("createdat", C::Since),
            ("expiresat", C::Until),
            ("expired", C::When(OVER)),
        ],
        Some(BOUNCE),
    ),
    format(
        "Mailchimp unsubscribed contacts",
        &["emailaddress", "unsubtime"],
        &[
            ("emailaddress", C::Address),
            ("unsubreason", C::Text),
            ("unsubreasonother", C::Text),
            ("unsubtime", LEFT),
            ("cleantime", CLEANED),
            ("unsubtime", C::Since),
            ("cleantime", C::Since),
        ],
        Some(SUBSCRIBER),
    ),
    format(
        "Mailchimp cleaned contacts",
        &["emailaddress", "cleantime"],
        &[("emailaddress", C::Address), ("cleantime", CLEANED), ("cleantime", C::Since)],
        Some(SUBSCRIBER),
    ),
    format(
        "Mailchimp subscribed contacts",
        &["emailaddress", "optintime", "lastchanged"],
        &[("emailaddress", C::Address)],
        Some(SUBSCRIBER),
    ),
    format(
        "Mailchimp members",
        &["emailaddress", "status"],
        &[
            ("emailaddress", C::Address),
            ("status", C::Word),
            ("unsubscribereason", C::Text),
            ("lastchanged", C::Since),
        ],
        Some(SUBSCRIBER),
    ),
    format(
        "Mailjet contacts",
        &["email", "isexcludedfromcampaigns"],
        &[
            ("email", C::Address),
            ("isspamcomplaining", C::When(Sense::Is(Cause::Complaint))),
            ("isexcludedfromcampaigns", C::When(Sense::Is(Cause::Unsubscribe))),
            ("unsubscribedat", C::Since),
            ("lastupdateat", C::Since),
        ],
        Some(SUBSCRIBER),
    ),
    format(
        "Mailjet events",
        &["event", "email", "time"],
        &[
            ("email", C::Address),
            ("hardbounce", C::Unless(Sense::Soft)),
            ("blocked", C::When(Sense::Block)),
            ("event", C::Word),
            ("error", C::Text),
            ("comment", C::Text),
            ("time", C::Since),
        ],
        Some(Sense::Soft),
    ),
    format(
        "listmonk bounces",
        &["email", "type", "source", "createdat"],
        &[("email", C::Address), ("type", C::Word), ("createdat", C::Since)],
        Some(Sense::Soft),
    ),
    format(
        "listmonk subscribers",
        &["uuid", "email", "status"],
        &[("email", C::Address), ("status", C::Word), ("updatedat", C::Since)],
        Some(SUBSCRIBER),
    ),
    format(
        "SparkPost suppression list",
        &["recipient", "type", "source"],
        &[
            ("recipient", C::Address),
            ("source", C::Word),
            ("description", C::Text),
            ("created", C::Since),
            ("updated", C::Since),
        ],
        None,
    ),
    format(
        "SparkPost suppression list",
        &["nontransactional"],
        &[
            ("recipient", C::Address),
            ("email", C::Address),
            ("transactional", C::When(BOUNCE)),
            ("nontransactional", C::When(BOUNCE)),
            ("nontransactional", C::Unless(Sense::Not("suppressed for no kind of mail there"))),
            ("source", C::Word),
            ("description", C::Text),
            ("created", C::Since),
        ],
        None,
    ),
    format(
        "Postal suppressions",
        &["address", "type", "reason", "keepuntil"],
        &[
            ("address", C::Address),
            ("reason", C::Word),
            ("timestamp", C::Since),
            ("keepuntil", C::Until),
        ],
        Some(BOUNCE),
    ),
    format(
        "Mailgun allowlist",
        &["value", "type", "reason", "createdat"],
        &[("value", C::Address)],
        ALLOWED,
    ),
    format(
        "Mailgun bounces",
        &["address", "code", "error"],
        &[("address", C::Address), ("code", C::Code), ("error", C::Text), ("createdat", C::Since)],
        Some(BOUNCE),
    ),
    format(
        "Mailgun unsubscribes",
        &["address", "tags", "createdat"],
        &[("address", C::Address), ("tags", C::Scopes), ("createdat", C::Since)],
        UNSUBSCRIBE,
    ),
    format(
        "Mailgun unsubscribes",
        &["address", "tag", "createdat"],
        &[("address", C::Address), ("tag", C::Scopes), ("createdat", C::Since)],
        UNSUBSCRIBE,
    ),
    KnownList {
        exactly: true,
        ..format(
            "Mailgun complaints",
            &["address", "createdat"],
            &[("address", C::Address), ("createdat", C::Since)],
            COMPLAINT,
        )
    },
    format(
        "SendGrid group unsubscribes",
        &["email", "groupid", "createdat"],
        &[("email", C::Address), ("groupid", C::Scope), ("createdat", C::Since)],
        UNSUBSCRIBE,
    ),
    format(
        "SendGrid bounces or blocks",
        &["email", "reason", "status", "created"],
        &[("email", C::Address), ("reason", C::Text), ("status", C::Code), ("created", C::Since)],
        Some(BOUNCE),
    ),
    KnownList {
        exactly: true,
        ..format(
            "addresses with reason and date, such as SendGrid's invalid ones",
            &["email", "reason", "created"],
            &[("email", C::Address), ("reason", C::Reason), ("created", C::Since)],
            Some(BOUNCE),
        )
    },
    KnownList {
        exactly: true,
        ..format(
            "SendGrid spam reports",
            &["email", "ip", "created"],
            &[("email", C::Address), ("created", C::Since)],
            COMPLAINT,
        )
    },
    KnownList {
        exactly: true,
        ..format(
            "SendGrid unsubscribes",
            &["email", "created"],
            &[("email", C::Address), ("created", C::Since)],
            UNSUBSCRIBE,
        )
    },
];

/// The list that has such columns; None when no address is among them.
pub(super) fn recognise(names: &[String]) -> Option<&'static KnownList> {
    let has = |name: &&str| names.iter().any(|n| n == name);
    let fits = |format: &&KnownList| {
        format.needs.iter().all(has) && (!format.exactly || names.len() == format.needs.len())
    };
    let own = Some(&OWN).filter(fits);
    let any = || {
        Some(&ANY).filter(|any| {
            any.columns.iter().any(|(name, column)| *column == C::Address && has(name))
        })
    };
    own.or_else(|| FORMATS.iter().find(fits)).or_else(any)
}
