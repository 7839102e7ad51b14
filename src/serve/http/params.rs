//! Queries and paths as text. Unknown parameters are an error: a misspelt `scope` must not
//! silently ask about another one.

use axum::http::Uri;

use crate::event::{MAX_SCOPE_OCTETS, is_scope};
use crate::mail::Timestamp;
use crate::serve::percent;
use crate::serve::problem::Problem;
use crate::service::{Direction, moment};

/// The parameters of a query, values still encoded.
pub struct Params<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Params<'a> {
    /// Reads a query whose parameters must be among `known`.
    pub fn of(uri: &'a Uri, known: &[&str]) -> Result<Self, Problem> {
        Self::parse(uri.query().unwrap_or_default(), known)
    }

    /// Reads `a=b&c=d`, whatever the names are.
    pub fn any(query: &'a str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect())
    }

    /// Reads `a=b&c=d`.
    pub fn parse(query: &'a str, known: &[&str]) -> Result<Self, Problem> {
        let params = Self::any(query);
        match params.0.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(params),
            Some((name, _)) => Err(Problem::bad_request(match known {
                [] => format!("there are no parameters here; leave `{name}` out"),
                _ => format!("unknown parameter `{name}`; known are: {}", known.join(", ")),
            })),
        }
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    /// A value as browsers and curl's `--data-urlencode` write it; `+` is a space.
    pub fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        self.raw(name).map(|raw| decoded(name, percent::decode_form(raw))).transpose()
    }

    /// All values of an address parameter; `+` is itself, because VERP addresses are full of it.
    pub fn addresses(&self, name: &str) -> Result<Vec<String>, Problem> {
        let raw = self.0.iter().filter(|(known, value)| *known == name && !value.is_empty());
        raw.map(|(_, value)| decoded(name, percent::decode(value))).collect()
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parsed = |raw: &str| {
            raw.parse().map_err(|_| {
                Problem::bad_request(format!("`{name}` must be a whole number, 0 to {}", u64::MAX))
            })
        };
        self.raw(name).map(parsed).transpose()
    }

    /// `true`, `1`, or the bare name.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.0.iter().find(|(known, _)| *known == name) {
            None | Some((_, "false" | "0")) => Ok(false),
            Some((_, "" | "true" | "1")) => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("`{name}` must be true or false"))),
        }
    }

    /// A moment; a duration counts back from now.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.text(name)?.map(|text| time(name, &text, Direction::Back)).transpose()
    }

    /// A scope. One that cannot be is an error: it would be a list that is empty.
    pub fn scope(&self) -> Result<Option<String>, Problem> {
        self.text("scope")?.map(scope).transpose()
    }
}

/// A moment of a parameter or a field.
pub fn time(name: &str, text: &str, direction: Direction) -> Result<Timestamp, Problem> {
    // An unencoded `+01:00` arrives as a space.
    moment(&text.replace(' ', "+"), Timestamp::now(), direction)
        .map_err(|why| Problem::bad_request(format!("`{name}`: {why}")))
}

/// A scope of a parameter or a field.
pub fn scope(text: String) -> Result<String, Problem> {
    if is_scope(&text) {
        return Ok(text);
    }
    let detail = format!(
        "`scope` is `*` for all, or a name of letters, digits, `-`, `_` and `.`, at most \
         {MAX_SCOPE_OCTETS}"
    );
    Err(Problem::bad_request(detail))
}

/// What comes after a prefix of the path: an address.
pub fn address(uri: &Uri, prefix: &str) -> Result<String, Problem> {
    let raw = uri.path().strip_prefix(prefix).unwrap_or_default();
    decoded("address", percent::decode(raw))
}

fn decoded(name: &str, value: Option<String>) -> Result<String, Problem> {
    value.ok_or_else(|| {
        Problem::bad_request(format!("`{name}` is not percent-encoded UTF-8; write % as %25"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries() {
        let known = ["to", "reason", "limit", "follow", "since"];
        let query =
            "to=a+b=c@d.test&to=e%40f.test&reason=moved+away%21&limit=5&follow&since=2026-11-22";
        let params = Params::parse(query, &known).expect("all known");
        assert_eq!(params.addresses("to").expect("good"), ["a+b=c@d.test", "e@f.test"]);
        assert_eq!(params.text("reason").expect("good").as_deref(), Some("moved away!"));
        assert_eq!(params.number("limit").expect("good"), Some(5));
        assert!(params.flag("follow").expect("good"));
        let since = params.time("since").expect("good").map(|t| t.to_string());
        assert_eq!(since.as_deref(), Some("2026-11-22T00:00:00Z"));
        let day = Params::parse("since=1d", &known).expect("known").time("since");
        let day = day.expect("good").expect("there").millis();
        assert!((Timestamp::now().millis() - 86_400_000 - day).abs() < 600_000, "a day ago: {day}");
        let empty = Params::parse("to=&reason=", &known).expect("all known");
        assert!(empty.addresses("to").expect("good").is_empty());
        assert_eq!(empty.text("reason").expect("good"), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let detail = |result: Result<String, Problem>| result.expect_err("wrong").detail;
        let parse =
            |query: &'static str| Params::parse(query, &["limit", "since", "follow", "scope"]);
        assert_eq!(
            detail(parse("limt=5").map(|_| String::new())),
            "unknown parameter `limt`; known are: limit, since, follow, scope"
        );
        for (query, words) in [
            ("limit=-1", "must be a whole number"),
            ("since=yesterday", "write a date (2026-12-31)"),
            ("scope=a/b", "`scope` is `*` for all"),
            ("since=%ff", "not percent-encoded UTF-8"),
            ("follow=maybe", "must be true or false"),
        ] {
            let params = parse(query).expect("known");
            let number = params.number("limit").map(|_| String::new());
            let result = number
                .and_then(|_| params.time("since"))
                .and_then(|_| params.flag("follow"))
                .and_then(|_| params.scope())
                .map(|_| String::new());
            assert!(detail(result).contains(words), "{query}");
        }
    }

    #[test]
    fn reads_the_address_of_a_path() {
        for (path, expected) in [
            ("/v1/suppressions/user+tag=x@example.com", Some("user+tag=x@example.com")),
            ("/v1/suppressions/a%2Fb%40example.com", Some("a/b@example.com")),
            ("/v1/suppressions/a/b@example.com", Some("a/b@example.com")),
            ("/v1/suppressions/%ff@example.com", None),
        ] {
            let uri: Uri = path.parse().expect("a path");
            assert_eq!(address(&uri, "/v1/suppressions/").ok().as_deref(), expected, "{path}");
        }
    }
}
