//! The wording that many texts have in common when addresses, hosts, numbers and ids are blanked.

/// Characters of a wording that are compared and shown.
const CHARACTERS: usize = 200;

/// One wording for many messages: addresses, hosts, numbers and ids are what differs.
pub fn wording(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let digits = bare.bytes().filter(u8::is_ascii_digit).count();
        let host = bare.split('.').filter(|label| !label.is_empty()).count() > 2;
        words.push(if word.contains('@') {
            "<address>".to_string()
        } else if is_number(bare) {
            "<number>".to_string()
        } else if bare.len() >= 8 && digits > 0 {
            "<id>".to_string()
        } else if host && digits < bare.len() / 2 {
            "<host>".to_string()
        } else {
            word.to_lowercase()
        });
    }
    words.join(" ").chars().take(CHARACTERS).collect()
}

/// Whether a word is a number, and none of the codes that say what happened (`550`, `5.1.1`).
fn is_number(word: &str) -> bool {
    let numbers: Vec<&str> = word.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let code = match numbers.as_slice() {
        [reply] => matches!(
            *reply,
            "421"
                | "450"
                | "451"
                | "452"
                | "500"
                | "501"
                | "502"
                | "503"
                | "504"
                | "521"
                | "530"
                | "535"
                | "550"
                | "551"
                | "552"
                | "553"
                | "554"
                | "555"
                | "556"
                | "557"
                | "571"
        ),
        [class, subject, detail] => {
            matches!(*class, "2" | "4" | "5") && subject.len() < 4 && detail.len() < 4
        }
        _ => false,
    };
    !code && numbers.iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wordings_differ_only_by_words() {
        for (text, expected) in [
            ("550 5.1.1 <User@example.com>: Gone", "550 5.1.1 <address> gone"),
            ("550 id 8a7b6c5d4e", "550 id <id>"),
            ("Two  spaces\nand lines", "two spaces and lines"),
            (
                "452 4.2.2 quota of 20000 at 10.0.0.1 in 12 queues",
                "452 4.2.2 quota of <number> at <number> in <number> queues",
            ),
            ("", ""),
        ] {
            assert_eq!(wording(text), expected);
        }
    }
}
