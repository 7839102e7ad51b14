//! The SPF record of a return-path domain (RFC 7208): whether receivers can evaluate it, and what it
//! says of those who are not named. Who sends is not known here, so no address is held against it.

use super::finding::{Finding, Grade, finding};

/// Terms that ask the DNS in one evaluation (section 4.6.4).
const MAX_LOOKUPS: usize = 10;

/// TXT records of a name.
pub(super) type Texts<'a> = &'a dyn Fn(&str) -> Result<Vec<String>, String>;

/// Looks at the record of a domain.
pub(super) fn look(domain: &str, texts: Texts<'_>) -> Finding {
    let record = match record(domain, texts) {
        Ok(Some(record)) => record,
        Ok(None) => {
            let words = format!(
                "{domain} has no SPF record, so receivers cannot tell who may use its return paths: \
                 add a TXT record such as \"v=spf1 ip4:192.0.2.1 -all\", with the addresses that send"
            );
            return finding(Grade::Warn, "spf", words);
        }
        Err(problem) => return problem.finding(domain),
    };
    let mut walk = Walk { texts, lookups: 0 };
    let rest = match walk.evaluate(&record) {
        Ok(rest) => rest,
        Err(problem) => return problem.finding(domain),
    };
    let (grade, remedy) = match rest {
        Rest::NobodyIsNamed => (
            Grade::Fail,
            ": nobody may send with its return paths, so such mail is refused: name the addresses that do",
        ),
        Rest::Pass => (Grade::Warn, ": everybody may send: end it with -all"),
        Rest::Neutral => {
            (Grade::Warn, ": it says nothing of those who are not named: end it with -all")
        }
        Rest::Fail => (Grade::Ok, ""),
    };
    finding(grade, "spf", format!("{domain}: {record}{remedy}"))
}

/// What holds for those who are not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    NobodyIsNamed,
    Pass,
    Neutral,
    Fail,
}

#[derive(Debug)]
enum Problem {
    /// Receivers treat it as an error (permerror).
    Wrong(String),
    Unknown(String),
}

impl Problem {
    fn finding(self, domain: &str) -> Finding {
        match self {
            Self::Wrong(why) => {
                let words = format!("{domain}: receivers take its SPF for an error: {why}");
                finding(Grade::Fail, "spf", words)
            }
            Self::Unknown(why) => {
                let words = format!("the SPF of {domain} cannot be looked up: {why}");
                finding(Grade::Warn, "spf", words)
            }
        }
    }
}

/// The only SPF record of a name.
fn record(name: &str, texts: Texts<'_>) -> Result<Option<String>, Problem> {
    let found = texts(name).map_err(Problem::Unknown)?;
    let is_spf = |text: &String| {
        let mut words = text.split(' ');
        words.next().is_some_and(|first| first.eq_ignore_ascii_case("v=spf1"))
    };
    let mut records = found.into_iter().filter(is_spf);
    let first = records.next();
    match records.count() {
        0 => Ok(first),
        more => Err(Problem::Wrong(format!("{name} has {} records, leave one", more + 1))),
    }
}

struct Walk<'a> {
    texts: Texts<'a>,
    lookups: usize,
}

impl Walk<'_> {
    fn evaluate(&mut self, record: &str) -> Result<Rest, Problem> {
        let (mut all, mut named, mut redirect) = (None, false, None);
        for term in record.split(' ').skip(1).filter(|term| !term.is_empty()) {
            let lower = term.to_ascii_lowercase();
            if let Some(target) = lower.strip_prefix("redirect=") {
                redirect = Some(target.to_string());
                continue;
            }
            let sign = lower.chars().next().filter(|first| "+-~?".contains(*first));
            let bare = lower.get(sign.map_or(0, char::len_utf8)..).unwrap_or_default();
            let end = bare.find([':', '/', '=']).unwrap_or(bare.len());
            let (mechanism, rest) = bare.split_at(end);
            if rest.starts_with('=') {
                continue; // another modifier
            }
            let value = rest.strip_prefix(':').unwrap_or(rest);
            match mechanism {
                // What comes after it is not read.
                "all" if rest.is_empty() => {
                    all = Some(sign.unwrap_or('+'));
                    break;
                }
                "ip4" | "ip6" if is_network(mechanism, value) => {}
                "a" | "mx" | "ptr" => self.count()?,
                "exists" if !value.is_empty() => self.count()?,
                "include" if !value.is_empty() => {
                    self.count()?;
                    self.include(value)?;
                }
                _ => return Err(Problem::Wrong(format!("`{term}` is no term of it"))),
            }
            named |= sign.is_none_or(|sign| sign == '+');
        }
        match (all, redirect) {
            (None, Some(target)) => {
                self.count()?;
                match self.include(&target)? {
                    Some(Rest::NobodyIsNamed) if named => Ok(Rest::Fail),
                    Some(rest) => Ok(rest),
                    None => Ok(Rest::Fail),
                }
            }
            (Some('+'), _) => Ok(Rest::Pass),
            (None | Some('?'), _) => Ok(Rest::Neutral),
            _ if named => Ok(Rest::Fail),
            _ => Ok(Rest::NobodyIsNamed),
        }
    }

    /// A record that another one names; None when its name depends on the mail (a macro).
    fn include(&mut self, name: &str) -> Result<Option<Rest>, Problem> {
        if name.contains('%') {
            return Ok(None);
        }
        match record(name, self.texts)? {
            Some(record) => self.evaluate(&record).map(Some),
            None => Err(Problem::Wrong(format!("{name}, which it names, has no SPF record"))),
        }
    }

    /// One more lookup. Ends those who name each other, too.
    fn count(&mut self) -> Result<(), Problem> {
        self.lookups += 1;
        match self.lookups <= MAX_LOOKUPS {
            true => Ok(()),
            false => Err(Problem::Wrong(format!(
                "it takes more than {MAX_LOOKUPS} lookups, name addresses (ip4:, ip6:) in place of names"
            ))),
        }
    }
}

