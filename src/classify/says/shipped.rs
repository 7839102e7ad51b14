//! The shipped table and lexicon.

/// Composition.
pub(super) const TABLE: &str = include_str!("table.toml");

/// File name and text of each language, English first.
pub(super) const LEXICON: &[(&str, &str)] = &[("en.toml", include_str!("lexicon/en.toml"))];
