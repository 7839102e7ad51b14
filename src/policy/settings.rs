//! The `[policy]` table: every number of docs/policy.md as a key, three presets, one check.
//!
//! Text becomes a [`PolicyTable`] (serde, unknown keys refused), which becomes a [`Policy`] once;
//! below this module values are right. A policy is laid in layers, later ones win: the preset, the
//! keys of `[policy]`, the preset's reasons, `[policy.reasons.R]`, `[policy.scopes.S]` and
//! `[policy.scopes.S.reasons.R]`.
//!
//! The journal holds the policy in force as the JSON of [`Policy`] with every number written out,
//! so a later release with other defaults folds an old journal to the same state.

mod check;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::term::Term;
use crate::classify::{Category, Reason};
use crate::mail::{Case, words};

words! {
    /// What a failure for some reason does to the address (docs/taxonomy.md, "Reasons").
    Effect {
        /// Suppresses at once.
        Now = "now",
        /// Suppresses when confirmed on a later day.
        Twice = "twice",
        /// One strike.
        Count = "count",
        /// Leaves the address alone.
        Never = "never",
    }
}

words! {
    /// What becomes of an address whose probation ends without a try.
    Untried {
        /// Suppressed without end: an address dead for months may come back as a spam trap.
        Suppress = "suppress",
        /// Mailable again; for senders that report no `sent` events, where no try is ever seen.
        Clear = "clear",
    }
}

impl Numbers {
    /// What a failure does, said or inferred: doubt never makes it worse.
    pub const fn effect_of(&self, inferred: bool) -> Effect {
        match self.effect {
            Effect::Now if inferred => self.inferred,
            effect => effect,
        }
    }
}

impl Effect {
    /// `now` or `twice`.
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::Now | Self::Twice)
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr),+ $(,)?) => {
        /// The numbers that are in force for one reason in one scope.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Numbers { $($(#[$doc])* pub $name: $type),+ }

        impl Default for Numbers {
            fn default() -> Self { Self { $($name: $default),+ } }
        }

        /// Some of the numbers: a layer over those below it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Layer {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>),+
        }

        impl Numbers {
            fn lay(&mut self, layer: &Layer) {
                $(if let Some(value) = layer.$name { self.$name = value; })+
            }
        }

        impl Layer {
            fn lay(&mut self, layer: &Layer) {
                $(if layer.$name.is_some() { self.$name = layer.$name; })+
            }
        }

        /// `[policy.scopes.S]`: numbers, and numbers of single reasons.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct ScopeTable {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)+
            /// `[policy.scopes.S.reasons.R]`
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub reasons: BTreeMap<Reason, Layer>,
        }

        impl ScopeTable {
            fn layer(&self) -> Layer { Layer { $($name: self.$name),+ } }
        }

        /// `[policy]` as text; [`Policy::check`] makes a policy of it.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct PolicyTable {
            /// `patient`, `five-soft` or `strict`.
            pub preset: Option<String>,
            /// Whether `User@` and `user@` are one mailbox: `fold`, `keep`.
            pub local_part_case: Option<Case>,
            /// Addresses that one message without a signed return path may decide for.
            pub max_recipients_per_report: Option<u32>,
            $($(#[$doc])* pub $name: Option<$type>,)+
            /// `[policy.reasons.R]`
            pub reasons: BTreeMap<Reason, Layer>,
            /// `[policy.scopes.S]`
            pub scopes: BTreeMap<String, ScopeTable>,
            /// `[policy.outage]`
            pub outage: Outage,
            /// `[policy.blast]`
            pub blast: Blast,
            /// `[policy.health]`
            pub health: Thresholds,
        }

        impl PolicyTable {
            fn layer(&self) -> Layer { Layer { $($name: self.$name),+ } }
        }
    };
}

numbers! {
    /// What a failure does: `now`, `twice`, `count`, `never`.
    effect: Effect = Effect::Never,
    /// What `now` means for a reason that is inferred, not said.
    inferred: Effect = Effect::Twice,
    /// How long `now` and a confirmed `twice` suppress; `0` never, `forever` without end.
    term: Term = Term::days(14),
    /// Until how long after the failure one more try is allowed; `0`: no probation, the address is
    /// mailable again when the term ends.
    probation: Term = Term::days(90),
    /// What an untried probation ends in.
    untried: Untried = Untried::Suppress,
    /// A try without a failure for so long was a success.
    try_grace: Term = Term::days(7),
    /// A `twice` is confirmed by another within this time; `0` never.
    confirm_within: Term = Term::days(30),
    /// Strikes that suppress; 0 never.
    strikes: u32 = 5,
    /// On at least so many days.
    strike_days: u32 = 3,
    /// Within this time.
    strike_window: Term = Term::days(30),
    /// How long strikes suppress the first time; `0` never.
    strike_term: Term = Term::days(30),
    /// Each next time is longer by this factor; 1 keeps the term, 2 doubles it.
    strike_growth: u32 = 2,
    /// Proof of life clears strikes.
    life_clears: bool = true,
    /// For so long after proof of life one `now` is watched only; `0` never.
    life_shield: Term = Term::days(14),
}

