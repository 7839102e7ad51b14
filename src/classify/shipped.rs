//! The shipped rules files, in the order in which they are asked.

/// File name and text of each file. The names sort, and a test says that none is missing.
pub(super) const SHIPPED: &[(&str, &str)] = &[
    ("10-google.toml", include_str!("rules/10-google.toml")),
    ("12-microsoft.toml", include_str!("rules/12-microsoft.toml")),
    ("14-yahoo.toml", include_str!("rules/14-yahoo.toml")),
    ("16-apple.toml", include_str!("rules/16-apple.toml")),
    ("20-us-isp.toml", include_str!("rules/20-us-isp.toml")),
    ("24-germany.toml", include_str!("rules/24-germany.toml")),
    ("28-france.toml", include_str!("rules/28-france.toml")),
    ("30-south-europe.toml", include_str!("rules/30-south-europe.toml")),
    ("34-russia.toml", include_str!("rules/34-russia.toml")),
    ("38-china.toml", include_str!("rules/38-china.toml")),
    ("40-japan.toml", include_str!("rules/40-japan.toml")),
    ("44-hosters.toml", include_str!("rules/44-hosters.toml")),
    ("50-filters.toml", include_str!("rules/50-filters.toml")),
    ("54-blocklists.toml", include_str!("rules/54-blocklists.toml")),
    ("58-senders.toml", include_str!("rules/58-senders.toml")),
    ("60-mta.toml", include_str!("rules/60-mta.toml")),
    ("70-wordings.toml", include_str!("rules/70-wordings.toml")),
    ("90-iana.toml", include_str!("rules/90-iana.toml")),
    ("92-weak-words.toml", include_str!("rules/92-weak-words.toml")),
    ("95-vague-codes.toml", include_str!("rules/95-vague-codes.toml")),
];
