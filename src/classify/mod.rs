//! What a report means. Words before codes, provider before general
//! (docs/taxonomy.md, "How a reason is found").

mod codes;
mod judge;
mod lint;
mod matcher;
pub mod measure;
mod named;
mod outcome;
pub mod own_refusal;
mod provider;
mod rule;
mod rules_file;
mod says;
pub mod shadow;
mod shipped;
mod text;
mod verdict;

pub use judge::{NO_WORDS, Refusal, RuleSet, UNKNOWN_WORDS, folded, judge};
pub use lint::{FindingKind, LintFinding};
pub use outcome::RecipientVerdict;
pub use provider::{provider_of, provider_of_domain};
pub use rule::{Rule, RuleError, Sample, StatusPattern, When};
pub use says::Says;
pub use verdict::{Advice, Category, Certainty, Class, Reason, Verdict};
