//! What serde says of a wrong value, in words for people.

use super::hint;

/// serde's words for a wrong value in those of people; other words as they are.
pub fn plainly(said: &str) -> String {
    if let Some((kind, given, known)) = unknown(said) {
        return match (hint::nearest(given, known.iter().copied()), known.as_slice()) {
            (_, []) => format!("{kind}`{given}` is unknown"),
            (Some(meant), known) => format!(
                "{kind}`{given}` is unknown, did you mean `{meant}`? Known are: {}",
                known.join(", ")
            ),
            (None, known) => {
                format!("{kind}`{given}` is unknown, write one of: {}", known.join(", "))
            }
        };
    }
    if let Some((got, wanted)) = said
        .strip_prefix("invalid length ")
        .and_then(|rest| rest.split_once(", expected an array of length "))
    {
        return format!("a list of {got} where one of {wanted} belongs");
    }
    let mismatch = said.strip_prefix("invalid type: ").or(said.strip_prefix("invalid value: "));
    let Some((got, wanted)) = mismatch.and_then(|mismatch| mismatch.split_once(", expected "))
    else {
        return said.to_string();
    };
    let got = match got.split_once(' ').unwrap_or((got, "")) {
        ("string", text) => format!("text {text}"),
        ("integer" | "floating", number) => {
            let number = number.trim_start_matches("point ").trim_matches('`');
            format!("the number {number}")
        }
        ("boolean", word) => word.trim_matches('`').to_string(),
        ("sequence", _) => "a list".to_string(),
        ("map", _) => "a table".to_string(),
        _ => got.to_string(),
    };
    let wanted = match wanted {
        "usize" | "u64" | "u32" | "u16" => "a whole number, 0 or more,",
        "i64" | "i32" => "a whole number",
        "f64" => "a number",
        "a string" => "text in quotes",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        table if table.starts_with("struct") || table.starts_with("a map") => "a table",
        array if array.starts_with("an array of length ") => "a list",
        other => other,
    };
    format!("{got} where {wanted} belongs")
}

/// What was unknown: a word for its kind, itself, and what is known.
fn unknown(said: &str) -> Option<(&'static str, &str, Vec<&str>)> {
    let (kind, rest) = match said.strip_prefix("unknown field ") {
        Some(rest) => ("the key ", rest),
        None => ("", said.strip_prefix("unknown variant ")?),
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    Some((kind, quoted.next()?, quoted.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_says_is_said_in_words() {
        for (said, plain) in [
            (
                "invalid value: integer `-2`, expected u32",
                "the number -2 where a whole number, 0 or more, belongs",
            ),
            (
                "invalid type: string \"5\", expected usize",
                "text \"5\" where a whole number, 0 or more, belongs",
            ),
            ("invalid type: boolean `true`, expected f64", "true where a number belongs"),
            (
                "invalid length 2, expected an array of length 3",
                "a list of 2 where one of 3 belongs",
            ),
            (
                "unknown variant `lower`, expected `fold` or `keep`",
                "`lower` is unknown, write one of: fold, keep",
            ),
            (
                "unknown variant `nwo`, expected one of `now`, `twice`, `count`, `never`",
                "`nwo` is unknown, did you mean `now`? Known are: now, twice, count, never",
            ),
            (
                "unknown field `efect`, expected `effect`",
                "the key `efect` is unknown, did you mean `effect`? Known are: effect",
            ),
            ("`banana` is no length of time", "`banana` is no length of time"),
        ] {
            assert_eq!(plainly(said), plain, "{said}");
        }
    }
}
