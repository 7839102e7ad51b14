//! Floor 2: what a report means. Words before codes, provider before general (TAXONOMY section 3).

mod codes;
mod judge;
mod lint;
mod matcher;
pub mod measure;
mod provider;
mod rule;
mod says;
mod shipped;
mod text;
mod verdict;

pub use judge::{NO_WORDS, Refusal, RuleSet, UNKNOWN_WORDS, folded, judge};
pub use lint::{Finding, FindingKind};
pub use provider::{provider_of, provider_of_domain};
pub use rule::{Rule, RuleError, Seen, StatusPattern, When};
pub use says::Says;
pub(crate) use verdict::words;
pub use verdict::{Advice, Category, Certainty, Class, Reason, Verdict};
