//! Who refused: a closed table of providers, known by host names, recipient domains and marks.
//!
//! Promises: the answer is one of a closed set of names (safe as a metrics label); the same input
//! gives the same answer; host names decide before domains, and domains before marks in the text,
//! because a host that refused is a fact and a mark can be quoted.
//! Deliberately ignorant of reasons: the rules ask for a provider, the table knows no wording.
//!
//! The data is in `providers.toml`; a new provider is one table there and no Rust.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::text;
use crate::mail::MultiSearch;

/// The provider that refused, by the strongest clue there is.
///
/// `text` is the diagnostic as it came. A host in `remote_mta` that the table does not know stops
/// neither domain nor marks: domains move to new hosts more often than this table is written.
pub fn provider_of(
    remote_mta: Option<&str>,
    reporting_mta: Option<&str>,
    recipient_domain: Option<&str>,
    text: &str,
) -> Option<&'static str> {
    by_host_or_domain(remote_mta, recipient_domain).or_else(|| {
        let mut folded = String::new();
        text::fold(text, &mut folded);
        by_mark(&folded).or_else(|| by_reporter(remote_mta, reporting_mta))
    })
}

/// Whose mailboxes a domain (or its parent) holds.
pub fn provider_of_domain(domain: &str) -> Option<&'static str> {
    let table = &*TABLE;
    longest(&table.domains, domain).map(|index| table.name(index))
}

/// The clues that cost one hash look-up for each label.
pub(super) fn by_host_or_domain(
    remote_mta: Option<&str>,
    recipient_domain: Option<&str>,
) -> Option<&'static str> {
    let table = &*TABLE;
    remote_mta
        .and_then(|host| longest(&table.hosts, host_of(host)))
        .map(|index| table.name(index))
        .or_else(|| recipient_domain.and_then(provider_of_domain))
}

/// The mark in folded text that ends first; of those the longest.
pub(super) fn by_mark(folded: &str) -> Option<&'static str> {
    let table = &*TABLE;
    let mut first: Option<(usize, usize, usize)> = None;
    table.marks.find(folded.as_bytes(), |mark, start| {
        let (octets, owner) = table.mark_rows.get(mark).copied().unwrap_or_default();
        let found = (start + octets, start, owner);
        first = Some(first.map_or(found, |first| first.min(found)));
    });
    first.map(|(_, _, owner)| table.name(owner))
}

/// The reporter refused only when it names no one else: a provider that could not deliver to a
/// foreign host is not the one that said no.
pub(super) fn by_reporter(
    remote_mta: Option<&str>,
    reporting_mta: Option<&str>,
) -> Option<&'static str> {
    if remote_mta.is_some_and(|host| !host_of(host).is_empty()) {
        return None;
    }
    let table = &*TABLE;
    longest(&table.hosts, host_of(reporting_mta?)).map(|index| table.name(index))
}

/// Whether the table has this name; rules may ask for no other.
pub(super) fn is_provider(name: &str) -> bool {
    TABLE.names.iter().any(|known| known == name)
}

/// Whether folded text names a provider: by one of its marks, or by a word of its name.
pub(super) fn names_one(folded: &str) -> bool {
    let word = |name: &String| {
        name.split('-')
            .any(|part| part.len() > 4 && !COMMON.contains(&part) && folded.contains(part))
    };
    by_mark(folded).is_some() || TABLE.names.iter().any(word)
}

/// Parts of provider names that are ordinary words.
const COMMON: &[&str] = &[
    "exchange", "online", "cloud", "email", "filter", "secure", "hosted", "group", "legacy",
    "gateway", "hosting", "japan", "france", "trend", "orange", "suite", "proton", "forward",
    "defense", "security", "business",
];

/// The given name as the table's own.
pub(super) fn known(name: &str) -> Option<&'static str> {
    TABLE.names.iter().find(|known| *known == name).map(String::as_str)
}

/// The host name in `dns; mx.example.com. (192.0.2.4)`.
pub(super) fn host_of(field: &str) -> &str {
    let field = field.rsplit(';').next().unwrap_or_default().trim();
    let end = field
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_'))
        .unwrap_or(field.len());
    field.get(..end).unwrap_or_default().trim_matches('.')
}

