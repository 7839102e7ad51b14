//! Floor 2: what a report means. Words before codes, provider before general (TAXONOMY section 3).

mod verdict;

pub(crate) use verdict::words;
pub use verdict::{Advice, Category, Class, Reason, Verdict};
