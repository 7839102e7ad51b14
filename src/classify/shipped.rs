//! The shipped rules files, in the order in which they are asked.

/// File name and text of each file. The names sort, and a test says that none is missing.
pub(super) const SHIPPED: &[(&str, &str)] = &[
    ("70-refused.toml", include_str!("rules/70-refused.toml")),
    ("80-generic.toml", include_str!("rules/80-generic.toml")),
    ("90-iana.toml", include_str!("rules/90-iana.toml")),
    ("92-weak-words.toml", include_str!("rules/92-weak-words.toml")),
    ("95-vague-codes.toml", include_str!("rules/95-vague-codes.toml")),
];