/// Looks up a host and then each of its parents.
fn longest(map: &HashMap<String, usize>, host: &str) -> Option<usize> {
    let lower;
    let mut rest = host.trim_end_matches('.');
    if rest.bytes().any(|b| b.is_ascii_uppercase()) {
        lower = rest.to_ascii_lowercase();
        rest = &lower;
    }
    loop {
        if let Some(index) = map.get(rest) {
            return Some(*index);
        }
        rest = rest.split_once('.')?.1;
    }
}

static SOURCE: &str = include_str!("providers.toml");
static TABLE: LazyLock<ProviderTable> = LazyLock::new(|| ProviderTable::read(SOURCE));

struct ProviderTable {
    names: Vec<String>,
    hosts: HashMap<String, usize>,
    domains: HashMap<String, usize>,
    marks: MultiSearch,
    /// Octets of each mark, and whose it is.
    mark_rows: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    provider: Vec<ProviderRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderRow {
    name: String,
    #[serde(default)]
    mx: Vec<String>,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    marks: Vec<String>,
}

impl ProviderTable {
    fn read(source: &str) -> Self {
        let file: ProviderFile =
            toml::from_str(source).expect("providers.toml is read by the tests");
        let mut table = Self {
            names: Vec::new(),
            hosts: HashMap::new(),
            domains: HashMap::new(),
            marks: MultiSearch::new([""; 0]),
            mark_rows: Vec::new(),
        };
        let mut marks = Vec::new();
        for (index, row) in file.provider.into_iter().enumerate() {
            table.names.push(row.name);
            for host in row.mx {
                table.hosts.entry(host).or_insert(index);
            }
            for domain in row.domains {
                table.domains.entry(domain).or_insert(index);
            }
            for mark in row.marks {
                let mark = text::fold_piece(&mark);
                table.mark_rows.push((mark.len(), index));
                marks.push(mark);
            }
        }
        table.marks = MultiSearch::new(marks);
        table
    }

    fn name(&'static self, index: usize) -> &'static str {
        self.names.get(index).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_clue_names_the_provider() {
        for (remote, reporting, domain, text, expected) in [
            (Some("dns; aspmx.l.google.com"), None, None, "", Some("google")),
            (Some("ASPMX.L.GOOGLE.COM. (192.0.2.4)"), None, None, "", Some("google")),
            (None, None, Some("gmail.com"), "", Some("google")),
            (None, None, Some("example.com"), "550 5.1.1 no - gsmtp", Some("google")),
            // The host that refused beats the domain: forwarding.
            (Some("mta7.am0.yahoodns.net"), None, Some("gmail.com"), "", Some("yahoo")),
            // A provider that reports about a foreign host did not refuse.
            (Some("mx.example.net"), Some("mail-1.google.com"), Some("example.net"), "", None),
            (None, Some("dns; mail-1.google.com"), Some("example.net"), "", Some("google")),
            // Only whole labels count.
            (Some("notgoogle.com"), None, None, "", None),
            (
                Some("example.com.mail.protection.outlook.com"),
                None,
                None,
                "",
                Some("exchange-online"),
            ),
            (Some(""), None, Some(""), "", None),
        ] {
            assert_eq!(provider_of(remote, reporting, domain, text), expected, "{remote:?} {text}");
        }
    }

    #[test]
    fn the_table_is_sound() {
        let file: ProviderFile = toml::from_str(SOURCE).expect("providers.toml reads");
        let mut names = std::collections::HashSet::new();
        let mut hosts = std::collections::HashSet::new();
        for row in &file.provider {
            assert!(names.insert(&row.name), "{} stands twice", row.name);
            for host in row.mx.iter().chain(&row.domains) {
                assert_eq!(*host, host.to_ascii_lowercase());
                assert!(host.contains('.') && !host.starts_with('.'), "{host}");
            }
            for host in &row.mx {
                assert!(hosts.insert(host), "{host} belongs to two providers");
            }
            assert!(row.marks.iter().all(|m| m.len() >= 4), "{}: a mark is too short", row.name);
        }
        assert!(file.provider.len() > 150);
        assert!(is_provider("google") && !is_provider("") && known("yahoo") == Some("yahoo"));
    }
}
