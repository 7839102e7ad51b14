//! What is wrong with a policy, in a sentence that says what to write instead.

use super::{Effect, MAX_STRIKES, Numbers, Policy, Term};
use crate::classify::Reason;
use crate::event::{MAX_SCOPE_OCTETS, is_scope};

/// Scopes with numbers of their own, at most.
const MAX_SCOPES: usize = 64;

impl Policy {
    /// What is wrong with it, and what to write instead.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.scopes.len() > MAX_SCOPES {
            return Err(format!("policy.scopes: at most {MAX_SCOPES} scopes may have own numbers"));
        }
        let mut places = vec![("policy".to_string(), None)];
        for (scope, table) in &self.scopes {
            if !is_scope(scope) || scope == "*" {
                return Err(format!(
                    "policy.scopes: `{scope}` is no scope; use letters, digits, `-`, `_`, `.`, at \
                     most {MAX_SCOPE_OCTETS}"
                ));
            }
            if table.effect.is_some() {
                return Err(format!(
                    "policy.scopes.{scope}.effect: an effect belongs to one reason; write it under \
                     [policy.scopes.{scope}.reasons.<reason>]"
                ));
            }
            places.push((format!("policy.scopes.{scope}"), Some(scope.as_str())));
        }
        for (place, scope) in places {
            let own = self.numbers(scope.unwrap_or("*"), Reason::SuppressedHere);
            if own.effect != Effect::Never {
                return Err(format!(
                    "{place}.reasons.suppressed-here.effect: these are our own refusals, and they \
                     count in nothing; leave it out"
                ));
            }
            let name = scope.unwrap_or("*");
            self.scope_numbers(name).validate(&place)?;
            for reason in Reason::ALL {
                self.numbers(name, *reason).validate(&format!("{place}.reasons.{reason}"))?;
            }
        }
        self.validate_guards()
    }

    fn validate_guards(&self) -> Result<(), String> {
        if self.outage.min_recipients > 0 && self.outage.factor < 2 {
            return Err("policy.outage.factor: must be 2 or more, else an ordinary day trips the \
                        guard; to turn it off write min_recipients = 0"
                .to_string());
        }
        for (key, term) in [
            ("policy.outage.look_back", self.outage.look_back),
            ("policy.outage.calm", self.outage.calm),
            ("policy.outage.learn", self.outage.learn),
            ("policy.blast.calm", self.blast.calm),
            ("policy.health.keep", self.health.keep),
        ] {
            if term.is_forever() {
                return Err(format!("{key}: must have an end; write such as \"2h\""));
            }
        }
        if !(0.0..=100.0).contains(&self.blast.percent_of_seen) {
            return Err("policy.blast.percent_of_seen: is a percentage from 0 to 100".to_string());
        }
        for (key, steps) in [
            ("policy.health.bounces", self.health.bounces),
            ("policy.health.complaints", self.health.complaints),
        ] {
            let [low, middle, high] = steps;
            if !(low > 0.0 && low < middle && middle < high && high <= 100.0) {
                return Err(format!(
                    "{key}: must be three growing percentages, such as [2.0, 5.0, 10.0]"
                ));
            }
        }
        Ok(())
    }
}

impl Numbers {
    /// `place`: the table that they are in force for.
    fn validate(&self, place: &str) -> Result<(), String> {
        match self.wrong() {
            Some((key, text)) => Err(format!("{place}.{key}: {text}")),
            None => Ok(()),
        }
    }

    /// A key, and what is wrong with its value.
    fn wrong(&self) -> Option<(&'static str, String)> {
        if self.term.is_forever() || self.term.is_never() || self.probation.is_never() {
            // No probation: nothing to compare.
        } else if self.probation <= self.term {
            let text = format!(
                "{} must be longer than term ({}), or \"0\" for none",
                self.probation, self.term
            );
            return Some(("probation", text));
        } else if self.probation.is_forever() {
            return Some(("probation", "must have an end; write \"0\" for none".to_string()));
        }
        if self.try_grace.is_forever() {
            return Some(("try_grace", "must have an end; write such as \"7d\"".to_string()));
        }
        if self.strikes > MAX_STRIKES {
            return Some(("strikes", format!("at most {MAX_STRIKES} are remembered")));
        }
        if self.strikes == 0 {
            return None;
        }
        if self.strike_days > self.strikes {
            let text =
                format!("{} cannot be more than strikes ({})", self.strike_days, self.strikes);
            return Some(("strike_days", text));
        }
        if self.strike_window.is_never() {
            let text = "is \"0\": no strike would count; write strikes = 0 for that".to_string();
            return Some(("strike_window", text));
        }
        // Between the first and the last of three different days is more than one whole day.
        let apart = Term::days(self.strike_days.saturating_sub(2));
        if self.effect == Effect::Count && self.strike_days > 2 && self.strike_window <= apart {
            let text = format!(
                "{} different days (strike_days) cannot be within strike_window ({}): strikes would \
                 never suppress; write a longer one, or strikes = 0 for that",
                self.strike_days, self.strike_window
            );
            return Some(("strike_window", text));
        }
        None
    }
}