fn is_network(mechanism: &str, value: &str) -> bool {
    let (address, length) = match value.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (value, None),
    };
    let most = match mechanism {
        "ip4" if address.parse::<std::net::Ipv4Addr>().is_ok() => 32,
        "ip6" if address.parse::<std::net::Ipv6Addr>().is_ok() => 128,
        _ => return false,
    };
    length.is_none_or(|length| length.parse::<u8>().is_ok_and(|length| length <= most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_judged_as_receivers_do() {
        let texts = |name: &str| match name {
            "down.example" => Err("SERVFAIL".to_string()),
            "provider.example" => Ok(vec!["v=spf1 ip4:192.0.2.0/24 ~all".to_string()]),
            "nobody.example" => Ok(vec!["v=spf1 -all".to_string()]),
            "round.example" => Ok(vec!["v=spf1 include:round.example -all".to_string()]),
            _ => Ok(vec!["unrelated".to_string(), "v=spf10 -all".to_string()]),
        };
        for (record, grade, part) in [
            ("", Grade::Warn, "has no SPF record"),
            ("v=spf1 ip4:192.0.2.1 -all", Grade::Ok, "v=spf1 ip4:192.0.2.1 -all"),
            ("V=SPF1 mx A:mx.example.com/28 ~ALL", Grade::Ok, ""),
            ("v=spf1 ip6:2001:db8::/32 exp=why.example -all", Grade::Ok, ""),
            ("v=spf1 include:provider.example -all", Grade::Ok, ""),
            ("v=spf1 redirect=provider.example", Grade::Ok, ""),
            ("v=spf1 include:%{i}._spf.example -all", Grade::Ok, ""),
            ("v=spf1 mx", Grade::Warn, "says nothing"),
            ("v=spf1 mx ?all", Grade::Warn, "says nothing"),
            ("v=spf1 +all", Grade::Warn, "everybody may send"),
            ("v=spf1 -all", Grade::Fail, "nobody may send"),
            ("v=spf1 redirect=nobody.example", Grade::Fail, "nobody may send"),
            ("v=spf1 -mx -all", Grade::Fail, "nobody may send"),
            ("v=spf1 ip4:192.0.2.300 -all", Grade::Fail, "`ip4:192.0.2.300` is no term"),
            ("v=spf1 ip4:192.0.2.0/33 -all", Grade::Fail, "is no term"),
            ("v=spf1 ipv4:192.0.2.1 -all", Grade::Fail, "`ipv4:192.0.2.1` is no term"),
            ("v=spf1 include:none.example -all", Grade::Fail, "none.example, which it names"),
            ("v=spf1 include:round.example -all", Grade::Fail, "more than 10 lookups"),
            ("v=spf1 a mx a mx a mx a mx a mx a -all", Grade::Fail, "more than 10 lookups"),
            ("v=spf1 include:down.example -all", Grade::Warn, "cannot be looked up: SERVFAIL"),
        ] {
            let all = |name: &str| match name {
                "bounce.example" => Ok(vec![record.to_string()]),
                name => texts(name),
            };
            let got = look("bounce.example", &all);
            assert!(got.grade == grade && got.words.contains(part), "{record}: {got:?}");
        }
        let two = |_: &str| Ok(vec!["v=spf1 -all".to_string(), "v=spf1 mx -all".to_string()]);
        let got = look("bounce.example", &two);
        assert!(got.grade == Grade::Fail && got.words.contains("2 records"), "{got:?}");
    }
}
