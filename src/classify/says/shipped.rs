//! The shipped table and lexicon.

/// Composition.
pub(super) const TABLE: &str = include_str!("table.toml");

/// File name and text of each language; English first, for a phrase means what the first file says.
pub(super) const LEXICON: &[(&str, &str)] = &[
    ("en.toml", include_str!("lexicon/en.toml")),
    ("ar.toml", include_str!("lexicon/ar.toml")),
    ("bg.toml", include_str!("lexicon/bg.toml")),
    ("ca.toml", include_str!("lexicon/ca.toml")),
    ("cs.toml", include_str!("lexicon/cs.toml")),
    ("da.toml", include_str!("lexicon/da.toml")),
    ("de.toml", include_str!("lexicon/de.toml")),
    ("el.toml", include_str!("lexicon/el.toml")),
    ("es.toml", include_str!("lexicon/es.toml")),
    ("et.toml", include_str!("lexicon/et.toml")),
    ("fa.toml", include_str!("lexicon/fa.toml")),
    ("fi.toml", include_str!("lexicon/fi.toml")),
    ("fr.toml", include_str!("lexicon/fr.toml")),
    ("he.toml", include_str!("lexicon/he.toml")),
    ("hr.toml", include_str!("lexicon/hr.toml")),
    ("hu.toml", include_str!("lexicon/hu.toml")),
    ("id.toml", include_str!("lexicon/id.toml")),
    ("it.toml", include_str!("lexicon/it.toml")),
    ("ja.toml", include_str!("lexicon/ja.toml")),
    ("ko.toml", include_str!("lexicon/ko.toml")),
    ("lt.toml", include_str!("lexicon/lt.toml")),
    ("lv.toml", include_str!("lexicon/lv.toml")),
    ("nl.toml", include_str!("lexicon/nl.toml")),
    ("no.toml", include_str!("lexicon/no.toml")),
    ("pl.toml", include_str!("lexicon/pl.toml")),
    ("pt.toml", include_str!("lexicon/pt.toml")),
    ("ro.toml", include_str!("lexicon/ro.toml")),
    ("ru.toml", include_str!("lexicon/ru.toml")),
    ("sl.toml", include_str!("lexicon/sl.toml")),
    ("sv.toml", include_str!("lexicon/sv.toml")),
    ("th.toml", include_str!("lexicon/th.toml")),
    ("tr.toml", include_str!("lexicon/tr.toml")),
    ("uk.toml", include_str!("lexicon/uk.toml")),
    ("vi.toml", include_str!("lexicon/vi.toml")),
    ("zh.toml", include_str!("lexicon/zh.toml")),
];