/// `[policy.outage]`: the provider-outage guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outage {
    /// Distinct recipients in ten minutes below which it never trips; 0 turns the guard off.
    pub min_recipients: u32,
    /// How many times the expectation trips it.
    pub factor: u32,
    /// Suppressions of so long before the trip are held too.
    pub look_back: Term,
    /// It ends so long after the rate was normal again.
    pub calm: Term,
    /// A provider is new for so long; then its expectation has a floor.
    pub learn: Term,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            min_recipients: 30,
            factor: 6,
            look_back: Term::hours(2),
            calm: Term::hours(1),
            learn: Term::days(7),
        }
    }
}

/// `[policy.blast]`: the cap on new suppressions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blast {
    /// New suppressions in an hour and scope; 0 turns the cap off.
    pub per_hour: u32,
    /// Or this percentage of the addresses seen in 24 hours, if that is more.
    pub percent_of_seen: f64,
    /// Held ones go back to watched so long after the last that was too many.
    pub calm: Term,
}

impl Default for Blast {
    fn default() -> Self {
        Self { per_hour: 2_000, percent_of_seen: 1.0, calm: Term::hours(1) }
    }
}

/// `[policy.health]`: percentages at which a sender is unhealthy, risky, critical.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Bounces (hard, soft and block) of what was sent.
    pub bounces: [f64; 3],
    /// Complaints of what was delivered, or of what was sent when nothing says delivered.
    pub complaints: [f64; 3],
    /// Below this volume a rate says nothing.
    pub minimum: u64,
    /// Days for which figures are kept.
    pub keep: Term,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            bounces: [2.0, 5.0, 10.0],
            complaints: [0.1, 0.3, 0.5],
            minimum: 200,
            keep: Term::days(90),
        }
    }
}

/// A checked policy with every number written out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The preset it began with; a name only.
    pub preset: String,
    /// Only `signed` evidence counts: set at start-up when there is a signing key.
    pub require_signed: bool,
    /// Whether `User@` and `user@` are one mailbox. Chosen once for a journal: rows bear the keys.
    #[serde(default)]
    pub local_part_case: Case,
    /// Domains of our return paths, from `smtp.domains`; no report speaks against an address there.
    /// None: journalled by a release that had no such rule, and folded as it was then.
    #[serde(default)]
    pub own_domains: Option<Vec<String>>,
    /// Addresses that one message without a signed return path may decide for; what else it names
    /// is evidence only.
    #[serde(default = "unlimited")]
    pub max_recipients_per_report: u32,
    base: Numbers,
    reasons: BTreeMap<Reason, Layer>,
    scopes: BTreeMap<String, ScopeTable>,
    /// Provider-outage guard.
    pub outage: Outage,
    /// Blast-radius cap.
    pub blast: Blast,
    /// Health thresholds.
    pub health: Thresholds,
}

/// As it was before there was a limit.
const fn unlimited() -> u32 {
    u32::MAX
}

impl Default for Policy {
    fn default() -> Self {
        let mut policy = Self {
            local_part_case: Case::default(),
            own_domains: Some(Vec::new()),
            max_recipients_per_report: 50,
            preset: "patient".to_string(),
            require_signed: false,
            base: Numbers::default(),
            reasons: BTreeMap::new(),
            scopes: BTreeMap::new(),
            outage: Outage::default(),
            blast: Blast::default(),
            health: Thresholds::default(),
        };
        for reason in Reason::ALL {
            policy.reasons.entry(*reason).or_default().effect = Some(effect_of(*reason));
        }
        policy
    }
}

/// Column "effect" of docs/taxonomy.md, "Reasons".
const fn effect_of(reason: Reason) -> Effect {
    use Reason as R;
    match reason {
        R::UserUnknown | R::AddressMoved | R::AddressSyntax => Effect::Now,
        R::MailboxInactive | R::DomainUnknown | R::DomainNoMail | R::ProviderSuppressed => {
            Effect::Twice
        }
        R::MailboxFull
        | R::SystemFull
        | R::SystemError
        | R::MailerError
        | R::ListExpansion
        | R::NetworkError
        | R::DnsFailure
        | R::Expired
        | R::Filtered
        | R::RelayingDenied
        | R::Generic => Effect::Count,
        R::MessageTooLarge
        | R::RateLimited
        | R::Greylisted
        | R::Blocked
        | R::Reputation
        | R::SenderRejected
        | R::ReverseDns
        | R::AuthFailure
        | R::Policy
        | R::Security
        | R::SpamContent
        | R::ContentRejected
        | R::Attachment
        | R::Virus
        | R::ProtocolError
        | R::NoRecipient
        | R::SuppressedHere
        | R::Undetermined => Effect::Never,
    }
}

impl Policy {
    /// `patient`, `five-soft`, `strict`.
    pub const PRESETS: [&'static str; 3] = ["patient", "five-soft", "strict"];

    /// A preset by name.
    pub fn preset(name: &str) -> Option<Self> {
        let mut policy = Self { preset: name.to_string(), ..Self::default() };
        match name {
            "patient" => {}
            "strict" => {
                for reason in Reason::ALL.iter().filter(|r| r.category() == Category::Hard) {
                    policy.without_end_at_once(*reason);
                }
            }
            "five-soft" => {
                // "Five soft bounces of any kind": no days, no window, no proof of life. Its users
                // count refused content as soft and a relay error as hard
                // (docs/policy.md, "All keys").
                policy.base.strike_days = 1;
                policy.base.strike_window = Term::FOREVER;
                policy.base.strike_term = Term::FOREVER;
                policy.base.life_clears = false;
                policy.base.life_shield = Term::NEVER;
                use Reason as R;
                let content = [R::SpamContent, R::ContentRejected, R::Attachment, R::Filtered];
                for reason in Reason::ALL {
                    if reason.category() == Category::Soft || content.contains(reason) {
                        policy.layer_of(*reason).effect = Some(Effect::Count);
                    } else if reason.category() == Category::Hard || *reason == R::RelayingDenied {
                        policy.without_end_at_once(*reason);
                    }
                }
            }
            _ => return None,
        }
        Some(policy)
    }

    fn layer_of(&mut self, reason: Reason) -> &mut Layer {
        self.reasons.entry(reason).or_default()
    }

    fn without_end_at_once(&mut self, reason: Reason) {
        let layer = self.layer_of(reason);
        layer.effect = Some(Effect::Now);
        layer.term = Some(Term::FOREVER);
    }

    /// Makes a policy of a table, or says what is wrong with it and what to write instead.
    pub fn check(table: PolicyTable) -> Result<Self, String> {
        let name = table.preset.clone().unwrap_or_else(|| "patient".to_string());
        let mut policy = Self::preset(&name).ok_or_else(|| {
            format!(
                "policy.preset: there is no preset `{name}`; write one of {}",
                Self::PRESETS.join(", ")
            )
        })?;
        if table.effect.is_some() {
            return Err("policy.effect: an effect belongs to one reason; write it under \
                        [policy.reasons.<reason>]"
                .to_string());
        }
        policy.base.lay(&table.layer());
        for (reason, layer) in &table.reasons {
            policy.layer_of(*reason).lay(layer);
        }
        policy.local_part_case = table.local_part_case.unwrap_or_default();
        if let Some(most) = table.max_recipients_per_report {
            policy.max_recipients_per_report = most;
        }
        policy.scopes = table.scopes;
        policy.outage = table.outage;
        policy.blast = table.blast;
        policy.health = table.health;
        policy.validate()?;
        Ok(policy)
    }

    /// The numbers in force for a reason in a scope (`*`: in none in particular).
    pub fn numbers(&self, scope: &str, reason: Reason) -> Numbers {
        let mut numbers = self.base;
        if let Some(layer) = self.reasons.get(&reason) {
            numbers.lay(layer);
        }
        if let Some(table) = self.scopes.get(scope) {
            numbers.lay(&table.layer());
            if let Some(layer) = table.reasons.get(&reason) {
                numbers.lay(layer);
            }
        }
        numbers
    }

    /// Can a failure for this reason ever change an address, in some scope?
    pub(super) fn ever_counts(&self, scope: &str, reason: Reason) -> bool {
        self.numbers("*", reason).effect != Effect::Never
            || self.numbers(scope, reason).effect != Effect::Never
            || self.scopes.keys().any(|s| self.numbers(s, reason).effect != Effect::Never)
    }

    /// The numbers of a scope that belong to no reason.
    pub fn scope_numbers(&self, scope: &str) -> Numbers {
        let mut numbers = self.base;
        if let Some(table) = self.scopes.get(scope) {
            numbers.lay(&table.layer());
        }
        numbers
    }

    /// The scopes that have numbers of their own.
    pub(super) fn own_scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str)
    }

    /// Has this scope numbers of its own?
    pub fn distinguishes(&self, scope: &str) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The act that journals this policy as the one in force.
    pub fn act(&self) -> crate::event::Act {
        let policy = serde_json::to_value(self).unwrap_or_default();
        crate::event::Act::Policy { policy }
    }
}

/// Strikes that an address remembers at most; a policy cannot ask for more.
pub(super) const MAX_STRIKES: u32 = 20;
